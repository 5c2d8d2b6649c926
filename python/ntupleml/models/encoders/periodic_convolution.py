"""Convolutions of images, one after the other, for which φ is a circle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.image_encoder import ImageEncoder, Kernel

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class PeriodicConvolution(ImageEncoder):
    """Convolutions one after the other; φ is a circle, and η ends at a wall."""

    #: Outputs of the convolutions.
    filters: Annotated[list[Width], Field(min_length=1)] = [15, 20, 25]
    #: Pixels that each convolution sees along each axis, one number or one each.
    kernel: Kernel | list[Kernel] = [9, 7, 5]

    @model_validator(mode="after")
    def _one_kernel_each(self) -> Self:
        if isinstance(self.kernel, list) and len(self.kernel) != len(self.filters):
            raise ValueError(f"kernel: {len(self.kernel)} numbers for {len(self.filters)} convolutions")
        return self

    def image(self, values: Any, parts: Parts) -> Any:
        """Images through the convolutions."""
        kernels = self.kernel if isinstance(self.kernel, list) else [self.kernel] * len(self.filters)
        for number, (width, kernel) in enumerate(zip(self.filters, kernels, strict=True), start=1):
            values = self.convolved(values, number, width, kernel, parts)
        return values
