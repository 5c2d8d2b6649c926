"""Files are complete or not there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ntupleml.atomic import all_or_none, hidden_folder, host, locked, replace_file
from ntupleml.errors import NtuplemlError


def test_the_file_appears_at_the_end_with_the_suffix_kept(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model.keras"
    with replace_file(path) as temporary:
        assert temporary.suffix == ".keras"
        temporary.write_text("content")
        assert not path.exists()
    assert path.read_text() == "content"
    assert [entry.name for entry in path.parent.iterdir()] == ["model.keras"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with replace_file(path, overwrite=True) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_that_were_made_for_nothing_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()

    def write() -> None:
        with replace_file(tmp_path / "old" / "new" / "newer" / "one"), replace_file(tmp_path / "other" / "two"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_an_existing_file_is_refused_unless_overwrite_is_given(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"), replace_file(path):
        pytest.fail("the block must not be entered")
    with replace_file(path, overwrite=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_file_that_appears_in_between_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write() -> None:
        with replace_file(path) as temporary:
            temporary.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(NtuplemlError, match="exists already"):
        write()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replace_file(tmp_path / "file") as temporary:
        temporary.touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_devices_and_pipes_are_never_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(NtuplemlError, match="is a device or pipe"), replace_file(pipe, overwrite=True):
        pytest.fail("the block was entered")
    assert pipe.is_fifo()


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("")
    with pytest.raises(NtuplemlError, match="folder' is not a folder"), replace_file(tmp_path / "folder" / "file"):
        pytest.fail("the block must not be entered")
    with pytest.raises(NtuplemlError, match="is a folder"), replace_file(tmp_path, overwrite=True):
        pytest.fail("the block must not be entered")


def test_several_files_appear_together(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")
    with all_or_none():
        for name in ("one", "new/two"):
            with replace_file(tmp_path / name, overwrite=True) as temporary:
                temporary.write_text("new")
        assert (tmp_path / "one").read_text() == "old"
        assert not (tmp_path / "new" / "two").exists()
    assert [(tmp_path / name).read_text() for name in ("one", "new/two")] == ["new", "new"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "one", "two"]


def test_none_of_several_files_appears_if_one_fails(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")

    def write() -> None:
        with all_or_none():
            for name in ("one", "new/two", "new/newer/three"):
                with replace_file(tmp_path / name, overwrite=True) as temporary:
                    temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert (tmp_path / "one").read_text() == "old"
    assert [path.name for path in tmp_path.rglob("*")] == ["one"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="another system says nothing of such processes")
def test_what_a_killed_process_left_is_removed_before_anybody_waited_for_it(tmp_path: Path) -> None:
    path = tmp_path / "friend.root"
    with subprocess.Popen(["sleep", "60"]) as process:
        left = tmp_path / f".friend.{host()}-{process.pid}-0123abcd.root"
        left.touch()
        with replace_file(path) as temporary:
            temporary.touch()
        assert left.exists()  # that process works on it
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its number is still taken
        with replace_file(path, overwrite=True) as temporary:
            temporary.touch()
        assert list(tmp_path.iterdir()) == [path]


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    path, order = tmp_path / "file", []
    begun = threading.Event()

    def first() -> None:
        with replace_file(path) as temporary:
            begun.set()
            time.sleep(0.2)
            order.append("first")
            temporary.write_text("first")

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    with replace_file(path, overwrite=True) as temporary:
        order.append("second")
        temporary.write_text("second")
    thread.join()
    assert (order, path.read_text()) == (["first", "second"], "second")
    assert list(tmp_path.iterdir()) == [path]


def test_who_waited_does_not_overwrite_unasked(tmp_path: Path) -> None:
    path, begun = tmp_path / "file", threading.Event()

    def first() -> None:
        with replace_file(path) as temporary:
            begun.set()
            time.sleep(0.2)
            temporary.write_text("first")

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    with pytest.raises(NtuplemlError, match="exists already"), replace_file(path):
        pytest.fail("the block must not be entered")
    thread.join()
    assert path.read_text() == "first"


def test_who_does_not_wait_is_refused(tmp_path: Path) -> None:
    def second() -> None:
        with pytest.raises(NtuplemlError, match="another command is writing it"), locked(tmp_path / "a", wait=False):
            pytest.fail("the block must not be entered")

    with locked(tmp_path / "a"), locked(tmp_path / "a", wait=False):  # the same thread may
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    program = (
        "import os, signal, sys\n"
        "from ntupleml.atomic import locked\n"
        "with locked(sys.argv[1]): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, path], check=False)
    assert [entry.name for entry in tmp_path.iterdir()] == [".file.lock"]
    with replace_file(path) as temporary:
        temporary.write_text("new")
    assert list(tmp_path.iterdir()) == [path]


def test_a_hidden_folder_goes_away_with_the_next_one(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = tmp_path / f".fold0-{host()}-{int(gone.stdout)}-0123abcd"
    left.mkdir()
    (left / "model").write_text("half")
    with hidden_folder(tmp_path, ".fold0-") as folder:
        assert [entry.name for entry in tmp_path.iterdir()] == [folder.name]
    assert not list(tmp_path.iterdir())
