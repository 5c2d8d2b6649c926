"""Stored images of a project on missing transverse energy: each answer of ours agrees, and what is altered does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

TOP = Path(__file__).resolve().parents[2]
STORED = TOP / "tests" / "data" / "etmiss"


def agreement(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOP / "tools" / "agreement.py", "etmiss", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_all_stored_answers_agree_but_for_one_that_is_altered(tmp_path: Path) -> None:
    """Components, the loss (907.65 for SoftKiller), padding, reversed kernels, and both whole networks."""
    shutil.copytree(STORED, tmp_path, dirs_exist_ok=True)
    with np.load(STORED / "etmiss.npz") as file:
        arrays = {name: file[name] for name in file}
    arrays["components_SK"][3, 1] += 1e-3
    np.savez(tmp_path / "etmiss.npz", **arrays)
    result = agreement(tmp_path)
    lines = result.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if "BEYOND" in line] == ["components of SK"], result.stderr
    assert sum("agrees" in line for line in lines) == 31
    assert lines[-1] == "32 quantities, 1 beyond their limit"
    assert result.returncode == 1


def test_an_empty_folder_holds_nothing_of_the_layout(tmp_path: Path) -> None:
    result = agreement(tmp_path)
    assert result.returncode == 2
    assert "holds nothing of the layout of 'etmiss'" in result.stdout
