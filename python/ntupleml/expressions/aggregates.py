"""``Sum$``, ``Length$``, ``Max$``, ``Min$``, ``MaxIf$`` and ``MinIf$``: vectors to one value per event.

Each is a formula of its own: its vector branches do not make the formula around it run over elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ntupleml.expressions import arithmetic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.expressions.instances import Instances

    Array: TypeAlias = NDArray[Any]


def aggregate(
    function: str, found: Instances, values: Array, absent: NDArray[np.bool_] | None, condition: Array | None
) -> Array:
    """Value per event of an aggregate; 0 where an event has no instances.

    Parameters
    ----------
    function : str
        Its name.
    found : Instances
        The instances of its arguments.
    values : array, shape (n_instances,) or ()
        Values of its first argument.
    absent : array of bool or None
        Where the first argument has no value; the result takes that for NaN.
    condition : array of bool, shape (n_instances,), or None
        The instances that count, for MaxIf$ and MinIf$.
    """
    if function == "Length$":
        return found.number_in_event()
    event = np.arange(found.num_events) if found.event is None else found.event
    values = np.broadcast_to(arithmetic.as_number(values), event.shape)
    if absent is not None:
        values = np.where(absent, np.nan, values)
    kept = np.ones(event.size, np.bool_) if found.exists is None else found.exists
    if condition is not None:
        kept = kept & condition
    values, event = values[kept], event[kept]
    counts = np.bincount(event, minlength=found.num_events)
    if function == "Sum$":
        return _sum(values, event, counts)
    return _extreme(values, counts, largest=function.startswith("Max"))


def _sum(values: Array, event: Array, counts: Array) -> Array:
    if values.dtype.kind == "i" and values.size:
        largest = max(-int(values.min()), int(values.max())) * int(counts.max())
        if largest < 2**63:
            return _per_event(np.add, values, counts)
    # bincount adds one value after the other, as TTreeFormula; reduceat would add in pairs.
    return np.bincount(event, weights=arithmetic.as_double(values), minlength=counts.size)


def _extreme(values: Array, counts: Array, largest: bool) -> Array:
    if values.dtype.kind != "f":
        return _per_event(np.maximum if largest else np.minimum, values, counts)
    # A NaN never compares as better, so that only one in the first place stays.
    extreme = _per_event(np.fmax if largest else np.fmin, values, counts)
    first = _per_event(None, values, counts)
    return np.where(np.isnan(first), first, extreme)


def _per_event(reduction: np.ufunc | None, values: Array, counts: Array) -> Array:
    """The reduction of the values of each event that has any (None: the first of them), 0 for the others."""
    filled = counts > 0
    result = np.zeros(counts.size, values.dtype)
    starts = (np.cumsum(counts) - counts)[filled]
    if starts.size:
        result[filled] = values[starts] if reduction is None else reduction.reduceat(values, starts)
    return result
