"""ONNX files of ntupleml and of strangers, applied to ntuples; the scores are formulas of the branches in numpy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnx
import pytest
import uproot
import yaml
from onnx import TensorProto, helper, numpy_helper

from ntupleml.application import append_planned_scores, make_plan, write_planned_friends
from ntupleml.artifacts.keras2_files import read_keras2_file
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.convert import convert_file
from ntupleml.quantised import evaluate

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

FLOAT, DOUBLE, INT64, BOOL = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL


def write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any]]],
    constants: dict[str, NDArray[Any]] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """A file that no training of ours knows."""
    graph = helper.make_graph(
        nodes,
        "stranger",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata is not None:
        helper.set_model_props(model, {"ntupleml": json.dumps(metadata)})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


class Stranger:
    """A folder with an ntuple of scalars and jets, and an application config for ONNX files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        random = np.random.default_rng(3)
        self.entries = 997  # no multiple of any batch
        counts = random.integers(0, 7, self.entries)
        counts[0] = 0
        self.columns: dict[str, Any] = {
            "x": random.normal(size=self.entries).astype("f4"),
            "y": random.normal(size=self.entries),
            "njets": counts.astype("i4"),
            "is_good": random.integers(0, 2, self.entries).astype(bool),
            "event": (random.permutation(self.entries) + 2**60).astype("i8"),
            "jet_pt": ak.unflatten(random.exponential(40, counts.sum()).astype("f4"), counts),
            "jet_eta": ak.unflatten(random.normal(size=counts.sum()).astype("f4"), counts),
        }
        self.input = folder / "data" / "data.root"
        self.input.parent.mkdir()
        self.write_ntuple()

    def write_ntuple(self, **changes: Any) -> None:
        columns = {**self.columns, **changes}
        with uproot.recreate(self.input) as file:
            jets = ak.zip({"pt": columns.pop("jet_pt"), "eta": columns.pop("jet_eta")}, depth_limit=1)
            types = {name: values.dtype for name, values in columns.items()}
            tree = file.mktree("ntuple", {**types, "jet_pt": "var * float32", "jet_eta": "var * float32"})
            tree.extend({**columns, "jet_pt": jets["pt"], "jet_eta": jets["eta"]})

    def config(self, classifiers: list[str] | None = None, **onnx_block: Any) -> Path:
        path = self.folder / "application.yaml"
        content: dict[str, Any] = {"classifiers": [str(self.folder / name) for name in classifiers or ["model.onnx"]]}
        content |= {"output_directory": str(self.folder / "friends"), "onnx": onnx_block}
        path.write_text(yaml.safe_dump(content))
        return path

    def dataset(self, num_folds: int = 2) -> Path:
        path = self.folder / "dataset.yaml"
        content = {
            "output_path": "unused",
            "output_filename": "unused.root",
            "tree_path": "ntuple",
            "event_branch": "event",
            "num_folds": num_folds,
            "processes": {"a": {"files": ["unused.root"]}},
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def scores(self, dataset: Path | None = None) -> dict[str, NDArray[Any]]:
        plan = make_plan(dataset, None, self.folder / "application.yaml", kind="onnx")
        (friend,) = write_planned_friends(plan, [self.input], "ntuple", overwrite=True)
        with uproot.open(friend) as file:
            return {name: branch.array(library="np") for name, branch in file["ntuple"].items()}

    def padded(self, name: str, length: int, padding: float = 0.0) -> NDArray[np.float64]:
        """First objects of each event by awkward's own padding."""
        column = ak.pad_none(self.columns[name], length, clip=True)
        return np.asarray(ak.to_numpy(ak.fill_none(column, padding)), dtype=np.float64)


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    return Stranger(tmp_path)


def require_close(found: NDArray[Any], expected: Any) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def node(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, outputs, **attributes)


def test_one_input_per_variable_of_several_types(stranger: Stranger) -> None:
    """Inputs of four types and two ranks are cast; variables may be formulas."""
    casts = [node("Cast", [name], [f"{name}_f"], to=DOUBLE) for name in ("count", "flag")]
    write_graph(
        stranger.folder / "model.onnx",
        [
            *casts,
            node("Cast", ["a"], ["a_d"], to=DOUBLE),
            node("Reshape", ["count_f", "column"], ["count_c"]),
            node("Sum", ["a_d", "b", "count_c", "flag_f"], ["sum"]),
            node("Identity", ["sum"], ["result"]),
        ],
        {
            "a": (FLOAT, ["N", 1]),
            "b": (DOUBLE, ["N", 1]),
            "count": (INT64, ["N"]),
            "flag": (BOOL, ["N", 1]),
        },
        {"result": (DOUBLE, ["N", 1])},
        {"column": np.array([-1, 1])},
    )
    inputs = {"a": "x", "b": ["y*y"], "count": {"variables": ["njets+2"]}, "flag": "is_good"}
    stranger.config(inputs=inputs, classes=["sum"])
    columns = stranger.columns
    expected = columns["x"] + columns["y"] ** 2 + columns["njets"] + 2 + columns["is_good"]
    found = stranger.scores()
    assert sorted(found) == ["entry", "ml_score_sum"]
    require_close(found["ml_score_sum"], expected)


def test_an_encoder_of_qkeras(stranger: Stranger, project: Path) -> None:
    """Its file is converted, its 44 inputs are formulas; the score is the mean square of what whole numbers give."""
    encoder = project / "tests" / "data" / "qkeras" / "encoder.h5"
    convert_file(encoder, stranger.folder / "model.onnx", score="latent_norm")
    formulas = [f"{number - 20}*x + {number % 5}*y" for number in range(44)]
    stranger.config(inputs={"variables": formulas})
    x, y = (stranger.columns[name].astype("f8") for name in ("x", "y"))
    inputs = np.stack([(number - 20) * x + number % 5 * y for number in range(44)], axis=1).astype("f4")
    expected = np.square(evaluate(read_keras2_file(encoder), inputs)).mean(axis=1)
    require_close(stranger.scores()["ml_score_latent_norm"], expected)


@pytest.mark.parametrize("apply", [None, "softmax", "sigmoid"])
def test_one_matrix_and_what_is_applied(stranger: Stranger, apply: str | None) -> None:
    slopes = np.array([[1.0, -0.5, 0.2], [0.3, 2.0, -1.0]], dtype="f4")
    write_graph(
        stranger.folder / "model.onnx",
        [node("MatMul", ["features", "slopes"], ["logits"])],
        {"features": (FLOAT, [None, 2])},
        {"logits": (FLOAT, [None, 3])},
        {"slopes": slopes},
    )
    stranger.config(inputs={"features": ["x", "y"]}, classes=["a", "b", "c"], apply=apply)
    logits = np.stack([stranger.columns["x"], stranger.columns["y"]], axis=1) @ slopes.astype("f8")
    if apply == "softmax":
        logits = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    elif apply == "sigmoid":
        logits = 1 / (1 + np.exp(-logits))
    found = stranger.scores()
    for index, name in enumerate("abc"):
        require_close(found[f"ml_score_{name}"], logits[:, index])
    require_close(found["ml_score_max_score"], logits.max(axis=1))
    np.testing.assert_array_equal(found["ml_score_max_index"], logits.argmax(axis=1))


@pytest.mark.parametrize(("fixed", "batch"), [(True, "N"), (False, "N"), (True, 1), (True, 10)])
def test_groups_and_padded_objects(stranger: Stranger, fixed: bool, batch: object) -> None:
    """Sum over the four hardest jets of pt · |eta|, read back with mask and number, plus a group of scalars."""
    shape = [batch, 4 if fixed else "objects"]
    write_graph(
        stranger.folder / "model.onnx",
        [
            node("Split", ["jets", "halves"], ["pt", "eta"], axis=2),
            node("Abs", ["eta"], ["size"]),
            node("Mul", ["pt", "size"], ["product"]),
            node("Squeeze", ["product", "last"], ["per_jet"]),
            node("Mul", ["per_jet", "valid"], ["kept"]),
            node("ReduceSum", ["kept", "one"], ["total"], keepdims=1),
            node("Cast", ["number"], ["number_f"], to=FLOAT),
            node("Reshape", ["number_f", "column"], ["number_c"]),
            node("Concat", ["total", "number_c", "scalars"], ["all"], axis=1),
        ],
        {
            "jets": (FLOAT, [*shape, 2]),
            "valid": (FLOAT, shape),
            "number": (INT64, [batch]),
            "scalars": (FLOAT, [batch, 1]),
        },
        {"all": (FLOAT, [batch, 3])},
        {"halves": np.array([1, 1]), "last": np.array([2]), "one": np.array([1]), "column": np.array([-1, 1])},
    )
    jets = {"variables": ["jet_pt", "jet_eta"], "length": 4, "padding": -7.0, "sort": "jet_pt"}
    stranger.config(
        inputs={"jets": {**jets, "mask": "valid", "lengths": "number"}, "scalars": "x"}, classes=["t", "n", "x"]
    )
    order = ak.argsort(stranger.columns["jet_pt"], axis=1, ascending=False)
    product = (stranger.columns["jet_pt"] * abs(stranger.columns["jet_eta"]))[order]
    found = stranger.scores()
    np.testing.assert_allclose(found["ml_score_t"], ak.to_numpy(ak.sum(product[:, :4], axis=1)), rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(found["ml_score_n"], np.minimum(stranger.columns["njets"], 4))
    np.testing.assert_array_equal(found["ml_score_x"], stranger.columns["x"])


def test_padding_and_order_are_seen_by_the_model(stranger: Stranger) -> None:
    """One variable as a matrix of objects; without sort the order of the ntuple stays; the padding is as asked for."""
    write_graph(
        stranger.folder / "model.onnx",
        [node("Identity", ["pts"], ["out"])],
        {"pts": (FLOAT, ["N", 3])},
        {"out": (FLOAT, ["N", 3])},
    )
    stranger.config(inputs={"pts": {"variables": ["jet_pt/2"], "length": 3, "padding": -1}}, classes=["a", "b", "c"])
    found = stranger.scores()
    half = stranger.padded("jet_pt", 3, -2.0) / 2
    for index, name in enumerate("abc"):
        require_close(found[f"ml_score_{name}"], half[:, index])


def test_objects_last_and_as_many_as_there_are(stranger: Stranger) -> None:
    write_graph(
        stranger.folder / "model.onnx",
        [node("ReduceSum", ["jets", "axis"], ["out"], keepdims=0)],
        {"jets": (DOUBLE, ["N", 2, "objects"])},
        {"out": (DOUBLE, ["N", 2])},
        {"axis": np.array([2])},
    )
    stranger.config(inputs={"jets": {"variables": ["jet_pt", "jet_eta"], "transposed": True}}, classes=["pt", "eta"])
    found = stranger.scores()
    for name in ("pt", "eta"):
        total = ak.to_numpy(ak.sum(ak.values_astype(stranger.columns[f"jet_{name}"], np.float64), axis=1))
        np.testing.assert_allclose(found[f"ml_score_{name}"], total, rtol=1e-6, atol=1e-6)


def test_sklearn_with_maps_of_probabilities(stranger: Stranger) -> None:
    """sklearn-onnx gives a label and, per event, a dictionary; scikit-learn itself says what is in it."""
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    matrix = np.stack([stranger.columns["x"], stranger.columns["y"].astype("f4")], axis=1)
    labels = np.array(["tau", "jet"])[(matrix[:, 0] + matrix[:, 1] > 0).astype(int)]
    model = LogisticRegression().fit(matrix, labels)
    graph = to_onnx(model, matrix[:1], target_opset=17)
    (stranger.folder / "model.onnx").write_bytes(graph.SerializeToString())
    assert graph.graph.output[1].type.HasField("sequence_type")
    stranger.config(inputs={graph.graph.input[0].name: ["x", "y"]})
    expected = model.predict_proba(matrix)
    found = stranger.scores()
    assert list(model.classes_) == ["jet", "tau"]
    for index, name in enumerate(model.classes_):
        require_close(found[f"ml_score_{name}"], expected[:, index])


def test_one_probability_of_two_classes(stranger: Stranger) -> None:
    write_graph(
        stranger.folder / "model.onnx",
        [node("Sigmoid", ["x"], ["p"])],
        {"x": (FLOAT, ["N", 1])},
        {"p": (FLOAT, ["N", 1])},
    )
    stranger.config(classes=["background", "signal"])
    probability = 1 / (1 + np.exp(-stranger.columns["x"].astype("f8")))
    found = stranger.scores()
    require_close(found["ml_score_signal"], probability)
    require_close(found["ml_score_background"], 1 - probability)


def constant_plus_x(path: Path, value: float, metadata: dict[str, Any] | None = None) -> None:
    write_graph(
        path,
        [node("Add", ["x", "value"], ["y"])],
        {"x": (FLOAT, ["N", 1])},
        {"y": (FLOAT, ["N", 1])},
        {"value": np.array(value, dtype="f4")},
        metadata,
    )


def test_files_of_folds_score_the_events_of_their_place(stranger: Stranger, caplog: pytest.LogCaptureFixture) -> None:
    for fold in range(3):
        constant_plus_x(stranger.folder / f"{fold}.onnx", 10.0 * fold)
    stranger.config(["0.onnx", "1.onnx", "2.onnx"], classes=["s"])
    found = stranger.scores(stranger.dataset(3))
    require_close(found["ml_score_s"], stranger.columns["x"] + 10 * (stranger.columns["event"] % 3))
    np.testing.assert_array_equal(found["event"], stranger.columns["event"])
    assert sum("cannot be checked which events it was trained on" in text for text in caplog.messages) == 3


def described(fold: int, **changes: Any) -> dict[str, Any]:
    training = {
        "held_out_fold": (fold + 1) % 2,
        "num_folds": 2,
        "trained_on": [fold],
        "event_branch": "event",
        "folds_recorded": True,
    }
    return {"variables": {"x": ["x"]}, "training": {**training, **changes}}


def test_exports_in_the_wrong_order_are_refused(stranger: Stranger) -> None:
    for fold in range(2):
        constant_plus_x(stranger.folder / f"{fold}.onnx", 10.0 * fold, described(fold))
    stranger.config(["0.onnx", "1.onnx"], classes=["s"])
    with pytest.raises(NtuplemlError, match="wrong order: element 0 scores the events of fold 0"):
        stranger.scores(stranger.dataset())
    stranger.config(["1.onnx", "0.onnx"], classes=["s"])
    found = stranger.scores(stranger.dataset())
    require_close(found["ml_score_s"], stranger.columns["x"] + 10 * (1 - stranger.columns["event"] % 2))


def test_exports_of_folds_that_were_divided_otherwise_are_refused(stranger: Stranger) -> None:
    for fold in range(2):
        constant_plus_x(stranger.folder / f"{fold}.onnx", 0, described(fold, event_branch=None))
    stranger.config(["1.onnx", "0.onnx"], classes=["s"])
    with pytest.raises(NtuplemlError, match=r"branch 'event' decides the fold, but .* the entry number decides"):
        stranger.scores(stranger.dataset())


def test_a_file_whose_record_is_lost_is_refused(stranger: Stranger) -> None:
    constant_plus_x(stranger.folder / "model.onnx", 0, {"record_hash": "0" * 64, "variables": {"x": ["x"]}})
    stranger.config(classes=["s"])
    with pytest.raises(NtuplemlError, match="record is neither beside it nor"):
        stranger.scores()


def test_missing_values(stranger: Stranger) -> None:
    x = stranger.columns["x"].copy()
    x[[3, 5]] = np.nan, np.inf
    stranger.write_ntuple(x=x)
    constant_plus_x(stranger.folder / "model.onnx", 1)
    stranger.config(classes=["s"])
    with pytest.raises(NtuplemlError, match="variable 'x' is NaN or infinite in 2 of 997"):
        stranger.scores()
    stranger.config(classes=["s"], missing=-5)
    require_close(stranger.scores()["ml_score_s"], np.where(np.isfinite(x), x + 1, -4))
    stranger.config(classes=["s"], missing="passed")
    with pytest.raises(NtuplemlError, match="gives scores that are NaN or infinite for 2 of 997"):
        stranger.scores()


BAD = [
    ({"inputs": {"y": "x"}}, "has no input 'y'"),
    ({"inputs": {"x": ["x", "y"]}}, "takes 1 number per event, but 2 variables are named"),
    ({"inputs": {"x": "jet_pt"}}, "several values per event"),
    ({"inputs": {"x": {"variables": ["jet_pt"], "length": 3}}}, "length: 3, but input .* takes 1 objects"),
    ({"inputs": {"x": "z"}}, "no branch 'z'"),
    ({"output": "scores"}, "has no output 'scores'"),
    ({"output": 3}, "output 3, but .* has 1"),
    ({"classes": ["a", "b", "c"]}, "gives 1 values per event, but there are 3 classes"),
    ({"classes": None}, "does not say what its scores are called"),
    ({"event": "x"}, "takes no event number"),
]


@pytest.mark.parametrize(("block", "message"), BAD)
def test_what_does_not_fit_is_named(stranger: Stranger, block: dict[str, Any], message: str) -> None:
    constant_plus_x(stranger.folder / "model.onnx", 1)
    stranger.config(**{"classes": ["s"], **block})
    with pytest.raises(NtuplemlError, match=message):
        stranger.scores()


def test_an_input_without_variables_is_named(stranger: Stranger) -> None:
    write_graph(
        stranger.folder / "model.onnx",
        [node("Add", ["a", "b"], ["c"])],
        {"a": (FLOAT, ["N", 1]), "b": (FLOAT, ["N", 1])},
        {"c": (FLOAT, ["N", 1])},
    )
    stranger.config(inputs={"a": "x"}, classes=["s"])
    with pytest.raises(NtuplemlError, match=r"nothing is given to input 'b' \(float, \? × 1\)"):
        stranger.scores()


def test_integers_are_not_rounded(stranger: Stranger) -> None:
    write_graph(
        stranger.folder / "model.onnx",
        [node("Cast", ["n"], ["s"], to=FLOAT)],
        {"n": (INT64, ["N", 1])},
        {"s": (FLOAT, ["N", 1])},
    )
    stranger.config(inputs={"n": "x"}, classes=["s"])
    with pytest.raises(NtuplemlError, match=r"variable 'x' is .*takes int64 numbers"):
        stranger.scores()
    stranger.config(inputs={"n": "event"}, classes=["s"])
    np.testing.assert_array_equal(stranger.scores()["ml_score_s"], stranger.columns["event"].astype("f4"))


def test_different_objects_in_one_input_are_refused(stranger: Stranger) -> None:
    counts = stranger.columns["njets"].copy()
    counts[7] += 1
    stranger.write_ntuple(jet_eta=ak.unflatten(np.ones(counts.sum(), "f4"), counts))
    write_graph(
        stranger.folder / "model.onnx",
        [node("ReduceSum", ["jets", "axis"], ["out"], keepdims=0)],
        {"jets": (FLOAT, ["N", "objects", 2])},
        {"out": (FLOAT, ["N", 2])},
        {"axis": np.array([1])},
    )
    stranger.config(inputs={"jets": ["jet_pt", "jet_eta"]}, classes=["a", "b"])
    with pytest.raises(NtuplemlError, match=r"'jet_eta' has .* values in an event where 'jet_pt' has"):
        stranger.scores()


def test_models_of_a_training(analysis: Any, require_scores: Callable[..., None]) -> None:
    """With no classifiers listed the ONNX files of the training score, in place here."""
    path = analysis.ntuple()
    expected = analysis.expected(path)
    append_planned_scores(make_plan(*analysis.configs, kind="onnx"), path, "mt_nominal/ntuple")
    require_scores(path, expected)


def test_conditions(make_analysis: Callable[..., Any], require_scores: Callable[..., None]) -> None:
    analysis = make_analysis(conditions=["2016", "2017"])
    analysis.change("application", {"condition": "2017"})
    path = analysis.ntuple()
    expected = analysis.expected(path, condition="2017")
    append_planned_scores(make_plan(*analysis.configs, kind="onnx"), path, "mt_nominal/ntuple")
    require_scores(path, expected)


def test_script(stranger: Stranger, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    constant_plus_x(stranger.folder / "model.onnx", 2)
    config = stranger.config(classes=["s"])
    result = run_script("application/onnx_application.py", config, stranger.input, "ntuple", "--friend")
    assert result.returncode == 0, result.stderr
    with uproot.open(stranger.folder / "friends" / "data" / "data.root") as file:
        require_close(file["ntuple"]["ml_score_s"].array(library="np"), stranger.columns["x"] + 2)
    result = run_script("application/onnx_application.py", stranger.input, "ntuple")
    assert result.returncode == 2
    assert "0 configs (.yaml) and 1 inputs are given" in result.stderr


@pytest.mark.parametrize(("case", "toy"), [("mc_bdtg_50", "toy2"), ("bin_mlp_tanh_N", "toy5")])
def test_converted_weights_of_tmva(tmva_analysis: Any, case: str, toy: str) -> None:
    """Variables, names of the scores and values are those of TMVA's Reader."""
    from ntupleml.onnx_models.convert import convert_file
    from ntupleml.tmva.reading import read_weights

    weights = tmva_analysis.weights(case)
    convert_file(weights, tmva_analysis.folder / "model.onnx")
    labels = read_weights(weights).output_names
    path = tmva_analysis.folder / "application.yaml"
    content = {"classifiers": [str(tmva_analysis.folder / "model.onnx")], "output_directory": str(path.parent / "out")}
    path.write_text(yaml.safe_dump(content))
    source = tmva_analysis.ntuple(toy)
    (friend,) = write_planned_friends(make_plan(None, None, path, kind="onnx"), [source], "ntuple")
    answers = tmva_analysis.answers(case)
    with uproot.open(friend) as file:
        for index, label in enumerate(labels):
            found = file["ntuple"][f"ml_score_{label}"].array(library="np")
            np.testing.assert_allclose(found[: len(answers)], answers[:, index], rtol=0, atol=2e-6)
