"""The comparison with Keras that each export goes through, and the file as text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from ntupleml.application.lwtnn_export_check import _keras_in_double, as_text, largest_difference
from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.export import keras_to_lwtnn, scaled_variables
from ntupleml.preprocessing import fit_scaler


@pytest.fixture
def model(keras_module: Any, shaken: Any) -> Any:
    layers = keras_module.layers
    return shaken(keras_module.Sequential([keras_module.Input((2,)), layers.Dense(6, "tanh"), layers.Dense(2)]))


def test_a_right_export(model: Any) -> None:
    rows = np.random.default_rng(1).normal([50.0, 2.0], [20.0, 0.1], size=(500, 2)).astype("f4")
    scaler = fit_scaler("standard_scaler", rows)
    content = keras_to_lwtnn(model, scaled_variables(scaler, ["x", "y"]), ["a", "b"])
    assert 0 < largest_difference(content, model, scaler, rows) < 2e-6


@pytest.mark.parametrize("change", ["weight", "offset", "default"])
def test_a_wrong_export(model: Any, change: str) -> None:
    """Whatever is wrong in the file shows in the scores."""
    rows = np.random.default_rng(1).normal([50.0, 2.0], [20.0, 0.1], size=(500, 2)).astype("f4")
    scaler = fit_scaler("standard_scaler", rows)
    rows[3, 0] = np.nan
    content = keras_to_lwtnn(model, scaled_variables(scaler, ["x", "y"], missing=-10.0), ["a", "b"])
    assert largest_difference(content, model, scaler, rows, missing=-10.0) < 1e-5
    if change == "weight":
        content["layers"][1]["weights"][0] += 1e-3
    elif change == "offset":
        content["inputs"][0]["offset"] += 0.1
    else:
        content["defaults"]["x"] = -9.0
    with pytest.raises(NtuplemlError, match=r"differs from Keras by up to .* on 500 events"):
        largest_difference(content, model, scaler, rows, missing=-10.0)


def test_numbers_too_large_for_single_precision(keras_module: Any, caplog: Any) -> None:
    """0.1 x − 0.1 y with x and y of 5·10⁷: Keras' own rounding is far above the tolerance, the export is right."""
    network = keras_module.Sequential([keras_module.Input((2,)), keras_module.layers.Dense(1, "sigmoid")])
    network.layers[0].kernel.assign([[0.1], [-0.1]])
    rows = np.random.default_rng(1).normal(5e7, 20.0, size=(500, 2)).astype("f4")
    scaler = fit_scaler("identity", rows)
    content = keras_to_lwtnn(network, scaled_variables(scaler, ["x", "y"]), ["a", "b"], complement=True)
    assert largest_difference(content, network, scaler, rows) > 1e-3
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "in double precision" in record.getMessage()
    content["layers"][0]["bias"][0] += 1e-3
    with pytest.raises(NtuplemlError, match="in double precision"):
        largest_difference(content, network, scaler, rows)


def test_adapted_normalisation_in_double_precision(keras_module: Any, shaken: Any) -> None:
    """Inputs of 10⁹ with a spread of 1,000, which float32 rounds to 64: the formula in double precision decides."""
    layers = keras_module.layers
    normalisation = layers.Normalization()
    inner = shaken(keras_module.Sequential([keras_module.Input((2,)), normalisation, layers.Dense(1)]))
    rows = np.random.default_rng(1).normal(1e9, 1e3, size=(500, 2)).astype("f4")
    normalisation.adapt(rows)
    inputs = keras_module.Input((2,))
    network = keras_module.Model(inputs, inner(inputs))
    scaler = fit_scaler("identity", rows)
    mean, variance = (np.asarray(one, np.float64) for one in (normalisation.mean, normalisation.variance))
    kernel, bias = (np.asarray(one, np.float64) for one in inner.layers[1].weights)
    shifted = rows.astype(np.float64)
    expected = (shifted - mean) / np.sqrt(variance) @ kernel + bias
    found = _keras_in_double(network, {"variables": scaler}, {"variables": rows}, None)
    np.testing.assert_allclose(found[:, 1:], expected, rtol=1e-12, atol=1e-12)
    content = keras_to_lwtnn(network, scaled_variables(scaler, ["x", "y"]), ["a", "b"], complement=True)
    assert largest_difference(content, network, scaler, rows) < 1e-2


def test_double_precision_begins_at_the_input(keras_module: Any, shaken: Any) -> None:
    """A scaled input that single precision rounds: a third."""
    network = shaken(keras_module.Sequential([keras_module.Input((1,)), keras_module.layers.Dense(1)]))
    kernel, bias = (float(np.asarray(one, np.float64).ravel()[0]) for one in network.get_weights())
    scaler = fit_scaler("min_max_scaler", np.array([[0.0], [3.0]]))  # to the range from −1 to 1
    rows = np.array([[1.0]], dtype="f4")
    found = _keras_in_double(network, {"variables": scaler}, {"variables": rows}, None)
    np.testing.assert_allclose(found[0, 1], -kernel / 3 + bias, rtol=1e-14)


def test_scores_that_are_not_numbers(model: Any) -> None:
    rows = np.array([[np.nan, 1.0]], dtype="f4")
    scaler = fit_scaler("identity", np.ones((2, 2)))
    content = keras_to_lwtnn(model, ["x", "y"], ["a", "b"])
    with pytest.raises(NtuplemlError, match="not finite"):
        largest_difference(content, model, scaler, rows)


def test_text(model: Any) -> None:
    """Strict JSON with all digits: what is read is what was written."""
    content = keras_to_lwtnn(model, ['Σ pT "x"', "y/1000."], ["a", "b"])
    text = as_text(content)
    assert text.isascii()
    assert json.loads(text) == content
    weights = np.asarray(model.layers[0].kernel).T.ravel()
    np.testing.assert_array_equal(np.float32(json.loads(text)["layers"][0]["weights"]), weights)
    with pytest.raises(ValueError, match="JSON"):
        as_text({"layers": [float("nan")]})
