"""What encoders have in common that give images of the size of those they get."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from ntupleml.errors import NtuplemlError
from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError(f"{size} is even; a convolution that has a pixel in its middle sees an odd number")
    return size


#: Pixels that a convolution sees along each axis.
Kernel = Annotated[int, Field(ge=1, le=101), AfterValidator(_odd)]


class ImageEncoder(Encoder):
    """Convolutions in which φ is a circle, with an image for each filter; numbers are made of their averages."""

    kinds: ClassVar = ("image",)
    #: What convolutions see beyond the ends of η.
    constant: float = Field(default=0.0, ge=-1e6, le=1e6)
    #: Whether each filter is also used with its pixels in the opposite order in η, which doubles the outputs.
    reflected: bool = False
    #: Pixels along each axis whose mean goes into the dense layers, where numbers are made of the image.
    average: Annotated[int, Field(ge=1, le=1000)] = 8
    #: Widths of these dense layers.
    hidden: list[Width] = [64]

    def image(self, values: Any, parts: Parts) -> Any:
        """Layers from images to images of the same size, rows × η × φ × filters."""
        raise NotImplementedError

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """The images through the convolutions, averaged over neighbours, and dense layers."""
        return self.numbers(self.image(values, parts), parts)

    def numbers(self, image: Any, parts: Parts) -> Any:
        """Layers from what `image` gives to a row of numbers."""
        import keras

        if self.average > 1:
            pool = [min(self.average, size) for size in image.shape[1:3]]
            averages = keras.layers.AveragePooling2D(pool, padding="same", name=f"{parts.prefix}averages")
            image = averages(image)
        values = keras.layers.Flatten(name=f"{parts.prefix}flat")(image)
        for number, width in enumerate(self.hidden, start=1):
            values = chained(values, parts.hidden(number, width))
        return values

    def convolved(self, values: Any, ending: int | str, width: int, kernel: int, parts: Parts) -> Any:
        """Images of the same size after a convolution, with all that follows it."""
        from ntupleml.models.layers import PeriodicPadding

        if kernel // 2 > values.shape[2]:
            raise NtuplemlError(
                f"model.encoders.{parts.group}: a convolution of {kernel} pixels is too large for an image of "
                f"{values.shape[2]} pixels in φ; choose a smaller kernel"
            )
        if kernel > 1:
            padding = PeriodicPadding(kernel // 2, self.constant, name=f"{parts.prefix}padding_{ending}")
            values = padding(values)
        kind = "ReflectedConv2D" if self.reflected and kernel > 1 else "Conv2D"
        name = f"convolution_{ending}"
        return chained(values, parts.activated(kind, name, f"of_{name}", width, kernel))
