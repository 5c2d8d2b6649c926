"""What encoders have in common that take pairs of objects, made of their four-vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from ntupleml.config.schema import distinct
from ntupleml.features.pairs import known_pair_feature
from ntupleml.models.encoders.encoder import Encoder
from ntupleml.models.registries import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.models.parts import Parts

#: Features of pairs by their names, each once.
PairNames = Annotated[
    list[Annotated[str, AfterValidator(known_pair_feature)]], Field(min_length=1), AfterValidator(distinct)
]
#: Largest ΔR of objects that are linked.
Radius = Annotated[float, Field(gt=0, le=1000)]


class GraphEncoder(Encoder):
    """An encoder in which linked objects tell each other something, and that pools all of them at the end."""

    kinds: ClassVar = ("objects",)
    needs_vectors: ClassVar = True
    #: What is taken over the objects at the end: ``sum``, ``mean``, ``max``. All are 0 where there is no object.
    pool: Annotated[list[Literal["sum", "mean", "max"]], Field(min_length=1), AfterValidator(distinct)] = [
        "mean",
        "max",
    ]

    def pooled(self, values: Any, mask: Any, parts: Parts) -> Any:
        """The objects of a row together."""
        from ntupleml.models.layers import MaskedPooling

        return MaskedPooling(self.pool, name=f"{parts.prefix}pool")([values, mask])

    def linked(self, vectors: Any, mask: Any, radius: float | None, parts: Parts) -> Any:
        """Which objects are linked."""
        from ntupleml.models.layers import Adjacency

        return Adjacency(radius, name=f"{parts.prefix}links")([vectors, mask])


def normalised_pairs(names: Sequence[str], vectors: Any, mask: Any, parts: Parts) -> Any:
    """Features of all pairs, each normalised over the pairs that are there, as it is in any unit."""
    from ntupleml.models.layers import MaskedBatchNormalization, PairFeatures

    found = PairFeatures(names, name=f"{parts.prefix}pairs")([vectors, mask])
    return MaskedBatchNormalization(name=f"{parts.prefix}normalised_pairs")([found, mask])


def activated(name: str, width: int, parts: Parts) -> Any:
    """Dense layer with an activation alone: dropout of each pair would take longer than the layer."""
    return parts.weighted("Dense", name, width, activation=ACTIVATIONS[parts.activation])


def activation(name: str, parts: Parts) -> Any:
    """Activation of sums that dense layers have made."""
    import keras

    return keras.layers.Activation(ACTIVATIONS[parts.activation], name=f"{parts.prefix}activation_{name}")


def added(values: Any, more: Any, name: str, parts: Parts) -> Any:
    """What a block adds to the values; these go through a dense layer where the width changes."""
    import keras

    if values.shape[-1] != more.shape[-1]:
        values = parts.weighted("Dense", f"shortcut_{name}", more.shape[-1], use_bias=False)(values)
    return keras.layers.Add(name=f"{parts.prefix}add_{name}")([values, more])
