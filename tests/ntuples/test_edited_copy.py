"""A file is edited on a copy, which takes its place as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.edited_copy import edited_copy


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.root"
    path.write_bytes(b"old")
    return path


def edit(path: Path) -> None:
    with edited_copy(path) as copy:
        assert copy.read_bytes() == b"old"
        copy.write_bytes(b"new")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_copy_takes_the_place_of_the_file(file: Path) -> None:
    with edited_copy(file) as copy:
        assert copy.name.startswith(".")
        assert copy.suffix == ".partial"
        assert copy.parent == file.parent
        copy.write_bytes(b"new")
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert names(file.parent) == ["data.root"]


def test_an_exception_leaves_the_old_file_alone(file: Path) -> None:
    def fail() -> None:
        with edited_copy(file) as copy:
            copy.write_bytes(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert file.read_bytes() == b"old"
    assert names(file.parent) == ["data.root"]


def test_where_the_kernel_cannot_copy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuse)
    edit(file)
    assert file.read_bytes() == b"new"


def test_permissions_attributes_and_age(file: Path) -> None:
    file.chmod(0o640)
    os.setxattr(file, "user.dataset", b"2018")
    os.utime(file, (1, 1))
    edit(file)
    assert file.stat().st_mode & 0o7777 == 0o640
    assert os.getxattr(file, "user.dataset") == b"2018"
    assert file.stat().st_mtime > 1, "it was changed now"


def test_a_link_stays_and_its_target_is_replaced(file: Path, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.root"
    link.symlink_to("../data.root")
    edit(link)
    assert link.is_symlink()
    assert file.read_bytes() == b"new"
    assert names(link.parent) == ["link.root"]


def test_a_write_protected_file_is_refused(file: Path) -> None:
    file.chmod(0o444)
    with pytest.raises(NtuplemlError, match=r"data\.root: no permission to write; .*friend"):
        edit(file)
    assert file.read_bytes() == b"old"
    assert names(file.parent) == ["data.root"]


def test_a_folder_without_write_permission_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the superuser no folder is closed, so the answer of the system is put in."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != file.parent)
    with pytest.raises(NtuplemlError, match=r"data\.root: no permission to write in its folder"):
        edit(file)
    assert file.read_bytes() == b"old"


def test_a_file_that_another_program_changes_meanwhile_is_left_alone(file: Path) -> None:
    def interfere() -> None:
        with edited_copy(file) as copy:
            copy.write_bytes(b"new")
            file.write_bytes(b"by another program")

    with pytest.raises(NtuplemlError, match="changed by another program"):
        interfere()
    assert file.read_bytes() == b"by another program"
    assert names(file.parent) == ["data.root"]


def test_copies_of_killed_runs_are_removed_and_no_others(file: Path) -> None:
    with edited_copy(file) as copy:
        living = copy.name
    dead = living.replace(f"-{os.getpid()}-", "-4194305-")  # above the largest process number of Linux
    mine = living.replace(".partial", "x.partial")
    elsewhere = ".data.root.anotherhost-4194305-01234567.partial"
    other_file = dead.replace("data.root", "other.root")
    for name in (living, dead, mine, elsewhere, other_file):
        file.with_name(name).write_text("")
    edit(file)
    assert names(file.parent) == sorted([living, mine, elsewhere, other_file, "data.root"])


def test_long_names(tmp_path: Path) -> None:
    path = tmp_path / f"{'n' * 250}.root"
    path.write_bytes(b"old")
    edit(path)
    assert path.read_bytes() == b"new"
