"""Verbs of the dataset stage."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.cluster.options import add_cluster_options, cluster_options
from ntupleml.commands.command import Command, add_configs, add_overwrite, add_reading_options, positive_number
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse

    from rich.table import Table

    from ntupleml.ntuples.inspection import BranchContent
    from ntupleml.ntuples.sources import TreeContent

log = logging.getLogger("ntupleml.dataset")

#: Width of a table that goes to a file or a pipe, so that nothing is cut off.
_WIDTH_ELSEWHERE = 160
_ENDINGS = (".yaml", ".yml")


def _dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="dataset config (YAML)")
    add_overwrite(parser, "fold files that exist")
    add_cluster_options(parser)


def _dataset(arguments: argparse.Namespace) -> int:
    """Build the dataset of a config and log its table."""
    from ntupleml.config import DatasetConfig, load_config
    from ntupleml.datasets import create_training_dataset

    config = load_config(arguments.config, DatasetConfig)
    summary = create_training_dataset(
        config, overwrite=arguments.overwrite, where=str(arguments.config), cluster=cluster_options(arguments)
    )
    log.info("%s", summary)
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

    configs = [text for text in arguments.arguments if text.endswith(_ENDINGS)]
    folds = [text for text in arguments.arguments if not text.endswith(_ENDINGS)]
    if len(configs) > 1 or len(folds) > 1:
        extra = (configs[1:] + folds[1:])[0]
        raise NtuplemlError(f"'{extra}': CONFIG_TRAINING, CONFIG_TESTING and FOLD are all that is taken")
    summary, paths = validate_inputs(
        arguments.config_training,
        configs[0] if configs else None,
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
    log.info("%d files written to %s", len(paths), paths[0].parent)
    return 0


def _inspection_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="ROOT, HDF5 or Parquet file")
    parser.add_argument(
        "tree", nargs="?", metavar="TREE", help="tree in it, with its folders, or group of HDF5 (default: all)"
    )


def _inspect(arguments: argparse.Namespace) -> int:
    """Print the trees of a file, and the branches of the tree asked for, or of all trees."""
    from rich.console import Console

    from ntupleml.ntuples.inspection import inspect_tree, list_trees

    trees = list_trees(arguments.file)
    if not trees:
        raise NtuplemlError(f"{arguments.file}: holds no trees")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_ELSEWHERE, highlight=False)
    readable = [tree.tree_path for tree in trees if tree.problem is None]
    if not readable:
        raise NtuplemlError(str(trees[0].problem))
    wanted = [arguments.tree] if arguments.tree else readable
    contents = [inspect_tree(arguments.file, tree_path) for tree_path in wanted]
    console.print(f"trees of {arguments.file}", markup=False, soft_wrap=True)
    console.print(_tree_table(trees))
    for tree in trees:
        if tree.problem is not None:
            console.print(tree.problem, markup=False, soft_wrap=True)
    for tree_path, branches in zip(wanted, contents, strict=True):
        console.print(f"branches of {tree_path}", markup=False, soft_wrap=True)
        console.print(_branch_table(branches))
        for problem, names in _problems(branches).items():
            console.print(f"cannot be read: {', '.join(names)}: {problem}", markup=False, soft_wrap=True)
    return 0


def _problems(contents: list[BranchContent]) -> dict[str, list[str]]:
    """Branches that cannot be read, by the reason."""
    problems: dict[str, list[str]] = {}
    for content in contents:
        if content.problem is not None:
            problems.setdefault(content.problem, []).append(content.branch.name)
    return problems


def _tree_table(trees: list[TreeContent]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("tree", "kind")
    for header in ("entries", "branches"):
        table.add_column(header, justify="right")
    for tree in trees:
        numbers = [f"{tree.num_entries:,}", f"{tree.num_branches:,}"] if tree.problem is None else ["–", "–"]
        table.add_row(Text(tree.tree_path), tree.kind, *numbers)
    return table


def _branch_table(contents: list[BranchContent]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for header in ("branch", "type"):
        table.add_column(header, overflow="fold")
    for header in ("values", "minimum", "maximum", "NaN"):
        table.add_column(header, justify="right", no_wrap=True)
    for content in contents:
        name, type_name = Text(content.branch.name), Text(content.branch.type_name)
        if not content.is_readable:
            table.add_row(name, type_name, "–", "–", "–", "–")
            continue
        limits = [_number(content.minimum), _number(content.maximum)]
        table.add_row(name, type_name, f"{content.num_values:,}", *limits, f"{content.num_nan:,}")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


COMMANDS = {
    "dataset": Command(
        "Build the fold files that classifiers are trained and tested on.", _dataset, _dataset_arguments
    ),
    "inspect": Command(
        "Show what a ROOT, HDF5 or Parquet file holds: trees, branches, types, entries, ranges and NaN counts.",
        _inspect,
        _inspection_arguments,
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
