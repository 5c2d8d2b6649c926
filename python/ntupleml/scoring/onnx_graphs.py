"""ONNX files of anybody: what they take and give, by ONNX Runtime's description, and their sessions."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pydantic

from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.scoring.onnx_sessions import FileSession
from ntupleml.scoring.outputs import Binary  # noqa: TC001  # pydantic evaluates it

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

#: Types of numbers that ONNX Runtime takes, by its names.
_DTYPES: dict[str, np.dtype[Any]] = {
    f"tensor({name})": np.dtype(dtype)
    for name, dtype in {
        "float": np.float32,
        "double": np.float64,
        "float16": np.float16,
        "int64": np.int64,
        "int32": np.int32,
        "int16": np.int16,
        "int8": np.int8,
        "uint64": np.uint64,
        "uint32": np.uint32,
        "uint16": np.uint16,
        "uint8": np.uint8,
        "bool": np.bool_,
    }.items()
}
#: Output of files of ours, which may have more about the scores beside it.
_SCORES = "scores"
_FLOATS = ("tensor(float)", "tensor(double)", "tensor(float16)")


class Port(NamedTuple):
    """An input or output of a graph: name, ONNX's name of its type, and shape with None for sizes that may vary."""

    name: str
    type: str
    shape: tuple[int | None, ...]

    def dtype(self, where: str) -> np.dtype[Any]:
        """Type of numbers.

        Raises
        ------
        NtuplemlError
            If it takes no numbers.
        """
        if self.type not in _DTYPES:
            raise NtuplemlError(
                f"{where}: input '{self.name}' takes {self.type}, not numbers; it cannot be filled here"
            )
        return _DTYPES[self.type]

    def __str__(self) -> str:
        """E.g. `'jets' (float, ? × 10 × 4)`."""
        kind = self.type.removeprefix("tensor(").removesuffix(")")
        return f"'{self.name}' ({kind}, {' × '.join('?' if size is None else str(size) for size in self.shape)})"


class _Description(pydantic.BaseModel):
    """Types of what ntupleml writes into the metadata; a file of somebody else may have anything there."""

    variables: dict[str, list[str]] | None = None
    classes: list[str] | None = None
    scores: list[str] | None = None
    conditions: list[str] | None = None
    outputs: list[str] | None = None
    sequences: list[str] | None = None
    step_outputs: list[str] | None = None
    expressions: list[str] | None = None
    #: Of the variables (TMVA), or by output (lwtnn).
    labels: list[str] | dict[str, list[str]] | None = None
    record_hash: str | None = None
    record_hashes: list[str] | None = None
    kind: str | None = None
    method: str | None = None
    target: str | None = None
    event: str | None = None
    one_value: Binary | None = None
    missing: float | None = None


class OnnxGraph(NamedTuple):
    """An ONNX file that is open."""

    path: Path
    session: FileSession
    inputs: dict[str, Port]
    outputs: dict[str, Port]
    #: Names of the columns of an output, where the file has them as keys of maps.
    labels: dict[str, list[str]]
    #: What ntupleml wrote into the metadata; empty for files of others.
    description: dict[str, Any]


def open_onnx(path: str | Path, threads: int = 1, content: bytes | None = None) -> OnnxGraph:
    """Open an ONNX file of any origin.

    Maps from class to probability, one Python dictionary per event, are made matrices again by leaving out the node
    that makes them (sklearn-onnx's ZipMap).

    Parameters
    ----------
    threads : int, default: 1
        Of ONNX Runtime.
    content : bytes, optional
        Serialised model to open in place of the file; `path` is then only its name in messages.

    Raises
    ------
    NtuplemlError
        If there is no such file, or ONNX Runtime does not take it.
    """
    path = Path(path)
    if content is None and not path.is_file():
        raise NtuplemlError(f"{path}: no such file")
    # By its path, so that ONNX Runtime finds weights in files beside it.
    session = FileSession(path if content is None else content, str(path), threads)
    labels: dict[str, list[str]] = {}
    if any(value.type.startswith("seq(map(") for value in session.get_outputs()):
        graph, labels = _without_maps(path, content)
        session = FileSession(graph.SerializeToString(), str(path), threads)
    description = _description(session, path)
    return OnnxGraph(
        path,
        session,
        {port.name: port for port in map(_port, session.get_inputs())},
        {port.name: port for port in map(_port, session.get_outputs())},
        labels,
        description,
    )


def _port(value: Any) -> Port:
    sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape or ())
    return Port(value.name, value.type, sizes)


def _description(session: FileSession, path: Path) -> dict[str, Any]:
    """What ntupleml wrote into the metadata; empty where that is nothing.

    Raises
    ------
    NtuplemlError
        If it is damaged.
    """
    text = session.get_modelmeta().custom_metadata_map.get("ntupleml")
    try:
        content = json.loads(text or "{}")
        _Description.model_validate(content)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise NtuplemlError(
            f"{path}: its metadata are damaged: ntupleml: {one_line(key, 60)}: {one_line(first['msg'])}; export it anew"
        ) from None
    except (ValueError, RecursionError):
        return {}
    return dict(content)


def _without_maps(path: Path, content: bytes | None) -> tuple[onnx.ModelProto, dict[str, list[str]]]:
    """The graph with the matrices that its maps are made of, and the keys of these."""
    import onnx

    try:
        model = onnx.load(path) if content is None else onnx.load_from_string(content)
    except Exception as error:  # what protobuf and the file system raise
        raise NtuplemlError(f"{path}: cannot be read: {one_line(error)}") from error
    labels: dict[str, list[str]] = {}
    for node in [node for node in model.graph.node if node.op_type == "ZipMap"]:
        matrix, name = node.input[0], node.output[0]
        keys = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        found = keys.get("classlabels_strings") or keys.get("classlabels_int64s") or []
        labels[name] = [key.decode() if isinstance(key, bytes) else str(key) for key in found]
        model.graph.node.remove(node)
        model.graph.node.append(onnx.helper.make_node("Identity", [matrix], [name]))
        for value in model.graph.output:
            if value.name == name:
                number = value.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type
                value.CopyFrom(onnx.helper.make_tensor_value_info(name, number, [None, len(found)]))
    return model, labels


def choose_output(graph: OnnxGraph, wanted: str | int | None, where: str) -> Port:
    """The output that has the scores: the one named, or the only one of floating numbers.

    Parameters
    ----------
    wanted : str, int or None
        Name, or position from 0.

    Raises
    ------
    NtuplemlError
        If there is none of that name, or none or several that could be meant.
    """
    names = list(graph.outputs)
    if isinstance(wanted, int):
        if not 0 <= wanted < len(names):
            raise NtuplemlError(f"{where}: output {wanted}, but {graph.path} has {len(names)}; they count from 0")
        wanted = names[wanted]
    if wanted is not None and wanted not in names:
        raise NtuplemlError(f"{where}: {graph.path} has no output '{wanted}'{did_you_mean(wanted, names)}")
    candidates = [port for port in graph.outputs.values() if port.type in _FLOATS]
    if wanted is None and _SCORES in (graph.description.get("outputs") or ()):
        wanted = _SCORES
    chosen = [graph.outputs[wanted]] if wanted in names else candidates
    if len(chosen) != 1:
        found = ", ".join(map(str, graph.outputs.values()))
        raise NtuplemlError(f"{where}: name the output of {graph.path} that has the scores (onnx: output:): {found}")
    if chosen[0].type not in _FLOATS:
        raise NtuplemlError(f"{where}: output {chosen[0]} of {graph.path} holds no scores; choose another")
    return chosen[0]
