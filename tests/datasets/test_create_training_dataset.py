"""The script, run as a user does; and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal as signals
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot
import yaml

import ntupleml
from ntupleml.datasets import create_training_dataset
from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import MakeConfig, WriteNtuple

RunScript = Callable[..., subprocess.CompletedProcess[str]]
SCRIPT = "dataset/create_training_dataset.py"


def write_config(path: Path, folder: Path, **keys: object) -> Path:
    content = {
        "output_path": str(folder / "output"),
        "output_filename": "dataset.root",
        "base_path": str(folder / "ntuples"),
        "tree_path": "ntuple",
        "event_branch": "event",
        "processes": {"sig": {"files": ["signal.root"], "cut_string": "x > 0.25", "weight_string": "w"}},
        **keys,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_table_and_the_log(signal: Path, tmp_path: Path, run_script: RunScript) -> None:
    done = run_script(SCRIPT, write_config(tmp_path / "dataset.yaml", tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "reading process sig"
    assert lines[1].startswith("wrote 4 files: ")
    assert {f"{tmp_path}/output/fold{fold}_dataset.root" for fold in (0, 1)} <= {*lines[-1].replace(",", "").split()}
    assert done.stdout.splitlines()[-1].split()[:5] == ["sig", "sig", "1", "500", "374"]
    assert "\x1b" not in done.stderr
    quiet = run_script(SCRIPT, tmp_path / "dataset.yaml", "--overwrite", "--quiet")
    assert (quiet.stdout, quiet.stderr) == (done.stdout, "")
    assert sorted(path.name for path in (tmp_path / "output").iterdir()) == [
        *("fold0_dataset.json", "fold0_dataset.root", "fold1_dataset.json", "fold1_dataset.root"),
    ]


def test_bad_input_is_one_line_and_status_2(signal: Path, tmp_path: Path, run_script: RunScript) -> None:
    config = write_config(tmp_path / "dataset.yaml", tmp_path, tree_path="tree")
    done = run_script(SCRIPT, config)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "signal.root: no tree 'tree'" in done.stderr
    (tmp_path / "ntuples/signal.root").write_bytes(signal.read_bytes()[:-100])
    done = run_script(SCRIPT, write_config(tmp_path / "dataset.yaml", tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "signal.root: is truncated" in done.stderr


def test_a_full_disk_is_one_line_and_leaves_nothing(signal: Path, tmp_path: Path, project: Path) -> None:
    """A limit on the size of files, at which writing fails as it does on a full disk."""
    config = write_config(tmp_path / "dataset.yaml", tmp_path)
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 4 && exec "$@"', "bash", sys.executable, str(project / SCRIPT), str(config)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("_dataset.root: cannot be written: file too large")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "output").exists()


def test_a_progress_bar_on_terminals_only(signal: Path, tmp_path: Path, project: Path) -> None:
    config = write_config(tmp_path / "dataset.yaml", tmp_path)
    terminal, inside = os.openpty()
    process = subprocess.Popen(
        [sys.executable, str(project / SCRIPT), str(config)], stderr=inside, env={**os.environ, "TERM": "xterm"}
    )
    os.close(inside)
    shown = bytearray()
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other side has closed the terminal
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    assert process.wait(60) == 0
    text = shown.decode()
    assert "1000/1000" in text.replace("\x1b", "")
    assert "reading process" not in text


def test_a_dry_run_writes_nothing(signal: Path, tmp_path: Path, run_script: RunScript) -> None:
    done = run_script(SCRIPT, write_config(tmp_path / "dataset.yaml", tmp_path), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "would be read: process 'sig' of class 'sig': 1 files, 1,000 rows before cuts",
        *(f"would be written: {tmp_path}/output/fold{fold}_dataset.root" for fold in (0, 1)),
    ]
    assert not (tmp_path / "output").exists()


RDATAFRAME = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ROOT
frame = ROOT.RDataFrame("ntuple", sys.argv[1])
found = []
for fold in (0, 1):
    selected = frame.Filter(f"event % 2 == {fold}").Filter("x > 0.25 && (n != 3 || w < 0)").Define("t", "(float)(w*x)")
    found.append([selected.Count(), selected.Sum("t")])
print(json.dumps([[count.GetValue(), total.GetValue()] for count, total in found]))
"""


def test_the_same_events_as_rdataframe(signal: Path, make_config: MakeConfig, tmp_path: Path) -> None:
    processes = {
        "sig": {"files": ["signal.root"], "cut_string": "x > 0.25 && (n != 3 || w < 0)", "weight_string": "w*x"}
    }
    summary = create_training_dataset(make_config(processes=processes))
    command = [sys.executable, "-c", RDATAFRAME, str(signal)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for record, (count, total) in zip(summary.records, json.loads(done.stdout), strict=True):
        assert record.processes["sig"].events_kept == count
        assert record.processes["sig"].sum_of_weights == pytest.approx(total, rel=1e-9)


@pytest.fixture
def large(write_ntuple: WriteNtuple) -> Path:
    """Enough to be killed while it is read: 600,000 events with 12 branches."""
    number = np.arange(600_000)
    random = np.random.default_rng(1)
    columns = {f"x{i}": random.standard_normal(len(number), dtype="f4") for i in range(10)}
    return write_ntuple("signal.root", event=number, x=number / len(number), w=number % 3 + 1.0, **columns)


def size_of_temporaries(folder: Path) -> int:
    total = 0
    for path in folder.glob(".*.root"):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            total += path.stat().st_size
    return total


@pytest.mark.parametrize("written", [1, 1_000_000])
@pytest.mark.parametrize("is_old", [False, True])
def test_a_kill_leaves_the_old_files_or_none(
    large: Path, tmp_path: Path, project: Path, run_script: RunScript, is_old: bool, written: int
) -> None:
    """SIGKILL as soon as the temporary files have a certain size; afterwards the script just runs again."""
    output = tmp_path / "output"
    names = [f"fold{fold}_dataset.{suffix}" for fold in (0, 1) for suffix in ("root", "json")]
    old = {}
    if is_old:
        config = write_config(tmp_path / "old.yaml", tmp_path, branches=["x0"])
        assert run_script(SCRIPT, config).returncode == 0
        old = {name: (output / name).read_bytes() for name in names}
    config = write_config(tmp_path / "dataset.yaml", tmp_path)
    command = [sys.executable, str(project / SCRIPT), str(config), "--overwrite"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            give_up = time.monotonic() + 60
            while size_of_temporaries(output) < written:
                assert process.poll() is None
                assert time.monotonic() < give_up
                time.sleep(0.001)
        finally:
            process.send_signal(signals.SIGKILL)
    assert {name: (output / name).read_bytes() for name in names if (output / name).exists()} == old
    assert run_script(SCRIPT, config, *(["--overwrite"] if is_old else [])).returncode == 0
    with uproot.open(output / "fold0_dataset.root") as file:
        assert file["sig"].num_entries == 225_000 - 1
        assert "x9" in file["sig"]


@pytest.mark.slow
def test_a_kill_at_any_moment(large: Path, tmp_path: Path, project: Path, run_script: RunScript) -> None:
    """Each file is always that of the first run or a complete new one."""
    output = tmp_path / "output"
    assert run_script(SCRIPT, write_config(tmp_path / "old.yaml", tmp_path, branches=["x0"])).returncode == 0
    config = write_config(tmp_path / "dataset.yaml", tmp_path)
    command = [sys.executable, str(project / SCRIPT), str(config), "--overwrite"]
    start = time.monotonic()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    duration = time.monotonic() - start
    for moment in np.linspace(0.05, 1.05, 12):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(moment * duration)
        process.send_signal(signals.SIGKILL)
        process.wait()
        for fold in (0, 1):
            with uproot.open(output / f"fold{fold}_dataset.root") as file:
                tree = file["sig"]
                assert tree.num_entries == 225_000 - (1 - fold)
                assert {len(branch.array(library="np")) for branch in tree.branches} == {tree.num_entries}


def test_folds_by_run_keep_runs_together(tmp_path: Path) -> None:
    """The branch that decides the fold may be the run: all of its events are in one fold, whatever their numbers."""
    random = np.random.default_rng(4)
    runs, events = random.integers(475000, 475040, 2000), random.integers(0, 10**12, 2000)
    with new_tree_file(tmp_path / "EB.root") as file:
        file.tree("events", {"run": "i4", "event": "i8"}).extend({"run": runs.astype("i4"), "event": events})
    config = {
        "output_path": str(tmp_path / "folds"),
        "output_filename": "EB.root",
        "base_path": str(tmp_path),
        "tree_path": "events",
        "event_branch": "run",
        "num_folds": 3,
        "processes": {"EB": {"files": ["EB.root"]}},
    }
    found = {}
    for fold, path in enumerate(ntupleml.create_datasets(config).files):
        with uproot.open(path) as file:
            found |= {int(event): fold for event in file["EB"]["event"].array(library="np")}
    by_run = {run: {found[int(event)] for event in events[runs == run]} for run in np.unique(runs)}
    assert all(len(folds) == 1 for folds in by_run.values())
    assert set.union(*by_run.values()) == {0, 1, 2}
