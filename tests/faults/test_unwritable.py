"""Disks that are full or cannot be written, mounted where that is allowed. Whole commands: tools/mount_campaign.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from ntupleml.atomic import replace_file, scratch_folder
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.edited_copy import edited_copy
from ntupleml.ntuples.table_files import new_table_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def _mount(*arguments: object) -> bool:
    if shutil.which("mount") is None:
        return False
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 pages with a file of two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not _mount("-t", "tmpfs", "-o", f"size={16 * PAGE}", "none", folder):
        pytest.skip("nothing can be mounted here")
    try:
        (folder / "old").write_bytes(b"o" * 2 * PAGE)
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def _root_file(path: Path) -> None:
    with uproot.recreate(path) as file:
        file["events"] = {"x": np.random.default_rng(1).normal(size=20_000)}


def _plain(path: Path) -> None:
    path.write_bytes(b"n" * 20 * PAGE)


@pytest.mark.parametrize("write", [_root_file, _plain])
def test_a_full_disk(write: Callable[[Path], None], disk: Path) -> None:
    with (
        pytest.raises(NtuplemlError, match=r"old: cannot be written: no space left on device"),
        replace_file(disk / "old", overwrite=True) as temporary,
    ):
        write(temporary)
    assert [path.name for path in disk.iterdir()] == ["old"]
    assert (disk / "old").read_bytes() == b"o" * 2 * PAGE


def test_a_full_disk_for_a_table(disk: Path) -> None:
    def write() -> None:
        with new_table_file(disk / "a.h5", "events", {"x": "f8"}, 20_000) as table:
            table.extend({"x": np.arange(20_000.0)})
            table.finish("")

    with pytest.raises(NtuplemlError, match=r"a\.h5: cannot be written: no space left on device"):
        write()
    assert [path.name for path in disk.iterdir()] == ["old"]


def test_no_room_for_the_copy_that_is_edited(disk: Path) -> None:
    (disk / "rest").write_bytes(b"r" * 13 * PAGE)
    with pytest.raises(NtuplemlError, match="no space for a copy beside it"), edited_copy(disk / "old"):
        pass
    assert {path.name for path in disk.iterdir()} == {"old", "rest"}


def test_no_room_for_temporary_files(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library says it in its own words, or something else."""

    def work(error: Exception) -> None:
        with scratch_folder():
            raise error

    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    with pytest.raises(NtuplemlError, match=rf"{disk}: no room for temporary files: no space left on device; .*TMPDIR"):
        work(ValueError("the file that was just written cannot be read"))
    assert [path.name for path in disk.iterdir()] == ["old"]
    monkeypatch.setattr(tempfile, "tempdir", str(disk.parent))
    with pytest.raises(ValueError, match=r"^of something else$"):
        work(ValueError("of something else"))
    monkeypatch.setattr(tempfile, "tempdir", str(disk / "missing"))
    with pytest.raises(NtuplemlError, match=r"no folder for temporary files: no such file or directory; .*TMPDIR"):
        work(ValueError("not reached"))


def test_a_disk_that_cannot_be_written(disk: Path) -> None:
    assert _mount("-o", "remount,ro", disk)
    with (
        pytest.raises(NtuplemlError, match=r"new: cannot write there: read-only file system"),
        replace_file(disk / "new"),
    ):
        pass
    with (
        pytest.raises(NtuplemlError, match=r"old: lies on a read-only file system; .*friend"),
        edited_copy(disk / "old"),
    ):
        pass
    assert [path.name for path in disk.iterdir()] == ["old"]


def test_a_file_in_place_on_a_read_only_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its permissions say nothing: `chmod u+w` would not help."""
    (tmp_path / "old").write_text("old")
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(NtuplemlError, match=r"old: lies on a read-only file system"), edited_copy(tmp_path / "old"):
        pass
    assert list(tmp_path.iterdir()) == [tmp_path / "old"]
