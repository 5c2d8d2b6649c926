"""What all encoders have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from ntupleml.config.schema import Name, Schema

if TYPE_CHECKING:
    from ntupleml.models.networks import Kind
    from ntupleml.models.parts import Parts

#: A number of outputs.
Width = Annotated[int, Field(ge=1, le=100_000)]


class Encoder(Schema):
    """Settings of an encoder, and the layers that they mean."""

    #: Groups that it can encode.
    kinds: ClassVar[tuple[Kind, ...]]
    #: Whether it takes the four-vectors of the objects, too.
    needs_vectors: ClassVar[bool] = False
    #: Whether objects have to come first, without empty slots between them.
    needs_order: ClassVar[bool] = False
    #: Of its layers; by default that of the network.
    activation: Name | None = None

    @property
    def needs_length(self) -> bool:
        """Whether objects have to be a fixed number."""
        return False

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Layers from a group of inputs to a row of numbers.

        Parameters
        ----------
        values : tensor
            Of the group, scaled: rows × n, rows × length × n with zeros where no object is, or rows × η × φ ×
            channels.
        mask : tensor
            For objects, rows × length: 1 where an object is, else 0. The objects come first.
        parts : Parts
            Makes the layers.
        vectors : tensor, optional
            Where `needs_vectors`: rows × length × 4, pt, eta, phi and mass of each object, unscaled, 0 where none is.
        """
        raise NotImplementedError
