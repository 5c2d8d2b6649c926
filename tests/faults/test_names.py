"""Names from configs and files in output paths, and nothing that reaches a shell."""

from __future__ import annotations

import ast
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.atomic import replace_file
from ntupleml.config import DatasetConfig, TrainingConfig
from ntupleml.datasets import create_training_dataset
from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

#: Harmless as names of processes and trees, which are no files; as names of files they are not.
STRANGE = [
    "../x",
    "a/b",
    "..",
    "x" * 300,
    "é名",
    "a b",
    "$(touch marker)",
    ";touch marker;",
    "`touch marker`",
    "-rf",
    "~",
]


@pytest.fixture
def ntuple(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    with uproot.recreate(folder / "$(touch marker); a.root") as file:
        file.mktree("ntuple", {"event": "i8"}).extend({"event": np.arange(40)})
    return next(folder.iterdir())


def _dataset(ntuple: Path, output: Path, process: str = "p", **changes: Any) -> DatasetConfig:
    content = {
        "output_path": str(output),
        "output_filename": "d.root",
        "tree_path": "ntuple",
        "event_branch": "event",
        "processes": {process: {"files": [str(ntuple)], "class": "signal"}},
    }
    return DatasetConfig.model_validate({**content, **changes})


@pytest.mark.parametrize("name", STRANGE)
def test_names_of_processes_leave_nothing_elsewhere(
    name: str, ntuple: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    create_training_dataset(_dataset(ntuple, tmp_path / "out", name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    found = {path.name for path in (tmp_path / "out").iterdir() if path.name[0] != "."}
    assert found == {f"fold{fold}_d.{ending}" for fold in (0, 1) for ending in ("root", "json")}


@pytest.mark.parametrize("name", ["../x.root", "a/b.root", "/tmp/x.root", "", "x", "a\nb.root", "x" * 300 + ".root"])
def test_names_of_files_are_one_line(name: str, ntuple: Path, tmp_path: Path) -> None:
    with pytest.raises((NtuplemlError, ValueError), match=r"name|at least 1 character|unprintable"):
        create_training_dataset(_dataset(ntuple, tmp_path / "out", output_filename=name))
    assert not list((tmp_path / "out").glob("**/*.root"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a b", ".", "..", "a.b", "$(x)", "a'b"])
def test_classes_and_methods(name: str) -> None:
    """They name trees, branches and files."""
    training = {"datasets": ["a", "b"], "output_path": "o", "variables": ["x"], "classes": ["a", "b"]}
    for changed in (
        {"classes": [name, "b"]},
        {"tmva": {"methods": [{"name": name, "type": "kBDT"}]}},
        {"boosted_trees": {name: {"type": "xgboost"}}},
    ):
        with pytest.raises(ValueError, match="validation error"):
            TrainingConfig.model_validate({**training, **changed})


def test_a_link_at_the_output_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("of the user")
    (tmp_path / "out").symlink_to(kept)
    with pytest.raises(NtuplemlError, match="exists"), replace_file(tmp_path / "out"):
        pytest.fail("must not be opened")
    with replace_file(tmp_path / "out", overwrite=True) as temporary:
        temporary.write_text("new")
    assert kept.read_text() == "of the user"
    assert (tmp_path / "out").read_text() == "new"


def test_nothing_is_given_to_a_shell(project: Path) -> None:
    """No call with `shell=`, no os.system, os.popen or getoutput, in the package and its scripts."""
    folders = [project / name for name in ("python", "dataset", "training", "testing", "application")]
    for path in (file for folder in folders for file in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert not any(word.arg == "shell" for word in node.keywords), f"{path}: {name}"
                assert name.rpartition(".")[2] not in {"system", "popen", "getoutput", "getstatusoutput"}, (
                    f"{path}: {name}"
                )


def test_many_or_long_names_of_a_file_are_told_shortly() -> None:
    """A file can have ten million keys, or one of ten million letters; comparing all of them took minutes."""
    names = itertools.chain(("x" * 10_000_000, "\x1b[31m\n"), map(str, range(1_000_000)))
    message = did_you_mean("weight", names)
    assert message.startswith("; there are: 'xxx")
    assert message.endswith(" and 999996 more")
    assert len(message) < 500
    assert message.isprintable()
    assert did_you_mean("weight", itertools.chain(["weights"], ("y" * size for size in range(1_000)))) == (
        "; nearest: 'weights'"
    )
