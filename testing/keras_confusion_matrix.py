#!/usr/bin/env python3
"""Test a fold's Keras model on the fold that it never saw, and write its confusion matrices."""

from __future__ import annotations

import argparse
import logging
import sys

try:
    from ntupleml.command_line import add_testing_options, run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

log = logging.getLogger("ntupleml.keras_confusion_matrix")


def main(arguments: argparse.Namespace) -> int:
    """Write the matrices and say where they are."""
    from ntupleml.config import TestingConfig, TrainingConfig, load_config
    from ntupleml.testing import confusion_matrices

    training = load_config(arguments.config_training, TrainingConfig)
    paths = confusion_matrices(
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    add_testing_options(parser)
    sys.exit(run(main, parser))
