"""The verb that shows what is in files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.commands.command import (
    Command,
    positive_number,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import argparse

    from rich.table import Table

    from ntupleml.ntuples.inspection import BranchContent
    from ntupleml.ntuples.sources import TreeContent

#: Width of a table that goes to a file or a pipe, so that nothing is cut off.
_WIDTH_ELSEWHERE = 160


def _inspection_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="ROOT, HDF5 or Parquet file")
    parser.add_argument(
        "tree", nargs="?", metavar="TREE", help="tree in it, with its folders, or group of HDF5 (default: all)"
    )
    parser.add_argument("--head", type=positive_number, metavar="N", help="show the first N entries too")
    parser.add_argument("--describe", action="store_true", help="show mean and standard deviation too")


def _inspect(arguments: argparse.Namespace) -> int:
    """Print the trees of a file, and the branches of the tree asked for, or of all trees."""
    from rich.console import Console

    from ntupleml.ntuples.inspection import first_entries, inspect_tree, list_trees

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
        console.print(_branch_table(branches, arguments.describe))
        for problem, names in _problems(branches).items():
            console.print(f"cannot be read: {', '.join(names)}: {problem}", markup=False, soft_wrap=True)
        if arguments.head:
            console.print(f"first entries of {tree_path}", markup=False, soft_wrap=True)
            console.print(_head_table(first_entries(arguments.file, tree_path, arguments.head)))
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


def _branch_table(contents: list[BranchContent], describe: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for header in ("branch", "type"):
        table.add_column(header, overflow="fold")
    headers = ["values", "minimum", "maximum", "NaN", *(("mean", "deviation") if describe else ())]
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    for content in contents:
        name, type_name = Text(content.branch.name), Text(content.branch.type_name)
        if not content.is_readable:
            table.add_row(name, type_name, *["–"] * len(headers))
            continue
        limits = [_number(content.minimum), _number(content.maximum)]
        mean = None if content.minimum is None else content.mean
        moments = [_number(mean), _number(content.deviation)] if describe else []
        table.add_row(name, type_name, f"{content.num_values:,}", *limits, f"{content.num_nan:,}", *moments)
    return table


def _head_table(values: dict[str, list[Any]]) -> Table:
    """A line per branch, a column per entry."""
    from rich.table import Table
    from rich.text import Text

    table = Table("branch")
    for entry in range(max(map(len, values.values()), default=0)):
        table.add_column(str(entry), justify="right", overflow="fold")
    for name, entries in values.items():
        table.add_row(Text(name), *(Text(_value(value)) for value in entries))
    return table


def _value(value: Any) -> str:
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list) else _number(value)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


COMMANDS = {
    "inspect": Command(
        "Show what a ROOT, HDF5 or Parquet file holds: trees, branches, types, entries, ranges and NaN counts.",
        _inspect,
        _inspection_arguments,
    ),
}
