"""A network whose loss grows with the distance correlation of its scores with given numbers, as one Keras model.

Kasieczka, Shih, arXiv:2001.05310 (DisCo).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable

#: Squared distance variances below it, relative to the squared mean distances, are those of equal values.
_SMALLEST = 1e-12


def distance_correlation(first: Any, second: Any, weights: Any) -> Any:
    """Squared distance correlation of two quantities of weighted rows; 0 where one of them is the same in all.

    Parameters
    ----------
    first, second, weights : tensor of float32, shape (n_rows,)

    Notes
    -----
    ⟨AB⟩ / √(⟨AA⟩⟨BB⟩) of the doubly centred distance matrices A and B, whose means over pairs have the weights
    wᵢwⱼ/(Σw)² (Székely, Rizzo, Bakirov, arXiv:0803.4101), in the form ⟨AB⟩ = ⟨ab⟩ + ⟨a⟩⟨b⟩ − 2⟨ā b̄⟩ of the
    distances a, b and their means ā, b̄ of each row, which takes fewer matrices. The bias of a few rows is left in:
    it is about 1/n and nearly the same for all scores. `metrics.distance_correlation` is without it.
    """
    shares = tf.math.divide_no_nan(weights, tf.reduce_sum(weights))
    a, b = (tf.abs(values[:, tf.newaxis] - values[tf.newaxis]) for values in (first, second))
    row_a, row_b = (tf.linalg.matvec(matrix, shares) for matrix in (a, b))
    mean_a, mean_b = (tf.tensordot(shares, row, 1) for row in (row_a, row_b))

    def covariance(products: Any, row: Any, mean: Any, other_row: Any, other_mean: Any) -> Any:
        return products + mean * other_mean - 2 * tf.tensordot(shares, row * other_row, 1)

    both = covariance(tf.tensordot(shares, tf.linalg.matvec(a * b, shares), 1), row_a, mean_a, row_b, mean_b)
    of_a = covariance(_squares(first, shares), row_a, mean_a, row_a, mean_a)
    of_b = covariance(_squares(second, shares), row_b, mean_b, row_b, mean_b)
    size = of_a * of_b
    is_any = (of_a > _SMALLEST * mean_a**2) & (of_b > _SMALLEST * mean_b**2)
    # the square root has no slope at 0, and NaN times 0 is no 0
    return tf.where(is_any, both / tf.sqrt(tf.where(is_any, size, tf.ones_like(size))), tf.zeros_like(size))


def _squares(values: Any, shares: Any) -> Any:
    """Mean of (xᵢ − xⱼ)² over all pairs, without their matrix."""
    centred = values - tf.tensordot(shares, values, 1)
    return 2 * tf.tensordot(shares, centred**2, 1)


class DecorrelatedModel(keras.Model):  # type: ignore[misc]
    """Trains a compiled network with the distance correlations of its scores as a part of the loss.

    The targets of a row are those of the network, then the numbers of which its scores must not depend, then 1 where
    the row counts for this, else 0.

    Parameters
    ----------
    scores : callable
        From targets and outputs of the network to scores, rows × scores.
    numbers : int
        How many numbers stand behind the targets.
    strength : float
        Factor of the sum of the distance correlations, of each score with each number.
    """

    def __init__(self, network: Any, scores: Callable[[Any, Any], Any], numbers: int, strength: float) -> None:
        super().__init__(name="decorrelated")
        self.network = network
        self.scores, self.numbers, self.strength = scores, numbers, strength
        self.loss_average = keras.metrics.Mean(name="loss")
        self.correlation = keras.metrics.Mean(name="distance_correlation")
        self.compile(optimizer=network.optimizer, jit_compile=False)
        network.optimizer.build(network.trainable_variables)

    @property
    def metrics(self) -> list[Any]:
        """Those of the network, then the sum of the distance correlations."""
        of_network = [metric for metric in self.network.metrics if metric.name != "loss"]
        return [self.loss_average, *of_network, self.correlation]

    def call(self, inputs: Any, training: bool = False) -> Any:
        """What the network gives."""
        return self.network(inputs, training=training)

    def train_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """One step of the network."""
        trained = self.network.trainable_variables
        with tf.GradientTape() as tape:
            loss, results = self._loss(data, training=True)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, trained), trained, strict=True))
        return self._updated(loss, *results)

    def test_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Metrics; the distance correlations are means over the batches."""
        loss, results = self._loss(data, training=False)
        return self._updated(loss, *results)

    def _loss(self, data: tuple[Any, Any, Any], *, training: bool) -> tuple[Any, tuple[Any, ...]]:
        inputs, targets, weights = data
        learnt = targets[:, : -self.numbers - 1]
        numbers, counts = targets[:, -self.numbers - 1 : -1], targets[:, -1]
        given = self.network(inputs, training=training)
        scores = self.scores(learnt, given)
        found = [
            distance_correlation(score, number, weights * counts)
            for score in tf.unstack(scores, axis=1)
            for number in tf.unstack(numbers, axis=1)
        ]
        correlation = tf.add_n(found)
        loss = self.network.compute_loss(y=learnt, y_pred=given, sample_weight=weights)
        return loss + self.strength * correlation, (learnt, given, weights, correlation, tf.reduce_sum(counts))

    def _updated(
        self, loss: Any, learnt: Any, given: Any, weights: Any, correlation: Any, counted: Any
    ) -> dict[str, Any]:
        self.loss_average.update_state(loss, sample_weight=tf.shape(given)[0])
        self.network.compute_metrics(None, learnt, given, sample_weight=weights)
        self.correlation.update_state(correlation, sample_weight=counted)
        results: dict[str, Any] = self.get_metrics_result()
        return results
