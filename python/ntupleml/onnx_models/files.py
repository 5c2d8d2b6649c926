"""ONNX graphs on disk, and what exported files are called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.atomic import replace_file

if TYPE_CHECKING:
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


def exported_path(folder: str | Path, fold: int, method: str) -> Path:
    """Export of the model of one fold.

    Examples
    --------
    >>> exported_path("example", 1, "keras").as_posix()
    'example/fold1_keras_export.onnx'
    """
    return Path(folder) / f"fold{fold}_{method}_export.onnx"


def all_folds_path(folder: str | Path, method: str, fold: int | None = None) -> Path:
    """Export of the models of all folds together.

    Parameters
    ----------
    method : str
        Name of the method as the config has it, or for one fold.
    fold : int, optional
        The fold that the name of the method is for, if it has the fold in it.

    Examples
    --------
    >>> all_folds_path("example", "PyKeras_fold{fold}").as_posix()
    'example/all_folds_PyKeras_fold_export.onnx'
    >>> all_folds_path("example", "PyKeras_fold1", 1).as_posix()
    'example/all_folds_PyKeras_fold_export.onnx'
    """
    plain = method.replace("{fold}", "")
    if fold is not None and plain.endswith(f"_fold{fold}"):
        plain = plain.removesuffix(str(fold))
    return Path(folder) / f"all_folds_{plain}_export.onnx"
