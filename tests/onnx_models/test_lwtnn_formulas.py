"""Every kind of layer and node of lwtnn against its formula, written in plain numpy event by event."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

if TYPE_CHECKING:
    from pathlib import Path

FUNCTIONS: list[Any] = [
    "linear", "rectified", "sigmoid", "tanh", "softmax", "hard_sigmoid", "abs", "elu", "tanh_legacy",
    {"function": "elu", "alpha": 0.3}, {"function": "elu", "alpha": -2}, {"function": "leakyrelu", "alpha": 0.1},
    {"function": "swish", "alpha": 1}, {"function": "swish", "alpha": 0.02}, {"function": "sigmoid", "alpha": 4},
]  # fmt: skip


# The formulas: lwtnn's Stack.tcc and Graph.tcc, for one event in double precision.


def activate(x: np.ndarray, activation: Any) -> np.ndarray:
    name, alpha = activation, 1.0
    if isinstance(activation, dict):
        name, alpha = activation["function"], activation["alpha"]
    name = name.removesuffix("_legacy")
    if name == "softmax":
        shifted = np.exp(x - x.max())
        return shifted / shifted.sum()
    return np.array([SCALAR[name](float(value), alpha) for value in x])


def sigmoid(x: float) -> float:
    if abs(x) > 30:
        return 0.0 if x < 0 else 1.0
    return 1 / (1 + math.exp(-x))


SCALAR = {
    "linear": lambda x, a: x,
    "rectified": lambda x, a: 0.0 if x < 0 else x,
    "sigmoid": lambda x, a: sigmoid(x),
    "tanh": lambda x, a: math.tanh(x),
    "hard_sigmoid": lambda x, a: min(max(0.2 * x + 0.5, 0), 1),
    "abs": lambda x, a: abs(x),
    "elu": lambda x, a: x if x >= 0 else a * (math.exp(x) - 1),
    "leakyrelu": lambda x, a: x if x > 0 else a * x,
    "swish": lambda x, a: x * sigmoid(a * x),
}


def matrix(part: dict[str, Any], num_inputs: int) -> np.ndarray:
    return np.reshape(part["weights"], (-1, num_inputs))


def row(layer: dict[str, Any], x: np.ndarray) -> np.ndarray:
    kind = layer["architecture"]
    if kind == "dense":
        x = matrix(layer, len(x)) @ x if layer["weights"] else x
        return activate(x + layer["bias"] if layer["bias"] else x, layer["activation"])
    if kind == "normalization":
        return np.array(layer["weights"]) * (x + np.array(layer["bias"]))
    if kind == "maxout":
        return np.max([matrix(unit, len(x)) @ x + unit["bias"] for unit in layer["sublayers"]], axis=0)
    t, c = (layer["components"][name] for name in ("t", "carry"))
    carry = activate(matrix(c, len(x)) @ x + c["bias"], "sigmoid")
    return carry * activate(matrix(t, len(x)) @ x + t["bias"], layer["activation"]) + (1 - carry) * x


def sequence(layer: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Features × steps in and out, as in liblwtnn."""
    if layer["architecture"] == "conv1d":
        return convolution(layer, x)
    parts = layer["components"]
    width = len(parts["h" if "h" in parts else "o"]["bias"])
    h, cell, steps = np.zeros(width), np.zeros(width), []
    for step in x.T:
        sums = {name: matrix(part, len(step)) @ step + part["bias"] for name, part in parts.items()}
        u = {name: np.reshape(part["U"], (width, width)) for name, part in parts.items()}
        if layer["architecture"] == "lstm":
            i, f, o = (activate(sums[name] + u[name] @ h, layer["inner_activation"]) for name in "ifo")
            cell = f * cell + i * activate(sums["c"] + u["c"] @ h, layer["activation"])
            h = o * activate(cell, layer["activation"])
        elif layer["architecture"] == "gru":
            z, r = (activate(sums[name] + u[name] @ h, layer["inner_activation"]) for name in "zr")
            h = z * h + (1 - z) * activate(sums["h"] + u["h"] @ (r * h), layer["activation"])
        else:
            h = activate(sums["h"] + u["h"] @ h, layer["activation"])
        steps.append(h)
    return np.array(steps).reshape(-1, width).T


def convolution(layer: dict[str, Any], x: np.ndarray) -> np.ndarray:
    num_outputs = len(layer["bias"])
    kernel = np.reshape(layer["weights"], (num_outputs, len(x), -1))
    span = (kernel.shape[2] - 1) * layer["dilation_rate"]
    front = {"valid": 0, "same": (span + 1) // 2, "causal": span}[layer["padding"]]
    if layer["padding"] != "valid":
        x = np.pad(x, ((0, 0), (front, span - front)))
    result = np.zeros((num_outputs, max(x.shape[1] - span, 0)))
    for step in range(result.shape[1]):
        for k in range(kernel.shape[2]):
            result[:, step] += kernel[:, :, k] @ x[:, step + k * layer["dilation_rate"]]
    result += np.array(layer["bias"])[:, None]
    return np.array([activate(one, layer["activation"]) if len(one) else one for one in result])


def evaluate(network: dict[str, Any], inputs: dict[str, np.ndarray], index: int) -> np.ndarray:
    """A node of a graph for one event; sequences are features × steps, rows are vectors."""
    node = network["nodes"][index]
    kind, sources = node["type"], node["sources"]
    if kind in ("input", "input_sequence"):
        group = network["inputs" if kind == "input" else "input_sequences"][sources[0]]
        offset, scale = (np.array([one[key] for one in group["variables"]]) for key in ("offset", "scale"))
        return ((inputs[group["name"]].T + offset) * scale).T
    values = [evaluate(network, inputs, source) for source in sources]
    if kind in ("feed_forward", "concatenate", "add"):  # these read the last step of a sequence
        values = [value if value.ndim == 1 else last(value) for value in values]
    layer = network["layers"][node["layer_index"]] if "layer_index" in node else {}
    if kind == "time_distributed":
        steps = [row(layer, step) for step in values[0].T]
        width = len(row(layer, np.zeros(len(values[0]))))
        return np.array(steps).reshape(-1, width).T
    return {
        "feed_forward": lambda: row(layer, values[0]),
        "sequence": lambda: sequence(layer, values[0]),
        "sum": lambda: values[0].sum(axis=1),
        "concatenate": lambda: np.concatenate(values),
        "add": lambda: np.sum(values, axis=0),
    }[kind]()


def last(steps: np.ndarray) -> np.ndarray:
    return steps[:, -1] if steps.shape[1] else np.zeros(len(steps))


# Random networks.


class Builder:
    """Layers with random numbers."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def numbers(self, *shape: int) -> list[float]:
        return self.random.normal(0, 0.8, math.prod(shape)).tolist()

    def dense(self, n_in: int, n_out: int, activation: Any = "tanh", **more: Any) -> dict[str, Any]:
        part = {"weights": self.numbers(n_out, n_in), "bias": self.numbers(n_out)}
        return {"architecture": "dense", **part, "activation": activation, **more}

    def maxout(self, n_in: int, n_out: int, units: int = 3) -> dict[str, Any]:
        sublayers = [{"weights": self.numbers(n_out, n_in), "bias": self.numbers(n_out)} for _ in range(units)]
        return {"architecture": "maxout", "sublayers": sublayers}

    def highway(self, width: int, activation: Any) -> dict[str, Any]:
        parts = {name: {"weights": self.numbers(width, width), "bias": self.numbers(width)} for name in ("t", "carry")}
        return {"architecture": "highway", "components": parts, "activation": activation}

    def normalization(self, width: int) -> dict[str, Any]:
        return {"architecture": "normalization", "weights": self.numbers(width), "bias": self.numbers(width)}

    def recurrent(
        self, kind: str, n_in: int, n_out: int, activation: Any = "tanh", inner: Any = "sigmoid"
    ) -> dict[str, Any]:
        names = {"lstm": "fcio", "gru": "hrz", "simplernn": "h"}[kind]  # in no order that matters
        parts = {
            name: {"weights": self.numbers(n_out, n_in), "U": self.numbers(n_out, n_out), "bias": self.numbers(n_out)}
            for name in names
        }
        layer = {"architecture": kind, "components": parts, "activation": activation}
        return layer if kind == "simplernn" else {**layer, "inner_activation": inner}

    def conv1d(
        self, n_in: int, n_out: int, kernel: int, padding: str, dilation: int, activation: Any
    ) -> dict[str, Any]:
        numbers = {"weights": self.numbers(n_out, n_in, kernel), "bias": self.numbers(n_out)}
        more = {"padding": padding, "dilation_rate": dilation, "activation": activation}
        return {"architecture": "conv1d", **numbers, **more}

    def group(self, name: str, width: int) -> dict[str, Any]:
        numbers = zip(self.numbers(width), self.numbers(width), strict=True)
        variables = [{"name": f"{name}_{i}", "offset": a, "scale": b} for i, (a, b) in enumerate(numbers)]
        return {"name": name, "variables": variables}


def network(
    nodes: list[tuple[Any, ...]], layers: list[Any], outputs: dict[str, tuple[int, int]], **groups: list[Any]
) -> dict[str, Any]:
    """Nodes as (type, sources, layer index or size)."""
    keys = {"input": "size", "input_sequence": "size"}
    described = [
        {"type": kind, "sources": list(sources), **({keys.get(kind, "layer_index"): more[0]} if more else {})}
        for kind, sources, *more in nodes
    ]
    return {
        "inputs": groups.get("inputs", []),
        "input_sequences": groups.get("input_sequences", []),
        "nodes": described,
        "layers": layers,
        "outputs": {
            name: {"labels": [f"{name}_{i}" for i in range(width)], "node_index": index}
            for name, (index, width) in outputs.items()
        },
    }


def compare(content: dict[str, Any], folder: Path, seed: int = 0, num_events: int = 40) -> None:
    """Both precisions on random events, some sequences empty.

    Outputs of kinds that only `LightweightGraph::scan` answers are compared step by step, the others with `compute`.
    """
    path = folder / "network.json"
    path.write_text(json.dumps(content))
    random = np.random.default_rng(seed)
    rows = {one["name"]: random.normal(size=(num_events, len(one["variables"]))) for one in content["inputs"]}
    steps, lengths = {}, {}
    for one in content["input_sequences"]:
        lengths[one["name"]] = random.integers(0, 8, num_events)
        steps[one["name"]] = random.normal(size=(num_events, 7, len(one["variables"])))
    for dtype, tolerance in ((np.float32, 2e-6), (np.float64, 1e-12)):
        model = lwtnn_to_onnx(path, dtype)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        given_ = {name: values.astype(dtype) for name, values in {**rows, **steps}.items()}
        lengths_ = {f"{name}_length": values for name, values in lengths.items()}
        values = session.run(None, {**given_, **lengths_})
        results = dict(zip([one.name for one in session.get_outputs()], values, strict=True))
        for name, output in content["outputs"].items():
            key = name if name in results else "scores"
            per_step = content["nodes"][output["node_index"]]["type"] in ("input_sequence", "time_distributed")
            assert (f"{key}_length" in results) == per_step
            result = results[key]
            for event in range(num_events):
                inputs = {name: given_[name][event].astype(np.float64) for name in rows}
                inputs |= {name: given_[name][event, : lengths[name][event]].T.astype(np.float64) for name in steps}
                expected = evaluate(content, inputs, output["node_index"])
                if per_step:
                    length = results[f"{key}_length"][event]
                    assert length == expected.shape[1]
                    assert not result[event, length:].any()
                    expected, found = expected.T, result[event, :length]
                else:
                    expected, found = last(expected) if expected.ndim == 2 else expected, result[event]
                assert found.shape == expected.shape
                scale = np.abs(expected).max(initial=1.0)
                assert np.abs(found - expected).max(initial=0.0) < tolerance * scale, (dtype, event)
            if per_step:
                assert result.shape[1] == results[f"{key}_length"].max(initial=0)


def feed_forward(layers: list[dict[str, Any]], n_in: int, n_out: int, builder: Builder) -> dict[str, Any]:
    nodes: list[tuple[Any, ...]] = [("input", [0], n_in)]
    nodes += [("feed_forward", [index], index) for index in range(len(layers))]
    return network(nodes, layers, {"out": (len(layers), n_out)}, inputs=[builder.group("x", n_in)])


def scan(layers: list[dict[str, Any]], n_in: int, n_out: int, builder: Builder) -> dict[str, Any]:
    nodes: list[tuple[Any, ...]] = [("input_sequence", [0], n_in)]
    nodes += [("sequence", [index], index) for index in range(len(layers))]
    return network(nodes, layers, {"out": (len(layers), n_out)}, input_sequences=[builder.group("x", n_in)])


@pytest.mark.parametrize("activation", FUNCTIONS, ids=str)
def test_activations(tmp_path: Path, activation: Any) -> None:
    builder = Builder(1)
    layers = [builder.dense(3, 6, activation), builder.dense(6, 4, activation)]
    compare(feed_forward(layers, 3, 4, builder), tmp_path)


@pytest.mark.parametrize("activation", FUNCTIONS, ids=str)
def test_activations_far_from_zero(tmp_path: Path, activation: Any) -> None:
    """Where liblwtnn's sigmoid is cut off, and exponentials overflow."""
    builder = Builder(2)
    layer = {**builder.dense(3, 4, activation), "weights": (1000 * np.array(builder.numbers(12))).tolist()}
    compare(feed_forward([layer], 3, 4, builder), tmp_path)


@pytest.mark.parametrize("activation", ["rectified", "tanh", "softmax", {"function": "elu", "alpha": 0.5}], ids=str)
def test_networks_in_single_precision(tmp_path: Path, activation: Any) -> None:
    builder = Builder(3)
    layers = [builder.dense(4, 60, "rectified"), builder.normalization(60), builder.dense(60, 80, activation)]
    layers += [{**builder.dense(80, 3, "softmax"), "bias": []}]
    for layer in layers[2:]:
        layer["weights"] = (0.1 * np.array(layer["weights"])).tolist()
    compare(feed_forward(layers, 4, 3, builder), tmp_path)


@pytest.mark.parametrize("activation", ["tanh", "softmax", {"function": "swish", "alpha": 0.7}], ids=str)
def test_highway(tmp_path: Path, activation: Any) -> None:
    builder = Builder(4)
    compare(feed_forward([builder.highway(5, activation), builder.highway(5, "linear")], 5, 5, builder), tmp_path)


@pytest.mark.parametrize("units", [1, 2, 5])
def test_maxout_and_normalization(tmp_path: Path, units: int) -> None:
    builder = Builder(5)
    layers = [builder.normalization(3), builder.maxout(3, 4, units), builder.normalization(4)]
    compare(feed_forward(layers, 3, 4, builder), tmp_path)


def test_dense_layers_without_weights_or_bias(tmp_path: Path) -> None:
    builder = Builder(6)
    layers = [
        {**builder.dense(3, 3, "tanh"), "weights": []},
        {**builder.dense(3, 5, "linear"), "bias": []},
        {**builder.dense(5, 5, "elu"), "weights": [], "bias": []},
    ]
    compare(feed_forward(layers, 3, 5, builder), tmp_path)


@pytest.mark.parametrize("kind", ["lstm", "gru", "simplernn"])
@pytest.mark.parametrize(
    ("activation", "inner"),
    [
        ("tanh", "sigmoid"),
        ("tanh", "hard_sigmoid"),
        ("softmax", "softmax"),
        ({"function": "elu", "alpha": 0.4}, "sigmoid"),
    ],
    ids=str,
)
def test_recurrent_layers(tmp_path: Path, kind: str, activation: Any, inner: Any) -> None:
    builder = Builder(7)
    layers = [builder.recurrent(kind, 3, 4, activation, inner), builder.recurrent(kind, 4, 2, activation, inner)]
    compare(scan(layers, 3, 2, builder), tmp_path)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 1), (4, 1), (2, 3), (3, 2), (2, 0), (9, 1)])
def test_convolutions(tmp_path: Path, padding: str, kernel: int, dilation: int) -> None:
    """Even kernels, dilations, and kernels longer than every sequence."""
    builder = Builder(8)
    layers = [
        builder.conv1d(3, 4, kernel, padding, dilation, "rectified"),
        builder.conv1d(4, 2, 2, "causal", 1, "tanh"),
        builder.recurrent("gru", 2, 3),
    ]
    compare(scan(layers, 3, 3, builder), tmp_path)


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
def test_softmax_of_a_convolution_is_over_the_steps(tmp_path: Path, padding: str) -> None:
    builder = Builder(9)
    layers = [builder.conv1d(3, 4, 2, padding, 1, "softmax"), builder.conv1d(4, 2, 1, "same", 1, "softmax")]
    compare(scan(layers, 3, 2, builder), tmp_path)


def test_layers_at_every_step(tmp_path: Path) -> None:
    """Each kind of layer, before and after a recurrent one, then the sum."""
    builder = Builder(10)
    layers = [
        builder.normalization(3),
        builder.dense(3, 4, "softmax"),
        builder.highway(4, "tanh"),
        builder.recurrent("lstm", 4, 5),
        builder.maxout(5, 3),
        {**builder.dense(3, 3, "rectified"), "weights": []},
        builder.dense(3, 2, "sigmoid"),
    ]
    kinds = ["time_distributed"] * 3 + ["sequence"] + ["time_distributed"] * 2
    nodes: list[tuple[Any, ...]] = [("input_sequence", [0], 3)]
    nodes += [(kind, [index], index) for index, kind in enumerate(kinds)]
    nodes += [("sum", [6]), ("feed_forward", [7], 6)]
    compare(network(nodes, layers, {"out": (8, 2)}, input_sequences=[builder.group("x", 3)]), tmp_path)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_scores_for_each_step(tmp_path: Path, padding: str) -> None:
    """As many as a convolution leaves, of several outputs, one of them the scaled inputs themselves."""
    builder = Builder(14)
    layers = [
        builder.conv1d(3, 4, 3, padding, 1, "tanh"),
        builder.recurrent("lstm", 4, 5),
        builder.dense(5, 3, "softmax"),
        builder.dense(5, 1, "sigmoid"),
    ]
    nodes: list[tuple[Any, ...]] = [("input_sequence", [0], 3), ("sequence", [0], 0), ("sequence", [1], 1)]
    nodes += [("time_distributed", [2], 2), ("time_distributed", [2], 3), ("feed_forward", [2], 3)]
    group = builder.group("tracks", 3)
    compare(network(nodes, layers, {"origin": (3, 3)}, input_sequences=[group]), tmp_path)
    several = {"origin": (3, 3), "used": (4, 1), "event": (5, 1), "inputs": (0, 3)}
    compare(network(nodes, layers, several, input_sequences=[group]), tmp_path)


def test_scores_for_each_step_where_no_event_has_any(tmp_path: Path) -> None:
    """Sequences of length 0 in an array with or without steps, and no event at all."""
    builder = Builder(15)
    nodes: list[tuple[Any, ...]] = [("input_sequence", [0], 2), ("time_distributed", [0], 0)]
    layers, group = [builder.dense(2, 3, "softmax")], builder.group("x", 2)
    path = tmp_path / "network.json"
    path.write_text(json.dumps(network(nodes, layers, {"out": (1, 3)}, input_sequences=[group])))
    session = onnxruntime.InferenceSession(lwtnn_to_onnx(path).SerializeToString(), providers=["CPUExecutionProvider"])
    for events, steps in ((4, 0), (4, 3), (0, 3), (0, 0)):
        given_ = {"x": np.ones((events, steps, 2), np.float32), "x_length": np.zeros(events, np.int64)}
        scores, lengths = session.run(["scores", "scores_length"], given_)
        assert (scores.shape, lengths.tolist()) == ((events, 0, 3), [0] * events)


def test_several_sequences_rows_and_outputs_with_shared_layers(tmp_path: Path) -> None:
    """The last step of a sequence as a row, layers and inputs used twice, nodes not in order of computation."""
    builder = Builder(11)
    layers = [
        builder.dense(4, 4, "tanh"),
        builder.recurrent("gru", 4, 4),
        builder.dense(3, 4, "rectified"),
        builder.dense(16, 3, "softmax"),
        builder.dense(4, 1, "linear"),
    ]
    nodes = [
        ("feed_forward", [9], 3),
        ("input_sequence", [0], 4),
        ("input_sequence", [1], 4),
        ("input", [1], 3),
        ("time_distributed", [1], 0),
        ("sequence", [4], 1),
        ("sequence", [2], 1),
        ("feed_forward", [3], 2),
        ("add", [5, 6, 7, 5]),
        ("concatenate", [8, 5, 12, 7]),
        ("feed_forward", [8], 4),
        ("sum", [6]),
        ("feed_forward", [11], 0),
        ("input", [0], 2),
    ]
    content = network(
        nodes,
        layers,
        {"classes": (0, 3), "mass": (10, 1), "state": (5, 4), "scaled": (13, 2)},
        inputs=[builder.group("event", 2), builder.group("lepton", 3)],
        input_sequences=[builder.group("tracks", 4), builder.group("clusters", 4)],
    )
    compare(content, tmp_path)


def test_the_sequential_form_with_recurrent_layers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """LightweightRNN: recurrent layers first, whatever the order in the file; then the others on the last step."""
    builder = Builder(12)
    lstm, gru = builder.recurrent("lstm", 3, 4), builder.recurrent("gru", 4, 3)
    dense, more = builder.dense(3, 5, "tanh"), builder.dense(5, 2, "softmax")
    group = builder.group("x", 3)
    nodes: list[tuple[Any, ...]] = [("input_sequence", [0], 3), ("sequence", [0], 0), ("sequence", [1], 1)]
    nodes += [("feed_forward", [2], 2), ("feed_forward", [3], 3)]
    as_graph = network(nodes, [lstm, gru, dense, more], {"out": (4, 2)}, input_sequences=[group])
    path = tmp_path / "sequential.json"
    sequential = {"inputs": group["variables"], "layers": [lstm, dense, gru, more], "outputs": ["a", "b"]}
    path.write_text(json.dumps(sequential))
    model = lwtnn_to_onnx(path, np.float64)
    assert "recurrent layers run before the others" in caplog.text
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    steps = np.random.default_rng(3).normal(size=(20, 5, 3))
    length = np.arange(20) % 6
    (result,) = session.run(None, {"variables": steps, "variables_length": length})
    for event in range(20):
        expected = evaluate(as_graph, {"x": steps[event, : length[event]].T}, 4)
        assert np.abs(result[event] - expected).max() < 1e-12


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_graphs(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    builder = Builder(data.draw(st.integers(0, 1000)))
    nodes: list[tuple[Any, ...]] = [("input", [0], 3), ("input_sequence", [0], 4)]
    kinds, widths, layers = ["row", "steps"], [3, 4], []
    names = ["feed_forward", "time_distributed", "sequence", "sum", "concatenate", "add"]
    for _ in range(data.draw(st.integers(1, 8))):
        kind = data.draw(st.sampled_from(names))
        wanted = ("steps", "both") if kind in ("time_distributed", "sequence", "sum") else ("row", "both")
        able = [index for index, what in enumerate(kinds) if what in wanted]
        source = data.draw(st.sampled_from(able))
        sources, width, more = [source], widths[source], ()
        if kind in ("concatenate", "add"):
            able = [index for index in able if kind == "concatenate" or widths[index] == widths[source]]
            sources += data.draw(st.lists(st.sampled_from(able), max_size=2))
            width = sum(widths[index] for index in sources) if kind == "concatenate" else width
        elif kind != "sum":
            layer, width = _layer(data, builder, kind, width)
            layers.append(layer)
            more = (len(layers) - 1,)
        nodes.append((kind, sources, *more))
        kinds.append({"time_distributed": "steps", "sequence": "both"}.get(kind, "row"))
        widths.append(width)
    outputs = {f"out{i}": (i, widths[i]) for i in range(len(nodes)) if kinds[i] != "steps"}
    groups = {"inputs": [builder.group("event", 3)], "input_sequences": [builder.group("tracks", 4)]}
    folder = tmp_path_factory.mktemp("random")
    compare(network(nodes, layers, outputs, **groups), folder, data.draw(st.integers(0, 1000)), num_events=8)


def _layer(data: st.DataObject, builder: Builder, kind: str, width: int) -> tuple[dict[str, Any], int]:
    n_out = data.draw(st.integers(1, 4))
    bounded = data.draw(st.sampled_from(["tanh", "sigmoid", "softmax", "hard_sigmoid"]))
    if kind != "sequence":
        return data.draw(
            st.sampled_from(
                [
                    (builder.dense(width, n_out, bounded), n_out),
                    (builder.maxout(width, n_out), n_out),
                    (builder.highway(width, bounded), width),
                    (builder.normalization(width), width),
                ]
            )
        )
    padding = data.draw(st.sampled_from(["valid", "same", "causal"]))
    kernel, dilation = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    layers = [builder.recurrent(name, width, n_out) for name in ("lstm", "gru", "simplernn")]
    layers.append(builder.conv1d(width, n_out, kernel, padding, dilation, bounded))
    return data.draw(st.sampled_from(layers)), n_out


PRODUCTS: dict[str, list[dict[str, Any]]] = {
    "scale of a single variable": [{"architecture": "dense", "weights": [0.7, -0.3], "bias": [], "activation": "tanh"}],
    "hard sigmoid without bias": [
        {"architecture": "normalization", "weights": [1.0], "bias": [0.0]},
        {"architecture": "dense", "weights": [0.7, -0.3], "bias": [], "activation": "hard_sigmoid"},
    ],
    "normalisation of a single value": [
        {"architecture": "normalization", "weights": [0.3], "bias": [0.1]},
        {"architecture": "dense", "weights": [1.7, -0.6], "bias": [], "activation": "linear"},
    ],
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_factors_next_to_matrices_keep_double_precision(name: str, tmp_path: Path) -> None:
    """ONNX Runtime would join a product with one number and a product of matrices, in single precision."""
    offset, scale = 0.3, 0.123456789
    path = tmp_path / "network.json"
    inputs = [{"name": "x", "offset": offset, "scale": scale}]
    path.write_text(json.dumps({"inputs": inputs, "layers": PRODUCTS[name], "outputs": ["a", "b"]}))
    session = onnxruntime.InferenceSession(
        lwtnn_to_onnx(path, np.float64).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    raw = np.random.default_rng(3).normal(scale=5.0, size=(50, 1))
    (found,) = session.run(None, {"variables": raw})
    for x, scores in zip(raw, found, strict=True):
        expected = (x + offset) * scale
        for layer in PRODUCTS[name]:
            expected = row(layer, expected)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-14)
