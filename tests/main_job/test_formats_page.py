"""docs/formats.md: its examples print what stands there, and it names every file and every key of the records."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    return (project / "docs" / "formats.md").read_text()


def names_in_tables(text: str) -> set[str]:
    """What is in backticks in the first column of tables."""
    return {
        name for line in re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE) for name in re.findall("`([^`]+)`", line)
    }


def test_the_examples(
    page: str, toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(toy.folder / "example", tmp_path / "example")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", page, re.DOTALL)
    assert len(blocks) == page.count("```python") > 5
    variables: dict[str, Any] = {}
    for code, printed in blocks:
        exec(code, variables)
        assert capsys.readouterr().out == printed


def test_every_file_is_named(page: str, toy: Any) -> None:
    named = names_in_tables(page.split("\n## ")[0])
    patterns = {re.sub(r"\\{\w+\\}", r"\\w+", re.escape(name)): name for name in named}
    folder = toy.folder / "example"
    inputs = {path.name for path in folder.glob("example_*.root")}
    written = {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.name not in inputs}
    written = {name.removeprefix("friends/") for name in written}
    assert len(written) > 80
    for name in written:
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name
    for pattern, name in patterns.items():
        assert any(re.fullmatch(pattern, file) for file in written), name


def test_every_key_of_a_fold_record_is_named(page: str, toy: Any) -> None:
    section = page.split("### The record of a fold file")[1].split("\n## ")[0]
    record = toy.record("example/fold0_example_dataset.json")
    process = record["processes"]["signal"]
    assert names_in_tables(section) == {*record, *process}
    for key in process["files"][0]:
        assert f"`{key}`" in section


def test_every_key_of_a_training_record_is_named(page: str, toy: Any) -> None:
    section = page.split("### The record of a training")[1].split("\n### ")[0]
    record = toy.record("example/fold0_keras_training.json")
    assert names_in_tables(section) == set(record)
    dataset = record["datasets"][0]
    for key in [*dataset, *dataset["classes"]["signal"], *record["split"], *record["history"], *record["onnx_check"]]:
        assert f"`{key}`" in section
