"""Event weights of classes scaled: by a factor, to numbers of rows, or to what another class weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Undefined, no_sum_of_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Scale to a sum of weights that is the number of rows.
ROWS = "rows"


def scaled_weights(
    weights: NDArray[np.float64],
    truth: NDArray[np.integer[Any]],
    classes: Sequence[str],
    scales: Mapping[str, float | str],
    sampled: Mapping[str, float] | None = None,
) -> NDArray[np.float64] | Undefined:
    """Event weights with those of some classes scaled.

    Parameters
    ----------
    truth : array of int, shape (n_events,)
        True class.
    scales : mapping of str to float or str
        By class: a factor; ``rows`` for a sum of weights that is the number of rows; or another class, whose sum of
        weights, not scaled, is taken.
    sampled : mapping of str to float, optional
        By class, the share of its rows that is here, where it is less than 1.

    Returns
    -------
    array of float64, shape (n_events,), or Undefined
        Undefined where a sum of weights that has to be scaled, or scaled to, is not positive.

    Examples
    --------
    >>> scaled_weights(np.array([1.0, 2.0, 6.0]), np.array([0, 0, 1]), ["a", "b"], {"a": "b"})
    array([2., 4., 6.])
    """
    factors = np.ones(len(classes))
    for name, scale in scales.items():
        index = classes.index(name)
        if isinstance(scale, str):
            for needed in (name, *({scale} - {ROWS})):
                if undefined := no_sum_of_weights(weights[truth == classes.index(needed)], f"'{needed}'"):
                    return undefined
            own = truth == index
            rows = np.count_nonzero(own) / (sampled or {}).get(name, 1.0)
            wanted = rows if scale == ROWS else weights[truth == classes.index(scale)].sum()
            factors[index] = wanted / weights[own].sum()
        else:
            factors[index] = scale
    found: NDArray[np.float64] = weights * factors[truth]
    return found
