#!/usr/bin/env python3
"""Show trees, branches, types, entries, ranges and NaN counts of a ROOT file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from ntupleml.command_line import run
except ModuleNotFoundError:
    sys.stderr.write(f"{sys.argv[0]}: ntupleml is not installed in this environment; source setup.sh first\n")
    sys.exit(2)

if TYPE_CHECKING:
    from rich.table import Table

    from ntupleml.ntuples.inspection import BranchContent, TreeContent

#: Width of a table that goes to a file or a pipe, so that nothing is cut off.
_WIDTH_ELSEWHERE = 160


def main(arguments: argparse.Namespace) -> int:
    """Print the trees of a file, and the branches of the tree asked for, or of all trees."""
    from rich.console import Console

    from ntupleml.errors import NtuplemlError
    from ntupleml.ntuples.inspection import inspect_tree, list_trees

    trees = list_trees(arguments.file)
    if not trees:
        raise NtuplemlError(f"{arguments.file}: holds no trees")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_ELSEWHERE, highlight=False)
    wanted = [arguments.tree] if arguments.tree else [tree.tree_path for tree in trees]
    tables = [_branch_table(inspect_tree(arguments.file, tree_path)) for tree_path in wanted]
    console.print(f"trees of {arguments.file}", markup=False, soft_wrap=True)
    console.print(_tree_table(trees))
    for tree_path, table in zip(wanted, tables, strict=True):
        console.print(f"branches of {tree_path}", markup=False, soft_wrap=True)
        console.print(table)
    return 0


def _tree_table(trees: list[TreeContent]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("tree", "kind")
    for header in ("entries", "branches"):
        table.add_column(header, justify="right")
    for tree in trees:
        table.add_row(Text(tree.tree_path), tree.kind, f"{tree.num_entries:,}", f"{tree.num_branches:,}")
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="ROOT file")
    parser.add_argument("tree", nargs="?", metavar="TREE", help="tree in it, with its folders (default: all trees)")
    sys.exit(run(main, parser))
