#!/usr/bin/env python3
"""Time per epoch of a training against a control sample, and the loop of CalRatioTrainer rebuilt in plain Keras.

The network is `calratio` in both. That loop cuts the epoch into 50 parts; for each it trains the adversary twice, then
the network on jets and on rows of the control sample, with `train_on_batch`. Here the same is one compiled program, by
both methods. Epochs alternate, so that what else the machine does falls on all; printed are medians. Compiling is
printed beside. A small `--weight` shows that all learn alike: a large one times a loss without bound lets them diverge.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Rows and parts of an epoch of the original.
JETS, CONTROL, PARTS = 11_400, 10_000, 50
LISTS = {"clus": (30, 12), "track": (20, 10), "MSeg": (30, 6)}
TARGET = 0.5


class Rows(NamedTuple):
    """Inputs with masks, one-hot classes (of the control sample: simulation, data) and weights."""

    inputs: dict[str, NDArray[np.float32]]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def made_rows(number: int, classes: int, seed: int, distance: float) -> Rows:
    """Gaussians that overlap, lists of any length with zeros behind them."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, number)
    fixed = np.random.default_rng(classes)
    inputs: dict[str, NDArray[np.float32]] = {}
    for name, (length, width) in LISTS.items():
        means = fixed.normal(0, distance, (classes, width))[truth][:, np.newaxis]
        filled = np.arange(length) < random.integers(0, length + 1, number)[:, np.newaxis]
        values = random.normal(means, 1, (number, length, width)) * filled[..., np.newaxis]
        inputs |= {name: values.astype(np.float32), f"{name}_mask": filled.astype(np.float32)}
    means = fixed.normal(0, distance, (classes, 3))[truth]
    inputs["jet"] = random.normal(means, 1).astype(np.float32)
    return Rows(inputs, np.eye(classes, dtype=np.float32)[truth], random.uniform(0.5, 1.5, number).astype(np.float32))


def new_network(seed: int) -> Any:
    """The network `calratio`, compiled as it is trained."""
    from ntupleml.models import ZOO, GroupShape, build_model

    shapes = {name: GroupShape("objects", shape) for name, shape in LISTS.items()}
    return build_model(ZOO["calratio"], {**shapes, "jet": GroupShape("numbers", (3,))}, 3, seed)


class PlainLoop:
    """The original's epoch: two models over the same layers, each trained by `train_on_batch`."""

    def __init__(self, jets: Rows, control: Rows, seed: int, weight: float) -> None:
        import keras

        self.network, layers = new_network(seed), keras.layers
        hidden = [part for width in (24, 12, 6) for part in (layers.Dense(width, "tanh"), layers.BatchNormalization())]
        adversary = keras.Sequential([layers.BatchNormalization(), *hidden, layers.Dense(1, "sigmoid")])
        taken = {one.name: keras.Input(one.shape[1:], name=one.name) for one in self.network.inputs}
        of_control = {
            f"control_{name}": keras.Input(one.shape[1:], name=f"control_{name}") for name, one in taken.items()
        }
        told = adversary(self.network({name: of_control[f"control_{name}"] for name in taken}))
        self.adversary = keras.Model(of_control, told)
        self.both = keras.Model({**taken, **of_control}, [self.network(taken), told])
        self._parts = [
            (jets_part, self._control(control, rows), self._control(control, padded))
            for jets_part, rows, padded in zip(
                np.array_split(np.arange(JETS), PARTS),
                np.array_split(np.arange(CONTROL), PARTS),
                np.array_split(np.pad(np.arange(CONTROL), (0, JETS - CONTROL), "symmetric"), PARTS),
                strict=True,
            )
        ]
        self._jets = jets
        self.network.trainable = False  # each model keeps what it is traced with when it trains first
        entropy = keras.losses.binary_crossentropy
        self.adversary.compile(keras.optimizers.Nadam(8e-4), entropy, weighted_metrics=["accuracy"])
        self._train_adversary(self._parts[0][1])
        self.network.trainable, adversary.trainable = True, False
        self.both.compile(
            keras.optimizers.Nadam(8e-4),
            ["categorical_crossentropy", lambda truth, found: -weight * entropy(truth, found)],
            weighted_metrics=[["accuracy"], ["accuracy"]],
        )

    @staticmethod
    def _control(rows: Rows, chosen: NDArray[np.intp]) -> Rows:
        inputs = {f"control_{name}": values[chosen] for name, values in rows.inputs.items()}
        return Rows(inputs, rows.targets[chosen, 1:], rows.weights[chosen])

    def _train_adversary(self, rows: Rows) -> None:
        self.adversary.train_on_batch(rows.inputs, rows.targets, sample_weight=rows.weights)

    def epoch(self) -> None:
        """Two steps of the adversary and one of the network, part by part."""
        for jets, control, padded in self._parts:
            for _ in range(2):
                self._train_adversary(control)
            inputs = {name: values[jets] for name, values in self._jets.inputs.items()}
            inputs |= padded.inputs
            targets = [self._jets.targets[jets], padded.targets]
            self.both.train_on_batch(inputs, targets, sample_weight=[self._jets.weights[jets], padded.weights])


class CompiledLoop:
    """An epoch of the package."""

    def __init__(self, jets: Rows, control: Rows, seed: int, weight: float, method: str) -> None:
        import tensorflow as tf

        from ntupleml.config.adversary import AdversaryConfig
        from ntupleml.training import adversarial_model
        from ntupleml.training.compiled_epoch import EpochRunner

        self.network = new_network(seed)
        settings = AdversaryConfig(against=["unused"], weight=weight, method=method)
        model = adversarial_model.AdversarialModel(self.network, [2], settings, seed, halves=True)
        model.factor.assign(weight)
        self._size = JETS // PARTS
        self._runner = EpochRunner(model, 2 * self._size)
        joined = {name: np.concatenate([values, control.inputs[name]]) for name, values in jets.inputs.items()}
        # classes, whether simulation or data, factor of the weight for the adversary, whether the network learns
        of_jets = np.hstack([jets.targets, np.zeros((JETS, 3)), np.ones((JETS, 1))])
        of_control = np.hstack([np.zeros((CONTROL, 3)), control.targets, np.ones((CONTROL, 1)), np.zeros((CONTROL, 1))])
        targets = np.concatenate([of_jets, of_control]).astype(np.float32)
        self._tensors = tf.nest.map_structure(tf.constant, joined), tf.constant(targets)
        self._weights = np.concatenate([jets.weights, control.weights])
        self._random = np.random.default_rng(seed)

    def epoch(self) -> None:
        """All batches in a new order, jets in the first half of each."""
        from ntupleml.training.compiled_epoch import Block

        jets = self._random.permutation(JETS)
        control = JETS + np.resize(self._random.permutation(CONTROL), JETS)
        order = np.stack([jets.reshape(-1, self._size), control.reshape(-1, self._size)], axis=1).ravel()
        self._runner.train([Block(*self._tensors, order.astype(np.int32), self._weights[order])])


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=7, help="timed epochs")
    parser.add_argument("--weight", type=float, default=10.0, help="factor of the adversary's loss; 10: the original's")
    arguments = parser.parse_args()
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    jets, control = made_rows(JETS, 3, 1, 0.15), made_rows(CONTROL, 2, 2, 0.05)
    test = made_rows(5_000, 3, 3, 0.15)
    loops: dict[str, Any] = {"plain Keras": PlainLoop(jets, control, 1, arguments.weight)}
    for method in ("reversal", "alternating"):
        loops[method] = CompiledLoop(jets, control, 1, arguments.weight, method)
    first = {name: timed(loop.epoch)[0] for name, loop in loops.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for _ in range(arguments.epochs):
        for name, loop in loops.items():
            times[name].append(timed(loop.epoch))
    plain_wall, plain_cpu = np.median(times["plain Keras"], axis=0)
    print(f"{JETS:,} jets and {CONTROL:,} rows of a control sample in {PARTS} batches, per epoch:")
    for name, loop in loops.items():
        wall, cpu = np.median(times[name], axis=0)
        scores = np.asarray(loop.network.predict(test.inputs, batch_size=1000, verbose=0))
        loss = float(-np.average(np.log((scores * test.targets).sum(axis=1)), weights=test.weights))
        print(
            f"{name}: {wall:.2f} s, {wall / plain_wall:.2f} of plain Keras, CPU time {cpu:.2f} s, "
            f"{cpu / plain_cpu:.2f} (target {TARGET}); first epoch with compiling {first[name]:.1f} s; test loss of "
            f"the classes after {arguments.epochs + 1} epochs {loss:.4f}"
        )


if __name__ == "__main__":
    main()
