"""Residual network: dense blocks that are added to what they get, with attention between parts of the vector."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from ntupleml.config.schema import Schema
from ntupleml.models.encoders.attending import Attending
from ntupleml.models.encoders.dense import flat
from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class VectorAttention(Schema):
    """Attention inside a vector: it is cut into parts of equal length, which see one another."""

    #: Of the attention; they share the numbers of a part.
    heads: Width = 1
    #: Parts of the vector. One alone has nothing to look at.
    tokens: Annotated[int, Field(ge=2, le=100_000)] = 16
    #: After which of the blocks.
    after: Annotated[int, Field(ge=1)] = 2
    #: Width of the dense layer that acts on each part afterwards; by default twice that of a part.
    hidden: Width | None = None


class Residual(Encoder):
    """Dense blocks; one as wide as what it gets is added to it (He et al., arXiv:1512.03385).

    Objects and images are flattened; of objects it also sees which slots are filled.
    """

    kinds: ClassVar = ("numbers", "objects", "image")
    #: Widths of the blocks.
    hidden: Annotated[list[Width], Field(min_length=1)] = [128, 128, 128]
    #: Dense layers of each block.
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    #: Attention between parts of the vector after one of the blocks: `heads`, `tokens`, `after`, `hidden`.
    attention: VectorAttention | None = None

    @property
    def needs_length(self) -> bool:
        """Whether objects have to be a fixed number."""
        return True

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        attention = self.attention
        if attention is None:
            return self
        if attention.after > len(self.hidden):
            raise ValueError(f"attention: after block {attention.after}, but there are {len(self.hidden)}")
        width = self.hidden[attention.after - 1]
        if width % attention.tokens:
            raise ValueError(
                f"attention: {attention.tokens} tokens do not divide the width of block {attention.after}, {width}"
            )
        if width // attention.tokens % attention.heads:
            raise ValueError(
                f"attention: {attention.heads} heads do not divide a token of {width // attention.tokens} numbers"
            )
        return self

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Flat numbers through the blocks."""
        values = flat(values, mask, parts)
        for number, width in enumerate(self.hidden, start=1):
            values = self._block(values, number, width, parts)
            if self.attention is not None and self.attention.after == number:
                values = _between_tokens(values, width, self.attention, parts)
        return values

    def _block(self, values: Any, number: int, width: int, parts: Parts) -> Any:
        import keras

        result = values
        for layer in range(1, self.layers + 1):
            result = chained(result, parts.hidden(f"{number}_{layer}", width))
        if values.shape[-1] != width:
            return result
        return keras.layers.Add(name=f"{parts.prefix}add_{number}")([values, result])


def _between_tokens(values: Any, width: int, attention: VectorAttention, parts: Parts) -> Any:
    """The vector after its parts saw one another."""
    import keras

    size = width // attention.tokens
    block = Attending(width=size, heads=attention.heads, hidden=attention.hidden, norm="post")
    tokens = keras.layers.Reshape((attention.tokens, size), name=f"{parts.prefix}tokens")(values)
    seen = block.block(tokens, "tokens", lambda x: block.cross_attention(x, x, None, "tokens", parts), parts)
    return keras.layers.Flatten(name=f"{parts.prefix}from_tokens")(seen)
