"""Files of each format that the toolkit reads, and how each is read: what tools/damage_campaign.py damages."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import damage_commands as commands
import damage_files as files
import numpy as np
from damage_commands import digest

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Read = Callable[[Path], bytes]


class Kind(NamedTuple):
    """A format, or a command."""

    make: Callable[[Path], Path]
    read: Read


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


KINDS = {
    "ttree.root": Kind(lambda path: files.make_root(path, "ZSTD"), commands.read_tree),
    "zlib.root": Kind(files.make_root, commands.read_tree),
    "lz4.root": Kind(lambda path: files.make_root(path, "LZ4"), commands.read_tree),
    "plain.root": Kind(lambda path: files.make_root(path, None), commands.read_tree),
    "vectors.root": Kind(files.make_vectors, commands.read_tree),
    "real.root": Kind(files.make_real, commands.read_tree),
    "rntuple.root": Kind(files.make_rntuple, commands.read_tree),
    "table.h5": Kind(files.make_table, commands.read_tree),
    "table.parquet": Kind(files.make_table, commands.read_tree),
    "images.h5": Kind(files.make_images, commands.read_tree),
    "inspect.root": Kind(files.make_root, commands.inspect),
    "init.root": Kind(commands.make_with_weights, commands.init),
    "build.root": Kind(files.make_root, commands.build),
    "build.h5": Kind(files.make_table, commands.build),
    "build.parquet": Kind(files.make_table, commands.build),
    "friend.h5": Kind(commands.make_with_weights, commands.friend),
    "scores.parquet": Kind(commands.make_with_weights, commands.score_tables),
    "convert.h5": Kind(files.make_table, commands.convert),
    "join.parquet": Kind(commands.make_with_weights, commands.join),
    "with_friend.root": Kind(commands.make_friend, commands.with_friend),
    "join.root": Kind(commands.make_with_weights, commands.join),
    "convert.root": Kind(files.make_root, commands.convert),
    "friend.root": Kind(commands.make_with_weights, commands.friend),
    "in_place.root": Kind(commands.make_with_weights, commands.in_place),
    "scores.root": Kind(commands.make_with_weights, commands.score_tables),
    "merge.root": Kind(commands.make_to_merge, commands.merge),
    "merge.h5": Kind(commands.make_to_merge, commands.merge),
    "merge.parquet": Kind(commands.make_to_merge, commands.merge),
    "train.root": Kind(commands.make_fold_file, commands.train),
    "histograms.root": Kind(commands.make_fold_file, commands.histograms),
    "tmva.xml": Kind(files.make_tmva, score),
    "forest.npz": Kind(files.make_npz, score),
    "xgboost.json": Kind(files.make_booster, score),
    "xgboost.ubj": Kind(files.make_booster, score),
    "lightgbm.txt": Kind(files.make_booster, score),
    "lwtnn.json": Kind(files.make_lwtnn, score),
    "lstm.json": Kind(files.make_lstm, read_lwtnn),
    "network.keras": Kind(files.make_keras, read_network),
    "quantised.keras": Kind(files.make_own_keras, read_network),
    "autoencoder.keras": Kind(files.make_own_keras, read_network),
    "qkeras.h5": Kind(files.make_qkeras, read_network),
    "frugally_deep.json": Kind(files.make_frugally_deep, read_network),
    "forest.onnx": Kind(files.make_onnx, score),
    "scaler.json": Kind(files.make_scaler, read_scaler),
    "scaler.pickle": Kind(files.make_scaler, read_scaler),
    "checkpoint.npz": Kind(files.make_checkpoint, read_checkpoint),
    "record.json": Kind(files.make_record, read_training_record),
    "folds.json": Kind(commands.make_folds, read_folds),
    "study.sqlite": Kind(files.make_study, read_study),
    "config.yaml": Kind(files.make_config, read_config),
}
