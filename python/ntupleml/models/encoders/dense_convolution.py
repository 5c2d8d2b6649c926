"""Densely connected network of images: each convolution sees what all before it gave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.image_encoder import ImageEncoder, Kernel

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class DenseConvolution(ImageEncoder):
    """Convolutions of which each sees the image and the outputs of all before (Huang et al., arXiv:1608.06993)."""

    #: Outputs of each convolution.
    growth: Width = 10
    #: Pixels that a convolution sees along each axis.
    kernel: Kernel = 5
    #: Convolutions.
    layers: Annotated[int, Field(ge=1, le=100)] = 4

    def image(self, values: Any, parts: Parts) -> Any:
        """Images through the convolutions, all that they give side by side."""
        import keras

        for layer in range(1, self.layers + 1):
            found = self.convolved(values, layer, self.growth, self.kernel, parts)
            values = keras.layers.Concatenate(name=f"{parts.prefix}joined_{layer}")([values, found])
        return values
