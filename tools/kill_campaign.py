"""Kill commands at random moments, and look at what they leave.

    python tools/kill_campaign.py --number 200 --seed 1 [COMMAND ...]

Each command works on a small analysis in a temporary folder, again and again on what the one before left, and is killed
(SIGKILL; every other time with all processes that it started) at a random moment of the time that it takes. After each
kill every file under a final name must be whole, and hold what it held before or what the command makes: uproot reads
every basket, ROOT opens it without recovering it. Of a command that can go on, what it goes on to is the same as
without the kill. In the end the command runs once without a kill: it must succeed, and nothing hidden may remain. The
exit status is 1 where any of this fails.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import uproot
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOP = Path(__file__).resolve().parents[1]
WEIGHTS = TOP / "tests" / "data" / "tmva" / "mc_bdtg_50" / "weights.xml.gz"
CLASSES = ["signal", "background"]
#: Of how many kills a command that can goes on after one.
GOES_ON_EVERY = 5


class Command(NamedTuple):
    """A command, and what its outputs may hold."""

    arguments: list[str]
    #: Gives the contents of all outputs in the folder by their paths; raises for one that is not whole.
    outputs: Callable[[Path], dict[str, str]]
    #: Commands that make its inputs from those of all.
    before: tuple[list[str], ...] = ()
    #: Option with which it goes on after a kill, in place of `--overwrite`.
    goes_on: str | None = None


def prepare(folder: Path, entries: int) -> None:
    """Ntuples, weights and configs."""
    (folder / "weights.xml").write_bytes(gzip.decompress(WEIGHTS.read_bytes()))
    random = np.random.default_rng(1)
    for name in ("a", "b", "c", "d"):
        (folder / name).mkdir()
        with uproot.recreate(folder / name / f"{name}.root") as file:
            tree = file.mktree("events", {"x": "f4", "y": "f4", "event": "i8"})
            for start in range(0, entries, 50_000):
                numbers = np.arange(start, min(start + 50_000, entries))
                x, y = random.normal(size=(2, len(numbers))).astype("f4")
                tree.extend({"x": x, "y": y, "event": numbers})
    dataset = {
        "output_path": "folds",
        "output_filename": "d.root",
        "tree_path": "events",
        "event_branch": "event",
        "processes": {name: {"files": [f"{file}/{file}.root"]} for name, file in zip(CLASSES, "ab", strict=True)},
    }
    training = {
        "output_path": "models",
        "datasets": ["folds/fold0_d.root", "folds/fold1_d.root"],
        "classes": CLASSES,
        "variables": ["x", "y"],
        "model": {"hidden": [8], "epochs": 3},
    }
    trees = {
        **training,
        "boosted_trees": [{"name": "hist", "type": "hist_gradient_boosting", "rounds": 5}],
        "tune": {"boosted_trees.hist.options.max_depth": [1, 4], "trials": 4},
    }
    configs = {
        "dataset": dataset,
        "training": training,
        "trees": trees,
        "ensemble": {**trees, "output_path": "ensemble", "ensemble": {"seeds": 2}},
        "testing": {"method": "hist", "max_events": 2000},
        "application": {"classifiers": ["model.onnx"]},
        "columns": {"tree_path": "events", "variables": ["event", "x", {"sum": "x + y"}]},
    }
    for name, content in configs.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


@cache
def _root() -> Any:
    """ROOT, where it is installed."""
    if importlib.util.find_spec("ROOT") is None:
        return None
    from ntupleml.imports import import_root

    root = import_root()
    root.gErrorIgnoreLevel = root.kFatal
    return root


def _values(path: Path) -> dict[str, str]:
    """Checksum of each branch of each tree, every basket of which is read; ROOT must open the file as it is."""
    if (root := _root()) is not None:
        opened = root.TFile.Open(str(path))
        if not opened or opened.IsZombie() or opened.TestBit(root.TFile.kRecovered):
            raise ValueError(f"{path.name}: ROOT has to recover it")
        opened.Close()
    with uproot.open(path) as file:
        return {
            f"{tree}: {branch.name}": hashlib.sha256(branch.array(library="np").tobytes()).hexdigest()
            for tree in file.keys(cycle=False)
            for branch in file[tree].branches
        }


def _of(pattern: str) -> Callable[[Path], dict[str, str]]:
    """Contents of ROOT files."""
    return lambda folder: {
        str(path.relative_to(folder)): json.dumps(_values(path))
        for path in sorted(folder.glob(pattern))
        if path.name[0] != "."
    }


def _folds(folder: Path) -> dict[str, str]:
    """Fold files, whose records belong to them."""
    from ntupleml.datasets import read_fold_record
    from ntupleml.datasets.records import require_one_build

    files = sorted(folder.glob("folds/[!.]*.root"))
    require_one_build(files)
    for path in files:
        with uproot.open(path) as file:
            read_fold_record(path, str(file.file.uuid))
    return _of("folds/[!.]*.root")(folder)


def _models(pattern: str) -> Callable[[Path], dict[str, str]]:
    """Models that their records know; what they hold depends on threads and is not compared."""

    def models(folder: Path) -> dict[str, str]:
        from ntupleml.artifacts import read_record, sha256_of_file

        found = {}
        for path in sorted(folder.glob(pattern)):
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue  # one that is not finished
            for name, checksum in read_record(path).sha256.items():
                if sha256_of_file(path.with_name(name)) != checksum:
                    raise ValueError(f"{name} is not that of its record")
                found[str(path.with_name(name).relative_to(folder))] = "whole"
        return found

    return models


def _table(folder: Path) -> dict[str, str]:
    import h5py

    path = folder / "table.h5"
    if not path.exists():
        return {}
    with h5py.File(path) as file:
        return {name: hashlib.sha256(data[:].tobytes()).hexdigest() for name, data in file["events"].items()}


def _score_table(folder: Path) -> dict[str, str]:
    import pyarrow.parquet

    path = folder / "scores.parquet"
    if not path.exists():
        return {}
    table = pyarrow.parquet.read_table(path)
    return {name: hashlib.sha256(table[name].to_numpy().tobytes()).hexdigest() for name in table.column_names}


def _onnx(folder: Path) -> dict[str, str]:
    import onnx

    path = folder / "model.onnx"
    if path.exists():
        onnx.checker.check_model(onnx.load(path))
    return {}


def _report(folder: Path) -> dict[str, str]:
    """A page that ends, and its files: tables and numbers."""
    for path in folder.glob("report*/[!.]*.yaml"):
        yaml.safe_load(path.read_text())
    page = folder / "report.html"
    if page.exists() and not page.read_text().rstrip().endswith("</html>"):
        raise ValueError("the page is cut")
    return {str(path.relative_to(folder)): "whole" for path in folder.glob("report*/[!.]*")}


def _study(folder: Path) -> dict[str, str]:
    """A study that SQLite finds whole, and the objective of each trial where all are done."""
    import sqlite3

    study = folder / "models" / "tuning_hist"
    if (study / "study.sqlite").exists():
        with sqlite3.connect(study / "study.sqlite") as connection:
            if (answer := connection.execute("pragma integrity_check").fetchall()) != [("ok",)]:
                raise ValueError(f"study.sqlite: {answer}")
    if not (study / "trials.csv").exists():
        return {}
    with (study / "trials.csv").open(newline="") as file:
        trials = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    kept = [sorted((key, value) for key, value in row.items() if "depth" in key or key == "value") for row in trials]
    return {"trials": json.dumps(kept)}


INPUTS = [f"{name}/{name}.root" for name in "abcd"]
SCORE = ["application/TMVA_application.py", "--variables-from-xml", "--weights", "weights.xml"]
FRIEND = [*SCORE, "--friend", "--output-directory", "out", "--overwrite"]
DATASET = ["dataset/create_training_dataset.py", "dataset.yaml", "--overwrite"]
ONNX = ["application/convert_to_onnx.py", "weights.xml", "model.onnx", "--overwrite"]
TREES = ["training/bdt_training.py", "trees.yaml", "0", "--overwrite"]
SCORE_TABLE = ["application/score_table.py", "application.yaml"]
REPORT = ["testing/report.py", "trees.yaml", "testing.yaml", "0"]
COMMANDS = {
    "in-place": Command([*SCORE, "--overwrite", "a/a.root", "events"], _of("a/*.root")),
    "friend": Command([*FRIEND, "a/a.root", "events"], _of("out/*/*.root")),
    "workers": Command([*FRIEND, "--workers", "2", "[abcd]/*.root", "events"], _of("out/*/*.root")),
    "dask": Command([*FRIEND, "--scheduler", "SCHEDULER", "[abcd]/*.root", "events"], _of("out/*/*.root")),
    "dataset": Command(DATASET, _folds),
    "table": Command(["dataset/convert.py", "-v", "columns.yaml", "-s", "table.h5", "-O", *INPUTS], _table),
    "score-table": Command(
        [*SCORE_TABLE, "[abcd]/*.root", "events", "-o", "scores.parquet", "--overwrite"], _score_table, (ONNX,)
    ),
    "onnx": Command(ONNX, _onnx),
    "training": Command(
        ["training/keras_training.py", "training.yaml", "0", "--overwrite"],
        _models("models/*_training.json"),
        (DATASET,),
    ),
    "ensemble": Command(
        ["training/bdt_training.py", "ensemble.yaml", "0", "--overwrite"],
        _models("ensemble/**/*_training.json"),
        (DATASET,),
        goes_on="--continue",
    ),
    "tune": Command(
        ["training/tune.py", "trees.yaml", "--folds", "0", "--overwrite"], _study, (DATASET,), goes_on="--continue"
    ),
    "report": Command(
        [*REPORT, "--page-only", "--output", "report.html", "--methods", "hist", "--overwrite"],
        _report,
        (DATASET, TREES),
    ),
}


def run(arguments: list[str], folder: Path, limit: float | None = None, *, all_processes: bool = False) -> float | None:
    """Run a script; the seconds that it took, or None where it was killed after a limit."""
    start = time.monotonic()
    command = [sys.executable, str(TOP / arguments[0]), *arguments[1:]]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            (os.killpg if all_processes else os.kill)(process.pid, signal.SIGKILL)
            process.wait()
            return None
    if status != 0:
        raise RuntimeError(f"{' '.join(arguments)}: status {status}: {(folder / 'log.txt').read_text()[-1000:]}")
    return time.monotonic() - start


def hidden(folder: Path) -> list[str]:
    """What unfinished commands have left."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


@contextmanager
def _scheduler() -> Iterator[str]:
    """Address of a Dask cluster of two processes, which no kill reaches."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield str(cluster.scheduler_address)


def campaign(name: str, number: int, seed: int, entries: int) -> str:
    """Kill a command many times; a line of the table."""
    command, random = COMMANDS[name], np.random.default_rng([seed, *name.encode()])
    with (
        tempfile.TemporaryDirectory() as place,
        _scheduler() if "SCHEDULER" in command.arguments else nullcontext() as address,
    ):
        folder = Path(place)
        prepare(folder, entries)
        for before in command.before:
            run(before, folder)
        arguments = [address if one == "SCHEDULER" and address else one for one in command.arguments]
        again = arguments
        if command.goes_on is not None:
            again = [command.goes_on if one == "--overwrite" else one for one in arguments]
        allowed = [command.outputs(folder)]
        seconds = run(arguments, folder)
        assert seconds is not None
        allowed.append(command.outputs(folder))
        usual = hidden(folder)  # a study keeps its lock
        keys = {key for state in allowed for key in state}
        faults, killed, most_left = [], 0, 0
        for index in range(number):
            ended = run(arguments, folder, seconds * random.uniform(0.1, 1.05), all_processes=index % 2 == 0)
            killed += ended is None
            try:
                found = command.outputs(folder)
                wrong = [
                    key for key in found if key not in keys or found[key] not in [state.get(key) for state in allowed]
                ]
                faults += [f"{index}: {wrong[0]}"] if wrong else []
                if ended is None and again != arguments and index % GOES_ON_EVERY == 0:
                    run(again, folder)
                    if command.outputs(folder) != allowed[-1]:
                        faults.append(f"{index}: goes on to something else")
            except Exception as error:
                faults.append(f"{index}: {error}")
            most_left = max(most_left, len(hidden(folder)))
            if ended is not None:
                seconds = (seconds + ended) / 2  # the machine may have other work
        time.sleep(2)  # what was started by a process that was killed may still be ending
        run(again, folder)
        run(arguments, folder)
        left = [one for one in hidden(folder) if one not in usual]
        command.outputs(folder)
    for line in faults:
        print(f"    {name} {line}")
    return f"{name:12} {killed:7} {len(faults):7} {most_left:7} {len(left):7} {' '.join(left)}"


def main() -> int:
    """Run campaigns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--number", type=int, default=200, help="of runs of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entries", type=int, default=200_000, help="of each of four ntuples")
    arguments = parser.parse_args()
    print(f"{'command':12} {'killed':>7} {'faults':>7} {'hidden':>7} {'left':>7}")
    failed = False
    for name in arguments.commands or COMMANDS:
        line = campaign(name, arguments.number, arguments.seed, arguments.entries)
        failed |= line.split()[2:5:2] != ["0", "0"]
        print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
