"""Verbs of the training stage, one per engine."""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.cluster import add_cluster_options, cluster_options
from ntupleml.command_line import SOME_FAILED, show
from ntupleml.commands.command import Command, add_overwrite, finite_number, positive_number, true_or_false

if TYPE_CHECKING:
    from ntupleml.config import TrainingConfig

log = logging.getLogger("ntupleml.training")


def _add_training(parser: argparse.ArgumentParser) -> None:
    """Add what all trainings take."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="training config (YAML)")
    parser.add_argument("fold", metavar="FOLD", help="model to train (0, 1, ...), or 'all'")
    add_overwrite(parser, "the files of an earlier training")


def _add_ensemble(parser: argparse.ArgumentParser, goes_on: str) -> None:
    """Add what is for the block `ensemble` of the config, and how a training goes on."""
    parser.add_argument("--continue", dest="continue_training", action="store_true", help=goes_on)
    parser.add_argument(
        "--workers",
        type=positive_number,
        default=1,
        metavar="N",
        help="processes that train the members of an ensemble; the models are the same (default: 1, this one)",
    )


def _training(arguments: argparse.Namespace) -> tuple[TrainingConfig, list[int], str]:
    """Config, models to train, and what messages call the config."""
    from ntupleml.config import TrainingConfig, load_config
    from ntupleml.folds import chosen_models

    config = load_config(arguments.config, TrainingConfig)
    return config, chosen_models(arguments.fold, config.num_folds, config.where), config.where


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
    _add_ensemble(parser, "go on with an interrupted or finished training")
    parser.add_argument(
        "--epoch-figures",
        action="store_true",
        help="write the figures of the losses after each epoch, not only at the end",
    )
    parser.add_argument(
        "--network",
        metavar="FILE",
        help="train this network in place of the config's: a .keras file, or a .py file (which is run) with a function "
        "build(shapes, num_outputs, seed)",
    )
    parser.add_argument(
        "--keep-weights", action="store_true", help="begin with the weights of the .keras file, not with new ones"
    )


def _keras(arguments: argparse.Namespace) -> int:
    from ntupleml.training import TrainingOptions, train_keras

    options = TrainingOptions(
        conditional=arguments.conditional,
        randomization=arguments.randomization,
        balance_batches=arguments.balance_batches,
        overwrite=arguments.overwrite,
        continue_training=arguments.continue_training,
        workers=arguments.workers,
        epoch_figures=arguments.epoch_figures,
        network=arguments.network,
        keep_weights=arguments.keep_weights,
    )
    config, folds, where = _training(arguments)
    train_keras(config, folds, options, where)
    return 0


def _networks_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="an encoder or a network, to list its settings")


def _networks(arguments: argparse.Namespace) -> int:
    from ntupleml.models.catalogue import catalogue

    sys.stdout.write(f"{catalogue(arguments.name)}\n")
    return 0


def _listed_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    _add_training(parser)
    parser.add_argument("--method", metavar="NAME", help=f"train only this entry of {kind}")
    parser.add_argument("--conditional", action="store_true", help="train on all conditions (eras), as one-hot inputs")
    parser.add_argument(
        "--threads", type=positive_number, metavar="NUMBER", help="number of threads (default: all cores)"
    )
    _add_ensemble(parser, "take the members of an ensemble that are trained, and train the others")


def _listed(arguments: argparse.Namespace, kind: str) -> int:
    from ntupleml.training import TrainingOptions
    from ntupleml.training.listed_methods import train_listed

    options = TrainingOptions(
        method=arguments.method,
        conditional=arguments.conditional,
        overwrite=arguments.overwrite,
        threads=arguments.threads,
        continue_training=arguments.continue_training,
        workers=arguments.workers,
    )
    config, folds, where = _training(arguments)
    train_listed(config, kind, folds, options, where)
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


def _tune_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="training config (YAML) with a block tune")
    parser.add_argument(
        "--folds", default="all", metavar="FOLDS", help="models that each trial trains, e.g. 0 or 0,1 (default: all)"
    )
    parser.add_argument("--trials", type=positive_number, metavar="N", help="number of trials, those before included")
    parser.add_argument(
        "--continue",
        dest="continue_study",
        action="store_true",
        help="go on with the study that is there, also beside other processes",
    )
    add_overwrite(parser, "the study that is there, and all of its files")
    parser.add_argument("--keep-models", action="store_true", help="keep the models of each trial")
    add_cluster_options(parser)


def _tune(arguments: argparse.Namespace) -> int:
    from ntupleml.config import TrainingConfig, load_config
    from ntupleml.folds import chosen_models
    from ntupleml.tuning import TuningOptions, tune

    config = load_config(arguments.config, TrainingConfig)
    folds = [
        fold for text in arguments.folds.split(",") for fold in chosen_models(text, config.num_folds, config.where)
    ]
    options = TuningOptions(
        arguments.trials,
        cluster_options(arguments),
        arguments.continue_study,
        arguments.overwrite,
        arguments.keep_models,
        arguments.debug,
    )
    tune(arguments.config, sorted(set(folds)), options)
    return 0


def _submit_arguments(parser: argparse.ArgumentParser) -> None:
    _add_training(parser)
    parser.add_argument(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="keras, boosted trees or estimators; repeatable (default: all)",
    )
    parser.add_argument(
        "--seeds",
        type=_whole_numbers,
        default=[],
        metavar="1,2,...",
        help="train with each, in folders seed1, seed2, ...",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the script of a job and what would be trained")
    add_cluster_options(parser)


def _whole_numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of whole numbers such as 1,2,3")
    return sorted({int(part) for part in parts})


def _submit(arguments: argparse.Namespace) -> int:
    from ntupleml.training import TrainingOptions
    from ntupleml.training.submitting import train_all, trainings

    config, folds, where = _training(arguments)
    options = TrainingOptions(overwrite=arguments.overwrite)
    cluster = cluster_options(arguments)
    missing = trainings(config, folds, arguments.seeds, arguments.method, options, where)
    if arguments.dry_run:
        if cluster.htcondor or cluster.slurm:
            from ntupleml.cluster.dask_workers import job_script

            sys.stdout.write(job_script(cluster, config.cluster))
        sys.stdout.writelines(f"would be trained: {one}\n" for one in missing)
        return 0
    failures = train_all(missing, cluster)
    for failure in failures:
        log.error("%s", failure)
    return SOME_FAILED if failures else 0


def _replay_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "record", type=Path, metavar="RECORD", help="record of a training, e.g. fold0_keras_training.json"
    )
    parser.add_argument(
        "--tolerance",
        type=partial(finite_number, at_least=0),
        default=1e-6,
        metavar="X",
        help="by how much scores may differ (default: 1e-6)",
    )
    parser.add_argument(
        "--network",
        metavar="FILE",
        help="file of the network that was given to the training, where it is elsewhere by now; needed for a .py file, "
        "which is run",
    )


def _replay(arguments: argparse.Namespace) -> int:
    from ntupleml.training.replaying import replay

    found = replay(arguments.record, arguments.network)
    for line in found.lines():
        show(line)
    return SOME_FAILED if found.largest_difference > arguments.tolerance else 0


COMMANDS = {
    "networks": Command(
        "List the networks that a training config can name, and the encoders of groups of inputs.",
        _networks,
        _networks_arguments,
    ),
    "train-keras": Command(
        "Train the Keras network of a fold, or of all folds.",
        _keras,
        _keras_arguments,
        epilog="`ntupleml networks` lists what the model block of the config can name.",
    ),
    "train-bdt": Command(
        "Train the boosted trees of a fold, or of all folds: with XGBoost or scikit-learn's histogram boosting.",
        partial(_listed, kind="boosted_trees"),
        partial(_listed_arguments, kind="boosted_trees"),
    ),
    "train-sklearn": Command(
        "Train estimators of scikit-learn of a fold, or of all folds: those of the config's block scikit_learn.",
        partial(_listed, kind="scikit_learn"),
        partial(_listed_arguments, kind="scikit_learn"),
    ),
    "replay": Command(
        "Train again what a record describes, and say whether models and scores are the same.",
        _replay,
        _replay_arguments,
        epilog="Exit status: 0 if the scores are the same within the tolerance, else 1. Fold files are found by the "
        "paths of the record, from the current folder; nothing is written.",
    ),
    "tune": Command(
        "Search for the best settings of a training: those of the block tune, by trials on its validation events.",
        _tune,
        _tune_arguments,
    ),
    "submit": Command(
        "Train methods, folds and seeds by several workers: processes, a Dask cluster, jobs of HTCondor or Slurm.",
        _submit,
        _submit_arguments,
    ),
    "train-tmva": Command(
        "Train the TMVA methods of a config for a fold, or for all folds: by TMVA, or without it by XGBoost.",
        _tmva,
        _tmva_arguments,
    ),
}
