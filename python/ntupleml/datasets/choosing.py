"""Which rows of the classes a training uses: those that pass its selections, and as many of each class where asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.datasets.excluding import EXCLUDE, TrainedKeys, trained_keys
from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.splitting import CHOICE_STREAM, stream_of_tree, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples.variables import branches_of_formula, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.datasets.reweighting import Thinning
    from ntupleml.expressions import Expression
    from ntupleml.ntuples import Chunk, Ntuple

log = logging.getLogger(__name__)


class Choice(NamedTuple):
    """Which rows of a tree are used."""

    #: Rows that fail it are not.
    selection: str | None
    #: Of the random numbers of the rows, see `uniform_by_entry`.
    stream: tuple[int, ...]
    #: Rows with a larger random number are not used.
    largest: float = 1.0
    #: Leaves out further rows at random.
    thinning: Thinning | None = None
    #: Rows that are among these are not used.
    trained: TrainedKeys | None = None

    def formula(self, name: str) -> Expression | None:
        """The selection of a class, parsed."""
        return None if self.selection is None else parsed(self.selection, f"selections.{name}")

    def branches(self, ntuple: Ntuple, name: str) -> list[str]:
        """Branches that the selection of a class and the keys need, checked to be there."""
        formula = self.formula(name)
        needed = [] if formula is None else branches_of_formula(formula, ntuple)
        for other in (self.thinning, self.trained):
            needed += [] if other is None else other.branches(ntuple)
        return needed

    def rows(self, chunk: Chunk, name: str) -> NDArray[np.intp]:
        """Positions in a chunk of the rows that are used."""
        used = self.numbers(chunk.entries) <= self.largest
        formula = self.formula(name)
        if formula is not None:
            used &= formula.passes(chunk.columns, chunk.num_rows)
        if self.thinning is not None:
            used &= self.thinning.keeps(chunk, name)
        rows = np.flatnonzero(used)
        return rows if self.trained is None else rows[~self.trained.has(chunk.columns, rows, name)]

    def numbers(self, entries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Random number of each row."""
        return uniform_by_entry(entries, *self.stream)


def chosen_trees(config: TrainingConfig, trees: Sequence[ClassTree]) -> list[ClassTree]:
    """Class trees with the rows that a training uses, whose number they have then.

    Raises
    ------
    NtuplemlError
        If a selection is no formula of the branches, or leaves no row of a class.
    """
    if not config.selections and not config.equal_numbers and not config.exclude_trained_by:
        return list(trees)
    trained = trained_keys(config.exclude_trained_by, config.where)
    of_all = config.equal_numbers or trained is not None
    chosen = [
        tree._replace(choice=_choice(config, tree, trained)) if tree.name in config.selections or of_all else tree
        for tree in trees
    ]
    numbers = _numbers(chosen, only_counted=not config.equal_numbers)
    for condition in dict.fromkeys(tree.file.condition for tree in trees):
        groups: dict[str, list[int]] = {}
        for index, tree in enumerate(chosen):
            if tree.file.condition == condition:
                groups.setdefault(tree.name, []).append(index)
        for members in groups.values():
            for index in members:
                chosen[index] = chosen[index]._replace(num_entries=numbers[index].passing)
            _report(config, [chosen[index] for index in members])
        if config.equal_numbers:
            smallest = min(sum(chosen[index].num_entries for index in members) for members in groups.values())
            for members in groups.values():
                _shorten(chosen, members, numbers, smallest)
            log.info(
                "equal_numbers%s: %d rows of each class, chosen at random",
                "" if condition is None else f" in {condition}",
                smallest,
            )
    return chosen


def _choice(config: TrainingConfig, tree: ClassTree, trained: TrainedKeys | None) -> Choice:
    stream = stream_of_tree(config.seed_of_data, tree.file.fold, tree.file.condition, tree.name, CHOICE_STREAM)
    return Choice(config.selections.get(tree.name), stream, trained=trained)


class _Numbers(NamedTuple):
    """Rows of a tree that pass its selection: how many, and the smallest of their random numbers."""

    passing: int
    smallest: NDArray[np.float64]


def _numbers(trees: Sequence[ClassTree], *, only_counted: bool) -> list[_Numbers]:
    """Those of all trees; no more random numbers are kept than a smaller class can have rows."""
    by_class: dict[tuple[str | None, str], list[int]] = {}
    for index, tree in enumerate(trees):
        by_class.setdefault((tree.file.condition, tree.name), []).append(index)
    found = [_Numbers(tree.num_entries, np.empty(0)) for tree in trees]
    limits: dict[str | None, int] = {}
    for (condition, _), members in sorted(
        by_class.items(), key=lambda item: sum(trees[index].num_entries for index in item[1])
    ):
        for index in members:
            if trees[index].choice is not None and trees[index].num_entries:
                found[index] = _numbers_of(trees[index], 0 if only_counted else limits.get(condition))
        count = sum(found[index].passing for index in members)
        limits[condition] = min(count, limits.get(condition, count))
    return found


def _numbers_of(tree: ClassTree, limit: int | None) -> _Numbers:
    count, smallest = 0, np.empty(0)
    for part in _passing(tree):
        count += len(part)
        smallest = np.concatenate([smallest, part])
        if limit is not None and len(smallest) > limit:
            smallest = np.partition(smallest, limit - 1)[:limit] if limit else smallest[:0]
    return _Numbers(count, smallest)


def _passing(tree: ClassTree) -> Iterator[NDArray[np.float64]]:
    """Random numbers of the rows that pass the selection of a tree, chunk by chunk."""
    choice = tree.choice
    assert choice is not None
    with open_class_tree(tree.file.path, tree.name) as ntuple:
        for chunk in ntuple.chunks(choice.branches(ntuple, tree.name) or [ENTRY]):
            yield choice.numbers(chunk.entries[choice.rows(chunk, tree.name)])


def _report(config: TrainingConfig, trees: Sequence[ClassTree]) -> None:
    """Say how many rows of a class pass its selection, and refuse if there are none."""
    name = trees[0].name
    keys = [f"selections.{name}"] if name in config.selections else []
    keys += [EXCLUDE] if config.exclude_trained_by else []
    if not keys:
        return
    passing, all_rows = sum(tree.num_entries for tree in trees), sum(tree.num_stored for tree in trees)
    if not passing:
        passed = [f"pass '{config.selections[name]}'"] if name in config.selections else []
        passed += ["are others than those trainings saw"] if config.exclude_trained_by else []
        raise NtuplemlError(
            f"{trees[0].where}: {' and '.join(keys)}: none of its {all_rows} rows {' and '.join(passed)}; "
            f"{'loosen it' if keys[0] != EXCLUDE else 'leave one out'}"
        )
    log.info("%s: %d of %d rows of %s are used", " and ".join(keys), passing, all_rows, trees[0].where)


def _shorten(trees: list[ClassTree], members: Sequence[int], numbers: Sequence[_Numbers], wanted: int) -> None:
    """Leave as many rows of a class as are wanted: those with the smallest random numbers."""
    of_class = np.concatenate([numbers[index].smallest for index in members])
    largest = float(np.partition(of_class, wanted - 1)[wanted - 1])
    for index in members:
        choice = trees[index].choice
        assert choice is not None
        kept = int(np.count_nonzero(numbers[index].smallest <= largest))
        trees[index] = trees[index]._replace(choice=choice._replace(largest=largest), num_entries=kept)
