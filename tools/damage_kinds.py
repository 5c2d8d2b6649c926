"""Files of each format that the toolkit reads, and how each is read: what tools/damage_campaign.py damages."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[Path], bytes]

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
TREE = "events"
ENTRIES = 3_000
#: A network whose file Keras writes, without the toolkit.
KERAS = """
import keras, sys
inputs = keras.Input((2,))
layer = keras.layers.Dense(8, activation="relu")(inputs)
layer = keras.layers.BatchNormalization()(layer)
keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(layer)).save(sys.argv[1])
"""


class Kind(NamedTuple):
    """A format, or a command."""

    make: Callable[[Path], Path]
    read: Read


# --- files ---------------------------------------------------------------------------------------------------------


def columns() -> dict[str, Any]:
    """Numbers, lists and event numbers."""
    random = np.random.default_rng(5)
    return {
        "x": random.normal(size=ENTRIES).astype("f4"),
        "y": random.normal(size=ENTRIES).astype("f4"),
        "event": np.arange(ENTRIES, dtype="i8"),
        "flag": random.random(ENTRIES) > 0.5,
        "jets": random.normal(size=2 * ENTRIES).astype("f4"),
    }


def _with_lists() -> dict[str, Any]:
    import awkward as ak

    return {**(found := columns()), "jets": ak.unflatten(found["jets"], np.arange(ENTRIES) % 5)}


def make_root(path: Path, compression: Any = "ZSTD") -> Path:
    """A TTree of ten baskets per branch."""
    import uproot

    level = None if compression is None else getattr(uproot, compression)(1)
    with uproot.recreate(path, compression=level) as file:
        everything = _with_lists()
        types = {**{name: values.dtype for name, values in columns().items()}, "jets": "var * float32"}
        tree = file.mktree(TREE, types)
        for start in range(0, ENTRIES, ENTRIES // 10):
            tree.extend({name: values[start : start + ENTRIES // 10] for name, values in everything.items()})
    return path


def make_rntuple(path: Path) -> Path:
    """An RNTuple."""
    import uproot

    with uproot.recreate(path) as file:
        file.mkrntuple(TREE, _with_lists())
    return path


def make_table(path: Path) -> Path:
    """HDF5 or Parquet, by the ending."""
    from ntupleml.ntuples.table_files import new_table_file

    types = {**{name: values.dtype for name, values in columns().items()}, "jets": "vector of f4"}
    with new_table_file(path, TREE, types, ENTRIES) as table:
        table.extend(_with_lists())
        table.finish("{}")
    return path


def make_tmva(path: Path) -> Path:
    """A forest of TMVA for x and y."""
    path.write_bytes(gzip.decompress((DATA / "tmva" / "mc_bdtg_50" / "weights.xml.gz").read_bytes()))
    return path


def make_npz(path: Path) -> Path:
    """The same forest in our own form."""
    from ntupleml.forests.files import save_forest
    from ntupleml.tmva.reading import read_weights

    save_forest(path, read_weights(make_tmva(path.with_suffix(".xml"))).body)
    return path


def _trained(kind: str) -> Any:
    random = np.random.default_rng(1)
    inputs, classes = random.normal(size=(500, 2)), random.integers(0, 3, 500)
    if kind == "xgboost":
        import xgboost

        return xgboost.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1).fit(inputs, classes).get_booster()
    import lightgbm

    return lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(inputs, classes).booster_


def make_booster(path: Path) -> Path:
    """A file of XGBoost (JSON or UBJSON) or LightGBM."""
    (_trained("lightgbm") if path.suffix == ".txt" else _trained("xgboost")).save_model(path)
    return path


def make_lwtnn(path: Path) -> Path:
    """A network of lwtnn."""
    folder = DATA / "lwtnn" / "toy_2_100_100_3"
    return Path(shutil.copy(next(folder.glob("*.json")), path))


def make_lstm(path: Path) -> Path:
    """A recurrent network of lwtnn."""
    return Path(shutil.copy(DATA / "lwtnn" / "lstm_var" / "lwtnn.json", path))


def make_keras(path: Path) -> Path:
    """A Keras file."""
    subprocess.run([sys.executable, "-c", KERAS, path], check=True, capture_output=True)
    return path


def make_qkeras(path: Path) -> Path:
    """A file of QKeras."""
    return Path(shutil.copy(DATA / "qkeras" / "encoder.h5", path))


def make_frugally_deep(path: Path) -> Path:
    """The Keras network as JSON of frugally-deep."""
    from ntupleml.artifacts import read_keras_file
    from ntupleml.frugally_deep.export import keras_to_frugally_deep

    content = keras_to_frugally_deep(read_keras_file(make_keras(path.with_suffix(".keras"))), ["a", "b", "c"])
    path.write_text(json.dumps(content))
    return path


def make_onnx(path: Path) -> Path:
    """A forest as ONNX."""
    from ntupleml.onnx_models.convert import convert

    path.write_bytes(convert(make_tmva(path.with_suffix(".xml"))).SerializeToString())
    return path


def make_scaler(path: Path) -> Path:
    """A scaler of scikit-learn, JSON or pickle."""
    from ntupleml.preprocessing import fit_scaler, write_preprocessing

    write_preprocessing(path, fit_scaler("standard_scaler", np.random.default_rng(1).normal(size=(50, 2))))
    return path


def make_checkpoint(path: Path) -> Path:
    """Arrays as of a checkpoint."""
    arrays = {f"variable_{number}": np.full((10, number + 1), float(number)) for number in range(5)}
    np.savez(path, state=np.array(json.dumps({"epoch": 3, "history": {"loss": [1.0, 0.5, 0.2]}})), **arrays)
    return path


def make_study(path: Path) -> Path:
    """The study of a search, with three trials."""
    from ntupleml.tuning.storage import create_study, open_study

    create_study(path.parent, maximise=True, identity={"a": 1})
    study = open_study(path.parent)
    for value in (0.5, 0.25, 0.75):
        trial = study.ask()
        study.tell(trial, value * trial.suggest_float("rate", 0.1, 1.0))
    return path


def make_record(path: Path) -> Path:
    """The record of a training."""
    from ntupleml.artifacts import TrainingRecord, write_record

    record = TrainingRecord(
        fold=0, num_folds=2, trained_on=[0], held_out_fold=1, event_branch="event", classes=["a", "b"],
        variables=["x", "y"], preprocessing="standard_scaler", seed=1, config={"model": {"hidden": [4, 4]}},
        history={"loss": [1.0, 0.5], "val_loss": [1.0, 0.75]}, sha256={"fold0_keras_model.keras": "0" * 64},
    )  # fmt: skip
    write_record(path, record)
    return path


def make_folds(path: Path) -> Path:
    """The record of a fold file."""
    build(make_root(path.with_suffix(".root")))
    return Path(shutil.copy(path.parent / "folds" / "fold0_d.json", path))


def make_config(path: Path) -> Path:
    """A dataset config."""
    return Path(shutil.copy(DATA / "htt_ml" / "example_dataset_config.yaml", path))


# --- readings ------------------------------------------------------------------------------------------------------


def digest(*parts: Any) -> bytes:
    """Checksum of arrays and texts."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return found.digest()


def read_table(path: Path) -> bytes:
    """All branches of the table."""
    import awkward as ak

    from ntupleml.ntuples import open_ntuple

    parts: list[Any] = []
    with open_ntuple(path, TREE) as ntuple:
        for chunk in ntuple.chunks([name for name in ntuple.main_branches if ntuple.branches[name].kind != "other"]):
            for name, column in sorted(chunk.columns.items()):
                whole = isinstance(column, np.ndarray)
                parts += [name, column] if whole else [name, ak.num(column).to_numpy(), ak.flatten(column).to_numpy()]
    return digest(*parts)


def read_config(path: Path) -> bytes:
    """A config, checked."""
    from ntupleml.config import DatasetConfig, load_config

    return load_config(path, DatasetConfig).model_dump_json().encode()


def read_scaler(path: Path) -> bytes:
    """A scaler's answer."""
    from ntupleml.preprocessing import load_preprocessing

    return digest(load_preprocessing(path, 2).transform(np.ones((1, 2))))


def read_study(path: Path) -> bytes:
    """Trials of a study."""
    from ntupleml.tuning.storage import open_study, storage_errors

    with storage_errors(path.parent):
        trials = open_study(path.parent).get_trials(deepcopy=False)
    return digest(*((trial.number, trial.value, trial.params) for trial in trials))


def read_training_record(path: Path) -> bytes:
    """The record of a training."""
    from ntupleml.artifacts import read_record

    return read_record(path).model_dump_json().encode()


def read_folds(path: Path) -> bytes:
    """The record of a fold file."""
    from ntupleml.datasets.records import read_fold_record

    return repr(read_fold_record(path.with_suffix(".root"))).encode()


def inspect(path: Path) -> bytes:
    """What a file holds."""
    from ntupleml.ntuples.inspection import inspect_tree, list_trees

    return digest(list_trees(path), inspect_tree(path, TREE))


def read_checkpoint(path: Path) -> bytes:
    """All arrays."""
    from ntupleml.training.kept_epochs import UNREADABLE, load_arrays

    try:
        return digest(*(part for item in sorted(load_arrays(path).items()) for part in item))
    except UNREADABLE as error:  # what its callers make a line of
        raise NtuplemlError(str(error)) from error


def read_lwtnn(path: Path) -> bytes:
    """A network of lwtnn as plain data."""
    from ntupleml.lwtnn.reading import read_network as read

    return digest(read(path))


def read_network(path: Path) -> bytes:
    """A network of Keras, of an old Keras or QKeras, or of frugally-deep."""
    from ntupleml.artifacts import read_keras_file
    from ntupleml.artifacts.keras2_files import read_keras2_file
    from ntupleml.frugally_deep.reading import read_frugally_deep

    read = {".keras": read_keras_file, ".h5": read_keras2_file, ".json": read_frugally_deep}[path.suffix]
    file = read(path)
    return digest(*(array for arrays in file.weights.values() for array in arrays), file.network.shapes)


def score(path: Path) -> bytes:
    """Answers of a model file to some events, through its ONNX form."""
    from ntupleml.onnx_models.convert import convert
    from ntupleml.scoring.onnx_graphs import open_onnx

    content = None if path.suffix == ".onnx" else convert(path).SerializeToString()
    graph = open_onnx(path, content=content)
    rows = np.random.default_rng(3).normal(size=(200, 2)).astype("f4")
    (name,) = graph.inputs
    return digest(*graph.session.run(None, {name: rows}))


def build(path: Path) -> bytes:
    """Fold files of a damaged ntuple."""
    from ntupleml.config import DatasetConfig
    from ntupleml.datasets import create_training_dataset

    config = {
        "output_path": str(path.parent / "folds"),
        "output_filename": "d.root",
        "tree_path": TREE,
        "event_branch": "event",
        "processes": {"signal": {"files": [str(path)], "cut_string": "x > -1"}},
    }
    done = create_training_dataset(DatasetConfig.model_validate(config))
    return digest(*(process.sum_of_weights for record in done.records for process in record.processes.values()))


def _plan(path: Path) -> Any:
    from ntupleml.application import make_plan

    weights = [str(make_tmva(path.parent / "weights.xml"))]
    return make_plan(None, None, None, kind="weights", weights=weights, output_directory=str(path.parent / "out"))


def friend(path: Path) -> bytes:
    """Scores of a damaged ntuple in a friend."""
    from ntupleml.application import write_planned_friends

    (written,) = write_planned_friends(_plan(path), [path], TREE)
    return read_table(written)


def in_place(path: Path) -> bytes:
    """Scores of a damaged ntuple in it."""
    from ntupleml.application import append_planned_scores

    append_planned_scores(_plan(path), path, TREE)
    return _all_or_damage(path)


def _all_or_damage(path: Path) -> bytes:
    """All branches, those that cannot be read told apart."""
    from ntupleml.ntuples import open_ntuple

    parts: list[Any] = []
    with open_ntuple(path, TREE) as ntuple:
        for name in ntuple.main_branches:
            try:
                parts += [name, *(np.asarray(chunk.columns[name]) for chunk in ntuple.chunks([name]))]
            except (NtuplemlError, ValueError) as error:
                parts += [name, type(error)]
    return digest(*parts)


KINDS = {
    "ttree.root": Kind(make_root, read_table),
    "zlib.root": Kind(lambda path: make_root(path, "ZLIB"), read_table),
    "plain.root": Kind(lambda path: make_root(path, None), read_table),
    "rntuple.root": Kind(make_rntuple, read_table),
    "table.h5": Kind(make_table, read_table),
    "table.parquet": Kind(make_table, read_table),
    "inspect.root": Kind(make_root, inspect),
    "build.h5": Kind(make_table, build),
    "build.parquet": Kind(make_table, build),
    "build.root": Kind(make_root, build),
    "friend.root": Kind(make_root, friend),
    "in_place.root": Kind(make_root, in_place),
    "tmva.xml": Kind(make_tmva, score),
    "forest.npz": Kind(make_npz, score),
    "xgboost.json": Kind(make_booster, score),
    "xgboost.ubj": Kind(make_booster, score),
    "lightgbm.txt": Kind(make_booster, score),
    "lwtnn.json": Kind(make_lwtnn, score),
    "lstm.json": Kind(make_lstm, read_lwtnn),
    "network.keras": Kind(make_keras, read_network),
    "qkeras.h5": Kind(make_qkeras, read_network),
    "frugally_deep.json": Kind(make_frugally_deep, read_network),
    "forest.onnx": Kind(make_onnx, score),
    "scaler.json": Kind(make_scaler, read_scaler),
    "scaler.pickle": Kind(make_scaler, read_scaler),
    "checkpoint.npz": Kind(make_checkpoint, read_checkpoint),
    "record.json": Kind(make_record, read_training_record),
    "folds.json": Kind(make_folds, read_folds),
    "study.sqlite": Kind(make_study, read_study),
    "config.yaml": Kind(make_config, read_config),
}
