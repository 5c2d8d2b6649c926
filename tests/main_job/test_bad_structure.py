"""Lists, arrays and groups of inputs that do not fit: one line, exit status 2, nothing half written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from ntupleml.cli import main
from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Columns = dict[str, Any]
    Refused = Callable[..., str]

EVENTS = 40
KINDS = ("root", "rntuple.root", "h5", "parquet")
#: The event in which something is wrong.
BAD = 6


def good_columns() -> Columns:
    """Events with k mod 4 jets and a track for each."""
    number = np.arange(EVENTS)
    counts = number % 4
    jets = ak.unflatten(np.arange(counts.sum(), dtype="f4") % 7 + 20, counts)
    return {
        "event": number,
        "met": number / 4,
        "Jet_pt": jets,
        "Jet_eta": jets / 20 - 1,
        "Jet_phi": jets / 20,
        "Track_pt": jets / 2,
        "Track_jetIdx": ak.values_astype(ak.local_index(jets), "i4"),
        "calo": np.ones((EVENTS, 3, 4), "f4"),
        "calo_had": np.ones((EVENTS, 3, 4, 2), "f4"),
        "small": np.ones((EVENTS, 2, 4), "f4"),
        "weight": np.ones(EVENTS, "f4"),
    }


def changed(column: Any, change: Callable[[Any], Any]) -> Any:
    """A column whose bad event is another one."""
    if isinstance(column, np.ndarray):
        column = column.astype("f8")
        column[BAD] = change(column[BAD])
        return column
    events = column.to_list()
    events[BAD] = change(events[BAD])
    return ak.values_astype(ak.Array(events), np.dtype(column.type.content.content.primitive))


def write(path: Path, kind: str, columns: Columns, tree: str = "events") -> Path:
    """A file of a kind; where there is one tree, it is called as told."""
    path = path.with_name(f"{path.name}.{kind}")
    if kind == "root":
        types = {
            name: np.dtype((values.dtype, values.shape[1:]))
            if isinstance(values, np.ndarray)
            else f"vector of {np.dtype(values.type.content.content.primitive).str[1:]}"
            for name, values in columns.items()
        }
        with new_tree_file(path) as file:
            file.tree(tree, types).extend(columns)
    elif kind == "rntuple.root":
        with uproot.recreate(path) as file:
            file.mkrntuple(tree, columns)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                if isinstance(values, np.ndarray):
                    file[f"{tree}/{name}"] = values
                else:
                    kept = file.create_dataset(
                        f"{tree}/{name}", len(values), h5py.vlen_dtype(values.type.content.content.primitive)
                    )
                    for entry, value in enumerate(values):
                        kept[entry] = value.to_numpy()
    else:
        pq.write_table(
            pa.table({n: v.tolist() if isinstance(v, np.ndarray) else ak.to_arrow(v) for n, v in columns.items()}), path
        )
    return path


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Run a verb that has to stop: the line that it says, where no file but the log of a training was added."""

    def files() -> list[Path]:
        return sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".log")

    def run(verb: str, *arguments: object) -> str:
        before = files()
        capfd.readouterr()
        assert main([verb, *map(str, arguments)]) == 2
        said = capfd.readouterr().err.splitlines()
        assert files() == before
        assert not any("Traceback" in line for line in said)
        lines = [line for line in said if line.startswith(f"ntupleml {verb}: ")]
        assert lines == said[-1:]
        return lines[0].removeprefix(f"ntupleml {verb}: ")

    return run


def config(folder: Path, name: str, **content: Any) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def dataset(folder: Path, source: Path, **keys: Any) -> Path:
    process = {"files": [source.name], **keys.pop("process", {})}
    content = {"base_path": str(folder), "tree_path": "events", "event_branch": "event", "output_path": str(folder)}
    return config(
        folder, "dataset", **{**content, "output_filename": "data.root", "processes": {"sig": process}, **keys}
    )


ROWS = {"objects": "Jet", "members": {"Track": {"index": "Track_jetIdx"}}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("Jet_eta", lambda jets: jets[:-1], ("'Jet_eta' has 1", "has 2", "collection 'Jet'")),
        ("Track_pt", lambda tracks: [*tracks, 1.0], ("'Track_pt' has 3", "'Track_jetIdx' has 2")),
        ("Track_jetIdx", lambda _: [0, 2], ("branch 'Track_jetIdx' is 2, but there are 2 objects of 'Jet'",)),
    ],
)
def test_rows_that_are_objects(
    tmp_path: Path, refused: Refused, kind: str, name: str, change: Any, expected: tuple[str, ...]
) -> None:
    columns = good_columns()
    columns[name] = changed(columns[name], change)
    source = write(tmp_path / "a", kind, {one: columns[one] for one in columns if one[:4] != "calo"})
    said = refused("dataset", dataset(tmp_path, source, rows=ROWS))
    assert all(text in said for text in (str(source), f"entry {BAD}: ", *expected)), said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"branches": ["word"]}, "branches: branch 'word' of "),
        ({"process": {"cut_string": "word > 1"}}, "processes.sig: branch 'word' of "),
        ({"event_branch": "word"}, "event_branch: branch 'word' of "),
    ],
)
def test_text_is_no_number(tmp_path: Path, refused: Refused, kind: str, keys: Columns, expected: str) -> None:
    words = [f"w{number}" for number in range(EVENTS)]
    columns = {"event": np.arange(EVENTS)}
    if kind == "root":
        with uproot.recreate(source := tmp_path / "a.root") as file:
            file.mktree("events", {"event": "i8", "word": str})
            file["events"].extend({**columns, "word": words})
    else:
        source = write(tmp_path / "a", kind, columns | ({"word": ak.Array(words)} if kind[0] in "rp" else {}))
    if kind == "h5":
        with h5py.File(source, "a") as file:
            file["events/word"] = words
    said = refused("dataset", dataset(tmp_path, source, **keys))
    assert expected in said
    assert str(source) in said


def test_hdf5_datasets_of_different_lengths(tmp_path: Path, refused: Refused) -> None:
    source = write(tmp_path / "a", "h5", good_columns())
    with h5py.File(source, "a") as file:
        file["events/late"] = np.ones(EVENTS - 1)
    said = refused("dataset", dataset(tmp_path, source, branches=["late"]))
    assert all(text in said for text in (str(source), "'late'", "39", "40")), said


def training(folder: Path, name: str, change: Any, **keys: Any) -> Path:
    """Fold files of two classes, the second of which has one bad event in fold 0, and their config."""
    for fold in (0, 1):
        with new_tree_file(folder / f"fold{fold}.root") as file:
            for tree in ("sig", "bkg"):
                columns = good_columns()
                if (fold, tree) == (0, "bkg") and change is not None:
                    columns[name] = changed(columns[name], change)
                types = {
                    one: np.dtype((values.dtype, values.shape[1:]))
                    if isinstance(values, np.ndarray)
                    else "vector of f4"
                    for one, values in columns.items()
                }
                file.tree(tree, types).extend(columns)
    content = {
        "datasets": [str(folder / f"fold{fold}.root") for fold in (0, 1)],
        "output_path": str(folder),
        "classes": ["sig", "bkg"],
        "event_weights": "weight",
        "model": {"hidden": [2], "epochs": 1},
    }
    return config(folder, "training", **{**content, **keys})


JETS = {"objects": ["Jet_pt", "Jet_eta"]}
FILLED = {"image": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi", "bins": [2, 2], "eta_range": [-2, 2]}
NAN = float("nan")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("name", "change", "keys", "expected"),
    [
        ("Jet_eta", lambda j: j[:-1], {"inputs": {"jets": JETS}}, ("'jets'", "'Jet_eta' has 1", "'Jet_pt' has 2", "6")),
        ("met", lambda _: NAN, {"inputs": {"event": ["met"]}}, ("inputs.event", "'met' in 1 of 40", "missing: {value")),
        ("Jet_pt", lambda _: [1, NAN], {"inputs": {"jets": JETS}}, ("inputs.jets", "'Jet_pt' in 1 of", "missing: {")),
        ("calo", lambda _: NAN, {"inputs": {"calo": {"image": "calo"}}}, ("inputs.calo", "'calo' in 12 of", "missing")),
        ("Jet_pt", lambda _: [1, NAN], {"inputs": {"image": FILLED}}, ("inputs.image", "'Jet_pt' in 1 of", "missing")),
        ("Jet_eta", lambda _: [1, NAN], {"inputs": {"image": FILLED}}, ("inputs.image", "'Jet_eta' in 1 of")),
        (
            "met",
            lambda _: NAN,
            {"inputs": {"jets": JETS}, "target": {"values": {"half": "met/2"}}},
            ("target.values", "'met/2' is NaN or infinite in 1 of 40 events"),
        ),
        ("", None, {"inputs": {"calo": {"image": ["calo", "small"]}}}, ("'small' is of shape (2, 4)", "(3, 4)")),
        ("", None, {"inputs": {"calo": {"image": "Jet_pt"}}}, ("'calo'", "'Jet_pt'", "lists of any length")),
        ("", None, {"inputs": {"calo": {"image": "met"}}}, ("'calo'", "'met' is of shape ()")),
        ("", None, {"inputs": {"jets": {"objects": ["met"]}}}, ("'jets'", "'met' has one value per event")),
        ("", None, {"inputs": {"event": ["Jet_pt"]}}, ("'Jet_pt'", "event")),
        ("", None, {"inputs": {"event": ["Jetpt"]}}, ("inputs.event", "'Jetpt'", "nearest: 'Jet_pt'")),
        (
            "",
            None,
            {"inputs": {"jets": JETS}, "model": {"encoders": {"jet": {"type": "deep_set"}}}},
            ("encoders", "'jet'", "nearest: 'jets'"),
        ),
    ],
)
def test_training(
    tmp_path: Path, refused: Refused, stream: bool, name: str, change: Any, keys: Columns, expected: tuple[str, ...]
) -> None:
    said = refused("train-keras", training(tmp_path, name, change, stream=stream, **keys), 0)
    assert all(text in said for text in expected), said
    if change is not None:
        assert "fold0.root" in said
        assert "bkg" in said
