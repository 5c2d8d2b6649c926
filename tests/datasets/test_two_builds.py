"""Builds that run at once, or are killed: fold files of two builds never pass for one."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ntupleml.datasets import building, create_training_dataset, read_fold_record
from ntupleml.datasets.copying import copy_events
from ntupleml.datasets.records import require_one_build
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import MakeConfig

PROCESSES = {"sig": {"files": ["signal.root"]}}
#: Builds a dataset, and is killed after some of its files have been renamed.
KILLED = """
import os, pathlib, signal, sys, yaml
from ntupleml.config import DatasetConfig
from ntupleml.datasets import create_training_dataset
left, rename = int(sys.argv[2]), pathlib.Path.replace
def replace(path, target):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)
pathlib.Path.replace = replace
create_training_dataset(DatasetConfig.model_validate(yaml.safe_load(open(sys.argv[1]))), True)
"""


def _names(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir())


def test_the_second_build_waits(signal: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(num_folds=3, processes=PROCESSES)
    begun = threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        time.sleep(0.2)
        return copy_events(*arguments)

    monkeypatch.setattr(building, "copy_events", slow)
    first = threading.Thread(target=create_training_dataset, args=(config, True))
    first.start()
    begun.wait()
    summary = create_training_dataset(config, overwrite=True)
    first.join()
    require_one_build(summary.files)
    assert {read_fold_record(path).dataset for path in summary.files} == {summary.records[0].dataset}  # type: ignore[union-attr]
    assert len(_names(summary.files[0].parent)) == 6


@pytest.mark.parametrize("renamed", range(4))
def test_killed_while_files_are_renamed(renamed: int, signal: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    """The moment is short, but a kill in it is noticed, and the next build cleans up."""
    config = make_config(processes=PROCESSES)
    old = create_training_dataset(config)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", by_alias=True, exclude_unset=True)))
    ended = subprocess.run([sys.executable, "-c", KILLED, path, str(renamed)], check=False)
    assert ended.returncode == -9
    if renamed == 0:
        require_one_build(old.files)
    else:
        with pytest.raises(NtuplemlError, match="build the dataset anew"):
            _check(old.files)
    create_training_dataset(config, overwrite=True)
    require_one_build(old.files)
    assert _names(old.files[0].parent) == sorted(
        f"fold{fold}_dataset.{end}" for fold in (0, 1) for end in ("json", "root")
    )


def _check(files: Sequence[Path]) -> None:
    """What a training checks."""
    require_one_build(files)
    for file in files:
        read_fold_record(file, _uuid(file))


def _uuid(file: Path) -> str:
    import uproot

    with uproot.open(file) as opened:
        return str(opened.file.uuid)


def test_a_record_of_a_later_version_is_refused(signal: Path, make_config: MakeConfig) -> None:
    summary = create_training_dataset(make_config(processes=PROCESSES))
    record = summary.files[1].with_suffix(".json")
    content = json.loads(record.read_text())
    record.write_text(json.dumps({"format_version": 2, "dataset": content["dataset"], "what": "comes later"}))
    for read in (lambda: read_fold_record(summary.files[1]), lambda: require_one_build(summary.files)):
        with pytest.raises(NtuplemlError, match="is of format 2, which a later version of ntupleml wrote"):
            read()


def test_an_input_that_changes_before_it_is_read_is_refused(
    signal: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced(*arguments: Any) -> Any:
        import uproot

        with uproot.open(signal) as file:
            columns = file["ntuple"].arrays(library="np")
        with uproot.recreate(signal) as file:
            file.mktree("ntuple", {name: values.dtype for name, values in columns.items()}).extend(columns)
        return copy_events(*arguments)

    monkeypatch.setattr(building, "copy_events", replaced)
    with pytest.raises(NtuplemlError, match=r"signal.root: has changed since the build began"):
        create_training_dataset(make_config(processes=PROCESSES))
