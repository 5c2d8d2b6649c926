"""Transformer encoder: each object sees all others."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class Transformer(Encoder):
    """Self-attention and dense layers for each object, then the mean over the objects; their order does not count."""

    kinds: ClassVar = ("objects",)
    #: Pairs of attention and dense layers.
    layers: Annotated[int, Field(ge=1, le=100)] = 3
    #: Numbers that describe an object inside.
    width: Width = 64
    #: Of each attention; they share the width.
    heads: Width = 4
    #: Width of the dense layer in each pair; by default twice `width`.
    hidden: Width | None = None
    #: Layer normalisation before (``pre``) or after (``post``) attention and dense layers.
    norm: Literal["pre", "post"] = "pre"

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} heads do not divide the width, {self.width}")
        return self

    def encode(self, values: Any, mask: Any, parts: Parts) -> Any:
        """Objects through all pairs, then their mean."""
        from ntupleml.models.layers import MaskedPooling

        values = parts.weighted("Dense", "embedding", self.width)(values)
        for number in range(1, self.layers + 1):
            values = self._residual(
                values, f"attention_{number}", lambda x, n=number: self._attention(x, mask, n, parts), parts
            )
            values = self._residual(values, f"dense_{number}", lambda x, n=number: self._dense(x, n, parts), parts)
        if self.norm == "pre":
            values = _norm(values, "end", parts)
        return MaskedPooling(["mean"], name=f"{parts.prefix}pool")([values, mask])

    def _residual(self, values: Any, name: str, branch: Any, parts: Parts) -> Any:
        """What a branch adds to the values, with normalisation."""
        import keras

        added = branch(_norm(values, name, parts) if self.norm == "pre" else values)
        values = keras.layers.Add(name=f"{parts.prefix}add_{name}")([values, added])
        return values if self.norm == "pre" else _norm(values, name, parts)

    def _attention(self, values: Any, mask: Any, number: int, parts: Parts) -> Any:
        from ntupleml.models.layers import SelfAttention

        projected = parts.weighted("Dense", f"queries_keys_values_{number}", 3 * self.width)(values)
        seen = SelfAttention(self.heads, name=f"{parts.prefix}attention_{number}")([projected, mask])
        return parts.weighted("Dense", f"attended_{number}", self.width)(seen)

    def _dense(self, values: Any, number: int, parts: Parts) -> Any:
        values = chained(values, parts.hidden(number, self.hidden or 2 * self.width, each_object=True))
        return parts.weighted("Dense", f"out_{number}", self.width)(values)


def _norm(values: Any, name: str, parts: Parts) -> Any:
    import keras

    return keras.layers.LayerNormalization(name=f"{parts.prefix}norm_{name}")(values)
