"""Weights of particles: the sum against NumPy, and a training whose vector turns with the event."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import onnxruntime
import pytest
import uproot

from ntupleml.artifacts import KERAS, model_files
from ntupleml.config import TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import GroupShape, ValueUnits, build_model, network_of
from ntupleml.training.keras_training import train_keras

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENTS = 1_000
COLUMNS = ("pt", "eta", "phi", "vertex")


def content(folder: Path, **keys: Any) -> dict[str, Any]:
    particles = {"collections": {"all": {name: name for name in COLUMNS}}, "features": ["pt", "eta", "vertex"]}
    return {
        "datasets": [str(folder / f"fold{fold}.root") for fold in (0, 1)],
        "output_path": str(folder / "out"),
        "classes": ["events"],
        "inputs": {"particles": particles},
        "target": {"values": ["ex", "ey"]},
        "augmentation": {"phi_rotation": True},
        "model": {"name": "particle_weights", "epochs": 10, "batch_size": 50, "settings": {"learning_rate": 0.01}},
        **keys,
    }


def events(seed: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64], NDArray[np.float64]]:
    """Particles of all events, their numbers, and the true missing momentum: that of the one vertex, ±1 GeV."""
    random = np.random.default_rng(seed)
    counts = random.poisson(12, EVENTS)
    total = counts.sum()
    found = {
        "pt": random.exponential(10, total),
        "eta": random.uniform(-2.5, 2.5, total),
        "phi": random.uniform(-np.pi, np.pi, total),
        "vertex": random.integers(0, 2, total).astype(float),
    }
    return found, counts, missing(found, counts, found["vertex"]) + random.normal(0, 1, (EVENTS, 2))


def missing(found: dict[str, NDArray[Any]], counts: NDArray[np.int64], weights: NDArray[Any]) -> NDArray[np.float64]:
    rows = np.repeat(np.arange(len(counts)), counts)
    return np.stack(
        [
            -np.bincount(rows, weights * found["pt"] * direction(found["phi"]), len(counts))
            for direction in (np.cos, np.sin)
        ],
        axis=1,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("particles")
    for fold in (0, 1):
        found, counts, truth = events(fold)
        branches = {name: ak.unflatten(values.astype("f4"), counts) for name, values in found.items()}
        with uproot.recreate(folder / f"fold{fold}.root") as file:
            types = dict.fromkeys(found, "var * float32") | {"ex": "f4", "ey": "f4"}
            file.mktree("events", types).extend({**branches, **dict(zip(("ex", "ey"), truth.T, strict=True))})
    return folder


@pytest.mark.parametrize("bias", [False, True])
def test_the_sum_is_that_of_numpy(bias: bool, folder: Path) -> None:
    model = {"name": "particle_weights", "settings": {"hidden": [4], "bias": bias}}
    config = TrainingConfig.model_validate(content(folder, model=model))
    network = network_of(config.model, groups=config.groups, target="values", num_values=2)
    units = ValueUnits([3.0, -2.0], [10.0, 20.0])
    built = build_model(network, {"particles": GroupShape("objects", (None, 3))}, 2, 1, units=units)
    random = np.random.default_rng(1)
    values, mask = random.normal(size=(3, 4, 3)).astype("f4"), np.float32([[1] * 4, [1, 1, 0, 0], [0] * 4])
    vectors = random.uniform([1, -2, -3, 0], [50, 2, 3, 5], (3, 4, 4)).astype("f4")
    given = {"particles": values, "particles_mask": mask, "particles_vectors": vectors}
    weights = {one.name.removeprefix("particles."): one.get_weights() for one in built.layers}

    def dense(name: str, x: NDArray[Any]) -> NDArray[Any]:
        kernel, offset = weights[name]
        return np.asarray(x @ kernel + offset)

    hidden = np.maximum(dense("hidden_1", values), 0)
    momenta = vectors[..., :1] * np.stack([np.cos(vectors[..., 2]), np.sin(vectors[..., 2])], axis=-1)
    terms = dense("weights", hidden) * momenta
    if bias:
        terms += dense("biases", hidden)
    expected = (-(terms * mask[..., np.newaxis]).sum(axis=1) - units.mean) / units.scale
    np.testing.assert_allclose(built(given), expected, atol=1e-5)
    np.testing.assert_allclose(expected[2], [-0.3, 0.1])


def test_trained_it_tells_the_vertex_and_turns_with_the_event(folder: Path) -> None:
    """As the weights see no angle, what is turned before is turned afterwards; ONNX takes any number of particles."""
    (record,) = train_keras(TrainingConfig.model_validate(content(folder)), [0])
    assert record.network["vector"]
    found, counts, truth = events(1)
    path = model_files(folder / "out", 0, KERAS).onnx
    session = onnxruntime.InferenceSession(path)

    def scores(turned: float, more: int = 0) -> NDArray[Any]:
        columns = [found[name] + (turned if name == "phi" else 0) for name in COLUMNS]
        columns.insert(3, np.zeros(len(columns[0])))  # masses
        filled = np.arange(counts.max() + more) < counts[:, np.newaxis]
        batch = np.full((*filled.shape, 5), 7.0, np.float32)  # what is no particle does not count
        batch[filled] = np.stack(columns, axis=1)
        result: NDArray[Any] = session.run(["scores"], {"particles": batch, "particles_length": counts})[0]
        return result

    own = scores(0.0)
    np.testing.assert_allclose(scores(0.0, 5), own, atol=1e-4)
    cosine, sine = np.cos(0.7), np.sin(0.7)
    turned = own @ np.array([[cosine, sine], [-sine, cosine]])
    # the values are standardised by means that are not quite zero, which does not count
    np.testing.assert_allclose(scores(0.7), turned, atol=2e-3)
    everything = missing(found, counts, np.ones(len(found["pt"])))
    assert (own - truth).std() < 0.4 * (everything - truth).std()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target": {"values": ["ex"]}}, "gives x and y of a vector, but target.values has 1; give two"),
        (
            {"target": None, "classes": ["events", "others"]},
            "gives x and y of a vector, but the target is classes; give two values",
        ),
        (
            {"inputs": {**content(Path())["inputs"], "event": ["ex"]}},
            "weighs objects, but the group 'event' has none; leave it out, or give its numbers to each object",
        ),
        ({"inputs": {"particles": {"objects": list(COLUMNS)}}}, "takes pairs of four-vectors; describe inputs.particl"),
    ],
)
def test_what_it_cannot_learn_is_one_line(folder: Path, keys: dict[str, Any], message: str) -> None:
    given = {key: value for key, value in content(folder, **keys).items() if value is not None}
    del given["augmentation"]
    with pytest.raises(NtuplemlError, match=message) as error:
        train_keras(TrainingConfig.model_validate(given), [0])
    assert "\n" not in str(error.value)
