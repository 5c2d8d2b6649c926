#!/usr/bin/env python3
"""Events per second of processor time whose Taylor coefficients are computed, against a loop over the events.

The loop does what htt-ml's did: for each event one `predict` of Keras, and one run each of graphs, made beforehand, of
gradient and Hessian. Without the `predict` it is the second peer.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from ntupleml.imports import import_tensorflow
from ntupleml.metrics.taylor import derivative_sums
from ntupleml.models import build_model, matrix
from ntupleml.models.networks import Network
from ntupleml.testing.gradients import score_derivatives

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NUM_CLASSES = 3
NETWORK = Network((100, 100, 100), "tanh")
#: Second order against the whole loop.
LIMIT = 1000
#: Events by order, and those of the loop.
EVENTS, LOOP = {1: 100_000, 2: 20_000, 3: 1000}, 50


class Events(NamedTuple):
    """What is differentiated: inputs, and the class of each event."""

    inputs: NDArray[np.float32]
    classes: NDArray[np.int64]


def draw(number: int, num_inputs: int) -> Events:
    """Independent Gaussian inputs."""
    random = np.random.default_rng(1)
    return Events(random.standard_normal((number, num_inputs), dtype=np.float32), random.integers(0, 3, number))


def ours(model: Any, events: Events, order: int) -> Callable[[], object]:
    """Derivatives in batches, summed up."""

    def run() -> None:
        for batch in score_derivatives(model, events.inputs, events.classes, order):
            derivative_sums(batch.derivatives, np.ones(len(batch.derivatives)))

    return run


def loop(model: Any, events: Events, *, predict: bool) -> Callable[[], object]:
    """One event after the other."""
    import tensorflow as tf

    def gradient(row: Any, index: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(row)
            score = model(row, training=False)[:, index]
        return tape.gradient(score, row)

    def hessian(row: Any, index: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(row)
            slopes = gradient(row, index)
        return tape.batch_jacobian(slopes, row)

    graphs = [tf.function(function, reduce_retracing=True) for function in (gradient, hessian)]

    def run() -> None:
        for row, index in zip(events.inputs, events.classes, strict=True):
            if predict:
                model.predict(row[None], verbose=0)
            for graph in graphs:
                graph(tf.constant(row[None]), tf.constant(index)).numpy()

    return run


def rate(run: Callable[[], object], number: int, repetitions: int) -> float:
    """Events per second of processor time, the best of several runs after one that warms up."""
    run()
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return number / min(seconds)


def main() -> int:
    """Measure networks of 10 and 30 inputs, and fail if the limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    repetitions = parser.parse_args().repetitions
    import_tensorflow()
    kept = True
    print(f"{'network':22}{'order':>6}{'events/s':>12}{'loop':>8}{'ratio':>8}{'no predict':>12}{'ratio':>8}")
    for num_inputs in (10, 30):
        model = build_model(NETWORK, matrix(num_inputs), NUM_CLASSES, seed=1)
        few = draw(LOOP, num_inputs)
        peers = [rate(loop(model, few, predict=predict), LOOP, 1) for predict in (True, False)]
        for order, number in EVENTS.items():
            found = rate(ours(model, draw(number, num_inputs), order), number, repetitions)
            if order == 2:
                kept &= found / peers[0] >= LIMIT
            ratios = [f"{found / peer:8.0f}" if order == 2 else f"{'':8}" for peer in peers]
            name = f"{num_inputs}-100-100-100-{NUM_CLASSES}"
            print(f"{name:22}{order:6}{found:12,.0f}{peers[0]:8.1f}{ratios[0]}{peers[1]:12.1f}{ratios[1]}")
    print(f"limit: order 2 at {LIMIT:,} times the loop, which computes order 2, too")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
