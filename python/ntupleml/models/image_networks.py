"""Networks from images to images: those of a project on missing transverse energy, and their modern relatives."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.image_encoder import Kernel  # noqa: TC001  (pydantic reads it)
from ntupleml.models.networks import EVERY_IMAGE, Initializer, Network, NetworkSettings

#: Layers or blocks of a network.
_Number = Annotated[int, Field(ge=1, le=100)]


class ImageNetwork(NetworkSettings):
    """What networks from images to images have in common."""

    #: Activation of the pixels of the output; `relu` allows no negative ones.
    output: Literal["linear", "relu", "softplus"] = "linear"
    #: Distribution of the first weights.
    initializer: Initializer = "he_normal"
    #: Use each filter also with its pixels in the opposite order in η, which doubles the outputs.
    reflected: bool = False
    #: Learning rate of Adam; by default that of Keras.
    learning_rate: float | None = Field(default=None, gt=0)

    def network(self) -> Network:
        """The network that these settings mean."""
        return Network(
            hidden=(),
            activation="relu",
            encoders={EVERY_IMAGE: {"reflected": self.reflected, **self.encoder()}},
            hidden_initializer=self.initializer,
            output_initializer=self.initializer,
            pixels=self.output,
            loss="etmiss",
            learning_rate=self.learning_rate,
        )

    def encoder(self) -> dict[str, Any]:
        """Type and settings of the encoder of the images."""
        raise NotImplementedError


class BBModel(ImageNetwork):
    """Three convolutions in which φ is a circle, then one value per pixel; that of the original has `output: relu`."""

    #: As in the original, where the first weights are between −0.05 and 0.05.
    initializer: Initializer = "random_uniform"
    #: Outputs of the convolutions.
    filters: Annotated[list[Width], Field(min_length=1)] = [15, 20, 25]
    #: Pixels that each convolution sees along each axis.
    kernel: Annotated[list[Kernel], Field(min_length=1)] = [9, 7, 5]

    def encoder(self) -> dict[str, Any]:
        """Convolutions one after the other."""
        return {"type": "periodic_convolution", **self.model_dump(include={"filters", "kernel"})}


class _WithPools(ImageNetwork):
    #: Outputs of the convolutions.
    filters: Width = 7
    #: Pixels that a convolution sees along each axis.
    kernel: Kernel = 5
    #: Pixels in η and φ of which the largest is kept, step by step; on the way back each is repeated as often.
    pool: list[list[int]] = [[2, 2], [5, 2]]

    def encoder(self) -> dict[str, Any]:
        """Images down and up again."""
        return {"type": "hourglass", **self.model_dump(include={"filters", "kernel", "pool"}), "skips": False}


class EncoderDecoderNetwork(_WithPools):
    """Images made smaller and larger again between convolutions, without skips: the original's "unet"."""

    #: As in the original, where the first weights are between −0.05 and 0.05.
    initializer: Initializer = "random_uniform"


class UNet(_WithPools):
    """Images made smaller and larger again, joined to what was there before on the way back (arXiv:1505.04597)."""

    #: Outputs of the convolutions.
    filters: Width = 16

    def encoder(self) -> dict[str, Any]:
        """Images down and up again, with skips."""
        return {**super().encoder(), "skips": True}


class ResNet(ImageNetwork):
    """Blocks of convolutions that are added to what they get (He et al., arXiv:1512.03385)."""

    #: Outputs of all convolutions.
    filters: Width = 16
    #: Pixels that a convolution sees along each axis.
    kernel: Kernel = 5
    #: Blocks of two convolutions after the first.
    blocks: _Number = 2

    def encoder(self) -> dict[str, Any]:
        """Residual blocks."""
        return {"type": "residual_convolution", **self.model_dump(include={"filters", "kernel", "blocks"})}


class DenseNet(ImageNetwork):
    """Convolutions of which each sees the image and the outputs of all before (Huang et al., arXiv:1608.06993)."""

    #: Outputs of each convolution.
    growth: Width = 10
    #: Pixels that a convolution sees along each axis.
    kernel: Kernel = 5
    #: Convolutions.
    layers: _Number = 4

    def encoder(self) -> dict[str, Any]:
        """Densely connected convolutions."""
        return {"type": "dense_convolution", **self.model_dump(include={"growth", "kernel", "layers"})}


#: By the names that a config has.
IMAGE_NETWORKS: dict[str, type[NetworkSettings]] = {
    "BB_model": BBModel,
    "encoder_decoder": EncoderDecoderNetwork,
    "unet": UNet,
    "resnet": ResNet,
    "densenet": DenseNet,
}
