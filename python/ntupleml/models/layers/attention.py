"""Attention: what vectors see of others, weighted by how well their queries fit the others' keys."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from ntupleml.models.layers.objects import OfObjects, registered

#: How well a query fits an empty slot.
_NOTHING = -1e9


class _Attention(OfObjects):
    """A layer of which parts of the numbers, the heads, attend by themselves."""

    settings = ("heads",)

    def __init__(self, heads: int, **options: Any) -> None:
        super().__init__(**options)
        self.heads = heads


@registered
class SelfAttention(_Attention):
    """Each object's mean of the values of all objects, weighted by how well its query fits their keys.

    It is called with queries, keys and values side by side, rows × length × 3 n, and the mask, and gives rows × length
    × n.

    Parameters
    ----------
    heads : int
        Parts of the n numbers that attend by themselves.

    Notes
    -----
    Softmax of q·k / √d, d numbers per head (Vaswani et al., arXiv:1706.03762).
    """

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × length × n."""
        return (*shapes[0][:2], shapes[0][2] // 3)

    def call(self, inputs: Any) -> Any:
        """Mix the values."""
        joined, mask = inputs
        queries, keys, values = ops.split(joined, 3, axis=-1)
        return _seen(queries, keys, values, mask, None, self.heads)


@registered
class CrossAttention(_Attention):
    """What some vectors see of objects: the mean of the objects' values, weighted by how well queries fit keys.

    It is called with two to four inputs: the vectors' queries, rows × number × n; the objects' keys and values side by
    side, rows × length × 2 n; the mask of the objects, rows × length, where not all slots are filled; and what is
    added to the fit of each pair, rows × number × length × heads. It gives rows × number × n, and 0 where there is no
    object. Where the first input is rows × number × 3 n, it is queries, keys and values of a fixed number of vectors,
    which see themselves as well.

    Parameters
    ----------
    heads : int
        Parts of the n numbers that attend by themselves.

    Notes
    -----
    Softmax of q·k / √d + bias, d numbers per head (Vaswani et al., arXiv:1706.03762; with a bias, Qu et al.,
    arXiv:2202.03772). Vectors that see themselves as well are the class attention of Touvron et al., arXiv:2103.17239.
    """

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × number × n."""
        return (*shapes[0][:2], shapes[1][2] // 2)

    def call(self, inputs: Any) -> Any:
        """What the vectors see."""
        queries, (keys, values) = inputs[0], ops.split(inputs[1], 2, axis=-1)
        mask, bias = (*inputs[2:], None, None)[:2]
        if queries.shape[2] == keys.shape[2]:
            seen = _seen(queries, keys, values, mask, bias, self.heads)
            return seen if mask is None else seen * ops.max(mask, axis=1)[:, None, None]
        queries, own_keys, own_values = ops.split(queries, 3, axis=-1)
        keys, values = (ops.concatenate(pair, axis=1) for pair in ((own_keys, keys), (own_values, values)))
        if mask is not None:
            mask = ops.pad(mask, ((0, 0), (queries.shape[1], 0)), constant_values=1.0)
        return _seen(queries, keys, values, mask, bias, self.heads)


def _seen(queries: Any, keys: Any, values: Any, mask: Any, bias: Any, heads: int) -> Any:
    """Mean of values for each query; where the mask says that none is there, of all."""
    size = queries.shape[2] // heads
    queries, keys = (_of_heads(one, heads, size) for one in (queries, keys))
    fit = ops.matmul(queries / math.sqrt(size), ops.transpose(keys, (0, 1, 3, 2)))
    if bias is not None:
        fit = fit + ops.transpose(bias, (0, 3, 1, 2))
    return attended(fit, values, None if mask is None else ops.expand_dims(mask, (1, 2)))


def attended(fit: Any, values: Any, mask: Any) -> Any:
    """Mean of values (rows × length × n) by attention (rows × heads × number × length), over unmasked slots."""
    heads, width = fit.shape[1], values.shape[2]
    if mask is not None:
        fit = ops.where(mask > 0.5, fit, _NOTHING)
    # Keras' own softmax warns where there is one object
    shares = ops.exp(fit - ops.stop_gradient(ops.max(fit, axis=-1, keepdims=True)))
    seen = ops.matmul(shares / ops.sum(shares, axis=-1, keepdims=True), _of_heads(values, heads, width // heads))
    return ops.reshape(ops.transpose(seen, (0, 2, 1, 3)), (*ops.shape(fit)[::2], width))


def _of_heads(vectors: Any, heads: int, size: int) -> Any:
    """Rows × heads × number × d."""
    rows, number = ops.shape(vectors)[:2]
    return ops.transpose(ops.reshape(vectors, (rows, number, heads, size)), (0, 2, 1, 3))


@registered
class LearntVectors(OfObjects):
    """Vectors that are learnt, the same for all rows: a class token, seeds of a pooling, induced points.

    It is called with objects, rows × length × n, and gives rows × number × n.

    Parameters
    ----------
    number : int
        How many vectors.
    vectors_initializer : str or initializer
        Distribution of their first values.
    """

    def __init__(self, number: int, vectors_initializer: Any = "glorot_uniform", **options: Any) -> None:
        super().__init__(**options)
        self.number = number
        self.vectors_initializer = keras.initializers.get(vectors_initializer)

    def build(self, shape: Any) -> None:
        """Make the vectors."""
        self.vectors = self.add_weight(
            shape=(self.number, shape[-1]), initializer=self.vectors_initializer, name="vectors"
        )

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        initializer = keras.initializers.serialize(self.vectors_initializer)
        return {**super().get_config(), "number": self.number, "vectors_initializer": initializer}

    def compute_output_shape(self, shape: Any) -> tuple[int | None, ...]:
        """Rows × number × n."""
        return (shape[0], self.number, shape[2])

    def call(self, objects: Any) -> Any:
        """The vectors for each row."""
        return ops.broadcast_to(self.vectors, (ops.shape(objects)[0], *self.vectors.shape))
