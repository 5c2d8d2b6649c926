#!/usr/bin/env python3
"""Rank the inputs of a method by what is lost when their values are shuffled; by default in at most 100,000 events."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import run
    from ntupleml.testing.steps import add_step_options, prepared
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.permutation_importance")


def main(arguments: argparse.Namespace) -> int:
    """Write the picture, and say which inputs lead."""
    from ntupleml.testing.permutation import most_important, permutation_files

    paths, result = permutation_files(
        prepared(arguments),
        repeats=arguments.repeats,
        groups=arguments.group,
        max_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    log.info("decrease of the average AUC: %s", most_important(result))
    log.info("written: %s", ", ".join(map(str, paths)))
    return 0


def _repeats(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 2):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 2, which the uncertainty needs")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument("--repeats", type=_repeats, default=5, metavar="N", help="times each is shuffled (default: 5)")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="variables shuffled together, too; repeatable",
    )
    sys.exit(run(main, parser))
