"""`source setup.sh` in bash and zsh: with a stand-in for an LCG view, and again and again."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like an LCG view: all our requirements on PYTHONPATH, but for lark; TensorFlow under its other name."""
    folder = tmp_path_factory.mktemp("view")
    packages = folder / "lib"
    packages.mkdir()
    for entry in Path(importlib.metadata.distribution("numpy").locate_file("")).iterdir():
        if entry.name.startswith(("lark", "ntupleml", "__editable__")) or entry.name.endswith(".pth"):
            continue
        name = entry.name.replace("tensorflow_cpu-", "tensorflow-")
        if name == entry.name:
            (packages / name).symlink_to(entry)
        else:
            shutil.copytree(entry, packages / name)
            metadata = packages / name / "METADATA"
            metadata.write_text(metadata.read_text().replace("Name: tensorflow_cpu", "Name: tensorflow"))
    (folder / "setup.sh").write_text(f"export PYTHONPATH={packages}\nexport FROM_VIEW=yes\n")
    return folder


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of the one package that the view lacks."""
    folder = tmp_path_factory.mktemp("wheels")
    lark = importlib.metadata.distribution("lark")
    with zipfile.ZipFile(folder / f"lark-{lark.version}-py3-none-any.whl", "w") as wheel:
        for file in lark.files or []:
            if file.suffix != ".pyc" and ".." not in file.parts:
                wheel.write(file.locate(), str(file))
    return folder


def source(shell: str, commands: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PIP", "VIRTUAL"))}
    python = Path(sys.executable).resolve().parent
    environment["PATH"] = f"{python}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        [shell, "-c", commands], cwd=folder, env=environment | variables, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_a_view_gets_an_overlay_of_what_is_missing(
    shell: str, view: Path, wheels: Path, project: Path, tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay"
    commands = f"""
        source {project}/setup.sh && source {project}/setup.sh && echo "PATH:$PATH" && echo "VIEW:$FROM_VIEW" &&
        python -c 'import lark, numpy, ntupleml; print("lark", lark.__file__); print("numpy", numpy.__file__)'
    """
    variables = {"LCG_VIEW": str(view), "NTUPLEML_ENVIRONMENT": str(overlay)}
    variables |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    result = source(shell, commands, tmp_path, **variables)
    assert result.returncode == 0, result.stderr
    lines = dict(line.split(maxsplit=1) if " " in line else line.split(":", 1) for line in result.stdout.splitlines())
    assert lines["VIEW"] == "yes"
    assert lines["lark"].startswith(str(overlay))
    assert lines["numpy"].startswith(str(view))
    assert lines["PATH"].count(str(overlay)) == 1, "sourcing twice must not lengthen PATH"
    assert (overlay / "missing-requirements.txt").read_text().split(">=")[0] == "lark"
    again = source(shell, f"source {project}/setup.sh", tmp_path, **variables)
    assert again.returncode == 0
    assert "installing" not in again.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_a_view_that_is_not_there(shell: str, project: Path, tmp_path: Path) -> None:
    result = source(shell, f"source {project}/setup.sh; echo status $?", tmp_path, LCG_VIEW="/no/such/view")
    assert "LCG_VIEW=/no/such/view: no setup.sh there" in result.stderr
    assert result.stdout == "status 1\n"
    assert not (project / ".overlay").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_no_python_that_fits(shell: str, project: Path, tmp_path: Path) -> None:
    """Only Pythons from 3.11 to 3.13 are taken; where there is none, one line says so."""
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    commands = f"PATH={tmp_path}:$PATH; source {project}/setup.sh; echo status $?"
    result = source(shell, commands, tmp_path, NTUPLEML_ENVIRONMENT=str(tmp_path / "environment"), LCG_VIEW="")
    assert "no Python from 3.11 to 3.13 found" in result.stderr
    assert result.stdout == "status 1\n"
    assert not (tmp_path / "environment").exists()


def test_requirements_that_are_there_are_not_missing(project: Path) -> None:
    """The environment that runs these tests has everything."""
    command = [sys.executable, str(project / "tools" / "missing_requirements.py"), "batch,keras,root,trees,dev"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""
