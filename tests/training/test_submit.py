"""Trainings by jobs of a batch system, for which scripts on the PATH stand in that run them on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.artifacts import Method, model_files, read_record
from ntupleml.cli import main

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from ntupleml.config import TrainingConfig

TREES = {
    "boosted_trees": [
        {"name": "xgb", "rounds": 4, "options": {"max_depth": 2}},
        {"name": "hist", "type": "hist_gradient_boosting", "rounds": 4},
    ]
}
#: What HTCondor does with a submit file of one job: its program with its arguments, in the background.
_CONDOR_SUBMIT = r"""
import re, shlex, subprocess, sys
text = open(sys.argv[-1]).read()
quoted = re.search(r'^Arguments = "(.*)"$', text, re.M)[1].replace('""', '"')
program = re.search(r"^Executable = (.*)$", text, re.M)[1]
subprocess.Popen([program, *shlex.split(quoted)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("1 job(s) submitted to cluster 17.")
"""
_SBATCH = r"""
import subprocess, sys
subprocess.Popen(["sh", sys.argv[-1]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print("Submitted batch job 23")
"""


@pytest.fixture
def batch_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Log of the calls of scripts that stand in for HTCondor and Slurm."""
    folder, calls = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    for name, text in {"condor_submit": _CONDOR_SUBMIT, "sbatch": _SBATCH, "condor_rm": "", "scancel": ""}.items():
        (folder / name).write_text(f"#!{sys.executable}\nopen({str(calls)!r}, 'a').write('{name} ')\n{text}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2] / "python"))
    return calls


def written(config: TrainingConfig, tmp_path: Path, **keys: Any) -> Path:
    path = tmp_path / "training.yaml"
    path.write_text(config.model_copy(update=keys).model_dump_json(exclude_unset=True), encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("option", "command"), [("--htcondor", "condor_submit"), ("--slurm", "sbatch")])
def test_jobs_of_a_batch_system(
    make_config: Callable[..., Any],
    tmp_path: Path,
    batch_system: Path,
    option: str,
    command: str,
    run_script: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    config = written(make_config(**TREES), tmp_path)
    done = run_script("training/submit.py", config, "all", "--method", "xgb", "--seeds", "3,4", option, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert batch_system.read_text().split().count(command) >= 1
    for seed in (3, 4):
        for fold in (0, 1):
            record = read_record(
                model_files(tmp_path / "out" / f"seed{seed}", fold, Method("boosted_trees", "xgb")).record
            )
            assert (record.seed, record.fold) == (seed, fold)


def test_failures_are_told_at_the_end_and_the_others_kept(
    make_config: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Histogram boosting takes none of the negative weights; a second call trains only what is missing."""
    config = written(make_config(**TREES), tmp_path)
    arguments = ["submit", str(config), "all", "--method", "xgb", "--method", "hist"]
    assert main(arguments) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("ERROR")]
    assert [line.split(":")[1] for line in lines] == [f" model {fold} of 'hist' with seed 7" for fold in (0, 1)]
    assert main([*arguments, "--dry-run", "--htcondor"]) == 0
    captured = capfd.readouterr()
    assert "2 of 4 trainings are done already" in captured.err
    assert [line for line in captured.out.splitlines() if "would be trained" in line] == [
        f"would be trained: model {fold} of 'hist' with seed 7" for fold in (0, 1)
    ]
    assert "RequestMemory" in captured.out
    assert "dask_worker" in captured.out
    hist = {**TREES["boosted_trees"][1], "negative_weights": "IgnoreNegWeightsInTraining"}
    written(make_config(boosted_trees=[TREES["boosted_trees"][0], hist]), tmp_path)
    assert main(arguments) == 0
    mended = {**TREES["boosted_trees"][0], "rounds": 5}
    written(make_config(boosted_trees=[mended, TREES["boosted_trees"][1]]), tmp_path)
    assert main([*arguments, "--overwrite", "--dry-run"]) == 0
    capfd.readouterr()
    assert main(arguments) == 2
    assert "is of another config: boosted_trees.xgb was" in capfd.readouterr().err
    config = written(make_config(boosted_trees=[TREES["boosted_trees"][0], hist]), tmp_path)
    assert main([*arguments, "--dry-run", "--slurm"]) == 0
    captured = capfd.readouterr()
    assert "#SBATCH" in captured.out
    assert "would be trained" not in captured.out


def test_methods_and_seeds_that_do_not_exist(
    make_config: Callable[..., Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = written(make_config(**TREES), tmp_path)
    assert main(["submit", str(config), "0", "--method", "xbg"]) == 2
    assert "--method: " in (line := capfd.readouterr().err)
    assert "has no method 'xbg'; nearest: 'xgb'" in line
    with pytest.raises(SystemExit):
        main(["submit", str(config), "0", "--seeds", "1,x"])
    assert "'1,x' is not a list of whole numbers" in capfd.readouterr().err
