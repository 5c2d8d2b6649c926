"""Dense layers on all numbers of a group at once."""

from __future__ import annotations

from typing import Any, ClassVar

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class Dense(Encoder):
    """Dense layers; objects and images are flattened. Of objects they also see which slots are filled."""

    kinds: ClassVar = ("numbers", "objects", "image")
    #: Widths of the layers; none: the numbers as they are.
    hidden: list[Width] = []

    @property
    def needs_length(self) -> bool:
        """Whether objects have to be a fixed number."""
        return True

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Flat numbers through the layers."""
        values = flat(values, mask, parts)
        for number, width in enumerate(self.hidden, start=1):
            values = chained(values, parts.hidden(number, width))
        return values


def flat(values: Any, mask: Any, parts: Parts) -> Any:
    """All numbers of a group side by side, with the mask of objects."""
    import keras

    if len(values.shape) > 2:
        values = keras.layers.Flatten(name=f"{parts.prefix}flat")(values)
    if mask is not None:
        values = keras.layers.Concatenate(name=f"{parts.prefix}with_mask")([values, mask])
    return values
