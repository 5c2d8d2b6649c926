"""The same table in a TTree, an RNTuple, an HDF5 file and a Parquet file is read alike; what is wrong is one line."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import Ntuple, open_ntuple
from ntupleml.ntuples.inspection import inspect_tree, list_trees
from ntupleml.ntuples.sources import as_numpy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Table = dict[str, Any]


def table(rows: int) -> Table:
    """Numbers of every type, lists, arrays of fixed shape, and names that need care, as formulas of the row."""
    k = np.arange(rows)
    numbers: Table = {kind: (k % 100).astype(kind) for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")}
    numbers["u8"] += np.uint64(2**64 - 200)
    numbers["i8"] += 2**53 + 1
    offsets = np.concatenate([[0], np.cumsum(k % 4)])
    content = np.arange(offsets[-1], dtype="f4") / 2
    jagged = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), ak.contents.NumpyArray(content)))
    return {
        **numbers,
        "f4": np.where(k % 7 == 3, np.nan, 0.5 * k).astype("f4"),
        "f8": 0.1 * k,
        "flag": k % 2 == 1,
        "jagged": jagged,
        "fixed": (np.arange(3) + k[:, None]).astype("f4"),
        "image": (np.arange(6).reshape(2, 3) + 10 * k[:, None, None]).astype("f4"),
        "cube": (np.arange(24).reshape(2, 3, 4) - k[:, None, None, None]).astype("i4"),
        "class": k.astype("f8"),
        "pτ": 2.0 * k,
        "Name": k.astype("i4"),
        "name": -k.astype("i4"),
    }


def write_ttree(path: Path, columns: Table) -> None:
    with uproot.recreate(path) as file:
        types = {
            name: "var * float32" if name == "jagged" else np.dtype((column.dtype, column.shape[1:]))
            for name, column in columns.items()
        }
        tree = file.mktree("folder/t", types)
        for start in range(0, len(columns["i8"]), 40):
            tree.extend({name: column[start : start + 40] for name, column in columns.items()})


def write_rntuple(path: Path, columns: Table) -> None:
    with uproot.recreate(path) as file:
        ntuple = file.mkrntuple("folder/t", {name: ak.Array(column)[:0] for name, column in columns.items()})
        for start in range(0, len(columns["i8"]), 40):
            ntuple.extend({name: ak.Array(column[start : start + 40]) for name, column in columns.items()})


def write_hdf5(path: Path, columns: Table) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("folder/t")
        for index, (name, column) in enumerate(columns.items()):
            if name == "jagged":
                dataset = group.create_dataset(name, len(column), h5py.vlen_dtype("f4"))
                for row, values in enumerate(column.to_list()):
                    dataset[row] = values
            else:
                chunks = (17, *column.shape[1:]) if index % 2 and len(column) > 17 else None
                group.create_dataset(name, data=column, chunks=chunks, compression="gzip" if chunks else None)


def arrow(column: Any) -> pa.Array:
    if not isinstance(column, np.ndarray):
        return pa.array(column.to_list(), pa.list_(pa.float32()))
    array = pa.array(column.reshape(-1))
    for length in reversed(column.shape[1:]):
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


def write_parquet(path: Path, columns: Table) -> None:
    whole = pa.table({name: arrow(column) for name, column in columns.items()})
    pq.write_table(whole, path, row_group_size=40)


WRITERS: dict[str, Callable[[Path, Table], None]] = {
    "TTree": write_ttree,
    "RNTuple": write_rntuple,
    "HDF5": write_hdf5,
    "Parquet": write_parquet,
}
FILES = {"TTree": "a.root", "RNTuple": "a.root", "HDF5": "a.h5", "Parquet": "a.parquet"}


def written(kind: str, folder: Path, rows: int) -> Path:
    WRITERS[kind](folder / FILES[kind], table(rows))
    return folder / FILES[kind]


def read(ntuple: Ntuple, names: list[str], step: int | None) -> Table:
    chunks = list(ntuple.chunks(names, step))
    assert [chunk.start for chunk in chunks] == [0, *(chunk.stop for chunk in chunks[:-1])][: len(chunks)]
    assert all(len(column) == chunk.num_rows for chunk in chunks for column in chunk.columns.values())
    return {
        name: (np.concatenate if isinstance(chunks[0].columns[name], np.ndarray) else ak.concatenate)(
            [chunk.columns[name] for chunk in chunks]
        )
        for name in names
    }


@pytest.mark.parametrize("step", [None, 1000, 40, 39, 7])
@pytest.mark.parametrize(("kind", "rows"), [(kind, rows) for kind in WRITERS for rows in (150, 1)])
def test_every_kind_gives_the_same_columns(kind: str, rows: int, step: int | None, tmp_path: Path) -> None:
    expected = table(rows)
    with open_ntuple(written(kind, tmp_path, rows), "folder/t") as ntuple:
        assert (ntuple.kind, ntuple.num_entries) == (kind, rows)
        assert set(expected) <= set(ntuple.main_branches)
        found = read(ntuple, list(expected), step)
        branches = ntuple.branches
    for name, column in found.items():
        if name in ("jagged", "fixed"):
            assert branches[name].kind == "vector"
            assert branches[name].length == (None if name == "jagged" else 3)
            assert column.layout.purelist_isregular == (name == "fixed")
            assert ak.to_list(column) == expected[name].tolist()
            assert as_numpy(column).dtype == np.float32
        else:
            assert isinstance(column, np.ndarray)
            assert branches[name].shape == expected[name].shape[1:]
            assert branches[name].dtype == column.dtype == expected[name].dtype
            np.testing.assert_array_equal(column, expected[name])


def test_small_clusters_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever uproot reads of an RNTuple, it looks at all clusters: thousands of one entry each took minutes."""
    read_at_once: list[tuple[int, int]] = []
    array = uproot.models.RNTuple.RField.array

    def counted(self: Any, *, entry_start: int, entry_stop: int) -> Any:
        read_at_once.append((entry_start, entry_stop))
        return array(self, entry_start=entry_start, entry_stop=entry_stop)

    monkeypatch.setattr(uproot.models.RNTuple.RField, "array", counted)
    with open_ntuple(written("RNTuple", tmp_path, 390), "folder/t") as ntuple:  # clusters of 40
        assert [len(chunk.columns["i8"]) for chunk in ntuple.chunks(["i8"], 130)] == [130, 130, 130]
    assert read_at_once == [(0, 120), (120, 240), (240, 360), (360, 390)]


@pytest.mark.parametrize("kind", WRITERS)
def test_an_empty_table_has_columns_and_no_chunks(kind: str, tmp_path: Path) -> None:
    with open_ntuple(written(kind, tmp_path, 0), "folder/t") as ntuple:
        assert ntuple.num_entries == 0
        assert ntuple.branches["image"].shape == (2, 3)
        assert list(ntuple.chunks(["i8", "jagged", "image"])) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_ranges_and_contents(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path, 150)
    (tree,) = list_trees(path)
    name = {"HDF5": "folder/t", "Parquet": "a"}.get(kind, "folder/t")
    assert (tree.tree_path, tree.kind, tree.num_entries) == (name, kind, 150)
    contents = {one.branch.name: one for one in inspect_tree(path, tree.tree_path)}
    expected = {name: as_numpy(column) for name, column in table(150).items()}
    for name, numbers in expected.items():
        content = contents[name]
        is_nan = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(len(numbers), bool)
        assert (content.num_values, content.num_nan) == (len(numbers), is_nan.sum())
        assert (content.minimum, content.maximum) == (numbers[~is_nan].min(), numbers[~is_nan].max())
    assert "[2][3]" in contents["image"].branch.type_name or "array" in contents["image"].branch.type_name


def test_compound_and_other_datasets_of_hdf5(tmp_path: Path) -> None:
    """Fields are columns, with the short names of collections; what is no column of numbers is left alone."""
    kind = np.dtype([("pt", ">f4"), ("hits", "i2", (2,)), ("vertex", [("z", "f8")]), ("label", h5py.string_dtype())])
    jets = np.zeros((3, 4), kind)
    jets["pt"] = np.arange(12).reshape(3, 4)
    jets["hits"] = np.arange(24).reshape(3, 4, 2)
    jets["vertex"]["z"] = -jets["pt"]
    jets["label"] = b"a"
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=512) as file:
        file["jets"] = jets
        file["half"] = np.arange(3, dtype="f2")
        file["enum"] = np.arange(3, dtype="u1").astype(h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, "u1"))
        file["version"] = 7
        file["nothing"] = h5py.Empty("f4")
        file["words"] = ["a", "b", "c"]
        file["complex"] = np.zeros(3, "c16")
        file["lost"] = h5py.SoftLink("/not/there")
        file.create_group("other")["x"] = np.zeros(5)
    with open_ntuple(tmp_path / "a.h5", "") as ntuple:
        kinds = {name: ntuple.branches[name].kind for name in ntuple.main_branches}
        (chunk,) = ntuple.chunks(["jets_pt", "jets.hits", "z", "half", "enum"])
        with pytest.raises(NtuplemlError, match=r"branch 'words' of group '/' of .*a.h5 is of type text, which holds"):
            ntuple.require(["words"])
        with pytest.raises(NtuplemlError, match=r"branch 'lost' of .* cannot be read: HDF5 cannot follow it"):
            ntuple.require(["lost"])
    assert kinds == {
        "jets.pt": "vector",
        "jets.hits": "array",
        "jets.vertex.z": "vector",
        "jets.label": "other",
        "half": "scalar",
        "enum": "scalar",
        "words": "other",
        "complex": "other",
        "lost": "other",
    }
    assert chunk.columns["jets_pt"].to_list() == jets["pt"].tolist()
    assert chunk.columns["z"].to_list() == (-jets["pt"]).tolist()
    np.testing.assert_array_equal(chunk.columns["jets.hits"], jets["hits"])
    assert chunk.columns["half"].dtype == np.float32
    assert chunk.columns["enum"].tolist() == [0, 1, 2]
    assert [tree.tree_path for tree in list_trees(tmp_path / "a.h5")] == ["/", "other"]


def test_records_lists_and_missing_values_of_parquet(tmp_path: Path) -> None:
    columns = {
        "met": pa.array([{"pt": 1.0, "n": 1}, {"pt": None, "n": 2}, None]),
        "Jet": pa.array(
            [[{"pt": 40.0, "id": 1}, {"pt": 20.0, "id": 2}], [], [{"pt": None, "id": 3}]],
            pa.list_(pa.struct([("pt", pa.float32()), ("id", pa.int32())])),
        ),
        "integer": pa.array([1, None, 3], pa.int16()),
        "word": pa.array(["a", "b", None]),
        "chosen": pa.array([5.0, 6.0, 5.0]).dictionary_encode(),
        "nested": pa.array([[[1.0]], [], [[], [2.0]]]),
        "map": pa.array([[("a", 1)], [], []], pa.map_(pa.string(), pa.int8())),
        "lists": pa.array([[1.0], None, [2.0]]),
        "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12, dtype="f4").reshape(3, 2, 2)),
        "when": pa.array([0, 1, 2], pa.timestamp("s")),
        "last": pa.array([True, False, True]),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with open_ntuple(tmp_path / "a.parquet", "anything") as ntuple:
        kinds = {name: ntuple.branches[name].kind for name in ntuple.main_branches}
        names = ["met.pt", "Jet_pt", "Jet.id", "chosen", "tensor", "last"]
        for step in (None, 2):
            found = read(ntuple, names, step)
            np.testing.assert_array_equal(found["met.pt"], [1.0, np.nan, np.nan])
            np.testing.assert_array_equal(ak.flatten(found["Jet_pt"]), np.array([40, 20, np.nan], "f4"))
            assert ak.to_list(found["Jet.id"]) == [[1, 2], [], [3]]
            assert found["chosen"].tolist() == [5.0, 6.0, 5.0]
            assert found["tensor"].tolist() == np.arange(12).reshape(3, 2, 2).tolist()
            assert found["last"].tolist() == [True, False, True]
    assert {name for name, kind in kinds.items() if kind == "other"} == {"word", "nested", "map", "when"}
    contents = {one.branch.name: one for one in inspect_tree(tmp_path / "a.parquet", "")}
    assert contents["last"].num_values == 3
    for name, text in (
        ("integer", "1 values are missing"),
        ("met.n", "missing"),
        ("lists", "1 of its lists are missing"),
    ):
        assert text in str(contents[name].problem)
        message = failure(tmp_path / "a.parquet", "", [name])
        assert message.startswith(
            f"{tmp_path / 'a.parquet'}: branch '{name}' cannot be read at entries 0 and following"
        )


def test_a_column_called_like_a_field_of_a_record_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([{"b": 1.0}]), "a.b": pa.array([2.0])}), tmp_path / "a.parquet")
    assert "has several branches 'a.b'" in failure(tmp_path / "a.parquet", "", ["a.b"])


def failure(path: Path | str, tree_path: str, names: list[str]) -> str:
    with pytest.raises(NtuplemlError) as caught, open_ntuple(path, tree_path) as ntuple:
        for _ in ntuple.chunks(names):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_datasets_of_different_lengths(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"], file["g/z"] = np.zeros(3), np.zeros(4), np.zeros(5)
        file.create_group("none/deeper")
    message = failure(tmp_path / "a.h5", "/", [])
    assert message.startswith(f"group '/' of {tmp_path / 'a.h5'}: dataset 'x' has 3 entries, but 'y' has 4; ")
    assert "holds no datasets of one number or more per entry, but groups: 'deeper'" in failure(
        tmp_path / "a.h5", "none", []
    )
    assert [tree.problem is None for tree in list_trees(tmp_path / "a.h5")] == [True, False]


@pytest.mark.parametrize(
    ("tree_path", "names", "words"),
    [
        ("folder/tt", [], "a.h5: no group 'folder/tt'; nearest: 'folder/t'"),
        ("folder/t/f4", [], "a.h5: 'folder/t/f4' is a dataset; give the group that holds it, '/folder/t'"),
        ("folder/t", ["imag"], "no branch 'imag' in group 'folder/t' of "),
        ("folder/t", ["imag"], "nearest: 'image'"),
    ],
)
def test_what_is_not_there(tmp_path: Path, tree_path: str, names: list[str], words: str) -> None:
    assert words in failure(written("HDF5", tmp_path, 10), tree_path, names)


@pytest.mark.parametrize("kind", ["HDF5", "Parquet"])
def test_half_a_copy_is_found_before_anything_is_read(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path, 150)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert f"{path}: cannot be read: " in failure(path, "folder/t", [])
    assert failure(path, "folder/t", []).endswith("the file is damaged or incomplete; copy or make it anew")


@pytest.mark.parametrize("kind", ["HDF5", "Parquet"])
def test_damaged_bytes_name_the_branch(kind: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(size=(3, 10_000))
    path = tmp_path / FILES[kind]
    if kind == "HDF5":
        with h5py.File(path, "w") as file:
            for name, column in zip("xyz", noise, strict=True):
                file.create_dataset(name, data=column, compression="gzip")
    else:
        pq.write_table(pa.table(dict(zip("xyz", noise, strict=True))), path, use_dictionary=False, compression="gzip")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    assert "branch 'y' cannot be read at entries " in failure(path, "", ["x", "y", "z"])
    contents = {one.branch.name: one for one in inspect_tree(path, "")}
    assert "damaged" in str(contents["y"].problem)
    assert contents["z"].num_values == 10_000


def test_addresses_are_of_root_files(tmp_path: Path) -> None:
    expected = "root://host//a.parquet: Parquet files are read from disks only, ROOT files from addresses too; copy it"
    assert failure("root://host//a.parquet", "", []) == expected
    (tmp_path / "a.parquet").write_text("neither ROOT nor HDF5 nor Parquet")
    assert (
        failure(tmp_path / "a.parquet", "", [])
        == f"{tmp_path / 'a.parquet'}: is not the Parquet file that its name says"
    )


def test_parquet_without_pyarrow_is_one_line(tmp_path: Path) -> None:
    path = written("Parquet", tmp_path, 1)
    code = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from ntupleml.ntuples import open_ntuple\n"
        "with open_ntuple(sys.argv[1], ''): pass"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    expected = f"{path}: Parquet files need pyarrow, which is not installed; run pip install 'ntupleml[parquet]'"
    assert done.stderr.strip().endswith(expected)


@pytest.mark.parametrize("kind", ["HDF5", "Parquet"])
def test_memory_does_not_grow_with_the_file(kind: str, tmp_path: Path) -> None:
    """64 MB in four columns, in one row group of a Parquet file, are read a twentieth at a time."""
    column = np.random.default_rng(0).integers(0, 9, 2_000_000).astype("f8")
    path = tmp_path / FILES[kind]
    names = ["a", "b", "c", "d"]
    if kind == "HDF5":
        with h5py.File(path, "w") as file:
            for name in names:
                file.create_dataset(name, data=column, chunks=(100_000,), compression="lzf")
    else:
        pq.write_table(pa.table(dict.fromkeys(names, column)), path, use_dictionary=False, row_group_size=2_000_000)
    code = (
        "import resource, sys\n"
        "from ntupleml.ntuples import open_ntuple\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000\n"
        "with open_ntuple(sys.argv[1], '') as ntuple:\n"
        "    chunks = ntuple.chunks(['a', 'b', 'c', 'd'], 100_000)\n"
        "    next(chunks); start = peak()\n"
        "    print(sum(chunk.columns['a'].sum() for chunk in chunks), peak() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    total, grown = map(float, done.stdout.split())
    assert total == column[100_000:].sum()
    assert grown < 30


def test_chunks_of_images_are_small(tmp_path: Path) -> None:
    """A large image is not read a thousand times at once; numbers alone are."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"], file["x"] = np.zeros((40, 256, 512), "f4"), np.zeros(40)
    with open_ntuple(tmp_path / "a.h5", "") as ntuple:
        assert ntuple.chunk_size(["image"]) == 30
        assert [len(chunk.columns["image"]) for chunk in ntuple.chunks(["image", "x"])] == [30, 10]
        assert ntuple.chunk_size(["x"]) == 100_000
