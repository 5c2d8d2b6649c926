"""Permutation importance and Shapley values of the inputs of trained and external models."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnx
import pytest
import uproot
import yaml
from onnx import TensorProto, helper, numpy_helper

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Measurement
from ntupleml.testing.material import Material
from ntupleml.testing.method_inputs import inputs_of_method, read_with_inputs, variable_groups
from ntupleml.testing.permutation import importance_of_inputs
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.shapley import importance_of_scores, units_of
from ntupleml.testing.steps import write_step

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.testing.preparation import Preparation

CLASSES = ["signal", "background_1", "background_2"]
#: Logits of an external model: variables x, y by classes.
SLOPES = np.array([[0.3, -0.8, 1.0], [0.5, 0.1, -0.7]], dtype=np.float32)


def prepared(analysis: Any, fold: str = "all", **options: Any) -> Preparation:
    analysis.write_configs()
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)


def write_graph(
    path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, list[Any]], constants: dict[str, NDArray[Any]]
) -> None:
    """Graph of float inputs whose output is called `scores`."""
    graph = helper.make_graph(
        nodes,
        "stranger",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def write_linear(path: Path, slopes: NDArray[np.float32]) -> None:
    node = helper.make_node("MatMul", ["features", "slopes"], ["scores"])
    write_graph(path, [node], {"features": ["N", 2]}, {"slopes": slopes})


def value(result: object) -> float:
    assert isinstance(result, Measurement)
    return result.value


def use_variable_x_alone(analysis: Any) -> None:
    """An external model of x and y that ignores y; x is −1, 0, 1 in the mean of the classes."""
    slopes = np.array([[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    write_linear(analysis.folder / "out" / "m.onnx", slopes)
    analysis.testing["external"] = {"stranger": {"files": ["m.onnx"], "onnx": {"apply": "softmax"}}}


def test_trained_models(analysis: Any) -> None:
    """Inputs of a method of the training config are those of the events; their scores are found again."""
    preparation = prepared(analysis)
    events = tested_events(preparation)
    inputs = inputs_of_method(events, preparation, "keras")
    assert inputs is not None
    np.testing.assert_array_equal(inputs.score(inputs.columns, inputs.models), events.scores["keras"])
    (picture,) = STEPS["permutation"](Material(preparation, for_page=True), repeats=2).pictures.values()
    assert set(picture.numbers["permutation_importance"]) == {"x", "y"}
    assert picture.numbers["models"] == [0, 1]
    assert picture.tables[0].rows[0][0] == "none"


def test_an_input_that_is_not_used_is_worth_nothing(analysis: Any) -> None:
    use_variable_x_alone(analysis)
    preparation = prepared(analysis, methods=["stranger"])
    events, inputs = read_with_inputs(preparation)
    np.testing.assert_array_equal(inputs.score(inputs.columns, inputs.models), events.scores["stranger"])
    result = importance_of_inputs(events, inputs, preparation, groups=["both=x,y"])
    assert result.importances["y"].average_auc == Measurement(0.0, 0.0)
    assert value(result.importances["x"].average_auc) > 0.05
    both, x = (result.importances[name].average_auc for name in ("both", "x"))
    assert abs(value(both) - value(x)) < 0.05
    (again,) = STEPS["permutation"](Material(preparation, for_page=True)).pictures.values()
    assert again.numbers["permutation_importance_signal"]["y"] == {"value": 0.0, "uncertainty": 0.0}


def jets(analysis: Any) -> Preparation:
    """Model of jets: the score of the signal is the sum of pt, the second x·y; backgrounds have more jets."""
    random = np.random.default_rng(3)
    for fold, path in enumerate(analysis.training["datasets"]):
        with uproot.recreate(path) as file:
            for index, name in enumerate(CLASSES):
                flat = {key: analysis.events[fold][name][key] for key in ("x", "y", "weights")}
                counts = random.integers(0, 4 + index, len(flat["x"]))
                pt = ak.unflatten(random.exponential(30 + 30 * index, counts.sum()).astype("f4"), counts)
                eta = ak.unflatten(random.normal(size=counts.sum()).astype("f4"), counts)
                types: dict[str, Any] = {key: values.dtype for key, values in flat.items()}
                tree = file.mktree(name, {**types, "jet_pt": "var * float32", "jet_eta": "var * float32"})
                tree.extend({**flat, "jet_pt": pt, "jet_eta": eta})
    write_graph(
        analysis.folder / "out" / "m.onnx",
        [
            helper.make_node("Split", ["jets", "halves"], ["pt", "eta"], axis=2),
            helper.make_node("Mul", ["pt", "eta"], ["both"]),
            helper.make_node("ReduceSum", ["pt", "axis"], ["sum_pt"], keepdims=0),
            helper.make_node("ReduceSum", ["both", "axis"], ["sum_both"], keepdims=0),
            helper.make_node("Concat", ["sum_pt", "product", "sum_both"], ["scores"], axis=1),
        ],
        {"jets": ["N", 6, 2], "product": ["N", 1]},
        {"halves": np.array([1, 1]), "axis": np.array([1])},
    )
    inputs = {"jets": {"variables": ["jet_pt", "jet_eta"], "length": 6}, "product": "x*y"}
    analysis.testing["external"] = {"tagger": {"files": ["m.onnx"], "onnx": {"inputs": inputs}}}
    return prepared(analysis, "0", methods=["tagger"])


def test_vectors_are_shuffled_by_event(analysis: Any) -> None:
    """One of two vectors of the same jets among events of as many jets, both together among all."""
    preparation = jets(analysis)
    events, inputs = read_with_inputs(preparation)
    assert inputs.variables == ["jet_pt", "jet_eta", "x*y"]
    np.testing.assert_array_equal(inputs.score(inputs.columns, inputs.models), events.scores["tagger"])
    result = importance_of_inputs(events, inputs, preparation, groups=["jets=jet_pt,jet_eta"])
    areas = {name: one.auc["signal"] for name, one in result.importances.items()}
    assert areas["jet_eta"] == Measurement(0.0, 0.0)  # the score of the signal is the sum of pt
    assert areas["x*y"] == Measurement(0.0, 0.0)
    reference = value(result.reference.auc["signal"])
    assert reference < 0.4
    assert reference - value(areas["jets"]) == pytest.approx(0.5, abs=0.06)
    assert value(areas["jets"]) < value(areas["jet_pt"]) < 0  # without the number of jets less is lost
    (picture,) = STEPS["permutation"](Material(preparation, for_page=True), repeats=2).pictures.values()
    assert list(picture.numbers["groups"]) == ["jets"]  # whole groups are shuffled unasked
    assert set(picture.numbers["permutation_importance"]) == {"jet_pt", "jet_eta", "x*y", "jets"}


def test_shapley_values_of_vectors_are_those_of_their_objects(analysis: Any) -> None:
    preparation = jets(analysis)
    events, inputs = read_with_inputs(preparation)
    result = importance_of_scores(events, inputs, explained=20, background=10)
    assert list(result.importances["signal"]) == ["jets", "x*y"]
    assert result.importances["signal"]["x*y"] == Measurement(0.0, 0.0)
    assert value(result.importances["background_1"]["x*y"]) > 0.1
    assert result.importances["background_1"]["jets"] == Measurement(0.0, 0.0)
    assert result.largest_difference < 1e-3  # of scores of several hundreds in float32


def test_shapley_values_of_a_linear_model(analysis: Any) -> None:
    """Mean |wⱼ (xⱼ − mean of the background)|; pooled folds, each with the background of its own model."""
    write_linear(analysis.folder / "out" / "m.onnx", SLOPES)
    analysis.testing["external"] = {"stranger": {"files": ["m.onnx"]}}
    preparation = prepared(analysis, methods=["stranger"], max_events=150)
    events, inputs = read_with_inputs(preparation)
    number = len(events)
    result = importance_of_scores(events, inputs, explained=number, background=number)
    assert result.entries == number
    for index, name in enumerate(("signal", "background_1", "background_2")):
        for column, variable in enumerate("xy"):
            x = events.values[:, column].astype("f8")
            # The background are all events of the model with a weight, each once.
            means = np.array([x[events.models == model].mean() for model in (0, 1)])[events.models]
            size = np.abs(SLOPES[column, index] * (x - means))
            expected = float(events.weights @ size / events.weights.sum())
            assert value(result.importances[name][variable]) == pytest.approx(expected, rel=1e-3)
    assert result.largest_difference < 1e-5


def test_files(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    use_variable_x_alone(analysis)
    preparation = prepared(analysis, methods=["stranger"], max_events=300)
    with caplog.at_level(logging.INFO):
        paths, answer = write_step(STEPS["permutation"], preparation, repeats=2, group=["both=x,y"])
        more, _ = write_step(STEPS["shapley"], preparation, events=10, background=5)
    result = answer.numbers["stranger"]
    names = [f"foldall_stranger_{kind}_importance" for kind in ("permutation", "shap")]
    assert [path.name for path in paths] == [f"{names[0]}.{ending}" for ending in ("png", "pdf", "yaml")]
    assert [path.name for path in more] == [f"{names[1]}.{ending}" for ending in ("png", "pdf", "yaml")]
    content = yaml.safe_load(paths[-1].read_text())
    assert content["groups"] == {"both": ["x", "y"]}
    assert content["entries"] == result.entries < 400
    assert content["sampled"]
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        write_step(STEPS["permutation"], preparation, repeats=2)


def test_classes_without_events(analysis: Any) -> None:
    """What a missing class makes undefined is said; the rest is made."""
    for fold, path in enumerate(analysis.training["datasets"]):
        with uproot.recreate(path) as file:
            for name, columns in analysis.events[fold].items():
                tree = file.mktree(name, {key: values.dtype for key, values in columns.items()})
                if name != "background_2":
                    tree.extend(columns)
    use_variable_x_alone(analysis)
    preparation = prepared(analysis, methods=["stranger"])
    paths, answer = write_step(STEPS["permutation"], preparation, repeats=2)
    result = answer.numbers["stranger"]
    content = yaml.safe_load(paths[-1].read_text())
    assert content["permutation_importance"]["x"]["average_auc"] == "undefined: class 'background_2': no signal events"
    assert value(result.importances["x"].auc["signal"]) > 0
    assert result.ranking() == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leptons", "give a name and its variables"),
        ("leptons=", "give a name and its variables"),
        ("pt_1=pt_2", "'pt_1' is a variable or a group already"),
        ("leptons=pt_1,pt_3", "no variable 'pt_3' among the inputs; nearest: 'pt_1', 'pt_2'"),
    ],
)
def test_groups_that_are_none(text: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        variable_groups([text], ["pt_1", "pt_2"])


def test_groups_of_formulas() -> None:
    variables = ["a", "min(a,max(b,c))", "v[0]"]
    assert variable_groups(["g = v[0], min(a,max(b,c))"], variables) == {"g": ["v[0]", "min(a,max(b,c))"]}
    with pytest.raises(NtuplemlError, match="'g' is a variable or a group already"):
        variable_groups(["g=a", "g=v[0]"], variables)


def test_units_of_shapley_values(analysis: Any) -> None:
    _, inputs = read_with_inputs(jets(analysis))
    assert units_of(inputs) == {"jets": ["jet_pt", "jet_eta"], "x*y": ["x*y"]}
    assert units_of(inputs, ["all=jet_pt,x*y"]) == {"all": ["jet_pt", "x*y", "jet_eta"]}
    with pytest.raises(NtuplemlError, match="'jet_pt' is in two groups"):
        units_of(inputs, ["a=jet_pt", "b=jet_eta"])


def test_script(analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    use_variable_x_alone(analysis)
    analysis.write_configs()
    configs = [analysis.folder / "training.yaml", analysis.folder / "testing.yaml"]
    script = "testing/permutation_importance.py"
    result = run_script(script, *configs, "all", "--method", "stranger", "--repeats", 2, "--group", "both=x,y")
    assert result.returncode == 0, result.stderr
    assert "decrease of the average AUC: " in result.stderr
    assert (tmp_path / "out" / "foldall_stranger_permutation_importance.png").exists()


def test_shap_script(analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    analysis.write_configs()
    configs = [analysis.folder / "training.yaml", analysis.folder / "testing.yaml"]
    result = run_script(
        "testing/shap_importance.py", *configs, "0", "--events", 10, "--background", 5, "--whole-groups"
    )
    assert result.returncode == 0, result.stderr
    assert "largest mean |SHAP value|: " in result.stderr
