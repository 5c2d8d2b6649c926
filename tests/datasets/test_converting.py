"""Tables with fixed slots: what is in them, what a second run does, and what is wrong as one line."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.application.returning import return_scores
from ntupleml.config import ConversionConfig, load_config
from ntupleml.datasets.converting import Conversion, conversion_inputs, convert
from ntupleml.datasets.slots import Slots, filled, objects_of
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    RunScript = Callable[..., subprocess.CompletedProcess[str]]

TREE = "nominal_Loose"
#: pt, b-tag bin, electrons of each event; the bin orders the jets otherwise than pt does.
JETS = [[50.0, 40.0, 30.0], [], [90.0, 80.0], [25.0] * 5]
BINS = [[1, 5, 5], [], [2, 2], [1, 2, 3, 2, 1]]
ELECTRONS = [[20.0], [], [22.0, 21.0], []]
NUMBERS = np.array([2**62 + 1, 7, -(2**53) - 1, 11])
FEATURES = ["jet_pt", "jet_tagWeightBin_DL1r_Continuous", "el_pt", "eventNumber", "nJets", "flag"]


def write_events(path: Path, events: slice = slice(None), tree: str = TREE, **more: Any) -> Path:
    columns = {
        "jet_pt": ak.values_astype(ak.Array(JETS[events]), np.float32),
        "jet_tagWeightBin_DL1r_Continuous": ak.values_astype(ak.Array(BINS[events]), np.int32),
        "el_pt": ak.values_astype(ak.Array([*ELECTRONS, [0.0]])[:-1][events], np.float32),
        "eventNumber": NUMBERS[events],
        "nJets": np.array([len(one) for one in JETS], np.int32)[events],
        "nBTags_DL1r_70": np.array([sum(one >= 4 for one in jets) for jets in BINS], np.int32)[events],
        "flag": np.array([True, False, True, True])[events],
        "direction": np.arange(12, dtype=np.float32).reshape(4, 3)[events],
        **more,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        types = {name: getattr(one, "dtype", None) or one.type for name, one in columns.items()}
        types["direction"] = np.dtype((np.float32, (3,)))
        file.mktree(tree, types).extend(columns)
    return path


def made(paths: list[Path], output: Path, *, overwrite: bool = False, **keys: Any) -> Conversion:
    config = load_config({"features": FEATURES, **keys}, ConversionConfig)
    return convert([str(path) for path in paths], output, config, overwrite=overwrite)


def table(path: Path) -> dict[str, Any]:
    if path.suffix == ".parquet":
        return {name: column.to_numpy() for name, column in zip(*_parquet(path), strict=True)}
    with h5py.File(path) as file:
        return {name: column[:] for name, column in file[TREE].items()}


def _parquet(path: Path) -> tuple[list[str], list[Any]]:
    found = pq.read_table(path)
    return found.column_names, found.columns


@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_columns(tmp_path: Path, ending: str) -> None:
    """Scalars keep type and value; jets have twelve slots from 1, other lists as many as the longest, from 0."""
    done = made([write_events(tmp_path / "a.root")], tmp_path / f"a.{ending}", features=[*FEATURES, "direction"])
    assert done.record is not None
    found = table(tmp_path / f"a.{ending}")
    jets = [f"{name}_{slot}" for name in FEATURES[:2] for slot in range(1, 13)]
    lists = [*jets, "el_pt_0", "el_pt_1", *(f"direction_{index}" for index in range(3))]
    assert list(found) == ["eventNumber", "nJets", "flag", *lists, "file_index", "file_entry"]
    assert (done.record.rows, done.failures) == (4, [])
    assert found["eventNumber"].tolist() == NUMBERS.tolist()
    assert found["flag"].tolist() == [True, False, True, True]
    assert [str(found[name].dtype) for name in ("eventNumber", "nJets", "flag", *lists)] == [
        "int64",
        "int32",
        "bool",
        *["float32"] * len(lists),
    ]
    assert found["jet_pt_1"].tolist() == [50, 0, 90, 25]
    assert found["jet_pt_5"].tolist() == [0, 0, 0, 25]
    assert not found["jet_pt_12"].any()
    assert found["el_pt_1"].tolist() == [0, 0, 21, 0]
    assert found["direction_2"].tolist() == [2, 5, 8, 11]
    assert found["file_entry"].tolist() == [0, 1, 2, 3]


def test_order_and_selection_come_before_the_cut(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    jet = {"length": 1, "sort": [FEATURES[1], "jet_pt"], "selection": "jet_pt < 60", "first": 0}
    made(
        [write_events(tmp_path / "a.root")],
        tmp_path / "a.h5",
        features=["jet_pt", {"jet_half": "jet_pt/2"}, {"leading": "Max$(jet_pt)"}, "nJets"],
        collections={"jet": jet},
        selection="nJets != 2",
    )
    found = table(tmp_path / "a.h5")
    assert found["jet_pt_0"].tolist() == [40, 0, 25]  # the first of two jets in bin 5, which are not the first ones
    assert found["jet_half_0"].tolist() == [20, 0, 12.5]
    assert found["leading"].tolist() == [50, 0, 25]
    assert found["file_entry"].tolist() == [0, 1, 3]
    assert "jet: 1 slots are too few in 2 events; 6 objects are left out" in caplog.text


_OBJECTS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from([10.0, 20.0, 30.0])), max_size=40)


@given(st.lists(_OBJECTS, min_size=1, max_size=4), st.integers(1, 6), st.booleans(), st.booleans())
def test_order_is_that_of_a_stable_sort(
    events: list[list[tuple[int, float]]], length: int, ascending: bool, both: bool
) -> None:
    columns = {
        "bin": ak.values_astype(ak.Array([[one[0] for one in event] for event in [*events, [(0, 0)]]])[:-1], np.int32),
        "pt": ak.values_astype(ak.Array([[one[1] for one in event] for event in [*events, [(0, 0)]]])[:-1], np.float32),
    }
    columns["index"] = ak.values_astype(ak.local_index(columns["pt"]), np.float32)
    sort = ("bin", "pt") if both else ("bin",)
    slots = Slots("jet", {"index": "index"}, length, 1, sort, ascending)
    found, cut = filled(slots, objects_of(slots, columns, len(events), "file"), np.arange(len(events)))
    sign = 1 if ascending else -1
    expected = np.zeros((len(events), length))
    for row, event in enumerate(events):
        order = sorted(range(len(event)), key=lambda place: tuple(sign * one for one in event[place][: len(sort)]))
        expected[row, : min(len(order), length)] = order[:length]
    np.testing.assert_array_equal(np.stack(list(found.values()), axis=1), expected)
    assert cut.objects == sum(max(len(event) - length, 0) for event in events)


@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_columns_are_the_same_for_all_files(tmp_path: Path, ending: str) -> None:
    """Only the second file has an event with two electrons; a file that comes later brings one with three."""
    first = write_events(tmp_path / "a.root", slice(0, 2))
    second = write_events(tmp_path / "b.root", slice(2, 4))
    output = tmp_path / f"all.{ending}"
    made([first, second], output)
    found = table(output)
    assert found["el_pt_1"].tolist() == [0, 0, 21, 0]
    assert found["file_index"].tolist() == [0, 0, 1, 1]
    third = write_events(tmp_path / "c.root", slice(0, 1), el_pt=ak.values_astype(ak.Array([[3.0, 2, 1]]), np.float32))
    made([first, second, third], output)
    found = table(output)
    assert found["el_pt_2"].tolist() == [0, 0, 0, 0, 1]
    assert found["eventNumber"].tolist() == [*NUMBERS.tolist(), NUMBERS[0]]


def test_a_second_run_converts_what_is_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    paths = [write_events(tmp_path / f"{name}.root") for name in "abc"]
    output = tmp_path / "all.h5"
    made(paths[:2], output)
    before = (output.stat().st_ino, output.stat().st_mtime_ns)
    made(paths[:2], output)
    assert "done already: 8 rows of 2 files" in caplog.text
    assert (output.stat().st_ino, output.stat().st_mtime_ns) == before
    caplog.clear()
    write_events(paths[0], slice(0, 1))  # has changed
    made([paths[0], paths[1], paths[2]], output)
    assert re.findall(r"\d of \d: \S*(.)\.root", caplog.text) == ["a", "c"]
    record = made(paths, output).record
    assert record is not None
    files = [one.file.path[-6] for one in record.files]
    found = table(output)
    assert [files[index] for index in found["file_index"]] == list("bbbb" + "a" + "cccc")
    assert found["eventNumber"].tolist() == [*NUMBERS, NUMBERS[0], *NUMBERS]
    made(paths[2:], output)
    assert table(output)["eventNumber"].tolist() == NUMBERS.tolist()


def test_a_killed_run_goes_on(tmp_path: Path, project: Path, run_script: RunScript) -> None:
    paths = [write_events(tmp_path / "in" / f"{number}.root") for number in range(40)]
    (tmp_path / "v.yaml").write_text(f"features: [{', '.join(FEATURES)}]\n")
    arguments = ["-d", tmp_path / "in", "-s", tmp_path / "all.h5", "-v", tmp_path / "v.yaml"]
    parts = tmp_path / ".all.h5.parts"
    with subprocess.Popen(
        [sys.executable, str(project / "dataset/convert.py"), *map(str, arguments)], stderr=subprocess.DEVNULL
    ) as process:
        while not list(parts.glob("[!.]*")):
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    finished = list(parts.glob("[!.]*"))
    assert 0 < len(finished) < 40
    assert not (tmp_path / "all.h5").exists()
    done = run_script("dataset/convert.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert f"1 of {40 - len(finished)}: " in done.stderr
    assert table(tmp_path / "all.h5")["eventNumber"].tolist() == NUMBERS.tolist() * 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.h5", "in", "v.yaml"]
    assert len(paths) == 40


def test_a_file_that_fails_is_told_at_the_end(tmp_path: Path, run_script: RunScript) -> None:
    """The other files are in the table, whoever does the work; options are those of the ttH trainer."""
    for name in ("a", "c"):
        write_events(tmp_path / "in" / f"{name}.root")
    (tmp_path / "in" / "b.root").write_bytes((tmp_path / "in" / "a.root").read_bytes()[:500])
    (tmp_path / "v.yaml").write_text(f"features: [{', '.join(FEATURES)}]\n")
    arguments = ("--max-jets", 2, "--order-jets", "-n", 3, "--selection", "nJets > 0", "--workers", 2)
    done = run_script(
        "dataset/convert.py", "-d", tmp_path / "in", "-s", tmp_path / "all.h5", "-v", tmp_path / "v.yaml", *arguments
    )
    assert done.returncode == 1
    assert re.fullmatch(r"ERROR: \S+/b\.root: is truncated.*", done.stderr.splitlines()[-1])
    found = table(tmp_path / "all.h5")
    assert found["jet_pt_2"].tolist() == [30, 80] * 2
    assert "jet_pt_3" not in found


def test_signal_events(tmp_path: Path, run_script: RunScript) -> None:
    """Six jets or more, four b-tags or more."""
    n_jets, n_tags = np.array([6, 5, 6, 7], np.int32), np.array([4, 4, 3, 5], np.int32)
    write_events(tmp_path / "a.root", nJets=n_jets, nBTags_DL1r_70=n_tags)
    (tmp_path / "v.yaml").write_text("features: [eventNumber]\n")
    done = run_script("dataset/convert.py", "a.root", "-v", "v.yaml", "--run-option", "signal", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "store.h5")["file_entry"].tolist() == [0, 3]


def test_a_table_is_an_input(tmp_path: Path) -> None:
    made([write_events(tmp_path / "a.root")], tmp_path / "a.parquet")
    config = load_config({"variables": ["eventNumber", {"sum": "jet_pt_1 + jet_pt_2"}]}, ConversionConfig)
    convert([str(tmp_path / "a.parquet")], tmp_path / "b.h5", config)
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["events/eventNumber"][:].tolist() == NUMBERS.tolist()
        assert file["events/sum"][:].tolist() == [90, 0, 170, 50]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"features": ["jet_ptt"]}, "no branch 'jet_ptt'; nearest: 'jet_pt'"),
        ({"features": [{"x": "2*jet_ptt"}]}, "no branch 'jet_ptt', which variable '2\\*jet_ptt' needs; nearest"),
        ({"features": ["nJets", {"nJets": "eventNumber"}]}, "named twice: 'nJets'"),
        ({"features": ["nJets"], "variables": ["nJets"]}, "'features' and 'variables' mean the same"),
        ({"features": ["file_index"]}, "a column on the origin of rows is called 'file_index'"),
        ({"collections": {"jets": {}}}, "collections.jets: no variable 'jets_…' is a list; nearest: 'jet'"),
        ({"collections": {"jet": {"lenght": 2}}}, "lenght.*nearest: 'length'"),
        ({"selection": "nJetz > 2"}, "no branch 'nJetz'.*nearest: 'nJets'"),
        ({"features": ["jet_pt", {"jet_el": "el_pt"}]}, "'el_pt' has 1 values in an event where 'jet_pt' has 3"),
        ({"features": ["jet_pt", {"jet_pt_1": "nJets"}]}, "two columns would be called 'jet_pt_1'"),
        (
            {"collections": {"jet": {"padding": {"jet_pts": 1}}}},
            "jet.padding: no variable 'jet_pts'; nearest: 'jet_pt'",
        ),
        ({"define": {"nJets": 4}}, "define.nJets: .* has a branch 'nJets' already"),
        ({"match": {"objects": "el"}}, "match: rows are events; say with rows which objects they are"),
        ({"tree_path": "nominal"}, "no tree 'nominal'; nearest: 'nominal_Loose'"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    path = write_events(tmp_path / "a.root")
    with pytest.raises(NtuplemlError, match=message) as raised:
        made([path], tmp_path / "a.h5", **keys)
    assert "\n" not in str(raised.value)
    assert [one.name for one in tmp_path.iterdir()] == ["a.root"]


def test_what_exists_is_kept(tmp_path: Path) -> None:
    path = write_events(tmp_path / "a.root")
    (tmp_path / "a.h5").write_text("of the user")
    with pytest.raises(NtuplemlError, match="was not written by this command; give --overwrite"):
        made([path], tmp_path / "a.h5")
    made([path], tmp_path / "a.h5", overwrite=True)
    with pytest.raises(NtuplemlError, match="was made with other options; give --overwrite"):
        made([path], tmp_path / "a.h5", num_events=1)
    with pytest.raises(NtuplemlError, match=r"a\.txt: the name of a table ends in \.h5"):
        made([path], tmp_path / "a.txt")


def test_an_ntuple_is_not_replaced(tmp_path: Path) -> None:
    """A table of an earlier call is not among the files of its folder; anything else of this name is."""
    output = tmp_path / "b.parquet"
    shutil.copy(write_events(tmp_path / "a.root"), output)  # the kind of a file is in its content
    for named, folder in (([str(output)], None), ([], tmp_path)):
        with pytest.raises(NtuplemlError, match=r"b.parquet: is read, so it cannot be written"):
            conversion_inputs(named, folder, output)
    made([tmp_path / "a.root"], output, overwrite=True)
    assert conversion_inputs([], tmp_path, output) == [str(tmp_path / "a.root")]


def test_padding_that_the_type_of_the_slots_cannot_hold(tmp_path: Path) -> None:
    path, wide = write_events(tmp_path / "a.root"), {"jet": {"padding": {"jet_pt": 1e39}}}
    with pytest.raises(NtuplemlError, match=r"collections.jet.padding.jet_pt: 1e\+39 does not fit into float32"):
        made([path], tmp_path / "a.h5", features=["jet_pt"], collections=wide)
    made([path], tmp_path / "a.h5", features=["jet_pt"], collections=wide, dtype="float64")


def test_whole_numbers_that_float32_would_change(tmp_path: Path) -> None:
    path = write_events(tmp_path / "a.root", jet_id=ak.Array([[1], [], [2**24 + 1, 2], [3]]))
    with pytest.raises(NtuplemlError, match="'jet_id' holds 16777217, which float32"):
        made([path], tmp_path / "a.h5", features=["jet_id"])


def test_several_trees_and_files_that_differ(tmp_path: Path) -> None:
    path, other = write_events(tmp_path / "a.root"), write_events(tmp_path / "b.root", nJets=np.ones(4, np.float32))
    with uproot.update(path) as file:
        file.mktree("second", {"x": "f4"}).extend({"x": np.zeros(1, "f4")})
    done = made([path, other], tmp_path / "a.h5")
    assert done.record is not None
    assert done.record.rows == 4
    assert "b.root: 'nJets' is of type float32, but of int32 in" in done.failures[0]
    with uproot.recreate(tmp_path / "c.root") as file:
        for name in ("nominal", "other"):
            file.mktree(name, {"x": "f4"}).extend({"x": np.zeros(1, "f4")})
    with pytest.raises(NtuplemlError, match="several trees; choose one with --tree; there are: 'nominal', 'other'"):
        made([tmp_path / "c.root"], tmp_path / "c.h5", features=["x"])


@pytest.mark.parametrize("ending", ["h5", "parquet"])
def test_slots_of_doubles_with_padding(tmp_path: Path, ending: str) -> None:
    jet = {"length": 3, "first": 0, "padding": {"jet_pt": -0.1, "jet_third": float("nan")}}
    features = ["jet_pt", {"jet_third": "jet_pt / scale"}, {"jet_id": "jet_tagWeightBin_DL1r_Continuous"}, "scale"]
    keys = {"features": features, "collections": {"jet": jet}, "define": {"scale": 3}, "dtype": "float64"}
    paths = [write_events(tmp_path / f"{name}.root") for name in "ab"]
    output = tmp_path / f"a.{ending}"
    made(paths[:1], output, **keys)
    record = made(paths, output, **keys).record  # goes on: NaN in the config does not make it another
    assert record is not None
    assert record.rows == 8
    found = table(output)
    assert found["jet_pt_1"].tolist() == [40, -0.1, 80, 25] * 2
    np.testing.assert_array_equal(found["jet_third_2"], [10, np.nan, np.nan, 25 / 3] * 2)
    assert found["jet_third_2"].dtype == np.float64
    assert found["jet_id_0"].tolist() == [1, 0, 2, 1] * 2
    assert found["scale"].tolist() == [3.0] * 8


@pytest.mark.parametrize("step", [1, 100_000])
def test_rows_are_matched_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """A row for each electron with the jet that is nearest to it; jets that are of no electron are left out."""
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", step)
    monkeypatch.setattr(reading, "FEWEST_ENTRIES_PER_CHUNK", 1)
    eta = {"jet_eta": [[0.0, 1.0, 2.0], [], [0.0, 1.0], [0.0] * 5], "el_eta": [[1.9], [], [0.9, 0.8], []]}
    columns = {name: ak.values_astype(ak.Array([*one, [0.0]])[:-1], np.float32) for name, one in eta.items()}
    columns |= {name.replace("eta", "phi"): column * 0 for name, column in columns.items()}
    done = made(
        [write_events(tmp_path / "a.root", **columns)],
        tmp_path / "a.parquet",
        features=["jet_pt", "el_pt", "jet_index", {"label": 1}, "eventNumber"],
        collections={},
        rows={"objects": "jet", "sort": "jet_pt", "ascending": True},
        match={"objects": "el", "nearest_to": "match", "repeated": True},
        selection="el_pt < 22",
    )
    found = table(tmp_path / "a.parquet")
    assert done.record is not None
    assert done.record.rows == 2
    assert found["el_pt"].tolist() == [20, 21]
    assert found["jet_pt"].tolist() == [30, 80]
    assert found["jet_index"].tolist() == [2, 1]
    assert found["label"].tolist() == [1, 1]
    assert found["eventNumber"].tolist() == [NUMBERS[0], NUMBERS[2]]
    assert found["file_entry"].tolist() == [0, 2]
    with pytest.raises(NtuplemlError, match="its rows are objects of 'jet', of which an event may have several"):
        return_scores(tmp_path / "a.parquet", tmp_path / "none.root", tmp_path / "out")


def test_no_events_are_no_mistake(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file whose rows all fail gives an empty table, and one whose tree has neither entries nor branches none."""
    path, empty = write_events(tmp_path / "a.root"), tmp_path / "empty.parquet"
    pq.write_table(pa.table({}), empty)
    done = made([path, empty], tmp_path / "a.h5", selection="nJets > 100")
    assert done.failures == []
    assert len(table(tmp_path / "a.h5")["nJets"]) == 0
    assert "empty.parquet: holds no events, and is left out" in caplog.text
    assert made([empty], tmp_path / "b.h5") == Conversion(None, [])
    assert not (tmp_path / "b.h5").exists()
    assert "b.h5: is not written, since no file holds events" in caplog.text


def test_configs_complete_one_another(tmp_path: Path, run_script: RunScript) -> None:
    write_events(tmp_path / "a.root")
    (tmp_path / "one.yaml").write_text(
        "features: [jet_pt, {mass: mass}]\ncollections: {jet: {length: 2}}\ndefine: {mass: 1, low: 0}\n"
    )
    (tmp_path / "two.yaml").write_text("variables: {jet_pt: jet_pt - low}\ncollections: {jet: {first: 7}}\n")
    arguments = ["a.root", "-v", "one.yaml", "-v", "two.yaml", "--define", "mass=600", "--define", "low=nJets"]
    done = run_script("dataset/convert.py", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = table(tmp_path / "store.h5")
    assert found["mass"].tolist() == [600] * 4
    assert found["jet_pt_7"].tolist() == [47, 0, 88, 20]
    for options, message in (
        (["-v", "one.yaml", "-v", "two.yaml", "--define", "low"], "--define: 'low' is not NAME=FORMULA, e.g."),
        (["-v", "one.yaml", "-v", "bad.yaml"], "one.yaml + bad.yaml: collections.jet: unknown key 'frist'"),
        (["-v", "one.yaml", "-v", "list.yaml"], "list.yaml: holds a list, not keys with values"),
        (["-v", "one.yaml", "-v", "twice.yaml"], "twice.yaml: variables: named twice: 'x'"),
    ):
        (tmp_path / "bad.yaml").write_text("collections: {jet: {frist: 7}}\n")
        (tmp_path / "list.yaml").write_text("[x, y]\n")
        (tmp_path / "twice.yaml").write_text("features: [x, x]\n")
        done = run_script("dataset/convert.py", "a.root", *options, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(f"convert.py: {message}")


def test_the_documented_config(project: Path) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (project / "docs" / "converting.md").read_text(), re.DOTALL)
    config = load_config(yaml.safe_load(text), ConversionConfig)
    assert list(config.variables)[-2:] == ["jet_e_over_pt", "el_pt"]
    assert config.collections["jet"].sort == ["jet_tagWeightBin_DL1r_Continuous", "jet_pt"]
