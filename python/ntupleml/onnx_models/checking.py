"""What an ONNX file of anybody may hold, looked at before ONNX Runtime gets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import onnx

#: Largest protobuf message.
_MOST_BYTES = 2**31 - 1
#: Nodes of a graph with all functions written out, and functions within functions.
_MOST_NODES, _DEEPEST = 1_000_000, 50
#: Domains of operators that ONNX Runtime has.
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
#: Operators that multiply what goes in by weights; elsewhere infinity may be meant, as in a mask.
_PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN", "BatchNormalization")
#: Field of a model that holds functions; kinds of fields, and how many bytes those of fixed width have.
_FUNCTIONS, _NUMBER, _BYTES, _WIDTHS = 25, 0, 2, {1: 8, 5: 4}

_Function = tuple[str, str]


def read_onnx(path: Path) -> bytes:
    """Content of an ONNX file.

    Raises
    ------
    NtuplemlError
        If it is larger than ONNX allows.
    """
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise NtuplemlError(f"{path}: {size:,} bytes; ONNX files have at most {_MOST_BYTES:,}")
    return path.read_bytes()


def check_onnx(content: bytes, folder: Path | None, where: str) -> None:
    """Refuse an ONNX file that could run code of others, read other files, or grow without end when it is opened.

    Parameters
    ----------
    folder : path or None
        Where its weights may lie in further files; None where they may not.

    Raises
    ------
    NtuplemlError
        If it is damaged; has operators that are none of ONNX, functions that are a million operators when they are
        written out, weights in files elsewhere, of other sizes than are told, or that are no numbers.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # what protobuf raises, whose class is not public
        raise NtuplemlError(f"{where}: not an ONNX graph, or damaged: {one_line(error, 200)}") from error
    _check_size(model, where)
    own = {(function.domain, function.name) for function in model.functions}
    for node in _all_nodes(model):
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own:
            raise NtuplemlError(
                f"{where}: refused: its operator '{one_line(node.op_type, 50)}' of '{one_line(node.domain, 50)}' is "
                "none of ONNX, so it is code from elsewhere"
            )
    products = {name for node in _all_nodes(model) if node.op_type in _PRODUCTS for name in node.input}
    for tensor in _tensors(model, where):
        _check_tensor(tensor, folder, tensor.name in products, where)


def has_functions(content: bytes) -> bool:
    """Whether an ONNX file may have functions, which a look at its outermost fields tells without the package onnx."""
    place = 0
    while place < len(content):
        tag, place = _whole_number(content, place)
        kind = tag & 7
        if tag >> 3 == _FUNCTIONS or kind not in (_NUMBER, _BYTES, *_WIDTHS):
            return True
        value, after = _whole_number(content, place)
        place = place + _WIDTHS[kind] if kind in _WIDTHS else after + (value if kind == _BYTES else 0)
    return False


def _whole_number(content: bytes, place: int) -> tuple[int, int]:
    """A number of protobuf, seven bits in a byte, and where it ends."""
    value = 0
    for shift, byte in enumerate(content[place : place + 10]):
        value |= (byte & 127) << (7 * shift)
        if byte < 128:
            return value, place + shift + 1
    return value, len(content)


def _all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Nodes of the graph, of those within it, and of its functions."""
    waiting = [model.graph.node, *(function.node for function in model.functions)]
    while waiting:
        for node in waiting.pop():
            yield node
            waiting.extend(graph.node for graph in _graphs(node))


def _graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Graphs that an operator runs."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _check_size(model: onnx.ModelProto, where: str) -> None:
    """Refuse functions that ONNX Runtime would write out without end."""
    functions = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[_Function, int] = {}

    def size_of(nodes: Iterable[onnx.NodeProto], depth: int) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in functions:
                if key not in sizes:
                    if depth == _DEEPEST:
                        raise NtuplemlError(f"{where}: refused: it has functions in functions, deeper than {_DEEPEST}")
                    sizes[key] = size_of(functions[key].node, depth + 1)
                total += sizes[key]
            total += 1 + sum(size_of(graph.node, depth) for graph in _graphs(node))
        return total

    if (total := size_of(model.graph.node, 0)) > _MOST_NODES:
        raise NtuplemlError(f"{where}: refused: it has {total:,} operators; at most {_MOST_NODES:,} are run")


def _tensors(model: onnx.ModelProto, where: str) -> Iterator[onnx.TensorProto]:
    graphs = [model.graph, *(graph for node in _all_nodes(model) for graph in _graphs(node))]
    attributes = [attribute for node in _all_nodes(model) for attribute in node.attribute]
    if any(graph.sparse_initializer for graph in graphs) or any(
        attribute.HasField("sparse_tensor") or attribute.sparse_tensors for attribute in attributes
    ):
        raise NtuplemlError(f"{where}: refused: it has sparse weights, which can be of any size; write them out")
    for graph in graphs:
        yield from graph.initializer
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors


def _check_tensor(tensor: onnx.TensorProto, folder: Path | None, is_factor: bool, where: str) -> None:
    import onnx

    title = f"weights '{one_line(tensor.name, 50)}'"
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(tensor, folder, title, where)
    kind = onnx.TensorProto.DataType
    if tensor.data_type not in (kind.FLOAT, kind.DOUBLE, kind.FLOAT16, kind.BFLOAT16):
        return
    try:
        values = onnx.numpy_helper.to_array(tensor, str(folder or "")).astype(np.float32, copy=False)
    except Exception as error:  # what numpy and onnx raise
        raise NtuplemlError(f"{where}: its {title} are damaged: {one_line(error, 200)}") from error
    is_marker = values.size == 1 and not is_factor  # of missing values
    if (np.isnan(values).any() and not is_marker) or (is_factor and np.isinf(values).any()):
        raise NtuplemlError(f"{where}: its {title} are NaN or infinite; train again, or fix the file")


def _check_external(tensor: onnx.TensorProto, folder: Path | None, title: str, where: str) -> None:
    """Refuse weights in a file that is not beside this one."""
    found: dict[str, Any] = {entry.key: entry.value for entry in tensor.external_data}
    shown = one_line(found.get("location", ""), 100)
    if folder is None:
        raise NtuplemlError(f"{where}: refused: its {title} are in another file, '{shown}'; all must be in one")
    home = folder.resolve()
    try:
        path = (home / found["location"]).resolve()
    except (KeyError, OSError, ValueError, RuntimeError):  # no place, a loop of links, no text of a path
        path = home
    if not path.is_relative_to(home) or not path.is_file():
        raise NtuplemlError(f"{where}: refused: its {title} are in '{shown}', which is no file in its folder")
