"""A network and its adversary as one Keras model, whose steps train both.

The adversary reads the scores and is to tell what they must not: which of two samples a row is from, or in which bin
of a nuisance it is. Ganin et al., arXiv:1505.07818 (reversal); Louppe et al., arXiv:1611.01046 (alternating).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ntupleml.models.parts import chained, initializer
from ntupleml.models.registries import ACTIVATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config.adversary import AdversaryConfig

#: Seed of the first weights of the adversary, beside that of the training.
_SEED = 1
#: Of the means that normalise its layers in the validation: short, as the scores that it reads change all the time.
_MOMENTUM = 0.9
#: Scores below it are alike for the adversary, which reads their logarithms.
SMALLEST_SCORE = 1e-6


class _Rows(NamedTuple):
    """Targets of some rows, taken apart."""

    #: What the network learns, and the weights for it.
    learnt: Any
    weights: Any
    #: Number of rows from which it learns.
    number: Any
    #: What the adversary is to tell: one-hot numbers, head after head, and the weights for it.
    told: Any
    adversary_weights: Any
    #: Number of rows from which the adversary learns.
    adversary_number: Any


class AdversarialModel(keras.Model):  # type: ignore[misc]
    """Trains a compiled network together with its adversary.

    The targets of a row are those of the network, then a one-hot number for each head of the adversary (zeros where
    the adversary does not learn from the row), then the factor that makes the row's weight its weight for the
    adversary, then 1 where the network learns from the row, else 0.

    Parameters
    ----------
    heads : sequence of int
        Number of values that each head of the adversary tells apart.
    halves : bool
        Whether the first half of each batch that trains is for the network, the second for the adversary.
    """

    def __init__(
        self, network: Any, heads: Sequence[int], settings: AdversaryConfig, seed: int, *, halves: bool
    ) -> None:
        super().__init__(name="adversarial")
        self.network = network
        self.adversary = _adversary(network.output_shape[-1], heads, settings, seed)
        self.heads = tuple(heads)
        self.halves, self.reverses, self.steps = halves, settings.method == "reversal", settings.steps
        self.reads_logarithms = network.layers[-1].get_config().get("activation") == "softmax"
        #: λ in this epoch.
        self.factor = tf.Variable(0.0, trainable=False)
        options = network.optimizer.get_config()
        self.follows_rate = settings.learning_rate is None
        if settings.learning_rate is not None:
            options["learning_rate"] = settings.learning_rate
        self.adversary_optimizer = type(network.optimizer).from_config(options)
        self.loss_average = keras.metrics.Mean(name="loss")
        self.adversary_loss = keras.metrics.Mean(name="adversary_loss")
        self.adversary_accuracy = keras.metrics.Mean(name="adversary_accuracy")
        self.compile(optimizer=network.optimizer, jit_compile=False)
        network.optimizer.build(network.trainable_variables)
        self.adversary_optimizer.build(self.adversary.trainable_variables)

    @property
    def optimizers(self) -> list[Any]:
        """Of the network, and of the adversary."""
        return [self.optimizer, self.adversary_optimizer]

    @property
    def metrics(self) -> list[Any]:
        """Those of the network, then those of the adversary."""
        of_network = [metric for metric in self.network.metrics if metric.name != "loss"]
        return [self.loss_average, *of_network, self.adversary_loss, self.adversary_accuracy]

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Scores of the network."""
        return self.network(inputs, training=training)

    def train_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """One step of the network, and of the adversary with it (reversal) or several before it (alternating)."""
        inputs, targets, weights = data
        half = tf.shape(targets)[0] // 2 if self.halves else 0
        if not self.reverses:
            of_adversary = tf.nest.map_structure(lambda values: values[half:], inputs)
            for _ in range(self.steps):
                self._adversary_step(of_adversary, self._rows(targets[half:], weights[half:]))
        learns, tells = self._rows(targets, weights), self._rows(targets[half:], weights[half:])
        trained = list(self.network.trainable_variables)
        if self.reverses:
            trained += self.adversary.trainable_variables
        with tf.GradientTape() as tape:
            scores = self.network(inputs, training=True)
            loss = self._network_loss(scores, learns)
            read = _reversed(scores[half:], self.factor) if self.reverses else scores[half:]
            logits = self.adversary(self._read(read), training=self.reverses)
            adversary_loss = self._adversary_loss(logits, tells)
            total = loss + adversary_loss if self.reverses else loss - self.factor * adversary_loss
        gradients = tape.gradient(total, trained)
        number = len(self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients[:number], trained[:number], strict=True))
        if self.reverses:
            self._apply_to_adversary(gradients[number:])
        return self._updated(scores, loss, learns, logits, tells)

    def test_step(self, data: tuple[Any, Any, Any]) -> dict[str, Any]:
        """Metrics; rows of the network and of the adversary in any order."""
        inputs, targets, weights = data
        rows = self._rows(targets, weights)
        scores = self.network(inputs, training=False)
        logits = self.adversary(self._read(scores), training=False)
        return self._updated(scores, self._network_loss(scores, rows), rows, logits, rows)

    def _adversary_step(self, inputs: Any, rows: _Rows) -> None:
        scores = self.network(inputs, training=True)
        with tf.GradientTape() as tape:
            logits = self.adversary(self._read(tf.stop_gradient(scores)), training=True)
            loss = self._adversary_loss(logits, rows)
        self._apply_to_adversary(tape.gradient(loss, self.adversary.trainable_variables))

    def _apply_to_adversary(self, gradients: Sequence[Any]) -> None:
        if self.follows_rate:
            self.adversary_optimizer.learning_rate.assign(self.optimizer.learning_rate)
        self.adversary_optimizer.apply_gradients(zip(gradients, self.adversary.trainable_variables, strict=True))

    def _rows(self, targets: Any, weights: Any) -> _Rows:
        width = sum(self.heads)
        told, factor, is_learnt = targets[:, -width - 2 : -2], targets[:, -2], targets[:, -1]
        is_told = tf.reduce_max(told, axis=-1)
        return _Rows(
            targets[:, : -width - 2],
            weights * is_learnt,
            tf.reduce_sum(is_learnt),
            told,
            weights * factor * is_told,
            tf.reduce_sum(is_told),
        )

    def _read(self, scores: Any) -> Any:
        """What the adversary gets of scores: of probabilities their logarithms, which do not hide the small ones."""
        return tf.math.log(scores + SMALLEST_SCORE) if self.reads_logarithms else scores

    def _network_loss(self, scores: Any, rows: _Rows) -> Any:
        """Mean over the rows from which the network learns, with regularisation."""
        scale = tf.math.divide_no_nan(tf.cast(tf.shape(scores)[0], tf.float32), rows.number)
        return self.network.compute_loss(y=rows.learnt, y_pred=scores, sample_weight=rows.weights * scale)

    def _adversary_loss(self, logits: Any, rows: _Rows) -> Any:
        """Mean over the rows from which the adversary learns, summed over its heads."""
        total = tf.reduce_sum(rows.adversary_weights * self._entropies(logits, rows))
        return tf.math.divide_no_nan(total, rows.adversary_number)

    def _entropies(self, logits: Any, rows: _Rows) -> Any:
        parts = zip(tf.split(rows.told, self.heads, axis=-1), tf.split(logits, self.heads, axis=-1), strict=True)
        return tf.add_n([tf.nn.softmax_cross_entropy_with_logits(told, one) for told, one in parts])

    def _updated(self, scores: Any, loss: Any, learns: _Rows, logits: Any, tells: _Rows) -> dict[str, Any]:
        self.loss_average.update_state(loss, sample_weight=learns.number)
        self.network.compute_metrics(None, learns.learnt, scores, sample_weight=learns.weights)
        self.adversary_loss.update_state(self._entropies(logits, tells), sample_weight=tells.adversary_weights)
        parts = zip(tf.split(tells.told, self.heads, axis=-1), tf.split(logits, self.heads, axis=-1), strict=True)
        right = [tf.equal(tf.argmax(told, axis=-1), tf.argmax(one, axis=-1)) for told, one in parts]
        shares = tf.reduce_mean(tf.cast(tf.stack(right), tf.float32), axis=0)
        self.adversary_accuracy.update_state(shares, sample_weight=tells.adversary_weights)
        results: dict[str, Any] = self.get_metrics_result()
        return results


def _reversed(values: Any, factor: Any) -> Any:
    """The same values, whose gradient is multiplied by -λ."""
    strength = -tf.convert_to_tensor(factor)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def identity(inside: Any) -> tuple[Any, Any]:
        return tf.identity(inside), lambda gradient: strength * gradient

    return identity(values)


def _adversary(num_scores: int, heads: Sequence[int], settings: AdversaryConfig, seed: int) -> Any:
    """Dense layers, each normalised over the batch before it; logits of all heads."""
    seeds = np.random.SeedSequence([seed, _SEED]).generate_state(len(settings.hidden) + 1).tolist()
    inputs = keras.Input((num_scores,), name="read_scores")
    layers: list[Any] = []
    activations = [ACTIVATIONS[settings.activation]] * len(settings.hidden) + [None]
    for number, (width, activation) in enumerate(zip([*settings.hidden, sum(heads)], activations, strict=True)):
        name = f"adversary_normalisation_{number}"
        layers.append(keras.layers.BatchNormalization(momentum=_MOMENTUM, name=name))
        start = initializer("glorot_uniform", seeds[number])
        name = f"adversary_{number}"
        layers.append(keras.layers.Dense(width, activation=activation, kernel_initializer=start, name=name))
    return keras.Model(inputs, chained(inputs, layers), name="adversary")
