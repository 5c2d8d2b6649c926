"""Derivatives of Keras networks: against formulas of networks that have them, and finite differences of all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.taylor import derivative_sums, taylor_ranking, taylor_terms
from ntupleml.models import build_model, matrix
from ntupleml.models.networks import Network
from ntupleml.models.registries import ACTIVATIONS
from ntupleml.testing.gradients import score_derivatives


def _network(layers: list[Any], num_inputs: int, dtype: str = "float64") -> Any:
    import keras

    return keras.Sequential([keras.Input((num_inputs,), dtype=dtype), *layers])


def _derivatives(model: Any, inputs: Any, classes: Any, order: int, **options: Any) -> Any:
    batches = list(score_derivatives(model, inputs, classes, order, **options))
    assert [batch.start for batch in batches] == list(np.cumsum([0, *(len(batch.scores) for batch in batches)])[:-1])
    return np.concatenate([batch.derivatives for batch in batches])


def softmax_derivatives(kernel: Any, inputs: Any, classes: Any, order: int) -> Any:
    """Of p_c = exp(z_c − A(z)), z linear: A is the generating function of the cumulants of the kernel's columns."""
    logits = inputs @ kernel
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    mean = shares @ kernel.T
    slope = kernel.T[classes] - mean  # ∂ ln p_c
    centred = kernel.T[None] - mean[:, None]
    second = np.einsum("ek,eki,ekj->eij", shares, centred, centred)
    third = np.einsum("ek,eki,ekj,ekl->eijl", shares, centred, centred, centred)
    mixed = np.einsum("ei,ejl->eijl", slope, second)
    full = {
        1: slope,
        2: np.einsum("ei,ej->eij", slope, slope) - second,
        3: np.einsum("ei,ej,el->eijl", slope, slope, slope)
        - (mixed + mixed.transpose(0, 2, 1, 3) + mixed.transpose(0, 2, 3, 1))
        - third,
    }
    found = [full[len(term)][(slice(None), *term)] for term in taylor_terms(inputs.shape[1], order)]
    return shares[np.arange(len(inputs)), classes][:, None] * np.stack(found, axis=1)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_softmax_of_linear_logits(dtype: str, tolerance: float) -> None:
    import keras

    random = np.random.default_rng(1)
    kernel = random.normal(size=(3, 4))
    model = _network([keras.layers.Dense(4, activation="softmax", use_bias=False, dtype=dtype)], 3, dtype)
    model.set_weights([kernel])
    inputs, classes = random.normal(size=(300, 3)), random.integers(0, 4, 300)
    found = _derivatives(model, inputs, classes, 3, batch_size=128)
    expected = softmax_derivatives(kernel, inputs, classes, 3)
    assert found.dtype == dtype
    assert np.abs(found - expected).max() < tolerance


def test_tanh_of_one_output_counts_as_two_classes() -> None:
    """t = tanh(a·x): t' = (1 − t²) a, t'' = −2t (1 − t²) aa, t''' = (1 − t²)(6t² − 2) aaa; class 0 is 1 − t."""
    import keras

    slope = np.array([0.7, -1.2])
    model = _network([keras.layers.Dense(1, activation="tanh", use_bias=False, dtype="float64")], 2)
    model.set_weights([slope[:, None]])
    inputs = np.random.default_rng(2).normal(size=(50, 2))
    tanh = np.tanh(inputs @ slope)
    factors = {1: 1 - tanh**2, 2: -2 * tanh * (1 - tanh**2), 3: (1 - tanh**2) * (6 * tanh**2 - 2)}
    expected = np.stack([factors[len(term)] * np.prod(slope[list(term)]) for term in taylor_terms(2, 3)], axis=1)
    for index, sign in ((0, -1), (1, 1)):
        found = _derivatives(model, inputs, np.full(50, index), 3)
        np.testing.assert_allclose(found, sign * expected, atol=1e-13)
    (batch,) = score_derivatives(model, inputs, np.zeros(50, dtype=int), 1)
    np.testing.assert_allclose(batch.scores, np.stack([1 - tanh, tanh], axis=1), atol=1e-15)


def _finite_differences(function: Any, inputs: Any, classes: Any, step: float = 1e-5) -> Any:
    """∂/∂x_i of each column, central differences: shape (n_events, n_columns, n_inputs)."""
    shifts = [sign * step * one for one in np.eye(inputs.shape[1]) for sign in (1, -1)]
    values = function(np.concatenate([inputs + shift for shift in shifts]), np.tile(classes, len(shifts)))
    above, below = np.reshape(values, (inputs.shape[1], 2, len(inputs), -1)).swapaxes(0, 1)
    return np.moveaxis(above - below, 0, -1) / (2 * step)


def _check_by_finite_differences(model: Any, inputs: Any, classes: Any) -> None:
    """Each order against differences of the one below, and the first against those of Keras' own scores."""
    num_inputs = inputs.shape[1]
    terms = taylor_terms(num_inputs, 3)
    found = dict(zip(terms, _derivatives(model, inputs, classes, 3).T, strict=True))

    def scores(rows: Any, chosen: Any) -> Any:
        return np.asarray(model(rows, training=False))[np.arange(len(rows)), chosen][:, None]

    first = _finite_differences(scores, inputs, classes)[:, 0]
    np.testing.assert_allclose(first, np.stack([found[index,] for index in range(num_inputs)], axis=1), atol=2e-8)
    higher = _finite_differences(lambda rows, chosen: _derivatives(model, rows, chosen, 2), inputs, classes)
    for column, term in enumerate(taylor_terms(num_inputs, 2)):
        for index in range(term[-1], num_inputs):
            np.testing.assert_allclose(higher[:, column, index], found[*term, index], atol=2e-6)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS.values())))
def test_all_activations_by_finite_differences(activation: str) -> None:
    import keras

    random = np.random.default_rng(3)
    layers = [
        keras.layers.Dense(5, activation=activation, dtype="float64"),
        keras.layers.Dense(3, activation="softmax", dtype="float64"),
    ]
    model = _network(layers, 2)
    model.set_weights([random.normal(size=weights.shape) for weights in model.get_weights()])
    _check_by_finite_differences(model, random.normal(size=(20, 2)), random.integers(0, 3, 20))


def test_branches_dropout_and_normalisation_as_when_scoring() -> None:
    import keras

    random = np.random.default_rng(4)
    entry = keras.Input((2,), dtype="float64")
    hidden = keras.layers.Dense(6, activation="tanh", dtype="float64")(entry)
    normal = keras.layers.BatchNormalization(dtype="float64")(hidden)
    both = keras.layers.Concatenate(dtype="float64")([keras.layers.Dropout(0.5, dtype="float64")(normal), entry])
    unit = keras.layers.UnitNormalization(dtype="float64")(both)
    model = keras.Model(entry, keras.layers.Dense(2, activation="softmax", dtype="float64")(unit))
    model.set_weights([random.uniform(0.3, 1.5, weights.shape) for weights in model.get_weights()])
    _check_by_finite_differences(model, random.normal(size=(20, 2)), random.integers(0, 2, 20))


def test_layer_normalisation_has_first_derivatives_only() -> None:
    """tf.nn.moments stops the gradient of the mean in the variance, so that second derivatives would be wrong."""
    import keras

    random = np.random.default_rng(8)
    inner = _network([keras.layers.Dense(4, dtype="float64"), keras.layers.LayerNormalization(dtype="float64")], 2)
    model = _network([inner, keras.layers.Dense(2, activation="softmax", dtype="float64")], 2)
    model.set_weights([random.uniform(0.3, 1.5, weights.shape) for weights in model.get_weights()])
    inputs, classes = random.normal(size=(20, 2)), random.integers(0, 2, 20)

    def scores(rows: Any, chosen: Any) -> Any:
        return np.asarray(model(rows))[np.arange(len(rows)), chosen][:, None]

    expected = _finite_differences(scores, inputs, classes)[:, 0]
    np.testing.assert_allclose(_derivatives(model, inputs, classes, 1), expected, atol=2e-8)
    with pytest.raises(NtuplemlError, match="give --order 1"):
        _derivatives(model, inputs, classes, 2)


def test_relu_leaves_the_curvature_of_the_softmax() -> None:
    """Within one linear piece the network is a softmax of linear logits, and has its derivatives."""
    import keras

    random = np.random.default_rng(5)
    hidden, output = random.normal(size=(2, 7)), random.normal(size=(7, 3))
    layers = [
        keras.layers.Dense(7, activation="relu", use_bias=False, dtype="float64"),
        keras.layers.Dense(3, activation="softmax", use_bias=False, dtype="float64"),
    ]
    model = _network(layers, 2)
    model.set_weights([hidden, output])
    point = random.normal(size=(1, 2))
    slope = (hidden * (point @ hidden > 0)) @ output
    found = _derivatives(model, point, np.array([1]), 2)
    np.testing.assert_allclose(found, softmax_derivatives(slope, point, np.array([1]), 2), atol=1e-13)
    linear = _network([layers[0], keras.layers.Dense(1, dtype="float64")], 2)
    assert not _derivatives(linear, point, np.array([1]), 2)[:, 2:].any()


def test_batches_do_not_change_results() -> None:
    model = build_model(Network((8, 8), "tanh", norm="batch", dropout=0.3), matrix(4), 3, seed=1)
    inputs = np.random.default_rng(6).normal(size=(101, 4)).astype("f4")
    classes = np.arange(101) % 3
    whole = _derivatives(model, inputs, classes, 2)
    assert whole.shape == (101, 14)
    np.testing.assert_allclose(_derivatives(model, inputs, classes, 2, batch_size=25), whole, atol=1e-6)
    np.testing.assert_allclose(_derivatives(model, inputs[7:8], classes[7:8], 2), whole[7:8], atol=1e-6)
    assert not list(score_derivatives(model, inputs[:0], classes[:0], 2))


def test_unknown_order() -> None:
    with pytest.raises(ValueError, match="order 4"):
        list(score_derivatives(None, np.zeros((1, 1)), np.zeros(1, int), 4))


#: Means and correlation of signal and of background, and the terms that have to lead. The logarithm of the likelihood
#: ratio is linear in the inputs for shifted means, and proportional to xy for opposite correlations.
SCENARIOS = {
    "opposite correlations": ([0, 0], 0.7, [0, 0], -0.7, ["x, y"]),
    "shifted means": ([0.7, 0.7], 0, [-0.7, -0.7], 0, ["x", "y"]),
    "one shifted mean": ([0.7, 0], 0, [-0.7, 0], 0, ["x"]),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_toys_of_the_paper(scenario: str) -> None:
    """As arXiv:1803.08782 has it, what the classes differ in leads the ranking of a network fitted to them."""
    *classes, leading = SCENARIOS[scenario]
    random = np.random.default_rng(7)

    def draw(number: int) -> tuple[Any, Any]:
        parts = [
            random.multivariate_normal(mean, [[1, rho], [rho, 1]], number) for mean, rho in (classes[:2], classes[2:])
        ]
        return np.concatenate(parts).astype("f4"), np.repeat([0, 1], number)

    inputs, truth = draw(10_000)
    model = build_model(Network((30,), "tanh", learning_rate=0.01), matrix(2), 2, seed=1)
    model.fit(inputs, np.eye(2)[truth], batch_size=250, epochs=6, verbose=0)
    inputs, truth = draw(5000)
    sums = derivative_sums(_derivatives(model, inputs, truth, 2), np.ones(len(truth)))
    ranking = taylor_ranking(sums, ["x", "y"], 2)
    assert {term.label for term in ranking.terms[: len(leading)]} == set(leading)
    last, following = ranking.terms[len(leading) - 1].coefficient, ranking.terms[len(leading)].coefficient
    assert last.value - following.value > 5 * np.hypot(last.uncertainty, following.uncertainty)


def test_many_models_without_remarks_of_tensorflow(caplog: pytest.LogCaptureFixture) -> None:
    """The models of many folds are many programs, which TensorFlow would take for one that is compiled anew."""
    import keras

    model = _network([keras.layers.Dense(2, activation="softmax")], 2)
    for _ in range(7):
        _derivatives(model, np.zeros((3, 2)), np.zeros(3, dtype=int), 2)
    assert [record.message for record in caplog.records if record.name.startswith("tensorflow")] == []
