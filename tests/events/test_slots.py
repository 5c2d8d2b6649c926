"""Slots as they are read: of lists, numbers of the event and columns of fixed shape, from all kinds of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from pydantic import TypeAdapter, ValidationError

from ntupleml.config.inputs import InputsConfig
from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import read_inputs
from ntupleml.events.groups import described, groups_of, numbers_of_columns
from ntupleml.events.reading import read_events
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 5
JETS = [[10, 50, 90], [30], [25, 26, 27, 28], [], [19, 21]]


def columns() -> dict[str, Any]:
    """Lists of jets, electrons as an array (4, 5) of which 0, 2, 3 are pT, η, φ, and missing energy."""
    pt = ak.Array([[float(one) for one in event] for event in JETS])
    return {
        "jet_pt": ak.values_astype(pt, "float32"),
        "jet_eta": ak.values_astype(pt / 100, "float32"),
        "jet_phi": ak.values_astype(pt / 50, "float32"),
        "electrons": np.arange(EVENTS * 20, dtype="f4").reshape(EVENTS, 4, 5),
        "met": np.array([10, -999, 0, 5, 6], "f4"),
        "met_phi": np.array([0.1, 0, np.nan, -3, 3], "f4"),
    }


GROUP = {
    "slots": {
        "jets": {
            "objects": ["jet_pt", "jet_eta", "jet_phi"],
            "number": 2,
            "selection": "jet_pt > 20",
            "sort": "jet_pt",
        },
        "electrons": {"column": "electrons", "columns": [0, 2, 3], "number": 3},
        "met": {"objects": ["met", 0, "met_phi"], "number": 1},
    }
}


def expected() -> np.ndarray[Any, Any]:
    found = np.zeros((EVENTS, 6, 3), np.float32)
    given = columns()
    for row, event in enumerate(JETS):
        for slot, pt in enumerate(sorted((one for one in event if one > 20), reverse=True)[:2]):
            found[row, slot] = pt, pt / 100, pt / 50
        found[row, 2:5] = given["electrons"][row, :3][:, [0, 2, 3]]
        found[row, 5] = given["met"][row], 0, given["met_phi"][row]
    return found


def groups(**group: Any) -> Any:
    return TypeAdapter(InputsConfig).validate_python({"hlt": {**GROUP, **group}})


def test_what_is_read() -> None:
    """Sorted, selected and cut; 0 where no object is; what is unknown stays and is no error."""
    config = groups(steps=["met"])
    read = read_inputs(groups_of(config), columns(), EVENTS, "in.root")
    read.require_finite("in.root")
    np.testing.assert_array_equal(read.batch()["hlt"], expected())
    assert read.batch()["hlt"].dtype == np.float32
    some = np.array([3, 1])
    np.testing.assert_array_equal(read.batch(some)["hlt"], expected()[some])
    assert numbers_of_columns(config) == {"hlt": 18}


def test_one_column_for_all_types() -> None:
    values = np.arange(EVENTS * 7 * 4, dtype="f8").reshape(EVENTS, 7, 4)
    config = TypeAdapter(InputsConfig).validate_python(
        {"hlt": {"column": "data", "columns": [0, 2, 3], "slots": {"jets": 4, "met": 2}}}
    )
    found = read_inputs(groups_of(config), {"data": values}, EVENTS, "in.h5").batch()["hlt"]
    np.testing.assert_array_equal(found, values[:, :6, [0, 2, 3]])
    assert groups_of(TypeAdapter(InputsConfig).validate_python(described(groups_of(config)))) == groups_of(config)


def test_a_column_of_one_object_and_numbers_that_objects_lack() -> None:
    config = TypeAdapter(InputsConfig).validate_python(
        {"l1": {"slots": {"met": {"column": "met", "columns": [0, None, 1], "number": 1}}}}
    )
    values = np.arange(EVENTS * 2.0).reshape(EVENTS, 2)
    found = read_inputs(groups_of(config), {"met": values}, EVENTS, "in.h5").batch()["l1"]
    np.testing.assert_array_equal(found[:, 0], np.stack([values[:, 0], np.zeros(EVENTS), values[:, 1]], axis=1))
    assert numbers_of_columns(config) == {"l1": 2}


def test_the_description_in_a_file_gives_the_same_groups() -> None:
    found = groups_of(groups())
    assert groups_of(TypeAdapter(InputsConfig).validate_python(described(found))) == found


def write(path: Path, kind: str) -> None:
    given = columns()
    fixed = {name: values for name, values in given.items() if isinstance(values, np.ndarray)}
    lists = {name: values for name, values in given.items() if name not in fixed}
    if kind in ("ttree", "rntuple"):
        with uproot.recreate(path) as file:
            types = {name: np.dtype((values.dtype, values.shape[1:])) for name, values in fixed.items()}
            make = file.mktree if kind == "ttree" else file.mkrntuple
            all_types = types | dict.fromkeys(lists, "var * float32")
            if kind == "rntuple":
                file.mkrntuple("events", {name: ak.Array(values) for name, values in given.items()})
                return
            make("events", all_types)
            file["events"].extend(given)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            for name, values in fixed.items():
                file[f"events/{name}"] = values
    else:
        table = {name: ak.to_arrow(values, extensionarray=False) for name, values in lists.items()}
        rows = pa.FixedSizeListArray.from_arrays(pa.array(fixed["electrons"].reshape(-1)), 5)
        table["electrons"] = pa.FixedSizeListArray.from_arrays(rows, 4)
        table |= {name: pa.array(values) for name, values in fixed.items() if values.ndim == 1}
        pq.write_table(pa.table(table), path)


@pytest.mark.parametrize(
    ("kind", "name", "tree"),
    [("ttree", "in.root", "events"), ("rntuple", "in.root", "events"), ("hdf5", "in.h5", "events"),
     ("parquet", "in.parquet", "")],
)  # fmt: skip
def test_every_kind_of_file_gives_the_same(kind: str, name: str, tree: str, tmp_path: Path) -> None:
    """HDF5 has no lists, so there are no jets."""
    write(tmp_path / name, kind)
    slots = dict(GROUP["slots"])
    wanted = expected()
    if kind == "hdf5":
        slots.pop("jets")
        wanted = wanted[:, 2:]
    with open_ntuple(tmp_path / name, tree) as ntuple:
        found = [chunk.inputs.batch()["hlt"] for chunk in read_events(ntuple, groups_of(groups(slots=slots)))]
    np.testing.assert_array_equal(np.concatenate(found), wanted)


@pytest.mark.parametrize(
    ("slots", "given", "message"),
    [
        ({"jets": {"column": "x", "number": 5}}, np.ones((2, 4, 3)), r"'x' is 4 × 3 per event, but .*'jets'.* 0 to 4"),
        ({"jets": {"column": "x", "number": 1}}, np.ones((2, 4, 2)), "numbers up to place 2"),
        ({"jets": {"column": "x", "number": 1}}, np.ones(2), "is one number per event"),
        ({"jets": {"column": "x", "number": 1}}, ak.Array([[[1.0, 1, 1]], []]), "lists of any length"),
        ({"jets": {"objects": ["x", "y", "y"], "number": 1}}, ak.Array([[1.0], []]), "variables of one input have to"),
    ],
)
def test_columns_that_do_not_fit(slots: dict[str, Any], given: Any, message: str) -> None:
    config = TypeAdapter(InputsConfig).validate_python({"hlt": {"slots": slots}})
    with pytest.raises(NtuplemlError, match=message):
        read_inputs(groups_of(config), {"x": given, "y": ak.Array([[1.0, 2], []])}, 2, "in.root")


JET = {"objects": ["a", "b", "c"], "number": 3}


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ({"slots": {"jets": {"number": 3}}}, "neither objects nor column"),
        ({"slots": {"jets": JET}, "column": "x"}, "the group's column has all types"),
        ({"slots": {"jets": {**JET, "column": "x"}}}, "stand side by side"),
        ({"slots": {"jets": {"column": "x", "number": 1, "sort": "y"}}}, "sort: objects of a column"),
        ({"slots": {"jets": {**JET, "columns": [0, 1, 2]}}}, "columns: the places"),
        ({"slots": {"jets": {**JET, "objects": [None, "b", "c"]}}}, "cannot be null"),
        ({"slots": {"jets": JET}, "columns": [0, 1, 2]}, "there is no column for all types"),
        ({"slots": {"jets": JET}, "steps": ["delta_fi"]}, "no step 'delta_fi'; nearest: 'delta_phi'"),
        ({"slots": {"jets": JET}, "steps": [{"thresholds": {"jet": 3.0}}]}, "no type 'jet'; nearest: 'jets'"),
        ({"slots": {"jets": JET}, "steps": ["met"]}, "no type 'met'"),
        ({"slots": {"jets": JET}, "steps": [{"met": {"type": "jets"}}]}, "several slots"),
        ({"slots": {"jets": JET}, "steps": ["overlap_removal"]}, "no two types"),
        ({"slots": {"jets": JET}, "steps": [{"scale_pt": "standard"}, "delta_phi"]}, "has to be the last step"),
        (
            {"slots": {"jets": JET}, "steps": [{"powers_of_two": {"exponents": [1, 2]}}]},
            "2 numbers, but the slots have 9",
        ),
        ({"slots": {"jets": JET}, "steps": [{"scale_pt": {"type": "per_event", "factor": 2.0}}]}, "per_event has none"),
        ({"slots": {"jets": JET}, "steps": ["delta_phi"], "raw": True}, "the network does the steps itself"),
        ({"slots": {"jets": JET}, "objects": ["x"]}, "objects and slots stand side by side"),
    ],
)
def test_configs_that_mean_nothing(group: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(InputsConfig).validate_python({"hlt": group})
