"""Writes that fail: one line, the old files as they were, nothing left. Whole commands: tools/disk_campaign.py."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.figure import Figure

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.table_files import new_table_file
from ntupleml.plots.style import save_figure
from ntupleml.training.record_parts import log_file

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_commands_whose_writes_fail(project: Path) -> None:
    command = [sys.executable, project / "tools" / "disk_campaign.py", "onnx", "score-table", "--number", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    faults = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines()[1:]}
    assert faults == {"onnx": "0", "score-table": "0"}


@contextmanager
def _no_file_above(size: int) -> Iterator[None]:
    """Let writes beyond a size fail (EFBIG)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [100, 5_000, 30_000, 79_000])
def test_hdf5_survives_a_full_disk(size: int, tmp_path: Path) -> None:
    """HDF5 that meets a failure itself crashes when the file is closed, or the process ends."""
    path = tmp_path / "a.h5"
    path.write_text("old")

    def write() -> None:
        with _no_file_above(size), new_table_file(path, "events", {"x": "f8"}, 10_000, overwrite=True) as table:
            table.extend({"x": np.arange(10_000.0)})
            table.finish("")

    with pytest.raises(NtuplemlError, match=r"a\.h5: cannot be written: file too large"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("file_format", ["pdf", "png", "svg"])
def test_figures_on_a_full_disk(file_format: str, tmp_path: Path) -> None:
    figure = Figure()
    figure.subplots().plot([0, 1])
    with (
        pytest.raises(NtuplemlError, match=rf"a\.{file_format}: cannot be written: file too large"),
        _no_file_above(3000),
    ):
        save_figure(figure, tmp_path / "a", [file_format])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ESTALE])
def test_a_disk_that_fails_is_one_line(number: int, tmp_path: Path) -> None:
    with (
        pytest.raises(NtuplemlError, match=rf"a: cannot be written.*: {os.strerror(number).lower()}"),
        replace_file(tmp_path / "a"),
    ):
        raise OSError(number, "from a library")
    assert not list(tmp_path.iterdir())


def test_files_that_cannot_all_be_renamed_are_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b").write_text("old")
    rename = Path.replace

    def fail_for_c(self: Path, target: Path) -> Path:
        if Path(target).name == "c":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(target))
        return rename(self, target)

    @all_or_none()
    def write() -> None:
        for name in "abc":
            with replace_file(tmp_path / name, overwrite=True) as temporary:
                temporary.write_text("new")

    monkeypatch.setattr(Path, "replace", fail_for_c)
    with pytest.raises(OSError, match="Input/output"):
        write()
    assert list(tmp_path.iterdir()) == [tmp_path / "b"]
    assert (tmp_path / "b").read_text() == "old"


def test_a_log_that_cannot_be_written_is_said_once(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with log_file(Path("/dev/full")):
        logging.getLogger("ntupleml").info("a line")
        logging.getLogger("ntupleml").info("another")
    assert [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING] == [
        "/dev/full: is not complete: no space left on device"
    ]
    assert "Traceback" not in capfd.readouterr().err
