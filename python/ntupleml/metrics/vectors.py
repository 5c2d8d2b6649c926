"""Estimators of a vector of two components, such as the missing transverse energy: by size, direction and angle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.response import Sample, sample_of_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What is looked at of a vector.
QUANTITIES = ("parallel", "perpendicular", "magnitude", "angle")


def samples_of_vector(prediction: NDArray[np.floating], truth: NDArray[np.floating]) -> dict[str, Sample]:
    """What a prediction of a vector says of the true one, by the names of `QUANTITIES`.

    Parameters
    ----------
    prediction, truth : array, shape (n_events, 2)
        x and y. Events with a number that is not finite are left out.

    Notes
    -----
    With n the direction of the truth t and p the prediction:

    * parallel: u∥ = p·n for |t|; perpendicular: u⊥ = n_x p_y − n_y p_x for 0, with the response of u∥. A truth of zero
      has no direction: such events are left out of both.
    * magnitude: |p| for |t|, also where either is zero. |p| is never negative, so that fluctuations make it too large
      where |t| is small.
    * angle: of p from t, in (−π, π]; left out where either is zero, as for an empty image. It has no response.

    Examples
    --------
    >>> found = samples_of_vector(np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]]))
    >>> [float(found[name].prediction[0]) for name in QUANTITIES]
    [4.0, -3.0, 5.0, -0.6435011087932844]
    """
    own, true = np.asarray(prediction, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    size, length = np.hypot(*true.T), np.hypot(*own.T)
    finite = np.isfinite(size) & np.isfinite(length)
    directed = finite & (size > 0)
    direction = true / np.where(directed, size, 1.0)[:, np.newaxis]
    along = np.einsum("ij,ij->i", own, direction)
    across = direction[:, 0] * own[:, 1] - direction[:, 1] * own[:, 0]
    angle = np.arctan2(across, along)
    nothing = np.zeros(len(size))
    return {
        "parallel": Sample(along, size, directed, (along, size)),
        "perpendicular": Sample(across, nothing, directed, (along, size)),
        "magnitude": sample_of_values(length, size),
        "angle": Sample(angle, nothing, directed & (length > 0), None),
    }
