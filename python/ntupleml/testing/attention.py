"""Which objects a network with attention looks at: mean attention by class and head, objects by their names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of
from ntupleml.metrics.attention import AttentionMap, AttentionPart, attention_map
from ntupleml.plots.attention import draw_attention
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.input_columns import labels_of_objects
from ntupleml.testing.networks import first_network, graph_of, has_network, network_of
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.onnx_models.inner_values import Attention
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.networks import Network

#: Events that are looked at unless more are asked for, objects that are shown, and rows of a table.
_MOST_EVENTS, _MOST_OBJECTS, _LONGEST_TABLE = 5_000, 20, 10
#: Pictures that are announced: layers of attention that a network may have.
_MOST_LAYERS = 200
_INTRODUCTION = (
    "Row: the object that looks. Column: the object that is looked at, and the share of the attention that it gets, in "
    "the mean over the events that have both. Equal shares would be one over the number of objects. "
    "'Learnt' are vectors of the network, such as class tokens, seeds and induced points."
)


class NamedObjects(NamedTuple):
    """Objects of some events by their names."""

    names: list[str]
    #: Shape (n_events, n_names). The slot of each; −1 where the event has none.
    slots: NDArray[np.int64]


class LayerAttention(NamedTuple):
    """Attention of one layer."""

    queries: list[str]
    keys: list[str]
    #: By class.
    maps: dict[str, AttentionMap]


def has_attention(material: Material) -> bool:
    """Whether the network looks at objects with attention."""
    if not has_network(material):
        return False
    model = first_network(material)[1]
    return bool(_layers(graph_of(model), groups_of(model.record.groups)))


def attention_of_objects(material: Material) -> Answer:
    """Mean attention of every layer, by class and head."""
    material.announce(f"attention_{number}" for number in range(1, _MOST_LAYERS))
    asked = None if material.for_page else material.preparation.asked_events
    network = network_of(material, asked or _MOST_EVENTS)
    if not (layers := _layers(network.graph, network.groups)):
        raise NtuplemlError(
            f"{network.method}: the network of model {network.model.record.fold} has no attention; encoders such as "
            "transformer have"
        )
    found = {}
    pictures = []
    for number, (value, group) in enumerate(layers, start=1):
        masks = any(one.is_masked for one, other in layers if other is group)
        one = found[number] = _attention(network, value, group, masks=masks)
        caption = f"Attention {number}, of {group.name}: {network.in_words}. Grey: no event has both."
        numbers = {"method": network.method, "model": network.model.record.fold, "queries": one.queries}
        numbers |= {"keys": one.keys, "classes": {name: _plain(own) for name, own in one.maps.items()}}
        draw = partial(draw_attention, one.maps, one.queries, one.keys)
        pictures.append(Picture(f"attention_{number}", caption, draw, numbers, (_table(one),)))
    remarks = tuple(f"attention {number}: {_most_seen(one)}" for number, one in found.items())
    shown = Group("", pictures=tuple(pictures), method=network.method)
    return Answer(_INTRODUCTION, (shown,), numbers=found, remarks=remarks)


def _layers(graph: onnx.ModelProto, groups: Sequence[InputGroup]) -> list[tuple[Attention, InputGroup]]:
    """Attention between objects of one group."""
    from ntupleml.onnx_models.inner_values import attention_values

    of_objects = {group.name: group for group in groups if group.objects is not None}
    found = []
    for value in attention_values(graph):
        behind = [of_objects[name] for name in value.inputs if name in of_objects]
        if len(behind) == 1:
            found.append((value, behind[0]))
    return found


def _attention(network: Network, value: Attention, group: InputGroup, *, masks: bool) -> LayerAttention:
    from ntupleml.onnx_models.inner_values import inner_values

    batch = network.batch
    attention = np.concatenate([one[value.name] for one in inner_values(network.graph, [value.name], batch)])
    objects = named_objects(group, batch[group.name], batch[f"{group.name}_length"])
    queries, keys = on_axes(objects, batch[group.name].shape[1], value, attention.shape[2:], masks=masks)
    events = network.events
    maps = {
        name: attention_map(
            AttentionPart(attention[rows], queries.slots[rows], keys.slots[rows], events.weights[rows])
            for rows in _blocks(np.flatnonzero(events.truth == index))
        )
        for index, name in enumerate(events.classes)
    }
    return LayerAttention(queries.names, keys.names, maps)


def named_objects(group: InputGroup, values: NDArray[np.float32], lengths: NDArray[np.int64]) -> NamedObjects:
    """Objects by their collection and their place in it, the first 20 that any event has.

    Parameters
    ----------
    values : array, shape (n_events, n_slots, n_variables)
        Raw, as a graph takes them.
    lengths : array of int64, shape (n_events,)
    """
    number, size = values.shape[:2]
    labels = labels_of_objects([group])[group.name]
    kinds = values[:, :, -1].astype(np.int64) if len(group.collections) > 1 else np.zeros((number, size), np.int64)
    is_there = np.arange(size) < np.minimum(lengths, size)[:, None]
    names: list[str] = []
    slots = []
    for kind, label in enumerate(labels):
        own = is_there & (kinds == kind)
        places = np.cumsum(own, axis=1) - 1
        for place in range(int(own.sum(axis=1).max(initial=0))):
            here = own & (places == place)
            slots.append(np.where(here.any(axis=1), here.argmax(axis=1), -1))
            names.append(f"{label} {place + 1}")
        if names and names[-1] == f"{label} 1":
            names[-1] = label
    shown = slots[:_MOST_OBJECTS]
    return NamedObjects(names[:_MOST_OBJECTS], np.stack(shown, axis=1) if shown else np.empty((number, 0), np.int64))


def on_axes(
    objects: NamedObjects, size: int, value: Attention, shape: Sequence[int], *, masks: bool
) -> tuple[NamedObjects, NamedObjects]:
    """What looks and what is looked at: objects, vectors that are learnt, or these and then objects.

    Parameters
    ----------
    size : int
        Slots of objects.
    shape : sequence of int
        Number of what looks, and of what is looked at.
    masks : bool
        Whether the network knows empty slots; where it looks at what has none, these are no objects.
    """
    num_queries, num_keys = shape
    of_objects = value.is_masked or not masks
    if of_objects and num_keys == size + num_queries:
        own, shift = _learnt(num_queries, len(objects.slots)), np.where(objects.slots >= 0, num_queries, 0)
        both = np.concatenate([own.slots, objects.slots + shift], axis=1)
        return own, NamedObjects(own.names + objects.names, both)
    queries = objects if num_queries == size and value.has_queries_of_inputs else None
    keys = objects if num_keys == size and of_objects else None
    return queries or _learnt(num_queries, len(objects.slots)), keys or _learnt(num_keys, len(objects.slots))


def _learnt(number: int, num_events: int) -> NamedObjects:
    names = [f"learnt {index + 1}" for index in range(min(number, _MOST_OBJECTS))]
    return NamedObjects(names, np.broadcast_to(np.arange(len(names)), (num_events, len(names))))


def _blocks(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for start in range(0, max(len(rows), 1), 500):
        yield rows[start : start + 500]


def _plain(one: AttentionMap) -> dict[str, object]:
    """As a file has it, with what is undefined in words."""

    def plain(numbers: NDArray[np.float64]) -> list[object]:
        listed: list[object] = [
            plain(part)
            if np.ndim(part)
            else float(part)
            if np.isfinite(part)
            else "undefined: no events that have both"
            for part in numbers
        ]
        return listed

    return {"means": plain(one.means), "uncertainties": plain(one.uncertainties), "events": one.events.tolist()}


def _ranked(one: LayerAttention) -> list[tuple[float, float, str, str, str]]:
    """Means over the heads, the largest first: value, uncertainty, class, and who sees whom."""
    return sorted(
        (
            (float(value), float(error), name, query, key)
            for name, own in one.maps.items()
            for query, values, errors in zip(
                one.queries, own.means.mean(axis=0), np.sqrt(np.square(own.uncertainties).mean(axis=0)), strict=True
            )
            for key, value, error in zip(one.keys, values, errors, strict=True)
            if np.isfinite(value)
        ),
        reverse=True,
    )


def _table(one: LayerAttention) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, query, key, f"{value:.3f}") for value, _, name, query, key in _ranked(one)[:_LONGEST_TABLE]
    ]
    return Table(("Class", "Sees", "Is seen", "Mean over the heads"), tuple(rows), "The largest")


def _most_seen(one: LayerAttention) -> str:
    ranked: Sequence[tuple[float, float, str, str, str]] = _ranked(one)
    if not ranked:
        return "undefined: no events with objects"
    value, _, name, query, key = ranked[0]
    return f"'{query}' looks most at '{key}' in '{name}', {value:.3f}"
