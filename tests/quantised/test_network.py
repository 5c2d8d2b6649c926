"""Quantised networks in whole numbers and as ONNX, against HGQ2 itself, whatever its widths are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import file_of_model, load_keras_model
from ntupleml.models import Network, build_model, matrix
from ntupleml.models.networks import Latent
from ntupleml.models.quantisation import quantised_network
from ntupleml.onnx_models.keras2 import keras2_to_onnx
from ntupleml.onnx_models.sessions import new_session
from ntupleml.quantised import evaluate, is_quantised, resources_of, unrounded, up_to, without_softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytest.importorskip("hgq")
pytestmark = pytest.mark.filterwarnings("ignore:The structure of `inputs`")

QKERAS = {"type": "fixed", "activations": {"bits": 15, "integer": 0}, "slope": 2.0**-10}
UP = {"type": "fixed", "ties": "up", "inputs": {"bits": 6, "integer": 2}}
VARIATIONAL = Latent(2, variational=True)


def network(block: Any, latent: Latent | None = None) -> Network:
    plain = Network((8, 6), "relu", dropout=0.1, latent=latent, output="linear" if latent else "softmax")
    if latent is not None:
        plain = replace(plain, loss="masked_mean_squared_error", loss_settings={"beta": 0.1})
    return replace(plain, quantised=quantised_network(block, plain, "model.quantised"))


def built(block: Any, latent: Latent | None = None) -> Any:
    """A network whose weights and widths are drawn at random, some of them 0 bits wide."""
    outputs = 3 if latent is None else 4 + latent.size * (1 + latent.variational)
    model = build_model(network(block, latent), matrix(4), outputs, seed=3)
    random = np.random.default_rng(4)
    for variable in model.variables:
        name, shape = variable.path.split("/")[-1], tuple(variable.shape)
        if name in ("kernel", "bias"):
            variable.assign(random.normal(0, 3 if name == "kernel" else 1, shape).astype(np.float32))
        elif name in ("i", "f", "b") and len(shape) and np.prod(shape) > 1:
            variable.assign(variable + random.uniform(-3.4, 1.4, shape).astype(np.float32))
    return model


@pytest.fixture(scope="module")
def events() -> NDArray[np.float32]:
    """Some of them on the middle of two steps, some far out of every range."""
    random = np.random.default_rng(5)
    events = random.normal(0, 4, (12_000, 4)).astype(np.float32)
    events[:3000] = np.round(events[:3000] * 64) / 64
    events[-50:] *= 1e6
    return events


@pytest.mark.parametrize("block", [QKERAS, UP, "fixed", "learned"], ids=["qkeras", "up", "fixed", "learned"])
def test_whole_numbers_and_onnx_are_what_hgq2_gives(block: Any, events: NDArray[np.float32]) -> None:
    import keras

    model = built(block)
    logits = keras.Model(model.inputs, model.get_layer("logits").output)
    expected = logits(events, training=False).numpy()
    file = without_softmax(file_of_model(model))
    assert len(np.unique(expected)) > 1000
    np.testing.assert_array_equal(evaluate(file, events), expected)
    (found,) = new_session(keras2_to_onnx(file).SerializeToString()).run(None, {"variables": events})
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(load_keras_model(file_of_model(model))(events[:100]), model(events[:100]))


def test_probabilities_follow_in_double_precision(events: NDArray[np.float32]) -> None:
    model = built("fixed")
    found = evaluate(file_of_model(model), events[:500])
    np.testing.assert_allclose(found, model(events[:500]), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-15)


@pytest.mark.parametrize("latent", [Latent(2, "linear"), VARIATIONAL], ids=["plain", "variational"])
def test_autoencoders(latent: Latent, events: NDArray[np.float32]) -> None:
    model = built("learned", latent)
    file = file_of_model(model)
    expected = np.asarray(model(events, training=False))
    np.testing.assert_array_equal(evaluate(file, events), expected)
    encoder = up_to(file, "latent_mean" if latent.variational else "latent")
    np.testing.assert_array_equal(evaluate(encoder, events), expected[:, 4:6])


@pytest.mark.parametrize("rounding", ["TRN", "RND", "RND_CONV"])
def test_numbers_that_go_round_and_strangers_layers(rounding: str, events: NDArray[np.float32]) -> None:
    """HGQ2's own defaults: each width its own, ranges of values that go round, no range of biases."""
    import keras
    from hgq.layers import QDense
    from hgq.quantizer import Quantizer, QuantizerConfig

    def values(place: str = "datalane", **settings: Any) -> Any:
        return QuantizerConfig("kif", place, round_mode=rounding, overflow_mode="WRAP", **settings)

    model = keras.Sequential(
        [
            keras.Input((4,)),
            Quantizer(values(i0=3, f0=3)),
            QDense(5, activation="relu", iq_conf=values(i0=2, f0=5), kq_conf=values("weight", i0=1, f0=4)),
            QDense(2, use_bias=False),
        ]
    )
    model(events[:10])
    for layer in model.layers[1:]:
        layer.kernel.assign(np.random.default_rng(1).normal(0, 1.5, layer.kernel.shape))
    file = file_of_model(model)
    expected = model(events, training=False).numpy()
    np.testing.assert_array_equal(evaluate(file, events), expected)
    (found,) = new_session(keras2_to_onnx(file).SerializeToString()).run(None, {"variables": events})
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("block", [QKERAS, "learned"], ids=["fixed", "learned"])
def test_resources_are_those_of_hgq2(block: Any, events: NDArray[np.float32]) -> None:
    from hgq.utils import trace_minmax

    model = built(block)
    found = resources_of(file_of_model(model))
    trace_minmax(model, events[:64], reset=False)
    assert [one.ebops for one in found] == [int(layer.ebops) for layer in model.layers if hasattr(layer, "ebops")]
    assert [(one.inputs, one.units) for one in found] == [(4, 8), (8, 6), (6, 3)]


def test_widest_sums_are_reached() -> None:
    """Inputs of all bits set with the sign of each weight make the largest sum."""
    file = without_softmax(file_of_model(built("fixed")))
    first = up_to(file, "hidden_1")
    (bits,) = (one.sum_bits for one in resources_of(first))
    assert bits is not None
    extremes = np.array(np.meshgrid(*[(-1e9, 1e9)] * 4), np.float32).reshape(4, -1).T
    steps = np.abs(evaluate(first, extremes)) * 2**8  # steps of 1/16 times 1/16
    assert 2 ** (bits - 3) < steps.max() < 2 ** (bits - 1)


def test_without_rounding_the_weights_stay(events: NDArray[np.float32]) -> None:
    model = built("fixed")
    file = unrounded(file_of_model(model))
    assert not is_quantised(file)
    expected = events[:100].astype(np.float64)
    for name in ("hidden_1", "hidden_2", "logits"):
        layer = model.get_layer(name)
        expected = expected @ np.asarray(layer.kernel) + np.asarray(layer.bias)
        expected = expected if name == "logits" else np.maximum(expected, 0)
    (found,) = new_session(keras2_to_onnx(without_softmax(file)).SerializeToString()).run(
        None, {"variables": events[:100]}
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
