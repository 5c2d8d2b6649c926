"""What ROOT wrote is read as it was written, in any chunks; what cannot be read is said in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import Ntuple, open_ntuple, root_opinion

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES = np.arange(250)
SCALARS: dict[str, np.ndarray[Any, Any]] = {
    "i1": (ENTRIES % 100 - 50).astype("i1"),
    "u1": ENTRIES.astype("u1"),
    "i2": (-ENTRIES).astype("i2"),
    "u2": (65000 + ENTRIES).astype("u2"),
    "i4": (-100000 * ENTRIES).astype("i4"),
    "u4": (4000000000 + ENTRIES).astype("u4"),
    "i8": (9007199254740993 + 2 * ENTRIES).astype("i8"),
    "u8": np.uint64(18446744073709551000) + ENTRIES.astype("u8"),
    "f4": (0.5 * ENTRIES).astype("f4"),
    "f8": 0.1 * ENTRIES,
    "flag": ENTRIES % 2 == 1,
    "d32": 0.25 * ENTRIES,
    "f16": ENTRIES.astype("f4"),
    "n": (ENTRIES % 4).astype("i4"),
    "pair.x": ENTRIES.astype("f4"),
    "pair.y": (-ENTRIES).astype("i4"),
}
VECTORS: dict[str, list[list[float]]] = {
    "fixed": [[k, k + 1, k + 2] for k in range(250)],
    "variable": [[k - j for j in range(k % 4)] for k in range(250)],
    "vf4": [[0.5 * k] * (k % 3) for k in range(250)],
    "vf8": [[0.1 * k] * (k % 3) for k in range(250)],
    "vi4": [[-k] * (k % 3) for k in range(250)],
    "vi8": [[9007199254740993 + k] * (k % 2) for k in range(250)],
    "vflag": [[k % 2 == 1] * (k % 3) for k in range(250)],
}
MATRIX = np.tile(np.arange(6, dtype="f4").reshape(2, 3), (250, 1, 1))
OTHERS = {"text", "nested", "word", "p4"}


def read(ntuple: Ntuple, names: list[str], entries_per_chunk: int | None = None) -> dict[str, Any]:
    chunks = list(ntuple.chunks(names, entries_per_chunk))
    assert [chunk.start for chunk in chunks[1:]] == [chunk.stop for chunk in chunks[:-1]]
    joined = {}
    for name in names:
        parts = [chunk.columns[name] for chunk in chunks]
        joined[name] = np.concatenate(parts) if isinstance(parts[0], np.ndarray) else ak.concatenate(parts)
    return joined


@pytest.mark.parametrize("entries_per_chunk", [None, 1000, 250, 100, 99, 7])
@pytest.mark.parametrize("file", ["trees.root", "rntuple.root"])
def test_values(root_written: Path, file: str, entries_per_chunk: int | None) -> None:
    with open_ntuple(root_written / file, "mt_nominal/ntuple") as ntuple:
        names = [name for name in ntuple.main_branches if ntuple.branches[name].kind != "other"]
        columns = read(ntuple, names, entries_per_chunk)
    for name, column in columns.items():
        if name in SCALARS or name == "matrix":
            expected_array = SCALARS.get(name, MATRIX)
            assert isinstance(column, np.ndarray)
            assert column.dtype == expected_array.dtype
            assert column.dtype.isnative
            np.testing.assert_array_equal(column, expected_array)
        else:
            expected = VECTORS[name]
            assert column.ndim == 2
            assert column.layout.purelist_isregular == (name == "fixed")  # its length is part of its type
            numbers = np.asarray(ak.flatten(column))
            assert ak.num(column).to_list() == [len(row) for row in expected]
            np.testing.assert_array_equal(numbers, np.array([x for row in expected for x in row], dtype=numbers.dtype))


def test_kinds_of_a_ttree(root_written: Path) -> None:
    with open_ntuple(root_written / "trees.root", "mt_nominal/ntuple") as ntuple:
        kinds = {name: ntuple.branches[name].kind for name in ntuple.main_branches}
        assert ntuple.kind == "TTree"
        assert ntuple.num_entries == 250
        assert ntuple.branches["fixed"].length == 3
        assert ntuple.branches["variable"].length is None
        assert ntuple.branches["matrix"].shape == (2, 3)
    expected = dict.fromkeys(SCALARS, "scalar") | dict.fromkeys(VECTORS, "vector") | dict.fromkeys(OTHERS, "other")
    assert kinds == expected | {"matrix": "array"}


def test_kinds_of_an_rntuple(root_written: Path) -> None:
    with open_ntuple(root_written / "rntuple.root", "mt_nominal/ntuple") as ntuple:
        kinds = {name: branch.kind for name, branch in ntuple.branches.items()}
        assert ntuple.kind == "RNTuple"
        assert ntuple.num_entries == 250
        assert ntuple.branches["fixed"].length == 3
    assert kinds == {
        **dict.fromkeys(["i1", "i4", "u8", "i8", "f4", "f8", "flag"], "scalar"),
        **dict.fromkeys(["vf4", "vi4", "vflag", "fixed"], "vector"),
        **dict.fromkeys(["word", "nested"], "other"),
    }


def test_uuid_is_that_of_the_file(root_written: Path) -> None:
    with open_ntuple(root_written / "trees.root", "mt_nominal/ntuple") as ntuple:
        assert ntuple.uuid == str(uproot.open(root_written / "trees.root").file.uuid)


def test_an_empty_tree_has_no_chunks(root_written: Path) -> None:
    with open_ntuple(root_written / "trees.root", "empty") as ntuple:
        assert ntuple.num_entries == 0
        assert {name: branch.kind for name, branch in ntuple.branches.items()} == {"x": "scalar", "v": "vector"}
        assert list(ntuple.chunks(["x", "v"])) == []


@pytest.mark.parametrize("file", ["trees.root", "rntuple.root"])
@pytest.mark.parametrize("names", [["Entry$"], ["i8", "Entry$", "fixed"]])
def test_entry_numbers_are_a_column(root_written: Path, file: str, names: list[str]) -> None:
    with open_ntuple(root_written / file, "mt_nominal/ntuple") as ntuple:
        columns = read(ntuple, names, 99)
    np.testing.assert_array_equal(columns["Entry$"], ENTRIES)


def test_chunks_without_branches_still_count_entries(root_written: Path) -> None:
    with open_ntuple(root_written / "trees.root", "mt_nominal/ntuple") as ntuple:
        assert [(chunk.start, chunk.stop) for chunk in ntuple.chunks([], 100)] == [(0, 100), (100, 200), (200, 250)]


def test_wide_trees_are_read_in_smaller_chunks(tmp_path: Path) -> None:
    """48 MB in one chunk: 600 branches of 8 bytes are 4800 bytes per entry, so 10,000 entries and no more."""
    with uproot.recreate(tmp_path / "wide.root") as file:
        tree = file.mktree("t", {f"x{i}": "f8" for i in range(600)})
        tree.extend({f"x{i}": np.zeros(12_000) for i in range(600)})
    with open_ntuple(tmp_path / "wide.root", "t") as ntuple:
        names = list(ntuple.branches)
        first = next(ntuple.chunks(names))
        assert 5_000 < first.stop <= 10_000
        assert next(ntuple.chunks(names[:10])).stop == 12_000


def failure(path: Path, tree_path: str, names: tuple[str, ...] = (), **options: Any) -> str:
    with pytest.raises(NtuplemlError) as caught, open_ntuple(path, tree_path, **options) as ntuple:
        for _ in ntuple.chunks(names):
            pass
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_missing_file_names_the_nearest(root_written: Path) -> None:
    message = failure(root_written / "tree.root", "ntuple", where="processes.signal")
    assert message.startswith(f"processes.signal: {root_written}/tree.root: no such file; nearest: 'trees.root'")


def test_a_link_to_nothing_says_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "a.root").symlink_to("b.root")
    assert failure(tmp_path / "a.root", "ntuple") == f"{tmp_path}/a.root: a link to b.root, which is not there"


def test_an_address_that_was_taken_for_a_path_is_said_to_be_that(tmp_path: Path) -> None:
    assert "not a local file; copy it (e.g. with xrdcp)" in failure(tmp_path / "root://host//a.root", "ntuple")


def test_missing_tree_names_those_in_folders(root_written: Path) -> None:
    message = failure(root_written / "trees.root", "ntuple")
    assert message == f"{root_written}/trees.root: no tree 'ntuple'; nearest: 'mt_nominal/ntuple'"
    assert "nearest: 'mt_nominal/ntuple'" in failure(root_written / "trees.root", "mt_nominl/ntuple")
    assert "nearest: 'mt_nominal/ntuple'" in failure(root_written / "rntuple.root", "nominal/ntuple")


def test_what_is_not_a_tree(root_written: Path) -> None:
    assert "'histogram' is a TH1F, not a tree" in failure(root_written / "trees.root", "histogram")
    assert "'mt_nominal' is a TDirectory" in failure(root_written / "trees.root", "mt_nominal")
    assert "no tree 'histogram/ntuple'" in failure(root_written / "trees.root", "histogram/ntuple")


def test_missing_branch_names_the_nearest(root_written: Path) -> None:
    message = failure(root_written / "trees.root", "mt_nominal/ntuple", ("f4", "vf5"))
    assert f"no branch 'vf5' in tree 'mt_nominal/ntuple' of {root_written}/trees.root; nearest: 'vf" in message


def test_branches_without_numbers(root_written: Path) -> None:
    assert "branch 'word' of tree" in (message := failure(root_written / "trees.root", "mt_nominal/ntuple", ("word",)))
    assert "std::string" in message


def test_duplicate_branches_are_refused_where_they_are_used(root_written: Path) -> None:
    message = failure(root_written / "trees.root", "twice", ("x",))
    assert message.startswith(f"tree 'twice' of {root_written}/trees.root has several branches 'x'")
    with open_ntuple(root_written / "trees.root", "twice", where="processes.tt") as ntuple:
        with pytest.raises(NtuplemlError, match=r"^processes\.tt: tree 'twice' of "):
            ntuple.require(["x"], "processes.tt")
        assert ntuple.duplicates == {"x"}
        np.testing.assert_array_equal(read(ntuple, ["y"])["y"], [2.0])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"root:x:0:0:root:/root:/bin/bash\n", "is not a ROOT file"),
        (b"PK\x03\x04" + bytes(100), "is not a ROOT file"),
        (b"root\x00\x00", "is truncated: only 6 bytes are there"),
    ],
)
def test_what_is_not_a_root_file(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.root").write_bytes(content)
    assert f"{tmp_path}/a.root: {expected}" in failure(tmp_path / "a.root", "ntuple")


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert f"{tmp_path}: cannot be read: is a directory" in failure(tmp_path, "ntuple")


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("file", ["trees.root", "rntuple.root"])
def test_truncated_files(root_written: Path, tmp_path: Path, file: str, share: float) -> None:
    content = (root_written / file).read_bytes()
    kept = max(20, int(share * len(content)))
    (tmp_path / "cut.root").write_bytes(content[:kept])
    message = failure(tmp_path / "cut.root", "mt_nominal/ntuple")
    assert f"{tmp_path}/cut.root: is truncated: {kept} of {len(content)} bytes are there" in message


def damaged_copy(source: Path, target: Path, branch: str, basket: int) -> None:
    """Overwrite the compressed content of one basket."""
    with uproot.open(source) as file:
        key = file["mt_nominal/ntuple"][branch].basket_key(basket)
        start = key.fSeekKey + key.fKeylen
        stop = key.fSeekKey + key.fNbytes
    content = bytearray(source.read_bytes())
    content[start:stop] = bytes(stop - start)
    target.write_bytes(content)


def test_a_damaged_basket_is_named(root_written: Path, tmp_path: Path) -> None:
    """ROOT began a second basket at entry 100: what comes before it is still read."""
    damaged_copy(root_written / "trees.root", tmp_path / "bad.root", "i4", 1)
    message = failure(tmp_path / "bad.root", "mt_nominal/ntuple", ("f4", "i4", "vf4"))
    assert f"tree 'mt_nominal/ntuple' of {tmp_path}/bad.root: branch 'i4' cannot be read at entries 0" in message
    with open_ntuple(tmp_path / "bad.root", "mt_nominal/ntuple") as ntuple:
        chunks = ntuple.chunks(["f4", "i4"], 50)
        assert next(chunks).stop == 50
        # Some versions of uproot read the basket after the last one that is needed.
        with pytest.raises(NtuplemlError, match=r"branch 'i4' cannot be read at entries (50|100)"):
            list(chunks)
        np.testing.assert_array_equal(read(ntuple, ["f4"])["f4"], SCALARS["f4"])


def test_any_damage_is_one_line(root_written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of zeros anywhere: either an error of ours, or the columns are still read."""
    monkeypatch.setattr(root_opinion, "_root_reads", lambda place: None)  # it takes a second each time
    content = (root_written / "trees.root").read_bytes()
    errors = []
    for start in range(100, len(content), len(content) // 23):
        (tmp_path / "bad.root").write_bytes(content[:start] + bytes(200) + content[start + 200 :])
        try:
            with open_ntuple(tmp_path / "bad.root", "mt_nominal/ntuple") as ntuple:
                for _ in ntuple.chunks([name for name in SCALARS if name in ntuple.branches]):
                    pass
        except NtuplemlError as error:
            errors.append(str(error))
    assert errors
    assert all("bad.root" in error and "\n" not in error for error in errors)


def test_a_branch_shorter_than_its_tree_is_refused(tmp_path: Path) -> None:
    """What `TBranch::Fill` without `TTree::Fill` leaves behind; here the tree's own count is raised in the file."""
    with uproot.recreate(tmp_path / "short.root", compression=None) as file:
        file.mktree("t", {"x": "f4"}).extend({"x": np.zeros(1234)})
    content = (tmp_path / "short.root").read_bytes()
    with uproot.open(tmp_path / "short.root") as file:
        place = file.file.source.chunk(0, len(content)).raw_data.tobytes().find((1234).to_bytes(8, "big"))
    (tmp_path / "short.root").write_bytes(content[:place] + (1300).to_bytes(8, "big") + content[place + 8 :])
    message = failure(tmp_path / "short.root", "t", ("x",))
    assert message.startswith("branch 'x' of tree 't' of ")
    assert message.endswith("cannot be read: it has 1234 entries, but the tree has 1300")


@pytest.mark.parametrize("name", ["a:b.root", "a b.root", "ä[1].root", "*.root", "~.root"])
def test_names_of_files_are_taken_as_they_are(root_written: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(root_written / "trees.root")
    with open_ntuple(str(tmp_path / name), "mt_nominal/ntuple") as ntuple:
        np.testing.assert_array_equal(read(ntuple, ["i4"])["i4"], SCALARS["i4"])


def test_a_tilde_is_not_the_home_folder(root_written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells and configs have turned it into that already; uproot by itself would look elsewhere than we."""
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "a.root").symlink_to(root_written / "trees.root")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with open_ntuple("~/a.root", "mt_nominal/ntuple") as ntuple:
        assert ntuple.num_entries


def test_data_of_others(root_data: Path) -> None:
    """The HIGGS sample in ROOT's wheel: 10,000 events per tree."""
    with open_ntuple(root_data / "Higgs_data.root", "sig_tree") as ntuple:
        assert ntuple.num_entries == 10_000
        expected = uproot.open(root_data / "Higgs_data.root")["sig_tree"]["m_bb"].array(library="np")
        np.testing.assert_array_equal(read(ntuple, ["m_bb"], 999)["m_bb"], expected)
