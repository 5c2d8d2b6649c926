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
#: Verbs that read an ntuple of any kind as a model does.
READERS = ("apply-keras-friend", "inputs")
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


def as_arrow(values: Any) -> Any:
    """A column for a Parquet file."""
    if not isinstance(values, np.ndarray):
        return ak.to_arrow(values)
    array = pa.array(values.reshape(-1))
    for length in values.shape[:0:-1]:
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


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
        pq.write_table(pa.table({name: as_arrow(values) for name, values in columns.items()}), path)
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


INPUTS = {"event": ["met"], "jets": {**JETS, "sort": "Jet_pt"}, "calo": {"image": ["calo", "calo_had"]}}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a training on numbers, objects and images, with the configs of all stages."""
    folder = tmp_path_factory.mktemp("trained")
    source = write(folder / "good", "root", good_columns())
    data = dataset(folder, source, processes={name: {"files": [source.name]} for name in ("sig", "bkg")})
    config(folder, "application", output_directory=str(folder / "friends"))
    config(folder, "testing", seed=1)
    training_config(folder)
    assert main(["dataset", str(data)]) == 0
    assert main(["train-keras", str(folder / "training.yaml"), "all"]) == 0
    return folder


def training_config(folder: Path, name: str = "training", **keys: Any) -> Path:
    content = {
        "datasets": [str(folder / f"fold{fold}_data.root") for fold in (0, 1)],
        "output_path": str(folder),
        "classes": ["sig", "bkg"],
        "event_weights": "training_weight",
        "inputs": INPUTS,
        "model": {"hidden": [2], "epochs": 1},
    }
    return config(folder, name, **{**content, **keys})


def of_training(verb: str, folder: Path, source: Path, output: Path) -> tuple[object, ...]:
    """Arguments of a verb that reads an ntuple as the models of a training do."""
    configs = [folder / f"{stage}.yaml" for stage in ("dataset", "training", "application")]
    return (configs[1], source, "events", output / "x.npz") if verb == "inputs" else (*configs, source, "events")


@pytest.mark.parametrize(
    ("verb", "kind"),
    [("apply-keras", "root"), *((verb, k) for verb in READERS for k in KINDS)],
)
@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("Jet_eta", lambda jets: jets[:-1], ("'jets'", "'Jet_eta' has 1", "'Jet_pt' has 2", f"entry {BAD}")),
        ("calo", None, ("'calo'", "'calo_had' is of shape (3, 4, 2)", "(2, 4)")),
        ("Jet_pt", None, ("'Jet_pt'", "nearest: 'Jet_Pt'")),
        ("met", None, ("'met' has several values per event",)),
    ],
)
def test_ntuples_that_do_not_fit_a_model(
    trained: Path, tmp_path: Path, refused: Refused, verb: str, kind: str, name: str, change: Any, expected: Any
) -> None:
    columns = good_columns()
    if change is not None:
        columns[name] = changed(columns[name], change)
    elif name == "calo":
        columns["calo"] = columns["small"]
    elif name == "Jet_pt":
        columns["Jet_Pt"] = columns.pop("Jet_pt")
    else:
        columns["met"] = columns["Jet_pt"]
    source = write(tmp_path / "a", kind, columns)
    before = source.read_bytes()
    said = refused(verb, *of_training(verb, trained, source, tmp_path))
    assert all(text in said for text in (str(source), *expected)), said
    assert source.read_bytes() == before
    assert not (trained / "friends").exists()


@pytest.mark.parametrize("verb", READERS)
@pytest.mark.parametrize("kind", ["rntuple.root", "parquet"])
def test_text_is_no_input(trained: Path, tmp_path: Path, refused: Refused, verb: str, kind: str) -> None:
    source = write(tmp_path / "a", kind, {**good_columns(), "met": ak.Array(["word"] * EVENTS)})
    said = refused(verb, *of_training(verb, trained, source, tmp_path))
    assert all(text in said for text in (str(source), "'met'", "neither numbers nor lists of numbers")), said


@pytest.mark.parametrize("kind", KINDS[1:])
def test_only_trees_get_branches_in_place(trained: Path, tmp_path: Path, refused: Refused, kind: str) -> None:
    source = write(tmp_path / "a", kind, good_columns())
    before = source.read_bytes()
    said = refused("apply-keras", *of_training("apply-keras", trained, source, tmp_path))
    assert str(source) in said
    assert "write a friend tree" in said
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [("met", "'met' is NaN or infinite in 1 of 40"), ("Jet_pt", "'Jet_pt' is NaN"), ("calo", "'calo' is NaN")],
)
def test_nan_in_an_ntuple(trained: Path, tmp_path: Path, refused: Refused, name: str, expected: str) -> None:
    columns = good_columns()
    columns[name] = changed(columns[name], lambda value: [1, NAN] if name == "Jet_pt" else NAN)
    source = write(tmp_path / "a", "root", columns)
    said = refused("apply-keras-friend", *of_training("apply-keras-friend", trained, source, tmp_path))
    group = {"met": "event", "Jet_pt": "jets", "calo": "calo"}[name]
    assert all(text in said for text in (str(source), f"'{group}'", expected, "missing: {value: …} in the training"))
    assert not (trained / "friends").exists()


OTHER = {
    "another length": {**INPUTS, "jets": {**INPUTS["jets"], "length": 2}},
    "no image": {"event": INPUTS["event"], "jets": INPUTS["jets"]},
    "another name": {"event": INPUTS["event"], "jet": INPUTS["jets"], "calo": INPUTS["calo"]},
    "another sort": {**INPUTS, "jets": JETS},
    "numbers alone": {"event": ["met"]},
}


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("verb", ["apply-keras-friend", "confusion-matrix", "report"])
def test_models_of_other_groups(trained: Path, refused: Refused, verb: str, other: str) -> None:
    """The config was changed after the training."""
    changed_config = training_config(trained, "changed", inputs=OTHER[other])
    arguments: tuple[object, ...] = (changed_config, trained / "testing.yaml", *([0] if verb[0] == "c" else []))
    if verb == "apply-keras-friend":
        arguments = (trained / "dataset.yaml", changed_config, trained / "application.yaml", trained / "good.root")
        arguments = (*arguments, "events")
    said = refused(verb, *arguments)
    assert "inputs" in said
    assert not (trained / "friends").exists()
