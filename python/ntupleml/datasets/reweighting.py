"""Weights with which formulas of the rows that train get a wanted distribution: smooth, bounded, by class."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config.reweight import BoostedConfig
from ntupleml.datasets.boosted_reweighting import Sample
from ntupleml.datasets.choosing import Choice
from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.reweighting_factors import (
    FORMULA,
    LineFactors,
    binned_factors,
    boosted_factors,
    edges_of,
    values_of,
)
from ntupleml.datasets.splitting import RESAMPLING_STREAM, stream_of_tree, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.reading import read_events
from ntupleml.expressions.syntax import ENTRY
from ntupleml.metrics.two_samples import largest_distance
from ntupleml.ntuples.variables import branches_of_formula, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.config.reweight import ReweightConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.datasets.reweighting_factors import Factors
    from ntupleml.ntuples import Chunk, Ntuple

log = logging.getLogger(__name__)

_WANTED = "reweight.to.formula"
#: Rows of a sample, chosen at random, that boosted trees are built from and distances are measured with.
_MOST_ROWS = 2_000_000
#: Bins of the pictures where the config has none.
_BINS_OF_PICTURE = 30


class Thinning(NamedTuple):
    """Leaves rows out at random, so that those that stay have the distribution."""

    factors: Factors
    #: Of the random numbers of the rows, see `uniform_by_entry`.
    stream: tuple[int, ...]

    def branches(self, ntuple: Ntuple) -> list[str]:
        """Branches that the formulas need, checked to be there."""
        return formula_branches(self.factors.formulas, ntuple)

    def keeps(self, chunk: Chunk, where: str) -> NDArray[np.bool_]:
        """Which rows of a chunk stay."""
        shares = self.factors.of_rows(chunk.columns, chunk.num_rows, where) / self.factors.largest
        return np.asarray(uniform_by_entry(chunk.entries, *self.stream) < shares)


class Sums(NamedTuple):
    """Of rows: how many, their weights, and the squares of these."""

    rows: int
    weights: float
    squares: float

    def __add__(self, other: Any) -> Sums:
        return Sums(*(one + more for one, more in zip(self, other, strict=True)))

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> Sums:
        """Those of an array."""
        return cls(len(weights), float(weights.sum()), float(np.square(weights).sum()))

    @property
    def effective(self) -> float:
        """Effective number of rows, (Σw)² / Σw² (Kish, Survey Sampling, 1965)."""
        return self.weights**2 / self.squares if self.squares else 0.0


class Shapes(NamedTuple):
    """Shares of the weights in bins of a formula, before and after, and those that are wanted."""

    edges: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    wanted: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reweighted:
    """What becomes of the rows of some classes."""

    classes: tuple[str, ...]
    before: Sums
    after: Sums
    #: Smallest and largest factor that a row can have; of rows that are left out at random those of their chance.
    smallest_factor: float
    largest_factor: float
    #: By formula: Kolmogorov-Smirnov distance to the wanted distribution, before and after.
    distances: dict[str, tuple[float, float]]
    #: By formula, for the picture.
    shapes: dict[str, Shapes]

    def as_record(self) -> dict[str, Any]:
        """For the record of the training."""
        return {
            "classes": list(self.classes),
            "rows": [self.before.rows, self.after.rows],
            "effective_rows": [self.before.effective, self.after.effective],
            "factors": [self.smallest_factor, self.largest_factor],
            "distances": {formula: list(both) for formula, both in self.distances.items()},
        }


class _Rows(NamedTuple):
    """Rows of a chunk of a tree."""

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    entries: NDArray[np.int64]


def reweighted(config: TrainingConfig, trees: Sequence[ClassTree]) -> list[ClassTree]:
    """Class trees whose rows get the weights of the config's `reweight` block.

    Raises
    ------
    NtuplemlError
        If a formula is none of the branches or not finite, no row is in its range, or no tree can be cut.
    """
    block = config.reweight
    if block is None:
        return list(trees)
    result = list(trees)
    wanted = _wanted(config, block, trees)
    for classes in _samples(config, block):
        members = [index for index, tree in enumerate(trees) if tree.name in classes and tree.num_entries]
        of_sample = [trees[index] for index in members]
        sample, before = _taken(config, block, of_sample)
        factors = _factors(config, block, of_sample, sample, wanted)
        factors = _scaled(config, block, factors, of_sample)
        changed = [_with_factors(config, block, tree, factors) for tree in of_sample]
        sample_after, after = _taken(config, block, changed)
        if block.resample:
            changed, after = _kept(config, block, changed, before, after)
        shapes = _shapes(block, sample, sample_after, wanted)
        distances = {
            formula: (_distance(block, index, sample, wanted), _distance(block, index, sample_after, wanted))
            for index, formula in enumerate(block.formula)
        }
        done = Reweighted(tuple(classes), before, after, factors.smallest, factors.largest, distances, shapes)
        _report(block, done)
        for index, tree in zip(members, changed, strict=True):
            result[index] = tree._replace(reweighted=done)
    return result


def _kept(
    config: TrainingConfig, block: ReweightConfig, trees: list[ClassTree], before: Sums, after: Sums
) -> tuple[list[ClassTree], Sums]:
    """Trees with the rows that are kept, which weigh as much together as all did, and the sums of these."""
    if after.weights * before.weights <= 0:
        raise NtuplemlError(
            f"reweight: {after.rows} rows of '{trees[0].name}' with a sum of weights of {after.weights:.6g} are left; "
            "weight them, without resample"
        )
    scale = before.weights / after.weights
    same = LineFactors.constant(tuple(block.formula), scale)
    counted = [tree._replace(factors=same, num_entries=_number(config, block, tree)) for tree in trees]
    return counted, Sums(after.rows, before.weights, after.squares * scale**2)


def _number(config: TrainingConfig, block: ReweightConfig, tree: ClassTree) -> int:
    return sum(len(rows.weights) for rows in _read(config, block, tree))


def _samples(config: TrainingConfig, block: ReweightConfig) -> list[list[str]]:
    """Classes that get the distribution together."""
    classes = list(block.of or config.classes)
    wanted = block.to.class_
    if wanted in classes:
        classes.remove(wanted)
    together = config.target_kind != "classes" if block.together is None else block.together
    return [classes] if together else [[name] for name in classes]


def _read(config: TrainingConfig, block: ReweightConfig, tree: ClassTree) -> Iterator[_Rows]:
    """Rows of a tree that are used, chunk by chunk."""
    choice = tree.choice
    with open_class_tree(tree.file.path, tree.name, hypotheses=tree.hypotheses) as ntuple:
        more = [*formula_branches(block.formula, ntuple), *(choice.branches(ntuple, tree.name) if choice else [])]
        choose = None if choice is None else partial(choice.rows, name=tree.name)
        for chunk in read_events(ntuple, (), weights=config.event_weights, more=more or [ENTRY], choose=choose):
            values = values_of(block.formula, chunk.columns, len(chunk), tree.where)
            weights = np.where(np.isfinite(chunk.weights), chunk.weights, 0)  # refused with the inputs
            if tree.factors is not None:
                weights = weights * tree.factors(values)
            yield _Rows(values, weights, chunk.start + chunk.rows)


def formula_branches(formulas: Sequence[str], ntuple: Ntuple) -> list[str]:
    """Branches that formulas need, checked to be there."""
    needed = [name for formula in formulas for name in branches_of_formula(parsed(formula, FORMULA), ntuple)]
    return list(dict.fromkeys(needed))


def _taken(config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree]) -> tuple[Sample, Sums]:
    """Rows of trees, at most `_MOST_ROWS` of them, and the sums of all."""
    total = Sums(0, 0.0, 0.0)
    share = _MOST_ROWS / max(sum(tree.num_entries for tree in trees), 1)
    parts = [(np.empty((0, len(block.formula))), np.empty(0))]
    for tree in trees:
        stream = stream_of_tree(config.seed_of_data, tree.file.fold, tree.file.condition, tree.name, RESAMPLING_STREAM)
        for rows in _read(config, block, tree):
            total += Sums.of(rows.weights)
            # another stream than that by which rows are left out
            chosen = ... if share >= 1 else uniform_by_entry(rows.entries, *stream, 1) < share
            parts.append((rows.values[chosen], rows.weights[chosen]))
    values, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Sample(values, weights), total


class _Wanted(NamedTuple):
    """A distribution that is wanted: rows of a class, or contents of bins up to a factor."""

    rows: Sample | None
    contents: NDArray[np.float64]


def _wanted(config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree]) -> _Wanted:
    if block.to.class_ is None:
        return _Wanted(None, _contents_of_formula(block))
    of_class = [tree for tree in trees if tree.name == block.to.class_ and tree.num_entries]
    sample, sums = _taken(config, block, of_class)
    if sums.weights <= 0 or sample.weights.sum() <= 0:
        raise NtuplemlError(
            f"reweight.to.class: the sum of weights of '{block.to.class_}' is {sums.weights:.6g}, so it has no "
            "distribution; choose another class"
        )
    return _Wanted(sample, np.empty(0) if block.range is None else _contents(config, block, of_class))


def _contents(config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree]) -> NDArray[np.float64]:
    """Sums of weights in the bins, shape (n_bins of the first formula, of the second, …)."""
    sums = np.zeros(block.numbers_of_bins)
    for tree in trees:
        for rows in _read(config, block, tree):
            sums += np.histogramdd(rows.values, edges_of(block), weights=rows.weights)[0]
    return sums


def _contents_of_formula(block: ReweightConfig) -> NDArray[np.float64]:
    assert block.to.formula is not None
    assert block.range is not None
    names = ["x"] if len(block.formula) == 1 else [f"x{index}" for index, _ in enumerate(block.formula, start=1)]
    formula = parsed(block.to.formula, _WANTED)
    formula.check_branches(names)
    grid = np.meshgrid(*((edges[1:] + edges[:-1]) / 2 for edges in edges_of(block)), indexing="ij")
    columns = {name: one.reshape(-1) for name, one in zip(names, grid, strict=True)}
    size = grid[0].size
    wanted = np.broadcast_to(np.asarray(formula.per_event(columns, size), np.float64), (size,))
    if not np.isfinite(wanted).all() or (wanted < 0).any() or not (wanted > 0).any():
        between = " and ".join(f"between {low:g} and {high:g}" for low, high in block.range)
        raise NtuplemlError(
            f"{_WANTED}: '{block.to.formula}' is no distribution {between}: it is negative, not finite or 0; fix it"
        )
    return wanted.reshape(block.numbers_of_bins)


def _factors(
    config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree], sample: Sample, wanted: _Wanted
) -> Factors:
    names = "', '".join(dict.fromkeys(tree.name for tree in trees))
    if not isinstance(block.method, BoostedConfig):
        return binned_factors(block, _contents(config, block, trees), wanted.contents, names)
    assert wanted.rows is not None
    _require_positive(names, float(sample.weights.sum()))
    seed = stream_of_tree(config.seed_of_data, trees[0].file.fold, None, names, RESAMPLING_STREAM)
    return boosted_factors(block, block.method, sample, wanted.rows, seed, names)


def _require_positive(names: str, before: float, after: float | None = None) -> None:
    if before <= 0 or (after is not None and after <= 0):
        with_factors = "" if after is None else f", and {after:.6g} with the factors"
        raise NtuplemlError(
            f"reweight: the sum of weights of '{names}' is {before:.6g}{with_factors}; "
            "negative weights leave no distribution to change"
        )


def _scaled(config: TrainingConfig, block: ReweightConfig, factors: Factors, trees: Sequence[ClassTree]) -> Factors:
    """The same factors times a number with which the sum of weights stays."""
    before = after = 0.0
    for tree in trees:
        for rows in _read(config, block, tree):
            before += float(rows.weights.sum())
            after += float((rows.weights * factors(rows.values)).sum())
    _require_positive(trees[0].name, before, after)
    return factors.scaled(before / after)


def _with_factors(config: TrainingConfig, block: ReweightConfig, tree: ClassTree, factors: Factors) -> ClassTree:
    if not block.resample:
        return tree._replace(factors=factors)
    of_tree = (tree.file.fold, tree.file.condition, tree.name)
    thinning = Thinning(factors, stream_of_tree(config.seed_of_data, *of_tree, RESAMPLING_STREAM))
    choice = tree.choice or Choice(None, stream_of_tree(config.seed_of_data, *of_tree, RESAMPLING_STREAM))
    return tree._replace(choice=choice._replace(thinning=thinning))


def _marginal(wanted: _Wanted, index: int) -> NDArray[np.float64]:
    """Wanted contents of the bins of one formula."""
    others = tuple(axis for axis in range(wanted.contents.ndim) if axis != index)
    return np.asarray(wanted.contents.sum(axis=others))


def _inside(block: ReweightConfig, sample: Sample) -> Sample:
    """Rows of a sample that are in the ranges of all formulas."""
    if block.range is None:
        return sample
    low, high = np.array(block.range).T
    rows = ((sample.values >= low) & (sample.values <= high)).all(axis=1)
    return Sample(sample.values[rows], sample.weights[rows])


def _distance(block: ReweightConfig, index: int, sample: Sample, wanted: _Wanted) -> float:
    """Kolmogorov-Smirnov distance of a formula to what is wanted: over all rows of a class, else at edges of bins."""
    if wanted.rows is not None:
        return largest_distance(
            [sample.values[:, index], wanted.rows.values[:, index]], [sample.weights, wanted.rows.weights]
        )
    found = _share_in_bins(_inside(block, sample), index, edges_of(block)[index])
    expected = _marginal(wanted, index)
    return float(np.abs(np.cumsum(found) - np.cumsum(expected) / expected.sum()).max())


def _share_in_bins(sample: Sample, index: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.histogram(sample.values[:, index], edges, weights=sample.weights)[0]
    total = found.sum()
    return np.asarray(found / total if total > 0 else np.zeros_like(found), np.float64)


def _shapes(block: ReweightConfig, before: Sample, after: Sample, wanted: _Wanted) -> dict[str, Shapes]:
    shapes = {}
    for index, formula in enumerate(block.formula):
        if block.range is None:
            assert wanted.rows is not None
            values = np.concatenate([before.values[:, index], wanted.rows.values[:, index]])
            low, high = np.quantile(values, [0.005, 0.995])
            edges = np.linspace(low, high if high > low else low + 1, _BINS_OF_PICTURE + 1)
        else:
            edges = edges_of(block)[index]
        if wanted.rows is None:
            expected = _marginal(wanted, index) / wanted.contents.sum()
        else:
            expected = _share_in_bins(_inside(block, wanted.rows), index, edges)
        found = [_share_in_bins(_inside(block, one), index, edges) for one in (before, after)]
        shapes[formula] = Shapes(edges, found[0], found[1], expected)
    return shapes


def _report(block: ReweightConfig, done: Reweighted) -> None:
    log.info(
        "reweight: %s of '%s': effective number of rows %.0f before, %.0f after, factors %.3g to %.3g%s; distance to "
        "what is wanted: %s",
        ", ".join(block.formula),
        "', '".join(done.classes),
        done.before.effective,
        done.after.effective,
        done.smallest_factor,
        done.largest_factor,
        f", {done.after.rows} of {done.before.rows} rows are kept" if block.resample else "",
        ", ".join(
            f"{formula} {before:.3f} before, {after:.3f} after" for formula, (before, after) in done.distances.items()
        ),
    )
