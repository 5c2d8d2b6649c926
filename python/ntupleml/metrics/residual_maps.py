"""Where in an image predictions are too large or too small: mean residuals of each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined, Verdict, no_normalisation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


#: Share of the pixels beyond three uncertainties, of a normal distribution, and the share that calls attention.
BY_CHANCE, _MOST = 0.0027, 0.02
_FAR = 3.0


class ResidualMap(NamedTuple):
    """Prediction less truth of each pixel, over events."""

    entries: int
    #: Shape (η, φ). Weighted mean, its uncertainty, and the root of the weighted mean square.
    mean: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    spread: NDArray[np.float64]


def residual_map(
    parts: Iterable[tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.float64]]],
) -> ResidualMap | Undefined:
    """Mean residual of each pixel.

    Parameters
    ----------
    parts : iterable of (prediction, truth, weights)
        Of some events at a time: images of shape (n_events, η, φ), and event weights; negative ones count as they are.

    Notes
    -----
    The variance of a mean is Σw²(r − μ)² / (Σw)².
    """
    entries, sums = 0, np.zeros(2)
    moments: NDArray[np.float64] | None = None
    for prediction, truth, weights in parts:
        residuals = prediction.astype(np.float64) - truth
        squares = np.square(weights)
        entries += len(weights)
        sums += [weights.sum(), squares.sum()]
        own = np.stack(
            [
                np.tensordot(factors, values, 1)
                for factors, values in (
                    (weights, residuals),
                    (weights, np.square(residuals)),
                    (squares, residuals),
                    (squares, np.square(residuals)),
                )
            ]
        )
        moments = own if moments is None else moments + own
    if undefined := no_normalisation(entries, float(sums[0]), float(sums[1])):
        return undefined
    assert moments is not None
    total, squared = sums
    average = moments[0] / total
    variance = moments[3] - 2 * average * moments[2] + average**2 * squared
    return ResidualMap(
        entries,
        average,
        np.sqrt(np.maximum(variance, 0)) / total,
        np.sqrt(np.maximum(moments[1] / total, 0)),
    )


def pulls(found: ResidualMap) -> NDArray[np.float64]:
    """Mean residuals in units of their uncertainty; 0 where there is none, as of pixels that are always the same."""
    values: NDArray[np.float64] = found.mean / np.where(found.uncertainty > 0, found.uncertainty, np.inf)
    return values


def verdict_of(found: ResidualMap | Undefined) -> Verdict:
    """Whether more pixels are off than by chance."""
    if isinstance(found, Undefined):
        return Verdict("unknown", str(found))
    share = float(np.mean(np.abs(pulls(found)) > _FAR))
    place = np.unravel_index(np.argmax(np.abs(found.mean)), found.mean.shape)
    text = (
        f"{share:.2%} of the pixels are off by more than three uncertainties ({BY_CHANCE:.2%} by chance); the largest "
        f"mean residual is {found.mean[place]:.3g} ± {found.uncertainty[place]:.2g}, in bin {place[0]} of η and "
        f"{place[1]} of φ"
    )
    if share > _MOST:
        return Verdict("attention", text, "Some places of the image are predicted wrongly on average.")
    return Verdict("good", text, "Predictions are right on average in all places of the image.")
