"""Commands of all stages on a small analysis, and what their outputs may hold: for campaigns that disturb them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import json
import sqlite3
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import uproot
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable

TOP = Path(__file__).resolve().parents[1]
WEIGHTS = TOP / "tests" / "data" / "tmva" / "mc_bdtg_50" / "weights.xml.gz"
CLASSES = ["signal", "background"]
#: Energies of the objects of an event, of which images are filled.
OBJECTS = 5


class Command(NamedTuple):
    """A command, and what its outputs may hold."""

    arguments: list[str]
    #: Gives the contents of all outputs in the folder by their paths; raises for one that is not whole.
    outputs: Callable[[Path], dict[str, str]]
    #: Commands that make its inputs from those of all.
    before: tuple[list[str], ...] = ()
    #: Option with which it goes on after a kill, in place of `--overwrite`.
    goes_on: str | None = None
    #: What it writes or changes, as a pattern.
    place: str = ""


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
    with uproot.recreate(folder / "clusters.root") as file:
        number = max(entries // 10, 100)
        types = dict.fromkeys(("et", "eta", "phi"), f"({OBJECTS},)f4")
        tree = file.mktree("events", {**types, "event": "i8"})
        values = {name: random.uniform(-2, 2, (number, OBJECTS)).astype("f4") for name in types}
        tree.extend({**values, "event": np.arange(number)})
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
        "boosted_trees": [
            {"name": "hist", "type": "hist_gradient_boosting", "rounds": 5},
            {"name": "xgboost", "rounds": 5},
        ],
        "tmva": {"methods": [{"name": "BDTG", "type": "kBDT", "options": "NTrees=5:BoostType=Grad:MaxDepth=2"}]},
        "tune": {"boosted_trees.hist.options.max_depth": [1, 4], "trials": 4},
    }
    configs = {
        "dataset": dataset,
        "training": training,
        "trees": trees,
        "ensemble": {**trees, "output_path": "ensemble", "ensemble": {"seeds": 2}},
        "testing": {"method": "hist", "max_events": 2000, "signals": ["signal"]},
        "images": {
            "images": {"cluster": {"image": "et", "eta": "eta", "phi": "phi", "bins": [9, 8], "eta_range": [-2, 2]}},
            "columns": ["event"],
        },
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
            f"{name}: {branch.name}": _of_branch(branch)
            for name in file.keys(cycle=False)
            for branch in getattr(file[name], "branches", ())
        }


def _of_branch(branch: Any) -> str:
    """Checksum of what a branch holds, byte for byte as it is unpacked, whatever its baskets."""
    content = hashlib.sha256()
    for number in range(branch.num_baskets):
        content.update(branch.basket(number).data.tobytes())
    return f"{branch.num_entries} {content.hexdigest()}"


def root_files(pattern: str) -> Callable[[Path], dict[str, str]]:
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
    return root_files("folds/[!.]*.root")(folder)


def _of_file(path: Path) -> str:
    """Checksum of what a file holds; of a zip (networks, forests), without when its parts were packed."""
    if not zipfile.is_zipfile(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with zipfile.ZipFile(path) as file:
        return str(sorted((part.filename, part.CRC) for part in file.infolist() if part.filename != "metadata.json"))


def files(*patterns: str) -> Callable[[Path], dict[str, str]]:
    """Files that are there, none of them empty."""

    def outputs(folder: Path) -> dict[str, str]:
        found = {}
        for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
                if path.stat().st_size == 0:
                    raise ValueError(f"{path.name} is empty")
                found[str(path.relative_to(folder))] = _of_file(path)
        return found

    return outputs


def _models(pattern: str) -> Callable[[Path], dict[str, str]]:
    """Models that their records know."""

    def models(folder: Path) -> dict[str, str]:
        from ntupleml.artifacts import read_record, sha256_of_file

        found = {}
        for path in sorted(folder.glob(pattern)):
            if any(part.startswith(".") for part in path.relative_to(folder).parts):
                continue  # one that is not finished
            for name, checksum in read_record(path).sha256.items():
                model = path.with_name(name)
                if sha256_of_file(model) != checksum:
                    raise ValueError(f"{name} is not that of its record")
                found[str(model.relative_to(folder))] = _of_file(model)
        return found

    return models


def _table(name: str, group: str) -> Callable[[Path], dict[str, str]]:
    def table(folder: Path) -> dict[str, str]:
        import h5py

        path = folder / name
        if not path.exists():
            return {}
        with h5py.File(path) as file:
            return {key: hashlib.sha256(data[:].tobytes()).hexdigest() for key, data in file[group].items()}

    return table


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
TREES = ["training/bdt_training.py", "trees.yaml", "0", "--method", "hist", "--overwrite"]
TREES_OF_ALL = ["training/bdt_training.py", "trees.yaml", "all", "--method", "hist", "--overwrite"]
KERAS = ["training/keras_training.py", "training.yaml", "0", "--overwrite"]
SCORE_TABLE = ["application/score_table.py", "application.yaml"]
OF_METHOD = ["trees.yaml", "testing.yaml", "0", "--method", "hist", "--overwrite"]
REPORT = ["testing/report.py", "trees.yaml", "testing.yaml", "0"]
IMAGES = ["dataset/make_images.py", "images.yaml", "clusters.root", "-o", "images.h5", "--overwrite"]
CARD = ["application/model_card.py", "trees.yaml", "--method", "hist", "--output", "card", "--overwrite"]
TABLE = ["dataset/convert.py", "-v", "columns.yaml", "-s", "table.h5", "-O", *INPUTS]
RECORDS = "models/*_training.json"
COMMANDS = {
    "in-place": Command([*SCORE, "--overwrite", "a/a.root", "events"], root_files("a/*.root"), place="a/a.root"),
    "friend": Command([*FRIEND, "a/a.root", "events"], root_files("out/*/*.root"), place="out"),
    "workers": Command([*FRIEND, "--workers", "2", "[abcd]/*.root", "events"], root_files("out/*/*.root"), place="out"),
    "dask": Command(
        [*FRIEND, "--scheduler", "SCHEDULER", "[abcd]/*.root", "events"], root_files("out/*/*.root"), place="out"
    ),
    "dataset": Command(DATASET, _folds, place="folds"),
    "table": Command(TABLE, _table("table.h5", "events"), place="table.h5"),
    "score-table": Command(
        [*SCORE_TABLE, "[abcd]/*.root", "events", "-o", "scores.parquet", "--overwrite"],
        _score_table,
        (ONNX,),
        place="scores.parquet",
    ),
    "images": Command(IMAGES, _table("images.h5", "images"), place="images.h5"),
    "onnx": Command(ONNX, _onnx, place="model.onnx"),
    "training": Command(KERAS, _models(RECORDS), (DATASET,), goes_on="--continue", place="models"),
    "trees": Command(TREES, _models(RECORDS), (DATASET,), place="models"),
    "xgboost": Command(
        [*TREES[:3], "--method", "xgboost", "--overwrite"], _models(RECORDS), (DATASET,), place="models"
    ),
    "tmva": Command(
        ["training/TMVA_training.py", "trees.yaml", "0", "--overwrite"], _models(RECORDS), (DATASET,), place="models"
    ),
    "ensemble": Command(
        ["training/bdt_training.py", "ensemble.yaml", "0", "--method", "hist", "--overwrite"],
        _models("ensemble/**/*_training.json"),
        (DATASET,),
        goes_on="--continue",
        place="ensemble",
    ),
    "tune": Command(
        ["training/tune.py", "trees.yaml", "--folds", "0", "--overwrite"],
        _study,
        (DATASET,),
        goes_on="--continue",
        place="models/tuning_hist",
    ),
    "roc": Command(
        ["testing/roc_curves.py", *OF_METHOD], files("models/*roc*"), (DATASET, TREES), place="models/*roc*"
    ),
    "importance": Command(
        ["testing/permutation_importance.py", *OF_METHOD],
        files("models/*permutation*"),
        (DATASET, TREES),
        place="models/*permutation*",
    ),
    "shap": Command(
        ["testing/shap_importance.py", *OF_METHOD, "--events", "50"],
        files("models/*shap*"),
        (DATASET, TREES),
        place="models/*shap*",
    ),
    "histograms": Command(
        ["testing/histograms.py", "trees.yaml", "testing.yaml", "--method", "hist", "--overwrite"],
        files("models/*histograms*"),
        (DATASET, TREES_OF_ALL),
        place="models/*histograms*",
    ),
    "report": Command(
        [*REPORT, "--page-only", "--output", "report.html", "--methods", "hist", "--overwrite"],
        _report,
        (DATASET, TREES),
        place="report*",
    ),
    "model-card": Command(CARD, files("card/**/*"), (DATASET, TREES_OF_ALL), place="card"),
}
