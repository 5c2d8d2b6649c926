"""The layer of steps of preprocessing of slots, for networks that have them inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from ntupleml.config.slots import maker_of_layer
from ntupleml.models.layers.objects import OfObjects, registered
from ntupleml.models.layers.pairs import KERAS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@registered
class SlotSteps(OfObjects):
    """Steps of preprocessing of raw slots: pT, η and φ of a fixed number of objects of each type.

    It is called with rows × slots × 3, or the same flat, and gives an array of this shape.

    Parameters
    ----------
    slots : mapping of str to int, or sequence of pairs
        Types in their order, and how many slots each has.
    steps : sequence
        As in a config: names, or blocks of a name and its settings. Steps that are fitted to events are refused.

    Raises
    ------
    ValueError
        For an unknown step, type or setting, and a step that is fitted.

    Examples
    --------
    >>> import numpy as np
    >>> layer = SlotSteps({"jets": 2, "met": 1}, ["delta_phi", "met", {"thresholds": {"jets": 30}}])
    >>> layer(np.array([[[40, 1, 2], [20, 1, 1], [0, 0, 1]]], np.float32)).numpy().tolist()
    [[[40.0, 1.0, 0.0], [0.0, 0.0, -0.0], [0.0010000000474974513, 0.0, 0.0]]]
    """

    settings = ("slots", "steps")

    def __init__(
        self, slots: Mapping[str, int] | Sequence[Sequence[Any]], steps: Sequence[Any] = (), **options: Any
    ) -> None:
        super().__init__(**options)
        self._maker = maker_of_layer(slots, steps)
        self.slots = [list(one) for one in zip(*self._maker.types, strict=True)]
        self.steps = [dict(step) for step in self._maker.steps]

    def compute_output_shape(self, shape: Any) -> tuple[int | None, ...]:
        """As the input."""
        return tuple(shape)

    def call(self, inputs: Any) -> Any:
        """Do the steps."""
        flat = ops.reshape(inputs, (-1, 3 * self._maker.types.total))
        numbers = self._maker.numbers(self._maker.events(KERAS, flat))
        return ops.reshape(numbers, (-1, *inputs.shape[1:]))
