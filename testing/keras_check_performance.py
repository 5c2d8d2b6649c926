#!/usr/bin/env python3
"""Yields, efficiencies, purity and significances of the events whose score of one class is above a cut."""

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

log = logging.getLogger("ntupleml.keras_check_performance")


def main(arguments: argparse.Namespace) -> int:
    """Log the numbers and write them."""
    from ntupleml.testing.significance_numbers import performance_file

    path = performance_file(prepared(arguments), arguments.target_class, arguments.cut, overwrite=arguments.overwrite)
    log.info("written: %s", path)
    return 0


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number")
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument("target_class", metavar="TARGET_CLASS", help="the signal, whose score is cut on")
    parser.add_argument("cut", type=_number, metavar="CUT", help="events with a larger score are selected")
    sys.exit(run(main, parser))
