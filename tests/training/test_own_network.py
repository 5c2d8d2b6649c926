"""The user's own network, from a Keras file or a Python file: trained, recorded, exported, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest
import yaml

from ntupleml.artifacts import load_keras_model, model_files, read_record
from ntupleml.artifacts.record import TargetRecord
from ntupleml.cli import main
from ntupleml.config import ModelConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import GroupShape, network_of
from ntupleml.onnx_models.sessions import new_session
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.own_network import load_own_network
from ntupleml.training.preparation import Preparation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

    Make = Callable[..., TrainingConfig]

PYTHON = """
import keras

WIDTH = 5

def build(shapes, num_outputs, seed):
    (group,) = shapes.values()
    inputs = keras.Input(group.shape)
    hidden = keras.layers.Dense(WIDTH, activation="gelu")(inputs)
    joined = keras.layers.Concatenate()([inputs, hidden])
    return keras.Model(inputs, keras.layers.Dense(num_outputs, activation="softmax")(joined))
"""


def network(width: int = 4, inputs: int = 3, outputs: int = 2, activation: str | None = "softmax") -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(width, activation="tanh", kernel_initializer="he_normal", name="first"),
            layers.BatchNormalization(),
            layers.Dense(outputs, activation=activation, bias_initializer=keras.initializers.Constant(0.25)),
        ]
    )


def saved(path: Path, model: Any, weight: float = 0.125) -> str:
    model.set_weights([np.full(one.shape, weight, np.float32) for one in model.get_weights()])
    model.save(path)
    return str(path)


def train(config: TrainingConfig, path: str, **options: Any) -> Any:
    (record,) = train_keras(config, [0], TrainingOptions(network=path, **options))
    return record


def weights_of(config: TrainingConfig) -> list[NDArray[Any]]:
    weights: list[NDArray[Any]] = load_keras_model(model_files(config.output_path, 0).model).get_weights()
    return weights


#: A step so small that the weights stay what they are at first.
STILL = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-30}


def test_weights_of_a_keras_file_are_kept_or_drawn_anew(make_config: Make, tmp_path: Path) -> None:
    config, path = make_config(model=STILL), saved(tmp_path / "own.keras", network())
    record = train(config, path, keep_weights=True)
    assert record.network["weights"] == "kept"
    assert record.network["sha256"] == hashlib.sha256((tmp_path / "own.keras").read_bytes()).hexdigest()
    assert record.network["file"] == path
    kept = weights_of(config)
    assert (kept[0] == 0.125).all()
    assert (kept[-1] == 0.125).all()
    assert train(config, path, overwrite=True).network["weights"] == "new"
    first = weights_of(config)
    assert not (first[0] == 0.125).any()
    np.testing.assert_allclose(first[1], 0, atol=1e-20)
    np.testing.assert_array_equal(first[-1], 0.25)  # as the file says
    train(config, path, overwrite=True)
    for one, two in zip(first, weights_of(config), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_python_file_from_the_command_line_to_scores(
    make_config: Make, tmp_path: Path, columns: Callable[..., dict[str, NDArray[Any]]]
) -> None:
    config = make_config(model={"epochs": 3, "learning_rate": 0.05})
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json", by_alias=True)))
    (tmp_path / "own.py").write_text(PYTHON)
    arguments = ["train-keras", str(tmp_path / "training.yaml"), "0", "--network", str(tmp_path / "own.py")]
    assert main(arguments) == 0
    files = model_files(config.output_path, 0)
    record = read_record(files.record)
    assert [layer["class"] for layer in record.network["layers"]] == ["InputLayer", "Dense", "Concatenate", "Dense"]
    assert record.network["file"] == str(tmp_path / "own.py")
    assert record.onnx_check is not None
    assert record.onnx_check.largest_difference < 1e-5
    sig = columns(0, 0, 300)
    raw = np.column_stack([sig[name] for name in "xyn"]).astype(np.float32)
    (scores,) = new_session(files.onnx.read_bytes()).run(None, {"variables": raw})
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    before = weights_of(config)
    assert main([*arguments, "--overwrite"]) == 0
    for one, two in zip(before, weights_of(config), strict=True):
        np.testing.assert_array_equal(one, two)
    assert main([*arguments[:3], "--continue"]) == 2  # that is another network


def test_inputs_are_found_by_their_names(tmp_path: Path) -> None:
    code = """
import keras
from ntupleml.models.layers import MaskedPooling

def build(shapes, num_outputs, seed):
    mask = keras.Input(shapes["jets"].shape[:1], name="jets_mask")
    event = keras.Input(shapes["event"].shape, name="event")
    jets = keras.Input(shapes["jets"].shape, name="jets")
    pooled = MaskedPooling(["sum"])([keras.layers.Dense(4, activation="relu", name="objects")(jets), mask])
    joined = keras.layers.Concatenate()([event, pooled])
    scores = keras.layers.Dense(num_outputs, activation="softmax", name="scores")(joined)
    return keras.Model([mask, event, jets], scores)
"""
    (tmp_path / "own.py").write_text(code)
    shapes = {"event": GroupShape("numbers", (2,)), "jets": GroupShape("objects", (None, 3))}
    preparation = Preparation({}, {}, (), TargetRecord(), shapes, ("sig", "bkg"))
    model, description = load_own_network(
        str(tmp_path / "own.py"), network_of(ModelConfig(hidden=[1])), preparation, 1, keep_weights=False
    )
    random = np.random.default_rng(3)
    event, jets = random.normal(size=(5, 2)), random.normal(size=(5, 4, 3))
    mask = np.arange(4) < np.array([[0], [1], [2], [4], [3]])
    dense, scores = (model.get_layer(name).get_weights() for name in ("objects", "scores"))
    pooled = (np.maximum(jets @ dense[0] + dense[1], 0) * mask[..., np.newaxis]).sum(axis=1)
    fit = np.exp(np.concatenate([event, pooled], axis=1) @ scores[0] + scores[1])
    found = model(
        {name: np.asarray(one, np.float32) for name, one in (("event", event), ("jets", jets), ("jets_mask", mask))}
    )
    np.testing.assert_allclose(found, fit / fit.sum(axis=1, keepdims=True), rtol=1e-4)
    assert description["loss"] == "categorical_crossentropy"
    wrong = replace(preparation, shapes={**shapes, "event": GroupShape("numbers", (1,))})
    (tmp_path / "own.py").write_text(code.replace('shapes["event"].shape', "(2,)"))
    with pytest.raises(
        NtuplemlError, match=r"takes .*'event' \(2\).*, but the training gives 'event' \(1\), 'jets' \(any × 3\)"
    ):
        load_own_network(str(tmp_path / "own.py"), network_of(ModelConfig(hidden=[1])), wrong, 1, keep_weights=False)


LAYER = """
import keras

class Mine(keras.layers.Layer):
    def call(self, x):
        return x

def build(shapes, num_outputs, seed):
    return keras.Sequential([keras.Input((3,)), {}, keras.layers.Dense(num_outputs, activation="softmax")])
"""


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n", r"it has no function build\(shapes, num_outputs, seed\); write one$"),
        ("raise SystemExit(3)\n", "SystemExit: 3; fix the file$"),
        ("def build(shapes, num_outputs, seed)\n", r"SyntaxError: expected ':' .*; fix the file$"),
        ("def build(shapes, num_outputs, seed):\n    return shapes['jets']\n", "KeyError: 'jets'; fix the file$"),
        ("def build(shapes, num_outputs, seed):\n    return 3\n", r"its build gives a int; a keras\.Model is needed$"),
        (LAYER.replace("{}", "keras.layers.EinsumDense('ab,bc->ac', 4, name='odd')"), r"layer 'odd': is .*EinsumDense"),
        (LAYER.replace("{}", "Mine(name='odd')"), r"layer 'odd': is '.*Mine', which is not among the plain layers"),
        (PYTHON.replace("num_outputs, ", "3, ").replace("shapes, 3", "shapes, num_outputs"), "gives 3 numbers per row"),
    ],
)
def test_python_files_that_are_refused(code: str, message: str, make_config: Make, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(NtuplemlError, match=message) as error:
        train(make_config(), str(tmp_path / "own.py"))
    assert str(error.value).startswith(str(tmp_path / "own.py"))
    assert "\n" not in str(error.value)
    assert not any((tmp_path / "out").glob("*.keras"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "nowhere.py"}, r"^nowhere\.py: no such file"),
        ({"path": "nowhere.keras"}, r"^nowhere\.keras: no such file"),
        ({"path": "own.json"}, r"^own\.json: no such file"),
        ({"path": "own.py", "keep_weights": True}, r"^--keep-weights is for the \.keras file"),
        ({"inputs": 4}, r"takes 'keras_tensor.*|takes '.*' \(4\), but the training gives '.*' \(3\); make it"),
        ({"outputs": 3}, r"gives 3 numbers per row, but the training has 2 \(classes\)"),
    ],
)
def test_what_does_not_fit(options: dict[str, Any], message: str, make_config: Make, tmp_path: Path) -> None:
    path, keep = options.pop("path", None), options.pop("keep_weights", False)
    path = path or saved(tmp_path / "own.keras", network(**options))
    with pytest.raises(NtuplemlError, match=message):
        train(make_config(), path, keep_weights=keep)


def test_an_output_without_softmax_is_told(make_config: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        train(make_config(model=STILL), saved(tmp_path / "own.keras", network(activation="sigmoid")))
    assert "has no softmax, so its scores are no probabilities" in caplog.text
