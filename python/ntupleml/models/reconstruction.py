"""Networks that give their inputs back: what they learn, and the loss that counts only what is there.

Importing this imports Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from ntupleml.config.inputs import LARGEST_LOG_VARIANCE
from ntupleml.features.slots import COLUMNS, UNKNOWN
from ntupleml.models.layers import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.record import TargetRecord


@keras.saving.register_keras_serializable(package=PACKAGE)
class MaskedSquaredError(keras.losses.Loss):  # type: ignore[misc]
    """Mean squared error of each row over the numbers that are there; 0 for a row without any.

    The targets are rows × 2 n: n numbers, then 1 or 0 for each that is there or not. The network gives n numbers, and
    behind them those of its latent layer, if it has one.

    Parameters
    ----------
    beta : float, optional
        Of a variational layer, whose means and log variances the network gives: factor of their divergence, which is
        added.
    """

    def __init__(self, beta: float | None = None, **options: Any) -> None:
        super().__init__(**{"name": "masked_mean_squared_error", **options})
        self.beta = beta

    def get_config(self) -> dict[str, Any]:
        """Settings, for the file."""
        return {**super().get_config(), "beta": self.beta}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row."""
        wanted, mask = ops.split(ops.cast(y_true, y_pred.dtype), 2, axis=-1)
        number = y_true.shape[-1] // 2
        squares = ops.sum(mask * ops.square(y_pred[:, :number] - wanted), axis=-1)
        error = squares / ops.maximum(ops.sum(mask, axis=-1), 1.0)
        if self.beta is None:
            return error
        return error + self.beta * divergence(*ops.split(y_pred[:, number:], 2, axis=-1))


def divergence(mean: Any, log_variance: Any) -> Any:
    """Kullback-Leibler divergence of normal distributions from that of mean 0 and width 1, summed over the numbers.

    Notes
    -----
    −½ Σ (1 + ln σ² − μ² − σ²): Kingma, Welling, arXiv:1312.6114, appendix B. Above `LARGEST_LOG_VARIANCE` a variance
    counts as if it were there, so that it stays finite.
    """
    bounded = ops.minimum(log_variance, LARGEST_LOG_VARIANCE)
    return -0.5 * ops.sum(1.0 + bounded - ops.square(mean) - ops.exp(bounded), axis=-1)


def reconstruction_scores(wanted: Any, given: Any, target: TargetRecord) -> NDArray[np.float32]:
    """Scores of rows, in the order of the target.

    Parameters
    ----------
    wanted : array of float32, shape (rows, 2 n)
        Of `reconstruction_target`.
    given : array of float32, shape (rows, n + numbers of the latent layer)
        What the network gives.

    Returns
    -------
    array of float32, shape (rows, scores)
    """
    return np.stack([np.asarray(one) for one in score_values(wanted, given, target, target.scores)], axis=1)


def score_values(wanted: Any, given: Any, target: TargetRecord, names: Sequence[str]) -> list[Any]:
    """Some scores of rows as tensors, each of shape (rows,); see `reconstruction_scores`."""
    latent = given[:, given.shape[1] - sum(target.latent_sizes) :]
    scores: dict[str, Callable[[], Any]] = {
        "reconstruction_error": lambda: MaskedSquaredError(reduction=None)(wanted, given),
        "latent_norm": lambda: ops.mean(ops.square(latent[:, : target.latent]), axis=-1),
        "kl": lambda: divergence(*ops.split(latent, 2, axis=-1)),
    }
    return [scores[name]() for name in names]


def reconstruction_target(
    inputs: Mapping[str, NDArray[np.float32]], groups: Sequence[str], slots: Collection[str] = ()
) -> NDArray[np.float32]:
    """Targets of `MaskedSquaredError`: the inputs of some groups, one after the other, and which of them are there.

    Parameters
    ----------
    inputs : mapping of str to array
        What the network gets: scaled arrays by the names of groups, and ``{name}_mask`` of objects.
    groups : sequence of str
        Groups that it is to give back.
    slots : collection of str
        Those of slots: pT, η and φ are given back, and a number counts where it is neither 0 nor -999.

    Returns
    -------
    array of float32, shape (rows, 2 n)
    """
    values = [_given_back(inputs[name], name in slots) for name in groups]
    masks = [
        (value != 0) & (value != UNKNOWN)
        if name in slots
        else np.broadcast_to(inputs[f"{name}_mask"][..., np.newaxis], value.shape)
        if f"{name}_mask" in inputs
        else np.ones_like(value)
        for name, value in zip(groups, values, strict=True)
    ]
    return np.concatenate([part.reshape(len(part), -1) for part in (*values, *masks)], axis=1, dtype=np.float32)


def _given_back(values: NDArray[np.float32], is_slots: bool) -> NDArray[np.float32]:
    """Of objects in slots without what says their type."""
    return values[..., : len(COLUMNS)] if is_slots and values.ndim > 2 else values
