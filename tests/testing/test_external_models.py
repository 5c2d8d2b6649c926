"""Models of other programs beside those of the training config: their scores are formulas of the branches."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnx
import pytest
import uproot
from onnx import TensorProto, helper, numpy_helper

from ntupleml.errors import NtuplemlError
from ntupleml.testing.preparation import prepare, tested_events

from .conftest import write_fold_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
CLASSES = ["signal", "background_1", "background_2"]
#: Logits of a stranger's model: variables x, y by its classes.
SLOPES = np.array([[0.3, -0.8, 1.0], [0.5, 0.1, -0.7]], dtype=np.float32)


def write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, NDArray[Any]],
    metadata: dict[str, Any] | None = None,
) -> None:
    graph = helper.make_graph(
        nodes,
        "stranger",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"ntupleml": json.dumps(metadata)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def write_linear(path: Path, slopes: NDArray[np.float32] = SLOPES, metadata: dict[str, Any] | None = None) -> None:
    """Logits x·W of a matrix of two variables."""
    write_graph(
        path,
        [helper.make_node("MatMul", ["features", "slopes"], ["logits"])],
        {"features": (FLOAT, ["N", 2])},
        {"logits": (FLOAT, ["N", slopes.shape[1]])},
        {"slopes": slopes},
        metadata,
    )


def of_training(model: int, **changes: Any) -> dict[str, Any]:
    """Description of an export of model 0 or 1 of two folds."""
    training = {
        "held_out_fold": (model + 1) % 2,
        "num_folds": 2,
        "trained_on": [model],
        "event_branch": None,
        "folds_recorded": True,
    }
    return {"variables": {"features": ["x", "y"]}, "training": {**training, **changes}}


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    exponentials = np.exp(logits.astype("f8") - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def prepared(analysis: Any, fold: str = "all", **options: Any) -> Preparation:
    analysis.write_configs()
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)


def external(analysis: Any, files: list[str], fold: str = "all", **onnx_block: Any) -> TestedEvents:
    """Events scored by the external model `stranger`."""
    analysis.testing["external"] = {"stranger": {"files": files, "onnx": onnx_block}}
    return tested_events(prepared(analysis, fold, methods=["stranger"]))


def require_close(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_classes_in_another_order(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Each fold by the model of the element of its model; two files are worth one warning."""
    for model in range(2):
        write_linear(analysis.folder / "out" / f"{model}.onnx", SLOPES * (1 + model))
    names = ["background_2", "signal", "background_1"]
    with caplog.at_level(logging.WARNING):
        events = external(analysis, ["0.onnx", "1.onnx"], classes=names, apply="softmax")
    factor = (1 + events.models)[:, None]
    expected = softmax(factor * (events.values @ SLOPES))[:, [names.index(name) for name in CLASSES]]
    require_close(events.scores["stranger"], expected)
    assert len([text for text in caplog.messages if "cannot be checked which events they were trained on" in text]) == 1
    assert sorted(set(events.models.tolist())) == [0, 1]


@pytest.mark.parametrize("names", [["0", "2", "1"], ["class_0", "class_2", "class_1"]])
def test_numbers_of_classes(analysis: Any, names: list[str]) -> None:
    write_linear(analysis.folder / "out" / "m.onnx", metadata={"classes": names})
    events = external(analysis, ["m.onnx"])
    require_close(events.scores["stranger"], (events.values @ SLOPES)[:, [0, 2, 1]])


def test_a_file_that_names_nothing_has_the_order_of_the_config(analysis: Any) -> None:
    write_linear(analysis.folder / "out" / "m.onnx")
    events = external(analysis, ["m.onnx"])
    require_close(events.scores["stranger"], events.values @ SLOPES)


@pytest.mark.parametrize(("names", "sign"), [(["background_1"], -1), (["signal"], 1), (["background_1", "signal"], 1)])
def test_one_value_of_two_classes(analysis: Any, names: list[str], sign: int) -> None:
    """It is the probability of the class that is named, or of the second of two."""
    write_linear(analysis.folder / "out" / "m.onnx", SLOPES[:, :1])
    analysis.training["classes"] = CLASSES[:2]
    analysis.training["class_weights"] = dict.fromkeys(CLASSES[:2], 1.0)
    events = external(analysis, ["m.onnx"], classes=names, apply="sigmoid")
    probability = 1 / (1 + np.exp(-sign * (events.values.astype("f8") @ SLOPES[:, 0])))
    require_close(events.scores["stranger"], np.stack([probability, 1 - probability], axis=1))


def test_own_files_score_as_the_method(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The ONNX files of the training are known by their records."""
    analysis.testing["external"] = {"copy": {"files": ["fold0_keras_model.onnx", "fold1_keras_model.onnx"]}}
    with caplog.at_level(logging.WARNING):
        preparation = prepared(analysis, all_methods=True)
    assert preparation.methods == ["keras", "copy"]
    assert list(preparation.trained) == ["keras"]
    events = tested_events(preparation)
    np.testing.assert_array_equal(events.scores["copy"], events.scores["keras"])
    assert not caplog.messages


def test_conditions_of_the_training(make_analysis: Callable[..., Any]) -> None:
    """Own files take the condition; those of strangers need none."""
    analysis = make_analysis(conditions=("2016", "2017"))
    write_linear(analysis.folder / "out" / "m.onnx")
    analysis.testing["external"] = {
        "copy": {"files": ["fold0_keras_model.onnx", "fold1_keras_model.onnx"]},
        "stranger": {"files": ["m.onnx"]},
    }
    events = tested_events(prepared(analysis, all_methods=True, condition="2017"))
    np.testing.assert_array_equal(events.scores["copy"], events.scores["keras"])
    require_close(events.scores["stranger"], events.values @ SLOPES)


def test_the_default_method_may_be_external(analysis: Any) -> None:
    write_linear(analysis.folder / "out" / "m.onnx")
    analysis.testing |= {"external": {"stranger": {"files": ["m.onnx"]}}, "method": "stranger"}
    assert prepared(analysis, "0").methods == ["stranger"]
    assert prepared(analysis, "0", methods=["stranger", "keras"]).methods == ["stranger", "keras"]


def test_without_a_trained_method_external_models_are_tested(analysis: Any) -> None:
    write_linear(analysis.folder / "out" / "m.onnx")
    analysis.testing["external"] = {"stranger": {"files": ["m.onnx"]}}
    for record in (analysis.folder / "out").glob("*_training.json"):
        record.unlink()
    preparation = prepared(analysis, all_methods=True)
    assert preparation.methods == ["stranger"]
    assert "keras" in preparation.left_out


def test_what_cannot_be_loaded_is_left_out_where_that_is_wanted(analysis: Any) -> None:
    analysis.testing["external"] = {"stranger": {"files": ["m.onnx"]}}
    preparation = prepared(analysis, all_methods=True, tolerant=True)
    assert preparation.methods == ["keras"]
    assert "no file" in preparation.left_out["stranger"]
    with pytest.raises(NtuplemlError, match=r"external: stranger: files\[0\]: no file"):
        prepared(analysis, all_methods=True)


def test_what_cannot_be_filled_is_left_out_where_that_is_wanted(analysis: Any) -> None:
    """A branch that the file wants is not in the fold files: the network is tested all the same."""
    write_linear(analysis.folder / "out" / "m.onnx")
    block = {"files": ["m.onnx"], "onnx": {"inputs": {"features": ["x", "no_such_branch"]}}}
    analysis.testing["external"] = {"stranger": block}
    analysis.write_configs()
    with pytest.raises(NtuplemlError, match="no_such_branch"):
        tested_events(prepared(analysis, all_methods=True))
    events = tested_events(prepared(analysis, all_methods=True, tolerant=True))
    assert list(events.scores) == ["keras"]
    assert "no_such_branch" in events.left_out["stranger"]


def test_exports_in_the_wrong_order_are_refused(analysis: Any) -> None:
    for model in range(2):
        write_linear(analysis.folder / "out" / f"{model}.onnx", metadata=of_training(model))
    events = external(analysis, ["0.onnx", "1.onnx"])
    require_close(events.scores["stranger"], events.values @ SLOPES)
    with pytest.raises(NtuplemlError, match=r"wrong order: element 0 is tested on fold 1, which .*1\.onnx was trained"):
        external(analysis, ["1.onnx", "0.onnx"], "0")


def test_a_file_of_the_training_is_refused(analysis: Any) -> None:
    """The models are in order, but the fold files are exchanged: known by their UUIDs."""
    analysis.training["datasets"] = analysis.training["datasets"][::-1]
    with pytest.raises(NtuplemlError, match="model 0 was trained on this file"):
        external(analysis, ["fold0_keras_model.onnx", "fold1_keras_model.onnx"])


def test_a_single_model_is_tested_on_all_folds_with_a_warning(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    write_linear(analysis.folder / "out" / "m.onnx", metadata=of_training(0))
    with caplog.at_level(logging.WARNING):
        external(analysis, ["m.onnx"], "0")
    assert not caplog.messages
    with caplog.at_level(logging.WARNING):
        events = external(analysis, ["m.onnx"])
    assert ["looks better than it is" in text for text in caplog.messages] == [True]
    require_close(events.scores["stranger"], events.values @ SLOPES)
    sources = prepared(analysis, methods=["stranger"]).sources
    assert sources[0][0].remark == ""
    assert "looks better than it is" in sources[1][0].remark


def event_model(path: Path, metadata: dict[str, Any] | None = None) -> None:
    """Scores: the event number modulo 10, and two zeros."""
    write_graph(
        path,
        [
            helper.make_node("Mod", ["event", "ten"], ["digit"]),
            helper.make_node("Cast", ["digit"], ["number"], to=FLOAT),
            helper.make_node("Reshape", ["number", "column"], ["rows"]),
            helper.make_node("MatMul", ["features", "zero"], ["zeros"]),
            helper.make_node("Concat", ["rows", "zeros"], ["scores"], axis=1),
        ],
        {"features": (FLOAT, ["N", 2]), "event": (INT64, ["N"])},
        {"scores": (FLOAT, ["N", 3])},
        {"ten": np.array(10), "column": np.array([-1, 1]), "zero": np.zeros((2, 2), "f4")},
        metadata,
    )


def test_a_file_with_the_models_of_all_folds(analysis: Any) -> None:
    """Without a record of the fold files the model gets the fold's index, with one the event numbers."""
    all_folds = of_training(0, held_out_fold=None, trained_on=[0, 1], event_branch="number")
    event_model(analysis.folder / "out" / "m.onnx", {**all_folds, "event": "event"})
    events = external(analysis, ["m.onnx"])
    np.testing.assert_array_equal(events.scores["stranger"][:, 0], 1 - events.models)
    numbers = write_recorded_folds(analysis)
    events = external(analysis, ["m.onnx"])
    np.testing.assert_array_equal(events.scores["stranger"][:, 0], numbers % 10)
    with pytest.raises(NtuplemlError, match="has the models of all folds; list it alone"):
        external(analysis, ["m.onnx", "fold1_keras_model.onnx"])
    event_model(analysis.folder / "out" / "five.onnx", {**of_training(0, held_out_fold=None, num_folds=5)})
    with pytest.raises(NtuplemlError, match=r"there are 2 folds, but .*five\.onnx is of a training with 5"):
        external(analysis, ["five.onnx"], event="event")


def write_recorded_folds(analysis: Any) -> NDArray[np.int64]:
    """Fold files with the branch `number` and their records; the numbers in the order of the events."""
    numbers = {}
    for fold, path in enumerate(analysis.training["datasets"]):
        with uproot.recreate(path) as file:
            for index, name in enumerate(CLASSES):
                columns = dict(analysis.events[fold][name])
                columns["number"] = 10**9 + fold + 2 * np.arange(len(columns["x"])) + 1000 * index
                file.mktree(name, {key: values.dtype for key, values in columns.items()}).extend(columns)
                numbers[fold, name] = columns["number"]
        with uproot.open(path) as file:
            uuid = str(file.file.uuid)
        write_fold_record(analysis.folder / f"fold{fold}.root", fold, uuid, event_branch="number")
    return np.concatenate([numbers[fold, name] for fold in (1, 0) for name in CLASSES])


def test_an_lwtnn_network(analysis: Any, project: Path) -> None:
    """liblwtnn's own answers; labels in another order than the classes."""
    case = project / "tests" / "data" / "lwtnn" / "toy_2_100_100_3"
    with np.load(case / "data.npz") as data:
        inputs, answers = data["X"].astype("f4"), data["y_lwtnn"]
    content = json.loads((case / "lwtnn.json").read_text())
    for name, variable in zip(["x", "y"], content["inputs"], strict=True):
        variable["name"] = name
    (analysis.folder / "out" / "net.json").write_text(json.dumps(content))
    for path in analysis.training["datasets"]:
        with uproot.recreate(path) as file:
            for name in ("wjets", "signal", "ttbar"):
                columns = {"x": inputs[:, 0], "y": inputs[:, 1], "weights": np.ones(len(inputs))}
                file.mktree(name, {key: values.dtype for key, values in columns.items()}).extend(columns)
    analysis.training |= {"classes": ["wjets", "signal", "ttbar"]}
    del analysis.training["class_weights"]
    events = external(analysis, ["net.json"], "0")
    expected = np.tile(answers[:, [2, 0, 1]], (3, 1))  # labels: signal, ttbar, wjets
    np.testing.assert_allclose(events.scores["stranger"], expected, atol=1e-6)
    with pytest.raises(NtuplemlError, match="onnx: missing: is for ONNX files"):
        external(analysis, ["net.json"], "0", missing=1.0)
    with pytest.raises(NtuplemlError, match="no output 'nothing'"):
        external(analysis, ["net.json"], "0", output="nothing")
    per_step = {
        "inputs": [],
        "input_sequences": [{"name": "s", "variables": content["inputs"]}],
        "nodes": [{"type": "input_sequence", "size": 2, "sources": [0]}],
        "layers": [],
        "outputs": {"out": {"labels": ["wjets", "signal"], "node_index": 0}},
    }
    (analysis.folder / "out" / "steps.json").write_text(json.dumps(per_step))
    with pytest.raises(NtuplemlError, match=r"steps\.json gives scores for each step of a sequence"):
        external(analysis, ["steps.json"], "0")
    (analysis.folder / "out" / "m.onnx").write_bytes(b"")
    with pytest.raises(NtuplemlError, match="lwtnn's JSON and ONNX files together"):
        external(analysis, ["net.json", "m.onnx"])


def test_inputs_of_objects_and_formulas(analysis: Any) -> None:
    """Sum of pt of the jets, a formula, and a sum of squares, of branches that no training uses."""
    jets = write_jets(analysis)
    write_jet_model(analysis.folder / "out" / "m.onnx")
    events = external(analysis, ["m.onnx"], "0", inputs=JET_INPUTS, classes=CLASSES)
    expected = [ak.sum(jets["pt"], axis=1), jets["x"] * jets["y"], ak.sum(jets["pt"] * jets["eta"], axis=1)]
    np.testing.assert_allclose(events.scores["stranger"], np.stack(expected, axis=1), rtol=1e-4, atol=1e-3)


JET_INPUTS = {"jets": {"variables": ["jet_pt", "jet_eta"], "length": 6}, "product": "x*y"}


def write_jets(analysis: Any) -> ak.Array:
    """Fold files with jets; those of fold 1 in the order of the events."""
    random = np.random.default_rng(3)
    parts = []
    for fold, path in enumerate(analysis.training["datasets"]):
        with uproot.recreate(path) as file:
            for index, name in enumerate(CLASSES):
                events = analysis.events[fold][name]
                counts = random.integers(0, 6, len(events["x"]))
                pt = ak.unflatten(random.exponential(30 + 30 * index, counts.sum()).astype("f4"), counts)
                eta = ak.unflatten(random.normal(size=counts.sum()).astype("f4"), counts)
                flat = {key: events[key] for key in ("x", "y", "weights")}
                types: dict[str, Any] = {key: values.dtype for key, values in flat.items()}
                tree = file.mktree(name, {**types, "jet_pt": "var * float32", "jet_eta": "var * float32"})
                tree.extend({**flat, "jet_pt": pt, "jet_eta": eta})
                if fold == 1:
                    parts.append(ak.Array({"pt": pt, "eta": eta, "x": flat["x"], "y": flat["y"]}))
    return ak.concatenate(parts)


def write_jet_model(path: Path) -> None:
    write_graph(
        path,
        [
            helper.make_node("Split", ["jets", "halves"], ["pt", "eta"], axis=2),
            helper.make_node("Mul", ["pt", "eta"], ["both"]),
            helper.make_node("ReduceSum", ["pt", "axis"], ["sum_pt"], keepdims=0),
            helper.make_node("ReduceSum", ["both", "axis"], ["sum_both"], keepdims=0),
            helper.make_node("Concat", ["sum_pt", "product", "sum_both"], ["scores"], axis=1),
        ],
        {"jets": (FLOAT, ["N", 6, 2]), "product": (FLOAT, ["N", 1])},
        {"scores": (FLOAT, ["N", 3])},
        {"halves": np.array([1, 1]), "axis": np.array([1])},
    )


BAD: list[tuple[dict[str, Any], str]] = [
    ({"classes": ["signal", "background_1", "backgroud_2"]}, "nearest: 'background_2'"),
    ({"classes": ["a", "b"]}, "are a, b, but .*training.yaml has signal, background_1, background_2"),
    ({"inputs": {"feature": ["x", "y"]}}, "no input 'feature'; nearest: 'features'"),
    ({"inputs": {"features": ["x", "z"]}}, "no branch 'z'"),
    ({"output": "scores"}, "has no output 'scores'"),
]


@pytest.mark.parametrize(("block", "message"), BAD)
def test_what_does_not_fit_is_named(analysis: Any, block: dict[str, Any], message: str) -> None:
    write_linear(analysis.folder / "out" / "m.onnx")
    with pytest.raises(NtuplemlError, match=message):
        external(analysis, ["m.onnx"], **block)


CONFIGS: list[tuple[dict[str, Any], list[str] | None, str]] = [
    ({"external": {"keras": {"files": ["m.onnx"]}}}, None, "external: keras: .*training.yaml has a method of this"),
    ({"external": {"all": {"files": ["m.onnx"]}}}, None, "'all' stands for several methods"),
    ({"external": {"s": {"files": ["m.onnx"]}}, "method": "s", "model": ["a", "b"]}, None, "model: lists files of the"),
    ({"external": {"stranger": {"files": ["m.onnx"]}}}, ["strange"], "nearest: 'stranger'"),
    ({"external": {"s": {"files": ["a", "b", "c"]}}}, ["s"], r"no file '.*a'"),
    ({"external": {"s": {"files": []}}}, ["s"], "external.s.files"),
]


@pytest.mark.parametrize(("testing", "methods", "message"), CONFIGS)
def test_mistakes_in_configs_are_named(
    analysis: Any, testing: dict[str, Any], methods: list[str] | None, message: str
) -> None:
    analysis.testing = testing
    with pytest.raises(NtuplemlError, match=message):
        prepared(analysis, methods=methods)


def test_the_number_of_files_is_that_of_the_folds(analysis: Any) -> None:
    for index in range(3):
        write_linear(analysis.folder / "out" / f"{index}.onnx")
    with pytest.raises(NtuplemlError, match="files: 3 files, but there are 2 folds"):
        external(analysis, ["0.onnx", "1.onnx", "2.onnx"])


def test_a_model_of_xgboost_is_no_network(analysis: Any) -> None:
    (analysis.folder / "out" / "x.json").write_text(json.dumps({"learner": {}, "version": [3, 0, 0]}))
    with pytest.raises(NtuplemlError, match=r"is a model of XGBoost.*convert_to_onnx\.py"):
        external(analysis, ["x.json"])
