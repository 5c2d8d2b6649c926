#!/usr/bin/env python3
"""Write everything that the testing stage says of a training as one HTML page, with its figures as files beside it."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

try:
    from ntupleml.command_line import add_configs, add_reading_options, positive_number, run
    from ntupleml.config_arguments import IntermixedParser
    from ntupleml.testing.steps import method_names
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.report")


def main(arguments: argparse.Namespace) -> int:
    """Write the page and say what it says."""
    from ntupleml.reports.writing import ReportOptions, write_report
    from ntupleml.testing.preparation import Preparation, prepare

    def prepared(training: Path, testing: Path, methods: list[str] | None) -> Preparation:
        return prepare(
            training,
            testing,
            arguments.fold,
            methods=methods,
            all_methods=True,
            condition=arguments.condition,
            class_weights=arguments.class_weights,
            max_events=arguments.max_events,
            entries_per_chunk=arguments.num_events,
            tolerant=True,
        )

    first = prepared(arguments.config_training, arguments.config_testing, arguments.methods)
    other = None
    if arguments.compare is not None:
        other = prepared(arguments.compare, arguments.compare_testing or arguments.config_testing, None)
    paths, verdicts = write_report(
        first,
        ReportOptions(
            output=arguments.output,
            compare=other,
            taylor=arguments.taylor,
            permutation=arguments.permutation,
            command=shlex.join(sys.argv),
            overwrite=arguments.overwrite,
            page_only=arguments.page_only,
        ),
    )
    for name, verdict in verdicts:
        log.info("%s: %s: %s", verdict.level, name, verdict.text)
    log.info("written: %s", paths[0])
    return 0


if __name__ == "__main__":
    parser = IntermixedParser(description=__doc__, usage="%(prog)s [options] CONFIG_TRAINING CONFIG_TESTING [FOLD]")
    add_configs(parser, "training", "testing")
    parser.add_argument("fold", nargs="?", default="all", metavar="FOLD", help="index of the model, or 'all' (default)")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="the page (default: in the output_path)")
    parser.add_argument(
        "--compare", type=Path, metavar="CONFIG_TRAINING", help="show a second training beside this one"
    )
    parser.add_argument(
        "--compare-testing",
        type=Path,
        metavar="CONFIG_TESTING",
        help="testing config of the second (default: the same)",
    )
    parser.add_argument(
        "--methods", type=method_names, metavar="A,B", help="methods to show; by default all trained ones"
    )
    parser.add_argument("--taylor", action="store_true", help="compute the Taylor ranking of the network")
    parser.add_argument("--permutation", action="store_true", help="compute the permutation importance")
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument("--max-events", type=positive_number, metavar="N", help="events held in memory")
    parser.add_argument(
        "--page-only", action="store_true", help="write the page and the numbers, without PNG and PDF files"
    )
    add_reading_options(parser)
    sys.exit(run(main, parser))
