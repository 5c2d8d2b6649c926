"""Trainings of networks with a latent layer: what their files give, and that a training can go on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnxruntime
import pytest
import uproot

from ntupleml.artifacts import KERAS, TrainedModel, load_keras_model, model_files
from ntupleml.artifacts.model_checks import check_record
from ntupleml.config import TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import load_preprocessing, load_scalers
from ntupleml.training.jobs import TrainingOptions
from ntupleml.training.keras_training import train_keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EVENTS, LENGTH = 200, 3
SCORES = ["latent_norm", "reconstruction_error", "kl"]


def columns(fold: int) -> dict[str, Any]:
    random = np.random.default_rng(fold)
    counts = random.poisson(2, EVENTS)
    jets = {name: ak.unflatten(random.normal(30, 5, counts.sum()).astype("f4"), counts) for name in ("pt", "eta")}
    numbers = {name: random.normal(size=EVENTS).astype("f4") for name in ("x", "y", "z")}
    return {**numbers, "weight": random.uniform(0.5, 1.5, EVENTS), "Jet": ak.zip(jets)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold files of one class."""
    folder = tmp_path_factory.mktemp("autoencoders")
    for fold in (0, 1):
        with uproot.recreate(folder / f"fold{fold}.root") as file:
            content = columns(fold)
            kinds = {key: getattr(values, "dtype", None) or values.type.content for key, values in content.items()}
            file.mktree("background", kinds)
            file["background"].extend(content)
    return folder


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    def config(output: str = "out", **keys: Any) -> TrainingConfig:
        content = {
            "datasets": [str(folder / f"fold{fold}.root") for fold in (0, 1)],
            "output_path": str(tmp_path / output),
            "classes": ["background"],
            "event_weights": "weight",
            **({} if "inputs" in keys else {"variables": ["x", "y", "z"]}),
            "target": {"reconstruction": "all", "scores": SCORES},
            "seed": 3,
        }
        model = {"epochs": 2, "batch_size": 50, **keys.pop("model")}
        return TrainingConfig.model_validate({**content, "model": model, **keys})

    return config


VARIATIONAL = {"hidden": [4], "latent": {"size": 2, "variational": True, "beta": 0.3}, "dropout": 0.1}


def expected(numbers: NDArray[Any], wanted: NDArray[Any], there: NDArray[Any], size: int) -> NDArray[Any]:
    """Scores from what the network gives, event by event."""
    found = []
    for given, target, mask in zip(numbers.astype("f8"), wanted.astype("f8"), there, strict=True):
        given_back, mean, log_variance = np.split(given, [len(target), len(target) + size])
        error = np.mean((given_back - target)[mask] ** 2) if mask.any() else 0.0
        kl = sum((np.exp(v) + m * m - 1 - v) / 2 for m, v in zip(mean, log_variance, strict=False))
        found.append([np.mean(mean**2), error, kl])
    return np.array(found)


def test_scores_of_a_variational_network(make: Callable[..., TrainingConfig]) -> None:
    """The ONNX file gives all scores, computed here from the Keras file; the mean is used, nothing is drawn."""
    config = make(model=VARIATIONAL)
    (record,) = train_keras(config, [0])
    assert record.outputs == SCORES
    assert (record.target.latent, record.target.variational) == (2, True)
    assert record.network["latent"] == {"size": 2, "activation": None, "variational": True, "beta": 0.3}
    assert record.onnx_check is not None
    files = model_files(config.output_path, 0)
    rows = np.stack([columns(1)[name] for name in ("x", "y", "z")], axis=1)
    scaled = load_preprocessing(files.preprocessing, 3).transform(rows)
    given = np.asarray(load_keras_model(files.model)(scaled.astype("f4"), training=False))
    assert given.shape == (EVENTS, 3 + 2 + 2)
    session = onnxruntime.InferenceSession(str(files.onnx))
    (found,) = session.run(["scores"], {"variables": rows})
    wanted = expected(given, scaled, np.ones_like(scaled, bool), 2)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    description = json.loads(session.get_modelmeta().custom_metadata_map["ntupleml"])
    assert (description["target"], description["classes"]) == ("reconstruction", SCORES)
    other = make(model=VARIATIONAL, target={"reconstruction": "all"})
    with pytest.raises(
        NtuplemlError, match=r"training.yaml: target.scores: \['reconstruction_error'\] in the config, "
    ):
        check_record(TrainedModel(files, record, KERAS), other, "training.yaml")


def test_objects_go_through_a_set_transformer(make: Callable[..., TrainingConfig]) -> None:
    """Jets and numbers, read by a set transformer and given back by dense layers; slots without a jet do not count."""
    config = make(
        inputs={"event": ["x"], "jets": {"objects": ["Jet_pt", "Jet_eta"], "length": LENGTH}},
        model={
            "name": "set_autoencoder",
            "settings": {"width": 4, "heads": 2, "layers": 1, "hidden": [5], "latent": 2},
        },
        target={"reconstruction": "all", "scores": SCORES[:2]},
    )
    (record,) = train_keras(config, [0])
    assert record.network["encoders"]["jets"]["type"] == "set_transformer"
    assert "event" not in record.network["encoders"]
    files, content = model_files(config.output_path, 0), columns(1)
    scalers = load_scalers(files.preprocessing, {"event": 1, "jets": 2})
    jets, mask = np.zeros((EVENTS, LENGTH, 2), "f4"), np.zeros((EVENTS, LENGTH), "f4")
    for row, event in enumerate(content["Jet"]):
        for slot, jet in enumerate(event[:LENGTH]):
            jets[row, slot], mask[row, slot] = (jet["pt"], jet["eta"]), 1
    event = scalers["event"].transform(content["x"][:, None])
    scaled = scalers["jets"].transform(jets.reshape(-1, 2)).reshape(jets.shape) * mask[..., None]
    given = np.asarray(
        load_keras_model(files.model)({"event": event, "jets": scaled, "jets_mask": mask}, training=False)
    )
    wanted = np.hstack([event, scaled.reshape(EVENTS, -1)])
    there = np.hstack([np.ones((EVENTS, 1)), np.repeat(mask, 2, axis=1)]) > 0
    session = onnxruntime.InferenceSession(str(files.onnx))
    raw = {"event": content["x"][:, None], "jets": jets, "jets_length": mask.sum(axis=1).astype("i8")}
    (found,) = session.run(["scores"], raw)
    np.testing.assert_allclose(found, expected(given, wanted, there, 2)[:, :2], rtol=2e-3, atol=1e-5)


def test_a_training_goes_on_where_it_was(make: Callable[..., TrainingConfig]) -> None:
    """Four epochs are two and two more, to the bit: what is drawn goes on where it was."""

    def weights(config: TrainingConfig) -> list[Any]:
        return list(load_keras_model(model_files(config.output_path, 0).model).get_weights())

    whole = make("whole", model={**VARIATIONAL, "epochs": 4, "save_best_only": False})
    train_keras(whole, [0])
    half = make("parts", model={**VARIATIONAL, "epochs": 2, "save_best_only": False})
    train_keras(half, [0])
    rest = make("parts", model={**VARIATIONAL, "epochs": 4, "save_best_only": False})
    (record,) = train_keras(rest, [0], TrainingOptions(continue_training=True))
    assert record.epochs == 4
    assert record.epochs_compiled == "xla"
    for one, other in zip(weights(whole), weights(rest), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("model", "scores", "message"),
    [
        ({"hidden": [3]}, ["latent_norm"], "target.scores: 'latent_norm' needs a network with model.latent; set it"),
        ({"hidden": [3], "latent": 2}, ["kl"], "target.scores: 'kl' needs a network with model.latent.variational;"),
        ({"hidden": [3], "latent": 2}, ["latent"], "target.scores"),
    ],
)
def test_scores_that_the_network_has_not(make: Callable[..., Any], model: Any, scores: Any, message: str) -> None:
    with pytest.raises((NtuplemlError, ValueError)) as error:
        train_keras(make(model=model, target={"reconstruction": "all", "scores": scores}), [0])
    assert message in str(error.value)
