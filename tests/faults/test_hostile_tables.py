"""HDF5 and Parquet files that lead to other files, declare more than they hold, or are damaged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

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
