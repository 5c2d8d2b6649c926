"""Forests as files: numpy's `.npz`, read without pickle and only if everything in it is as it should be."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.forests.forest import Forest, PreselectionCut, forest_fault
from ntupleml.npy import read_npy

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_FORMAT = "ntupleml forest 1"
#: Arrays of a file and their types: those of the forest's attributes, with numbers and the preselection as arrays.
_TYPES = {
    "format": "U",
    "link": "U",
    "num_inputs": "<i8",
    "num_outputs": "<i8",
    "divisor": "<f8",
    "roots": "<i8",
    "tree_outputs": "<i8",
    "features": "<i4",
    "cuts": "<f4",
    "left": "<i4",
    "right": "<i4",
    "values": "<f8",
    "offsets": "<f8",
    "directions": "<f8",
    "tree_weights": "<f8",
    "preselection_features": "<i8",
    "preselection_above": "|b1",
    "preselection_values": "<f8",
    "preselection_responses": "<f8",
    "missing_right": "|b1",
}
#: Arrays that are there only where they say something.
_OPTIONAL = ("missing_right",)
_ARRAYS = (
    "roots", "tree_outputs", "features", "cuts", "left", "right", "values", "offsets", "directions", "tree_weights",
)  # fmt: skip
_SCALARS = ("format", "link", "num_inputs", "num_outputs", "divisor")
#: Bytes of all arrays together that a file may unpack to: ten million trees of depth 3, and no more than so many times
#: its own size where that is large. Numbers of real trees are hard to compress: 3 to 5 times.
_MOST_BYTES, _ALWAYS_BYTES, _MOST_COMPRESSED = 4_000_000_000, 50_000_000, 100


def save_forest(path: str | Path, forest: Forest, *, overwrite: bool = False) -> None:
    """Write a forest to a `.npz` file; the same forest gives the same bytes.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, or cannot be written.
    ValueError
        If the arrays of the forest do not fit together.
    """
    if (fault := forest_fault(forest)) is not None:
        raise ValueError(f"no valid forest: {fault}")
    contents: dict[str, Any] = {
        "format": _FORMAT,
        "link": forest.link,
        "num_inputs": forest.num_inputs,
        "num_outputs": forest.num_outputs,
        "divisor": forest.divisor,
        "preselection_features": [cut.feature for cut in forest.preselection],
        "preselection_above": [cut.above for cut in forest.preselection],
        "preselection_values": [cut.value for cut in forest.preselection],
        "preselection_responses": [cut.response for cut in forest.preselection],
        **{name: getattr(forest, name) for name in _ARRAYS},
    }
    if len(forest.missing_right):
        contents["missing_right"] = forest.missing_right
    arrays = {name: np.ascontiguousarray(array, dtype=_TYPES[name]) for name, array in contents.items()}
    for name in _SCALARS:
        arrays[name] = arrays[name].reshape(())
    with replace_file(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # NumPy 2.0 takes options for arrays
    log.debug("%s: %d trees written", path, forest.num_trees)


def load_forest(path: str | Path) -> Forest:
    """Read a forest that `save_forest` wrote.

    Raises
    ------
    NtuplemlError
        If the file is not there, is none of these files, is damaged, or describes no valid forest.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _read_arrays(archive, path)
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; there should be a forest (.npz)") from None
    except NtuplemlError:
        raise
    except Exception as error:  # damaged archives make zipfile, and what unpacks them, raise nearly anything
        raise NtuplemlError(f"{path}: cannot be read as a forest (.npz): {one_line(error)}") from None
    if (found := str(arrays["format"])) != _FORMAT:
        raise NtuplemlError(f"{path}: format '{one_line(found)}' instead of '{_FORMAT}'")
    forest = _forest_of_arrays(arrays, path)
    if (fault := forest_fault(forest)) is not None:
        raise NtuplemlError(f"{path}: no valid forest: {fault}; write the file again")
    return forest


def _read_arrays(archive: zipfile.ZipFile, path: Path) -> dict[str, NDArray[Any]]:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    for name in members:
        if name not in _TYPES:
            raise NtuplemlError(f"{path}: unexpected array '{one_line(name)}'{did_you_mean(name, _TYPES)}")
    if missing := [name for name in _TYPES if name not in members and name not in _OPTIONAL]:
        raise NtuplemlError(f"{path}: no array '{missing[0]}'; not a forest, or not a complete one")
    most = min(_MOST_BYTES, max(_ALWAYS_BYTES, _MOST_COMPRESSED * path.stat().st_size))
    if (size := sum(member.file_size for member in members.values())) > most:
        raise NtuplemlError(f"{path}: unpacks to {size:,} bytes; at most {most:,} are read from a file of this size")
    arrays = {}
    for name, member in members.items():
        with archive.open(member) as file:
            try:
                arrays[name] = read_npy(file, member.file_size)
            except ValueError as error:
                raise NtuplemlError(f"{path}: array '{name}': {one_line(error)}") from None
        _require_type(arrays[name], name, path)
    return arrays


def _require_type(array: NDArray[Any], name: str, path: Path) -> None:
    expected = _TYPES[name]
    if array.dtype.kind != "U" if expected == "U" else array.dtype != np.dtype(expected):
        raise NtuplemlError(f"{path}: array '{name}' is of the type {array.dtype} instead of {expected}")
    if name in _SCALARS and array.shape != ():
        raise NtuplemlError(f"{path}: array '{name}' has the shape {array.shape}; a single value is needed")


def _forest_of_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> Forest:
    cuts = [arrays[f"preselection_{name}"] for name in ("features", "above", "values", "responses")]
    if any(column.shape != (cuts[0].size,) for column in cuts):
        raise NtuplemlError(f"{path}: the arrays of the preselection are not of one length")
    return Forest(
        num_inputs=int(arrays["num_inputs"]),
        num_outputs=int(arrays["num_outputs"]),
        **{name: arrays[name] for name in (*_ARRAYS, *_OPTIONAL) if name in arrays},
        link=str(arrays["link"]),  # type: ignore[arg-type]  # checked with the forest
        divisor=float(arrays["divisor"]),
        preselection=tuple(
            PreselectionCut(int(feature), bool(above), float(value), float(response))
            for feature, above, value, response in zip(*cuts, strict=True)
        ),
    )
