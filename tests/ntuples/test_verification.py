"""A copy that is damaged on purpose, in the way in which programs have damaged files, never takes the file's place."""

from __future__ import annotations

import shutil
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.imports import import_root
from ntupleml.ntuples import appending, extending
from ntupleml.ntuples.appending import append_branches
from ntupleml.ntuples.extending import added_tree
from ntupleml.ntuples.layout import read_layout
from ntupleml.ntuples.root_trees import extend_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENTRIES = 100


@pytest.fixture(scope="session")
def root() -> Any:
    return import_root()


@pytest.fixture(scope="session")
def pristine(root: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not compressed; a basket on disk and one in the header for each branch; a second object and a note."""
    path = tmp_path_factory.mktemp("pristine") / "a.root"
    file = root.TFile(str(path), "RECREATE", "", 0)
    tree = root.TTree("ntuple", "")
    x, n, values, jets = np.zeros(1, "f8"), np.zeros(1, "i4"), np.zeros(5, "f4"), root.std.vector["float"]()
    tree.Branch("x", x, "x/D")
    tree.Branch("n", n, "n/I")
    tree.Branch("values", values, "values[n]/F")
    tree.Branch("jets", jets)
    for entry in range(ENTRIES):
        x[0], n[0], values[:] = entry + 0.125, entry % 5, entry
        jets.assign(entry % 3, entry)
        tree.Fill()
        if entry == 60:
            tree.FlushBaskets()
    note = root.TNamed("luminosity", "59.7")
    root.SetOwnership(note, False)
    tree.GetUserInfo().Add(note)
    tree.SetAlias("y", "2*x")
    file.WriteObject(root.TNamed("other", "an object"), "other")
    file.WriteTObject(tree)
    file.Close()
    return path


def rewritten(root: Any, copy: Path, change: Callable[[Any], None]) -> None:
    """Change the tree in memory and let ROOT write its header again, as any program might."""
    file = root.TFile(str(copy), "UPDATE")
    tree = file.Get("ntuple")
    change(tree)
    file.WriteTObject(tree, "ntuple", "Overwrite")
    file.Close()


def lose_the_basket_in_the_header(root: Any, copy: Path) -> None:
    """What ROOT does to a basket in the header that has a size in the table."""

    def change(tree: Any) -> None:
        tree.GetBranch("x").GetBasketBytes()[1] = 23

    rewritten(root, copy, change)


def another_first_entry(root: Any, copy: Path) -> None:
    def change(tree: Any) -> None:
        tree.GetBranch("values").GetBasketEntry()[1] -= 1

    rewritten(root, copy, change)


def another_length(root: Any, copy: Path) -> None:
    rewritten(root, copy, lambda tree: tree.GetLeaf("x").SetLen(2))


def another_counter(root: Any, copy: Path) -> None:
    rewritten(root, copy, lambda tree: tree.GetLeaf("values").SetLeafCount(tree.GetLeaf("x")))


def fewer_entries(root: Any, copy: Path) -> None:
    rewritten(root, copy, lambda tree: tree.GetBranch("n").SetEntries(ENTRIES - 1))


def another_name(root: Any, copy: Path) -> None:
    rewritten(root, copy, lambda tree: tree.GetBranch("n").SetName("m"))


def no_note(root: Any, copy: Path) -> None:
    rewritten(root, copy, lambda tree: tree.GetUserInfo().RemoveAt(0))


def no_alias(root: Any, copy: Path) -> None:
    rewritten(root, copy, lambda tree: tree.GetListOfAliases().RemoveAt(0))


def no_branch(root: Any, copy: Path) -> None:
    def change(tree: Any) -> None:
        tree.GetListOfBranches().Remove(tree.GetBranch("jets"))
        tree.GetListOfBranches().Compress()

    rewritten(root, copy, change)


def no_new_values(root: Any, copy: Path) -> None:
    def change(tree: Any) -> None:
        tree.GetBranch("s").SetEntries(ENTRIES - 1)

    rewritten(root, copy, change)


def no_object(root: Any, copy: Path) -> None:
    file = root.TFile(str(copy), "UPDATE")
    file.Delete("other;*")
    file.Close()


def one_more_object(root: Any, copy: Path) -> None:
    file = root.TFile(str(copy), "UPDATE")
    file.WriteObject(root.TNamed("more", ""), "more")
    file.Close()


def replace_bytes(copy: Path, old: bytes, new: bytes) -> None:
    content = copy.read_bytes()
    assert content.count(old) == 1
    copy.write_bytes(content.replace(old, new))


def another_value_on_disk(root: Any, copy: Path) -> None:
    replace_bytes(copy, struct.pack(">d", 40.125), struct.pack(">d", 41.125))


def another_value_in_the_header(root: Any, copy: Path) -> None:
    """In the old header, which is a gap by now, the bytes are still there."""
    content = copy.read_bytes()
    place = content.rindex(struct.pack(">d", 90.125))
    copy.write_bytes(content[:place] + struct.pack(">d", 91.125) + content[place + 8 :])


def head_of_the_list_of_objects_written_over(root: Any, copy: Path) -> None:
    """As by a folder's record that grew by twelve bytes."""
    write(copy, read_layout(copy).folders[0].key_list.start, bytes(12))


def head_of_the_tree_written_over(root: Any, copy: Path) -> None:
    (key,) = (key for key in read_layout(copy).keys if key.name == "ntuple")
    write(copy, key.seek, bytes(12))


def head_of_the_descriptions_written_over(root: Any, copy: Path) -> None:
    write(copy, read_layout(copy).streamer_info.start, bytes(12))


def write(copy: Path, place: int, new: bytes) -> None:
    with copy.open("r+b") as file:
        file.seek(place)
        file.write(new)


def truncated(root: Any, copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-100])


DAMAGES = [
    lose_the_basket_in_the_header,
    another_first_entry,
    another_length,
    another_counter,
    fewer_entries,
    another_name,
    no_note,
    no_alias,
    no_branch,
    no_new_values,
    no_object,
    one_more_object,
    another_value_on_disk,
    another_value_in_the_header,
    head_of_the_list_of_objects_written_over,
    head_of_the_tree_written_over,
    head_of_the_descriptions_written_over,
    truncated,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_copy_is_refused(
    root: Any, pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Any, Path], None]
) -> None:
    path = tmp_path / "a.root"
    shutil.copy(pristine, path)
    run_with_root = appending.run_with_root

    def damaging(function: Any, copy: Path, *arguments: Any, **keywords: Any) -> Any:
        result = run_with_root(function, copy, *arguments, **keywords)
        if function is extend_tree:
            damage(root, copy)
        return result

    monkeypatch.setattr(appending, "run_with_root", damaging)
    with pytest.raises(
        NtuplemlError, match=r"^.*a\.root: tree 'ntuple': .*copy.*the file was left as it was$"
    ) as caught:
        append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.zeros(ENTRIES, "f4")}])
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == pristine.read_bytes()
    assert [item.name for item in tmp_path.iterdir()] == ["a.root"]


def test_what_is_not_damaged_is_taken(root: Any, pristine: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    shutil.copy(pristine, path)
    append_branches(path, "ntuple", {"s": "f4"}, [{"s": np.zeros(ENTRIES, "f4")}])
    with uproot.open(path) as file, uproot.open(pristine) as old:
        for name, branch in old["ntuple"].items():
            assert file["ntuple"][name].array().tolist() == branch.array().tolist()


@pytest.fixture
def short_folder(root: Any, tmp_path: Path) -> Path:
    """A file as go-hep's groot writes it: the record of its folder lacks twelve bytes that ROOT writes at its end.

    The list of objects follows it, and will do so when the next program writes it.
    """
    path = tmp_path / f"{'long_name_' * 10}.root"  # it is part of the list, which has to fit where it was
    file = root.TFile(str(path), "RECREATE", "", 0)
    file.WriteObject(root.TNamed("doomed", "x" * 1000), "doomed")
    tree = root.TTree("t", "")
    value = np.zeros(1, "f4")
    tree.Branch("x", value, "x/F")
    for number in range(10):
        value[0] = number
        tree.Fill()
    file.WriteTObject(tree)
    file.Close()
    file = root.TFile(str(path), "UPDATE")
    file.Delete("doomed;*")
    file.Close()
    layout = read_layout(path)
    (folder,) = layout.folders
    gap, free_list, start = layout.free[0], layout.free[-1], folder.key_list.start
    assert (start, free_list.start, gap.start) == (folder.header.stop, folder.key_list.stop, free_list.stop), (
        "one after the other"
    )
    content = bytearray(path.read_bytes())
    content[start - 12 : free_list.stop - 12] = content[start : free_list.stop]
    for place, old in (
        (16, free_list.start),  # in the file's header
        (folder.header.start + 26, start),  # in the folder's record
        (start - 12 + 18, start),  # in the heads of the two
        (free_list.start - 12 + 18, free_list.start),
    ):
        assert struct.unpack_from(">i", content, place) == (old,)
        struct.pack_into(">i", content, place, old - 12)
    for place in (100, 106):  # sizes of the folder's record, with and without its head
        struct.pack_into(">i", content, place, struct.unpack_from(">i", content, place)[0] - 12)
    struct.pack_into(">i", content, gap.start - 12, gap.start - 12 - gap.stop)
    segment = struct.pack(">ii", gap.start, gap.stop - 1)
    assert content.count(segment) == 1
    path.write_bytes(bytes(content).replace(segment, struct.pack(">ii", gap.start - 12, gap.stop - 1)))
    path = path.rename(tmp_path / "groot.root")
    file = root.TFile(str(path))
    assert file.Get("t").GetEntries() == 10
    file.Close()
    return path


def test_folders_with_shorter_records_than_root_writes_are_refused(short_folder: Path) -> None:
    before = short_folder.read_bytes()
    with pytest.raises(NtuplemlError, match=r"groot\.root: tree 't': .*shorter records than ROOT's.*--friend.*hadd"):
        append_branches(short_folder, "t", {"s": "f4"}, [])
    with pytest.raises(NtuplemlError, match="shorter records than ROOT's"), added_tree(short_folder, "u", {"s": "f4"}):
        pass
    assert short_folder.read_bytes() == before


@pytest.mark.parametrize("room", [appending, extending])
def test_what_is_written_over_the_next_record_is_found(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch, room: Any
) -> None:
    """Without that check: the list of objects came to lie behind the folder, and lost its head."""
    monkeypatch.setattr(room, "require_room", lambda *_: None)
    before = short_folder.read_bytes()
    with pytest.raises(NtuplemlError, match=r"its extended copy .*the file was left as it was"):
        add_something(short_folder, room)
    assert short_folder.read_bytes() == before
    assert [item.name for item in short_folder.parent.iterdir()] == ["groot.root"]


def add_something(path: Path, room: Any) -> None:
    if room is appending:
        append_branches(path, "t", {"s": "f4"}, [{"s": np.zeros(10, "f4")}])
        return
    with added_tree(path, "u", {"s": "f4"}) as tree:
        tree.extend({"s": np.zeros(10, "f4")})
