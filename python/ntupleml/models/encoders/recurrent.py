"""Recurrent encoder: objects in their order, read by an LSTM or GRU."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ntupleml.models.encoders.encoder import Encoder, Width
from ntupleml.models.parts import Parts, chained


class Recurrent(Encoder):
    """Convolutions over the objects, where asked for, then an LSTM or GRU; its state after the last object counts."""

    kinds: ClassVar = ("objects",)
    #: Outputs of the convolutions.
    filters: list[Width] = []
    #: Objects that a convolution sees; 1: each object by itself.
    kernel: Annotated[int, Field(ge=1, le=1000)] = 1
    #: ``lstm`` or ``gru``.
    cell: Literal["lstm", "gru"] = "lstm"
    #: Outputs of the LSTM or GRU.
    units: Width = 10

    def encode(self, values: Any, mask: Any, parts: Parts) -> Any:
        """Objects through the convolutions and the recurrent layer."""
        import keras

        from ntupleml.models.layers import MaskedPooling

        for number, width in enumerate(self.filters, start=1):
            values = chained(values, self._convolution(number, width, parts))
            if self.kernel > 1:  # the next layer sees zeros beyond the last object, however many there are
                filled = keras.layers.Reshape((-1, 1), name=f"{parts.prefix}filled_{number}")(mask)
                values = keras.layers.Multiply(name=f"{parts.prefix}masked_{number}")([values, filled])
        values = parts.weighted(
            self.cell.upper(),
            self.cell,
            self.units,
            return_sequences=True,
            recurrent_initializer=keras.initializers.Orthogonal(seed=parts.next_seed()),
        )(values)
        return MaskedPooling(["last"], name=f"{parts.prefix}last")([values, mask])

    def _convolution(self, number: int, width: int, parts: Parts) -> list[Any]:
        if self.kernel == 1:  # the same, and faster
            return parts.hidden(number, width, each_object=True)
        name = f"convolution_{number}"
        return parts.activated("Conv1D", name, f"{number}", width, self.kernel, each_object=True, padding="same")
