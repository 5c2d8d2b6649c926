"""Networks that give their inputs back: what they learn, and the loss that counts only what is there.

Importing this imports Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from ntupleml.models.layers import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedSquaredError(keras.losses.Loss):  # type: ignore[misc]
    """Mean squared error of each row over the numbers that are there; 0 for a row without any.

    The targets are rows × 2 n: n numbers, then 1 or 0 for each that is there or not.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"name": "masked_mean_squared_error", **options})

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row."""
        wanted, mask = ops.split(ops.cast(y_true, y_pred.dtype), 2, axis=-1)
        squares = ops.sum(mask * ops.square(y_pred - wanted), axis=-1)
        return squares / ops.maximum(ops.sum(mask, axis=-1), 1.0)


def reconstruction_target(inputs: Mapping[str, NDArray[np.float32]], groups: Sequence[str]) -> NDArray[np.float32]:
    """Targets of `MaskedSquaredError`: the inputs of some groups, one after the other, and which of them are there.

    Parameters
    ----------
    inputs : mapping of str to array
        What the network gets: scaled arrays by the names of groups, and ``{name}_mask`` of objects.
    groups : sequence of str
        Groups that it is to give back.

    Returns
    -------
    array of float32, shape (rows, 2 n)
    """
    values = [inputs[name] for name in groups]
    masks = [
        np.broadcast_to(inputs[f"{name}_mask"][..., np.newaxis], value.shape)
        if f"{name}_mask" in inputs
        else np.ones_like(value)
        for name, value in zip(groups, values, strict=True)
    ]
    return np.concatenate([part.reshape(len(part), -1) for part in (*values, *masks)], axis=1, dtype=np.float32)
