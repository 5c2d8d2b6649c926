"""Layers of our own: they take objects and their mask, and have no weights. Importing this imports Keras."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Beginning of the names that Keras files have for them.
PACKAGE = "ntupleml"
_registered = keras.saving.register_keras_serializable(package=PACKAGE)
#: What no object attends to an empty slot by.
_NOTHING = -1e9


class _OfObjects(keras.layers.Layer):  # type: ignore[misc]
    """A layer that is called with objects, rows × length × n, and their mask, rows × length."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def compute_mask(self, *_: Any) -> None:
        """The mask is an input; Keras carries none along."""


@_registered
class MaskedPooling(_OfObjects):
    """What is taken over the objects of a row; 0 where there is none.

    Parameters
    ----------
    modes : sequence of str
        ``sum``, ``mean``, ``max`` or ``last``: one after the other in the output.
    """

    def __init__(self, modes: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.modes = list(modes)

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        return {**super().get_config(), "modes": self.modes}

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × all modes."""
        return (shapes[0][0], len(self.modes) * shapes[0][2])

    def call(self, inputs: Any) -> Any:
        """Join the modes."""
        values, mask = inputs
        return ops.concatenate([_POOLS[mode](values, mask) for mode in self.modes], axis=-1)


def _sum(values: Any, weights: Any) -> Any:
    return ops.sum(values * ops.expand_dims(weights, -1), axis=1)


def _mean(values: Any, mask: Any) -> Any:
    return _sum(values, mask / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0))


def _max(values: Any, mask: Any) -> Any:
    least = ops.where(ops.expand_dims(mask, -1) > 0.5, values, float("-inf"))
    return ops.where(ops.any(mask > 0.5, axis=1, keepdims=True), ops.max(least, axis=1), 0.0)


def _last(values: Any, mask: Any) -> Any:
    following = ops.pad(mask[:, 1:], ((0, 0), (0, 1)))
    return _sum(values, mask * (1.0 - following))


_POOLS = {"sum": _sum, "mean": _mean, "max": _max, "last": _last}


@_registered
class SelfAttention(_OfObjects):
    """Each object's mean of the values of all objects, weighted by how well its query fits their keys.

    It is called with queries, keys and values side by side, rows × length × 3 n, and gives rows × length × n.

    Parameters
    ----------
    heads : int
        Parts of the n numbers that attend by themselves.

    Notes
    -----
    Softmax of q·k / √d, d numbers per head (Vaswani et al., arXiv:1706.03762).
    """

    def __init__(self, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        return {**super().get_config(), "heads": self.heads}

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × n."""
        return (*shapes[0][:2], shapes[0][2] // 3)

    def call(self, inputs: Any) -> Any:
        """Mix the values."""
        joined, mask = inputs
        rows, length = ops.shape(joined)[:2]
        width = joined.shape[2] // 3
        size = width // self.heads
        parts = ops.transpose(ops.reshape(joined, (rows, length, 3, self.heads, size)), (2, 0, 3, 1, 4))
        queries, keys, values = parts[0], parts[1], parts[2]
        fit = ops.matmul(queries / math.sqrt(size), ops.transpose(keys, (0, 1, 3, 2)))
        fit = ops.where(ops.reshape(mask, (rows, 1, 1, length)) > 0.5, fit, _NOTHING)
        # Keras' own softmax warns where there is one object
        shares = ops.exp(fit - ops.stop_gradient(ops.max(fit, axis=-1, keepdims=True)))
        seen = ops.matmul(shares / ops.sum(shares, axis=-1, keepdims=True), values)
        return ops.reshape(ops.transpose(seen, (0, 2, 1, 3)), (rows, length, width))
