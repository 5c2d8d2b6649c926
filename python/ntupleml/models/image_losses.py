"""Losses of networks that give an image, then values: by its missing transverse energy, pixel by pixel, by the values.

Importing this imports Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ntupleml.features.arrays import NumpyLike
from ntupleml.features.images import directions, missing_energy
from ntupleml.models.layers import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_KERAS = NumpyLike(ops)


def _squared(difference: Any, _delta: float, _quantile: float) -> Any:
    return ops.square(difference)


def _absolute(difference: Any, _delta: float, _quantile: float) -> Any:
    return ops.abs(difference)


def _huber(difference: Any, delta: float, _quantile: float) -> Any:
    """Half the square up to δ, then linear."""
    size = ops.abs(difference)
    return ops.where(size <= delta, 0.5 * ops.square(difference), delta * (size - 0.5 * delta))


def _quantile(difference: Any, _delta: float, quantile: float) -> Any:
    """The pinball loss, smallest where the prediction is the quantile of the truth."""
    return ops.maximum(-quantile * difference, (1 - quantile) * difference)


#: What a difference (prediction − truth) costs, by the name that a config has.
DIFFERENCES: dict[str, Callable[[Any, float, float], Any]] = {
    "squared": _squared,
    "absolute": _absolute,
    "huber": _huber,
    "quantile": _quantile,
}


class _OfDifferences(keras.losses.Loss):  # type: ignore[misc]
    """A loss that is made of differences."""

    def __init__(self, *, difference: str, delta: float, quantile: float, **options: Any) -> None:
        super().__init__(**options)
        self.difference, self.delta, self.quantile = difference, delta, quantile

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        settings = {"difference": self.difference, "delta": self.delta, "quantile": self.quantile}
        return {**super().get_config(), **settings}

    def cost(self, difference: Any) -> Any:
        """Cost of each difference."""
        return DIFFERENCES[self.difference](difference, self.delta, self.quantile)


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantileLoss(_OfDifferences):
    """Pinball loss of values, the mean over the values of a row.

    Notes
    -----
    max(q Δ, (q − 1) Δ) of Δ = truth − prediction (Koenker and Bassett, Econometrica 46 (1978) 33).
    """

    def __init__(self, quantile: float = 0.5, **options: Any) -> None:
        super().__init__(
            **{"name": "quantile", "difference": "quantile", "delta": 1.0, "quantile": quantile, **options}
        )

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row."""
        return ops.mean(self.cost(y_pred - y_true), axis=-1)


@keras.saving.register_keras_serializable(package=PACKAGE)
class ImageLoss(_OfDifferences):
    """Sum of the costs of an image's missing transverse energy, of its pixels, and of the values behind it.

    Targets and outputs are rows × (η · φ + values).

    Parameters
    ----------
    bins : (int, int)
        Of the image in η and φ.
    phi_range : (float, float)
        Ends of φ.
    shares : mapping of str to float
        Factors of the terms ``etmiss``: cost of ΔE_x plus cost of ΔE_y; ``image``: mean cost of the pixels;
        ``values``: mean cost of the values, where there are some. A term without a share is not computed.
    units : mapping of str to float, optional
        By the same names, what differences are divided by; by default 1.
    difference : str, default: squared
        How a difference costs: a key of `DIFFERENCES`, with its `delta` or `quantile`.
    """

    def __init__(
        self,
        bins: Sequence[int],
        phi_range: Sequence[float],
        shares: Mapping[str, float],
        units: Mapping[str, float] | None = None,
        *,
        difference: str = "squared",
        delta: float = 1.0,
        quantile: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(difference=difference, delta=delta, quantile=quantile, **{"name": "image_loss", **options})
        self.bins, self.phi_range = tuple(bins), tuple(phi_range)
        self.shares, self.units = dict(shares), dict(units or {})

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        own = {"bins": list(self.bins), "phi_range": list(self.phi_range), "shares": self.shares, "units": self.units}
        return {**super().get_config(), **own}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row."""
        difference = y_pred - ops.cast(y_true, y_pred.dtype)
        pixels = self.bins[0] * self.bins[1]
        image, values = difference[:, :pixels], difference[:, pixels:]
        terms: dict[str, Any] = {"etmiss": (self._etmiss, image), "image": (self._pixels, image)}
        if values.shape[1]:
            terms["values"] = (self._values, values)
        costs = [
            share * terms[name][0](terms[name][1]) for name, share in self.shares.items() if share and name in terms
        ]
        return sum(costs[1:], costs[0])

    def _etmiss(self, pixels: Any) -> Any:
        # in double precision, as thousands of pixels cancel
        images = ops.cast(ops.reshape(pixels, (-1, *self.bins)), "float64")
        components = missing_energy(_KERAS, images, directions(self.bins[1], self.phi_range))
        costs = self.cost(components / self.units.get("etmiss", 1.0))
        return ops.cast(ops.sum(costs, axis=-1), pixels.dtype)

    def _pixels(self, pixels: Any) -> Any:
        return ops.mean(self.cost(pixels / self.units.get("image", 1.0)), axis=-1)

    def _values(self, values: Any) -> Any:
        return ops.mean(self.cost(values / self.units.get("values", 1.0)), axis=-1)
