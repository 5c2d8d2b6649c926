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
    prefix, group : str
        Beginning of the layers' names, and the group of inputs whose layers are made.
    activation : str
        Of the layers, a key of `ACTIVATIONS`.
    """

    def __init__(self, network: Network, seed: int) -> None:
        self.network = network
        self.prefix, self.group = "", ""
        self.activation = network.activation
        self._seeds = iter(np.random.SeedSequence(seed).generate_state(_MOST_SEEDS).tolist())

    def begin_group(self, name: str, activation: str | None) -> None:
        """Make layers of the encoder of a group."""
        self.prefix, self.group = f"{name}.", name  # no name of a group has a dot
        self.activation = activation or self.network.activation

    def end_groups(self) -> None:
        """Make layers of the network itself."""
        self.prefix, self.group, self.activation = "", "", self.network.activation

    def weighted(self, kind: str, name: str, *arguments: Any, **options: Any) -> Any:
        """A layer of Keras, or of our own, whose first weights are the network's, with its own seed."""
        import keras

        from ntupleml.models import layers

        network = self.network
        first = initializer(network.hidden_initializer, next(self._seeds))
        return self._made(
            getattr(keras.layers if hasattr(keras.layers, kind) else layers, kind),
            self.prefix + name,
            *arguments,
            **{"kernel_initializer": first, "kernel_regularizer": _penalty(network.l1, network.l2), **options},
        )

    def output(self, width: int, name: str = "scores") -> list[Any]:
        """The last layer."""
        import keras

        activation = self.network.output
        return [self._made(keras.layers.Dense, name, width, activation=activation, **self._of_output())]

    def pixels(self) -> Any:
        """The last layer of an image: one value per pixel."""
        import keras

        activation = ACTIVATIONS[self.network.pixels]
        return self._made(keras.layers.Conv2D, "scores.pixels", 1, 1, activation=activation, **self._of_output())

    def _made(self, layer: Any, name: str, *arguments: Any, **options: Any) -> Any:
        """A layer with weights."""
        return layer(*arguments, **options, name=name)

    def _of_output(self) -> dict[str, Any]:
        """First weights of the last layer, and what they cost."""
        network = self.network
        return {
            "kernel_initializer": initializer(network.output_initializer, next(self._seeds)),
            "kernel_regularizer": _penalty(network.output_l1, network.output_l2),
        }

    def latent(self, value: Any) -> tuple[Any, list[Any]]:
        """What the decoder gets of the latent layer, and all its numbers: themselves, or means and log variances."""
        from ntupleml.models.layers import LatentDraw

        latent = self.network.latent
        assert latent is not None
        if latent.variational:
            numbers = [
                self.weighted("Dense", f"latent_{what}", latent.size)(value) for what in ("mean", "log_variance")
            ]
            return LatentDraw(seed=self.next_seed(), name="latent_drawn")(numbers), numbers
        self.activation = latent.activation or self.network.activation
        value = chained(value, self.activated("Dense", "latent", "latent", latent.size, drops=False))
        self.activation = self.network.activation
        return value, [value]

    def hidden(self, number: int | str, width: int, *, each_object: bool = False, drops: bool = True) -> list[Any]:
        """Dense layer, then (if asked) normalisation before the activation, then dropout."""
        return self.activated("Dense", f"hidden_{number}", f"{number}", width, each_object=each_object, drops=drops)

    def activated(
        self,
        kind: str,
        name: str,
        ending: str,
        *arguments: Any,
        each_object: bool = False,
        drops: bool = True,
        **options: Any,
    ) -> list[Any]:
        """A layer with weights, normalisation before the activation (over a batch not of single objects), dropout."""
        import keras

        network, activation = self.network, ACTIVATIONS[self.activation]
        normalised = network.norm == "layer" or (network.norm == "batch" and not each_object)
        layers = [
            self.weighted(kind, name, *arguments, activation=None if normalised else activation, **options),
        ]
        dropout_seed = next(self._seeds)
        if normalised:
            norm = "BatchNormalization" if network.norm == "batch" else "LayerNormalization"
            layers.append(getattr(keras.layers, norm)(name=f"{self.prefix}normalisation_{ending}"))
            layers.append(keras.layers.Activation(activation, name=f"{self.prefix}activation_{ending}"))
        if drops and network.dropout > 0:
            layers.append(self._dropout(ending, dropout_seed))
        return layers

    def ended(self, values: Any, mask: Any, ending: str) -> Any:
        """Objects at the end of a block: normalised (over those that are there), activated, and with dropout."""
        import keras

        from ntupleml.models.layers import MaskedBatchNormalization

        name = f"{self.prefix}normalisation_{ending}"
        if self.network.norm == "batch":
            values = MaskedBatchNormalization(name=name)([values, mask])
        elif self.network.norm == "layer":
            values = keras.layers.LayerNormalization(name=name)(values)
        activation = ACTIVATIONS[self.activation]
        values = keras.layers.Activation(activation, name=f"{self.prefix}activation_{ending}")(values)
        return self.dropped(values, ending)

    def dropped(self, values: Any, ending: str) -> Any:
        """Values with dropout, where the network has some."""
        return self._dropout(ending, self.next_seed())(values) if self.network.dropout > 0 else values

    def _dropout(self, ending: str, seed: int) -> Any:
        import keras

        return keras.layers.Dropout(self.network.dropout, seed=seed, name=f"{self.prefix}dropout_{ending}")

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
        "he_normal": keras.initializers.HeNormal,
        "random_uniform": keras.initializers.RandomUniform,
    }
    return builders[name](seed=seed)


def _penalty(l1: float, l2: float) -> Any:
    import keras

    if l1 > 0:
        return keras.regularizers.L1L2(l1, l2)
    return keras.regularizers.L2(l2) if l2 > 0 else None
