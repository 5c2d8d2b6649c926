"""ONNX files that would run code of others, read other files, or grow without end: one line each, within bounds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.checking import has_functions
from ntupleml.scoring import onnx_sessions
from ntupleml.scoring.onnx_graphs import OnnxGraph, open_onnx
from ntupleml.scoring.onnx_sessions import FileSession

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

node = helper.make_node


def model(
    nodes: Sequence[NodeProto], weights: dict[str, Any] | None = None, domains: Sequence[str] = (), opset: int = 17
) -> ModelProto:
    """A graph from `x`, floats of shape (n, 3), to `y`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def bomb(*nodes: NodeProto, **weights: Any) -> ModelProto:
    """A graph that adds the largest of a large value `z` to its inputs."""
    return model([*nodes, node("ReduceMax", ["z"], ["m"], keepdims=0), node("Add", ["x", "m"], ["y"])], weights)


def with_tensor(change: Callable[[TensorProto], Any]) -> ModelProto:
    """A graph that adds a weight `w`, changed."""
    found = model([node("Add", ["x", "w"], ["y"])], {"w": np.zeros(3, np.float32)})
    change(found.graph.initializer[0])
    return found


def outside(location: str, **more: int) -> ModelProto:
    """A graph whose weight is in another file."""

    def change(tensor: TensorProto) -> None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=str(value))

    return with_tensor(change)


def functions(depth: int) -> ModelProto:
    """Each function calls the one before it twice: 2^depth operators."""
    found = model([node(f"F{depth}", ["x"], ["y"], domain="own")], domains=["own"])
    for number in range(depth + 1):
        inner: Any = {"op_type": f"F{number - 1}", "domain": "own"} if number else {"op_type": "Relu"}
        nodes = [node(inputs=["a"], outputs=["b"], **inner), node(inputs=["b"], outputs=["c"], **inner)]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        found.functions.append(helper.make_function("own", f"F{number}", ["a"], ["c"], nodes, imports))
    return found


def loop(rounds: str = "") -> ModelProto:
    """A loop that adds one to its inputs, and goes on."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", ["go"], ["go_on"]), node("Add", ["before", "one"], ["after"])],
        "body",
        [
            value("step", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value("before", TensorProto.FLOAT, None),
        ],
        [value("go_on", TensorProto.BOOL, []), value("after", TensorProto.FLOAT, None)],
    )
    weights = {"true": np.array(True), "one": np.float32(1), "rounds": np.int64(2**62), "few": np.int64(3)}
    return model([node("Loop", [rounds, "true", "x"], ["y"], body=body)], weights)


def sparse() -> ModelProto:
    """A weight of 2³⁵ numbers, of which one is there."""
    found = model([node("Add", ["x", "w"], ["y"])])
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    places = numpy_helper.from_array(np.zeros(1, np.int64), "places")
    found.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2**35]))
    return found


def _deep() -> bytes:
    """Graphs in graphs, as bytes."""
    inner = b""
    for _ in range(5_000):
        for field in (6, 5, 1):  # graph of an attribute of a node
            length = len(inner)
            inner = (
                bytes([field << 3 | 2, *(length >> shift & 127 | 128 for shift in (0, 7, 14)), length >> 21]) + inner
            )
    return b"\x08\x08:" + bytes([*(len(inner) >> shift & 127 | 128 for shift in (0, 7, 14)), len(inner) >> 21]) + inner


FILES: dict[str, tuple[Callable[[], ModelProto | bytes], str]] = {
    "operator of others": (
        lambda: model([node("Evil", ["x"], ["y"], domain="evil")], domains=["evil"]),
        "its operator 'Evil' of 'evil' is none of ONNX, so it is code from elsewhere",
    ),
    "functions without end": (lambda: functions(40), r"has 4,398,046,511,103 operators; at most 1,000,000 are run"),
    "functions in functions": (lambda: functions(100), "functions in functions, deeper than 50"),
    **{
        f"weights in {place}": (lambda place=place: outside(place), "which is no file in its folder")
        for place in (
            "../secret",
            "/etc/hostname",
            "link",
            "folder/secret",
            "fifo",
            "nothing",
            "",
            "a\0b",
            "loop",
            "x/../../secret",
            "*/_ORT_MEM_ADDR_/*",
        )
    },
    "weights behind the end": (lambda: outside("beside", offset=10**12), "its weights 'w' are damaged: .* exceeds"),
    "more weights than there are": (lambda: outside("beside", length=10**12), "its weights 'w' are damaged: .*exceeds"),
    "declared only": (
        lambda: with_tensor(lambda tensor: tensor.dims.__setitem__(0, 2**34)),
        "its weights 'w' are damaged: cannot reshape array of size 3",
    ),
    "sparse": (sparse, "it has sparse weights, which can be of any size"),
    "NaN": (
        lambda: model([node("Where", ["c", "x", "w"], ["y"])], {"c": np.array(True), "w": np.full(3, np.nan, "f4")}),
        "its weights 'w' are NaN or infinite",
    ),
    "NaN in a constant": (
        lambda: bomb(node("Constant", [], ["z"], value=numpy_helper.from_array(np.full(2, np.nan, "f4"), "k"))),
        "its weights 'k' are NaN or infinite",
    ),
    "infinite": (
        lambda: model([node("MatMul", ["x", "w"], ["y"])], {"w": np.full((3, 1), np.inf, np.float32)}),
        "its weights 'w' are NaN or infinite",
    ),
    "cycle": (
        lambda: model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]),
        "not an ONNX graph, or damaged",
    ),
    "of the future": (lambda: model([node("Relu", ["x"], ["y"])], opset=10_000), "not an ONNX graph, or damaged"),
    "graphs in graphs": (_deep, "not an ONNX graph, or damaged"),
    "cut off": (lambda: functions(3).SerializeToString()[:-5], "not an ONNX graph, or damaged"),
    "empty": (lambda: b"", "not an ONNX graph, or damaged"),
}


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[ModelProto | bytes], OnnxGraph]:
    """Open a file that has others beside it: `beside`; links, a pipe and a folder that lead out."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (tmp_path / "secret", folder / "beside"):
        path.write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "fifo")

    def write(content: ModelProto | bytes) -> OnnxGraph:
        path = folder / "crafted.onnx"
        path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        return open_onnx(path)

    return write


@pytest.mark.parametrize("name", FILES)
def test_what_is_refused_when_it_is_opened(name: str, opened: Callable[..., OnnxGraph]) -> None:
    make, message = FILES[name]
    with pytest.raises(NtuplemlError, match=rf"crafted\.onnx: .*{message}") as error:
        opened(make())
    assert str(error.value).isprintable()


RUNS: dict[str, Callable[[], ModelProto]] = {
    "constant": lambda: bomb(node("ConstantOfShape", ["s"], ["z"]), s=np.array([10**12])),
    "expanded": lambda: bomb(node("Expand", ["v", "s"], ["z"]), v=np.ones(1, "f4"), s=np.array([10**12])),
    "range": lambda: bomb(node("Range", ["a", "b", "a"], ["z"]), a=np.float32(1), b=np.float32(1e12)),
    "padded": lambda: bomb(node("Pad", ["x", "p"], ["z"]), p=np.array([0, 0, 0, 2**40])),
    "random": lambda: bomb(node("RandomNormal", [], ["z"], shape=[10**12])),
    "products": lambda: bomb(
        node("Expand", ["v", "s"], ["a"]),
        node("Transpose", ["a"], ["b"]),
        node("MatMul", ["a", "b"], ["z"]),
        v=np.ones((1, 1), "f4"),
        s=np.array([10**6, 1]),
    ),
    "size of the inputs": lambda: bomb(
        node("ReduceMax", ["x"], ["r"], keepdims=0),
        node("Mul", ["r", "f"], ["e"]),
        node("Cast", ["e"], ["b"], to=TensorProto.INT64),
        node("Range", ["a", "b", "a"], ["i"]),
        node("Cast", ["i"], ["z"], to=TensorProto.FLOAT),
        f=np.float32(1e12),
        a=np.int64(1),
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_what_would_fill_the_memory_ends_when_it_is_run(name: str, opened: Callable[..., OnnxGraph]) -> None:
    """Of a terabyte and more nothing is taken: ONNX Runtime has half of the machine's memory."""
    graph = opened(RUNS[name]())
    with pytest.raises(NtuplemlError, match=r"evaluate it: it needs more than half of the machine's memory$"):
        graph.session.run(None, {"x": np.ones((5, 3), np.float32)})


@pytest.mark.parametrize("rounds", ["", "rounds"])
def test_a_loop_without_end_ends(
    rounds: str, opened: Callable[..., OnnxGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_sessions, "MOST_SECONDS", 0.2)
    with pytest.raises(
        NtuplemlError, match=r"crafted\.onnx: ONNX Runtime cannot evaluate it: it took more than 0\.2 s"
    ):
        opened(loop(rounds)).session.run(None, {"x": np.ones((5, 3), np.float32)})


def test_what_is_meant_well_is_read(opened: Callable[..., OnnxGraph]) -> None:
    """Weights beside the file, functions, loops that end, infinity in a mask, one NaN that marks what is missing."""
    rows = np.ones((5, 3), np.float32)
    for content, expected in (
        (outside("beside"), [2, 3, 4]),
        (functions(5), [1, 1, 1]),
        (loop("few"), [4, 4, 4]),
        (model([node("Max", ["x", "w"], ["y"])], {"w": np.full(3, -np.inf, np.float32)}), [1, 1, 1]),
        (model([node("Where", ["c", "x", "w"], ["y"])], {"c": np.array(True), "w": np.float32("nan")}), [1, 1, 1]),
    ):
        (found,) = opened(content).session.run(None, {"x": rows})
        np.testing.assert_array_equal(found, [expected] * 5)


def test_functions_are_found_without_reading_the_graph() -> None:
    assert has_functions(functions(3).SerializeToString())
    assert not has_functions(loop().SerializeToString())
    unknown = b"\xfb\x1f\x00\xfc\x1f"  # a group of no known field, in which anything may stand
    assert has_functions(loop().SerializeToString() + unknown)


def test_the_graph_of_a_training_is_looked_at_where_it_has_functions() -> None:
    with pytest.raises(NtuplemlError, match="at most 1,000,000 are run"):
        FileSession(functions(40).SerializeToString(), "fold0.onnx", 1, of_training=True)
