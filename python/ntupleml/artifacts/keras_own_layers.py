"""Shapes of our own layers, `ntupleml.models.layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.artifacts.keras_shapes import Shape, Shapes, one_input, shown, size_of, wide
from ntupleml.features.vectors import COLUMNS, FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    Settings = Mapping[str, Any]


def is_vector_features(value: Any) -> bool:
    """Whether a value is a list of features of four-vectors."""
    return isinstance(value, list) and 1 <= len(value) <= len(FEATURES) and all(one in [*FEATURES] for one in value)


def of_objects(inputs: list[Shape]) -> tuple[int | None, int]:
    """Number and width of objects that come with a mask."""
    if len(inputs) != 2 or len(inputs[0]) != 2 or inputs[1] != inputs[0][:1]:
        raise ValueError(f"it gets {', '.join(shown(shape) for shape in inputs)} values; objects and a mask are needed")
    return inputs[0][0], wide(inputs[0])


def vector_features(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of four-vectors and a mask."""
    length, width = of_objects(inputs)
    if width != len(COLUMNS):
        raise ValueError(f"it gets {shown(inputs[0])} values; four-vectors are needed")
    return Shapes((length, len(settings["features"])))


def masked_pooling(settings: Settings, inputs: list[Shape]) -> Shapes:
    """All modes side by side, of objects or of what each object has of others."""
    if len(inputs) != 2 or inputs[1] != inputs[0][:-1] or len(inputs[1]) > (1 if "last" in settings["modes"] else 2):
        raise ValueError(f"it gets {', '.join(shown(shape) for shape in inputs)} values; objects and a mask are needed")
    return Shapes((*inputs[0][:-2], len(settings["modes"]) * wide(inputs[0])))


def self_attention(settings: Settings, inputs: list[Shape]) -> Shapes:
    """A third of queries, keys and values."""
    length, width = of_objects(inputs)
    if width % (3 * settings["heads"]):
        raise ValueError(f"its {settings['heads']} heads do not divide {width} queries, keys and values")
    return Shapes((length, width // 3), between=settings["heads"] * size_of((length, length)))


def cross_attention(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Queries (or queries, keys and values) of vectors; keys and values of objects; their mask; a bias of pairs."""
    if not 2 <= len(inputs) <= 4 or [len(shape) for shape in inputs] != [2, 2, 1, 3][: len(inputs)]:
        raise ValueError(
            f"it gets {', '.join(shown(shape) for shape in inputs)} values; queries, keys with values, a mask and a "
            "bias of pairs are read"
        )
    (number, given), (length, both), heads = inputs[0], inputs[1], settings["heads"]
    width = wide(inputs[1]) // 2
    if both != 2 * width or width % heads or given not in (width, 3 * width):
        raise ValueError(f"its {heads} heads do not divide {given} queries and {both} keys and values")
    if given != width and (number is None or len(inputs) > 3):
        raise ValueError("vectors that see themselves as well are a fixed number, and without a bias of pairs")
    if inputs[2:3] not in ([], [(length,)]) or inputs[3:] not in ([], [(number, length, heads)]):
        raise ValueError(f"its inputs have {', '.join(shown(shape) for shape in inputs)} values")
    return Shapes((number, width), between=heads * size_of((number, length)))


def learnt_vectors(settings: Settings, inputs: list[Shape]) -> Shapes:
    """A fixed number of vectors as wide as the objects."""
    shape = (settings["number"], wide(one_input(inputs, rank=2)))
    return Shapes(shape, (shape,))


def latent_draw(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of means and as many log variances."""
    if len(inputs) != 2 or inputs[0] != inputs[1] or len(inputs[0]) != 1:
        raise ValueError(
            f"it gets {', '.join(shown(shape) for shape in inputs)} values; means and log variances are read"
        )
    return Shapes(inputs[0])


def periodic_padding(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Images with more pixels at all ends, in φ those of the other end."""
    eta, phi, channels = one_input(inputs, rank=3)
    size = settings["size"]
    if eta is None or phi is None or size > phi:
        raise ValueError(f"it adds {size} pixels of the other end to {shown((eta, phi))} pixels")
    return Shapes((eta + 2 * size, phi + 2 * size, channels))
