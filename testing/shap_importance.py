#!/usr/bin/env python3
"""Rank the inputs of a method by SHAP values, on a sample of events; needs pip install 'ntupleml[shap]'."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import positive_number, run
    from ntupleml.testing.steps import add_step_options, prepared
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.shap_importance")


def main(arguments: argparse.Namespace) -> int:
    """Write the picture, and say which inputs lead."""
    from ntupleml.testing.shapley import shapley_files

    paths, result = shapley_files(
        prepared(arguments),
        explained=arguments.events,
        background=arguments.background,
        overwrite=arguments.overwrite,
    )
    log.info("largest mean |SHAP value|: %s", ", ".join(result.ranking()[:3]))
    log.info("written: %s", ", ".join(map(str, paths)))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_step_options(parser)
    parser.add_argument(
        "--events", type=positive_number, default=200, metavar="N", help="events that are explained (default: 200)"
    )
    parser.add_argument(
        "--background", type=positive_number, default=100, metavar="N", help="events to compare with (default: 100)"
    )
    sys.exit(run(main, parser))
