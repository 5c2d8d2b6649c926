"""Tables joined by keys: a dictionary of Python's own integers says what belongs together."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

import ntupleml
from ntupleml.cli import main
from ntupleml.datasets.joining import Joined, join
from ntupleml.errors import NtuplemlError
from ntupleml.events.keys import KeyIndex, exact_integers
from ntupleml.ntuples import reading

if TYPE_CHECKING:
    from pathlib import Path

    Columns = dict[str, Any]

TREE = "folder/t"
#: Neighbours that are one float64, and numbers that need the last bit of 64.
LARGE = [2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
KINDS = {"TTree": "root", "RNTuple": "root", "HDF5": "h5", "Parquet": "parquet"}
NUMPY_TYPES = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]


def jagged(rows: list[list[float]], kind: str = "f4") -> ak.Array:
    return ak.values_astype(ak.Array([*rows, [0]])[:-1], np.dtype(kind))


def write(path: Path, columns: Columns, kind: str = "") -> Path:
    """One table; lists are awkward arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".root":
        with uproot.recreate(path) as file:
            if kind == "RNTuple":
                new = file.mkrntuple(TREE, {name: ak.Array(column)[:0] for name, column in columns.items()})
                new.extend({name: ak.Array(column) for name, column in columns.items()})
            else:
                types = {
                    name: np.dtype((column.dtype, column.shape[1:])) if isinstance(column, np.ndarray) else column.type
                    for name, column in columns.items()
                }
                file.mktree(TREE, types).extend(columns)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table({name: arrow(column) for name, column in columns.items()}), path)
    else:
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                if isinstance(column, np.ndarray):
                    file.create_dataset(f"{TREE}/{name}", data=column)
                    continue
                lists = file.create_dataset(f"{TREE}/{name}", len(column), h5py.vlen_dtype(column.layout.content.dtype))
                for row, values in enumerate(column.to_list()):
                    lists[row] = values
    return path


def arrow(column: Any) -> pa.Array:
    if not isinstance(column, np.ndarray):
        return ak.to_arrow(column, extensionarray=False, list_to32=True)
    array = pa.array(column.reshape(-1))
    for length in column.shape[:0:-1]:
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


def content(path: Path, tree: str = TREE) -> dict[str, list[Any]]:
    """All columns as Python has them."""
    if path.suffix == ".root":
        with uproot.open(path) as file:
            arrays = file[tree].arrays()
            return {name: arrays[name].to_list() for name in arrays.fields}
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    with h5py.File(path) as file:
        return {name: np.asarray(column[:]).tolist() for name, column in file[tree].items()}


def plain(value: Any) -> Any:
    """Lists, where a library gives arrays in them."""
    return [plain(one) for one in value] if isinstance(value, list | np.ndarray) else value


def events(rows: int = 40) -> tuple[Columns, Columns]:
    """Two tables of the same keys, in other orders; the columns of the second are formulas of its row."""
    random = np.random.default_rng(3)
    event = np.array([*LARGE, *random.integers(0, 2**62, rows - len(LARGE))], np.uint64)
    keys = {"run": (np.arange(rows) % 3).astype("i4"), "event": event}
    k = random.permutation(rows)
    right = {
        "event": event[k],
        "run": keys["run"][k],
        "score": (k / 8).astype("f4"),
        "bits": (k + 2**53 + 1).astype("i8"),
        "passed": k % 2 == 1,
        "jet_pt": jagged([[one / 2.0] * (one % 3) for one in k.tolist()]),
        "xyz": (k[:, None] + np.arange(3)).astype("f8"),
        "image": (k[:, None, None] + np.arange(6).reshape(2, 3)).astype("i2"),
    }
    return {**keys, "row": np.arange(rows)}, right


@pytest.mark.parametrize("right_kind", KINDS)
@pytest.mark.parametrize("left_kind", KINDS)
def test_every_pair_of_formats(
    left_kind: str, right_kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In chunks of 7 rows; each output holds keys and columns of each row, in the order of the left table."""
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", 7)
    rows, partners = events()
    left = write(tmp_path / f"left.{KINDS[left_kind]}", rows, left_kind)
    right = write(tmp_path / f"right.{KINDS[right_kind]}", partners, right_kind)
    named = {name: plain(column.tolist()) for name, column in partners.items()}
    of_key = {key: place for place, key in enumerate(zip(named["run"], named["event"], strict=True))}
    keys = list(zip(rows["run"].tolist(), rows["event"].tolist(), strict=True))
    expected = {name: [column[of_key[key]] for key in keys] for name, column in named.items()}
    for ending in ("root", "h5", "parquet"):
        output = tmp_path / f"joined.{ending}"
        assert join(left, right, output, ["run", "event"]) == Joined(40, 0, 0)
        group = "events" if left_kind == "Parquet" else TREE
        found = content(output, {"Parquet": "left", "HDF5": "t"}.get(left_kind, TREE) if ending == "root" else group)
        assert {name for name in found if not name.startswith("njet_pt")} == set(expected)  # lengths of lists
        assert list(found)[:2] == ["run", "event"]
        for name, values in expected.items():
            assert plain(found[name]) == values, name


INTEGERS = st.one_of(st.integers(-(2**63), 2**64 - 1), st.integers(-2, 2), st.sampled_from([*LARGE, -(2**63), -1]))


@given(data=st.data())
def test_keys_are_found_as_by_a_dictionary(data: st.DataObject) -> None:
    """Of every type, with values at its ends; equal are what are equal as integers of any size."""
    width = data.draw(st.integers(1, 3))
    tables = []
    for _ in range(2):
        types = [np.dtype(data.draw(st.sampled_from(NUMPY_TYPES))) for _ in range(width)]
        number = data.draw(st.integers(0, 12))
        columns = []
        for dtype in types:
            low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            values = data.draw(st.lists(INTEGERS, min_size=number, max_size=number))
            columns.append(np.array([min(max(value, low), high) for value in values], dtype))
        tables.append((types, columns))
    (types, right), (_, left) = tables
    last = data.draw(st.booleans())
    index = KeyIndex(len(right[0]), types)
    index.add([exact_integers(column, "right") for column in right])
    repeated = index.finish(last=last)
    of_key: dict[tuple[int, ...], int] = {}
    places: list[tuple[int, int]] = []
    for row, key in enumerate(zip(*(column.tolist() for column in right), strict=True)):
        if key in of_key:
            places.append((row, of_key[key]))
        if last or key not in of_key:
            of_key[key] = row
    assert repeated == (len(places), *(places[0] if places else (-1, -1)))
    wanted = zip(*(column.tolist() for column in left), strict=True)
    found = index.find([exact_integers(column, "left") for column in left])
    assert found.tolist() == [of_key.get(key, -1) for key in wanted]


def test_a_sign_is_no_bit_of_a_number(tmp_path: Path) -> None:
    """−1 and 2⁶⁴ − 1 have the same bits; so have −2⁶³ and 2⁶³."""
    left = write(tmp_path / "left.h5", {"event": np.array([-1, -(2**63), 2**63 - 1])})
    right = write(tmp_path / "right.h5", {"event": np.array([2**64 - 1, 2**63, 2**63 - 1], np.uint64)})
    join(left, right, tmp_path / "joined.h5", ["event"], [], found="found")
    assert content(tmp_path / "joined.h5")["found"] == [False, False, True]


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("f8", 2.0**53, "9007199254740992.0 of entry 1 is rounded, as float64 is from 9007199254740992 on"),
        ("f4", 2.0**24, "16777216.0 of entry 1 is rounded, as float32 is from 16777216 on"),
        ("f8", 0.5, "0.5 of entry 1 is no whole number"),
        ("f8", math.nan, "nan of entry 1 is no whole number"),
    ],
)
def test_floats_are_keys_as_long_as_they_are_exact(dtype: str, value: float, message: str, tmp_path: Path) -> None:
    exact = np.array([value, value - 1], dtype) if value > 1 else None
    right = write(tmp_path / "right.h5", {"event": np.arange(3), "x": np.arange(3.0)})
    if exact is not None:
        last = write(tmp_path / "last.h5", {"event": exact[1:]})
        of_last = write(tmp_path / "of_last.h5", {"event": np.array([int(value) - 1]), "x": np.array([7.0])})
        join(last, of_last, tmp_path / "joined.h5", ["event"])
        assert content(tmp_path / "joined.h5")["x"] == [7.0]
    left = write(tmp_path / "left.h5", {"event": np.array([1, value], dtype)})
    with pytest.raises(NtuplemlError, match=rf"left.h5: branch 'event': {message}; a key is made of integers"):
        join(left, right, tmp_path / "a.h5", ["event"])


@pytest.fixture
def some(tmp_path: Path) -> tuple[Path, Path]:
    """Events 1 to 5, and partners of 5, 3, 1, 3."""
    left = write(tmp_path / "left.root", {"n": np.arange(1, 6), "x": np.arange(5.0), "event": np.arange(5)})
    partners = {
        "n": np.array([5, 3, 1, 3], np.uint64),
        "f": np.array([50, 30, 10, 31], "f4"),
        "i": np.array([5, 3, 1, 4], "i2"),
        "b": np.array([True, True, True, False]),
        "l": jagged([[5.0], [3.0, 3.0], [], [4.0]]),
        "a": np.arange(8.0).reshape(4, 2),
    }
    return left, write(tmp_path / "right.parquet", partners)


@pytest.mark.parametrize(("duplicates", "third"), [("first", [30.0, 3, True]), ("last", [31.0, 4, False])])
@pytest.mark.parametrize(
    ("columns", "unmatched", "filled"),
    [
        (["f", "l", "a"], "nan", {"f": math.nan, "l": [], "a": [math.nan] * 2}),
        (["*"], 1, {"f": 1.0, "i": 1, "b": True, "l": [], "a": [1.0, 1.0]}),
        (["*", "!b", "!l"], -999, {"f": -999.0, "i": -999, "a": [-999.0] * 2}),
        ({"new": "f", "i": "i"}, 2**15 - 1, {"new": 32767.0, "i": 2**15 - 1}),
        (["f", "i", "l"], "drop", {}),
    ],
)
def test_what_is_asked_for(
    columns: Any,
    unmatched: Any,
    filled: dict[str, Any],
    duplicates: str,
    third: list[Any],
    some: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Rows 2 and 4 have no partner, row 3 has two; all are counted."""
    output = some[0].parent / "out" / "joined.parquet"
    done = join(*some, output, ["n"], columns, unmatched=unmatched, duplicates=duplicates, keep=["x"])
    found = content(output)
    kept = [1, 3, 5] if unmatched == "drop" else [1, 2, 3, 4, 5]
    assert done == Joined(len(kept), 2, 1)
    assert (found["n"], found["x"]) == (kept, [one - 1.0 for one in kept])
    of_event = {
        "f": {1: 10.0, 3: third[0], 5: 50.0},
        "i": {1: 1, 3: third[1], 5: 5},
        "b": {1: True, 3: third[2], 5: True},
    }
    of_event["l"] = {1: [], 3: [3.0, 3.0] if duplicates == "first" else [4.0], 5: [5.0]}
    of_event["a"] = {1: [4.0, 5.0], 3: [2.0, 3.0] if duplicates == "first" else [6.0, 7.0], 5: [0.0, 1.0]}
    of_event["new"] = of_event["f"]
    names = list(filled) or columns
    assert set(found) == {"n", "x", *names}
    for name in names:
        expected = [of_event[name].get(one, filled.get(name)) for one in kept]
        assert repr(found[name]) == repr(expected), name  # nan is nan
    assert "2 rows have no partner" in caplog.text
    assert f"1 rows have a key that an earlier row has; the {duplicates} row of a key is taken" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "right.parquet: 1 rows have a key that an earlier row has, first n = 3 in entry 3, as in entry 1; give "),
        ({"duplicates": "first"}, "left.root: 2 of 5 rows have no partner, first n = 2 in entry 1; give --unmatched"),
        (
            {"unmatched": "nan"},
            "unmatched: column 'i' holds int16, which has no NaN; give a number, drop, or other columns",
        ),
        ({"unmatched": 2**15}, "unmatched: 32768 does not fit into column 'i', which holds int16"),
        ({"unmatched": 0.5}, "unmatched: 0.5 does not fit into column 'i', which holds int16"),
        ({"unmatched": -1}, "unmatched: -1 does not fit into column 'b', which holds bool"),
        ({"unmatched": 1e39}, "unmatched: 1e[+]39 does not fit into column 'f', which holds float32"),
        ({"unmatched": 10**400}, "does not fit into column 'f', which holds float32"),
        (
            {"unmatched": "drop", "output": "a.root"},
            "a.root: a friend has an entry for each row, so none can be dropped",
        ),
        ({"unmatched": "zero"}, "unmatched: found 'zero'; give nan, drop or a number"),
        ({"duplicates": "any"}, "duplicates: found 'any'; give first or last"),
        ({"keys": []}, "keys: none is given"),
        ({"keys": ["m"]}, "keys: no branch 'm' in tree 'folder/t' of .*left.root; there are: 'n', 'x', 'event'"),
        ({"keys": ["x"]}, "keys: no branch 'x' in .*right.parquet; there are"),
        ({"keys": {"n": "l"}}, "keys: branch 'l' of .*right.parquet is of type .*; one integer per row is needed"),
        ({"columns": ["ff"]}, "columns: 'ff' matches no branch in .*right.parquet; nearest: 'f'"),
        ({"columns": ["!g*"]}, r"columns: '!g\*' matches no branch"),
        ({"columns": {"x": "f"}, "keep": ["x"]}, "columns: two would be called 'x'; give one another name"),
        ({"columns": ["n"]}, "columns: two would be called 'n'; give one another name"),
        ({"columns": ["!*"]}, "columns: .*right.parquet has none besides the keys"),
        ({"keep": ["y*"]}, r"keep: 'y\*' matches no branch in tree"),
        ({"found": "f", "columns": ["f"]}, "columns: two would be called 'f'"),
        ({"output": "left.root"}, "left.root: is read, so it cannot be written"),
        ({"output": "a.csv"}, r"a.csv: the name of a table ends in .h5"),
        ({"tree": "folder/u"}, "no tree 'folder/u'"),
        ({"right": []}, "right: no table is given"),
    ],
)
def test_what_is_refused(options: Columns, message: str, some: tuple[Path, Path]) -> None:
    """In one line, and nothing is written."""
    folder = some[0].parent
    given_options = {"keys": ["n"], "right": some[1], "output": "joined.h5", **options}
    if "duplicates" not in options and message.startswith(("columns: two", "keep")):
        given_options["duplicates"] = "first"
    output = folder / given_options.pop("output")
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(NtuplemlError, match=message) as error:
        join(some[0], given_options.pop("right"), output, given_options.pop("keys"), **given_options)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_several_files_are_one_table(tmp_path: Path) -> None:
    """Keys are repeated across files, too; files of other columns are refused."""
    left = write(tmp_path / "left.parquet", {"n": np.array([4, 1, 3])})
    for place, numbers in enumerate(([1, 2], [3], [4, 1])):
        write(tmp_path / f"right{place}.h5", {"n": np.array(numbers), "x": np.array(numbers) / 2})
    assert join(left, tmp_path / "right[01].h5", tmp_path / "a.h5", ["n"], unmatched=9) == Joined(3, 1, 0)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["events/x"][:].tolist() == [9, 0.5, 1.5]
        record = json.loads(file["events"].attrs["ntupleml"])
    assert [one["entries"] for one in record["right"]] == [2, 1]
    assert (record["kind"], record["keys"], record["unmatched"]) == ("join", {"n": "n"}, 9)
    with pytest.raises(
        NtuplemlError, match=r"right2.h5: 1 rows .* n = 1 in entry 1, as in entry 0 of tree 'folder/t' of .*right0.h5"
    ):
        join(left, tmp_path / "right?.h5", tmp_path / "b.h5", ["n"])
    other = write(tmp_path / "other.h5", {"n": np.array([7]), "x": np.array([7], "f4")})
    with pytest.raises(NtuplemlError, match=r"other.h5: column 'x' is float32, but in .*right0.h5 float64"):
        join(left, [tmp_path / "right0.h5", other], tmp_path / "b.h5", ["n"])
    unsigned = write(tmp_path / "unsigned.h5", {"n": np.array([7], "u8"), "x": np.array([7.0])})
    with pytest.raises(NtuplemlError, match=r"unsigned.h5: the keys are uint64, but in .*right0.h5 int64"):
        join(left, [tmp_path / "right0.h5", unsigned], tmp_path / "b.h5", ["n"])
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize("empty", ["left", "right"])
@pytest.mark.parametrize("ending", ["root", "h5", "parquet"])
def test_tables_without_rows(empty: str, ending: str, tmp_path: Path) -> None:
    rows = {"left": 2, "right": 2, empty: 0}
    left = write(tmp_path / "left.h5", {"n": np.arange(rows["left"])})
    right = write(tmp_path / "right.h5", {"n": np.arange(rows["right"]), "x": np.ones(rows["right"])})
    assert join(left, right, tmp_path / f"a.{ending}", ["n"], unmatched="nan").rows == rows["left"]
    found = content(tmp_path / f"a.{ending}", "t" if ending == "root" else TREE)
    assert repr(found["x"]) == repr([math.nan] * rows["left"])


def test_rows_of_a_training_are_cut_from_an_evaluation(tmp_path: Path) -> None:
    """The command writes a friend that says which rows have a partner; a cut of the dataset stage takes the others."""
    rows, partners = events()
    write(tmp_path / "data.root", {**rows, "weight": np.ones(40)})
    used = np.flatnonzero(partners["run"] == 1)
    numbers = {"RunNumber": partners["run"][used], "EventNumber": partners["event"][used]}
    with uproot.recreate(tmp_path / "used.root") as file:
        for place, tree in enumerate(("a", "b")):
            half = {name: column[place::2] for name, column in numbers.items()}
            file.mktree(tree, {name: column.dtype for name, column in half.items()}).extend(half)
    arguments = ["-k", "run=RunNumber", "-k", "event=EventNumber", "--found", "in_training"]
    arguments += ["--right-tree", "a", "--right-tree", "b"]
    friend = tmp_path / "friends" / "keys" / "data.root"
    line = ["join", str(tmp_path / "data.root"), str(tmp_path / "used.root"), *arguments, "-o", str(friend)]
    assert main(line) == 0
    assert main(line) == 2  # exists
    assert main([*line, "--overwrite"]) == 0
    ntupleml.create_datasets(
        {
            "output_path": tmp_path,
            "output_filename": "rest.root",
            "base_path": tmp_path,
            "friend_paths": [tmp_path / "friends" / "keys"],
            "tree_path": TREE,
            "event_branch": "row",
            "processes": {"a": {"files": ["data.root"], "cut_string": "!in_training", "weight_string": "weight"}},
        }
    )
    left = [event for fold in (0, 1) for event in content(tmp_path / f"fold{fold}_rest.root", "a")["event"]]
    trained_on = set(numbers["EventNumber"].tolist())
    assert set(left) == set(rows["event"].tolist()) - trained_on
    assert len(left) == 40 - len(trained_on)


@pytest.mark.parametrize("number", ["9007199254740993", "-9007199254740993"])
def test_the_command_keeps_all_digits_of_a_number(number: str, tmp_path: Path) -> None:
    left = write(tmp_path / "left.h5", {"n": np.array([1, 2])})
    right = write(tmp_path / "right.h5", {"n": np.array([2]), "mu": np.array([2**53 + 3])})
    output = tmp_path / "a.h5"
    assert main(["join", str(left), str(right), "-k", "n", "--unmatched", number, "-o", str(output)]) == 0
    assert content(output)["mu"] == [int(number), 2**53 + 3]


def test_the_command_says_what_unmatched_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["join", "a.h5", "b.h5", "-k", "n", "-o", "c.h5", "--unmatched", "zero"])
    assert status.value.code == 2
    assert "'zero' is neither nan, drop nor a number" in capsys.readouterr().err
