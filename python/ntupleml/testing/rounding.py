"""Quantised networks: what each layer costs in hardware, and what the rounding does to the scores."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.metrics.regression import regression
from ntupleml.metrics.roc import roc_against_rest
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.regression import draw_truth_and_prediction
from ntupleml.testing.networks import first_network, has_network, network_of
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.metrics.measurement import Measurement
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.networks import Network

#: Events on which scores are compared, where no number is asked for.
_MOST_EVENTS = 100_000
_HEADER = ("Model", "Layer", "Inputs", "Units", "Bits of inputs", "of weights", "of biases", "Weights not 0")
_INTRODUCTION = (
    "Bits are means over the numbers of a layer, the sign included. EBOPs are effective bit operations, a measure of "
    "the resources on an FPGA (arXiv:2405.00645). The network without rounding has the same weights, "
    "and cuts no range."
)


def has_quantised(material: Material) -> bool:
    """Whether the first network is quantised."""
    return has_network(material) and bool(first_network(material)[1].record.quantised)


def resources_and_rounding(material: Material) -> Answer:
    """Tables of resources of all models, and scores of one model with and without rounding."""
    names = material.preparation.training.outputs
    material.announce(f"rounding_{name}" for name in names)
    records = _records(material)
    method, model = first_network(material)
    if not model.record.quantised:
        raise NtuplemlError(f"{method}: no quantised network; train one with model.quantised")
    network = network_of(material, material.preparation.asked_events or _MOST_EVENTS)
    resources = Table((*_HEADER, "Widest sum", "EBOPs"), tuple(row for one in records for row in _rows(one)))
    rounded, plain = _scores(network)
    found = {
        name: regression(plain[:, index], rounded[:, index], network.events.weights) for index, name in enumerate(names)
    }
    tables = [resources]
    areas = _areas(network, rounded, plain) if material.target == "classes" else {}
    if areas:
        rows = tuple((name, *pair) for name, pair in areas.items())
        tables.append(Table(("Class", "Area under the ROC curve, rounded", "not rounded"), rows))
    numbers = {"resources": [one.quantised for one in records], "areas": as_plain(areas)}
    pictures = tuple(_picture(network, name, one, numbers) for name, one in found.items())
    total = records[0].quantised["ebops"]
    remark = f"{network.method}: {total:,} EBOPs; {_in_words(found)}"
    return Answer(
        _INTRODUCTION,
        (Group("", (), tuple(tables), pictures, network.method),),
        numbers={"rounding": found, "areas": areas, "resources": numbers["resources"]},
        remarks=(remark,),
    )


def _records(material: Material) -> list[TrainingRecord]:
    """Records of the quantised networks."""
    trained = material.preparation.trained.values()
    return [model.record for models in trained for model in models if model.record.quantised]


def _rows(record: TrainingRecord) -> list[tuple[Cell, ...]]:
    layers = record.quantised["layers"]
    rows: list[tuple[Cell, ...]] = [
        (
            f"{record.method} {record.fold}",
            one["layer"],
            one["inputs"],
            one["units"],
            *(round(one[f"{what}_bits"], 1) for what in ("input", "weight", "bias")),
            one["nonzero_weights"],
            one["sum_bits"],
            one["ebops"],
        )
        for one in layers
    ]
    together: tuple[Cell, ...] = ("",) * (len(_HEADER) - 2)
    return [*rows, (f"{record.method} {record.fold}", "all", *together, "", record.quantised["ebops"])]


def _scores(network: Network) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of the network, and of the same without rounding."""
    from ntupleml.artifacts import read_keras_file
    from ntupleml.onnx_models.convert import graph_of_record
    from ntupleml.onnx_models.inner_values import in_batches
    from ntupleml.onnx_models.sessions import new_session
    from ntupleml.quantised import unrounded

    files, record = network.model.files, network.model.record
    assert files.preprocessing is not None
    plain, _ = graph_of_record(unrounded(read_keras_file(files.model)), files.preprocessing, record)

    def scores(graph: Any) -> NDArray[np.float64]:
        session = new_session(graph.SerializeToString())
        parts = [part["scores"] for part in in_batches(session, ["scores"], network.batch)]
        return np.concatenate(parts).astype(np.float64)

    return scores(network.graph), scores(plain)


def _areas(
    network: Network, rounded: NDArray[np.float64], plain: NDArray[np.float64]
) -> dict[str, tuple[Measurement | Undefined, Measurement | Undefined]]:
    """Area of each class against the others, with and without rounding."""
    events = network.events

    def area(scores: NDArray[np.float64], index: int) -> Measurement | Undefined:
        curve = roc_against_rest(scores, events.truth, index, events.weights)
        return curve if isinstance(curve, Undefined) else curve.auc

    return {name: (area(rounded, index), area(plain, index)) for index, name in enumerate(events.classes)}


def _picture(network: Network, name: str, found: Any, numbers: dict[str, Any]) -> Picture:
    undefined = isinstance(found, Undefined)
    result: dict[str, Any] = {"undefined": found} if undefined else {"residuals": found.residuals, "map": found.map}
    return Picture(
        f"rounding_{name}",
        f"Score '{name}' with rounding against that of the same weights without, of {network.in_words}.",
        partial(draw_truth_and_prediction, found, name, axes_of=("Without rounding", "With rounding")),
        {"method": network.method, "model": network.model.record.fold, **numbers, **as_plain(result)},
    )


def _in_words(found: dict[str, Any]) -> str:
    parts: Sequence[str] = [
        f"'{name}' moves by {one.residuals.bias.value:.2g}, spread {_width(one)}"
        for name, one in found.items()
        if not isinstance(one, Undefined)
    ]
    return "the rounding: " + "; ".join(parts)


def _width(one: Any) -> str:
    width = one.residuals.resolution
    return str(width) if isinstance(width, Undefined) else f"{width.value:.2g}"
