"""What layers of our own have in common, and what is taken over the objects of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import keras
from keras import ops

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Beginning of the names that Keras files have for them.
PACKAGE = "ntupleml"
registered = keras.saving.register_keras_serializable(package=PACKAGE)


class OfObjects(keras.layers.Layer):  # type: ignore[misc]
    """A layer that is called with objects, rows × length × n, and their mask, rows × length."""

    #: Attributes that the file has.
    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.settings}}

    def compute_mask(self, *_: Any) -> None:
        """The mask is an input; Keras carries none along."""


@registered
class MaskedPooling(OfObjects):
    """What is taken over the objects of a row, or over what each object has of others; 0 where there is none.

    It is called with values, rows × … × length × n, and their mask, rows × … × length.

    Parameters
    ----------
    modes : sequence of str
        ``sum``, ``mean``, ``max`` or ``last``: one after the other in the output.
    """

    settings = ("modes",)

    def __init__(self, modes: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.modes = list(modes)

    def compute_output_shape(self, shapes: Any) -> tuple[int | None, ...]:
        """Rows × … × all modes."""
        return (*shapes[0][:-2], len(self.modes) * shapes[0][-1])

    def call(self, inputs: Any) -> Any:
        """Join the modes."""
        values, mask = inputs
        return ops.concatenate([_POOLS[mode](values, mask) for mode in self.modes], axis=-1)


def _sum(values: Any, weights: Any) -> Any:
    return ops.sum(values * ops.expand_dims(weights, -1), axis=-2)


def _mean(values: Any, mask: Any) -> Any:
    return _sum(values, mask / ops.maximum(ops.sum(mask, axis=-1, keepdims=True), 1.0))


def _max(values: Any, mask: Any) -> Any:
    least = ops.where(ops.expand_dims(mask, -1) > 0.5, values, float("-inf"))
    return ops.where(ops.any(mask > 0.5, axis=-1, keepdims=True), ops.max(least, axis=-2), 0.0)


def _last(values: Any, mask: Any) -> Any:
    following = ops.pad(mask[:, 1:], ((0, 0), (0, 1)))
    return _sum(values, mask * (1.0 - following))


_POOLS = {"sum": _sum, "mean": _mean, "max": _max, "last": _last}
