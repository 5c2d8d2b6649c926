#!/usr/bin/env python3
"""Time per epoch of the compiled training against a plain `Model.fit` of Keras.

Same network, loss, optimiser, weights, batch size and data. Epochs of both alternate, so that what else the machine
does falls on both; printed are medians. Compiling is not in them; it is printed beside.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Case(NamedTuple):
    """A network, the events it is trained on, and the ratio of times that is to be reached."""

    layers: tuple[int, ...]
    events: int
    batch_size: int
    target: float


CASES = (
    Case((2, 100, 100, 3), 30_000, 100, 1 / 6),
    Case((28, 200, 200, 2), 20_000, 100, 1 / 3),
    Case((30, 300, 300, 300, 5), 50_000, 1_000, 1 / 2),
)


class Sample(NamedTuple):
    """Inputs, one-hot targets and weights."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def make_sample(case: Case, seed: int) -> Sample:
    """Overlapping Gaussians, one per class, with weights."""
    generator = np.random.default_rng(seed)
    means = np.random.default_rng(0).normal(0, 0.5, (case.layers[-1], case.layers[0]))
    classes = generator.integers(0, case.layers[-1], case.events)
    inputs = generator.normal(means[classes], 1).astype(np.float32)
    targets = np.eye(case.layers[-1], dtype=np.float32)[classes]
    return Sample(inputs, targets, generator.uniform(0.5, 1.5, case.events).astype(np.float32))


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(case: Case, epochs: int, seeds: int) -> None:
    """Print the ratios of a case, and the losses after training."""
    import tensorflow as tf

    from ntupleml.models import Network, build_model, matrix
    from ntupleml.training.batches import shuffled
    from ntupleml.training.compiled_epoch import Block, EpochRunner

    network = Network(hidden=case.layers[1:-1], activation="tanh")
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    compiling: list[float] = []
    losses: dict[str, list[float]] = {"compiled": [], "fit": []}
    test = make_sample(case, 1)
    for seed in range(seeds):
        sample = make_sample(case, 2 + seed)
        compiled, plain = (build_model(network, matrix(case.layers[0]), case.layers[-1], seed) for _ in range(2))
        plain.compile(plain.optimizer, plain.loss, weighted_metrics=["categorical_accuracy"])  # all as Keras has it
        runner = EpochRunner(compiled, case.batch_size)
        tensors = tf.constant(sample.inputs), tf.constant(sample.targets)
        generator = np.random.default_rng(seed)

        def epoch(
            runner: Any = runner, tensors: Any = tensors, generator: Any = generator, sample: Sample = sample
        ) -> None:
            runner.train([Block(*tensors, *shuffled(generator, sample.weights))])

        def fit(plain: Any = plain, sample: Sample = sample) -> None:
            plain.fit(
                sample.inputs,
                sample.targets,
                sample_weight=sample.weights,
                batch_size=case.batch_size,
                verbose=0,
            )

        compiling.append(timed(epoch)[0])
        fit()
        for _ in range(epochs):
            ours.append(timed(epoch))
            theirs.append(timed(fit))
        for name, model in (("compiled", compiled), ("fit", plain)):
            metrics = model.evaluate(test.inputs, test.targets, batch_size=5000, verbose=0, return_dict=True)
            losses[name].append(metrics["loss"])
    our_wall, our_cpu = np.median(ours, axis=0)
    fit_wall, fit_cpu = np.median(theirs, axis=0)
    name = "-".join(map(str, case.layers))
    print(
        f"training {name}, {case.events} events, batches of {case.batch_size}: "
        f"{our_wall / fit_wall:.3f} of the wall time of Model.fit (1/{fit_wall / our_wall:.1f}, target "
        f"1/{1 / case.target:.0f}), {our_cpu / fit_cpu:.3f} of its CPU time; {our_wall * 1e3:.1f} and "
        f"{fit_wall * 1e3:.1f} ms per epoch; first epoch with compiling {np.median(compiling):.2f} s; test loss after "
        f"{epochs + 1} epochs "
        + ", ".join(f"{key} {np.mean(values):.4f} ± {np.std(values):.4f}" for key, values in losses.items())
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=7, help="timed epochs of each seed")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each kind")
    arguments = parser.parse_args()
    from ntupleml.tensorflow_import import import_tensorflow

    import_tensorflow()
    for case in CASES:
        measure(case, arguments.epochs, arguments.seeds)


if __name__ == "__main__":
    main()
