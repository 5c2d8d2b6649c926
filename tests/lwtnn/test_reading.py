"""Reading both forms: what liblwtnn takes, and one line for everything else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn import nodes, read_network
from ntupleml.lwtnn.network import Convolution, Dense, Highway, Maxout, Recurrent
from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

DATA = Path(__file__).resolve().parents[1] / "data" / "lwtnn"
SEQUENTIAL = json.loads((DATA / "hand_highway" / "lwtnn.json").read_text())
GRAPH = json.loads((DATA / "two_inputs" / "lwtnn.json").read_text())
TRACKS = json.loads((DATA / "conv1d_same3" / "lwtnn.json").read_text())


def write(folder: Path, content: Any) -> Path:
    path = folder / "network.json"
    path.write_text(json.dumps(content))
    return path


def changed(content: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a place such as ``layers.0.bias``; `None` removes it."""
    result = copy.deepcopy(content)
    *above, key = [int(part) if part.isdigit() else part for part in place.split(".")]
    target: Any = result
    for part in above:
        target = target[part]
    if value is None:
        del target[key]
    else:
        target[key] = value
    return result


def refused(folder: Path, content: dict[str, Any]) -> str:
    path = write(folder, content)
    with pytest.raises(NtuplemlError) as caught:
        lwtnn_to_onnx(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def test_the_sequential_form() -> None:
    network = read_network(DATA / "hand_highway" / "lwtnn.json")
    assert network.form == "sequential"
    assert [node.kind for node in network.nodes] == ["input", "feed_forward", "feed_forward"]
    highway, dense = network.nodes[1].layer, network.nodes[2].layer
    assert isinstance(highway, Highway)
    assert isinstance(dense, Dense)
    assert dense.weights is not None
    flat = SEQUENTIAL["layers"][1]["weights"]
    np.testing.assert_array_equal(dense.weights, [flat[:6], flat[6:]])
    assert network.outputs[0].labels == ("p0", "p1")
    assert network.groups[0].variables[0].name == "v0"
    assert network.num_weights == 36 + 36 + 12


def test_the_graph_form() -> None:
    network = read_network(DATA / "two_inputs" / "lwtnn.json")
    assert network.form == "graph"
    assert [group.name for group in network.groups] == ["jets", "event"]
    assert [node.width for node in network.nodes] == [3, 4, 12, 4, 4, 4, 12, 16, 1, 3]
    assert {output.name: output.node for output in network.outputs} == {"cls": 9, "reg": 8}
    position = {node: place for place, node in enumerate(network.order)}
    assert all(position[source] < position[node] for node in range(2, 10) for source in network.nodes[node].sources)


def test_kernels_of_convolutions() -> None:
    network = read_network(DATA / "conv1d_same3" / "lwtnn.json")
    convolution, recurrent = network.nodes[1].layer, network.nodes[2].layer
    assert isinstance(convolution, Convolution)
    assert isinstance(recurrent, Recurrent)
    assert convolution.weights.shape == (6, 4, 3)
    assert (convolution.span, convolution.front) == (2, 1)
    assert list(recurrent.gates) == ["z", "r", "h"]
    assert convolution.weights[5, 3, 2] == TRACKS["layers"][0]["weights"][-1]


def test_maxout() -> None:
    network = read_network(DATA / "hand_maxout" / "lwtnn.json")
    maxout = network.nodes[1].layer
    assert isinstance(maxout, Maxout)
    assert [unit.weights.shape for unit in maxout.units] == [(6, 4)] * 3


def test_unknown_keys_and_quoted_numbers_pass(tmp_path: Path) -> None:
    plain = read_network(write(tmp_path, SEQUENTIAL)).nodes[2].layer
    content = copy.deepcopy(SEQUENTIAL)
    content["version"] = {"made": ["by", None]}
    content["layers"][1]["units"] = True
    for key in ("weights", "bias"):
        content["layers"][1][key] = [str(number) for number in content["layers"][1][key]]
    quoted = read_network(write(tmp_path, content)).nodes[2].layer
    assert isinstance(plain, Dense)
    assert isinstance(quoted, Dense)
    np.testing.assert_array_equal(plain.weights, quoted.weights)  # type: ignore[arg-type]
    np.testing.assert_array_equal(plain.bias, quoted.bias)  # type: ignore[arg-type]


def test_the_first_default_of_a_name_counts(tmp_path: Path) -> None:
    content = copy.deepcopy(GRAPH)
    for variable, default in zip(content["inputs"][0]["variables"], [None, 3, 4], strict=True):
        variable["name"] = "pt"
        if default is not None:
            variable["default"] = default
    assert [one.default for one in read_network(write(tmp_path, content)).groups[0].variables] == [3, 3, 3]


def test_nodes_that_share_a_layer_share_one_object(tmp_path: Path) -> None:
    content = changed(GRAPH, "nodes.4.sources", [1])
    content["nodes"].append({"type": "feed_forward", "sources": [1], "layer_index": 2})
    network = read_network(write(tmp_path, content))
    assert network.nodes[4].layer is network.nodes[10].layer


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("inputs", None, "no key 'inputs'"),
        ("layers", None, "no key 'layers'"),
        ("outputs", None, "no key 'outputs'"),
        ("inputs", [], "inputs: empty"),
        ("inputs", {"v0": 1}, "inputs: a block of keys is given where a list belongs"),
        ("inputs.1.name", None, "inputs[1]: no key 'name'"),
        ("inputs.1.offset", "nan", "inputs[1].offset: 'nan' is given where a number"),
        ("inputs.1.scale", None, "inputs[1]: no key 'scale'; there are: 'name', 'offset'"),
        ("inputs.1", "v1", "inputs[1]: 'v1' is given where a block of keys belongs"),
        ("defaults", {"v0": "x"}, "defaults.v0: 'x' is given where a number"),
        ("outputs", ["p0"], "outputs: 1 labels for 2 values"),
        ("outputs", ["p0", "p1", "p2"], "outputs: 3 labels for 2 values"),
        ("outputs", ["p0", "p0"], "outputs: the label 'p0' is given twice"),
        ("outputs", ["p0", None], "outputs[1]: null is given where a name"),
        ("layers.0.architecture", "higway", "layers[0].architecture: no architecture 'higway'; nearest: 'highway'"),
        ("layers.0.architecture", "conv1d", "layers[0]: no key 'padding'"),
        ("layers.0.activation", None, "layers[0]: no key 'activation'"),
        ("layers.0.components", None, "layers[0]: no key 'components'"),
        ("layers.0.components.t", None, "layers[0].components: no component 't'"),
        ("layers.0.components.x", {"weights": [], "bias": []}, "layers[0].components: no component 'x' is known"),
        (
            "layers.0.components.t.weights",
            [1.0] * 35,
            "layers[0].components.t.weights: 35 numbers do not make a",
        ),
        ("layers.0.components.t.weights", [], "layers[0].components.t.weights: 0 numbers"),
        ("layers.0.components.t.bias", [], "layers[0].components.t.bias: 0 numbers, but the layer has 6 outputs"),
        ("layers.1.weights", [1.0] * 13, "layers[1].weights: 13 numbers do not make a matrix with 6 columns"),
        ("layers.1.weights", None, "layers[1]: no key 'weights'"),
        ("layers.1.bias", [1.0], "layers[1].bias: 1 numbers, but the layer has 2 outputs"),
        ("layers.1.bias", None, "layers[1]: no key 'bias'"),
        ("layers.1.bias.1", [2], "layers[1].bias[1]: a list is given where a number"),
        ("layers.1.activation", None, "layers[1]: no key 'activation'"),
        ("layers.1.activation", "relu", "no activation function 'relu'; nearest: 'rectified'"),
        ("layers.1.activation", "tanhh", "layers[1].activation: no activation function 'tanhh'; nearest: 'tanh'"),
        ("layers.1.activation", {"function": "elu"}, "layers[1].activation: no key 'alpha'"),
        ("layers.1.activation", "leakyrelu", "layers[1].activation: 'leakyrelu' without its parameter"),
        ("layers.1.activation", "swish", 'write {"function": "swish", "alpha": …}'),
        ("layers.1.activation", ["tanh"], "layers[1].activation: a list is given where a name"),
    ],
)
def test_mistakes_in_the_sequential_form(tmp_path: Path, place: str, value: Any, message: str) -> None:
    assert message in refused(tmp_path, changed(SEQUENTIAL, place, value))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("inputs", None, "no key 'inputs'"),
        ("input_sequences", None, "no key 'input_sequences'"),
        ("nodes", None, "no key 'nodes'"),
        ("layers", None, "no key 'layers'"),
        ("outputs", None, "no key 'outputs'"),
        ("outputs", {}, "outputs: empty"),
        ("outputs", ["cls"], "outputs: a list is given where a block of keys"),
        ("inputs.0.variables", [], "inputs[0].variables: empty; the input 'jets' needs"),
        ("inputs.0.name", "event", "the name 'event' would stand for two"),
        ("outputs.cls.labels", ["c0", "c1"], "outputs.cls: 2 labels for 3 values"),
        ("outputs.cls.labels", ["c0", "c1", "c2", "c3"], "outputs.cls: 4 labels for 3 values"),
        ("outputs.cls.labels", ["c0", "c1", "c0"], "outputs.cls: the label 'c0' is given twice"),
        ("outputs.cls.node_index", 10, "outputs.cls.node_index: no node 10; there are 10"),
        ("outputs.cls.node_index", -1, "outputs.cls.node_index: -1 is given where a whole number"),
        ("nodes.0.size", 4, "nodes[0].size: 4, but 'jets' has 3 variables"),
        ("nodes.0.size", 2_000_000_000, "nodes[0].size: 2000000000, but 'jets' has 3 variables"),
        ("nodes.0.size", None, "nodes[0]: no key 'size'"),
        ("nodes.0.sources", [2], "nodes[0].sources: no input 2; there are 2 in 'inputs'"),
        ("nodes.0.sources", [], "nodes[0].sources: 0 sources, but a node of type 'input' needs one"),
        ("nodes.0.type", "input_sequence", "nodes[0].sources: no input 0; there are 0 in 'input_sequences'"),
        ("nodes.2.type", "feedforward", "nodes[2].type: no node type 'feedforward'; nearest: 'feed_forward'"),
        ("nodes.2.type", "sequence", "nodes[2].sources: node 0 (input) gives one row per event, but a node of type"),
        ("nodes.2.sources", [0, 1], "nodes[2].sources: 2 sources, but a node of type 'feed_forward' needs one"),
        ("nodes.2.sources", [99], "nodes[2].sources: no node 99; there are 10"),
        ("nodes.2.sources", [-1], "nodes[2].sources[0]: -1 is given where a whole number"),
        ("nodes.2.sources", [2], "nodes[2].sources: node 2 depends on this node: a cycle"),
        ("nodes.2.sources", [9], ".sources: node 2 depends on this node: a cycle"),
        ("nodes.2.layer_index", None, "nodes[2]: no key 'layer_index'"),
        ("nodes.2.layer_index", 6, "nodes[2].layer_index: no layer 6; there are 6"),
        ("nodes.4.layer_index", 1, "nodes[4]: gives 4 values to layer 1, to which another node gives 12"),
        ("nodes.5.sources", [3, 2], "nodes[5].sources: of widths 4 and 12; add needs equal ones"),
        ("nodes.6.sources", [], "nodes[6].sources: 0 sources"),
        ("layers.3.weights", [1.0] * 193, "layers[3].weights: 193 numbers do not make a matrix with 12 columns"),
    ],
)
def test_mistakes_in_the_graph_form(tmp_path: Path, place: str, value: Any, message: str) -> None:
    assert message in refused(tmp_path, changed(GRAPH, place, value))


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            "nodes.1.type",
            "feed_forward",
            "nodes[1].sources: node 0 (input_sequence) gives a sequence",
        ),
        ("nodes.1.type", "time_distributed", "layers[0]: a conv1d layer works on sequences"),
        ("nodes.2.layer_index", 2, "layers[2]: a dense layer is not a recurrent one"),
        ("nodes.2.type", "time_distributed", "layers[1]: a gru layer works on sequences"),
        ("input_sequences.0.name", "scores", "the name 'scores' would stand for two"),
        ("layers.0.padding", "full", "layers[0].padding: no padding 'full'; there are: 'valid', 'same', 'causal'"),
        ("layers.0.padding", None, "layers[0]: no key 'padding'"),
        ("layers.0.dilation_rate", None, "layers[0]: no key 'dilation_rate'"),
        ("layers.0.dilation_rate", -1, "layers[0].dilation_rate: -1 is given"),
        ("layers.0.dilation_rate", 2_000_000_000, "layers[0]: refused: a kernel that reaches over 4000000000 steps"),
        ("layers.0.bias", [], "layers[0].bias: empty"),
        ("layers.0.weights", [1.0] * 71, "layers[0].weights: 71 numbers are not a kernel for 4 inputs and 6 outputs"),
        ("layers.0.activation", None, "layers[0]: no key 'activation'"),
        ("layers.1.components.z", None, "layers[1].components: no component 'z'"),
        ("layers.1.components.z.U", None, "layers[1].components.z.U: 0 numbers, but 5 outputs need 25"),
        ("layers.1.components.z.U", [1.0] * 24, "layers[1].components.z.U: 24 numbers, but 5 outputs need 25"),
        ("layers.1.inner_activation", None, "layers[1]: no key 'inner_activation'"),
        (
            "layers.1.components.z",
            {"weights": [1.0] * 6, "U": [1.0], "bias": [1.0]},
            "layers[1].components: of 1 and 5 outputs",
        ),
        ("layers.2.architecture", "embedding", "layers[2]: embedding layers are not converted: liblwtnn's own answers"),
        ("layers.2.architecture", "normalization", "layers[2].weights: 10 numbers, but the layer has 5 outputs"),
        ("layers.2.architecture", "maxout", "layers[2]: no key 'sublayers'"),
        ("layers.2", {"architecture": "maxout", "sublayers": []}, "layers[2].sublayers: no sublayers"),
        (
            "layers.2",
            {"architecture": "maxout", "sublayers": [{"weights": [1.0] * n * 5, "bias": [1.0] * n} for n in (2, 3)]},
            "layers[2].sublayers: sublayers of 2 and 3 outputs",
        ),
    ],
)
def test_mistakes_with_sequences(tmp_path: Path, place: str, value: Any, message: str) -> None:
    assert message in refused(tmp_path, changed(TRACKS, place, value))


@pytest.mark.parametrize("missing", [{"weights": []}, {"bias": []}, {"weights": [], "bias": []}], ids=str)
def test_normalization_needs_both_lists(tmp_path: Path, missing: dict[str, Any]) -> None:
    layer = {"architecture": "normalization", "weights": [1.0] * 6, "bias": [1.0] * 6, **missing}
    message = refused(tmp_path, changed(SEQUENTIAL, "layers.0", layer))
    assert "0 numbers, but the layer has 6 outputs" in message


def test_convolutions_exist_in_the_graph_form_only(tmp_path: Path) -> None:
    sequential = {
        "inputs": TRACKS["input_sequences"][0]["variables"],
        "layers": TRACKS["layers"],
        "outputs": ["a", "b"],
    }
    assert "layers[0]: conv1d layers exist only in lwtnn's graph form" in refused(tmp_path, sequential)


def test_sequences_of_one_name_and_of_its_length(tmp_path: Path) -> None:
    content = copy.deepcopy(TRACKS)
    content["inputs"] = [{"name": "tracks_length", "variables": TRACKS["input_sequences"][0]["variables"]}]
    assert "the name 'tracks_length' would stand for two" in refused(tmp_path, content)


def test_widths_that_grow_without_bound(tmp_path: Path) -> None:
    """Each node doubles the width: 60 of them would need 10¹⁸ values."""
    content = copy.deepcopy(GRAPH)
    content["nodes"] = [{"type": "input", "size": 3, "sources": [0]}]
    content["nodes"] += [{"type": "concatenate", "sources": [index, index]} for index in range(60)]
    message = refused(tmp_path, content)
    assert "refused: " in message
    assert "values in this node" in message


def test_all_values_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST_VALUES", 50)
    assert "nodes[7]: refused: 16 values in this node, 59 in all up to it" in refused(tmp_path, GRAPH)


def test_a_long_cycle(tmp_path: Path) -> None:
    content = copy.deepcopy(GRAPH)
    first = len(content["nodes"])
    content["nodes"] += [{"type": "concatenate", "sources": [first + (index + 1) % 5000]} for index in range(5000)]
    assert "a cycle" in refused(tmp_path, content)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all values in a parsed file, but for numbers in long lists."""
    children: list[Any] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))[:3]
    return [path, *(leaf for key, child in children for leaf in leaves(child, (*path, key)))]


JUNK = st.sampled_from([None, True, "", "x", "nan", -1, 0, 1, 3.5, 10**12, [], [[]], {}, {"a": 1}, [1, "2"], "é\n"])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_damaged_files_are_refused_in_one_line_or_converted(data: st.DataObject, tmp_path: Path) -> None:
    content = copy.deepcopy(data.draw(st.sampled_from([SEQUENTIAL, GRAPH, TRACKS])))
    for _ in range(data.draw(st.integers(1, 3))):
        places = [place for place in leaves(content) if place]
        *above, key = data.draw(st.sampled_from(places))
        target = content
        for part in above:
            target = target[part]
        if data.draw(st.booleans()):
            target[key] = copy.deepcopy(data.draw(JUNK))  # lest a later change is one of JUNK itself
        else:
            del target[key]
        if not content:
            break
    path = write(tmp_path, content)
    message = message_of(path)
    assert message is None or message.startswith(f"{path}: ")
    assert "\n" not in (message or "")
    assert len(message or "") < 600


def message_of(path: Path) -> str | None:
    """What the user is told; nothing where the file converts."""
    try:
        lwtnn_to_onnx(path)
    except NtuplemlError as error:
        return str(error)
    return None


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_truncated_files_are_refused(data: st.DataObject, tmp_path: Path) -> None:
    text = json.dumps(data.draw(st.sampled_from([SEQUENTIAL, GRAPH, TRACKS])))
    path = tmp_path / "network.json"
    path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(NtuplemlError, match="not valid JSON"):
        read_network(path)
