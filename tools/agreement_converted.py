"""Tables that `ntupleml convert` writes against those of the ttH trainer's own conversion, where these are right."""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from quantities import Quantity, largest

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    Table = Mapping[str, NDArray[Any]]

#: The original orders only the jets that it keeps; these hold all, ordered and then cut.
_RIGHT_ORDER = "ordered_right_{}jets.parquet"


def converted(folder: Path) -> Iterator[Quantity]:
    """Columns of converted tables, exactly equal.

    Layout: in `convert` the ntuples under `root`, `variables.yaml`, and for each case of `summary.json`, which says its
    options and files, a Parquet file with the original's table.
    """
    folder = folder / "convert"
    if not (folder / "summary.json").is_file():
        return
    cases = json.loads((folder / "summary.json").read_text())
    for name in cases:
        for ending in (".h5", ".parquet"):
            yield Quantity(f"convert/{name} as {ending}", partial(_difference, folder, name, cases, ending), 0.0)


def _difference(folder: Path, name: str, cases: Mapping[str, Any], ending: str) -> float:
    case = cases[name]
    expected = _expected(folder, name, cases)
    found = _convert(folder, case["files"], case["options"], ending)
    difference = 0.0
    for column, values in expected.items():
        if column not in found or len(found[column]) != len(values):
            raise NtuplemlError(f"column '{column}' is missing, or of another length than {len(values)}")
        if not np.array_equal(found[column], values, equal_nan=True):
            difference = max(difference, largest(found[column], values), np.finfo(float).tiny)
    return difference


def _expected(folder: Path, name: str, cases: Mapping[str, Any]) -> Table:
    """Table of the original, with its two faults mended: jets ordered before the cut, and files of other columns."""
    case = cases[name]
    if case["rc"] == 0:
        table = _read(folder / f"{name}.parquet")
    else:
        tables = [_of_one_file(folder, file, case["options"], cases) for file in case["files"]]
        columns = dict.fromkeys(column for one in tables for column in one)
        rows = [len(next(iter(one.values()))) for one in tables]
        table = {
            column: np.concatenate([one.get(column, np.zeros(n)) for one, n in zip(tables, rows, strict=True)])
            for column in columns
        }
    options = case["options"]
    if "--order-jets" in options:
        length = options[options.index("--max-jets") + 1] if "--max-jets" in options else "12"
        table |= _read(folder / _RIGHT_ORDER.format(length))
    return table


def _of_one_file(folder: Path, file: str, options: list[str], cases: Mapping[str, Any]) -> Table:
    for name, case in cases.items():
        if case["files"] == [file] and case["options"] == options:
            return _read(folder / f"{name}.parquet")
    raise NtuplemlError(f"{folder / 'summary.json'}: no case of {file} alone with the options {options}")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    from ntupleml.ntuples import open_ntuple

    with open_ntuple(path, "") as ntuple:
        return _columns(ntuple)


def _columns(ntuple: Any) -> dict[str, NDArray[Any]]:
    names = [name for name in ntuple.main_branches if ntuple.branches[name].kind == "scalar"]
    chunks = [chunk.columns for chunk in ntuple.chunks(names)]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in names}


def _convert(folder: Path, files: list[str], options: list[str], ending: str) -> dict[str, NDArray[Any]]:
    from ntupleml.cli import main
    from ntupleml.ntuples import open_ntuple

    with tempfile.TemporaryDirectory() as scratch:
        for file in files:
            (Path(scratch) / "root").mkdir(exist_ok=True)
            (Path(scratch) / "root" / file).symlink_to((folder / "root" / file).absolute())
        output = Path(scratch) / f"store{ending}"
        config = folder / "variables.yaml"
        status = main(["convert", "-d", f"{scratch}/root", "-s", str(output), "-v", str(config), *options])
        if status != 0:
            raise NtuplemlError(f"exit status {status}")
        with open_ntuple(output, "nominal_Loose") as ntuple:
            return _columns(ntuple)
