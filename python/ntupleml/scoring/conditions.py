"""The one-hot inputs of models that were trained with conditions (eras)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def one_hot(conditions: Sequence[str], condition: str | None, where: str) -> tuple[float, ...]:
    """Inputs that say of which condition (era) events are; none for models without conditions.

    Parameters
    ----------
    conditions : sequence of str
        Conditions of the models; empty for models without.
    condition : str or None
        The one of these events.

    Raises
    ------
    NtuplemlError
        If the models have conditions and none or an unknown one is given, or the other way round.
    """
    if not conditions and condition is not None:
        raise NtuplemlError(f"{where}: condition '{condition}' is given, but the models were trained without any")
    if conditions and condition not in conditions:
        found = "no condition is given" if condition is None else f"no condition '{condition}'"
        raise NtuplemlError(f"{where}: {found}{did_you_mean(condition or '', conditions)}")
    return tuple(float(name == condition) for name in conditions)


def append_condition(
    matrix: NDArray[np.float32], conditions: Sequence[str], condition: str | None, where: str
) -> NDArray[np.float32]:
    """Matrix with the one-hot inputs of the condition (era) that all its events are of; see `one_hot`.

    Returns
    -------
    array of float32, shape (n_events, n_variables + n_conditions)
    """
    constants = np.array(one_hot(conditions, condition, where), np.float32)
    if not len(constants):
        return matrix
    return np.concatenate([matrix, np.broadcast_to(constants, (len(matrix), len(constants)))], axis=1)
