"""The one-hot inputs of models that were trained with conditions (eras)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def append_condition(
    matrix: NDArray[np.float32], conditions: Sequence[str], condition: str | None, where: str
) -> NDArray[np.float32]:
    """Matrix with the one-hot inputs of the condition (era) that all its events are of.

    Parameters
    ----------
    matrix : array of float32, shape (n_events, n_variables)
    conditions : sequence of str
        Conditions of the models; empty for models without.
    condition : str or None
        The one of these events.
    where : str
        Config and key, for messages.

    Returns
    -------
    array of float32, shape (n_events, n_variables + n_conditions)

    Raises
    ------
    NtuplemlError
        If the models have conditions and none or an unknown one is given, or the other way round.
    """
    if not conditions:
        if condition is not None:
            raise NtuplemlError(f"{where}: condition '{condition}' is given, but the models were trained without any")
        return matrix
    if condition is None or condition not in conditions:
        found = "no condition is given" if condition is None else f"no condition '{condition}'"
        raise NtuplemlError(f"{where}: {found}{did_you_mean(condition or '', conditions)}")
    one_hot = np.zeros((len(matrix), len(conditions)), dtype=np.float32)
    one_hot[:, list(conditions).index(condition)] = 1
    return np.concatenate([matrix, one_hot], axis=1)
