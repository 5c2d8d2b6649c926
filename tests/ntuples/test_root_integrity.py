"""Numbers of a ROOT file that stand there twice: where they differ, its entries are refused, not read."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import cramjam
import numpy as np
import pytest
import uproot

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Places in the head of a basket.
SIZE, UNPACKED_SIZE = 0, 6
#: The numbers of a basket before its end: entries, and the end of its data.
ENTRIES, LAST = 9, 5
ZEROS = bytes(5_000_000)


@pytest.fixture(autouse=True)
def _root_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ntupleml.ntuples.root_opinion._root_reads", lambda _place: None)


def write(path: Path, packing: Any) -> Any:
    """A tree of two branches; the key of a basket."""
    numbers = np.random.default_rng(1).integers(0, 100, 30_000).astype("i4")
    with uproot.recreate(path, compression=packing) as file:
        tree = file.mktree("events", {"x": "i4", "y": "i4"})
        for part in np.split(numbers, 3):
            tree.extend({"x": part, "y": part})
    with uproot.open(path) as file:
        assert (file["events"]["x"].array(library="np") == numbers).all()
        return file["events"]["x"].basket_key(1)


def refusal(path: Path, tree: str = "events", branch: str = "x") -> str:
    with pytest.raises(NtuplemlError) as error, open_ntuple(path, tree) as ntuple:
        list(ntuple.chunks([branch]))
    assert "\n" not in str(error.value)
    return str(error.value)


def change(path: Path, place: int, content: bytes) -> None:
    whole = bytearray(path.read_bytes())
    whole[place : place + len(content)] = content
    path.write_bytes(whole)


@pytest.mark.parametrize("packing", [uproot.ZLIB(1), uproot.LZ4(1), uproot.ZSTD(1), None])
@pytest.mark.parametrize("place", [SIZE, UNPACKED_SIZE])
def test_sizes_of_a_basket(packing: Any, place: int, tmp_path: Path) -> None:
    """A gigabyte more: uproot alone takes it, and reads as lists what lies there."""
    key = write(tmp_path / "a.root", packing)
    old = key.fNbytes if place == SIZE else key.fObjlen
    change(tmp_path / "a.root", key.fSeekKey + place, struct.pack(">i", old + 2**30))
    message = refusal(tmp_path / "a.root")
    assert "branch 'x' cannot be read" in message
    if packing and place == UNPACKED_SIZE:
        assert f"its packed blocks have {key.fNbytes - key.fKeylen} and 40000 bytes, its head says" in message


def test_entries_of_a_basket(tmp_path: Path) -> None:
    """A basket of one entry would be read as that of all: numpy spreads one number over many."""
    key = write(tmp_path / "a.root", uproot.ZLIB(1))
    end = key.fSeekKey + key.fKeylen
    change(tmp_path / "a.root", end - ENTRIES, struct.pack(">i", 1))
    change(tmp_path / "a.root", end - LAST, struct.pack(">i", key.fKeylen + 4))
    with uproot.open(tmp_path / "a.root") as file:
        found = file["events"]["x"].array(library="np")
        assert len(set(found[10_000:20_000])) == 1
    assert "basket 1 has 1 entries" in refusal(tmp_path / "a.root")


@pytest.mark.parametrize(
    ("packing", "bomb", "message"),
    [
        (uproot.ZLIB(1), lambda: zlib.compress(ZEROS), "a block does not end after 40000 bytes"),
        (uproot.ZSTD(1), lambda: bytes(cramjam.zstd.compress(ZEROS)), "failed to write whole buffer"),
        (uproot.LZMA(1), lambda: bytes(cramjam.xz.compress(ZEROS)), "failed to write whole buffer"),
    ],
    ids=["ZLIB", "ZSTD", "LZMA"],
)
def test_a_block_unpacks_to_what_it_says(packing: Any, bomb: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    """Unpacking ends there: ten kilobytes of Zstandard can be gigabytes."""
    key = write(tmp_path / "a.root", packing)
    content = bomb()
    assert len(content) < key.fNbytes - key.fKeylen
    place = key.fSeekKey + key.fKeylen
    change(tmp_path / "a.root", place + 3, len(content).to_bytes(3, "little"))
    change(tmp_path / "a.root", place + 9, content)
    assert message in refusal(tmp_path / "a.root")


def test_what_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros gain a factor of ten thousand: harmless in a hundred kilobytes, not in gigabytes."""
    path = tmp_path / "a.root"
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        file.mktree("events", {"x": "i4"}).extend({"x": np.zeros(30_000, "i4")})
    with open_ntuple(path, "events") as ntuple:
        assert not next(ntuple.chunks(["x"])).columns["x"].any()
    monkeypatch.setattr("ntupleml.ntuples.root_integrity._MOST_UNPACKED", 100_000)
    assert "bytes unpack to 120,000; it is made to fill the memory" in refusal(path)


def test_a_tree_that_has_lost_its_branches(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    write(path, uproot.ZLIB(1))
    with uproot.open(path) as file:
        key = file.key("events")
    content = path.read_bytes()
    first = content.index(b"TBranch\0", key.fSeekKey)
    # The list of branches: its size in bytes, version, 10 bytes of TObject, an empty name, then length and first index.
    length = content.rindex(struct.pack(">ii", 2, 0), key.fSeekKey, first)
    change(path, length - 17, b"\x97")
    with uproot.open(path) as file:
        assert not file["events"].branches
    assert "but has no branches" in refusal(path)


def test_the_length_of_a_vector(project: Path, tmp_path: Path) -> None:
    """Lists of a file of ROOT, which does not pack what gets no smaller."""
    path = tmp_path / "a.root"
    path.write_bytes((project / "tests" / "data" / "root" / "rvec.root").read_bytes())
    with uproot.open(path) as file:
        lists = [branch for branch in file["events"].branches if "RVec<float>" in branch.typename]
        branch = next(one for one in lists if one.basket(0).block_compression_info is None and len(one.array()[0]))
        key, length = branch.basket_key(0), len(branch.array()[0])
    place = key.fSeekKey + key.fKeylen
    assert path.read_bytes()[place + 6 : place + 10] == struct.pack(">i", length)
    change(path, place + 6, struct.pack(">i", length + 1))
    assert "a list of basket 0 says another length than it has" in refusal(path, branch=branch.name)


def test_pages_of_an_rntuple(root_written: Path, tmp_path: Path) -> None:
    """Each page has a checksum, and so has the list of them."""
    path, content = tmp_path / "a.root", (root_written / "rntuple.root").read_bytes()
    with uproot.open(root_written / "rntuple.root") as file:
        ntuple = file["mt_nominal/ntuple"]
        number = next(field.field_id for field in ntuple.all_fields if field.name == "f4")
        column = next(record.idx for record in ntuple.column_records if record.field_id == number)
        (page,) = ntuple.page_link_list[1][column].pages
        pages = ntuple.footer.cluster_group_records[0].page_list_link.locator
        assert page.has_checksum
    for place, message in (
        (page.locator.offset + page.locator.num_bytes // 2, "the checksum of page 0 of cluster 1 is another"),
        (page.locator.offset + page.locator.num_bytes, "the checksum of page 0 of cluster 1 is another"),
        (pages.offset + pages.num_bytes - 1, "cannot be read"),
    ):
        path.write_bytes(content)
        change(path, place, bytes([content[place] ^ 1]))
        assert message in refusal(path, "mt_nominal/ntuple", "f4")
