"""Fitting a scaler to events that come in chunks: exactly where sums suffice, else on a random sample."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import fit_scaler

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Events of the random sample on which quantiles are found.
SAMPLE_SIZE = 200_000


class ScalerFit:
    """Fits one of the scalers chunk by chunk.

    The standard and the min-max scaler and the identity are those of all events. The robust scaler and the quantile
    transformer are fitted to a random sample, drawn with the seed.

    Attributes
    ----------
    num_events : int
        Number of events that the scaler is fitted to.
    """

    def __init__(
        self,
        method: str,
        seed: int,
        *,
        weighted: bool,
        sample_size: int = SAMPLE_SIZE,
        where: str = "preprocessing",
    ) -> None:
        self._method, self._seed, self._weighted, self._where = method, seed, weighted, where
        self._sample = Sample(sample_size, seed)
        self._sums = _Moments()
        self._range: Any = None
        self.num_events = 0

    def add(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Take the training events of a chunk."""
        if not len(rows):
            return
        self.num_events += len(rows)
        if self._method == "standard_scaler":
            self._sums.add(rows.astype(np.float64), weights if self._weighted else np.ones(len(rows)))
        elif self._method == "min_max_scaler":
            from sklearn.preprocessing import MinMaxScaler

            self._range = (self._range or MinMaxScaler(feature_range=(-1, 1))).partial_fit(rows.astype(np.float64))
        else:
            self._sample.add(rows, weights)

    def result(self) -> Any:
        """The fitted scaler, plain scikit-learn.

        Raises
        ------
        NtuplemlError
            If there are no events, or negative weights leave no positive sum or variance.
        """
        if not self.num_events:
            raise NtuplemlError(
                f"{self._where}: there is nothing to fit the scaler to in the events that train; leave the group out, "
                "or loosen its selection"
            )
        if self._method == "standard_scaler":
            return self._sums.scaler(self._where)
        if self._method == "min_max_scaler":
            return self._range
        rows, weights = self._sample.result()
        self.num_events = len(rows)
        return fit_scaler(
            self._method, rows, weights=weights if self._weighted else None, seed=self._seed, where=self._where
        )


class _Moments:
    """Weighted sums of the variables and their squares, about the mean of the first chunk against rounding."""

    def __init__(self) -> None:
        self._origin: NDArray[np.float64] = np.empty(0)
        self._events = 0
        self._weight = 0.0

    def add(self, rows: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        if not self._events:
            self._origin = rows.mean(axis=0)
            self._first, self._second = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
            self._lowest, self._highest = rows.min(axis=0), rows.max(axis=0)
        shifted = rows - self._origin
        self._events += len(rows)
        self._weight += float(weights.sum())
        self._first += weights @ shifted
        self._second += weights @ np.square(shifted)
        self._lowest = np.minimum(self._lowest, rows.min(axis=0))
        self._highest = np.maximum(self._highest, rows.max(axis=0))

    def scaler(self, where: str) -> Any:
        from sklearn.preprocessing import StandardScaler

        if self._weight <= 0:
            raise NtuplemlError(
                f"{where}: the weights sum to {self._weight:g}; a positive sum is needed; fit without weights"
            )
        mean = self._first / self._weight
        variance = self._second / self._weight - np.square(mean)
        variance[self._lowest == self._highest] = 0.0
        if (variance < 0).any():
            bad = int(np.flatnonzero(variance < 0)[0])
            raise NtuplemlError(
                f"{where}: the negative weights give variable {bad} a negative variance; fit without weights"
            )
        scaler = StandardScaler()
        scaler.mean_ = self._origin + mean
        scaler.var_ = variance
        scaler.scale_ = np.where(variance == 0, 1.0, np.sqrt(variance))
        scaler.n_features_in_, scaler.n_samples_seen_ = len(mean), self._events
        return scaler


class Sample:
    """Random events, all equally likely: each gets a random number, those with the smallest stay."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._generator = np.random.default_rng([seed, 2])
        self._keys = np.empty(0)
        self._rows: list[NDArray[np.float32]] = []
        self._weights: list[NDArray[np.float64]] = []

    def add(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Take the events of a chunk."""
        self._keys = np.concatenate([self._keys, self._generator.random(len(rows))])
        self._rows.append(rows)
        self._weights.append(weights)
        if len(self._keys) > 2 * self._size:
            self._shorten()

    def _shorten(self) -> None:
        rows, weights = np.concatenate(self._rows), np.concatenate(self._weights)
        if len(rows) > self._size:
            kept = np.sort(np.argpartition(self._keys, self._size)[: self._size])
            rows, weights, self._keys = rows[kept], weights[kept], self._keys[kept]
        self._rows, self._weights = [rows], [weights]

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Those that stay, and their weights."""
        self._shorten()
        return self._rows[0], self._weights[0]
