"""Recurrent encoder: objects in their order, read by LSTMs or GRUs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class Recurrent(Encoder):
    """Convolutions over the objects, where asked for, then LSTMs or GRUs; the state after the last object counts."""

    kinds: ClassVar = ("objects",)
    needs_order: ClassVar = True
    #: Outputs of the convolutions.
    filters: list[Width] = []
    #: Objects that a convolution sees; 1: each object by itself.
    kernel: Annotated[int, Field(ge=1, le=1000)] = 1
    #: ``lstm`` or ``gru``.
    cell: Literal["lstm", "gru"] = "lstm"
    #: Outputs of each LSTM or GRU.
    units: Width = 10
    #: Number of LSTMs or GRUs, one after the other.
    layers: Annotated[int, Field(ge=1, le=100)] = 1
    #: Whether only slots with objects are read. Else all are, those without objects as zeros; this needs a `length`.
    masked: bool = True
    #: Whether dropout follows the first convolution, too.
    first_dropout: bool = True
    #: Whether dropout follows the last LSTM or GRU.
    last_dropout: bool = False

    @property
    def needs_length(self) -> bool:
        """Whether objects have to be a fixed number."""
        return not self.masked

    def encode(self, values: Any, mask: Any, parts: Parts, vectors: Any = None) -> Any:
        """Objects through the convolutions and the recurrent layers."""
        import keras

        from ntupleml.models.layers import MaskedPooling

        for number, width in enumerate(self.filters, start=1):
            values = chained(values, self._convolution(number, width, parts))
            if self.kernel > 1 and self.masked:  # the next layer sees zeros beyond the last object, whatever the length
                filled = keras.layers.Reshape((-1, 1), name=f"{parts.prefix}filled_{number}")(mask)
                values = keras.layers.Multiply(name=f"{parts.prefix}masked_{number}")([values, filled])
        for number in range(1, self.layers + 1):
            values = self._recurrent(number, parts)(values)
        if self.masked:
            values = MaskedPooling(["last"], name=f"{parts.prefix}last")([values, mask])
        return parts.dropped(values, "of_state") if self.last_dropout else values

    def _convolution(self, number: int, width: int, parts: Parts) -> list[Any]:
        drops = self.first_dropout or number > 1
        if self.kernel == 1:  # the same, and faster
            return parts.hidden(number, width, each_object=True, drops=drops)
        name = f"convolution_{number}"
        return parts.activated(
            "Conv1D", name, f"{number}", width, self.kernel, each_object=True, drops=drops, padding="same"
        )

    def _recurrent(self, number: int, parts: Parts) -> Any:
        import keras

        return parts.weighted(
            self.cell.upper(),
            self.cell if number == 1 else f"{self.cell}_{number}",
            self.units,
            return_sequences=self.masked or number < self.layers,
            recurrent_initializer=keras.initializers.Orthogonal(seed=parts.next_seed()),
        )
