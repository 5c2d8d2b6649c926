"""What a training does about events with negative weights: the treatments of TMVA, by its names."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: TMVA's names of the treatments (`NegWeightTreatment` of its boosted decision trees).
TREATMENTS = (
    "InverseBoostNegWeights",
    "IgnoreNegWeightsInTraining",
    "NoNegWeightsInTraining",
    "PairNegWeightsGlobal",
    "Pray",
)
#: Neighbours that are looked up at once for each negative event, and negative events per look-up.
_NEIGHBOURS, _BLOCK = 16, 1024
#: Variance of a direction, in units of the largest, below which the events do not differ in it.
_NO_VARIANCE = 1e-12


def find_treatment(name: str, where: str) -> str:
    """The treatment of a name, whose case does not matter, in TMVA's spelling.

    Examples
    --------
    >>> find_treatment("pray", "training.yaml: negative_weights")
    'Pray'
    """
    for treatment in TREATMENTS:
        if treatment.lower() == name.lower():
            return treatment
    raise NtuplemlError(f"{where}: no treatment '{name}' of negative weights{did_you_mean(name, TREATMENTS)}")


def treat_negative_weights(
    name: str,
    weights: NDArray[np.float64],
    classes: NDArray[np.int64],
    inputs: NDArray[np.float32],
    where: str,
    class_names: Sequence[str] = (),
) -> NDArray[np.float64]:
    """Event weights for a training by TMVA's treatment of negative ones; their share per class goes to the log.

    Parameters
    ----------
    name : str
        ``"IgnoreNegWeightsInTraining"`` or ``"NoNegWeightsInTraining"``: events with negative weights take no part.
        ``"PairNegWeightsGlobal"``: each negative event takes its weight from the nearest events of its class with
        positive weights, by the distance that the inverse of the class's covariance matrix gives.
        ``"Pray"``: weights stay as they are. ``"InverseBoostNegWeights"``: the same here; AdaBoost then boosts
        negative weights by the inverse factor, and gradient boosting knows no such thing, so that TMVA prays instead.
    weights : array of float64, shape (n_events,)
        Event weights.
    classes : array of int64, shape (n_events,)
        Class of each event.
    inputs : array of float32, shape (n_events, n_variables)
        Finite inputs, which `PairNegWeightsGlobal` measures distances in.
    class_names : sequence of str, optional
        Names of the classes, for messages.

    Returns
    -------
    array of float64, shape (n_events,)
        A new array; 0 for events that take no part.

    Notes
    -----
    TMVA Users Guide, boosted decision trees; `MethodBDT::PreProcessNegativeEventWeights` for the pairs.
    """
    treatment = find_treatment(name, where)
    treated = weights.astype(np.float64, copy=True)
    for index in np.unique(classes):
        label = class_names[index] if class_names else str(index)
        rows = np.flatnonzero(classes == index)
        if (weights[rows] < 0).any():
            treated[rows] = _treat_class(treatment, weights[rows], inputs[rows], f"{where}: class '{label}'")
        if not treated[rows].sum() > 0:
            raise NtuplemlError(
                f"{where}: class '{label}': its sum of weights is {treated[rows].sum():.4g} with "
                f"NegWeightTreatment={treatment}; a positive one is needed; choose another treatment, or fix "
                "the weight_string of the dataset config"
            )
    return treated


def _treat_class(
    treatment: str, weights: NDArray[np.float64], inputs: NDArray[np.float32], where: str
) -> NDArray[np.float64]:
    negative = weights < 0
    log.info(
        "%s: %.2f %% of the events have negative weights, %.3g of the sum of |weights|: %s",
        where,
        100 * negative.mean(),
        -weights[negative].sum() / np.abs(weights).sum(),
        treatment,
    )
    if treatment in ("IgnoreNegWeightsInTraining", "NoNegWeightsInTraining"):
        return np.where(negative, 0.0, weights)
    if treatment == "PairNegWeightsGlobal":
        return _paired(weights, inputs, where)
    return weights


def _paired(weights: NDArray[np.float64], inputs: NDArray[np.float32], where: str) -> NDArray[np.float64]:
    """Weights of one class after each negative one was taken from its nearest positive ones, in the order of events."""
    from sklearn.neighbors import NearestNeighbors

    if weights.sum() <= 0:
        raise NtuplemlError(
            f"{where}: the sum of weights is {weights.sum():.4g}, so PairNegWeightsGlobal cannot pair the negative "
            "ones; choose another NegWeightTreatment"
        )
    points = _whitened(inputs.astype(np.float64), weights)
    donors = np.flatnonzero(weights > 0)
    takers = np.flatnonzero(weights < 0)
    result = weights.copy()
    search = NearestNeighbors().fit(points[donors])
    settle = _compiled_settle()
    start, neighbours = 0, min(_NEIGHBOURS, len(donors))
    while start < len(takers):
        block = takers[start : start + max(1, _BLOCK * _NEIGHBOURS // neighbours)]
        nearest = donors[search.kneighbors(points[block], neighbours, return_distance=False)]
        settled = settle(result, block, nearest)
        if not settled and neighbours == len(donors):
            # What is left of all the positive weights differs from the negative one by rounding only.
            result[block[0]] = 0
            settled = 1
        start += settled
        # An event whose neighbours are all used up has to look further.
        neighbours = min(_NEIGHBOURS if settled else 4 * neighbours, len(donors))
    return result


def _settle(weights: NDArray[np.float64], takers: NDArray[np.int64], nearest: NDArray[np.int64]) -> int:
    """Let each negative weight use up those of its neighbours, the nearest first; number of events settled.

    Stops at the first event whose neighbours do not have enough. The order matters, so this is a loop.
    """
    for index in range(len(takers)):
        debt = -weights[takers[index]]
        available = 0.0
        for candidate in nearest[index]:
            available += weights[candidate]
        if available < debt:
            return index
        weights[takers[index]] = 0.0
        for candidate in nearest[index]:
            taken = min(debt, weights[candidate])
            weights[candidate] -= taken
            debt -= taken
    return len(takers)


@cache
def _compiled_settle() -> Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]], int]:
    import numba

    compiled: Callable[[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]], int] = numba.njit(_settle)
    return compiled


def _whitened(inputs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inputs in coordinates where the distance is that of the inverse weighted covariance matrix.

    Large negative weights may leave no variance in some direction, or a negative one, where TMVA's distances mean
    nothing; the covariance by absolute weights is taken then. Directions in which the events do not differ are left
    out.
    """
    values, vectors = np.linalg.eigh(_covariance(inputs, weights))
    if values.min() < -_NO_VARIANCE * np.abs(values).max():
        values, vectors = np.linalg.eigh(_covariance(inputs, np.abs(weights)))
    kept = values > _NO_VARIANCE * values.max()
    if not kept.any():
        return np.zeros((len(inputs), 1))
    return np.asarray(inputs @ vectors[:, kept] / np.sqrt(values[kept]))


def _covariance(inputs: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = weights.sum()
    centred = inputs - weights @ inputs / total
    return np.asarray((centred * weights[:, np.newaxis]).T @ centred / total)
