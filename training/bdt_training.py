#!/usr/bin/env python3
"""Train the boosted trees of a fold, or of all folds, with XGBoost or scikit-learn's histogram boosting."""

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
    from ntupleml.training.boosted_trees import BoostedTreesOptions, train_boosted_trees

    config = load_config(arguments.config, TrainingConfig)
    options = BoostedTreesOptions(
        method=arguments.method,
        conditional=arguments.conditional,
        overwrite=arguments.overwrite,
        threads=arguments.threads,
    )
    folds = chosen_models(arguments.fold, config.num_folds, str(arguments.config))
    train_boosted_trees(config, folds, options, str(arguments.config))
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a positive number")
    return int(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, metavar="CONFIG", help="training config (YAML)")
    parser.add_argument("fold", metavar="FOLD", help="model to train (0, 1, ...), or 'all'")
    parser.add_argument("--method", metavar="NAME", help="train only this entry of boosted_trees")
    parser.add_argument("--conditional", action="store_true", help="train on all conditions (eras), as one-hot inputs")
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier training")
    parser.add_argument("--threads", type=_positive, metavar="NUMBER", help="number of threads (default: all cores)")
    sys.exit(run(main, parser))
