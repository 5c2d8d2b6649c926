"""Verbs of the training stage, one per engine."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.command_line import SOME_FAILED
from ntupleml.commands.command import Command, add_overwrite, positive_number, true_or_false

if TYPE_CHECKING:
    import argparse

    from ntupleml.config import TrainingConfig

log = logging.getLogger("ntupleml.training")


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Add what all trainings take."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="training config (YAML)")
    parser.add_argument("fold", metavar="FOLD", help="model to train (0, 1, ...), or 'all'")
    add_overwrite(parser, "the files of an earlier training")


def _training(arguments: argparse.Namespace) -> tuple[TrainingConfig, list[int], str]:
    """Config, models to train, and what messages call the config."""
    from ntupleml.config import TrainingConfig, load_config
    from ntupleml.folds import chosen_models

    config, where = load_config(arguments.config, TrainingConfig), str(arguments.config)
    return config, chosen_models(arguments.fold, config.num_folds, where), where


def _keras_arguments(parser: argparse.ArgumentParser) -> None:
    _add_training(parser)
    # An option is on when given alone, and also takes True or False as htt-ml's scripts write it.
    for name, text in {
        "--conditional": "train on all conditions (eras) with one-hot inputs; balances the batches",
        "--randomization": "draw the condition at random for the classes of randomize_classes",
        "--balance-batches": "let all classes weigh the same in each batch",
    }.items():
        parser.add_argument(
            name, type=true_or_false, nargs="?", const=True, default=False, metavar="True|False", help=text
        )
    parser.add_argument(
        "--continue",
        dest="continue_training",
        action="store_true",
        help="go on with an interrupted or finished training",
    )


def _keras(arguments: argparse.Namespace) -> int:
    from ntupleml.training import TrainingOptions, train_keras

    options = TrainingOptions(
        conditional=arguments.conditional,
        randomization=arguments.randomization,
        balance_batches=arguments.balance_batches,
        overwrite=arguments.overwrite,
        continue_training=arguments.continue_training,
    )
    config, folds, where = _training(arguments)
    train_keras(config, folds, options, where)
    return 0


def _bdt_arguments(parser: argparse.ArgumentParser) -> None:
    _add_training(parser)
    parser.add_argument("--method", metavar="NAME", help="train only this entry of boosted_trees")
    parser.add_argument("--conditional", action="store_true", help="train on all conditions (eras), as one-hot inputs")
    parser.add_argument(
        "--threads", type=positive_number, metavar="NUMBER", help="number of threads (default: all cores)"
    )


def _bdt(arguments: argparse.Namespace) -> int:
    from ntupleml.training import TrainingOptions
    from ntupleml.training.boosted_trees import train_boosted_trees

    options = TrainingOptions(
        method=arguments.method,
        conditional=arguments.conditional,
        overwrite=arguments.overwrite,
        threads=arguments.threads,
    )
    config, folds, where = _training(arguments)
    train_boosted_trees(config, folds, options, where)
    return 0


def _tmva_arguments(parser: argparse.ArgumentParser) -> None:
    _add_training(parser)
    parser.add_argument(
        "--engine", choices=("tmva", "xgboost"), help="what trains; by default TMVA where ROOT has it, else XGBoost"
    )
    parser.add_argument("--method", metavar="NAME", help="train this method only")


def _tmva(arguments: argparse.Namespace) -> int:
    """Train, compare, and write everything to `fold{f}_training` in the config's output_path."""
    from ntupleml.imports import import_xgboost_alone
    from ntupleml.training.tmva_training import train_tmva

    import_xgboost_alone()
    config, folds, where = _training(arguments)
    trained = train_tmva(
        config, folds, engine=arguments.engine, method=arguments.method, overwrite=arguments.overwrite, where=where
    )
    if len({record.method for record in trained.records}) > 1:
        from ntupleml.testing.comparison import compare_trained_methods

        compare_trained_methods(config, trained.records, where)
    for failure in trained.failures:
        log.error("%s; the other methods are kept", failure)
    return SOME_FAILED if trained.failures else 0


COMMANDS = {
    "train-keras": Command("Train the Keras network of a fold, or of all folds.", _keras, _keras_arguments),
    "train-bdt": Command(
        "Train the boosted trees of a fold, or of all folds: with XGBoost or scikit-learn's histogram boosting.",
        _bdt,
        _bdt_arguments,
    ),
    "train-tmva": Command(
        "Train the TMVA methods of a config for a fold, or for all folds: by TMVA, or without it by XGBoost.",
        _tmva,
        _tmva_arguments,
    ),
}
