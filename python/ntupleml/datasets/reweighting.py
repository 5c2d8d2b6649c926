"""Weights with which a formula of the rows that train gets a wanted distribution: smooth, bounded, by class."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.choosing import Choice
from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.splitting import RESAMPLING_STREAM, stream_of_tree, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.reading import read_events
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples.variables import branches_of_formula, parsed, variable_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.config.reweight import ReweightConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.ntuples import Chunk, Ntuple

log = logging.getLogger(__name__)

#: A spline has so many points per bin, between which it is straight.
_POINTS_PER_BIN = 8
#: Bins with entries that a smoothing spline needs.
_LEAST_FOR_SPLINE = 5
_FORMULA = "reweight.formula"
_WANTED = "reweight.to.formula"


@dataclass(frozen=True, eq=False)
class Factors:
    """The factor of a row as a function of the formula: straight lines of its logarithm between points."""

    formula: str
    #: Shape (n_points,).
    points: NDArray[np.float64]
    logarithms: NDArray[np.float64]
    #: Factor of all rows, with which the sum of weights stays.
    scale: float = 1.0

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors of rows, shape (n_rows,), by the values of their formula."""
        return np.exp(np.interp(values, self.points, self.logarithms)) * self.scale

    @property
    def largest(self) -> float:
        """Largest factor that a row can have."""
        return float(np.exp(self.logarithms.max())) * self.scale

    @property
    def smallest(self) -> float:
        """Smallest factor that a row can have."""
        return float(np.exp(self.logarithms.min())) * self.scale

    def of_rows(self, columns: Any, number: int, where: str) -> NDArray[np.float64]:
        """Factors of the rows of a chunk."""
        return self(values_of(self.formula, columns, number, where))


class Thinning(NamedTuple):
    """Leaves rows out at random, so that those that stay have the distribution."""

    factors: Factors
    #: Of the random numbers of the rows, see `uniform_by_entry`.
    stream: tuple[int, ...]

    def branches(self, ntuple: Ntuple) -> list[str]:
        """Branches that the formula needs, checked to be there."""
        return formula_branches(self.factors.formula, ntuple)

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


class Reweighted(NamedTuple):
    """What becomes of the rows of some classes."""

    classes: tuple[str, ...]
    before: Sums
    after: Sums
    #: Smallest and largest factor that a row can have; of rows that are left out at random those of their chance.
    smallest_factor: float
    largest_factor: float

    def as_record(self) -> dict[str, Any]:
        """For the record of the training."""
        return {
            "classes": list(self.classes),
            "rows": [self.before.rows, self.after.rows],
            "effective_rows": [self.before.effective, self.after.effective],
            "factors": [self.smallest_factor, self.largest_factor],
        }


def values_of(formula: str, columns: Any, number: int, where: str) -> NDArray[np.float64]:
    """Values of the formula, one for each row.

    Raises
    ------
    NtuplemlError
        If it has not one value per row, or one that is not finite.
    """
    values = np.asarray(variable_values(formula, columns, number, where), np.float64)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
        raise NtuplemlError(
            f"{where}: {_FORMULA}: '{formula}' is NaN or infinite in {bad} of {number} rows; cut them away in the "
            "dataset config, or fix the formula"
        )
    return values


def reweighted(config: TrainingConfig, trees: Sequence[ClassTree]) -> list[ClassTree]:
    """Class trees whose rows get the weights of the config's `reweight` block.

    Raises
    ------
    NtuplemlError
        If the formula is none of the branches or not finite, or no row is in its range.
    """
    block = config.reweight
    if block is None:
        return list(trees)
    result = list(trees)
    for classes in _samples(config, block):
        members = [index for index, tree in enumerate(trees) if tree.name in classes and tree.num_entries]
        of_sample = [trees[index] for index in members]
        contents = _contents(config, block, of_sample)
        factors = _factors(block, contents, _wanted(config, block, trees), "', '".join(classes))
        factors = _scaled(config, factors, of_sample)
        changed = [_with_factors(config, block, tree, factors) for tree in of_sample]
        before, after = _sums(config, block, of_sample), _sums(config, block, changed)
        if block.resample:
            changed, after = _kept(config, block, changed, before, after)
        done = Reweighted(tuple(classes), before, after, factors.smallest, factors.largest)
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
    same = Factors(block.formula, np.zeros(1), np.zeros(1), scale)
    counted = [tree._replace(factors=same, num_entries=_sums(config, block, [tree]).rows) for tree in trees]
    return counted, Sums(after.rows, before.weights, after.squares * scale**2)


def _samples(config: TrainingConfig, block: ReweightConfig) -> list[list[str]]:
    """Classes that get the distribution together."""
    classes = list(block.of or config.classes)
    wanted = block.to.class_
    if wanted in classes:
        classes.remove(wanted)
    together = config.target_kind != "classes" if block.together is None else block.together
    return [classes] if together else [[name] for name in classes]


def _read(config: TrainingConfig, block: ReweightConfig, tree: ClassTree) -> Iterator[tuple[Any, Any]]:
    """Values of the formula and weights of the rows of a tree that are used, chunk by chunk."""
    choice = tree.choice
    with open_class_tree(tree.file.path, tree.name, hypotheses=tree.hypotheses) as ntuple:
        more = [*formula_branches(block.formula, ntuple), *(choice.branches(ntuple, tree.name) if choice else [])]
        choose = None if choice is None else partial(choice.rows, name=tree.name)
        for chunk in read_events(ntuple, (), weights=config.event_weights, more=more or [ENTRY], choose=choose):
            values = values_of(block.formula, chunk.columns, len(chunk), tree.where)
            weights = np.where(np.isfinite(chunk.weights), chunk.weights, 0)  # refused with the inputs
            yield values, weights if tree.factors is None else weights * tree.factors(values)


def formula_branches(formula: str, ntuple: Ntuple) -> list[str]:
    """Branches that the formula needs, checked to be there."""
    return branches_of_formula(parsed(formula, _FORMULA), ntuple)


def _edges(block: ReweightConfig) -> NDArray[np.float64]:
    low, high = block.range
    return np.linspace(low, high, block.bins + 1)


def _contents(config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree]) -> NDArray[np.float64]:
    """Sums of weights in the bins, shape (n_bins,)."""
    sums = np.zeros(block.bins)
    for tree in trees:
        for values, weights in _read(config, block, tree):
            sums += np.histogram(values, _edges(block), weights=weights)[0]
    return sums


def _wanted(config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree]) -> NDArray[np.float64]:
    """Wanted contents of the bins, up to a factor."""
    if block.to.class_ is not None:
        return _contents(config, block, [tree for tree in trees if tree.name == block.to.class_ and tree.num_entries])
    assert block.to.formula is not None
    formula = parsed(block.to.formula, _WANTED)
    formula.check_branches(["x"])
    edges = _edges(block)
    centres = (edges[1:] + edges[:-1]) / 2
    wanted = np.broadcast_to(np.asarray(formula.per_event({"x": centres}, len(centres)), np.float64), centres.shape)
    if not np.isfinite(wanted).all() or (wanted < 0).any() or not (wanted > 0).any():
        raise NtuplemlError(
            f"{_WANTED}: '{block.to.formula}' is no distribution between {block.range[0]:g} and {block.range[1]:g}: "
            "it is negative, not finite or 0; fix it"
        )
    return wanted


def _factors(block: ReweightConfig, contents: NDArray[np.float64], wanted: NDArray[np.float64], names: str) -> Factors:
    """Ratio of the wanted and the found contents, where both are positive, as a smooth function."""
    filled = (contents > 0) & (wanted > 0)
    if not filled.any():
        raise NtuplemlError(
            f"reweight.range: no row of '{names}' with a positive sum of weights is between {block.range[0]:g} and "
            f"{block.range[1]:g}; choose another range"
        )
    edges = _edges(block)
    centres = ((edges[1:] + edges[:-1]) / 2)[filled]
    logarithms = np.log(wanted[filled] / wanted.sum() * contents.sum() / contents[filled])
    if block.method == "histogram":
        return Factors(block.formula, centres, np.minimum(logarithms, np.log(block.largest)))
    if len(centres) < _LEAST_FOR_SPLINE:
        raise NtuplemlError(
            f"reweight.method: a spline needs {_LEAST_FOR_SPLINE} bins with rows, but '{names}' fills {len(centres)}; "
            "give more bins, or method: histogram"
        )
    from scipy.interpolate import make_smoothing_spline

    spline = make_smoothing_spline(centres, logarithms, contents[filled] / contents[filled].mean())
    points = np.linspace(centres[0], centres[-1], block.bins * _POINTS_PER_BIN)
    return Factors(block.formula, points, np.minimum(spline(points), np.log(block.largest)))


def _scaled(config: TrainingConfig, factors: Factors, trees: Sequence[ClassTree]) -> Factors:
    """The same factors times a number with which the sum of weights stays."""
    assert config.reweight is not None
    before = after = 0.0
    for tree in trees:
        for values, weights in _read(config, config.reweight, tree):
            before += float(weights.sum())
            after += float((weights * factors(values)).sum())
    if before <= 0 or after <= 0:
        raise NtuplemlError(
            f"reweight: the sum of weights of '{trees[0].name}' is {before:.6g}, and {after:.6g} with the factors; "
            "negative weights leave no distribution to change"
        )
    return Factors(factors.formula, factors.points, factors.logarithms, before / after)


def _with_factors(config: TrainingConfig, block: ReweightConfig, tree: ClassTree, factors: Factors) -> ClassTree:
    if not block.resample:
        return tree._replace(factors=factors)
    of_tree = (tree.file.fold, tree.file.condition, tree.name)
    thinning = Thinning(factors, stream_of_tree(config.seed_of_data, *of_tree, RESAMPLING_STREAM))
    choice = tree.choice or Choice(None, stream_of_tree(config.seed_of_data, *of_tree, RESAMPLING_STREAM))
    return tree._replace(choice=choice._replace(thinning=thinning))


def _sums(config: TrainingConfig, block: ReweightConfig, trees: Sequence[ClassTree]) -> Sums:
    total = Sums(0, 0.0, 0.0)
    for tree in trees:
        for _, weights in _read(config, block, tree):
            total += Sums.of(weights)
    return total


def _report(block: ReweightConfig, done: Reweighted) -> None:
    log.info(
        "reweight: %s of '%s': effective number of rows %.0f before, %.0f after, factors %.3g to %.3g%s",
        block.formula,
        "', '".join(done.classes),
        done.before.effective,
        done.after.effective,
        done.smallest_factor,
        done.largest_factor,
        f", {done.after.rows} of {done.before.rows} rows are kept" if block.resample else "",
    )
