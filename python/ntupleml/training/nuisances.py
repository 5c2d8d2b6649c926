"""What the scores must not tell, as targets of the adversary: in which bin of a nuisance a row is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.training.decorrelation import FormulasFit
from ntupleml.training.streamed_scalers import SAMPLE_SIZE, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.training.weight_checks import SplitSums


class Nuisances(NamedTuple):
    """Bins of each nuisance, for each class by itself, so that the network may tell the classes apart."""

    #: For each formula, inner edges by index of the class.
    edges: tuple[dict[int, NDArray[np.float32]], ...]
    #: Makes the weight of a row in a batch its weight for the adversary.
    factor: float
    #: Loss of an adversary that finds nothing.
    ignorance: float

    @property
    def heads(self) -> list[int]:
        """Number of bins of each formula."""
        return [max(map(len, of_classes.values())) + 1 for of_classes in self.edges]

    def targets(self, classes: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What `AdversarialModel` takes behind the targets of the network, shape (n_rows, all bins + 2)."""
        columns = [np.zeros((len(classes), bins), np.float32) for bins in self.heads]
        for column, of_classes, of_rows in zip(columns, self.edges, values.T, strict=True):
            for index, edges in of_classes.items():
                rows = np.flatnonzero(classes == index)
                column[rows, np.searchsorted(edges, of_rows[rows], side="right")] = 1
        rest = np.array([self.factor, 1.0], np.float32)
        return np.column_stack([*columns, np.broadcast_to(rest, (len(classes), 2))])

    def described(self, config: TrainingConfig) -> dict[str, Any]:
        """For the record: edges by formula and class, and the factor of the weights."""
        edges = {
            formula: {config.classes[index]: one.tolist() for index, one in of_classes.items()}
            for formula, of_classes in zip(config.nuisances, self.edges, strict=True)
        }
        return {"edges": edges, "factor": self.factor}


def fit_of_nuisances(config: TrainingConfig) -> NuisanceFit | FormulasFit:
    """Fit of what the scores must not tell: to an adversary, or by their distance correlation."""
    return NuisanceFit(config) if config.decorrelation is None else FormulasFit(config)


class NuisanceFit:
    """Finds bins with the same sum of |w| each of the rows that train, chunk by chunk: of a random sample of many."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._samples = {
            index: Sample(SAMPLE_SIZE, config.seed)
            for index, name in enumerate(config.classes)
            if config.is_decorrelated(name)
        }

    def add(self, classes: NDArray[np.int64], values: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Take rows that train, with event weights."""
        for index, sample in self._samples.items():
            rows = np.flatnonzero(classes == index)
            sample.add(values[rows], weights[rows])

    def result(
        self, trees: Sequence[ClassTree], sums: Sequence[SplitSums], factors: NDArray[np.float64] | None
    ) -> Nuisances:
        """The bins.

        Parameters
        ----------
        sums : sequence of SplitSums
            Of each tree, by event weights.
        factors : array of float, shape (n_trees,), optional
            Of the event weights in batches; None for balanced ones, in which a row of each class weighs 1 on average.

        Notes
        -----
        For the adversary a row weighs as for the network, but for one factor, with which it weighs 1 on average.
        """
        adversary = self._config.adversary
        assert adversary is not None
        samples = {index: sample.result() for index, sample in self._samples.items()}
        edges = tuple(
            {
                index: _edges(values[:, position], np.abs(weights), adversary.bins, formula)
                for index, (values, weights) in samples.items()
            }
            for position, formula in enumerate(self._config.nuisances)
        )
        used, entries = dict.fromkeys(samples, 1.0), dict.fromkeys(samples, 1.0)
        if factors is not None:
            for index in samples:
                of_class = [place for place, tree in enumerate(trees) if tree.class_index == index]
                used[index] = sum(sums[place].training.total * factors[place] for place in of_class)
                entries[index] = sum(sums[place].training.entries for place in of_class)
        total = sum(used.values())
        ignorance = math.fsum(
            used[index] / total * math.log(len(one) + 1) for of_classes in edges for index, one in of_classes.items()
        )
        return Nuisances(edges, sum(entries.values()) / total, ignorance)


def _edges(values: NDArray[np.float32], weights: NDArray[np.float64], bins: int, formula: str) -> NDArray[np.float32]:
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    positions = np.searchsorted(cumulated, np.arange(1, bins) / bins * cumulated[-1])
    edges: NDArray[np.float32] = np.unique(values[order][positions])
    edges = edges[edges > values[order[0]]]
    if not len(edges):
        raise NtuplemlError(
            f"adversary.against: '{formula}' is {values[order[0]]:g} in nearly all rows of a class, so there is "
            "nothing to tell; take another formula, or leave the class out of adversary.of"
        )
    return edges
