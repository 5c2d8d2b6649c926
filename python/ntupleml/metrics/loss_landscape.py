"""The loss of a network around its trained weights, along two random directions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, no_sum_of_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

#: Standard deviations of the difference from which another place counts as better.
_CLEARLY = 3.0


class LossLandscape(NamedTuple):
    """Mean losses on a grid; the trained weights are in its middle."""

    #: Shape (n,). Steps along each direction, in units of the norms of the weights.
    steps: NDArray[np.float64]
    #: Shape (n, n). By step along the first and the second direction.
    losses: NDArray[np.float64]
    #: Of the trained weights.
    trained: Measurement
    #: The smallest loss of the grid less that of the trained weights, measured with the same events.
    smallest: Measurement
    #: Steps of the smallest loss.
    place: tuple[float, float]

    @property
    def verdict(self) -> Verdict:
        """Whether the trained weights are where the loss is smallest."""
        value, uncertainty = self.smallest
        if value >= 0 or -value <= _CLEARLY * uncertainty:
            return Verdict(
                "good",
                f"No place of the map has a clearly smaller loss than the trained weights, {self.trained.value:.4g}.",
            )
        where = f"({self.place[0]:+.2g}, {self.place[1]:+.2g})"
        return Verdict(
            "attention",
            f"At {where} the loss of unseen events is smaller than at the trained weights, by {-value:.2g} ± "
            f"{uncertainty:.1g}: more training, or less, may do better.",
        )


def filter_directions(
    weights: Mapping[str, tuple[NDArray[np.float32], int]], seed: int
) -> list[dict[str, NDArray[np.float32]]]:
    """Two random directions in the space of the weights, normalised per filter.

    Parameters
    ----------
    weights : mapping
        Matrices, and their axis along which each place is one filter (node of the layer).

    Notes
    -----
    Li et al., arXiv:1712.09913: normal random numbers, those of each filter scaled to the norm of its weights, so that
    a step of 1 is as large for each. Biases and all else stay as they are.
    """
    random = np.random.default_rng(seed)
    directions = []
    for _ in range(2):
        direction = {}
        for name, (values, axis) in weights.items():
            drawn = random.normal(size=values.shape)
            others = tuple(one for one in range(values.ndim) if one != axis % values.ndim)
            norms = [
                np.sqrt(np.square(one, dtype=np.float64).sum(axis=others, keepdims=True)) for one in (values, drawn)
            ]
            direction[name] = (drawn * (norms[0] / norms[1])).astype(np.float32)
        directions.append(direction)
    return directions


def loss_landscape(
    losses: Callable[[float, float], NDArray[np.float64]], weights: NDArray[np.float64], points: int, reach: float = 1.0
) -> LossLandscape | Undefined:
    """Mean losses on a grid of steps along two directions.

    Parameters
    ----------
    losses : callable
        From two steps to the loss of each event, shape (n_events,).
    weights : array of float64, shape (n_events,)
        Of the events; negative ones count as they are.
    points : int
        Along each direction; one more where it is even, so that the trained weights are one of them.
    reach : float, default: 1
        Largest step.
    """
    if undefined := no_sum_of_weights(weights):
        return undefined
    half, total = points // 2, float(weights.sum())
    steps = np.linspace(-reach, reach, 2 * half + 1)
    steps[half] = 0.0
    own = losses(0.0, 0.0)
    means = np.array([[weights @ losses(float(first), float(second)) / total for second in steps] for first in steps])
    first, second = np.unravel_index(int(means.argmin()), means.shape)
    place = (float(steps[first]), float(steps[second]))
    return LossLandscape(steps, means, _mean(own, weights), _mean(losses(*place) - own, weights), place)


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> Measurement:
    """Weighted mean with the variance Σ w² (x − m)² / (Σ w)²."""
    total = float(weights.sum())
    mean = float(weights @ values) / total
    return Measurement(mean, float(np.sqrt(np.square(weights) @ np.square(values - mean))) / total)
