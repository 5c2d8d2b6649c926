"""Fold files that workers build hold what those of one process hold; and inputs by wildcards and addresses."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.atomic import host
from ntupleml.datasets import create_training_dataset
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import MakeConfig

SCRIPT = "dataset/create_training_dataset.py"


TYPES = {"event": "i8", "x": "f4", "w": "f8", "cov": np.dtype(("f4", (3,))), "jets": "var * float32", "good": "?"}


@pytest.fixture
def inputs(tmp_path: Path) -> list[Path]:
    """Four files, one of them without events."""
    random = np.random.default_rng(3)
    (tmp_path / "ntuples").mkdir()
    paths = []
    for index, entries in enumerate((500, 0, 301, 77)):
        paths.append(tmp_path / "ntuples" / f"part_{index}.root")
        columns = {
            "event": random.integers(0, 2**40, entries),
            "x": random.normal(size=entries).astype("f4"),
            "w": random.normal(size=entries),
            "cov": random.normal(size=(entries, 3)).astype("f4"),
            "jets": ak.unflatten(random.normal(size=2 * entries).astype("f4"), np.full(entries, 2)),
            "good": random.random(entries) > 0.5,
        }
        with uproot.recreate(paths[-1]) as file:
            tree = file.mktree("ntuple", TYPES)
            if entries:
                tree.extend(columns)
    return paths


def processes() -> dict[str, Any]:
    return {
        "signal": {"files": ["part_[02].root"], "cut_string": "x > 0", "weight_string": "w"},
        "zjets": {"files": ["part_3.root"], "class": "background"},
        "rest": {"files": ["part_*.root"], "cut_string": "x < 0", "class": "background"},
    }


def test_workers_build_the_same_folds(
    inputs: list[Path], tmp_path: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    content = {
        "output_filename": "d.root",
        "base_path": str(inputs[0].parent),
        "tree_path": "ntuple",
        "event_branch": "event",
        "num_folds": 3,
        "processes": processes(),
    }
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left_over = tmp_path / "workers" / f".parts.{host()}-{int(gone.stdout)}-0123abcd"
    left_over.mkdir(parents=True)
    (left_over / "fold0_part0.root").write_text("of a build that was killed")
    for name, options in (("here", []), ("workers", ["--workers", 2])):
        config = tmp_path / f"{name}.yaml"
        config.write_text(yaml.safe_dump({**content, "output_path": str(tmp_path / name)}))
        finished = run_script(SCRIPT, config, *options)
        assert finished.returncode == 0, finished.stderr
        assert "Traceback" not in finished.stderr, finished.stderr
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert sorted(path.name for path in (tmp_path / "workers").iterdir()) == names
    for fold in range(3):
        here, there = (tmp_path / name / f"fold{fold}_d" for name in ("here", "workers"))
        records = [json.loads(path.with_suffix(".json").read_text()) for path in (here, there)]
        assert records[0]["processes"] == records[1]["processes"]
        assert records[0]["branches"] == records[1]["branches"]
        assert records[1]["uuid"] != records[0]["uuid"]
        with uproot.open(here.with_suffix(".root")) as one, uproot.open(there.with_suffix(".root")) as other:
            assert one.keys() == other.keys()
            for tree in ("signal", "background"):
                assert one[tree].keys() == other[tree].keys()
                assert one[tree].num_entries > 10
                for branch in one[tree].keys():  # noqa: SIM118 - a tree, not a dictionary
                    assert ak.array_equal(one[tree][branch].array(), other[tree][branch].array()), branch


def test_a_bad_file_ends_the_build_and_leaves_nothing(
    inputs: list[Path], tmp_path: Path, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    content = {
        "output_path": str(tmp_path / "out"),
        "output_filename": "d.root",
        "base_path": str(inputs[0].parent),
        "tree_path": "ntuple",
        "processes": {
            "signal": {"files": ["part_0.root"]},
            "bad": {"files": ["part_2.root"], "weight_string": "1e300*w*1e300"},
        },
    }
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(content))
    finished = run_script(SCRIPT, tmp_path / "bad.yaml", "--workers", 2)
    assert finished.returncode == 2
    last = finished.stderr.splitlines()[-1]
    assert last.startswith(
        f"create_training_dataset.py: {tmp_path}/bad.yaml: processes.bad.weight_string: '1e300*w*1e300' is NaN"
    )
    assert not (tmp_path / "out").exists()


def test_wildcards_lists_and_addresses(inputs: list[Path], make_config: MakeConfig, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("part_[23].root\n")
    files = ["part_0.root", f"@{tmp_path}/list.txt"]
    found = {}
    for name, base, listed in (
        ("paths", inputs[0].parent, files),
        ("address", f"local://{inputs[0].parent}", files),
        ("addresses", "unused", [f"local://{inputs[0].parent}/part_[!1].root"]),
    ):
        config = make_config(base_path=str(base), output_path=str(tmp_path / name), processes={"a": {"files": listed}})
        summary = create_training_dataset(config)
        record = summary.records[0].processes["a"]
        found[name] = [(file.path.rsplit("/", 1)[1], file.size, file.entries) for file in record.files]
    assert found["paths"] == [
        (path.name, path.stat().st_size, n) for path, n in zip([inputs[0], *inputs[2:]], (500, 301, 77), strict=True)
    ]
    assert found["address"] == found["addresses"] == found["paths"]


def test_a_file_that_comes_twice_is_refused(inputs: list[Path], make_config: MakeConfig) -> None:
    config = make_config(processes={"a": {"files": ["part_*.root", "part_0.root"]}})
    with pytest.raises(NtuplemlError, match=r"processes.a.files: .*part_0.root comes twice; list it once"):
        create_training_dataset(config)
    config = make_config(processes={"a": {"files": ["parts_*.root"]}})
    with pytest.raises(NtuplemlError, match=r"processes.a.files: 'parts_\*.root' matches no file in '"):
        create_training_dataset(config)
