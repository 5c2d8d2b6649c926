"""Lorentz interaction network: objects exchange messages that depend on products of their four-vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ntupleml.models.encoders.encoder import Width  # noqa: TC001  (pydantic reads it)
from ntupleml.models.encoders.graph import GraphEncoder, PairNames, activated, activation, added, normalised_pairs

if TYPE_CHECKING:
    from ntupleml.models.parts import Parts


class LorentzInteraction(GraphEncoder):
    """Interaction network (Battaglia et al., arXiv:1612.00222) with Minkowski products as in LorentzNet.

    Each block updates edges, objects and the event, one after the other (Battaglia et al., arXiv:1806.01261). What
    edges know of a pair is ψ(x) = sign(x) log(|x| + 1) of the product of its four-vectors and of its squared mass
    (Gong et al., arXiv:2201.08187). A sigmoid weighs each message. The scores are invariant where the features of the
    objects are, such as mass and b-tag.
    """

    #: Blocks.
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    #: Numbers that describe a pair, an object and the event inside.
    width: Width = 32
    #: Features of pairs.
    pairs: PairNames = ["psi_product", "psi_mass2"]

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through all blocks; then they are pooled, beside the event."""
        import keras

        links = self.linked(vectors, mask, None, parts)
        pairs = normalised_pairs(self.pairs, vectors, mask, parts)
        values = parts.weighted("Dense", "embedding", self.width)(values)
        event = self._row(self._mean(values, mask, "0", parts), "0", parts)
        for number in map(str, range(1, self.layers + 1)):
            messages = self._messages(values, event, pairs, links, number, parts)
            values = self._objects(values, event, messages, mask, number, parts)
            more = [event, self._row(self._mean(values, mask, number, parts), number, parts)]
            more = keras.layers.Concatenate(name=f"{parts.prefix}with_event_{number}")(more)
            event = added(event, activated(f"event_{number}", self.width, parts)(more), f"event_{number}", parts)
        event = keras.layers.Flatten(name=f"{parts.prefix}event")(event)
        return keras.layers.Concatenate(name=f"{parts.prefix}all")([self.pooled(values, mask, parts), event])

    def _messages(self, values: Any, event: Any, pairs: Any, links: Any, number: str, parts: Parts) -> Any:
        """What all others tell each object; the first layer on pairs costs one on objects and one on the event."""
        import keras

        from ntupleml.models.layers import MaskedPooling, PairSums

        first = self._with_event(values, event, f"first_{number}", parts)
        second = parts.weighted("Dense", f"second_{number}", self.width, use_bias=False)(values)
        of_pairs = parts.weighted("Dense", f"pairs_{number}", self.width, use_bias=False)(pairs)
        edges = PairSums(name=f"{parts.prefix}sums_{number}")([first, second, of_pairs])
        edges = activation(f"sums_{number}", parts)(edges)
        edges = activated(f"edges_{number}", self.width, parts)(edges)
        weights = parts.weighted("Dense", f"weights_{number}", 1, activation="sigmoid")(edges)
        edges = keras.layers.Multiply(name=f"{parts.prefix}messages_{number}")([edges, weights])
        return MaskedPooling(["mean"], name=f"{parts.prefix}told_{number}")([edges, links])

    def _objects(self, values: Any, event: Any, messages: Any, mask: Any, number: str, parts: Parts) -> Any:
        """The objects with what they were told."""
        import keras

        more = keras.layers.Concatenate(name=f"{parts.prefix}with_messages_{number}")([values, messages])
        more = parts.ended(self._with_event(more, event, f"objects_{number}", parts), mask, number)
        return added(values, parts.weighted("Dense", f"out_{number}", self.width)(more), f"objects_{number}", parts)

    def _with_event(self, values: Any, event: Any, name: str, parts: Parts) -> Any:
        """Dense layer on each object together with the event."""
        import keras

        of_event = parts.weighted("Dense", f"event_in_{name}", self.width, use_bias=False)(event)
        of_objects = parts.weighted("Dense", name, self.width)(values)
        return keras.layers.Add(name=f"{parts.prefix}of_both_{name}")([of_objects, of_event])

    def _mean(self, values: Any, mask: Any, number: str, parts: Parts) -> Any:
        from ntupleml.models.layers import MaskedPooling

        return MaskedPooling(["mean"], name=f"{parts.prefix}mean_{number}")([values, mask])

    def _row(self, values: Any, number: str, parts: Parts) -> Any:
        """The event as if it were one object."""
        import keras

        return keras.layers.Reshape((1, self.width), name=f"{parts.prefix}row_{number}")(values)
