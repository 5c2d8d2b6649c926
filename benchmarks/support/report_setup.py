"""A trained analysis of many events: fold files, an ntuple to be scored, configs, and networks of three layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import uproot
import yaml

TOP = Path(__file__).resolve().parents[2]
VARIABLES = [f"variable_{index}" for index in range(30)]
CLASSES = [f"class_{index}" for index in range(5)]
HIDDEN = [300, 300, 300]
TREE = "ntuple"
_CHUNK = 100_000


def write_analysis(folder: Path, events: int) -> dict[str, Path]:
    """Write files and configs, and train one epoch per fold; the configs by stage.

    Parameters
    ----------
    folder : Path
    events : int
        Of all classes and both folds together.
    """
    random = np.random.default_rng(1)
    means = random.normal(0, 0.3, (len(CLASSES), len(VARIABLES)))
    for fold in range(2):
        path = folder / f"fold{fold}.root"
        path.parent.mkdir(parents=True, exist_ok=True)
        with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
            for index, name in enumerate(CLASSES):
                _write_tree(file, name, events // (2 * len(CLASSES)), means[index], random)
    ntuple = folder / "ntuples" / "data" / "data.root"
    ntuple.parent.mkdir(parents=True)
    with uproot.recreate(ntuple, compression=uproot.ZLIB(1)) as file:
        _write_tree(file, TREE, events, means[0], random)
    configs = _write_configs(folder)
    command = [sys.executable, TOP / "training" / "keras_training.py", configs["training"], "all"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return configs


def _write_tree(file: Any, name: str, events: int, means: Any, random: np.random.Generator) -> None:
    types = {variable: np.dtype("f4") for variable in [*VARIABLES, "weight"]} | {"event": np.dtype("i8")}
    tree = file.mktree(name, types)
    for start in range(0, events, _CHUNK):
        number = min(_CHUNK, events - start)
        columns = {
            variable: random.standard_normal(number, dtype="f4") + np.float32(mean)
            for variable, mean in zip(VARIABLES, means, strict=True)
        }
        weights = random.exponential(1, number) * np.where(random.random(number) < 0.05, -1, 1)
        tree.extend({**columns, "weight": weights.astype("f4"), "event": np.arange(start, start + number)})


def _write_configs(folder: Path) -> dict[str, Path]:
    contents: dict[str, dict[str, Any]] = {
        "dataset": {
            "output_path": "unused",
            "output_filename": "unused.root",
            "tree_path": TREE,
            "event_branch": "event",
            "processes": {"data": {"files": ["unused.root"]}},
        },
        "training": {
            "output_path": str(folder / "output"),
            "datasets": [str(folder / f"fold{fold}.root") for fold in range(2)],
            "classes": CLASSES,
            "variables": VARIABLES,
            "event_weights": "weight",
            "model": {"hidden": HIDDEN, "activation": "tanh", "epochs": 1, "batch_size": 5000},
        },
        "testing": {},
        "application": {"output_directory": str(folder / "friends")},
    }
    paths = {stage: folder / f"{stage}.yaml" for stage in contents}
    for stage, path in paths.items():
        path.write_text(yaml.safe_dump(contents[stage], sort_keys=False))
    return paths
