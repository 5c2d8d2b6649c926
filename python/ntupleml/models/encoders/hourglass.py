"""Convolutions of images that become smaller, and then as large as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ntupleml.errors import NtuplemlError
from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.image_encoder import ImageEncoder, Kernel

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts

_Pool = Annotated[list[Annotated[int, Field(ge=1, le=1000)]], Field(min_length=2, max_length=2)]


class Hourglass(ImageEncoder):
    """Convolutions between which images are made smaller and larger again; with skips a U-Net (arXiv:1505.04597)."""

    #: Outputs of the convolutions.
    filters: Width = 7
    #: Pixels that a convolution sees along each axis.
    kernel: Kernel = 5
    #: Pixels in η and φ of which the largest is kept, step by step; on the way back each is repeated as often.
    pool: Annotated[list[_Pool], Field(min_length=1)] = [[2, 2]]
    #: Whether what comes back is joined to what was there on the way down, and a last convolution sees both.
    skips: bool = True

    def image(self, values: Any, parts: Parts) -> Any:
        """Images down and up again."""
        import keras

        before: list[Any] = []
        for number, pool in enumerate(self.pool, start=1):
            _require_whole(values, pool, parts)
            values = self.convolved(values, f"down_{number}", self.filters, self.kernel, parts)
            before.append(values)
            values = keras.layers.MaxPooling2D(pool, name=f"{parts.prefix}pool_{number}")(values)
        for number, pool in reversed(list(enumerate(self.pool, start=1))):
            values = self.convolved(values, f"up_{number}", self.filters, self.kernel, parts)
            values = keras.layers.UpSampling2D(pool, name=f"{parts.prefix}repeated_{number}")(values)
            if self.skips:
                joined = keras.layers.Concatenate(name=f"{parts.prefix}joined_{number}")
                values = joined([values, before.pop()])
        return self.convolved(values, "last", self.filters, self.kernel, parts) if self.skips else values


def _require_whole(values: Any, pool: list[int], parts: Parts) -> None:
    eta, phi = values.shape[1:3]
    if eta % pool[0] or phi % pool[1]:
        raise NtuplemlError(
            f"model.encoders.{parts.group}: pool: {pool[0]} × {pool[1]} pixels do not divide an image of "
            f"{eta} × {phi}; choose divisors"
        )
