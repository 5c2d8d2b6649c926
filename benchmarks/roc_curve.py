#!/usr/bin/env python3
"""Time of a ROC curve with uncertainty bands and the area's uncertainty, as ratio to scikit-learn's curve alone.

One million events with float32 scores, in turns in one process: weights of 1, and random weights.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn import metrics

from ntupleml.metrics import RocCurve, roc_curve

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

LIMIT = 3.0


class Seconds(NamedTuple):
    """Processor time and wall time of one call."""

    cpu: float
    wall: float


def seconds(function: Callable[[], object]) -> Seconds:
    """Cost of one call."""
    cpu, wall = time.process_time(), time.perf_counter()
    function()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def ours(scores: NDArray[np.float32], is_signal: NDArray[np.bool_], weights: NDArray[np.float64] | None) -> RocCurve:
    """The curve with both of its bands, which are computed when they are asked for."""
    curve = roc_curve(scores, is_signal, weights)
    if not isinstance(curve, RocCurve) or len(curve.signal_uncertainty) != len(curve.background_uncertainty):
        sys.exit(f"no curve: {curve}")
    return curve


def compare(name: str, repetitions: int, weights: NDArray[np.float64] | None, events: int) -> bool:
    """Print one comparison; whether it is within the limit."""
    random = np.random.default_rng(1)
    is_signal = random.random(events) < 0.4
    scores = (1 / (1 + np.exp(-random.normal(size=events) - is_signal))).astype(np.float32)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(scores, is_signal, weights),
        "scikit-learn": lambda: metrics.roc_curve(is_signal, scores, sample_weight=weights),
    }
    costs: dict[str, list[Seconds]] = {key: [] for key in functions}
    for _ in range(repetitions):
        for key, function in functions.items():
            costs[key].append(seconds(function))
    medians = {key: Seconds(*map(statistics.median, zip(*runs, strict=True))) for key, runs in costs.items()}
    ratio = Seconds(*(mine / other for mine, other in zip(medians["ours"], medians["scikit-learn"], strict=True)))
    area = ours(scores, is_signal, weights).auc.value
    difference = abs(area - metrics.roc_auc_score(is_signal, scores, sample_weight=weights))
    print(f"{name}: {events:,} events, difference of the areas {difference:.1g}")
    for key, cost in medians.items():
        print(f"    {key:14}{cost.cpu:8.3f} s CPU{cost.wall:8.3f} s wall")
    print(f"    ratio         {ratio.cpu:8.2f}  CPU{ratio.wall:8.2f}  wall (limit {LIMIT:g})")
    return ratio.cpu <= LIMIT


def main(repetitions: int, events: int) -> int:
    """Print both comparisons; 1 if the limit is missed."""
    weights = np.random.default_rng(2).exponential(size=events)
    # Both are measured, whatever the first one says.
    passed = [compare("weights of 1", repetitions, None, events), compare("weighted", repetitions, weights, events)]
    return int(not all(passed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    sys.exit(main(options.repetitions, options.events))
