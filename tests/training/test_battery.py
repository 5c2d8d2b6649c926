"""Whatever a config may ask of a network is trained, exported and scored: the ONNX file gives Keras' own prediction.

Each run takes the next value of every list, so that all values come up in as many runs as the longest list has.
"""

from __future__ import annotations

import pickle
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from ntupleml.artifacts import model_files
from ntupleml.config import TrainingConfig
from ntupleml.config.schema import PREPROCESSING_METHODS
from ntupleml.models import ACTIVATIONS, LOSSES, OPTIMIZERS, TARGET_LOSSES
from ntupleml.training import TrainingOptions, train_keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Keys of a `model` block beside activation, loss and optimiser.
MODELS: tuple[dict[str, Any], ...] = (
    {"dropout": 0.3, "early_stopping": 1},
    {"batch_norm": True, "reduce_lr_on_plateau": 1, "epochs": 2},
    {"l2": 1e-3, "batch_size": -1},
    {"batch_norm": True, "dropout": 0.2, "l2": 1e-4, "hidden": [6, 5]},
    {"learning_rate": 0.02, "save_best_only": False},
    {"events_per_class_and_batch": 30, "steps_per_epoch": 3},
    {"schedule": {"type": "one_cycle", "cycle": 0.5}, "epochs": 2},
    {"schedule": {"type": "steps", "after": {0: 1e-3}}},
)
#: Keys of a config beside the model.
CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"missing": {"value": -10.0}},
    {"stream": True},
    {"classes": ["sig", "bkg", "tt"], "class_weights": {"sig": 2.0, "bkg": 1.0, "tt": 0.5}},
    {"weighted_preprocessing": True, "event_weights": None},
    {"conditions": {}, "missing": {"value": 0.0}},
    {"global_weight_scale": 100.0, "variables": ["x + y", "sqrt(n)", "n == 2"]},
)
OPTIONS = (
    TrainingOptions(),
    TrainingOptions(balance_batches=True),
)
CLASS_LOSSES = [loss for loss in LOSSES if loss in TARGET_LOSSES["classes"]]
_COLUMNS = zip(
    ACTIVATIONS,
    cycle(CLASS_LOSSES),
    cycle(OPTIMIZERS),
    cycle(PREPROCESSING_METHODS),
    cycle(MODELS),
    cycle(CONFIGS),
    cycle(OPTIONS),
    strict=False,
)
RUNS = [
    dict(zip(("activation", "loss", "optimizer", "preprocessing", "model", "config", "options"), one, strict=True))
    for one in _COLUMNS
]


def test_every_value_comes_up() -> None:
    for key, values in {
        "activation": ACTIVATIONS,
        "loss": CLASS_LOSSES,
        "optimizer": OPTIMIZERS,
        "preprocessing": PREPROCESSING_METHODS,
        "model": MODELS,
        "config": CONFIGS,
        "options": OPTIONS,
    }.items():
        assert all(any(run[key] == value for run in RUNS) for value in values), key


@pytest.fixture(scope="module")
def make_files(
    tmp_path_factory: pytest.TempPathFactory, fold_file: Callable[..., None], columns: Callable[..., dict[str, Any]]
) -> Callable[[bool], list[str]]:
    """Paths of two fold files, with or without missing values."""
    folder = tmp_path_factory.mktemp("battery")

    def make(missing: bool, condition: int = 0) -> list[str]:
        paths = [folder / f"{fold}_{missing}_{condition}.root" for fold in (0, 1)]
        for fold, path in enumerate(paths):
            if path.exists():
                continue
            trees = {name: columns(fold + condition, index, 80) for index, name in enumerate(("sig", "bkg", "tt"))}
            if missing:
                for tree in trees.values():
                    tree["x"][::7], tree["y"][3::11] = np.nan, -np.inf
            fold_file(path, trees)
        return [str(path) for path in paths]

    return make


def config_of(run: dict[str, Any], make_files: Callable[..., list[str]], folder: Path) -> TrainingConfig:
    keys = dict(run["config"])
    missing = "missing" in keys
    content: dict[str, Any] = {
        "output_path": str(folder / "out"),
        "classes": ["sig", "bkg"],
        "event_weights": "weight",
        "variables": ["x", "y", "n"],
        "preprocessing": run["preprocessing"],
        "model": {"hidden": [5], "epochs": 1, "batch_size": 32, **run["model"]}
        | {key: run[key] for key in ("activation", "loss", "optimizer")},
    }
    if "conditions" in keys:
        keys["conditions"] = {era: {"datasets": make_files(missing, int(era))} for era in ("2016", "2017")}
    else:
        keys["datasets"] = make_files(missing)
    return TrainingConfig.model_validate(content | keys)


def raw_inputs(config: TrainingConfig, num_conditions: int) -> np.ndarray:
    """Raw variables of no training, missing ones among them where the config replaces them, and one-hot conditions."""
    random = np.random.default_rng(8)
    rows = random.normal([0.5, 5.0, 2.0], [1.5, 12.0, 1.0], (200, 3)).astype(np.float32)
    if config.missing is not None:
        rows[::5, 0], rows[1::7, 1], rows[2::9, 2] = np.nan, np.inf, -np.inf
    one_hot = (
        np.eye(num_conditions, dtype=np.float32)[np.arange(200) % max(num_conditions, 1)]
        if num_conditions
        else rows[:, :0]
    )
    return np.concatenate([rows, one_hot], axis=1)


def keras_prediction(config: TrainingConfig, rows: np.ndarray) -> np.ndarray:
    """By Keras, scikit-learn and numpy alone, from the files of the training."""
    import keras

    files = model_files(config.output_path, 0)
    raw = rows[:, :3].astype(np.float64)
    if config.missing is not None:
        raw = np.where(np.isfinite(raw), raw, config.missing.value)
    scaled = pickle.loads(files.pickle.read_bytes()).transform(raw)
    network = keras.saving.load_model(files.model, compile=False)
    found: np.ndarray = network.predict(np.concatenate([scaled, rows[:, 3:]], axis=1), verbose=0, batch_size=200)
    return found


@pytest.mark.parametrize("run", RUNS, ids=[run["activation"] for run in RUNS])
def test_trained_exported_and_scored(run: dict[str, Any], make_files: Callable[..., list[str]], tmp_path: Path) -> None:
    config = config_of(run, make_files, tmp_path)
    options = TrainingOptions(conditional=True) if config.conditions else run["options"]
    (record,) = train_keras(config, [0], options)
    assert record.epochs == len(record.history["loss"]) >= 1
    rows = raw_inputs(config, len(record.conditions))
    session = onnxruntime.InferenceSession(
        model_files(config.output_path, 0).onnx.read_bytes(), providers=["CPUExecutionProvider"]
    )
    (scores,) = session.run(None, {"variables": rows})
    np.testing.assert_allclose(scores, keras_prediction(config, rows), atol=1e-5)
    assert np.isfinite(scores).all()
    assert session.run(None, {"variables": rows[:0]})[0].shape == (0, len(config.classes))
    np.testing.assert_allclose(session.run(None, {"variables": rows[:1]})[0], scores[:1], atol=1e-6)
