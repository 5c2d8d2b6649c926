"""A network of a Keras file as plain data: its layers, and which values they make from which."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.artifacts.keras_shapes import Part, Shape


@dataclass(frozen=True)
class KerasLayer:
    """A layer of a network."""

    #: Its class, a key of `LAYERS`.
    kind: str
    #: Its name, after those of the networks that it is in.
    names: tuple[str, ...]
    #: Where its weights are in the file.
    group: str
    #: As in the file.
    settings: Mapping[str, Any]
    #: What of it has weights: the layer itself where the place is empty. In their order in the file.
    parts: tuple[Part, ...]

    @property
    def weights(self) -> tuple[Shape, ...]:
        """Shapes of all weights, one part after the other."""
        return tuple(shape for part in self.parts for shape in part.weights)

    @property
    def title(self) -> str:
        """Name and class, for messages."""
        return f"layer '{one_line('/'.join(self.names), 100)}' ({self.kind})"


class LayerCall(NamedTuple):
    """One use of a layer: numbers of the values that go in, and of the one that comes out."""

    layer: KerasLayer
    inputs: tuple[int, ...]
    output: int


@dataclass
class KerasNetwork:
    """A network as plain data: values, numbered from 0, inputs first, and calls of layers that make one from others."""

    #: The file, for messages.
    where: str
    #: What Keras builds the same network from.
    config: dict[str, Any]
    #: Of the first values.
    input_names: tuple[str, ...] = ()
    #: Of each value, for one event.
    shapes: list[Shape] = field(default_factory=list)
    #: In order of computation; networks inside the network are resolved.
    calls: list[LayerCall] = field(default_factory=list)
    #: Values that are numbers, the same for each event.
    constants: dict[int, float] = field(default_factory=dict)
    #: Number of the value that the network gives.
    output: int = 0

    @property
    def layers(self) -> list[KerasLayer]:
        """Each layer once."""
        return list({call.layer.names: call.layer for call in self.calls}.values())

    @property
    def last(self) -> LayerCall:
        """The call that gives the output."""
        return next(call for call in self.calls if call.output == self.output)

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shapes of the inputs for one event, by their names."""
        return dict(zip(self.input_names, self.shapes, strict=False))

    @property
    def num_inputs(self) -> int:
        """Number of inputs per event of a network that takes a matrix.

        Raises
        ------
        NtuplemlError
            If it takes something else.
        """
        if len(self.input_names) != 1 or len(self.shapes[0]) != 1 or self.shapes[0][0] is None:
            inputs = ", ".join(f"'{one_line(name, 50)}' of shape {shape}" for name, shape in self.inputs.items())
            raise NtuplemlError(
                f"{self.where}: it takes {one_line(inputs, 200)}; one matrix, events × variables, is needed"
            )
        return self.shapes[0][0]

    @property
    def num_outputs(self) -> int:
        """Number of outputs per event."""
        (width,) = self.shapes[self.output]
        assert width is not None
        return width
