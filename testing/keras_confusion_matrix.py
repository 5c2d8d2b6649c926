#!/usr/bin/env python3
"""Test a fold's Keras model on the fold that it never saw, and write its confusion matrices."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import add_configs, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.keras_confusion_matrix")


def main(arguments: argparse.Namespace) -> int:
    """Write the matrices and say where they are."""
    from ntupleml.config import TestingConfig, TrainingConfig, load_config
    from ntupleml.testing import keras_confusion_matrices

    training = load_config(arguments.config_training, TrainingConfig)
    paths = keras_confusion_matrices(
        training,
        load_config(arguments.config_testing, TestingConfig),
        arguments.fold,
        arguments.condition,
        training_path=arguments.config_training,
        testing_path=arguments.config_testing,
        entries_per_chunk=arguments.num_events,
        overwrite=arguments.overwrite,
    )
    log.info("%d files written to %s", len(paths), training.output_path)
    return 0


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of events of at least 1")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_configs(parser, "training", "testing")
    parser.add_argument("fold", metavar="FOLD", help="index of the model to test, or 'all'")
    parser.add_argument("--era", "--condition", dest="condition", metavar="NAME", help="era (condition) to test")
    parser.add_argument(
        "--Num_Events",
        "--events-per-chunk",
        dest="num_events",
        type=_positive,
        metavar="N",
        help="events read at a time",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    sys.exit(run(main, parser))
