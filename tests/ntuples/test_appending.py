"""Branches added in place: the new ones are right, everything else is as it was, and a failure changes nothing."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.ntuples.appending import append_branches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

ENTRIES = 5_000


@pytest.fixture(scope="session")
def root() -> Any:
    module = import_root()
    for library in ("libTree", "libHist", "libPhysics"):  # what is declared is linked at once
        module.gSystem.Load(library)
    assert module.gInterpreter.Declare(Path(__file__).with_name("write_rich_file.C").read_text())
    return module


@pytest.fixture(scope="session")
def data(project: Path) -> Path:
    return project / "tests" / "data" / "root"


@pytest.fixture(scope="session")
def pristine(root: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rich") / "rich.root"
    root.write_rich_file(str(path), 101, ENTRIES)
    return path


@pytest.fixture
def rich(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(pristine, tmp_path / "rich.root"))


TREE = "mt_nominal/deep/ntuple"


def chunks(columns: Mapping[str, NDArray[Any]], step: int = 777) -> Iterator[dict[str, NDArray[Any]]]:
    entries = len(next(iter(columns.values())))
    for start in range(0, entries, step):
        yield {name: values[start : start + step] for name, values in columns.items()}


def scores(entries: int = ENTRIES, seed: int = 0) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(seed)
    return {"ml_score_a": random.random(entries, dtype="f4"), "ml_score_b": random.random(entries, dtype="f4")}


TYPES = {"ml_score_a": "f4", "ml_score_b": "f4"}


def contents(root: Any, path: Path) -> dict[str, Any]:
    """What ROOT finds in the file: all keys, and all values of all trees (by the text of TTree::Scan)."""
    found: dict[str, Any] = {}
    file = root.TFile(str(path))
    folders = [("", file)]
    for prefix, folder in folders:
        for key in folder.GetListOfKeys():
            name = f"{prefix}{key.GetName()};{key.GetCycle()}"
            thing = key.ReadObj()
            found[name] = key.GetClassName()
            if thing.InheritsFrom("TDirectory"):
                folders.append((f"{prefix}{key.GetName()}/", thing))
            elif thing.InheritsFrom("TTree"):
                found[name] = [str(branch.GetName()) for branch in thing.GetListOfBranches()]
            else:
                found[name] = str(root.TBufferJSON.ConvertToJSON(thing))
    file.Close()
    return found


def tree_values(path: Path, tree_path: str) -> dict[str, Any]:
    with uproot.open(path) as file:
        tree = file[tree_path]
        return {name: branch.array().tolist() for name, branch in tree.iteritems()}


def partial_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix == ".partial"]


def test_new_branches_hold_the_values_and_all_else_is_as_before(root: Any, pristine: Path, rich: Path) -> None:
    columns = scores()
    append_branches(rich, TREE, TYPES, chunks(columns))
    before, after = contents(root, pristine), contents(root, rich)
    newest = f"{TREE};3"
    assert newest in before, "the fixture has backup cycles"
    assert after.pop(newest) == [*before.pop(newest), *TYPES]
    assert after == before
    old, new = tree_values(pristine, TREE), tree_values(rich, TREE)
    for name, values in columns.items():
        assert new.pop(name) == values.tolist()
    assert new == old
    assert {"x", "y", "event", "jets", "word", "values", "momentum", "pair"} <= set(old)


def test_root_reads_the_new_branches_in_its_event_loop(root: Any, rich: Path) -> None:
    columns = scores()
    append_branches(rich, TREE, TYPES, chunks(columns))
    file = root.TFile(str(rich))
    tree = file.Get(TREE)
    tree.GetListOfFriends().Clear()  # the friend's file does not exist
    frame = root.RDataFrame(tree)
    read = frame.AsNumpy(["ml_score_a", "x", "event"])
    np.testing.assert_array_equal(read["ml_score_a"], columns["ml_score_a"])
    np.testing.assert_array_equal(read["event"], 2**60 + 3 * np.arange(ENTRIES))
    file.Close()


def test_the_tree_keeps_user_info_aliases_friends_and_index(root: Any, pristine: Path, rich: Path) -> None:
    append_branches(rich, TREE, TYPES, chunks(scores()))
    file = root.TFile(str(rich))
    tree = file.Get(TREE)
    assert tree.GetUserInfo().FindObject("luminosity").GetVal() == 59.7
    assert str(tree.GetUserInfo().At(1).GetString()) == "note"
    assert str(tree.GetAlias("z")) == "x*y"
    assert [str(friend.GetTitle()) for friend in tree.GetListOfFriends()] == [f"{pristine}.friend"]
    assert tree.GetEntryNumberWithIndex(2**60 + 3 * 1234) == 1234
    file.Close()


@pytest.mark.parametrize(
    ("tree_path", "entries"), [("plain", ENTRIES), ("other", 100), ("nothing", 0), ("mt_nominal/deep/renamed", ENTRIES)]
)
def test_trees_of_all_kinds(root: Any, pristine: Path, rich: Path, tree_path: str, entries: int) -> None:
    columns = scores(entries)
    append_branches(rich, tree_path, TYPES, chunks(columns))
    before, after = contents(root, pristine), contents(root, rich)
    changed = [name for name in before if after[name] != before[name]]
    assert changed == [f"{tree_path};1"]
    new = tree_values(rich, tree_path)
    assert {name: new[name] for name in TYPES} == {name: values.tolist() for name, values in columns.items()}
    with uproot.open(rich) as file:
        assert file[tree_path].classname == ("TNtuple" if tree_path == "plain" else "TTree")


def test_all_types_of_numbers(rich: Path) -> None:
    names = ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
    columns = {f"new_{name.replace('?', 'b')}": np.arange(100).astype(name) for name in names}
    append_branches(rich, "other", {name: values.dtype for name, values in columns.items()}, chunks(columns))
    with uproot.open(rich) as file:
        for name, values in columns.items():
            read = file["other"][name].array(library="np")
            assert read.dtype == values.dtype
            np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("letters", ["f4", "f8", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_vectors_and_lists_of_one_length_as_uproot_root_and_its_formulas_read_them(
    root: Any, rich: Path, letters: str
) -> None:
    random = np.random.default_rng(5)
    counts = random.integers(0, 4, 100)
    counts[:20] = 0  # a chunk with nothing in it
    jagged = ak.unflatten(random.integers(0, 100, counts.sum()).astype(letters), counts)
    fixed = random.integers(0, 100, (100, 3)).astype(letters)
    matrix = random.integers(0, 100, (100, 2, 3)).astype(letters)
    types: dict[str, Any] = {
        "v": f"vector of {letters}",
        "w": f"vector of {letters}",
        "fixed": np.dtype((letters, (3,))),
        "matrix": np.dtype((letters, (2, 3))),
        "s": "f4",
    }
    columns: dict[str, Any] = {"v": jagged, "w": fixed, "fixed": fixed, "matrix": matrix, "s": np.arange(100)}
    append_branches(rich, "other", types, chunks(columns, 20))
    with uproot.open(rich) as file:
        read = file["other"].arrays()
        assert {name: read[name].tolist() for name in types} == {name: columns[name].tolist() for name in types}
        assert ak.type(read["v"]).content.content.primitive == np.dtype(letters).name
    frame = root.RDataFrame("other", str(rich)).AsNumpy(["v", "fixed", "s", "x"])
    assert [list(map(int, values)) for values in frame["v"]] == ak.values_astype(jagged, int).tolist()
    assert [list(map(int, values)) for values in frame["fixed"]] == fixed.astype(int).tolist()
    file = root.TFile(str(rich))
    tree = file.Get("other")
    assert tree.Draw("v", "", "goff") == counts.sum()
    assert tree.Draw("fixed[2]:Length$(v):w[1]", "", "goff") == 100
    np.testing.assert_array_equal(np.asarray([tree.GetV1()[i] for i in range(100)]), fixed[:, 2])
    np.testing.assert_array_equal(np.asarray([tree.GetV2()[i] for i in range(100)]), counts)
    np.testing.assert_array_equal(np.asarray([tree.GetV3()[i] for i in range(100)]), fixed[:, 1])
    file.Close()


def test_vectors_are_replaced_by_vectors_only(rich: Path) -> None:
    first, second = np.zeros((100, 2), "f4"), ak.Array([[1.5]] * 100)
    append_branches(rich, "other", {"v": "vector of f4", "s": "f4"}, [{"v": first, "s": np.zeros(100)}])
    append_branches(rich, "other", {"v": "vector of f4"}, [{"v": second}], overwrite=True)
    assert tree_values(rich, "other")["v"] == second.tolist()
    before = rich.read_bytes()
    for types, values in (({"v": "f4"}, np.zeros(100)), ({"s": "vector of f4"}, first)):
        with pytest.raises(NtuplemlError, match="holds something else per event"):
            append_branches(rich, "other", types, [dict.fromkeys(types, values)], overwrite=True)
    assert rich.read_bytes() == before


def test_vectors_of_nothing_and_wrong_shapes(rich: Path) -> None:
    append_branches(rich, "nothing", {"v": "vector of f4"}, [])
    assert tree_values(rich, "nothing")["v"] == []
    for values in (np.zeros(100), np.zeros((100, 2, 2))):
        with pytest.raises(ValueError, match="for a branch that is a vector of f4"):
            append_branches(rich, "other", {"v": "vector of f4"}, [{"v": values}])
    with pytest.raises(ValueError, match="no branch of vector of i1 can be written"):
        append_branches(rich, "other", {"v": "vector of i1"}, [{"v": np.zeros((100, 1))}])


def test_a_tree_whose_last_baskets_lie_in_its_header(root: Any, tmp_path: Path) -> None:
    path = tmp_path / "embedded.root"
    file = root.TFile(str(path), "RECREATE")
    tree = root.TTree("ntuple", "")
    value = np.zeros(1)
    tree.Branch("x", value, "x/D")
    for number in range(10):
        value[0] = number
        tree.Fill()
    file.WriteTObject(tree)  # without FlushBaskets
    file.Close()
    append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.arange(10, dtype="f4")}])
    file = root.TFile(str(path))
    assert [(entry.x, entry.s) for entry in file.Get("ntuple")] == [(number, number) for number in range(10)]
    file.Close()


def embedded_tree(root: Any, path: Path, stale_size: int = 0) -> None:
    """A tree of three baskets on disk and one in its header, per branch, in a file that is not compressed.

    Parameters
    ----------
    stale_size : int
        What the table of sizes says where the basket is not on disk. ROOT writes 0; before 5.16 it left there what the
        basket on disk before it had, or -1.
    """
    marker = 0x7E57AB1E
    file = root.TFile(str(path), "RECREATE", "", 0)
    tree = root.TTree("ntuple", "")
    number, count, values, jets = np.zeros(1, "f8"), np.zeros(1, "i4"), np.zeros(5, "f4"), root.std.vector["float"]()
    tree.Branch("x", number, "x/D")
    tree.Branch("n", count, "n/I")
    tree.Branch("values", values, "values[n]/F")
    tree.Branch("jets", jets)
    for entry in range(100):
        number[0], count[0], values[:] = entry, entry % 5, entry + np.arange(5)
        jets.assign(entry % 3, entry)
        tree.Fill()
        if entry in (20, 45, 70):
            tree.FlushBaskets()
    for branch in tree.GetListOfBranches():
        branch.GetBasketBytes()[branch.GetWriteBasket() + 1] = marker
    file.WriteTObject(tree)
    file.Close()
    content = path.read_bytes()
    mark = marker.to_bytes(4, "big")
    assert content.count(bytes(4) + mark) == 4
    path.write_bytes(content.replace(bytes(4) + mark, stale_size.to_bytes(4, "big", signed=True) + bytes(4)))


@pytest.mark.parametrize("stale_size", [0, 23, -1])
def test_baskets_that_an_old_file_keeps_in_the_header(root: Any, tmp_path: Path, stale_size: int) -> None:
    """ROOT takes those that have a size in the table for written, and drops them (AthenaCrossSection of roottest)."""
    path = tmp_path / "embedded.root"
    embedded_tree(root, path, stale_size)
    with uproot.open(path) as file:
        assert [len(branch.embedded_baskets) for branch in file["ntuple"].branches] == [1] * 4
    old = tree_values(path, "ntuple")
    assert old["x"] == list(range(100))
    append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.arange(100, dtype="f4")}])
    new = tree_values(path, "ntuple")
    assert new.pop("s") == list(range(100))
    assert new == old
    file = root.TFile(str(path))
    for entry, event in enumerate(file.Get("ntuple")):
        assert (event.x, event.n, list(event.values), list(event.jets), event.s) == (
            *(entry, entry % 5, [entry + i for i in range(entry % 5)], [entry] * (entry % 3), entry),
        )
    file.Close()


def test_a_tree_that_was_filled_in_memory(root: Any, tmp_path: Path) -> None:
    """All of its baskets lie in its header."""
    path = tmp_path / "memory.root"
    tree = root.TTree("ntuple", "")
    tree.SetDirectory(root.nullptr)
    number, jets = np.zeros(1, "f8"), root.std.vector["float"]()
    tree.Branch("x", number, "x/D", 2000)
    tree.Branch("jets", jets, 2000)
    for entry in range(1000):
        number[0] = entry
        jets.assign(entry % 3, entry)
        tree.Fill()
    file = root.TFile(str(path), "RECREATE")
    file.WriteTObject(tree, "ntuple")
    file.Close()
    with uproot.open(path) as written:
        assert [len(branch.embedded_baskets) for branch in written["ntuple"].branches] == [5, 12]
    append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.arange(1000, dtype="f4")}])
    assert tree_values(path, "ntuple") == {
        "x": list(range(1000)),
        "jets": [[entry] * (entry % 3) for entry in range(1000)],
        "s": list(range(1000)),
    }


def descriptions(path: Path) -> dict[tuple[str, int], Any]:
    with uproot.open(path) as file:
        return {
            (name, version): [
                (e.member("fName"), e.member("fTypeName"), e.member("fType")) for e in description.elements
            ]
            for name, versions in file.file.streamers.items()
            for version, description in versions.items()
        }


def test_classes_that_todays_root_leaves_out_stay_described(root: Any, data: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(data / "rvec.root", tmp_path))
    old, described = tree_values(path, "events"), descriptions(path)
    assert ("ROOT::VecOps::RVec<float>", 6) in described
    for seed in range(2):
        columns = scores(5, seed)
        append_branches(path, "events", TYPES, chunks(columns), overwrite=True)
        new = tree_values(path, "events")
        assert [new.pop(branch) for branch in TYPES] == [values.tolist() for values in columns.values()]
        assert new == old
        assert descriptions(path).items() >= described.items()
    read = root.RDataFrame("events", str(path)).AsNumpy(["MC_px", "ml_score_a"])
    assert [list(values) for values in read["MC_px"]] == old["MC_px"]


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old"), ("old", "new", "old")])
def test_files_with_other_members_of_one_version_of_a_class(data: Path, tmp_path: Path, order: tuple[str, ...]) -> None:
    """ROOT describes a class in all files as in the first one that it met (root#14171)."""
    for number, name in enumerate(order):
        path = Path(shutil.copy(data / f"{name}_class.root", tmp_path / f"{number}.root"))
        described = descriptions(path)
        append_branches(path, "t", {"s": "f4"}, [{"s": np.arange(100, dtype="f4")}])
        assert descriptions(path) == described
        with uproot.open(path) as file:
            tree = file["t"]
            assert tree["s"].array().tolist() == list(range(100))
            assert tree["pt"].array().tolist() == [100 + entry for entry in range(100)]
            assert tree["mass"].array().tolist() == [1000 + entry for entry in range(100)]
            assert set(tree["charge"].array()) == {-1, 1}


def test_branches_that_uproot_cannot_read(root: Any, tmp_path: Path) -> None:
    """Their bytes prove that they are as before, and ROOT reads them: leaf lists of arrays, packed floats."""
    path = tmp_path / "packed.root"
    root.write_packed_file(str(path))
    before = root_values(root, path)
    append_branches(path, "packed", {"s": "f4"}, [{"s": np.arange(100, dtype="f4")}])
    after = root_values(root, path)
    assert after.pop("s") == list(range(100))
    assert after == before
    assert len(before) == 13
    assert before["D_range"][7] == pytest.approx([0.35], abs=1e-3)
    assert before["part.res"][7] == [0, 1, 2, 3, 4, 5]


def root_values(root: Any, path: Path) -> dict[str, list[Any]]:
    """Values of all leaves of the tree 'packed', by ROOT's leaves."""
    file = root.TFile(str(path))
    tree = file.Get("packed")
    found: dict[str, list[Any]] = {}
    for entry in range(tree.GetEntries()):
        tree.GetEntry(entry)
        for branch in tree.GetListOfBranches():
            for leaf in branch.GetListOfLeaves():
                several = branch.GetListOfLeaves().GetEntries() > 1
                name = f"{branch.GetName()}.{leaf.GetName()}" if several else str(branch.GetName())
                values = [leaf.GetValue(i) for i in range(leaf.GetLen())]
                found.setdefault(name, []).append(values[0] if name == "s" else values)
    file.Close()
    return found


def test_files_of_older_versions_of_root(root: Any, root_data: Path, tmp_path: Path) -> None:
    """ROOT then writes the descriptions of classes anew, without those of vectors, which stay readable."""
    for name, tree_path in (
        ("ml_dataloader_filters_vectors_hvector.root", "test_tree"),
        ("Higgs_data.root", "sig_tree"),
        ("tmva_multiclass_example.root", "TreeB1"),
    ):
        path = Path(shutil.copy(next(root_data.parent.rglob(name)), tmp_path))
        old = tree_values(path, tree_path)
        entries = len(next(iter(old.values())))
        columns = scores(entries)
        append_branches(path, tree_path, TYPES, chunks(columns))
        new = tree_values(path, tree_path)
        assert [new.pop(branch) for branch in TYPES] == [values.tolist() for values in columns.values()]
        assert new == old
        file = root.TFile(str(path))
        vectors = [str(leaf.GetName()) for leaf in file.Get(tree_path).GetListOfLeaves()]
        for entry, event in enumerate(file.Get(tree_path)):
            if entry == 20:
                break
            for branch in vectors:
                if branch in old and isinstance(old[branch][entry], list):
                    assert list(getattr(event, branch)) == old[branch][entry]
        file.Close()


def test_a_file_written_by_uproot_with_many_baskets(root: Any, tmp_path: Path) -> None:
    path = tmp_path / "uproot.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("folder/ntuple", {"x": "f4", "event": "i8"})
        for start in range(0, 3000, 100):
            tree.extend({"x": np.full(100, start, "f4"), "event": np.arange(start, start + 100)})
        file["histogram"] = np.histogram(np.arange(10))
    columns = scores(3000)
    append_branches(path, "folder/ntuple", TYPES, chunks(columns))
    assert tree_values(path, "folder/ntuple") == {
        "x": np.repeat(np.arange(0.0, 3000, 100), 100).tolist(),
        "event": list(range(3000)),
        **{name: values.tolist() for name, values in columns.items()},
    }
    read = root.RDataFrame("folder/ntuple", str(path)).AsNumpy()
    np.testing.assert_array_equal(read["ml_score_b"], columns["ml_score_b"])
    with uproot.open(path) as file:
        assert file["histogram"].values().tolist() == [1.0] * 10


@pytest.mark.parametrize(("compression", "expected"), [(0, 0), (1, 101), (209, 101), (404, 401), (505, 501)])
def test_new_branches_have_the_files_algorithm_at_level_1(
    root: Any, tmp_path: Path, compression: int, expected: int
) -> None:
    path = tmp_path / "file.root"
    root.write_rich_file(str(path), compression, 10)
    append_branches(path, "other", {"s": "f4"}, [{"s": np.arange(100, dtype="f4")}])
    with uproot.open(path) as file:
        assert file["other"]["s"].member("fCompress") == expected


def test_existing_branches_are_refused_by_name(rich: Path) -> None:
    append_branches(rich, TREE, TYPES, chunks(scores()))
    before = rich.read_bytes()
    with pytest.raises(NtuplemlError, match=r"has branches 'ml_score_a', 'ml_score_b' already; give --overwrite"):
        append_branches(rich, TREE, TYPES, chunks(scores(seed=1)))
    with pytest.raises(NtuplemlError, match=r"has branch 'x' already"):
        append_branches(rich, TREE, {"x": "f4"}, [])
    assert rich.read_bytes() == before


def test_overwriting_often_replaces_the_values_and_does_not_grow_the_file(
    root: Any, pristine: Path, rich: Path
) -> None:
    sizes = []
    for seed in range(8):
        columns = scores(seed=seed)
        append_branches(rich, TREE, TYPES, chunks(columns), overwrite=True)
        new = tree_values(rich, TREE)
        assert [new.pop(name) for name in TYPES] == [values.tolist() for values in columns.values()]
        assert new == tree_values(pristine, TREE)
        sizes.append(rich.stat().st_size)
    assert sizes[0] > pristine.stat().st_size + 30_000, "two branches of floats"
    assert max(sizes) < sizes[0] + 15_000, "gaps between other records come and go"
    with uproot.open(rich) as file:
        assert [name for name in file[TREE].keys(recursive=False) if name.startswith("ml")] == list(TYPES)


def test_overwriting_one_of_several_keeps_the_others(rich: Path) -> None:
    first, second = scores(), scores(seed=1)
    append_branches(rich, TREE, TYPES, chunks(first))
    append_branches(rich, TREE, {"ml_score_a": "f4"}, chunks({"ml_score_a": second["ml_score_a"]}), overwrite=True)
    new = tree_values(rich, TREE)
    assert new["ml_score_a"] == second["ml_score_a"].tolist()
    assert new["ml_score_b"] == first["ml_score_b"].tolist()


def test_overwriting_keeps_what_another_cycle_shares(root: Any, rich: Path) -> None:
    """Two cycles and a renamed tree have the same baskets: replacing `x` in one leaves it in the others."""
    old = tree_values(rich, f"{TREE};2")["x"]
    new = np.arange(ENTRIES, dtype="f4")
    append_branches(rich, TREE, {"x": "f4"}, [{"x": new}], overwrite=True)
    assert tree_values(rich, TREE)["x"] == new.tolist()
    assert tree_values(rich, f"{TREE};2")["x"] == old
    assert tree_values(rich, "mt_nominal/deep/renamed")["x"] == old


@pytest.mark.parametrize("name", ["jets", "n", "values", "momentum", "pair", "word"])
def test_branches_of_more_than_a_number_are_not_replaced(rich: Path, name: str) -> None:
    before = rich.read_bytes()
    with pytest.raises(NtuplemlError, match=rf"branch '{name}' holds something else per event"):
        append_branches(rich, TREE, {name: "f4"}, [{name: np.zeros(ENTRIES, "f4")}], overwrite=True)
    assert rich.read_bytes() == before
    assert partial_files(rich.parent) == []


def test_a_tree_with_the_same_branch_twice_is_mended_by_overwriting(root: Any, tmp_path: Path) -> None:
    """Running htt-ml's in-place script twice leaves two sets of branches."""
    path = tmp_path / "twice.root"
    file = root.TFile(str(path), "RECREATE")
    tree = root.TTree("ntuple", "")
    value = np.ones(1, "f4")
    for name in ("x", "s", "s"):
        tree.Branch(name, value, f"{name}/F")
    for _ in range(10):
        tree.Fill()
    tree.Write()
    file.Close()
    append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.arange(10, dtype="f4")}], overwrite=True)
    assert tree_values(path, "ntuple") == {"x": [1.0] * 10, "s": list(range(10))}


@pytest.mark.parametrize("number", [ENTRIES - 1, ENTRIES + 1, 0])
def test_another_number_of_values_than_entries_is_an_error(rich: Path, number: int) -> None:
    before = rich.read_bytes()
    with pytest.raises(ValueError, match=f"for the {ENTRIES} entries"):
        append_branches(rich, TREE, {"s": "f4"}, [{"s": np.zeros(number, "f4")}])
    assert rich.read_bytes() == before
    assert partial_files(rich.parent) == []


def test_chunks_of_other_columns_are_an_error(rich: Path) -> None:
    for chunk in ({"t": np.zeros(5)}, {"s": np.zeros((5, 1))}, {}):
        with pytest.raises(ValueError, match=r"a chunk has columns|values of shape"):
            append_branches(rich, TREE, {"s": "f4"}, [chunk])


def test_an_exception_while_computing_leaves_the_file_as_it_was(rich: Path) -> None:
    before = rich.read_bytes()

    def failing() -> Iterator[dict[str, NDArray[Any]]]:
        yield {"s": np.zeros(1000, "f4")}
        raise NtuplemlError("NaN in variable 'x'")

    with pytest.raises(NtuplemlError, match=r"^NaN in variable 'x'$"):
        append_branches(rich, TREE, {"s": "f4"}, failing())
    assert rich.read_bytes() == before
    assert partial_files(rich.parent) == []


@pytest.mark.parametrize("name", ["", "a b", "a/F", "a.b", "a:b", "a[3]", "a\nb"])
def test_names_that_no_branch_can_have(rich: Path, name: str) -> None:
    with pytest.raises(NtuplemlError, match="cannot be the name of a branch"):
        append_branches(rich, TREE, {name: "f4"}, [])


def test_an_rntuple_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rntuple.root"
    with uproot.recreate(path) as file:
        file["ntuple"] = {"x": np.arange(10.0)}
    before = path.read_bytes()
    with pytest.raises(NtuplemlError, match=r"is an RNTuple.*friend") as caught:
        append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.zeros(10, "f4")}])
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_missing_tree_cycle_and_file(rich: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"no tree 'mt_nominal/deep/ntupl'; nearest: 'mt_nominal/deep/ntuple'"):
        append_branches(rich, "mt_nominal/deep/ntupl", {"s": "f4"}, [])
    with pytest.raises(NtuplemlError, match="without ';"):
        append_branches(rich, f"{TREE};2", {"s": "f4"}, [])
    with pytest.raises(NtuplemlError, match="no such file"):
        append_branches(rich.with_name("none.root"), TREE, {"s": "f4"}, [])
    with pytest.raises(NtuplemlError, match="'histogram' is a TH1F, not a tree"):
        append_branches(rich, "histogram", {"s": "f4"}, [])


def test_a_symbolic_link_stays_and_its_target_is_extended(rich: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.root"
    link.symlink_to("../rich.root")
    append_branches(link, "other", {"s": "f4"}, [{"s": np.zeros(100, "f4")}])
    assert link.is_symlink()
    assert "s" in tree_values(rich, "other")
    assert [path.name for path in (tmp_path / "links").iterdir()] == ["link.root"]


@pytest.mark.parametrize("name", ["a#b.root", "a?b.root", "a$HOME.root", "$(id).root", "a#b/`c`.root", "a'b\"*~ä.root"])
def test_names_that_root_takes_for_an_address_or_a_shell(rich: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "names" / name
    path.parent.mkdir(parents=True)
    shutil.copy(rich, path)
    columns = scores()
    append_branches(path, TREE, TYPES, chunks(columns))
    assert tree_values(path, TREE)["ml_score_a"] == columns["ml_score_a"].tolist()
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_truncated_file_is_refused(rich: Path) -> None:
    rich.write_bytes(rich.read_bytes()[:-100])
    with pytest.raises(NtuplemlError, match="is truncated"):
        append_branches(rich, "other", {"s": "f4"}, [{"s": np.zeros(100, "f4")}])


def _limit_file_size(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


_APPEND = """
import sys
import numpy as np
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.appending import append_branches
try:
    append_branches(sys.argv[1], sys.argv[2], {"s": "f4"}, [{"s": np.random.random(int(sys.argv[3])).astype("f4")}])
except NtuplemlError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [-100_000, 100, 9_000])
def test_a_full_disk_leaves_the_file_as_it_was(rich: Path, room: int) -> None:
    """The disk is full while copying, while filling, or while closing."""
    before = rich.read_bytes()
    finished = subprocess.run(
        [sys.executable, "-c", _APPEND, str(rich), TREE, str(ENTRIES)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: _limit_file_size(len(before) + room),
    )
    assert finished.stderr == ""
    assert len(finished.stdout.splitlines()) == 1
    assert str(rich) in finished.stdout
    assert "the file was left as it was" in finished.stdout
    assert rich.read_bytes() == before
    assert partial_files(rich.parent) == []


def test_nothing_but_the_alpha_warning_is_hidden_and_nothing_is_printed(rich: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", _APPEND, str(rich), TREE, str(ENTRIES)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (finished.stdout, finished.stderr) == ("", "")
    assert "s" in tree_values(rich, TREE)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(root: Any, pristine: Path, tmp_path: Path) -> None:
    """Real processes, killed from their first step to after their last."""
    path = tmp_path / "rich.root"
    old = pristine.read_bytes()
    shutil.copy(pristine, path)
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", _APPEND, str(path), TREE, str(ENTRIES)], check=True)
    duration = time.monotonic() - start
    outcomes = []
    moments = 10
    for fraction in 0.3 + 0.75 * (np.arange(moments) + np.random.default_rng().random(moments)) / moments:
        path.unlink()
        shutil.copy(pristine, path)
        with subprocess.Popen([sys.executable, "-c", _APPEND, str(path), TREE, str(ENTRIES)]) as process:
            time.sleep(duration * fraction)
            process.send_signal(signal.SIGKILL)
        outcomes.append(_old_or_new(root, path, old))
    assert set(outcomes) <= {"old", "new"}
    assert "old" in outcomes


def _old_or_new(root: Any, path: Path, old: bytes) -> str:
    if path.read_bytes() == old:
        return "old"
    new = tree_values(path, TREE)
    file = root.TFile(str(path))
    good = (
        len(new["s"]) == ENTRIES and not file.TestBit(root.TFile.kRecovered) and file.Get(TREE).GetEntries() == ENTRIES
    )
    file.Close()
    return "new" if good else "broken"
