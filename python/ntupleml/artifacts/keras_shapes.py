"""Shapes of what layers take and give for one event: a matrix of events × 4 has the shape (4,).

None stands for a number of objects that differs from event to event.
"""

from __future__ import annotations

import math
from typing import NamedTuple

Shape = tuple[int | None, ...]


class Part(NamedTuple):
    """Part of a layer, where in it, and the shapes of its weights in their order in the file."""

    place: str
    weights: tuple[Shape, ...]


class Shapes(NamedTuple):
    """Output shape of a layer, shapes of its weights in the file's order, and the part that holds them."""

    output: Shape
    weights: tuple[Shape, ...] = ()
    part: str = ""
    #: Parts that have weights, too; these follow.
    further: tuple[Part, ...] = ()
    #: How many numbers it computes per event on the way, beside its output.
    between: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that have weights."""
        return (Part(self.part, self.weights), *self.further)


def size_of(shape: Shape) -> int:
    """How many numbers a value has per event; per object where their number differs."""
    return math.prod(one or 1 for one in shape)


def one_input(inputs: list[Shape], rank: int | None = None) -> Shape:
    """Shape of the one input of a layer."""
    if len(inputs) != 1:
        raise ValueError(f"it gets {len(inputs)} inputs")
    if not inputs[0] or (rank is not None and len(inputs[0]) != rank):
        raise ValueError(f"its input has the shape {inputs[0]}")
    return inputs[0]


def wide(shape: Shape) -> int:
    """Numbers along the last axis."""
    if not shape or shape[-1] is None:
        raise ValueError(f"its input has the shape {shape}, without an end")
    return shape[-1]


def shown(shape: Shape) -> str:
    """A shape as messages write it."""
    return " × ".join("any" if size is None else str(size) for size in shape) or "1"
