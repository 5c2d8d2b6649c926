"""Layers of preprocessing and scores of the HLT anomaly detection: in NumPy, in our Keras layer, and in the graph.

Layout: `layers.npz` has events and what each layer makes of them; `scores.npz` events, what stored models make of them,
and their scores; `models/NAME.onnx`, where they are there, are run too. Three answers of the original are not ours.
Missing energy that is unknown is 0 with us in each step, in the original in its layer only, and in its ONNX files NaN.
Of an empty slot the original keeps some η and φ: they are 0 here in both. Of duplicates it drops the earlier; the right
answer is stored beside.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from quantities import Quantity, largest

from ntupleml.config import SlotsGroupConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

SLOTS = {"jets": 6, "electrons": 3, "muons": 3, "photons": 3, "met": 1}
LIMIT, SCORE_LIMIT = 1e-6, 1e-4
#: Layers by the names of their answers: what they are given, and the steps.
FIRST = ["delta_phi", "met"]
LAYERS: dict[str, tuple[str, list[Any]]] = {
    "delta_phi": ("events", ["delta_phi"]),
    "overlap_removed": ("events", ["overlap_removal"]),
    "overlap_removed_after_delta_phi": ("delta_phi", ["overlap_removal"]),
    "duplicates_right": ("events", ["duplicate_removal"]),
    "met": ("events", FIRST),
    "pt_scaled_0p05": ("thresholds_50_30_30_30", [{"scale_pt": {"type": "global_division", "factor": 0.05}}]),
    "pt_per_event": ("thresholds_50_30_30_30", [{"scale_pt": "per_event"}]),
}
TYPES = ("jets", "electrons", "muons", "photons")
#: Steps of the stored models.
CHAIN = [
    *FIRST,
    {"thresholds": dict(zip(TYPES, (50, 30, 30, 30), strict=True))},
    {"scale_pt": {"type": "global_division", "factor": 0.05}},
]


def _group(steps: list[Any]) -> SlotsGroupConfig:
    return SlotsGroupConfig.model_validate({"slots": SLOTS, "column": "events", "steps": steps})


def _in_numpy(steps: list[Any], raw: Array) -> Array:
    from ntupleml.preprocessing.slots import slots_made

    return slots_made(_group(steps).maker, raw)[0]


def _network(steps: list[Any]) -> Any:
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import keras

    from ntupleml.models.layers import SlotSteps

    slots = keras.Input((sum(SLOTS.values()), 3), name="hlt")
    return keras.Model(slots, keras.layers.Flatten(name="scores")(SlotSteps(SLOTS, steps, name="steps")(slots)))


def _in_keras(steps: list[Any], raw: Array) -> Array:
    return np.asarray(_network(steps)(raw))


def _in_onnx(steps: list[Any], raw: Array) -> Array:
    """By the layer in a file, as our reader gives it."""
    from ntupleml.artifacts import file_of_model
    from ntupleml.onnx_models.contract import GraphInput, contract_model
    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.onnx_models.keras_network import network_nodes

    graph = GraphBuilder(prefix="network/")
    given = network_nodes(graph, ["hlt"], file_of_model(_network(steps)))
    graph.add("Identity", given, output="scores")
    names = [f"number_{place}" for place in range(3 * sum(SLOTS.values()))]
    shape = GraphInput(["pt", "eta", "phi"], image=raw.shape[1:])
    return _run(contract_model(graph, {"hlt": shape}, {"scores": names}, classes=names, kind="keras"), {"hlt": raw})


def _run(graph: onnx.ModelProto, batch: Mapping[str, Array]) -> Array:
    from ntupleml.onnx_models.sessions import batch_scores

    return batch_scores(graph, batch)


FORMS: dict[str, Callable[[list[Any], Array], Array]] = {"NumPy": _in_numpy, "Keras": _in_keras, "ONNX": _in_onnx}


def layers(folder: Path) -> Iterator[Quantity]:
    """Quantities of each layer alone, and of chains of them."""
    if not (folder / "layers.npz").is_file():
        return
    with np.load(folder / "layers.npz") as file:
        stored = dict(file)
    cases = dict(LAYERS)
    for name in stored:
        if name.startswith("thresholds_"):
            numbers = map(float, name.removeprefix("thresholds_").split("_"))
            cases[name] = "met", [{"thresholds": dict(zip(TYPES, numbers, strict=True))}]
    for name, (source, steps) in cases.items():
        for form in FORMS:
            difference = partial(_layer_difference, stored[source], stored[name], steps, form)
            yield Quantity(f"layers: {name} in {form}", difference, LIMIT)


def _layer_difference(given: Array, expected: Array, steps: list[Any], form: str) -> float:
    found = FORMS[form](steps, given).reshape(expected.shape)
    expected = expected.copy()
    if steps != FIRST:
        unknown = (given[:, -1, 0] == -999) | np.isnan(given[:, -1]).any(axis=1)
        expected[unknown, -1] = 0
    if steps == ["overlap_removal"]:
        expected[expected[..., 0] == 0] = 0
        found = np.where(found[..., :1] == 0, 0, found)
    return largest(found, expected)


class Scores(NamedTuple):
    """Stored events with what a model makes of them."""

    folder: Path
    name: str
    arrays: Mapping[str, Array]

    def of(self, ending: str) -> Array:
        """An array of the model."""
        return self.arrays[f"{self.name}_{ending}"]


class Reconstruction:
    """Scores from what a stored model was given and has given back."""

    def __init__(self, given: Array, reconstructed: Array) -> None:
        self.given, self.reconstructed = given, reconstructed

    @cached_property
    def target(self) -> Array:
        """Of the loss: the numbers, and which of them count."""
        from ntupleml.models.reconstruction import reconstruction_target

        return reconstruction_target({"hlt": self.given}, ["hlt"], ["hlt"])

    def in_numpy(self) -> Array:
        """By the formula."""
        wanted, counted = np.split(self.target, 2, axis=1)
        squares = (counted * (self.reconstructed - wanted) ** 2).sum(axis=1)
        scores: Array = squares / np.maximum(counted.sum(axis=1), 1)
        return scores

    def in_keras(self) -> Array:
        """By the loss of our networks."""
        from ntupleml.models.reconstruction import MaskedSquaredError

        return np.asarray(MaskedSquaredError(reduction=None)(self.target, self.reconstructed))

    def in_onnx(self) -> Array:
        """By the graph of a network that is given what it gives back."""
        import keras

        from ntupleml.artifacts import file_of_model
        from ntupleml.artifacts.record import TargetRecord
        from ntupleml.events.groups import InputGroup, groups_of
        from ntupleml.onnx_models.keras_network import keras_to_onnx
        from ntupleml.preprocessing import fit_scaler

        number = self.given.shape[1]
        hlt, back = keras.Input((number,), name="hlt"), keras.Input((number,), name="back")
        network = keras.Model([hlt, back], keras.layers.Add()([back, keras.layers.Rescaling(0.0)(hlt)]))
        group = _group([])
        graph = keras_to_onnx(
            file_of_model(network),
            {name: fit_scaler("identity", np.zeros((1, number))) for name in ("hlt", "back")},
            [*groups_of({"hlt": group}), InputGroup("back", tuple(f"number_{place}" for place in range(number)))],
            ["reconstruction_error"],
            target=TargetRecord(kind="reconstruction", groups=["hlt"], slots=["hlt"]),
            makers={"hlt": group.maker},
        )
        return _run(graph, {"hlt": self.given.reshape(len(self.given), -1, 3), "back": self.reconstructed})[:, 0]


def scores(folder: Path) -> Iterator[Quantity]:
    """Quantities of stored models: preprocessed events and scores, and the models themselves where they are there."""
    if not (folder / "scores.npz").is_file():
        return
    with np.load(folder / "scores.npz") as file:
        stored = dict(file)
    for name in [key.removesuffix("_score") for key in stored if key.endswith("_score")]:
        model = Scores(folder, name, stored)
        for form in FORMS:
            yield Quantity(f"scores: {name}: preprocessed in {form}", partial(_preprocessed, model, form), LIMIT)
        for form in ("numpy", "keras", "onnx"):
            yield Quantity(f"scores: {name}: score in {form}", partial(_score, model, f"in_{form}"), SCORE_LIMIT)
        if (folder / "models" / f"{name}.onnx").is_file():
            yield Quantity(f"scores: {name}: the model itself", partial(_model, model), SCORE_LIMIT)
    if "preprocessed_in" in stored:
        chain = partial(_chain, stored["events"], stored["preprocessed_in"])
        yield Quantity("scores: preprocessed_in in NumPy", chain, LIMIT)


def _known(array: Array) -> Array:
    """Events without NaN: the stored models give it where the missing energy is unknown."""
    return np.flatnonzero(np.isfinite(array.reshape(len(array), -1)).all(axis=1))


def _preprocessed(model: Scores, form: str) -> float:
    expected, found = model.of("preprocessed"), FORMS[form](CHAIN, model.arrays["events"])
    if not np.isfinite(found).all():
        return np.inf
    rows = _known(expected)
    return largest(found[rows], expected[rows])


def _chain(events: Array, expected: Array) -> float:
    return largest(_in_numpy(CHAIN, events), expected)


def _score(model: Scores, form: str) -> float:
    rows = _known(model.of("score"))
    given, back = model.of("preprocessed")[rows], model.of("reconstructed")[rows]
    found: Array = getattr(Reconstruction(given, back), form)()
    return _relative(found, model.of("score")[rows])


def _model(model: Scores) -> float:
    """The ONNX file through our session, on events as it takes them."""
    from ntupleml.onnx_models.sessions import new_session

    session = new_session(str(model.folder / "models" / f"{model.name}.onnx"))
    (port,) = session.get_inputs()
    events = model.arrays["events"]
    given = events if len(port.shape) == 3 else events.reshape(len(events), -1)
    outputs = session.run(None, {port.name: given})
    (found,) = (one.reshape(len(events)) for one in outputs if one.size == len(events))
    rows = _known(model.of("score"))
    return _relative(found[rows], model.of("score")[rows])


def _relative(found: Array, expected: Array) -> float:
    return largest(found, expected, np.abs(expected))
