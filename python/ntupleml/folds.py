"""Which fold an event is in, and which model may score it.

Model i is held out from fold (i + 1) mod k and trained on all the others: for two folds, model i is trained on fold
i and scores the other one, as in htt-ml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The largest integer up to which every integer has a float32 of its own.
LARGEST_EXACT_FLOAT32 = 2**24
#: The same for float64.
LARGEST_EXACT_FLOAT64 = 2**53


def event_numbers(values: NDArray[Any], where: str) -> NDArray[np.int64]:
    """Event numbers as 64-bit integers, without loss.

    Parameters
    ----------
    values : array, shape (n_events,)
        Values of the event branch: integers, or floats that hold integers exactly.

    Returns
    -------
    array of int64, shape (n_events,)

    Raises
    ------
    NtuplemlError
        If the branch is a float whose values are not integers, are not finite, or are so large (2²⁴ for float32,
        2⁵³ for float64) that neighbouring event numbers coincide and their parity is lost.
    """
    values = np.asarray(values)
    if values.dtype.kind == "b" or values.dtype.kind not in "iuf":
        raise NtuplemlError(f"{where}: event numbers are of type {values.dtype}; an integer branch is needed")
    if values.dtype.kind in "iu":
        if values.dtype.kind == "u" and values.dtype.itemsize == 8 and (values > np.iinfo(np.int64).max).any():
            raise NtuplemlError(f"{where}: event number {values.max()} does not fit into a signed 64-bit integer")
        return values.astype(np.int64)
    limit = LARGEST_EXACT_FLOAT32 if values.dtype.itemsize <= 4 else LARGEST_EXACT_FLOAT64
    with np.errstate(invalid="ignore"):
        lost = ~(np.abs(values) <= limit)
    if lost.any() and not np.isfinite(values[lost][0]):
        raise NtuplemlError(f"{where}: event number {values[lost][0]} is not an integer; choose another event_branch")
    if lost.any():
        raise NtuplemlError(
            f"{where}: event number {values[lost][0]:.0f} is stored as {values.dtype}, which loses its parity above "
            f"{limit}; store the branch as a 64-bit integer, or leave out event_branch to use the entry number"
        )
    numbers = values.astype(np.int64)
    if (numbers != values).any():
        wrong = values[numbers != values][0]
        raise NtuplemlError(f"{where}: event number {wrong} is not an integer; choose another event_branch")
    return numbers


def fold_of_events(events: NDArray[Any], num_folds: int) -> NDArray[np.int64]:
    """Fold of each event: its number modulo the number of folds, never negative.

    Parameters
    ----------
    events : array of int, shape (n_events,)
        Event numbers (or entry numbers), signed or unsigned.
    num_folds : int
        Number of folds, at least 2.

    Examples
    --------
    >>> fold_of_events(np.array([4, 5, -1]), 2)
    array([0, 1, 1])
    """
    return np.asarray(events % events.dtype.type(num_folds)).astype(np.int64)


def held_out_fold(model: int, num_folds: int) -> int:
    """Fold that a model never saw, on which it is tested and which it scores."""
    return (model + 1) % num_folds


def trained_on(model: int, num_folds: int) -> frozenset[int]:
    """Folds that a model is trained on: all but the one held out."""
    return frozenset(range(num_folds)) - {held_out_fold(model, num_folds)}


def scoring_model(fold: int, num_folds: int) -> int:
    """Model that may score the events of a fold."""
    return (fold - 1) % num_folds


def chosen_models(text: str, num_folds: int, where: str) -> list[int]:
    """Models that the argument FOLD of a script means: one by its index, or `all`.

    Raises
    ------
    NtuplemlError
        If there is no such fold; `where` is the config that has the folds.

    Examples
    --------
    >>> chosen_models("all", 3, "training.yaml")
    [0, 1, 2]
    """
    if text == "all":
        return list(range(num_folds))
    if text.isascii() and text.isdigit() and int(text) < num_folds:
        return [int(text)]
    known = ", ".join(str(index) for index in range(num_folds))
    raise NtuplemlError(f"fold '{text}': {where} has the folds {known}; give one of them, or 'all'")


def what_decides(event_branch: str | None) -> str:
    """What decides the fold of an event, as part of a sentence.

    Examples
    --------
    >>> what_decides("event")
    "branch 'event' decides the fold"
    """
    return "the entry number decides the fold" if event_branch is None else f"branch '{event_branch}' decides the fold"
