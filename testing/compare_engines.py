#!/usr/bin/env python3
"""Compare every form of a trained model (its library, ONNX, lwtnn, …) on events that it never saw."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import add_configs, run
    from ntupleml.config_arguments import IntermixedParser
    from ntupleml.errors import NtuplemlError
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.compare_engines")
EPILOG = """Differences are those from the library that the model was made with. The exit status is 1 if any form
differs by more than the tolerance. Forms that are not there are named: make them with application/export_to_onnx.py
and application/export_keras_to_lwtnn.py."""
USAGE = "%(prog)s [options] CONFIG_TRAINING [CONFIG_TESTING] FOLD"


def main(arguments: argparse.Namespace) -> int:
    """Write the table and show it."""
    from ntupleml.testing.engine_comparison import compare_engines

    *testing, fold = arguments.arguments
    if len(testing) > 1:
        raise NtuplemlError(f"'{testing[1]}': CONFIG_TRAINING, CONFIG_TESTING and FOLD are all that is taken")
    comparisons, paths = compare_engines(
        arguments.config_training,
        fold,
        testing_path=testing[0] if testing else None,
        method=arguments.method,
        num_events=arguments.events,
        tolerance=arguments.tolerance,
        overwrite=arguments.overwrite,
    )
    log.info("%s", paths[0].read_text(encoding="utf-8").rstrip())
    log.info("written: %s", ", ".join(map(str, paths)))
    return int(any(not one.largest <= arguments.tolerance for one in comparisons))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of events of at least 1")
    return int(text)


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a difference of at least 0")
    return value


if __name__ == "__main__":
    parser = IntermixedParser(
        description=__doc__, epilog=EPILOG, usage="%(prog)s [options] CONFIG_TRAINING [CONFIG_TESTING] FOLD"
    )
    add_configs(parser, "training")
    parser.add_argument(
        "arguments",
        nargs="+",
        metavar="[CONFIG_TESTING] FOLD",
        help="testing config (YAML), for its method and models; index of the model, or 'all'",
    )
    parser.add_argument("--method", metavar="NAME", help="method of the training config; by default its network")
    parser.add_argument("--events", type=_number, default=10_000, metavar="N", help="events per model (default: 10000)")
    parser.add_argument(
        "--tolerance", type=_tolerance, default=1e-5, metavar="T", help="largest difference of a score (default: 1e-5)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    sys.exit(run(main, parser))
