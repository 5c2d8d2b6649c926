"""Weighted histograms with the variances of their bins, filled by boost-histogram."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Histogram(NamedTuple):
    """Sums of weights in bins, and beyond their ends.

    Histograms of the same edges are added with `add_histograms`.
    """

    #: Shape (n_bins + 1,). Ascending. A bin holds its lower edge and not its upper one, but the last bin holds both.
    edges: NDArray[np.float64]
    #: Shape (n_bins,). Σw of each bin.
    sums: NDArray[np.float64]
    #: Shape (n_bins,). Σw², the variances of the sums.
    squares: NDArray[np.float64]
    #: Σw and Σw² of what is smaller than the first edge or −∞, and of what is larger than the last or +∞.
    underflow: tuple[float, float] = (0.0, 0.0)
    overflow: tuple[float, float] = (0.0, 0.0)

    @property
    def uncertainties(self) -> NDArray[np.float64]:
        """√Σw² of each bin."""
        roots: NDArray[np.float64] = np.sqrt(self.squares)
        return roots

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        flow = {"underflow": self.underflow, "overflow": self.overflow}
        return {
            "edges": self.edges,
            "sums_of_weights": self.sums,
            "uncertainties": self.uncertainties,
            **{name: Measurement(total, squares**0.5) for name, (total, squares) in flow.items()},
        }


def histogram(values: NDArray[Any], weights: NDArray[Any] | None, edges: Sequence[float] | NDArray[Any]) -> Histogram:
    """Histogram of weighted events.

    Parameters
    ----------
    values : array, shape (n_events,)
        NaN counts nowhere.
    weights : array, shape (n_events,), or None
        Event weights, negative ones as they are; None for weights of 1.
    edges : array of float, shape (n_bins + 1,)
        Strictly ascending. Equidistant edges are filled faster.

    Examples
    --------
    >>> counts = histogram(np.array([0.5, 1.0, 2.0, 7.0]), None, [0, 1, 2])
    >>> counts.sums, counts.overflow
    (array([1., 2.]), (1.0, 1.0))
    """
    filling = Filling(edges)
    filling.add(values, weights)
    return filling.histogram()


class Filling:
    """A histogram that events are added to, some at a time; arguments as for `histogram`."""

    def __init__(self, edges: Sequence[float] | NDArray[Any]) -> None:
        import boost_histogram

        self.edges = np.asarray(edges, dtype=np.float64)
        num_bins = len(self.edges) - 1
        steps = np.diff(self.edges)
        equidistant = num_bins > 0 and np.allclose(steps, steps[0], rtol=1e-9, atol=0)
        axis = (
            boost_histogram.axis.Regular(num_bins, self.edges[0], self.edges[-1])
            if equidistant
            else boost_histogram.axis.Variable(self.edges)
        )
        self._filled = boost_histogram.Histogram(axis, storage=boost_histogram.storage.Weight())

    def add(self, values: NDArray[Any], weights: NDArray[Any] | None) -> None:
        """Add events."""
        values = np.asarray(values)
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=np.bool_)
        if missing.any():
            values = values[~missing]
            weights = None if weights is None else np.asarray(weights)[~missing]
        # What equals the last edge belongs to the last bin, as in NumPy.
        last = values == self.edges[-1]
        if last.any():
            values = np.where(last, 0.5 * (self.edges[-2] + self.edges[-1]), values)
        if len(values):
            self._filled.fill(values, weight=1.0 if weights is None else np.asarray(weights, dtype=np.float64))

    def histogram(self) -> Histogram:
        """What there is by now."""
        content: Any = self._filled.view(flow=True)
        sums, squares = np.array(content.value), np.array(content.variance)
        below, *_, above = zip(sums.tolist(), squares.tolist(), strict=True)
        return Histogram(self.edges, sums[1:-1], squares[1:-1], below, above)


def add_histograms(first: Histogram, second: Histogram) -> Histogram:
    """Histogram of the events of both, which have the same edges."""
    if not np.array_equal(first.edges, second.edges):
        raise ValueError("histograms of different edges cannot be added")
    return Histogram(
        first.edges,
        first.sums + second.sums,
        first.squares + second.squares,
        (first.underflow[0] + second.underflow[0], first.underflow[1] + second.underflow[1]),
        (first.overflow[0] + second.overflow[0], first.overflow[1] + second.overflow[1]),
    )
