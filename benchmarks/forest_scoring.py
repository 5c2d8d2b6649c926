#!/usr/bin/env python3
"""Events per second of processor time that a forest scores: our kernel, ONNX Runtime, XGBoost and TMVA's Reader.

The same forest of XGBoost in the first three, one thread each, in turns. ROOT's wheel has no TMVA: its Reader is
represented by what a loop compiled with -O3 reached on the machine where these limits were set, for forests of depth 3.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnxruntime
from support.forests import CLASSES, Shape, random_events, train

from ntupleml.forests.kernel import evaluate, prepare
from ntupleml.forests.xgboost import forest_of_xgboost
from ntupleml.onnx_models.forest import forest_to_onnx

if TYPE_CHECKING:
    from collections.abc import Callable

    import xgboost
    from numpy.typing import NDArray

    Engine = Callable[[NDArray[np.float32]], NDArray[np.floating]]

#: Events per call of ONNX Runtime, as in the application.
BATCH = 2_000


class Case(NamedTuple):
    """A forest, the events per second of TMVA's Reader with such a one, and the ratio to it that is asked for."""

    shape: Shape
    reader: float | None = None
    limit: float | None = None


CASES = (
    Case(Shape(4500, 2, 3), 2_950, 100),
    Case(Shape(4500, 28, 3), 2_950, 100),
    Case(Shape(150, 2, 3), 145_000, 60),
    Case(Shape(150, 28, 3), 145_000, 60),
    Case(Shape(600, 28, 6)),
    Case(Shape(600, 28, 8)),
    Case(Shape(600, 28, 0, leaves=31)),
)
#: Events per call of all engines, about what the application reads at once.
CHUNK = 50_000
#: Trees times events of one measurement; about a tenth of a second for each engine.
WORK = {"kernel": 300_000_000, "ONNX Runtime": 6_000_000, "XGBoost": 20_000_000}


def engines(booster: xgboost.Booster, inputs: int) -> dict[str, Engine]:
    """The three ways to the same scores."""
    forest = forest_of_xgboost(bytes(booster.save_raw("json")))
    names = [f"variable_{index}" for index in range(inputs)]
    classes = [f"class_{index}" for index in range(CLASSES)]
    model = forest_to_onnx(forest, names, classes, kind="xgboost", classes=classes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    prepared = prepare(forest)

    def onnx(matrix: NDArray[np.float32]) -> NDArray[np.floating]:
        parts = [matrix[start : start + BATCH] for start in range(0, len(matrix), BATCH)]
        return np.concatenate([session.run(["scores"], {"variables": part})[0] for part in parts])

    return {
        "kernel": lambda matrix: evaluate(prepared, matrix),
        "ONNX Runtime": onnx,
        "XGBoost": booster.inplace_predict,
    }


def speeds(case: Case, repetitions: int) -> dict[str, float]:
    """Median events per second of processor time of each engine."""
    booster = train(case.shape)
    found: dict[str, list[float]] = {name: [] for name in WORK}
    scoring = engines(booster, case.shape.inputs)
    few = random_events(1_000, case.shape.inputs)
    answers = [engine(few) for engine in scoring.values()]  # compiles, too
    largest = max(float(np.abs(answer - answers[0]).max()) for answer in answers)
    print(f"{case.shape}: largest difference between the engines {largest:.1g}")
    for _ in range(repetitions):
        for name, engine in scoring.items():
            events = WORK[name] // case.shape.trees
            matrix = random_events(min(events, CHUNK), case.shape.inputs)
            calls = -(-events // len(matrix))
            start = time.process_time()
            for _ in range(calls):
                engine(matrix)
            found[name].append(calls * len(matrix) / (time.process_time() - start))
    return {name: statistics.median(values) for name, values in found.items()}


def main(repetitions: int) -> int:
    """Print the table; 1 if a limit is missed."""
    failed = 0
    for case in CASES:
        found = speeds(case, repetitions)
        for name, speed in found.items():
            ratio = "" if name == "kernel" else f"; kernel / {name}: {found['kernel'] / speed:.1f}"
            print(f"    {name:14}{speed:14,.0f} events/s{ratio}")
        if case.reader and case.limit:
            to_reader = found["kernel"] / case.reader
            print(f"    kernel / TMVA's Reader ({case.reader:,.0f} events/s): {to_reader:.0f} (limit {case.limit:.0f})")
            failed += to_reader < case.limit
    return int(failed > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    sys.exit(main(parser.parse_args().repetitions))
