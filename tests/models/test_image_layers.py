"""Layers on images against NumPy, in Keras and in ONNX, and what the safe reader refuses of them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import file_of_model, load_keras_model, read_keras_file
from ntupleml.artifacts.keras_layers import LAYERS, OWN
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import Image, InputGroup
from ntupleml.onnx_models.keras_network import keras_to_onnx
from ntupleml.onnx_models.sessions import new_session
from ntupleml.preprocessing import fit_scaler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ETA, PHI, CHANNELS = 5, 6, 2
IMAGES = np.random.default_rng(2).normal(size=(3, ETA, PHI, CHANNELS)).astype(np.float32)


def layer(kind: str, **settings: Any) -> Any:
    from ntupleml.models import layers

    return getattr(layers, kind)(**settings)


def model_of(*some: Any) -> Any:
    import keras

    value = inputs = keras.Input((ETA, PHI, CHANNELS), name="x")
    for one in some:
        value = one(value)
    return keras.Model(inputs, keras.layers.Flatten()(value))


def in_onnx(model: Any) -> NDArray[np.float32]:
    file = file_of_model(model)
    group = InputGroup("x", ("a", "b"), image=Image())
    names = [str(number) for number in range(file.network.num_outputs)]
    graph = keras_to_onnx(file, {"x": fit_scaler("identity", np.ones((2, CHANNELS)))}, [group], names)
    session = new_session(graph.SerializeToString())
    assert session.run(["scores"], {"x": IMAGES[:0]})[0].shape == (0, len(names))
    found: NDArray[np.float32] = session.run(["scores"], {"x": IMAGES})[0]
    return found


@pytest.mark.parametrize(("size", "constant"), [(1, 0.0), (2, -7.5), (PHI, 3.0)])
def test_padding_goes_round_in_phi_and_meets_a_wall_in_eta(size: int, constant: float) -> None:
    around = np.pad(IMAGES, ((0, 0), (0, 0), (size, size), (0, 0)), mode="wrap")
    expected = np.pad(around, ((0, 0), (size, size), (0, 0), (0, 0)), constant_values=constant)
    model = model_of(layer("PeriodicPadding", size=size, constant=constant))
    np.testing.assert_array_equal(model(IMAGES), expected.reshape(3, -1))
    np.testing.assert_array_equal(in_onnx(model), expected.reshape(3, -1))
    np.testing.assert_array_equal(load_keras_model(file_of_model(model))(IMAGES), expected.reshape(3, -1))


def correlation(images: NDArray[Any], kernel: NDArray[Any]) -> NDArray[Any]:
    """Sums over the pixels under a kernel, for each place where it lies inside."""
    height, width = kernel.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(images.astype(float), (height, width), axis=(1, 2))
    return np.einsum("nxychw,hwcf->nxyf", windows, kernel)


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_reflected_convolution_has_each_filter_twice(use_bias: bool) -> None:
    convolution = layer("ReflectedConv2D", filters=4, kernel_size=(3, 3), activation="tanh", use_bias=use_bias)
    model = model_of(convolution)
    if use_bias:
        convolution.set_weights([convolution.get_weights()[0], np.array([1, 2, -3, 0.5])])
    kernel, *bias = convolution.get_weights()
    both = [correlation(IMAGES, one) + (bias[0] if use_bias else 0) for one in (kernel, kernel[::-1])]
    expected = np.tanh(np.concatenate(both, axis=-1)).reshape(3, -1)
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-5)
    np.testing.assert_allclose(in_onnx(model), expected, atol=1e-5)


def test_reflected_images_give_reflected_outputs_that_have_changed_places() -> None:
    convolution = layer("ReflectedConv2D", filters=4, kernel_size=3)
    forward, backward = np.split(np.asarray(convolution(IMAGES)), 2, axis=-1)
    of_reflected = np.split(np.asarray(convolution(IMAGES[:, ::-1])), 2, axis=-1)
    np.testing.assert_allclose(of_reflected[0], backward[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(of_reflected[1], forward[:, ::-1], atol=1e-5)


def test_repeated_pixels() -> None:
    import keras

    model = model_of(keras.layers.UpSampling2D((2, 3)))
    expected = IMAGES.repeat(2, axis=1).repeat(3, axis=2).reshape(3, -1)
    np.testing.assert_array_equal(model(IMAGES), expected)
    np.testing.assert_array_equal(in_onnx(model), expected)


def refused(tmp_path: Path, model: Any, change: Callable[[dict[str, Any]], None]) -> str:
    """Message of the reader for a file with other settings of its layers."""
    path, other = tmp_path / "model.keras", tmp_path / "other.keras"
    model.save(path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                description = json.loads(content)
                change({one["config"]["name"]: one["config"] for one in description["config"]["layers"]})
                content = json.dumps(description).encode()
            changed.writestr(name, content)
    with pytest.raises(NtuplemlError) as raised:
        read_keras_file(other)
    return str(raised.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 7}, "it adds 7 pixels of the other end to 5 × 6 pixels"),
        ({"size": 0}, "its setting size=0 is not read"),
        ({"size": 1.0}, "its setting size=1.0 is not read"),
        ({"size": 2**40}, "is not read"),
        ({"constant": "0"}, "its setting constant=0 is not read"),
        ({"constant": float("inf")}, "is not read"),
        ({"mode": "x"}, "its setting mode=x is not read"),
    ],
)
def test_padding_of_files_is_within_bounds(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    model = model_of(layer("PeriodicPadding", size=1, name="padding"))
    assert message in refused(tmp_path, model, lambda layers: layers["padding"].update(settings))


def test_a_reflected_convolution_of_a_file_has_its_weights(tmp_path: Path) -> None:
    model = model_of(layer("ReflectedConv2D", filters=2, kernel_size=3, name="both"))
    assert "weights" in refused(tmp_path, model, lambda layers: layers["both"].update(filters=3))
    assert "dilation" in refused(tmp_path, model, lambda layers: layers["both"].update(dilation_rate=[2, 2]))


def test_settings_that_are_needed_are_asked_for() -> None:
    with pytest.raises(ValueError, match="2 inputs"):
        LAYERS[f"{OWN}PeriodicPadding"].shapes({"size": 1}, [(5, 6, 2), (5, 6, 2)])
    with pytest.raises(ValueError, match="shape"):
        LAYERS[f"{OWN}PeriodicPadding"].shapes({"size": 1}, [(5, 6)])
