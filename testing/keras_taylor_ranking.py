#!/usr/bin/env python3
"""Rank inputs, and combinations of them, by the mean Taylor coefficients of a Keras network (arXiv:1803.08782)."""

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

log = logging.getLogger("ntupleml.keras_taylor_ranking")


def main(arguments: argparse.Namespace) -> int:
    """Write the rankings, and say what leads that of all classes."""
    from ntupleml.testing.taylor import MOST_EVENTS
    from ntupleml.testing.taylor_files import leading_terms, read_taylor_ranking, summary_path, taylor_files

    arguments.max_events = arguments.max_events or MOST_EVENTS[arguments.order]
    preparation = prepared(arguments)
    taylor_files(
        preparation,
        order=arguments.order,
        absolute=not arguments.no_abs,
        most_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    summary = summary_path(preparation)
    log.info("%s: leading terms: %s", summary, leading_terms(read_taylor_ranking(summary)))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument("--no-abs", action="store_true", help="average the derivatives themselves, not their modulus")
    parser.add_argument("--order", type=int, choices=(1, 2, 3), default=2, help="highest order of the derivatives")
    sys.exit(run(main, parser))
