"""A network of a trained method as a graph to look into, with events that it never saw."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import require_single
from ntupleml.errors import NtuplemlError
from ntupleml.testing.method_inputs import read_groups

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents


class Network(NamedTuple):
    """The network of one model, and events that it never saw."""

    method: str
    model: TrainedModel
    graph: onnx.ModelProto
    events: TestedEvents
    values: InputValues
    groups: list[InputGroup]

    @property
    def batch(self) -> dict[str, NDArray[Any]]:
        """All events, as the graph takes them."""
        return self.values.batch()

    @property
    def in_words(self) -> str:
        """Which model and events, for captions."""
        sampled = " (a random sample)" if self.events.sampled else ""
        return f"model {self.model.record.fold} of {self.method}, {len(self.events)} events{sampled} that it never saw"


def has_network(material: Material) -> bool:
    """Whether there is a network to look into."""
    return material.found is not None and bool(_methods(material))


def _methods(material: Material) -> list[str]:
    methods = material.methods if "events" in material.__dict__ else material.preparation.methods
    trained = material.preparation.trained
    return [name for name in methods if name in trained and trained[name][0].files.model.suffix == ".keras"]


def first_network(material: Material) -> tuple[str, TrainedModel]:
    """The first method that is a network, and the first of its models, since each model has learnt another one.

    Raises
    ------
    NtuplemlError
        If no method is a network.
    """
    if not (methods := _methods(material)):
        for models in material.preparation.trained.values():
            require_single(models, "no layers of its own to be looked into")
        names = ", ".join(material.preparation.methods)
        raise NtuplemlError(f"{names}: no network, whose layers could be looked into; give --method keras")
    return methods[0], material.preparation.trained[methods[0]][0]


def network_of(material: Material, most_events: int) -> Network:
    """`first_network` as a graph, and about so many events at most that it never saw.

    Raises
    ------
    NtuplemlError
        If no method is a network, or there are no events.
    """
    preparation, (method, model) = material.preparation, first_network(material)
    index = preparation.models[0]
    preparation = replace(
        material.at_most(most_events).preparation,
        models=[index],
        samples=preparation.samples[:1],
        sources={index: preparation.sources[index]},
    )
    read = read_groups(preparation, method)
    if read.values is None or not len(read.events):
        raise NtuplemlError(f"{preparation.samples[0].path}: no events, of which {method} could show anything")
    return Network(method, model, graph_of(model), read.events, read.values, read.groups)


def graph_of(model: TrainedModel) -> onnx.ModelProto:
    """Graph of a model's ONNX file."""
    import onnx

    from ntupleml.scoring.onnx_files import graph_content

    return onnx.load_from_string(graph_content(model))
