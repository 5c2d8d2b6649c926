"""Commands on damaged files of events: what tools/damage_campaign.py counts for each.

Each of them reads the damaged file, and answers with a checksum of what it writes. What it needs besides lies where the
whole file was made, one folder above.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from damage_files import TREE, make_root, make_table, make_tmva

from ntupleml.application import append_planned_scores, make_plan, write_planned_friends
from ntupleml.application.score_table import write_score_table
from ntupleml.config import ConversionConfig, DatasetConfig, TrainingConfig, load_config
from ntupleml.datasets import create_training_dataset
from ntupleml.datasets.converting import convert as convert_files
from ntupleml.datasets.joining import join as join_files
from ntupleml.errors import NtuplemlError
from ntupleml.first_configs.writing import write_first_configs
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.inspection import inspect_tree, list_trees, only_tree
from ntupleml.ntuples.merging import merge_files
from ntupleml.testing.histograms import write_fit_histograms
from ntupleml.testing.preparation import prepare
from ntupleml.training.boosted_trees import train_boosted_trees


def digest(*parts: Any) -> bytes:
    """Checksum of arrays and texts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.digest()


def read_table(path: Path) -> bytes:
    """All branches of each table."""
    return digest(*(_read(path, tree.tree_path) for tree in list_trees(path)))


def read_tree(path: Path) -> bytes:
    """All branches of the tree."""
    return _read(path, TREE)


def _read(path: Path, tree_path: str) -> bytes:
    parts: dict[str, list[Any]] = {}
    with open_ntuple(path, tree_path) as ntuple:
        for name in ntuple.main_branches:
            if (problem := ntuple.branches[name].problem) is not None:
                raise NtuplemlError(problem)
        numbers = [name for name in ntuple.main_branches if ntuple.branches[name].kind != "other"]
        for chunk in ntuple.chunks(numbers):
            for name in numbers:
                parts.setdefault(name, []).append(chunk.columns[name])
    columns = {name: ak.concatenate(parts[name]) for name in sorted(parts)}
    return digest(*(part for name, column in columns.items() for part in (name, *_plain(column))))


def _plain(column: Any) -> list[Any]:
    """Numbers of a column, and the lengths of its lists."""
    return [ak.to_numpy(ak.flatten(column, axis=None)), ak.to_numpy(ak.num(column)) if column.ndim > 1 else ""]


def inspect(path: Path) -> bytes:
    """What a file holds; a branch that is told to be unreadable is no other answer."""
    contents = inspect_tree(path, TREE)
    if any(content.problem for content in contents):
        raise NtuplemlError(next(content.problem for content in contents if content.problem))
    return digest([tree._replace(problem=None) for tree in list_trees(path)], contents)


def make_with_weights(path: Path) -> Path:
    """An ntuple; beside it weights and another."""
    make_tmva(path.parent / "weights.xml")
    make_root(path.parent / "background.root")
    return make_root(path) if path.suffix == ".root" else make_table(path)


def dataset(path: Path, **more: Any) -> dict[str, Any]:
    """A dataset config with a damaged process."""
    return {
        "output_path": str(path.parent / "folds"),
        "output_filename": "d.root",
        "tree_path": TREE,
        "event_branch": "event",
        "processes": {"signal": {"files": [str(path)], "cut_string": "x > -1"}},
        **more,
    }


def build(path: Path) -> bytes:
    """Fold files of a damaged ntuple."""
    return _built(dataset(path))


def _built(config: dict[str, Any]) -> bytes:
    done = create_training_dataset(DatasetConfig.model_validate(config))
    sums = [process.sum_of_weights for record in done.records for process in record.processes.values()]
    folder = Path(config["output_path"])
    return digest(*sums, *(read_table(folder / f"fold{fold}_d.root") for fold in range(2)))


def make_folds(path: Path) -> Path:
    """The record of a fold file."""
    build(make_root(path.with_suffix(".root")))
    return path.parent.joinpath("folds", "fold0_d.json").rename(path)


def _plan(path: Path) -> Any:
    weights = [str(path.parent.parent / "weights.xml")]
    return make_plan(None, None, None, kind="weights", weights=weights, output_directory=str(path.parent / "out"))


def friend(path: Path) -> bytes:
    """Scores of a damaged ntuple in a friend."""
    (written,) = write_planned_friends(_plan(path), [path], TREE)
    return read_table(written)


def score_tables(path: Path) -> bytes:
    """Scores of a damaged ntuple in tables of both formats."""
    found = []
    for ending in (".parquet", ".h5"):
        output = path.with_name(f"table{ending}")
        write_score_table(_plan(path), [str(path)], only_tree(path), output, {"twice": "2 * x"})
        found.append(read_table(output))
    return digest(*found)


def in_place(path: Path) -> bytes:
    """Scores of a damaged ntuple in it; what is beside them reads as before, or is as unreadable as before."""
    before = _all_or_damage(path)
    append_planned_scores(_plan(path), path, TREE)
    after = _all_or_damage(path)
    if before != {name: after[name] for name in before}:
        raise RuntimeError("other branches have changed")
    return digest(*(after[name] for name in after if name not in before))


def _all_or_damage(path: Path) -> dict[str, bytes | None]:
    """Checksum of each branch; None of one that cannot be read."""
    found: dict[str, bytes | None] = {}
    with open_ntuple(path, TREE) as ntuple:
        for name in ntuple.main_branches:
            try:
                column = ak.concatenate([chunk.columns[name] for chunk in ntuple.chunks([name])])
            except NtuplemlError:
                found[name] = None
            else:
                found[name] = digest(*_plain(column))
    return found


def convert(path: Path) -> bytes:
    """Tables of both formats with the lists as columns."""
    config = {
        "tree_path": only_tree(path) or None,
        "variables": ["event", "x", {"sum": "x + y"}, "jets"],
    }
    found = []
    for ending in (".parquet", ".h5"):
        output = path.with_name(f"converted{ending}")
        convert_files([str(path)], output, load_config(config, ConversionConfig, "conversion"))
        found.append(read_table(output))
    return digest(*found)


def init(path: Path) -> bytes:
    """First configs for a damaged ntuple and another."""
    files = [path, shutil.copy(path.parent.parent / "background.root", path.parent)]
    made = write_first_configs(files, TREE, path.parent)
    return digest(*(one.read_text().replace(str(path.parent), "") for one in made))


def join(path: Path) -> bytes:
    """A damaged ntuple joined with a whole one, and the other way round."""
    whole, found = path.parent.parent / "background.root", []
    for number, (left, right) in enumerate(((path, whole), (whole, path))):
        output = path.with_name(f"joined{number}.root")
        join_files(left, right, output, ["event"], {"z": "y"}, keep=["x"], tree=TREE, right_tree=TREE)
        found.append(read_table(output))
    return digest(*found)


def make_to_merge(path: Path) -> Path:
    """One of two files of a kind."""
    make = make_root if path.suffix == ".root" else make_table
    make(path.with_stem("other"))
    return make(path)


def merge(path: Path) -> bytes:
    """A damaged file merged with a whole one."""
    output = path.with_stem("merged")
    merge_files([path, path.parent.parent / f"other{path.suffix}"], output)
    return read_tree(output)


def make_friend(path: Path) -> Path:
    """Friend of a whole ntuple."""
    make_with_weights(path)
    return make_root(path, names=("event", "y"))


def with_friend(path: Path) -> bytes:
    """Fold files of a whole ntuple with a damaged friend."""
    folder = path.parent / "friends"
    folder.mkdir()
    path.rename(folder / path.name)
    shutil.copy(path.parent.parent / "background.root", path)
    processes = {"signal": {"files": [path.name], "cut_string": "x > -1"}}
    return _built(dataset(path, friend_paths=[str(folder)], base_path=str(path.parent), processes=processes))


def make_fold_file(path: Path) -> Path:
    """A fold file; beside it the other, their records, the configs and a small training."""
    make_with_weights(path)
    folder = path.parent
    processes = {"signal": {"files": [str(path)]}, "background": {"files": [str(folder / "background.root")]}}
    training = {
        "output_path": str(folder / "models"),
        "datasets": [str(folder / "folds" / f"fold{fold}_d.root") for fold in range(2)],
        "classes": list(processes),
        "variables": ["x", "y"],
        "boosted_trees": [{"name": "hist", "type": "hist_gradient_boosting", "rounds": 2}],
    }
    configs = {
        "dataset": dataset(folder / path.name, processes=processes) | {"output_path": str(folder / "folds")},
        "training": training,
        "testing": {"method": "hist"},
    }
    for name, content in configs.items():
        (folder / f"{name}.yaml").write_text(json.dumps(content))
    for command in (["dataset", "dataset.yaml"], ["train-bdt", "training.yaml", "all"]):
        subprocess.run([sys.executable, "-m", "ntupleml", *command], cwd=folder, check=True, capture_output=True)
    return Path(shutil.copy(folder / "folds" / "fold0_d.root", path))


def _with_fold_file(path: Path) -> Path:
    """The analysis, with a damaged fold file in place of the whole one."""
    folder = path.parent.parent
    shutil.copy(path, folder / "folds" / "fold0_d.root")
    return folder


def histograms(path: Path) -> bytes:
    """Histograms for a fit, of a damaged fold file."""
    folder = _with_fold_file(path)
    found = prepare(folder / "training.yaml", folder / "testing.yaml", "all")
    write_fit_histograms(found, path.parent / "fit.root")
    with uproot.open(path.parent / "fit.root") as file:
        return digest(*((name, file[name].values()) for name in file.keys(cycle=False) if "/" in name))


def train(path: Path) -> bytes:
    """Boosted trees of a damaged fold file."""
    folder = _with_fold_file(path)
    config = json.loads((folder / "training.yaml").read_text()) | {"output_path": str(path.parent / "models")}
    train_boosted_trees(load_config(config, TrainingConfig, "training"), [0, 1])
    return digest(*(file.read_bytes() for file in sorted((path.parent / "models").glob("*.npz"))))
