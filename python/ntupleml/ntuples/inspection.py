"""What is in a file: its trees, groups or its one table, and the range of each branch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.ntuples.formats import open_tables
from ntupleml.ntuples.reading import open_ntuple
from ntupleml.ntuples.root_opinion import verdict
from ntupleml.ntuples.sources import TreeContent, UnreadableBranchError, as_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.ntuples.branches import Branch
    from ntupleml.ntuples.reading import Ntuple

#: Branches that are read at a time: wide trees stay within the memory without shrinking the chunks.
_BRANCHES_AT_A_TIME = 100


@dataclass
class BranchContent:
    """A branch and the range of its values."""

    branch: Branch
    #: Of the values that are not NaN; None where there are none.
    minimum: int | float | None = None
    maximum: int | float | None = None
    #: Number of values: of entries, or for a vector branch of all elements.
    num_values: int = 0
    #: How many of them are NaN.
    num_nan: int = 0
    #: Of those that are not NaN: mean, and sum of the squared differences from it.
    mean: float = 0.0
    squares: float = 0.0
    #: False for strings and objects, and where there is a problem.
    is_readable: bool = True
    #: Why a branch cannot be read.
    problem: str | None = None

    @property
    def deviation(self) -> float | None:
        """Standard deviation of a sample (n − 1 in the denominator); None for fewer than two values."""
        number = self.num_values - self.num_nan
        return None if number < 2 else math.sqrt(self.squares / (number - 1))

    def refuse(self, problem: str | None) -> None:
        """Note that the branch cannot be read."""
        self.is_readable, self.problem = False, problem
        self.minimum = self.maximum = None
        self.num_values = self.num_nan = 0
        self.mean = self.squares = 0.0


def list_trees(path: str | Path) -> list[TreeContent]:
    """Tables of a ROOT, HDF5 or Parquet file, those in folders included.

    Raises
    ------
    NtuplemlError
        If the file cannot be read.
    """
    with open_tables(path) as file:
        return file.tables()


def has_table(path: str | Path, tree_path: str) -> bool:
    """Whether a file has a table of this path; a Parquet file is one, whatever it is called."""
    trees = list_trees(path)
    return any(tree.kind == "Parquet" or tree.tree_path.strip("/") == tree_path.strip("/") for tree in trees)


def only_tree(path: str | Path, usual: str = "", option: str = "--tree") -> str:
    """The only tree of a file that can be read, or the usual one.

    Parameters
    ----------
    usual : str, optional
        What is taken of several.
    option : str, optional
        What a user can choose with, for the message.

    Raises
    ------
    NtuplemlError
        If there is none, or several.
    """
    trees = {tree.tree_path: tree.kind for tree in list_trees(path) if tree.problem is None}
    if len(trees) == 1:
        ((tree_path, kind),) = trees.items()
        return "" if kind == "Parquet" else tree_path
    if usual in trees:
        return usual
    what = f"holds several trees; choose one with {option}" if trees else "holds no tree that can be read"
    raise NtuplemlError(f"{path}: {what}{did_you_mean('', trees)}")


def inspect_tree(path: str | Path, tree_path: str) -> list[BranchContent]:
    """Type, range and number of NaN of each branch of a tree, read in chunks.

    Returns
    -------
    list of BranchContent
        In the order of the file. Branches of strings and objects have no range.

    Raises
    ------
    NtuplemlError
        If the file or the tree cannot be read.
    """
    with open_ntuple(path, tree_path) as ntuple:
        contents = {name: BranchContent(ntuple.branches[name]) for name in ntuple.main_branches}
        for name, content in contents.items():
            if name in ntuple.duplicates:
                content.refuse("the tree has several branches of this name")
            elif content.branch.kind == "other":
                content.refuse(content.branch.problem)
        verdicts: dict[str, str] = {}
        for names in _groups([name for name, content in contents.items() if content.is_readable]):
            _look_at(ntuple, names, contents, verdicts)
        return list(contents.values())


def first_entries(path: str | Path, tree_path: str, number: int) -> dict[str, list[Any]]:
    """Values of the first entries of each branch that can be read; lists are lists.

    Raises
    ------
    NtuplemlError
        If the file, the tree or one of these values cannot be read.
    """
    with open_ntuple(path, tree_path) as ntuple:
        readable = [
            name
            for name in ntuple.main_branches
            if ntuple.branches[name].kind != "other" and name not in ntuple.duplicates
        ]
        values: dict[str, list[Any]] = {name: [] for name in readable}
        for names in _groups(readable):
            for chunk in ntuple.chunks(names, number):
                values |= {name: chunk.columns[name].tolist() for name in names}
                break
        return values


def _groups(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _BRANCHES_AT_A_TIME):
        yield names[start : start + _BRANCHES_AT_A_TIME]


def _look_at(ntuple: Ntuple, names: list[str], contents: dict[str, BranchContent], verdicts: dict[str, str]) -> None:
    """Find the ranges of some branches; one that cannot be read is noted, and the others are read again without it."""
    try:
        for chunk in ntuple.chunks(names):
            for name in names:
                _widen(contents[name], as_numpy(chunk.columns[name]))
    except UnreadableBranchError as error:
        if error.reason not in verdicts:  # ROOT is asked once about what is wrong with many branches
            verdicts[error.reason] = "" if error.place is None else f"; {verdict(error.place)}"
        contents[error.branch].refuse(f"{error.reason}{verdicts[error.reason]}")
        others = [name for name in names if name != error.branch]
        for name in others:
            contents[name] = BranchContent(contents[name].branch)
        _look_at(ntuple, others, contents, verdicts)


def _widen(content: BranchContent, values: NDArray[Any]) -> None:
    """Take more values into the range of a branch."""
    content.num_values += len(values)
    if values.dtype.kind == "f":
        is_nan = np.isnan(values)
        content.num_nan += int(is_nan.sum())
        values = values[~is_nan]
    if len(values) == 0:
        return
    _add_moments(content, values)
    # Python's own numbers compare exactly where uint64 and int64 would meet as floats.
    low, high = values.min().item(), values.max().item()
    content.minimum = low if content.minimum is None else min(low, content.minimum)
    content.maximum = high if content.maximum is None else max(high, content.maximum)


def _add_moments(content: BranchContent, values: NDArray[Any]) -> None:
    """Take more values into mean and squares.

    Chan, Golub and LeVeque, The American Statistician 37 (1983) 242: no difference of large sums.
    """
    before = content.num_values - content.num_nan - len(values)
    with np.errstate(all="ignore"):  # infinite values have no spread
        mean = float(values.mean(dtype=np.float64))
        squares = float(np.square(values - mean, dtype=np.float64).sum())
        shift = np.float64(mean) - content.mean
        total = before + len(values)
        content.squares += squares + float(shift * shift) * before * len(values) / total
        content.mean += float(shift) * len(values) / total
