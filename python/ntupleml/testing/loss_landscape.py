"""The loss around the trained weights of a network, on events that it never saw."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.loss_landscape import filter_directions, loss_landscape
from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.metrics.permutation import log_losses
from ntupleml.plots.loss_landscape import draw_loss_landscape
from ntupleml.plots.pictures import Picture, Table
from ntupleml.targets import MEASURED
from ntupleml.testing.networks import network_of
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.measurement import Verdict
    from ntupleml.testing.material import Material
    from ntupleml.testing.networks import Network

#: Points along each direction, and events that are evaluated at each.
POINTS, _MOST_EVENTS = 15, 1_000


def landscape_of_loss(material: Material, *, points: int = POINTS) -> Answer:
    """Loss of a network on a grid of its weights.

    Parameters
    ----------
    points : int, default: 15
        Along each of the two directions.
    """
    material.announce(["loss_landscape"])
    network = network_of(material, material.preparation.asked_events or _MOST_EVENTS)
    squared = "squared residual, in units of the standard deviations"
    names: dict[str, str] = {"classes": "log loss", **dict.fromkeys(MEASURED, squared)}
    of_reconstruction = _loss_of_reconstruction(network.model.record.outputs).replace("_", " ")
    name = names.get(material.target, of_reconstruction)
    found = loss_landscape(_losses(network, material), network.events.weights, points)
    caption = (
        f"Mean {name} of {network.in_words}, over two random directions of its weights, each filter of which is as "
        "large as its weights (arXiv:1712.09913). In the middle are the trained weights."
    )
    numbers: dict[str, Any] = {"method": network.method, "model": network.model.record.fold, "seed": material.seed}
    numbers |= {"events": len(network.events), "loss": name}
    tables: tuple[Table, ...] = ()
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    if isinstance(found, Undefined):
        numbers["losses"] = str(found)
    else:
        numbers |= as_plain(found)
        header = ("Trained weights", "Smallest less that", "At the steps", "Largest")
        place = f"{found.place[0]:.2g}, {found.place[1]:.2g}"
        tables = (Table(header, ((found.trained, found.smallest, place, float(found.losses.max())),)),)
        verdicts = ((f"Loss around {network.method}", found.verdict),)
    draw: Callable[[Any], Any] = partial(draw_loss_landscape, found, name)
    picture = Picture("loss_landscape", caption, draw, numbers, tables)
    remarks = () if isinstance(found, Undefined) else (found.verdict.text,)
    group = Group("", pictures=(picture,), method=network.method)
    return Answer("", (group,), verdicts, {network.method: found}, remarks)


def _loss_of_reconstruction(outputs: Sequence[str]) -> str:
    """Score that comes nearest to the loss of a network that gives its inputs back."""
    return "reconstruction_error" if "reconstruction_error" in outputs else outputs[0]


def _losses(network: Network, material: Material) -> Callable[[float, float], NDArray[np.float64]]:
    """Loss of each event by the steps along two random directions."""
    from ntupleml.onnx_models.inner_values import in_batches, weights_as_inputs
    from ntupleml.onnx_models.sessions import new_session

    graph, weights = weights_as_inputs(network.graph)
    if not weights:
        raise NtuplemlError(f"{network.method}: the network has no matrices of weights, which could be changed")
    session = new_session(graph.SerializeToString())
    first, second = filter_directions(weights, material.seed)
    batch, events = network.batch, network.events
    units, outputs = network.model.record.target.units, network.model.record.outputs
    place = outputs.index(_loss_of_reconstruction(outputs)) if material.target == "reconstruction" else 0

    def losses(one: float, other: float) -> NDArray[np.float64]:
        changed = {
            name: weight.values + np.float32(one) * first[name] + np.float32(other) * second[name]
            for name, weight in weights.items()
        }
        scores = np.concatenate([part["scores"] for part in in_batches(session, ["scores"], batch, changed)])
        if material.target == "classes":
            return log_losses(scores, events.truth)
        if material.target in MEASURED:
            return np.asarray(np.square((scores - events.target) / units).mean(axis=1))
        return scores[:, place].astype(np.float64)

    return losses
