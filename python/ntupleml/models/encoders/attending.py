"""What encoders with attention have in common: their settings, and blocks of attention and dense layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import chained, initializer

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.models.parts import Parts


class Attending(Encoder):
    """An encoder whose objects see one another."""

    kinds: ClassVar = ("objects",)
    #: Blocks of attention and dense layers.
    layers: Annotated[int, Field(ge=1, le=100)] = 3
    #: Numbers that describe an object inside.
    width: Width = 64
    #: Of each attention; they share the width.
    heads: Width = 4
    #: Width of the dense layer in each block; by default twice `width`.
    hidden: Width | None = None
    #: Layer normalisation before (``pre``) or after (``post``) attention and dense layers.
    norm: Literal["pre", "post"] = "pre"

    @model_validator(mode="after")
    def _whole_heads(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"heads: {self.heads} heads do not divide the width, {self.width}")
        return self

    def embedded(self, values: Any, parts: Parts) -> Any:
        """Objects in the width of the attention."""
        return parts.weighted("Dense", "embedding", self.width)(values)

    def block(self, values: Any, name: str, attention: Callable[[Any], Any], parts: Parts) -> Any:
        """Attention, then dense layers, each added to what it gets and normalised."""
        values = self._added(values, f"attention_{name}", attention, parts)
        return self._added(values, f"dense_{name}", lambda x: self._dense(x, name, parts), parts)

    def self_attention(self, values: Any, mask: Any, name: str, parts: Parts) -> Any:
        """What objects see of one another."""
        from ntupleml.models.layers import SelfAttention

        projected = parts.weighted("Dense", f"queries_keys_values_{name}", 3 * self.width)(values)
        seen = SelfAttention(self.heads, name=f"{parts.prefix}attention_{name}")([projected, mask])
        return parts.weighted("Dense", f"attended_{name}", self.width)(seen)

    def cross_attention(
        self,
        values: Any,
        objects: Any,
        mask: Any,
        name: str,
        parts: Parts,
        *,
        with_themselves: bool = False,
        bias: Any = None,
    ) -> Any:
        """What vectors see of objects (all of them where there is no mask), and of themselves if asked.

        A bias, rows × vectors × objects × heads, is added to how well a query fits a key; it needs a mask.
        """
        from ntupleml.models.layers import CrossAttention

        kind, share = ("queries_keys_values", 3) if with_themselves else ("queries", 1)
        given = [
            parts.weighted("Dense", f"{kind}_{name}", share * self.width)(values),
            parts.weighted("Dense", f"keys_values_{name}", 2 * self.width)(objects),
        ]
        given += [one for one in (mask, bias) if one is not None]
        seen = CrossAttention(self.heads, name=f"{parts.prefix}attention_{name}")(given)
        return parts.weighted("Dense", f"attended_{name}", self.width)(seen)

    def learnt(self, number: int, name: str, values: Any, parts: Parts) -> Any:
        """Vectors that are learnt, for as many rows as the values have."""
        from ntupleml.models.layers import LearntVectors

        first = initializer(parts.network.hidden_initializer, parts.next_seed())
        return LearntVectors(number, first, name=parts.prefix + name)(values)

    def class_token(self, values: Any, mask: Any, blocks: int, parts: Parts) -> Any:
        """What a vector that is learnt has seen of the objects after some blocks of its own.

        As in CaiT (Touvron et al., arXiv:2103.17239).
        """
        import keras

        token = self.learnt(1, "class_token", values, parts)
        for name in (f"class_{number}" for number in range(1, blocks + 1)):
            attention = partial(
                self.cross_attention, objects=values, mask=mask, name=name, parts=parts, with_themselves=True
            )
            token = self.block(token, name, attention, parts)
        if self.norm == "pre":
            token = self.normalised(token, "class_end", parts)
        return keras.layers.Flatten(name=f"{parts.prefix}pool")(token)

    def normalised(self, values: Any, name: str, parts: Parts) -> Any:
        """Layer normalisation."""
        import keras

        return keras.layers.LayerNormalization(name=f"{parts.prefix}norm_{name}")(values)

    def _added(self, values: Any, name: str, branch: Callable[[Any], Any], parts: Parts) -> Any:
        import keras

        added = branch(self.normalised(values, name, parts) if self.norm == "pre" else values)
        values = keras.layers.Add(name=f"{parts.prefix}add_{name}")([values, added])
        return values if self.norm == "pre" else self.normalised(values, name, parts)

    def _dense(self, values: Any, name: str, parts: Parts) -> Any:
        values = chained(values, parts.hidden(name, self.hidden or 2 * self.width, each_object=True))
        return parts.weighted("Dense", f"out_{name}", self.width)(values)
