"""ONNX graphs on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.atomic import replace_file

if TYPE_CHECKING:
    from pathlib import Path

    import onnx


def write_onnx(path: str | Path, graph: onnx.ModelProto, *, overwrite: bool = False) -> None:
    """Write an ONNX graph, complete or not at all.

    Raises
    ------
    NtuplemlError
        If the file exists and is not to be overwritten, or the folder cannot be written to.
    """
    with replace_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(graph.SerializeToString())
