"""HDF5 and Parquet files that lead to other files, declare more than they hold, or are damaged."""

from __future__ import annotations

import os
import resource
import zlib
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Another file of the user's."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["events/x"] = np.arange(5.0)
    return path


def _file(tmp_path: Path, add: Callable[[Any], None]) -> Path:
    path = tmp_path / "events.h5"
    with h5py.File(path, "w") as file:
        file["events/y"] = np.arange(5.0)
        add(file)
    return path


def _refused(path: Path, group: str = "events", branch: str = "x") -> str:
    with open_ntuple(path, group) as ntuple:
        assert list(next(ntuple.chunks(["y"])).columns["y"]) == list(range(5))
        with pytest.raises(NtuplemlError) as error:
            ntuple.require([branch])
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_link_to_another_file_is_not_followed(secret: Path, tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["events/x"] = h5py.ExternalLink(str(secret), "events/x")

    assert f"it is a link to the file {secret}" in _refused(_file(tmp_path, add))


def test_nor_by_links_within_the_file(secret: Path, tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["away"] = h5py.ExternalLink(str(secret), "/")
        file["near"] = h5py.SoftLink("/away/events")
        file["events/x"] = h5py.SoftLink("/near/x")

    path = _file(tmp_path, add)
    assert "it is a link to the file" in _refused(path)
    for group in ("away/events", "near"):
        with pytest.raises(NtuplemlError, match="is a link to the file"), open_ntuple(path, group):
            pytest.fail("must not be opened")


def test_a_link_to_a_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def add(file: Any) -> None:
        file["events/x"] = h5py.ExternalLink(str(tmp_path / "pipe"), "x")

    _refused(_file(tmp_path, add))


def test_links_within_the_file_are_read(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["events/x"] = h5py.SoftLink("/events/y")
        file["events/loop"] = h5py.SoftLink("/events/loop")

    with open_ntuple(_file(tmp_path, add), "events") as ntuple:
        assert list(next(ntuple.chunks(["x"])).columns["x"]) == list(range(5))


def test_numbers_in_other_files_are_not_read(secret: Path, tmp_path: Path) -> None:
    def external(file: Any) -> None:
        file["events"].create_dataset("x", (5,), "f8", external=[(str(secret), 0, 40)])

    def virtual(file: Any) -> None:
        layout = h5py.VirtualLayout((5,), "f8")
        layout[:] = h5py.VirtualSource(str(secret), "events/x", (5,))
        file["events"].create_virtual_dataset("x", layout)

    for add in (external, virtual):
        assert "its numbers are in other files" in _refused(_file(tmp_path, add))


def test_references_and_what_fills_the_memory_are_not_read(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        file["events"].create_dataset("x", (5, 2**40), "f8", chunks=(1, 1024))
        file["events"].create_dataset("part", (5, 2**26), "f8", chunks=(5, 2**26))
        file["events"].create_dataset("reference", (5,), h5py.ref_dtype)
        file["events/reference"][:] = [file["events/y"].ref] * 5

    path = _file(tmp_path, add)
    assert "declares 43,980,465,111,040 bytes in a file of" in _refused(path)
    assert "its chunks have 2,684,354,560 bytes" in _refused(path, branch="part")
    assert "holds neither numbers nor lists" in _refused(path, branch="reference")


def test_a_table_of_endless_rows_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "events.h5", "w") as file:
        file.create_dataset("events/x", (2**50,), "f8", chunks=(1024,))
    with (
        open_ntuple(tmp_path / "events.h5", "events") as ntuple,
        pytest.raises(NtuplemlError, match=r"declares .* bytes in a file of"),
    ):
        next(ntuple.chunks(["x"]))


def test_a_chunk_that_unpacks_to_more_than_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HDF5 takes the room for all of it before it compares; a chunk of the right size, as large, is read."""
    monkeypatch.setattr("ntupleml.ntuples.hdf5_chunks._HARMLESS", 100_000)
    content = zlib.compress(bytes(60_000_000), 1)
    numbers = np.random.default_rng(1).random(1_000_000)
    with h5py.File(tmp_path / "events.h5", "w") as file:
        options = {"chunks": (1_000_000,), "compression": "gzip", "shuffle": True, "fletcher32": True}
        file.create_dataset("events/y", data=numbers, **options)
        hostile = file["events"].create_dataset("x", (1_000_000,), "f8", **options)
        hostile.id.write_direct_chunk((0,), content)
    with open_ntuple(tmp_path / "events.h5", "events") as ntuple:
        assert (next(ntuple.chunks(["y"], 1_000_000)).columns["y"] == numbers).all()
        with pytest.raises(NtuplemlError, match=r"'x'.* the chunk of row 0 has more than its 8,000,000 bytes"):
            next(ntuple.chunks(["x"]))


def test_what_is_packed_twice_is_not_read(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((5,))
        plan.set_deflate(9)
        plan.set_deflate(9)
        space, name = h5py.h5s.create_simple((5,)), b"x"
        h5py.h5d.create(file["events"].id, name, h5py.h5t.IEEE_F64LE, space, dcpl=plan)

    assert "its chunks are packed twice" in _refused(_file(tmp_path, add))


def _list_file(path: Path, length: int, **options: Any) -> Path:
    """A file of 40 lists of two numbers, of which one claims another length."""
    kind = h5py.vlen_dtype(np.dtype("f4"))
    rows = np.empty(40, object)
    rows[:] = [np.arange(2, dtype="f4")] * 40
    with h5py.File(path, "w") as file:
        file["events/y"] = np.arange(40.0)
        lists = file["events"].create_dataset("x", data=rows, dtype=kind, **options)
        place = lists.id.get_offset()
        if options:
            mask, content = lists.id.read_direct_chunk((16,))
            unpacked = bytearray(zlib.decompress(content))
            unpacked[32:36] = length.to_bytes(4, "little")
            lists.id.write_direct_chunk((16,), zlib.compress(bytes(unpacked)), mask)
    if not options:
        content = bytearray(path.read_bytes())
        content[place + 18 * 16 : place + 18 * 16 + 4] = length.to_bytes(4, "little")
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("options", [{}, {"chunks": (16,), "compression": "gzip"}], ids=["plain", "packed"])
def test_the_length_of_a_list_is_not_believed(options: dict[str, Any], tmp_path: Path) -> None:
    """HDF5 would take 14 GB for it."""
    path = _list_file(tmp_path / "events.h5", 3_500_000_000, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_ntuple(path, "events") as ntuple:
        assert list(next(ntuple.chunks(["y"])).columns["y"]) == list(range(40))
        with pytest.raises(NtuplemlError, match=r"'x'.* the list of row 18 has 3,500,000,000 numbers"):
            next(ntuple.chunks(["x"]))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # kB
    with open_ntuple(_list_file(path, 2, **options), "events") as ntuple:
        assert ak.to_list(next(ntuple.chunks(["x"])).columns["x"]) == [[0, 1]] * 40


def test_lists_of_a_field_and_rows_that_nobody_wrote(tmp_path: Path) -> None:
    kind = np.dtype([("flag", "i1"), ("jets", h5py.vlen_dtype(np.dtype("f4"))), ("weight", "f8")])
    rows = np.zeros(40, kind)
    rows["jets"] = [np.arange(number % 3, dtype="f4") for number in range(40)]
    with h5py.File(tmp_path / "events.h5", "w") as file:
        table = file.create_dataset("events/t", (100,), kind, chunks=(7,), compression="gzip", shuffle=True)
        table[:40] = rows
    with open_ntuple(tmp_path / "events.h5", "events") as ntuple:
        found = ak.concatenate([chunk.columns["t.jets"] for chunk in ntuple.chunks(["t.jets"], 30)])
    assert ak.to_list(found) == [*([0.0, 1.0][: number % 3] for number in range(40)), *[[]] * 60]


def test_lists_in_the_head_of_a_dataset_are_not_read(tmp_path: Path) -> None:
    def add(file: Any) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        kind = h5py.h5t.py_create(h5py.vlen_dtype(np.dtype("f4")), logical=True)
        h5py.h5d.create(file["events"].id, b"x", kind, h5py.h5s.create_simple((5,)), dcpl=plan)

    assert "its lists lie in the head of the dataset" in _refused(_file(tmp_path, add))


def test_lists_that_do_not_end(tmp_path: Path) -> None:
    """HDF5 does not end where empty space says that it has no size."""
    path = _list_file(tmp_path / "events.h5", 2, chunks=(16,), compression="gzip")
    content = bytearray(path.read_bytes())
    place = content.index(b"GCOL") + 16
    while content[place : place + 2] != b"\0\0":
        place += 16 + (int.from_bytes(content[place + 8 : place + 16], "little") + 7) // 8 * 8
    content[place + 8 : place + 16] = bytes(8)
    path.write_bytes(content)
    with (
        open_ntuple(path, "events") as ntuple,
        pytest.raises(NtuplemlError, match=r"'x'.* the lists at byte .* do not"),
    ):
        next(ntuple.chunks(["x"]))


def test_lists_that_are_elsewhere(tmp_path: Path) -> None:
    path = _list_file(tmp_path / "events.h5", 2, chunks=(16,), compression="gzip")
    path.write_bytes(path.read_bytes().replace(b"GCOL", b"TREE"))
    with open_ntuple(path, "events") as ntuple, pytest.raises(NtuplemlError, match=r"'x'.* no lists lie at byte"):
        next(ntuple.chunks(["x"]))
