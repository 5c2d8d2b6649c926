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
    """A network, the events it is trained on, and the ratio of times that is to be reached.

    Attributes
    ----------
    name : str
    inputs : dict of shapes
        Groups of inputs, all shapes fixed as in the arrays of a training.
    network : dict
        Settings of `Network`.
    num_outputs, events, batch_size : int
    target : float
        Largest ratio of CPU times.
    """

    name: str
    inputs: dict[str, tuple[int, ...]]
    network: dict[str, Any]
    num_outputs: int
    events: int
    batch_size: int
    target: float


def _dense(widths: tuple[int, ...], events: int, batch_size: int, target: float) -> Case:
    network = {"hidden": widths[1:-1], "activation": "tanh"}
    name = "-".join(map(str, widths))
    return Case(name, {"variables": widths[:1]}, network, widths[-1], events, batch_size, target)


def _lists(*lengths: int) -> dict[str, tuple[int, ...]]:
    return {f"list_{number}": (length, 8) for number, length in enumerate(lengths, start=1)}


_DEEP_SET = {"type": "deep_set", "hidden": [100, 100, 100]}
_LSTM = {"type": "recurrent", "filters": [32, 16], "kernel": 1, "units": 10}
_TRANSFORMER = {"type": "transformer", "layers": 3, "width": 64, "heads": 4}
_CODE = (100, 100, 64, 32, 4, 32, 64, 100, 100)
CASES = (
    _dense((2, 100, 100, 3), 30_000, 100, 1 / 6),
    _dense((28, 200, 200, 2), 20_000, 100, 1 / 3),
    _dense((30, 300, 300, 300, 5), 50_000, 1_000, 1 / 2),
    Case(
        "deep set",
        {"jets": (12, 4)},
        {"hidden": (100, 100), "encoders": {"jets": _DEEP_SET}},
        3,
        10_000,
        100,
        0.45,
    ),
    Case(
        "Conv1D and LSTM",
        {"jet": (10,), **_lists(20, 25, 30)},
        {"hidden": (100,), "encoders": dict.fromkeys(_lists(20, 25, 30), _LSTM)},
        3,
        2_000,
        100,
        0.7,
    ),
    Case(
        "Conv2D",
        {"calo": (50, 64, 4)},
        {"hidden": (64,), "encoders": {"calo": {"type": "convolution", "filters": [16, 16]}}},
        2,
        1_000,
        16,
        0.65,
    ),
    Case(
        "autoencoder",
        {"variables": (48,)},
        {"hidden": _CODE, "output": "linear", "loss": "mean_squared_error", "batch_norm": True},
        48,
        20_000,
        100,
        0.65,
    ),
    Case(
        "transformer",
        {"jets": (12, 4)},
        {"hidden": (64,), "encoders": {"jets": _TRANSFORMER}},
        3,
        2_000,
        100,
        0.9,
    ),
)


class Sample(NamedTuple):
    """Inputs (with masks), targets and weights."""

    inputs: Any
    targets: NDArray[np.float32]
    weights: NDArray[np.float32]


def make_sample(case: Case, seed: int) -> Sample:
    """Overlapping Gaussians, one per class, with weights; for a linear output the inputs are the targets."""
    generator = np.random.default_rng(seed)
    fixed = np.random.default_rng(0)
    classes = generator.integers(0, case.num_outputs, case.events)
    inputs: dict[str, NDArray[np.float32]] = {}
    for name, shape in case.inputs.items():
        means = fixed.normal(0, 0.5, (case.num_outputs, shape[-1]))[classes]
        means = means.reshape(case.events, *(1 for _ in shape[1:]), shape[-1])
        inputs[name] = generator.normal(means, 1, (case.events, *shape)).astype(np.float32)
        if len(shape) == 2:
            filled = np.arange(shape[0]) < generator.integers(0, shape[0] + 1, case.events)[:, np.newaxis]
            inputs[name][~filled] = 0
            inputs[f"{name}_mask"] = filled.astype(np.float32)
    targets = np.eye(case.num_outputs, dtype=np.float32)[classes]
    taken: Any = inputs if len(inputs) > 1 else inputs[next(iter(inputs))]
    targets = taken if case.network.get("output") == "linear" else targets
    return Sample(taken, targets, generator.uniform(0.5, 1.5, case.events).astype(np.float32))


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of wall time and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


_KINDS = {1: "numbers", 2: "objects", 3: "image"}


def measure(case: Case, epochs: int, seeds: int) -> None:
    """Print the ratios of a case, and the losses after training."""
    import tensorflow as tf

    from ntupleml.models import GroupShape, Network, build_model
    from ntupleml.training.batches import shuffled
    from ntupleml.training.compiled_epoch import Block, EpochRunner

    network = Network(**{"activation": "relu", **case.network})
    shapes = {name: GroupShape(_KINDS[len(shape)], shape) for name, shape in case.inputs.items()}
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    compiling: list[float] = []
    losses: dict[str, list[float]] = {"compiled": [], "fit": []}
    test = make_sample(case, 1)
    how = ""
    for seed in range(seeds):
        sample = make_sample(case, 2 + seed)
        compiled, plain = (build_model(network, shapes, case.num_outputs, seed) for _ in range(2))
        metrics = ["categorical_accuracy"] if network.output == "softmax" else []
        plain.compile(plain.optimizer, plain.loss, weighted_metrics=metrics)  # all as Keras has it
        runner = EpochRunner(compiled, case.batch_size)
        how = runner.compiled
        tensors = tf.nest.map_structure(tf.constant, sample.inputs), tf.constant(sample.targets)
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
            found = model.evaluate(test.inputs, test.targets, batch_size=1000, verbose=0, return_dict=True)
            losses[name].append(found["loss"])
    our_wall, our_cpu = np.median(ours, axis=0)
    fit_wall, fit_cpu = np.median(theirs, axis=0)
    print(
        f"training {case.name}, {case.events} events, batches of {case.batch_size}, {how}: "
        f"{our_wall / fit_wall:.3f} of the wall time of Model.fit (1/{fit_wall / our_wall:.1f}), "
        f"{our_cpu / fit_cpu:.3f} of its CPU time (target {case.target:.2f}); {our_wall * 1e3:.1f} and "
        f"{fit_wall * 1e3:.1f} ms per epoch; first epoch with compiling {np.median(compiling):.2f} s; test loss after "
        f"{epochs + 1} epochs "
        + ", ".join(f"{key} {np.mean(values):.4f} ± {np.std(values):.4f}" for key, values in losses.items()),
        flush=True,
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=7, help="timed epochs of each seed")
    parser.add_argument("--cases", default="", help="only those whose name holds this")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each kind")
    arguments = parser.parse_args()
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    for case in CASES:
        if arguments.cases not in case.name:
            continue
        measure(case, arguments.epochs, arguments.seeds)


if __name__ == "__main__":
    main()
