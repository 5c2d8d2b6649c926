"""Each command ends with a line on the files that it wrote, however they came to be."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.cli import main
from ntupleml.cluster.tasks import call
from ntupleml.command_line import run
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.edited_copy import edited_copy

if TYPE_CHECKING:
    from collections.abc import Callable

LINE = re.compile(r"wrote (\d+) files?(?:: (.*)| in (.*)) \(([\d.]+ [kMG]?B)\)")


def write(name: str, text: str = "x") -> None:
    with replace_file(name, overwrite=True) as temporary:
        temporary.write_text(text)


def _together() -> None:
    with all_or_none():
        write("a")
        write("b")


def _edited() -> None:
    Path("a").write_text("old")
    with edited_copy("a") as copy:
        Path(copy).write_text("new")


def _gone() -> None:
    write("a")
    write("b")
    Path("a").unlink()


def _failed() -> None:
    write("a")
    with pytest.raises(NtuplemlError), replace_file("b"):
        raise NtuplemlError


def _many() -> None:
    for number in range(7):
        write(f"out/sub{number % 2}/{number}", "x" * 300)


@pytest.mark.parametrize(
    ("work", "wanted"),
    [
        (lambda: None, []),
        (lambda: write("a"), ["wrote 1 file: a (1 B)"]),
        (lambda: [write("a"), write("a")], ["wrote 1 file: a (1 B)"]),
        (_together, ["wrote 2 files: a, b (2 B)"]),
        (_edited, ["wrote 1 file: a (3 B)"]),
        (_gone, ["wrote 1 file: b (1 B)"]),
        (_failed, ["wrote 1 file: a (1 B)"]),
        (_many, ["wrote 7 files in out (2.1 kB)"]),
        (lambda: call(os.getcwd(), write, ("a",)).finished(0), ["wrote 1 file: a (1 B)"]),  # noqa: PTH109
        (lambda: write("a", "x" * 1_234_567), ["wrote 1 file: a (1.2 MB)"]),
    ],
)
def test_ways_to_write(
    work: Callable[[], Any],
    wanted: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)

    def command(_arguments: argparse.Namespace) -> int:
        work()
        return 0

    assert run(command, argparse.ArgumentParser(), []) == 0
    assert capsys.readouterr().err.splitlines() == wanted
    assert run(command, argparse.ArgumentParser(), ["--quiet"]) == 0
    assert capsys.readouterr().err == ""


COMMANDS = [
    ["write-example", "example", "--events", "300"],
    ["inspect", "example/example_signal.root"],
    ["networks"],
    ["init", "example/example_signal.root", "ntuple", "--one-file"],
    ["dataset", "analysis.yaml"],
    ["dataset", "analysis.yaml", "--overwrite", "--workers", "2"],
    ["validate-inputs", "analysis.yaml"],
    ["train-bdt", "analysis.yaml", "all"],
    ["roc-curves", "analysis.yaml", "all"],
    ["confusion-matrix", "analysis.yaml", "0"],
    ["compare-methods", "analysis.yaml", "all"],
    ["compare-engines", "analysis.yaml", "0"],
    ["export-to-onnx", "analysis.yaml", "all", "--method", "histogram"],
    ["inputs", "analysis.yaml", "example/example_data.root", "ntuple", "inputs.npz"],
    ["score-table", "analysis.yaml", "example/example_data.root", "ntuple", "-o", "scores.parquet"],
    ["apply-bdt", "--friend", "analysis.yaml", "example/example_data.root", "ntuple"],
    ["apply-bdt", "analysis.yaml", "example/example_data.root", "example/example_signal.root", "ntuple"],
    ["compare-files", "analysis.yaml"],
]
WRITE_NOTHING = {"inspect", "networks"}


def states(folder: Path) -> dict[str, tuple[int, int]]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


@pytest.mark.slow
def test_the_verbs_say_what_is_new_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counted by looking at the folder before and after."""
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        before = states(tmp_path)
        assert main(command) == 0, command
        lines = capsys.readouterr().err.splitlines()
        after = states(tmp_path)
        new = [name for name, state in after.items() if before.get(name) != state]
        if command[0] == "init":
            content = yaml.safe_load(Path("analysis.yaml").read_text())
            content["training"]["boosted_trees"][0]["rounds"] = 10
            for stage in ("testing", "application"):
                content[stage]["method"] = "histogram"
            Path("analysis.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        found = [LINE.fullmatch(line) for line in lines]
        if command[0] in WRITE_NOTHING:
            assert not any(found)
            continue
        last = found[-1]
        assert last is not None, (command, lines[-1:])
        assert int(last[1]) == len(new), (command, sorted(new))
        for name in last[2].split(", ") if last[2] else []:
            assert name in new, command
        if last[3]:
            assert all((tmp_path / name).is_relative_to(tmp_path / last[3]) for name in new), command
