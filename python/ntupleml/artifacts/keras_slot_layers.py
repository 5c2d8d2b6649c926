"""The layer of steps of slots, `ntupleml.models.layers.slots`: its settings and its shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.artifacts.keras_shapes import Shape, Shapes, one_input, shown
from ntupleml.config.slots import maker_of_layer

if TYPE_CHECKING:
    from collections.abc import Mapping

    Settings = Mapping[str, Any]

#: Types and slots that a layer may have: it computes distances of all pairs.
_MOST_TYPES, _MOST_SLOTS = 20, 200
#: Steps, and settings of one.
_MOST_STEPS = 20


def is_slots(value: Any) -> bool:
    """Whether a value is a list of types with their numbers of slots."""
    return (
        isinstance(value, list)
        and 1 <= len(value) <= _MOST_TYPES
        and all(isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in value)
        and all(isinstance(one[1], int) and 1 <= one[1] <= _MOST_SLOTS for one in value)
        and sum(one[1] for one in value) <= _MOST_SLOTS
    )


def is_steps(value: Any) -> bool:
    """Whether a value is a list of blocks; which, is seen with the types."""
    return isinstance(value, list) and len(value) <= _MOST_STEPS and all(isinstance(one, dict) for one in value)


def slot_steps(settings: Settings, inputs: list[Shape]) -> Shapes:
    """As the slots, which may be flat."""
    maker, shape = maker_of_layer(settings["slots"], settings.get("steps", [])), one_input(inputs)
    if shape not in ((maker.types.total, 3), (3 * maker.types.total,)):
        raise ValueError(f"it gets {shown(shape)} values, but has {maker.types.total} slots of 3")
    return Shapes(shape)
