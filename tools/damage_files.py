"""Files of each format that the toolkit reads: what tools/damage_campaign.py damages."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from ntupleml.imports import import_root

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

#: Networks of this package with layers of its own and of HGQ2.
OWN_KERAS = """
import sys
from dataclasses import replace
from ntupleml.models import Network, build_model, matrix
from ntupleml.models.networks import Latent
from ntupleml.models.quantisation import quantised_network
network = Network((8, 6), "relu")
if sys.argv[2] == "quantised":
    network = replace(network, quantised=quantised_network("fixed", network, "model.quantised"))
    build_model(network, matrix(2), 3, 1).save(sys.argv[1])
else:
    network = replace(network, latent=Latent(2, variational=True), output="linear",
        loss="masked_mean_squared_error", loss_settings={"beta": 0.1})
    build_model(network, matrix(2), 6, 1).save(sys.argv[1])
"""


def columns() -> dict[str, Any]:
    """Numbers of few digits, which every compression makes smaller, lists and event numbers."""
    random = np.random.default_rng(5)
    return {
        "x": random.normal(size=ENTRIES).round(1).astype("f4"),
        "y": random.normal(size=ENTRIES).round(1).astype("f4"),
        "event": np.arange(ENTRIES, dtype="i8"),
        "flag": random.random(ENTRIES) > 0.5,
        "jets": random.normal(size=2 * ENTRIES).round(1).astype("f4"),
    }


def _with_lists() -> dict[str, Any]:
    return {**(found := columns()), "jets": ak.unflatten(found["jets"], np.arange(ENTRIES) % 5)}


def make_root(path: Path, compression: str | None = "ZLIB", names: tuple[str, ...] = ()) -> Path:
    """A TTree of ten baskets per branch, by default of all; ZLIB and LZ4 have checksums."""
    import uproot

    level = None if compression is None else getattr(uproot, compression)(1)
    with uproot.recreate(path, compression=level) as file:
        everything = _with_lists()
        types: dict[str, Any] = {name: values.dtype for name, values in columns().items()} | {"jets": "var * float32"}
        types = {name: types[name] for name in names or types}
        tree = file.mktree(TREE, types)
        for start in range(0, ENTRIES, ENTRIES // 10):
            tree.extend({name: everything[name][start : start + ENTRIES // 10] for name in types})
    return path


def make_rntuple(path: Path) -> Path:
    """An RNTuple of ROOT, which has a checksum for each page."""
    root = import_root()
    model = root.RNTupleModel.Create()
    for name, kind in (("x", "float"), ("event", "std::int64_t"), ("jets", "std::vector<float>")):
        model.MakeField[kind](name)
    with root.RNTupleWriter.Recreate(model, TREE, str(path)) as writer:
        entry = writer.CreateEntry()
        found = _with_lists()
        for number, jets in enumerate(ak.to_list(found["jets"])):
            entry["x"], entry["event"], entry["jets"] = float(found["x"][number]), number, jets
            writer.Fill(entry)
            if number % 1000 == 999:
                writer.CommitCluster()
    return path


def make_table(path: Path) -> Path:
    """HDF5 or Parquet, by the ending."""
    from ntupleml.ntuples.table_files import new_table_file

    types = {**{name: values.dtype for name, values in columns().items()}, "jets": "vector of f4"}
    with new_table_file(path, TREE, types, ENTRIES) as table:
        table.extend(_with_lists())
        table.finish("{}")
    return path


def make_images(path: Path) -> Path:
    """Images of 16 by 16 and a number each."""
    from ntupleml.ntuples.table_files import new_table_file

    random = np.random.default_rng(6)
    images = random.poisson(0.1, (200, 16, 16)).astype("f4")
    with new_table_file(path, TREE, {"image": np.dtype(("f4", (16, 16))), "y": "f4"}, len(images)) as table:
        table.extend({"image": images, "y": images.sum(axis=(1, 2))})
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


def make_own_keras(path: Path) -> Path:
    """A quantised network, or a variational autoencoder, as the name says."""
    subprocess.run([sys.executable, "-c", OWN_KERAS, path, path.stem], check=True, capture_output=True)
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


def make_vectors(path: Path) -> Path:
    """A TTree of ROOT with vectors and arrays of jets, baskets of ROOT's own and one in the header."""
    root = import_root()
    file = root.TFile(str(path), "RECREATE", "", 101)
    tree = root.TTree(TREE, "")
    tree.SetAutoFlush(400)
    event, number, masses = np.zeros(1, "i8"), np.zeros(1, "i4"), np.zeros(8, "f4")
    pts, ids = root.std.vector["float"](), root.std.vector["int"]()
    tree.Branch("event", event, "event/L")
    tree.Branch("n", number, "n/I")
    tree.Branch("m", masses, "m[n]/F")
    tree.Branch("pt", pts)
    tree.Branch("id", ids)
    for entry, jets in enumerate(ak.to_list(_with_lists()["jets"])):
        event[0], number[0], masses[: len(jets)] = entry, len(jets), jets
        pts.assign(jets)
        ids.assign([int(10 * jet) for jet in jets])
        tree.Fill()
    file.Write()
    file.Close()
    return path


def make_real(path: Path) -> Path:
    """A file that ROOT wrote: RVecs of numbers and of objects."""
    return Path(shutil.copy(DATA / "root" / "rvec.root", path))


def make_config(path: Path) -> Path:
    """A dataset config."""
    return Path(shutil.copy(DATA / "htt_ml" / "example_dataset_config.yaml", path))
