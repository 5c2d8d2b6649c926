#!/usr/bin/env python3
"""Train the Keras network of a fold, or of all folds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)


def main(arguments: argparse.Namespace) -> int:
    """Train and write everything to the config's output_path."""
    from ntupleml.config import TrainingConfig, load_config
    from ntupleml.folds import chosen_models
    from ntupleml.training import TrainingOptions, train_keras

    config = load_config(arguments.config, TrainingConfig)
    options = TrainingOptions(
        conditional=arguments.conditional,
        randomization=arguments.randomization,
        balance_batches=arguments.balance_batches,
        overwrite=arguments.overwrite,
        continue_training=arguments.continue_training,
    )
    train_keras(
        config, chosen_models(arguments.fold, config.num_folds, str(arguments.config)), options, str(arguments.config)
    )
    return 0


def _true_or_false(text: str) -> bool:
    values = {"true": True, "false": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"'{text}' is neither True nor False")
    return values[text.lower()]


def _add_flag(name: str, text: str) -> None:
    """Add an option that is on when given alone, and also takes True or False as htt-ml's scripts write it."""
    parser.add_argument(
        name, type=_true_or_false, nargs="?", const=True, default=False, metavar="True|False", help=text
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="training config (YAML)")
    parser.add_argument("fold", metavar="FOLD", help="model to train (0, 1, ...), or 'all'")
    _add_flag("--conditional", "train on all conditions (eras) with one-hot inputs; balances the batches")
    _add_flag("--randomization", "draw the condition at random for the classes of randomize_classes")
    _add_flag("--balance-batches", "let all classes weigh the same in each batch")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier training")
    parser.add_argument(
        "--continue",
        dest="continue_training",
        action="store_true",
        help="go on with an interrupted or finished training",
    )
    sys.exit(run(main, parser))
