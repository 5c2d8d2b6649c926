"""Small trained models on disk, as the training leaves them."""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from ntupleml.artifacts import (
    TrainingRecord,
    model_files,
    models_by_fold,
    read_keras_file,
    read_record,
    record_hash,
    sha256_of_file,
    write_record,
)
from ntupleml.config import TrainingConfig
from ntupleml.events.groups import InputGroup
from ntupleml.expressions import parse
from ntupleml.onnx_models.files import write_onnx
from ntupleml.onnx_models.keras_network import keras_to_onnx
from ntupleml.preprocessing import fit_scaler, write_preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel

VARIABLES = ["pt_1", "pt_2", "m_vis"]
CLASSES = ["ggh", "qqh", "ztt"]


class TmvaCase(NamedTuple):
    """A weights file of a real TMVA; inputs in the order of its variables, and what its Reader answers to them."""

    weights: Path
    inputs: NDArray[np.float32]
    answers: NDArray[Any]


@pytest.fixture
def training_of() -> Callable[[Path], TrainingConfig]:
    """Training config that the record of the first model in a folder goes with."""
    return _training_of


def _training_of(folder: Path) -> TrainingConfig:
    record = read_record(next(iter(sorted(folder.rglob("*training.json")))))
    return TrainingConfig(
        datasets=[f"fold{fold}.root" for fold in range(record.num_folds)],
        output_path=str(folder),
        classes=record.classes,
        variables=[] if record.inputs else record.variables,
        inputs=record.inputs,
    )


@pytest.fixture
def tmva_case(project: Path, tmp_path: Path) -> Callable[[str], TmvaCase]:
    """Unpack a case of tests/data/tmva into the test's folder."""
    data = project / "tests" / "data" / "tmva"

    def unpack(name: str) -> TmvaCase:
        meta = json.loads((data / name / "meta.json").read_text())
        weights = tmp_path / f"{name}.weights.xml"
        weights.write_bytes(gzip.decompress((data / name / "weights.xml.gz").read_bytes()))
        answers = np.load(data / name / "responses.npz")["response"]
        with np.load(data / f"{meta['data']}_eval.npz") as file:
            columns = {key: file[key] for key in file}
        formulas = [text.split(":=")[-1].strip() for text, _ in meta["variables"]]
        inputs = [parse(formula).per_event(columns, len(answers)) for formula in formulas]
        return TmvaCase(weights, np.stack(inputs, axis=1).astype(np.float32), answers.reshape(len(answers), -1))

    return unpack


class Trained(NamedTuple):
    """What `train` made: the models, and per model the Keras network and the scaler."""

    models: list[TrainedModel]
    networks: list[Any]
    scalers: list[Any]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, list[Any], list[Any]]]:
    """Write models of random weights, which differ from fold to fold; each kind once for all tests."""
    done: dict[str, tuple[Path, list[Any], list[Any]]] = {}

    def make(num_folds: int, **changes: Any) -> tuple[Path, list[Any], list[Any]]:
        import keras

        key = repr((num_folds, changes))
        if key in done:
            return done[key]
        folder = tmp_path_factory.mktemp("trained")
        networks, scalers = [], []
        for fold in range(num_folds):
            keras.utils.set_random_seed(fold)
            network = keras.Sequential(
                [
                    keras.Input((len(VARIABLES) + len(changes.get("conditions", [])),)),
                    keras.layers.Dense(20, activation="tanh"),
                    keras.layers.Dense(len(CLASSES), activation="softmax"),
                ]
            )
            rows = np.random.default_rng(fold).normal(50 + fold, 20, size=(500, len(VARIABLES)))
            scaler = fit_scaler("standard_scaler", rows)
            _write(folder, fold, num_folds, network, scaler, changes)
            networks.append(network)
            scalers.append(scaler)
        done[key] = folder, networks, scalers
        return done[key]

    return make


@pytest.fixture
def train(tmp_path: Path, made: Callable[..., tuple[Path, list[Any], list[Any]]]) -> Callable[..., Trained]:
    """Put trained models with their records into the test's folder."""

    def copy(num_folds: int = 2, **changes: Any) -> Trained:
        folder, networks, scalers = made(num_folds, **changes)
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        return Trained(models_by_fold(_training_of(tmp_path), where="config.yaml"), networks, scalers)

    return copy


def _write(folder: Path, fold: int, num_folds: int, network: Any, scaler: Any, changes: dict[str, Any]) -> None:
    files = model_files(folder, fold)
    held_out = (fold + 1) % num_folds
    content: dict[str, Any] = {
        "fold": fold,
        "num_folds": num_folds,
        "trained_on": [other for other in range(num_folds) if other != held_out],
        "held_out_fold": held_out,
        "event_branch": "event",
        "classes": CLASSES,
        "variables": VARIABLES,
        "preprocessing": "standard_scaler",
        "seed": 1,
        "config": {},
    }
    record = TrainingRecord(**{**content, **changes})
    network.save(files.model)
    write_preprocessing(files.preprocessing, scaler)
    graph = keras_to_onnx(
        read_keras_file(files.model),
        {"variables": scaler},
        [InputGroup("variables", tuple(record.variables), missing=record.missing)],
        record.classes,
        conditions=record.conditions,
        record_hash=record_hash(record),
    )
    write_onnx(files.onnx, graph)
    checksums = {path.name: sha256_of_file(path) for path in (files.model, files.preprocessing, files.onnx)}
    write_record(files.record, record.model_copy(update={"sha256": checksums}))
