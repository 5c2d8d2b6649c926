"""Predicted values calibrated by a fit to the truth; fit and application use different events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Undefined

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Calibrate = Callable[[NDArray[np.float64]], NDArray[np.float64]]

Kind = Literal["linear", "isotonic"]
KINDS: tuple[Kind, ...] = ("linear", "isotonic")
#: Events that a fit needs.
_FEWEST_EVENTS = 10


def calibrated(
    kind: Kind,
    prediction: NDArray[np.float64],
    truth: NDArray[np.float64],
    weights: NDArray[np.float64],
    parts: NDArray[np.integer],
) -> NDArray[np.float64] | Undefined:
    """Calibrated predictions, of each part of the events by a fit with all other parts.

    Parameters
    ----------
    kind : {'linear', 'isotonic'}
        A line, or the rising steps that are nearest to the truth (scikit-learn).
    prediction, truth : array of float64, shape (n_events,)
        Finite.
    weights : array of float64, shape (n_events,)
        Event weights. Negative ones have no such fit.
    parts : array of int, shape (n_events,)
        Which part an event is in, e.g. the fold that it was held out with.

    Returns
    -------
    array of float64, shape (n_events,), or Undefined
        Undefined with negative weights, a single part, or fewer than ten events to fit with.

    Notes
    -----
    Either fit is the mean of the truth for a prediction, so it depends on the distribution of the truth: in its mean
    over these events the bias vanishes, while at the ends of the range it is drawn towards the middle.
    """
    if (weights < 0).any():
        return Undefined("fits of a calibration need weights that are not negative")
    names = np.unique(parts)
    if len(names) < 2:
        return Undefined("there is one part of the events only, and no other to fit with")
    found = np.empty(len(prediction))
    for name in names:
        rows = parts == name
        others = np.flatnonzero(~rows & (weights > 0))
        if len(others) < _FEWEST_EVENTS:
            return Undefined(f"fewer than {_FEWEST_EVENTS} events to fit with")
        found[rows] = _fitted(kind, prediction[others], truth[others], weights[others])(prediction[rows])
    return found


def _fitted(
    kind: Kind, prediction: NDArray[np.float64], truth: NDArray[np.float64], weights: NDArray[np.float64]
) -> Calibrate:
    try:
        from sklearn.isotonic import IsotonicRegression
        from sklearn.linear_model import LinearRegression
    except ImportError:
        raise NtuplemlError("calibration needs scikit-learn: pip install scikit-learn") from None
    if kind == "isotonic":
        steps = IsotonicRegression(out_of_bounds="clip").fit(prediction, truth, weights)
        return lambda values: np.asarray(steps.predict(values), dtype=np.float64)
    line = LinearRegression().fit(prediction[:, np.newaxis], truth, weights)
    return lambda values: np.asarray(line.predict(values[:, np.newaxis]), dtype=np.float64)


def parts_of_events(models: NDArray[np.integer]) -> NDArray[np.integer]:
    """Parts to fit with: by the model that scored each event, of a single model every other event.

    Examples
    --------
    >>> parts_of_events(np.array([3, 3, 3, 3])).tolist()
    [0, 1, 0, 1]
    """
    return models if len(np.unique(models)) > 1 else np.arange(len(models)) % 2
