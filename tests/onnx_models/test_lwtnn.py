"""Networks of lwtnn as ONNX graphs against the answers of liblwtnn, and the contract of the files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

DATA = Path(__file__).resolve().parents[1] / "data" / "lwtnn"
FILES = sorted(f"{path.parent.name}/{path.name}" for path in DATA.glob("*/*.json"))
ANSWERS = [file for file in FILES if not file.startswith("nan_defaults")]
TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}


def session_of(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def scores(model: onnx.ModelProto, **inputs: np.ndarray) -> np.ndarray:
    (result,) = session_of(model).run(None, inputs)
    return result


def metadata(model: onnx.ModelProto) -> dict[str, Any]:
    (content,) = (json.loads(entry.value) for entry in model.metadata_props if entry.key == "ntupleml")
    return content


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def dense(weights: list[float], bias: list[float], activation: Any = "linear") -> dict[str, Any]:
    return {"architecture": "dense", "weights": weights, "bias": bias, "activation": activation}


def variables(*names: str, offset: float = 0, scale: float = 1, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name, "offset": offset, "scale": scale, **more} for name in names]


def graph(nodes: list[dict[str, Any]], layers: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """A network in the graph form; the last node is its output."""
    content = {"inputs": [], "input_sequences": [], "nodes": nodes, "layers": layers or [], **more}
    return {"outputs": {"out": {"labels": ["a", "b"], "node_index": len(nodes) - 1}}, **content}


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """Two variables, unchanged."""
    return write(tmp_path / "identity.json", {"inputs": variables("x", "y"), "layers": [], "outputs": ["a", "b"]})


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("file", ANSWERS)
def test_answers_of_liblwtnn(file: str, dtype: type[np.generic]) -> None:
    data = np.load((DATA / file).parent / "data.npz")
    session = session_of(lwtnn_to_onnx(DATA / file, dtype))
    feeds = {}
    for value in session.get_inputs():
        if value.name.endswith("_length"):
            feeds[value.name] = data["len"]
        else:
            (key,) = [f"X_{value.name}"] if f"X_{value.name}" in data else [key for key in data if key.startswith("X")]
            feeds[value.name] = data[key].astype(dtype)  # NaN beyond the lengths: it must not matter
    results = dict(zip((one.name for one in session.get_outputs()), session.run(None, feeds), strict=True))
    answers = {key: data[key] for key in data if key.startswith("y_lwtnn")}
    assert answers
    for key, answer in answers.items():
        name = key.split("_")[-1]
        result = results.get(name, results.get("scores"))
        assert result.dtype == dtype
        assert np.abs(result - answer).max() < TOLERANCE[dtype], key


@pytest.mark.parametrize("file", ["nan_defaults/lwtnn.json", "nan_defaults/lwtnn_graph.json"])
@pytest.mark.parametrize(("replaced", "key"), [("nothing", "raw"), ("nan", "nan"), ("nan_and_infinities", "all")])
def test_defaults_replace_what_is_missing(file: str, replaced: Any, key: str) -> None:
    data = np.load(DATA / "nan_defaults" / "data.npz")
    model = lwtnn_to_onnx(DATA / file, np.float64, replaced=replaced)
    (name,) = metadata(model)["variables"]
    answer = data[f"y_lwtnn_{key}"]
    np.testing.assert_allclose(scores(model, **{name: data["X"]}), answer, rtol=0, atol=1e-12, equal_nan=True)
    assert np.isnan(answer).any() == (key != "all")


def test_only_nan_is_replaced_unless_told_otherwise(tmp_path: Path) -> None:
    content = {"inputs": variables("x", default=2), "layers": [], "outputs": ["a"]}
    path = write(tmp_path / "network.json", content)
    rows = np.array([[math.nan], [math.inf], [-math.inf], [1]], np.float32)
    assert scores(lwtnn_to_onnx(path), variables=rows).ravel().tolist() == [2, math.inf, -math.inf, 1]


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [({"defaults": {}}, [math.nan, math.nan]), ({}, [5, math.nan]), ({"defaults": {"y": 3}}, [math.nan, 3])],
    ids=["an empty block hides those of the inputs", "those of the inputs", "a block"],
)
def test_where_defaults_stand(tmp_path: Path, defaults: dict[str, Any], expected: list[float]) -> None:
    inputs = [*variables("x", default=5), *variables("y")]
    path = write(tmp_path / "network.json", {"inputs": inputs, "layers": [], "outputs": ["a", "b"], **defaults})
    result = scores(lwtnn_to_onnx(path), variables=np.full((1, 2), math.nan, np.float32))
    np.testing.assert_array_equal(result, [expected])


def test_defaults_reach_the_steps_of_sequences(tmp_path: Path) -> None:
    nodes = [{"type": "input_sequence", "size": 2, "sources": [0]}, {"type": "sum", "sources": [0]}]
    groups = [{"name": "tracks", "variables": variables("x", "y", default=10)}]
    path = write(tmp_path / "network.json", graph(nodes, input_sequences=groups))
    steps = np.array([[[1, math.nan], [2, 3], [math.nan, 7]]], np.float32)
    result = scores(lwtnn_to_onnx(path), tracks=steps, tracks_length=np.array([2]))
    assert result.tolist() == [[3, 13]]


def test_metadata_of_the_sequential_form() -> None:
    model = lwtnn_to_onnx(DATA / "toy_2_100_100_3" / "lwtnn.json")
    content = metadata(model)
    assert content["kind"] == "lwtnn"
    assert content["variables"] == {"variables": ["v0", "v1"]}
    assert content["outputs"] == ["scores"]
    assert content["classes"] == ["signal", "ttbar", "wjets"]
    assert content["sequences"] == []
    assert content["defaults"] == {}
    assert (content["form"], content["replaced"]) == ("sequential", "nan")


def test_metadata_of_a_graph_with_several_inputs_and_outputs() -> None:
    content = metadata(lwtnn_to_onnx(DATA / "two_inputs" / "lwtnn.json"))
    assert list(content["variables"]) == ["jets", "event"]
    assert content["variables"]["jets"] == ["jets_0", "jets_1", "jets_2"]
    assert content["outputs"] == ["cls", "reg"]
    assert content["labels"] == {"cls": ["c0", "c1", "c2"], "reg": ["r"]}


def test_defaults_in_the_metadata() -> None:
    content = metadata(lwtnn_to_onnx(DATA / "nan_defaults" / "lwtnn_graph.json"))
    assert list(content["defaults"]["input_node"]) == ["v0", "v1", "v2"]


def test_one_of_several_outputs() -> None:
    path = DATA / "two_inputs" / "lwtnn.json"
    data = np.load(path.parent / "data.npz")
    model = lwtnn_to_onnx(path, np.float64, output="reg")
    assert metadata(model)["classes"] == ["r"]
    result = scores(model, jets=data["X_jets"], event=data["X_event"])
    assert np.abs(result - data["y_lwtnn_reg"]).max() < 1e-12
    with pytest.raises(NtuplemlError, match=r"lwtnn\.json: no output 'rag'; nearest: 'reg'"):
        lwtnn_to_onnx(path, output="rag")


def test_sequences_have_their_length_beside_them() -> None:
    model = lwtnn_to_onnx(DATA / "gru_var" / "lwtnn.json")
    kinds = {value.name: (value.type, len(value.shape)) for value in session_of(model).get_inputs()}
    assert kinds == {"tracks": ("tensor(float)", 3), "tracks_length": ("tensor(int64)", 1)}
    assert metadata(model)["sequences"] == ["tracks"]
    model = lwtnn_to_onnx(DATA / "seq_lstm" / "lwtnn.json")
    assert [value.name for value in session_of(model).get_inputs()] == ["variables", "variables_length"]


@pytest.mark.parametrize("case", ["lstm_var", "gru_var", "conv1d_same3", "deepset_sum", "timedist_lstm"])
def test_padding_does_not_matter(case: str) -> None:
    data = np.load(DATA / case / "data.npz")
    session = session_of(lwtnn_to_onnx(DATA / case / "lwtnn.json", np.float64))
    steps, length = data["X_tracks"], data["len"]
    longer = np.concatenate([steps, np.full_like(steps[:, :3], 1e30)], axis=1)
    first = session.run(None, {"tracks": np.nan_to_num(steps), "tracks_length": length})[0]
    np.testing.assert_allclose(
        session.run(None, {"tracks": longer, "tracks_length": length})[0], first, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("case", ["lstm_var", "gru_var", "conv1d_same3", "deepset_sum", "timedist_lstm"])
def test_empty_sequences_give_the_same_however_they_come(case: str) -> None:
    """Alone, beside others, with no step in the whole batch, and with no event."""
    data = np.load(DATA / case / "data.npz")
    session = session_of(lwtnn_to_onnx(DATA / case / "lwtnn.json"))

    def run(steps: np.ndarray, length: list[int]) -> np.ndarray:
        return session.run(None, {"tracks": steps.astype(np.float32), "tracks_length": np.array(length, np.int64)})[0]

    width = data["X_tracks"].shape[2]
    beside = run(np.nan_to_num(data["X_tracks"][:3]), [0, 3, 0])
    assert np.isfinite(beside).all()
    assert (beside[0] == beside[2]).all()
    assert not np.allclose(beside[0], beside[1], atol=1e-3)
    np.testing.assert_array_equal(run(np.zeros((1, 0, width)), [0]), beside[:1])
    assert run(np.zeros((0, 4, width)), []).shape == (0, beside.shape[1])
    assert run(np.zeros((0, 0, width)), []).shape == (0, beside.shape[1])


@pytest.mark.parametrize("case", ["deepset_sum", "gru_var"])
def test_lengths_beyond_the_padding_count_what_is_there(case: str) -> None:
    data = np.load(DATA / case / "data.npz")
    session = session_of(lwtnn_to_onnx(DATA / case / "lwtnn.json"))
    steps = data["X_tracks"][data["len"] == 10].astype(np.float32)
    full, beyond = (
        session.run(None, {"tracks": steps, "tracks_length": np.full(len(steps), length)})[0] for length in (10, 99)
    )
    np.testing.assert_array_equal(full, beyond)


def test_names_of_the_user_do_not_meet_those_of_the_graph(tmp_path: Path) -> None:
    """Names such as the graph's own nodes have; the default ones of lwtnn's converters end in numbers too."""
    nodes = [
        {"type": "input", "size": 2, "sources": [0]},
        {"type": "input", "size": 2, "sources": [1]},
        {"type": "add", "sources": [0, 1]},
    ]
    groups = [{"name": name, "variables": variables("x", "y")} for name in ("network/cast_0", "cast_0")]
    labels = {"labels": ["a", "b"], "node_index": 2}
    content = graph(nodes, inputs=groups, outputs={"constant_0": labels, "mul_3": labels, "_network/": labels})
    model = lwtnn_to_onnx(write(tmp_path / "network.json", content), np.float64)
    ones = np.ones((3, 2))
    results = session_of(model).run(None, {"network/cast_0": ones, "cast_0": 2 * ones})
    assert all((result == 3).all() for result in results)
    assert metadata(model)["outputs"] == ["constant_0", "mul_3", "_network/"]


def test_branches_that_no_output_needs_are_left_out(tmp_path: Path) -> None:
    nodes = [
        {"type": "input", "size": 2, "sources": [0]},
        {"type": "feed_forward", "sources": [0], "layer_index": 0},
        {"type": "concatenate", "sources": [0]},
    ]
    layers = [dense([1] * 2000, [0] * 1000, "tanh")]
    model = lwtnn_to_onnx(
        write(tmp_path / "network.json", graph(nodes, layers, inputs=[{"name": "x", "variables": variables("x", "y")}]))
    )
    assert "Tanh" not in {node.op_type for node in model.graph.node}
    assert scores(model, x=np.array([[1, 2]], np.float32)).tolist() == [[1, 2]]


def test_a_long_chain_of_nodes(tmp_path: Path) -> None:
    nodes: list[dict[str, Any]] = [{"type": "input", "size": 2, "sources": [0]}]
    nodes += [{"type": "feed_forward", "sources": [index], "layer_index": 0} for index in range(1500)]
    content = graph(nodes, [dense([], [1, 2])], inputs=[{"name": "x", "variables": variables("x", "y")}])
    model = lwtnn_to_onnx(write(tmp_path / "network.json", content))
    assert scores(model, x=np.zeros((1, 2), np.float32)).tolist() == [[1500, 3000]]


def test_numbers_beyond_single_precision(tmp_path: Path) -> None:
    weights = np.full(5000, 1e-3)
    weights[7] = 1e39
    content = {"inputs": variables("x", "y"), "layers": [], "outputs": ["a", "b"]}
    content["layers"] = [dense(weights.tolist(), []), dense(weights.tolist(), [])]
    path = write(tmp_path / "network.json", content)
    with pytest.raises(NtuplemlError, match=r"network\.json: .* beyond the range of float32; convert it with dtype"):
        lwtnn_to_onnx(path)
    assert np.isfinite(scores(lwtnn_to_onnx(path, np.float64), variables=np.ones((1, 2)))).all()


def test_large_offsets_keep_their_digits(tmp_path: Path) -> None:
    content = {"inputs": variables("run", offset=-355_000.0, scale=0.5), "layers": [], "outputs": ["a"]}
    path = write(tmp_path / "network.json", content)
    rows = np.array([[355_001], [354_999.75]], np.float32)
    assert scores(lwtnn_to_onnx(path), variables=rows).ravel().tolist() == [0.5, -0.125]


@pytest.mark.parametrize(("function", "expected"), [("sigmoid", [0, 1]), ("swish", [0, 3100])])
def test_the_ends_of_the_sigmoid(tmp_path: Path, function: str, expected: list[float]) -> None:
    """Beyond 30, where liblwtnn cuts it off: swish at -3100 would else be -1e-10."""
    alpha = 0.01
    content = {"inputs": variables("x", scale=1 if function == "swish" else alpha), "outputs": ["a"]}
    content["layers"] = [dense([], [], {"function": function, "alpha": alpha})]
    path = write(tmp_path / "network.json", content)
    assert (
        scores(lwtnn_to_onnx(path, np.float64), variables=np.array([[-3100.0], [3100.0]])).ravel().tolist() == expected
    )


def test_large_dense_networks_are_computed_in_single_precision() -> None:
    """Only the scaling of the inputs is in double: the speed depends on it."""
    model = lwtnn_to_onnx(DATA / "toy_2_100_100_3" / "lwtnn.json")
    matrices = {entry.name for entry in model.graph.initializer if entry.data_type == onnx.TensorProto.FLOAT}
    multiplied = {node.input[1] for node in model.graph.node if node.op_type == "Gemm"}
    assert len(multiplied) == 3
    assert multiplied <= matrices


def test_programming_errors(identity: Path) -> None:
    with pytest.raises(ValueError, match="dtype"):
        lwtnn_to_onnx(identity, np.float16)
    with pytest.raises(ValueError, match="replaced 'inf'"):
        lwtnn_to_onnx(identity, replaced="inf")  # type: ignore[arg-type]
