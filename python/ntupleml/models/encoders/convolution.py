"""Convolutional encoder of images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class Convolution(Encoder):
    """Convolutions, each followed by the largest value of neighbours; then dense layers."""

    kinds: ClassVar = ("image",)
    #: Outputs of the convolutions.
    filters: Annotated[list[Width], Field(min_length=1)] = [16, 32]
    #: Pixels that a convolution sees along each axis.
    kernel: Annotated[int, Field(ge=1, le=1000)] = 3
    #: Pixels along each axis of which the largest is kept; 1: all are.
    pool: Annotated[int, Field(ge=1, le=1000)] = 2
    #: Widths of the dense layers.
    hidden: list[Width] = [64]

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """The image through convolutions and dense layers."""
        import keras

        for number, width in enumerate(self.filters, start=1):
            name, ending = f"convolution_{number}", f"of_convolution_{number}"
            values = chained(values, parts.activated("Conv2D", name, ending, width, self.kernel, padding="same"))
            if self.pool > 1:
                name = f"{parts.prefix}pool_{number}"
                values = keras.layers.MaxPooling2D(self.pool, padding="same", name=name)(values)
        values = keras.layers.Flatten(name=f"{parts.prefix}flat")(values)
        for number, width in enumerate(self.hidden, start=1):
            values = chained(values, parts.hidden(number, width))
        return values
