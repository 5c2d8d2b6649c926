"""Where a network puts events before its last layer, by class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.embedding import MOST_POINTS, neighbourhoods, principal_components
from ntupleml.metrics.measurement import Undefined
from ntupleml.plots.embedding import MOST_DRAWN, draw_embedding
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.networks import first_network, graph_of, has_network, network_of
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.networks import Network

#: Events that are taken unless more are asked for, and components in the table.
_MOST_EVENTS, _LONGEST_TABLE = 5_000, 10


def has_embedding(material: Material) -> bool:
    """Whether there is a network with a dense layer at its end, which one from images to images has not."""
    from ntupleml.onnx_models.inner_values import before_last_layer

    return has_network(material) and before_last_layer(graph_of(first_network(material)[1])) is not None


def embedding_of_events(material: Material, *, tsne: bool = False) -> Answer:
    """What the last layer of a network takes, by its principal components.

    Parameters
    ----------
    tsne : bool, default: False
        Whether the plane of t-SNE is drawn, too, of at most 2,000 events.
    """
    material.announce(["embedding"])
    asked = None if material.for_page else material.preparation.asked_events
    network = network_of(material, min(asked or _MOST_EVENTS, MOST_POINTS) if tsne else asked or _MOST_EVENTS)
    rows = embedded_events(network)
    found = principal_components(rows)
    truth, classes = network.events.truth, network.events.classes
    caption = (
        f"What the last layer takes, {rows.shape[1]} numbers per event, by principal components: {network.in_words}."
    )
    numbers: dict[str, Any] = {"method": network.method, "model": network.model.record.fold, "events": len(rows)}
    numbers["width"] = rows.shape[1]
    planes: dict[tuple[str, str], NDArray[np.float64] | Undefined] = {}
    tables: tuple[Table, ...] = ()
    if isinstance(found, Undefined):
        planes["First component", "Second component"] = found
        numbers["share_of_variance"] = str(found)
    else:
        shares = [*found.shares, 0.0]
        planes[f"First component ({shares[0]:.0%})", f"Second component ({shares[1]:.0%})"] = found.points
        numbers["share_of_variance"] = found.shares.tolist()
        numbers["components_with_95_percent"] = found.needed
        numbers["mean_of_classes"] = {
            name: found.points[truth == index].mean(axis=0).tolist()
            if (truth == index).any()
            else "undefined: no events"
            for index, name in enumerate(classes)
        }
        listed = tuple((number, f"{share:.1%}") for number, share in enumerate(found.shares[:_LONGEST_TABLE], start=1))
        tables = (Table(("Component", "Share of the variance"), listed),)
        caption += f" The first {found.needed} have 95 % of the variance." if found.needed > 1 else ""
    if len(rows) > MOST_DRAWN:
        caption += f" {MOST_DRAWN} events are drawn."
    if tsne:
        planes["t-SNE, first", "t-SNE, second"] = neighbourhoods(rows, material.seed)
        caption += " In the plane of t-SNE neighbours stay neighbours; distances between groups mean nothing."
    picture = Picture("embedding", caption, partial(draw_embedding, planes, truth, classes), numbers, tables)
    return Answer("", (Group("", pictures=(picture,), method=network.method),), numbers={network.method: found})


def embedded_events(network: Network) -> NDArray[np.float32]:
    """What the last layer with weights takes, shape (n_events, width)."""
    from ntupleml.onnx_models.inner_values import before_last_layer, inner_values

    name = before_last_layer(network.graph)
    if name is None:
        raise NtuplemlError(f"{network.method}: the network has no dense layer, before which events could be shown")
    parts = [one[name] for one in inner_values(network.graph, [name], network.batch)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts])
