"""Shapes of our own layers on pairs of objects and on neighbours, `ntupleml.models.layers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.artifacts.keras_options import is_whole
from ntupleml.artifacts.keras_own_layers import masked_pooling, of_objects
from ntupleml.artifacts.keras_shapes import Shape, Shapes, shown, size_of, wide
from ntupleml.features.pairs import known_pair_feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    Settings = Mapping[str, Any]

#: Features and neighbours that a layer may ask for.
_MOST_FEATURES, _MOST_NEIGHBOURS = 100, 1000


def is_pair_features(value: Any) -> bool:
    """Whether a value is a list of features of pairs."""
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_FEATURES:
        return False
    try:
        return all(isinstance(name, str) and known_pair_feature(name) for name in value)
    except ValueError:
        return False


def is_neighbours(value: Any) -> bool:
    """Whether a value is a number of neighbours."""
    return is_whole(value) and value <= _MOST_NEIGHBOURS


def pair_features(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of four-vectors and a mask."""
    length = _of_vectors(inputs)
    return Shapes((length, length, len(settings["features"])))


def adjacency(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of four-vectors and a mask."""
    length = _of_vectors(inputs)
    return Shapes((length, length))


def propagation(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of objects and their links."""
    if [len(shape) for shape in inputs] != [2, 2] or inputs[1] != (inputs[0][0], inputs[0][0]):
        raise _wrong(inputs, "objects and their links")
    return Shapes((inputs[0][0], wide(inputs[0])))


def pair_sums(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of two values of objects, and maybe one of pairs."""
    if len(inputs) not in (2, 3) or len(inputs[0]) != 2 or inputs[1] != inputs[0]:
        raise _wrong(inputs, "two values of objects, maybe one of pairs,")
    result = (inputs[0][0], *inputs[0])
    if inputs[2:] not in ([], [result]):
        raise _wrong(inputs, "two values of objects, maybe one of pairs,")
    return Shapes((*result[:2], wide(result)))


def pair_attention(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of objects, scores of pairs per head, and links."""
    if [len(shape) for shape in inputs] != [2, 3, 2]:
        raise _wrong(inputs, "objects, scores of pairs and links")
    (length, width), heads = (inputs[0][0], wide(inputs[0])), wide(inputs[1])
    if inputs[1:] != [(length, length, heads), (length, length)] or width % heads:
        raise _wrong(inputs, "objects, scores of pairs and links")
    return Shapes((length, width))


def neighbours(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of objects and a mask; of four-vectors where angles count."""
    length, width = of_objects(inputs)
    if settings.get("angular"):
        _of_vectors(inputs)
    return Shapes((length, settings["neighbours"]), between=size_of((length, length, width)))


def neighbour_sums(_settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of two values of objects, and places of neighbours."""
    if [len(shape) for shape in inputs] != [2, 2, 2] or inputs[0] != inputs[1] or inputs[2][0] != inputs[0][0]:
        raise _wrong(inputs, "two values of objects and places of neighbours")
    return Shapes((inputs[0][0], wide(inputs[2]), wide(inputs[0])))


def neighbour_pooling(settings: Settings, inputs: list[Shape]) -> Shapes:
    """Of edges and places of neighbours."""
    if [len(shape) for shape in inputs] != [3, 2]:
        raise _wrong(inputs, "edges and places of neighbours")
    return masked_pooling(settings, inputs)


def values_with_mask(inputs: list[Shape]) -> Shape:
    """Shape of values of objects or of pairs that come with the mask of the objects."""
    if len(inputs) != 2 or len(inputs[1]) != 1 or inputs[0][:-1] not in (inputs[1], inputs[1] * 2):
        raise _wrong(inputs, "objects or pairs, and the mask of the objects")
    return inputs[0]


def _of_vectors(inputs: list[Shape]) -> int | None:
    length, width = of_objects(inputs)
    if width != 4:
        raise _wrong(inputs, "four-vectors and a mask")
    return length


def _wrong(inputs: list[Shape], wanted: str) -> ValueError:
    return ValueError(f"it gets {', '.join(shown(shape) for shape in inputs)} values; {wanted} are needed")
