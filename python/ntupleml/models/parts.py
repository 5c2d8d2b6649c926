"""Layers of a network with its settings, each with seeds of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.models.registries import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ntupleml.models.networks import Network

#: Seeds that a network has at most; their first ones do not depend on how many there are.
_MOST_SEEDS = 10_000


class Parts:
    """Makes the layers of one network.

    Attributes
    ----------
    prefix : str
        Beginning of the layers' names.
    activation : str
        Of the layers, a key of `ACTIVATIONS`.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self.network = network
        self.prefix = ""
        self.activation = network.activation
        self._seeds = iter(np.random.SeedSequence(seed).generate_state(_MOST_SEEDS).tolist())

    def begin_group(self, name: str, activation: str | None) -> None:
        """Make layers of the encoder of a group."""
        self.prefix = f"{name}."  # no name of a group has a dot
        self.activation = activation or self.network.activation

    def end_groups(self) -> None:
        """Make layers of the network itself."""
        self.prefix, self.activation = "", self.network.activation

    def weighted(self, kind: str, name: str, *arguments: Any, **options: Any) -> Any:
        """A layer of Keras whose first weights are the network's, with its own seed."""
        import keras

        network = self.network
        return getattr(keras.layers, kind)(
            *arguments,
            **{
                "kernel_initializer": initializer(network.hidden_initializer, next(self._seeds)),
                "kernel_regularizer": _l2(network.l2),
                **options,
            },
            name=self.prefix + name,
        )

    def output(self, width: int) -> Any:
        """The last layer."""
        import keras

        network = self.network
        return keras.layers.Dense(
            width,
            activation=network.output,
            kernel_initializer=initializer(network.output_initializer, next(self._seeds)),
            kernel_regularizer=_l2(network.output_l2),
            name="scores",
        )

    def hidden(self, number: int | str, width: int, *, each_object: bool = False) -> list[Any]:
        """Dense layer, then (if asked) normalisation before the activation, then dropout."""
        return self.activated("Dense", f"hidden_{number}", f"{number}", width, each_object=each_object)

    def activated(
        self, kind: str, name: str, ending: str, *arguments: Any, each_object: bool = False, **options: Any
    ) -> list[Any]:
        """A layer with weights, normalisation before the activation (not of single objects), and dropout."""
        import keras

        network, activation = self.network, ACTIVATIONS[self.activation]
        normalised = network.batch_norm and not each_object
        layers = [
            self.weighted(kind, name, *arguments, activation=None if normalised else activation, **options),
        ]
        dropout_seed = next(self._seeds)
        if normalised:
            layers.append(keras.layers.BatchNormalization(name=f"{self.prefix}normalisation_{ending}"))
            layers.append(keras.layers.Activation(activation, name=f"{self.prefix}activation_{ending}"))
        if network.dropout > 0:
            name = f"{self.prefix}dropout_{ending}"
            layers.append(keras.layers.Dropout(network.dropout, seed=dropout_seed, name=name))
        return layers

    def next_seed(self) -> int:
        """A seed that nothing else has."""
        return int(next(self._seeds))


def chained(value: Any, layers: Iterable[Any]) -> Any:
    """What comes out of layers, one after the other."""
    for layer in layers:
        value = layer(value)
    return value


def initializer(name: str, seed: int) -> Any:
    """Distribution of first weights."""
    import keras

    builders = {
        "glorot_normal": keras.initializers.GlorotNormal,
        "glorot_uniform": keras.initializers.GlorotUniform,
    }
    return builders[name](seed=seed)


def _l2(factor: float) -> Any:
    import keras

    return keras.regularizers.L2(factor) if factor > 0 else None
