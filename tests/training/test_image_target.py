"""An image that is learnt, from images in an ntuple to branches of missing energy; expected numbers by NumPy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

from ntupleml.application.frugally_deep_export import export_to_frugally_deep
from ntupleml.application.onnx_export import export_to_onnx
from ntupleml.artifacts import KERAS, model_files, read_record
from ntupleml.cli import main
from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.testing.engine_comparison import compare_engines
from ntupleml.training.data import MemoryData
from ntupleml.training.jobs import TrainingOptions
from ntupleml.training.keras_training import train_keras
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ETA, PHI, EVENTS = 4, 6, 300
RANGES = {"bins": [ETA, PHI], "eta_range": [-2, 2]}
INPUTS = {"image": {"image": ["calo", "tracks"]}, "event": ["pileup"]}
TARGET = {"image": "truth"}


def missing(images: NDArray[Any]) -> NDArray[np.float64]:
    phi = -np.pi + (np.arange(PHI) + 0.5) * 2 * np.pi / PHI
    return -np.stack([np.einsum("nep,p->n", images.astype(float), one(phi)) for one in (np.cos, np.sin)], axis=1)


def columns(seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    truth = random.exponential(20, (EVENTS, ETA, PHI)) * (random.random((EVENTS, ETA, PHI)) < 0.3)
    noise = random.normal(0, 1, (2, EVENTS, ETA, PHI))
    counts = random.poisson(3, EVENTS)
    clusters = {
        "E": random.exponential(20, counts.sum()),
        "eta": random.uniform(-2.5, 2.5, counts.sum()),
        "phi": random.uniform(-np.pi, np.pi, counts.sum()),
    }
    return {
        "event": np.arange(EVENTS) + EVENTS * seed,
        "truth": truth.astype("f4"),
        "calo": (truth + noise[0]).astype("f4"),
        "bad": np.where(np.arange(EVENTS)[:, np.newaxis, np.newaxis] == 8, np.nan, truth),
        "tracks": (truth / 2 + noise[1]).astype("f4"),
        "pileup": random.poisson(30, EVENTS).astype("f4"),
        "weight": random.uniform(0.5, 1.5, EVENTS),
        "cl": ak.zip({name: ak.unflatten(one.astype("f4"), counts) for name, one in clusters.items()}),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ntuple, and the fold files that are built of it."""
    folder = tmp_path_factory.mktemp("images")
    with uproot.recreate(folder / "ntuple.root") as file:
        for seed in (0, 1):
            content = columns(seed)
            if seed == 0:
                kinds = {
                    key: np.dtype((one.dtype, one.shape[1:])) if isinstance(one, np.ndarray) else one.type.content
                    for key, one in content.items()
                }
                file.mktree("events", kinds)
            file["events"].extend(content)
    dataset = {
        "processes": {"all": {"files": ["ntuple.root"], "class": "all", "cut_string": "1", "weight_string": "weight"}},
        "base_path": str(folder),
        "tree_path": "events",
        "event_branch": "event",
        "output_path": str(folder),
        "output_filename": "images.root",
        "num_folds": 2,
        "branches": "all",
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(dataset))
    assert main(["dataset", str(folder / "dataset.yaml")]) == 0
    return folder


@pytest.fixture
def make(folder: Path, tmp_path: Path) -> Callable[..., TrainingConfig]:
    def make(**keys: Any) -> TrainingConfig:
        content = {
            "datasets": [str(folder / f"fold{fold}_images.root") for fold in (0, 1)],
            "output_path": str(tmp_path / "out"),
            "classes": ["all"],
            "event_weights": "training_weight",
            "inputs": INPUTS,
            "target": TARGET,
            "seed": 3,
            "model": {
                "encoders": {"image": {"type": "periodic_convolution", "filters": [4], "kernel": 3}},
                "epochs": 2,
                "batch_size": 32,
            },
            **keys,
        }
        (tmp_path / "training.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return TrainingConfig.model_validate(content)

    return make


def data_of(config: TrainingConfig, kind: type = MemoryData) -> Any:
    trees = class_trees(config, fold_files(config, 0, conditional=False))
    return kind(config, trees, 0, balanced=False, randomized=False)


def stored(folder: Path, fold: int = 0) -> dict[str, Any]:
    with uproot.open(folder / f"fold{fold}_images.root") as file:
        found: dict[str, Any] = file["all"].arrays(library="np")
    return found


def sorted_rows(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("kind", [MemoryData, StreamedData])
def test_targets_are_pixels_then_standardised_values(make: Any, folder: Path, kind: type) -> None:
    values = {"half": "pileup/2", "sum": "pileup+1"}
    data = data_of(make(target={**TARGET, "values": values}), kind)
    truth = stored(folder)
    target = data.preparation.target
    assert (target.kind, target.image.bins, list(target.values)) == ("image", (ETA, PHI), ["half", "sum"])
    blocks = [*data.training_blocks(1), *data.validation_blocks()]
    found = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
    assert found.shape == (len(truth["event"]), ETA * PHI + 2)
    expected = np.stack([truth["pileup"] / 2, truth["pileup"] + 1], axis=1)
    expected = (expected - target.mean) / target.scale
    expected = np.hstack([truth["truth"].reshape(len(expected), -1), expected])
    np.testing.assert_allclose(sorted_rows(found), sorted_rows(expected), rtol=1e-5, atol=1e-5)
    assert set(data.check_batch) == {"image", "event"}


def test_units_are_standard_deviations_with_weights(make: Any, folder: Path) -> None:
    data = data_of(make(train_test_split=0.99))
    image, truth = data.preparation.target.image, stored(folder)
    weights = truth["training_weight"]

    def deviation(numbers: NDArray[Any], of: NDArray[Any]) -> float:
        mean = np.average(numbers, weights=of)
        return float(np.sqrt(np.average((numbers - mean) ** 2, weights=of)))

    components = [deviation(one, weights) for one in missing(truth["truth"]).T]
    assert image.component_scale == pytest.approx(np.sqrt(np.square(components).mean()), rel=0.03)
    of_pixels = np.repeat(weights, ETA * PHI)
    assert image.pixel_scale == pytest.approx(deviation(truth["truth"].ravel(), of_pixels), rel=0.03)


def test_a_target_is_filled_from_objects_as_inputs_are(make: Any, folder: Path) -> None:
    target = {"image": {"image": "cl_E", "eta": "cl_eta", "phi": "cl_phi", **RANGES}}
    data = data_of(make(target=target))
    truth = stored(folder)
    expected = np.zeros((len(truth["event"]), ETA, PHI))
    for row in range(len(expected)):
        for energy, eta, phi in zip(*(truth[f"cl_{name}"][row] for name in ("E", "eta", "phi")), strict=True):
            if -2 <= eta < 2:
                expected[row, int(eta + 2), int((phi + np.pi) / (2 * np.pi) * PHI) % PHI] += energy
    blocks = [*data.training_blocks(1), *data.validation_blocks()]
    found = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
    np.testing.assert_allclose(sorted_rows(found), sorted_rows(expected.reshape(len(expected), -1)), rtol=1e-4)


def scored(config: TrainingConfig, fold: int, folder: Path) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Scores and images of the ONNX file for the events of a fold, and these."""
    path = model_files(config.output_path, 1 - fold, KERAS).onnx
    truth = stored(folder, fold)
    images = np.stack([truth["calo"], truth["tracks"]], axis=-1)
    feeds = {"image": images, "event": truth["pileup"][:, np.newaxis]}
    session = onnxruntime.InferenceSession(path)
    return (*session.run(["scores", "predicted_image"], feeds), truth)


def run(*arguments: str | Path) -> None:
    assert main([str(one) for one in arguments]) == 0


def test_from_a_training_to_branches(make: Any, folder: Path, tmp_path: Path) -> None:
    """Scores are the missing energy of the image that the network gives; testing and application have them."""
    config = make(target={**TARGET, "values": {"n": "pileup"}})
    records = train_keras(config, [0, 1])
    assert records[0].outputs == ["ex", "ey", "n"]
    assert records[0].network["loss"] == "mixed"
    assert records[0] == read_record(model_files(config.output_path, 0, KERAS).record)
    scores, images, truth = scored(config, 1, folder)
    assert images.shape == (len(truth["event"]), ETA, PHI)
    np.testing.assert_allclose(scores[:, :2], missing(images), atol=1e-4)

    (tmp_path / "testing.yaml").write_text("{}")
    run("regression", tmp_path / "training.yaml", tmp_path / "testing.yaml", "0")
    numbers = yaml.safe_load((tmp_path / "out" / "fold0_keras_residuals_ey.yaml").read_text())
    residuals = scores[:, 1] - missing(truth["truth"])[:, 1]
    bias = np.average(residuals, weights=truth["training_weight"])
    assert numbers["residuals"]["bias"]["value"] == pytest.approx(bias, rel=1e-4, abs=1e-4)
    export_to_onnx(tmp_path / "training.yaml")
    (compared,), _ = compare_engines(tmp_path / "training.yaml", "0")
    assert set(compared.results) == {"Keras", "ONNX", "exported ONNX"}
    assert compared.largest < 1e-4
    with pytest.raises(NtuplemlError, match="has no frugally-deep form"):
        export_to_frugally_deep(tmp_path / "training.yaml", "0")

    (tmp_path / "application.yaml").write_text(
        yaml.safe_dump(
            {"branch_prefix": "nn_", "output_directory": str(tmp_path), "image": True}
            | {"selection": "pileup > 28", "default_score": -7}
        )
    )
    configs = [folder / "dataset.yaml", tmp_path / "training.yaml", tmp_path / "application.yaml"]
    run("apply-keras-friend", *configs, folder / "ntuple.root", "events")
    friend = tmp_path / folder.name / f"{folder.name}.root"
    with uproot.open(friend) as file:
        found = file["events"].arrays(library="np")
    assert list(found) == ["nn_ex", "nn_ey", "nn_n", "nn_image", "event"]
    assert found["nn_image"].shape == (2 * EVENTS, ETA, PHI)
    places = truth["event"]
    chosen = truth["pileup"] > 28
    assert (found["event"][places] == places).all()
    np.testing.assert_allclose(found["nn_image"][places][chosen], images[chosen], atol=1e-5)
    np.testing.assert_allclose(found["nn_ey"][places][chosen], scores[chosen, 1], atol=1e-5)
    assert (found["nn_image"][places][~chosen] == -7).all()
    assert (found["nn_ex"][places][~chosen] == -7).all()


@pytest.mark.parametrize(
    "keys",
    [
        {"model": {"name": "BB_model", "settings": {"kernel": [3], "filters": [3]}, "loss": "image", "epochs": 1}},
        {"model": {"name": "densenet", "settings": {"kernel": 3, "layers": 2}, "epochs": 1}, "stream": True},
        {"model": {"name": "unet", "settings": {"kernel": 3, "pool": [[2, 2]], "reflected": True}, "epochs": 1}},
        {"model": {"name": "resnet", "settings": {"kernel": 3, "output": "relu"}, "epochs": 1}},
    ],
)
def test_networks_of_the_zoo(make: Any, keys: dict[str, Any]) -> None:
    """Each is trained and written, and its ONNX file agrees, which the training checks."""
    (record,) = train_keras(make(inputs={"image": INPUTS["image"]}, **keys), [0])
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-4
    assert np.isfinite(record.history["val_loss"]).all()


def test_the_same_seed_gives_the_same_bits(make: Any) -> None:
    config = make(model={"name": "BB_model", "settings": {"kernel": [3, 3], "filters": [3, 2]}, "epochs": 2})
    first, again = (train_keras(config, [0], TrainingOptions(overwrite=True))[0] for _ in range(2))
    assert first.history["val_loss"] == again.history["val_loss"]
    assert first.epochs_compiled == "graph"


def test_training_lowers_the_loss(make: Any, folder: Path) -> None:
    """The calorimeter has all that is needed: ETmiss is found far better than its spread."""
    model = {"name": "BB_model", "settings": {"kernel": [3], "filters": [4], "initializer": "he_normal"}}
    config = make(model={**model, "settings": {**model["settings"], "learning_rate": 0.01}, "epochs": 60})
    train_keras(config, [0])
    scores, _, truth = scored(config, 1, folder)
    wanted = missing(truth["truth"])
    assert (scores - wanted).std() < 0.3 * wanted.std()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target": {**TARGET, "reconstruction": "all"}}, "give one of values, image and reconstruction"),
        ({"target": {"image": {"image": ["truth", "calo"]}}}, "an image that is learnt has one"),
        ({"target": {**TARGET, "values": {"ex": "pileup"}}}, "values.ex: is what a score of the image is called"),
        ({"target": {"image": {"image": "truth", "preprocessing": "identity"}}}, "is not scaled"),
        ({"adversary": {"against": ["pileup"]}}, "the target is image"),
    ],
)
def test_configs_that_are_refused(make: Any, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"inputs": {"event": ["pileup"]}, "model": {"hidden": [4]}},
            "no encoder gives one; take dense_convolution or",
        ),
        ({"model": {"encoders": {"image": {"type": "convolution"}}}}, "no encoder gives one"),
        ({"model": {"name": "BB_model", "loss": "huber"}}, "'huber' is no loss where the target is image"),
        (
            {"target": {**TARGET, "values": {"n": "pileup"}}, "model": {"name": "BB_model", "loss": "etmiss"}},
            "'etmiss' is of the image alone, but there are values too; take mixed",
        ),
        ({"model": {"name": "BB_model"}, "inputs": {"event": ["pileup"]}}, "is for images, but no group of inputs"),
        ({"model": {"name": "unet"}}, "pool: 5 × 2 pixels do not divide an image of 2 × 3; choose divisors"),
        ({"model": {"name": "BB_model", "settings": {"kernel": [4], "filters": [1]}}}, "4 is even"),
        ({"model": {"name": "BB_model", "settings": {"kernel": [3], "filters": [1, 2]}}}, "1 numbers for 2 conv"),
        ({"model": {"name": "BB_model", "settings": {"kernel": [15], "filters": [1]}}}, "too large for an image of 6"),
        ({"target": {"image": "truht"}}, "target.image.*'truht'.*nearest: 'truth'"),
        ({"target": {"image": "pileup"}}, r"target.image.*'pileup' is of shape \(\)"),
        ({"target": {"image": {"image": "cl_E", "eta": "cl_eta", "phi": "cl_phi", **RANGES, "bins": [3, 6]}}}, "3 × 6"),
        ({"target": {"image": "bad"}, "missing": {"value": 0}}, "target.image.*NaN or infinite"),
    ],
)
def test_trainings_that_are_refused(make: Any, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        train_keras(make(**keys), [0])


def test_an_image_is_asked_for_where_none_is_learnt(make: Any, folder: Path, tmp_path: Path, capsys: Any) -> None:
    config = make(target={"values": {"n": "pileup"}}, inputs={"event": ["pileup"]}, model={"hidden": [2], "epochs": 1})
    train_keras(config, [0, 1])
    (tmp_path / "application.yaml").write_text(json.dumps({"image": True, "output_directory": str(tmp_path)}))
    configs = [folder / "dataset.yaml", tmp_path / "training.yaml", tmp_path / "application.yaml"]
    arguments = ["apply-keras-friend", *configs, folder / "ntuple.root", "events"]
    assert main([str(one) for one in arguments]) == 2
    assert "image: the models learn values, not an image; leave it out" in capsys.readouterr().err
