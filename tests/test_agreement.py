"""The comparison with stored answers says what agrees and what does not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TOP = Path(__file__).resolve().parents[1]
LWTNN = TOP / "tests" / "data" / "lwtnn"
TMVA = TOP / "tests" / "data" / "tmva"


def agreement(kind: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOP / "tools" / "agreement.py", kind, folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    shutil.copytree(LWTNN / "scaler_robust", tmp_path / "networks" / "scaler_robust")
    return tmp_path / "networks"


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    """The stored events are the first of those that the layout has."""
    folder = tmp_path / "methods"
    shutil.copytree(TMVA / "bin_bdtg_expr", folder / "bin_bdtg_expr")
    (folder / "data").mkdir()
    with np.load(TMVA / "toy2_eval.npz") as events:
        np.savez(folder / "data" / "toy2.npz", **{f"eval/{name}": events[name] for name in events})
    return folder


def test_what_agrees(networks: Path, methods: Path) -> None:
    for kind, folder, lines in (("lwtnn", networks, 4), ("tmva", methods, 3)):
        done = agreement(kind, folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(": agrees\n") == lines
        assert done.stdout.endswith(f"{lines} quantities, 0 beyond their limit\n")


@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_what_does_not_agree(networks: Path, change: float) -> None:
    file = networks / "scaler_robust" / "data.npz"
    data = dict(np.load(file))
    data["y_lwtnn"][7] += change
    np.savez(file, **data)
    done = agreement("lwtnn", networks)
    assert done.returncode == 1
    assert done.stdout.count("BEYOND THE LIMIT") == 4


def test_what_is_refused_does_not_agree(networks: Path) -> None:
    (networks / "scaler_robust" / "lwtnn.json").write_text("{")
    done = agreement("lwtnn", networks)
    assert done.returncode == 1
    assert "refused: " in done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_of_another_layout(tmp_path: Path) -> None:
    assert agreement("tmva", tmp_path).returncode == 2
