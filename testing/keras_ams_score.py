#!/usr/bin/env python3
"""Approximate median significance (AMS) of each class in the events that are predicted to be of this class."""

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

log = logging.getLogger("ntupleml.keras_ams_score")


def main(arguments: argparse.Namespace) -> int:
    """Log the significances and write them."""
    from ntupleml.testing.significance_numbers import ams_score_file

    path = ams_score_file(prepared(arguments), b_reg=arguments.b_reg, overwrite=arguments.overwrite)
    log.info("written: %s", path)
    return 0


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 0")
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument(
        "--b-reg",
        type=_not_negative,
        metavar="B",
        help="regularisation, added to the background (default: the testing config's, 10)",
    )
    sys.exit(run(main, parser))
