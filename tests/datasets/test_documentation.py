"""The examples of docs/dataset.md work as printed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ntupleml.datasets.example import write_example_dataset
from ntupleml.expressions import parse

if TYPE_CHECKING:
    from pathlib import Path

RunScript = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def page(project: Path) -> str:
    return (project / "docs" / "dataset.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def test_the_example(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_script: RunScript,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_example_dataset(tmp_path / "example", 10_000, 1234)
    config, *_ = blocks(page, "yaml")
    (tmp_path / "documented.yaml").write_text(config)
    done = run_script("dataset/create_training_dataset.py", "documented.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = done.stdout[done.stdout.index("process   ") :]
    assert len(table.splitlines()) == 2 + 3 * 3
    assert "".join(f"    {line}\n" for line in table.splitlines()) in page
    monkeypatch.chdir(tmp_path)
    for code in blocks(page, "python"):
        exec(code, {})
    printed = capsys.readouterr().out
    assert printed.startswith("3 branch 'event' 0.033")
    assert table in printed


def test_what_inspect_ntuple_shows(page: str, tmp_path: Path, run_script: RunScript) -> None:
    write_example_dataset(tmp_path / "example", 10_000, 1234)
    done = run_script("dataset/inspect_ntuple.py", "example/example_signal.root", "ntuple", cwd=tmp_path)
    shown = "".join(f"    {line.rstrip()}\n" for line in done.stdout.splitlines())
    assert shown in page


def test_formulas(page: str) -> None:
    paragraph = page.split("in the syntax of ROOT's `TTree::Draw`:")[1].split("As with ROOT")[0]
    formulas = re.findall(r"`([^`]+)`", paragraph)
    assert len(formulas) == 4
    for formula in formulas:
        assert parse(formula).branches
