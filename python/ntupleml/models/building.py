"""A compiled Keras model from a network's description, with seeds for everything random in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.models.registries import ACTIVATIONS, LOSSES, OPTIMIZERS

if TYPE_CHECKING:
    from ntupleml.models.networks import Network


def build_model(network: Network, num_inputs: int, num_outputs: int, seed: int) -> Any:
    """Compiled Keras model of a network.

    Parameters
    ----------
    network : Network
    num_inputs, num_outputs : int
        Number of inputs (variables, and one per condition), and of classes.
    seed : int
        Seed of the first weights and of dropout: the same seed gives the same model, whatever else happened in the
        process.

    Returns
    -------
    keras.Model
        With named layers, the metric `accuracy` (weighted, as the loss), and no weight updated yet.
    """
    import keras

    layers: list[Any] = [keras.Input((num_inputs,), name="inputs")]
    seeds = iter(np.random.SeedSequence(seed).generate_state(2 * len(network.hidden) + 1).tolist())
    for number, width in enumerate(network.hidden, start=1):
        layers += _hidden_layer(network, number, width, next(seeds), next(seeds))
    layers.append(
        keras.layers.Dense(
            num_outputs,
            activation="softmax",
            kernel_initializer=_initializer(network.output_initializer, next(seeds)),
            kernel_regularizer=_l2(network.output_l2),
            name="scores",
        )
    )
    model = keras.Sequential(layers, name="classifier")
    options = {} if network.learning_rate is None else {"learning_rate": network.learning_rate}
    model.compile(
        optimizer=OPTIMIZERS[network.optimizer](**options),
        loss=LOSSES[network.loss](),
        weighted_metrics=_metrics(network),
        jit_compile=False,  # the training compiles whole epochs; what cannot be compiled there is fitted as it is
    )
    return model


def _hidden_layer(network: Network, number: int, width: int, kernel_seed: int, dropout_seed: int) -> list[Any]:
    """Dense layer, then (if asked) normalisation before the activation, then dropout."""
    import keras

    activation = ACTIVATIONS[network.activation]
    layers = [
        keras.layers.Dense(
            width,
            activation=None if network.batch_norm else activation,
            kernel_initializer=_initializer(network.hidden_initializer, kernel_seed),
            kernel_regularizer=_l2(network.l2),
            name=f"hidden_{number}",
        )
    ]
    if network.batch_norm:
        layers.append(keras.layers.BatchNormalization(name=f"normalisation_{number}"))
        layers.append(keras.layers.Activation(activation, name=f"activation_{number}"))
    if network.dropout > 0:
        layers.append(keras.layers.Dropout(network.dropout, seed=dropout_seed, name=f"dropout_{number}"))
    return layers


def _initializer(name: str, seed: int) -> Any:
    import keras

    builders = {
        "glorot_normal": keras.initializers.GlorotNormal,
        "glorot_uniform": keras.initializers.GlorotUniform,
    }
    return builders[name](seed=seed)


def _l2(factor: float) -> Any:
    import keras

    return keras.regularizers.L2(factor) if factor > 0 else None


def _metrics(network: Network) -> list[Any]:
    import keras

    metrics: list[Any] = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    if network.squared_error_metric:
        metrics.append(keras.metrics.MeanSquaredError(name="mean_squared_error"))
    return metrics
