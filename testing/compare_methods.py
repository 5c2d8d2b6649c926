#!/usr/bin/env python3
"""Compare the trained methods of a config on the folds that they never saw: one table, one picture of ROC curves."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import add_testing_options, positive_number, run
    from ntupleml.testing.steps import method_names
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.compare_methods")


def main(arguments: argparse.Namespace) -> int:
    """Write table and picture, and show the table."""
    from ntupleml.config import TestingConfig, TrainingConfig, load_config
    from ntupleml.testing.comparison import compare_methods

    training = load_config(arguments.config_training, TrainingConfig)
    paths = compare_methods(
        training,
        load_config(arguments.config_testing, TestingConfig),
        arguments.fold,
        methods=arguments.methods,
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        training_path=arguments.config_training,
        testing_path=arguments.config_testing,
        entries_per_chunk=arguments.num_events,
        max_events=arguments.max_events,
        overwrite=arguments.overwrite,
    )
    log.info("%s", paths[0].read_text(encoding="utf-8").rstrip())
    log.info("written: %s", ", ".join(map(str, paths)))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_testing_options(parser)
    parser.add_argument(
        "--methods", type=method_names, metavar="A,B", help="methods to compare; by default all trained ones"
    )
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument(
        "--max-events",
        type=positive_number,
        metavar="N",
        help="events held in memory, of more a random sample is taken (default: the testing config's, 2000000)",
    )
    sys.exit(run(main, parser))
