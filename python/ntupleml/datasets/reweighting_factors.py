"""Factors of rows by the values of formulas: lines between bins, grids of several formulas, boosted trees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ntupleml.datasets.boosted_reweighting import fit_trees
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.variables import variable_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.config.reweight import BoostedConfig, ReweightConfig
    from ntupleml.datasets.boosted_reweighting import Sample, Trees

#: A spline has so many points per bin, between which it is straight.
_POINTS_PER_BIN = 8
#: Bins with entries that a smoothing spline needs.
_LEAST_FOR_SPLINE = 5
FORMULA = "reweight.formula"


def values_of(formulas: Sequence[str], columns: Any, number: int, where: str) -> NDArray[np.float64]:
    """Values of formulas, shape (n_rows, n_formulas), one for each row.

    Raises
    ------
    NtuplemlError
        If one has not one value per row, or one that is not finite.
    """
    found = np.empty((number, len(formulas)))
    for index, formula in enumerate(formulas):
        found[:, index] = variable_values(formula, columns, number, where)
        bad = np.count_nonzero(~np.isfinite(found[:, index]))
        if bad:
            raise NtuplemlError(
                f"{where}: {FORMULA}: '{formula}' is NaN or infinite in {bad} of {number} rows; cut them away in the "
                "dataset config, or fix the formula"
            )
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Factors(ABC):
    """The factor of a row as a function of formulas."""

    formulas: tuple[str, ...]
    #: Factor of all rows, with which the sum of weights stays.
    scale: float = 1.0

    @abstractmethod
    def logarithms_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the factors without the scale, shape (n_rows,)."""

    @property
    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Smallest and largest of these logarithms."""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Factors of rows, shape (n_rows,), by the values of their formulas, (n_rows, n_formulas)."""
        return np.exp(self.logarithms_of(values)) * self.scale

    @property
    def smallest(self) -> float:
        """Smallest factor that a row can have."""
        return float(np.exp(self.limits[0])) * self.scale

    @property
    def largest(self) -> float:
        """Largest factor that a row can have."""
        return float(np.exp(self.limits[1])) * self.scale

    def of_rows(self, columns: Any, number: int, where: str) -> NDArray[np.float64]:
        """Factors of the rows of a chunk."""
        return self(values_of(self.formulas, columns, number, where))

    def scaled(self, scale: float) -> Self:
        """The same factors with another scale."""
        return replace(self, scale=scale)


@dataclass(frozen=True, eq=False, kw_only=True)
class LineFactors(Factors):
    """Straight lines of the logarithm between points of the first formula; constant beyond."""

    #: Shape (n_points,).
    points: NDArray[np.float64]
    logarithms: NDArray[np.float64]

    @classmethod
    def constant(cls, formulas: tuple[str, ...], scale: float) -> Self:
        """One factor for all rows."""
        return cls(formulas=formulas, scale=scale, points=np.zeros(1), logarithms=np.zeros(1))

    def logarithms_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the factors without the scale, shape (n_rows,)."""
        return np.interp(values[:, 0], self.points, self.logarithms)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest of these logarithms."""
        return float(self.logarithms.min()), float(self.logarithms.max())


@dataclass(frozen=True, eq=False, kw_only=True)
class GridFactors(Factors):
    """The logarithm between the centres of bins of several formulas, linear in each; constant beyond."""

    centres: tuple[NDArray[np.float64], ...]
    #: Shape (n_bins of the first formula, of the second, …).
    logarithms: NDArray[np.float64]

    def logarithms_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the factors without the scale, shape (n_rows,)."""
        from scipy.interpolate import RegularGridInterpolator

        low, high = (np.array([one[end] for one in self.centres]) for end in (0, -1))
        found: NDArray[np.float64] = RegularGridInterpolator(self.centres, self.logarithms)(np.clip(values, low, high))
        return found

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest of these logarithms."""
        return float(self.logarithms.min()), float(self.logarithms.max())


@dataclass(frozen=True, eq=False, kw_only=True)
class BoostedFactors(Factors):
    """Sums over trees, kept between the limits."""

    trees: Trees
    #: What the trees give less of, so that the mean factor is 1.
    offset: float
    between: tuple[float, float]

    def logarithms_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the factors without the scale, shape (n_rows,)."""
        return np.clip(self.trees.logarithms(values) - self.offset, *self.between)

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest of these logarithms."""
        return self.between


def edges_of(block: ReweightConfig) -> list[NDArray[np.float64]]:
    """Edges of the bins of each formula."""
    assert block.range is not None
    return [
        np.linspace(low, high, number + 1)
        for (low, high), number in zip(block.range, block.numbers_of_bins, strict=True)
    ]


def boosted_factors(
    block: ReweightConfig, settings: BoostedConfig, original: Sample, wanted: Sample, seed: Sequence[int], names: str
) -> BoostedFactors:
    """Factors of boosted trees; no row gets one beyond those of the rows that the trees were built from.

    Raises
    ------
    NtuplemlError
        If no tree could be cut.
    """
    trees = fit_trees(original, wanted, settings, seed)
    logarithms = trees.logarithms(original.values)
    if not len(logarithms) or not np.ptp(logarithms) > 0:
        raise NtuplemlError(
            f"reweight.method: no cut leaves an effective number of {settings.least:g} rows of both '{names}' and "
            f"'{block.to.class_}' on both sides, so nothing is changed; lower least, or choose other formulas"
        )
    mean = float((original.weights * np.exp(logarithms)).sum() / original.weights.sum())
    if mean <= 0:
        raise NtuplemlError(f"reweight: the weights of '{names}' sum to nothing with the factors; take fewer trees")
    offset = float(np.log(mean))
    between = (float(logarithms.min()) - offset, float(min(logarithms.max() - offset, np.log(block.largest))))
    return BoostedFactors(formulas=tuple(block.formula), trees=trees, offset=offset, between=between)


def binned_factors(
    block: ReweightConfig, contents: NDArray[np.float64], wanted: NDArray[np.float64], names: str
) -> Factors:
    """Ratio of the wanted and the found contents, where both are positive, as a smooth function."""
    filled = (contents > 0) & (wanted > 0)
    formulas = tuple(block.formula)
    if not filled.any():
        assert block.range is not None
        between = " and ".join(f"between {low:g} and {high:g}" for low, high in block.range)
        raise NtuplemlError(
            f"reweight.range: no row of '{names}' with a positive sum of weights is {between}; choose another range"
        )
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in edges_of(block)]
    ratios = np.divide(wanted / wanted.sum() * contents.sum(), contents, where=filled, out=np.ones_like(contents))
    logarithms = np.log(ratios)
    if len(formulas) > 1:
        smooth = np.minimum(_nearest_filled(logarithms, filled), np.log(block.largest))
        return GridFactors(formulas=formulas, centres=tuple(centres), logarithms=smooth)
    points, logarithms = centres[0][filled], logarithms[filled]
    if block.method == "spline":
        points, logarithms = _spline(block, points, logarithms, contents[filled], names)
    return LineFactors(formulas=formulas, points=points, logarithms=np.minimum(logarithms, np.log(block.largest)))


def _nearest_filled(table: NDArray[np.float64], filled: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A table in which bins without a value have that of the nearest bin that has one."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~filled, return_distances=False, return_indices=True)
    return np.asarray(table[tuple(nearest)])


def _spline(
    block: ReweightConfig,
    centres: NDArray[np.float64],
    logarithms: NDArray[np.float64],
    contents: NDArray[np.float64],
    names: str,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(centres) < _LEAST_FOR_SPLINE:
        raise NtuplemlError(
            f"reweight.method: a spline needs {_LEAST_FOR_SPLINE} bins with rows, but '{names}' fills {len(centres)}; "
            "give more bins, or method: histogram"
        )
    from scipy.interpolate import make_smoothing_spline

    spline = make_smoothing_spline(centres, logarithms, contents / contents.mean())
    points = np.linspace(centres[0], centres[-1], block.numbers_of_bins[0] * _POINTS_PER_BIN)
    return points, spline(points)
