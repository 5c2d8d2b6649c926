"""Verbs of the dataset stage."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.cluster.options import add_cluster_options, cluster_options
from ntupleml.command_line import show
from ntupleml.commands.command import (
    Command,
    add_configs,
    add_overwrite,
    add_reading_options,
    is_yaml,
    named_formulas,
    positive_number,
    testing_of,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse

log = logging.getLogger("ntupleml.dataset")

#: Width of a table that goes to a file or a pipe, so that nothing is cut off.
_WIDTH_ELSEWHERE = 160
#: Selection of the ttH trainer's option `--run-option signal`.
_SIGNAL = "nJets >= 6 && nBTags_DL1r_70 >= 4"


def _dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="dataset config (YAML)")
    add_overwrite(parser, "fold files that exist")
    parser.add_argument("--dry-run", action="store_true", help="check the inputs, and show what would be written")
    add_cluster_options(parser)


def _dataset(arguments: argparse.Namespace) -> int:
    """Build the dataset of a config and show its table."""
    from ntupleml.config import DatasetConfig, load_config
    from ntupleml.datasets import create_training_dataset
    from ntupleml.datasets.building import planned_dataset

    config = load_config(arguments.config, DatasetConfig)
    if arguments.dry_run:
        show(planned_dataset(config, where=config.where))
        return 0
    summary = create_training_dataset(
        config, overwrite=arguments.overwrite, where=config.where, cluster=cluster_options(arguments)
    )
    show(summary)
    return 0


def _example_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output_path", type=Path, metavar="OUTPUT_PATH", help="folder to write to")
    parser.add_argument("--events", type=int, default=10_000, metavar="N", help="events per process (default: 10000)")
    parser.add_argument("--seed", type=int, default=1234, help="seed of the random numbers (default: 1234)")
    add_overwrite(parser, "existing files")


def _write_example(arguments: argparse.Namespace) -> int:
    from ntupleml.datasets.example import write_example_dataset

    write_example_dataset(arguments.output_path, arguments.events, arguments.seed, overwrite=arguments.overwrite)
    return 0


def _validation_arguments(parser: argparse.ArgumentParser) -> None:
    add_configs(parser, "training")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="[CONFIG_TESTING] [FOLD]",
        help="testing config (YAML), for its weights, spectators and plot block; index of the fold file (default: all)",
    )
    parser.add_argument(
        "--variable",
        action="append",
        dest="variables",
        default=[],
        metavar="NAME",
        help="one more branch, or formula of branches; may be given several times",
    )
    parser.add_argument("--class-weights", action="store_true", help="multiply with the training's class weights")
    parser.add_argument(
        "--max-events", type=positive_number, metavar="N", help="look at a random sample of N events (default: all)"
    )
    add_reading_options(parser)


def _validate_inputs(arguments: argparse.Namespace) -> int:
    """Write the pictures and say which variables separate best."""
    from ntupleml.testing.inputs import validate_inputs

    configs = [text for text in arguments.arguments if is_yaml(text)]
    folds = [text for text in arguments.arguments if not is_yaml(text)]
    if len(configs) > 1 or len(folds) > 1:
        extra = (configs[1:] + folds[1:])[0]
        raise NtuplemlError(f"'{extra}': CONFIG_TRAINING, CONFIG_TESTING and FOLD are all that is taken")
    summary, _ = validate_inputs(
        arguments.config_training,
        configs[0] if configs else testing_of(arguments.config_training),
        folds[0] if folds else "all",
        variables=arguments.variables,
        condition=arguments.condition,
        class_weights=arguments.class_weights,
        max_events=arguments.max_events,
        entries_per_chunk=arguments.num_events,
        overwrite=arguments.overwrite,
    )
    for name, one in summary.weights.items():
        log.info("class '%s': %d events, worth %.1f of equal weight", name, one.events, one.effective_events)
    for name, label, separation in summary.ranking()[:3]:
        log.info("%s: separation %.4f ± %.4f ('%s' from the rest)", name, *separation, label)
    return 0


def _comparison_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[NAME=]FILE",
        help="training configs (YAML), whose fold files are taken, ROOT, HDF5 or Parquet files, quoted wildcards",
    )
    parser.add_argument(
        "--variable",
        action="append",
        dest="variables",
        default=[],
        metavar="NAME",
        help="branch or formula to show; may be repeated (default: those of the trainings, else the columns that all "
        "files have)",
    )
    parser.add_argument("--every-column", action="store_true", help="show all columns of numbers")
    parser.add_argument(
        "--class",
        action="append",
        dest="classes",
        default=[],
        metavar="NAME=FORMULA",
        help="rows that are a class, of files in which the trees are not the classes; may be repeated",
    )
    parser.add_argument(
        "--point",
        action="append",
        dest="points",
        default=[],
        metavar="NAME",
        help="branch or formula, such as a mass, for each value of which rows are counted and shown; may be repeated",
    )
    parser.add_argument("--weight", metavar="BRANCH", help="branch of weights (default: that of a training, else none)")
    parser.add_argument("--testing", type=Path, metavar="CONFIG_TESTING", help="for its look of the pictures")
    parser.add_argument(
        "--output", type=Path, default=Path("files.html"), metavar="FILE.html", help="the page (default: files.html)"
    )
    add_overwrite(parser)


def _compare_files(arguments: argparse.Namespace) -> int:
    """Write the page, and say what differs most."""
    from ntupleml.config import TestingConfig, load_config
    from ntupleml.reports.files import difference_verdict, write_files_page
    from ntupleml.reports.page_files import page_and_folder
    from ntupleml.testing.compared_files import FilesOptions, compare_files

    page, folder = page_and_folder(arguments.output, arguments.output, overwrite=arguments.overwrite)
    testing = TestingConfig() if arguments.testing is None else load_config(arguments.testing, TestingConfig)
    options = FilesOptions(
        arguments.variables,
        arguments.every_column,
        arguments.weight,
        arguments.points,
        named_formulas(arguments.classes, "--class"),
    )
    compared = compare_files(arguments.files, options)
    for name in compared.classes:
        summary = compared.of_class(name)
        if len(summary.classes) > 1:
            verdict = difference_verdict(summary)
            log.info("%s: %s: %s", verdict.level, name, verdict.text)
    write_files_page(compared, testing, page, folder, command=shlex.join(sys.argv), overwrite=arguments.overwrite)
    log.info("the page: %s", page)
    return 0


COMMANDS = {
    "compare-files": Command(
        "Show the inputs of several files side by side in one page: fold files of trainings, ntuples or tables.",
        _compare_files,
        _comparison_arguments,
        usage="%(prog)s [options] [NAME=]FILE [[NAME=]FILE ...]",
        epilog="Each tree of a file is a class, but for those of --class. Every class that several files have is "
        "drawn with one bin width for all, and every point of it; then the classes and points of each file.",
    ),
    "dataset": Command(
        "Build the fold files that classifiers are trained and tested on.", _dataset, _dataset_arguments
    ),
    "validate-inputs": Command(
        "Look at the inputs in the fold files before anything is trained: distributions, correlations, weights, by "
        "class.",
        _validate_inputs,
        _validation_arguments,
        usage="%(prog)s [options] CONFIG_TRAINING [CONFIG_TESTING] [FOLD]",
    ),
    "write-example": Command(
        "Write the ntuples of the toy analysis: three simulated processes and a data-like mixture of them.",
        _write_example,
        _example_arguments,
    ),
}
