"""Networks that give their inputs back: their layers and weights, the loss and its gradients against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.artifacts.record import TargetRecord
from ntupleml.config import ModelConfig
from ntupleml.config.inputs import NumbersConfig, ObjectsConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import GroupShape, build_model, matrix, network_of
from ntupleml.models.networks import Network
from ntupleml.models.reconstruction import MaskedSquaredError, divergence, reconstruction_scores

#: The public autoencoder of the trigger, as the config writes it.
REFERENCE = {"hidden": [100, 100, 64, 32], "latent": 4, "norm": "batch", "dropout": 0.1, "l2": 0.01}


def network(**model: Any) -> Network:
    return network_of(ModelConfig.model_validate(model), target="reconstruction")


def layers_of(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


@pytest.mark.parametrize("model", [REFERENCE, {"name": "hlt_autoencoder"}], ids=["written", "zoo"])
def test_the_network_of_the_trigger(model: dict[str, Any]) -> None:
    """48 numbers, 100-100-64-32-4-32-64-100-100, 48,588 weights; each layer normalised, activated and dropped."""
    built = build_model(network(**model), matrix(48), 48 + 4, seed=1)
    assert sum(int(np.prod(one.shape)) for one in built.trainable_variables) == 48_588
    dense = layers_of(built, "Dense")
    assert [layer.units for layer in dense] == [100, 100, 64, 32, 4, 32, 64, 100, 100, 48]
    assert [round(float(layer.kernel_regularizer.l2), 6) for layer in dense] == [0.01] * 10
    assert len(layers_of(built, "BatchNormalization")) == 9
    assert [layer.activation.__name__ for layer in layers_of(built, "Activation")] == ["relu"] * 9
    assert dense[-1].activation.__name__ == "linear"
    dropouts = {layer.name: layer.rate for layer in layers_of(built, "Dropout")}
    assert dropouts == {f"dropout_{number}": 0.1 for number in range(1, 9)}  # none behind the latent layer
    assert built.output_shape == (None, 52)
    rows = np.random.default_rng(1).normal(size=(5, 48)).astype("f4")
    assert (np.asarray(built(rows))[:, 48:] >= 0).all()  # the latent numbers, after relu


def test_activation_of_the_latent_layer() -> None:
    built = build_model(network(hidden=[5], latent={"size": 2, "activation": "tanh"}), matrix(3), 5, seed=1)
    assert [layer.activation.__name__ for layer in layers_of(built, "Dense")] == ["relu", "tanh", "relu", "linear"]


def test_objects_have_an_encoder_and_a_dense_decoder() -> None:
    groups = {"event": NumbersConfig(numbers=["met"]), "jets": ObjectsConfig(objects=["pt", "eta"], length=3)}
    shapes = {"event": GroupShape("numbers", (1,)), "jets": GroupShape("objects", (3, 2))}
    for name, kind in (("set_autoencoder", "CrossAttention"), ("transformer_autoencoder", "SelfAttention")):
        chosen = network_of(ModelConfig(name=name), groups=groups, target="reconstruction")
        built = build_model(chosen, shapes, 7 + 4, seed=1)
        assert layers_of(built, kind)
        assert [layer.units for layer in layers_of(built, "Dense")][-6:] == [64, 32, 4, 32, 64, 7]
        random = np.random.default_rng(1)
        jets, mask = random.normal(size=(1, 3, 2)).astype("f4"), np.ones((1, 3), "f4")
        inputs = {"event": np.ones((1, 1), "f4"), "jets": jets, "jets_mask": mask}
        first = np.asarray(built(inputs))
        other = np.asarray(built({**inputs, "jets": jets[:, [2, 0, 1]]}))
        np.testing.assert_allclose(first, other, rtol=1e-4, atol=1e-5)  # the order does not count


def test_variational_numbers_are_drawn_while_training_only() -> None:
    """Mean and width of what is drawn are those that the network gives, and the same seed draws the same."""
    import keras

    def built() -> Any:
        return build_model(network(name="l1_variational"), matrix(44), 44 + 6, seed=7)

    model = built()
    assert [layer.units for layer in layers_of(model, "Dense")] == [32, 16, 3, 3, 16, 32, 44]
    rows = np.repeat(np.random.default_rng(2).normal(size=(1, 44)).astype("f4"), 20_000, axis=0)
    inner = keras.Model(model.input, model.get_layer("latent_drawn").output)
    mean, log_variance = np.split(np.asarray(model(rows, training=False))[0, 44:].astype("f8"), 2)
    np.testing.assert_allclose(np.asarray(inner(rows[:1], training=False))[0], mean, rtol=1e-5, atol=1e-6)
    drawn = np.asarray(inner(rows, training=True)).astype("f8")
    width = np.exp(log_variance / 2)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=5 * width.max() / np.sqrt(len(rows)))
    np.testing.assert_allclose(drawn.std(axis=0), width, rtol=0.03)
    assert abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.04
    first, second = (np.asarray(one(rows[:9], training=True)) for one in (built(), built()))
    np.testing.assert_array_equal(first, second)
    again = built()
    again(rows[:9], training=True)
    assert (np.asarray(again(rows[:9], training=True)) != first).any()


@given(st.integers(0, 1000), st.integers(1, 4), st.floats(0, 2))
@settings(max_examples=25, deadline=None)
def test_loss_and_scores_follow_their_formulas(seed: int, size: int, beta: float) -> None:
    random, number = np.random.default_rng(seed), 5
    wanted, mask = random.normal(size=(6, number)), random.integers(0, 2, (6, number))
    mask[0] = 0  # nothing is there
    mean, log_variance = random.normal(size=(2, 6, size)) * 2
    given_back = random.normal(size=(6, number))
    error = [np.mean((a - b)[m == 1] ** 2) if m.any() else 0 for a, b, m in zip(given_back, wanted, mask, strict=True)]
    # of one number: the integral of p ln(p / q) for two normal distributions, sigma_q = 1
    sigma = np.exp(log_variance / 2)
    kl = (-np.log(sigma) + (sigma**2 + mean**2) / 2 - 0.5).sum(axis=1)
    given = np.hstack([given_back, mean, log_variance]).astype("f4")
    targets = np.hstack([wanted, mask]).astype("f4")
    loss = MaskedSquaredError(beta=beta, reduction=None)(targets, given)
    np.testing.assert_allclose(loss, error + beta * kl, rtol=1e-4, atol=1e-5)
    target = TargetRecord(
        kind="reconstruction", latent=size, variational=True, scores=["kl", "reconstruction_error", "latent_norm"]
    )
    expected = np.stack([kl, error, (mean**2).mean(axis=1)], axis=1)
    np.testing.assert_allclose(reconstruction_scores(targets, given, target), expected, rtol=1e-4, atol=1e-5)


def test_a_divergence_stays_finite() -> None:
    found = np.asarray(divergence(np.zeros((1, 1), "f4"), np.full((1, 1), 1e6, "f4")))
    assert np.isfinite(found).all()


def test_event_weights_act_in_the_loss() -> None:
    """Gradients of a linear network equal NumPy's, differ with the weights, and equal those of repeated rows."""
    import tensorflow as tf

    model = build_model(Network((), "linear", output="linear", loss="masked_mean_squared_error"), matrix(3), 3, seed=1)
    random = np.random.default_rng(3)
    kernel = random.normal(size=(3, 3)).astype("f4")
    model.set_weights([kernel, np.zeros(3, "f4")])
    rows = random.normal(size=(4, 3)).astype("f4")
    mask = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [1, 1, 1]], "f4")

    def gradient(chosen: list[int], weights: list[float]) -> Any:
        inputs, targets = rows[chosen], np.hstack([rows, mask])[chosen]
        with tf.GradientTape() as tape:
            given = model(inputs, training=True)
            loss = model.compute_loss(y=targets, y_pred=given, sample_weight=np.asarray(weights, "f4"))
        return tape.gradient(loss, model.trainable_variables[0]).numpy()

    def by_hand(weights: list[float]) -> Any:
        slope = 2 * mask * (rows @ kernel - rows) / mask.sum(axis=1, keepdims=True)
        return np.einsum("e,ei,eo->io", weights, rows, slope) / len(rows)

    for weights in ([1.0, 1, 1, 1], [2.0, 1, 3, 1], [1.0, -0.5, 0, 4]):
        np.testing.assert_allclose(gradient([0, 1, 2, 3], weights), by_hand(weights), rtol=1e-4, atol=1e-6)
    assert abs(by_hand([1.0, 1, 1, 1]) * 7 / 4 - by_hand([2.0, 1, 3, 1])).max() > 0.1  # not one factor for the batch
    repeated = gradient([0, 0, 1, 2, 2, 2, 3], [1.0] * 7)
    np.testing.assert_allclose(repeated * 7 / 4, gradient([0, 1, 2, 3], [2.0, 1, 3, 1]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "target", "message"),
    [
        (
            {"hidden": [3], "latent": 2},
            "classes",
            "model: a network with a latent layer gives its inputs back, but the",
        ),
        ({"name": "hlt_autoencoder"}, "values", "model.name: a network with a latent layer gives its inputs back, but"),
        ({"hidden": [3], "latent": {"size": 2, "activation": "rellu"}}, "reconstruction", "nearest: 'relu'"),
        (
            {"name": "l1_variational", "settings": {"betta": 1}},
            "reconstruction",
            "unknown key 'betta'; nearest: 'beta'",
        ),
    ],
)
def test_what_cannot_be_is_refused(model: dict[str, Any], target: Any, message: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        network_of(ModelConfig.model_validate(model), target=target)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"latent": 2}, "latent is set, but not hidden"),
        ({"hidden": [3], "latent": {"size": 2, "beta": 1}}, "beta: is for variational: true; leave it out"),
        ({"hidden": [3], "latent": {"size": 2, "variational": True, "activation": "relu"}}, "activation: the mean of"),
        ({"hidden": [3], "latent": 0}, "greater than or equal to 1"),
        ({"name": "example", "latent": 2}, "'example' is a network of the zoo, so latent cannot be set"),
    ],
)
def test_a_wrong_block_is_refused(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + message.replace("(", r"\(")):
        ModelConfig.model_validate(model)
