"""Residual network of images: convolutions that are added to what they get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.image_encoder import ImageEncoder, Kernel

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class ResidualConvolution(ImageEncoder):
    """Blocks of convolutions that are added to what they get (He et al., arXiv:1512.03385)."""

    #: Outputs of all convolutions.
    filters: Width = 16
    #: Pixels that a convolution sees along each axis.
    kernel: Kernel = 5
    #: Blocks after the first convolution.
    blocks: Annotated[int, Field(ge=1, le=100)] = 2
    #: Convolutions of each block.
    layers: Annotated[int, Field(ge=1, le=100)] = 2

    def image(self, values: Any, parts: Parts) -> Any:
        """Images through the blocks."""
        import keras

        values = self.convolved(values, "first", self.filters, self.kernel, parts)
        for block in range(1, self.blocks + 1):
            result = values
            for layer in range(1, self.layers + 1):
                result = self.convolved(result, f"{block}_{layer}", self.filters, self.kernel, parts)
            values = keras.layers.Add(name=f"{parts.prefix}add_{block}")([values, result])
        return values
