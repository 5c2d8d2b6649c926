#!/usr/bin/env python3
"""Processor time that an ensemble of five takes to score events, in units of five single models, one after the other.

One thread, in turns, in the batches of the application: networks as one ONNX file against five, and forests of XGBoost
by the kernel, as the scorer takes them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from support.forests import Shape, random_events, train

from ntupleml.forests.xgboost import forest_of_xgboost
from ntupleml.onnx_models.contract import OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.ensemble import ensemble_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.scoring.evaluators import Evaluator, mean_evaluator, open_session, session_evaluator
from ntupleml.scoring.forest_engine import forest_evaluator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx
    from numpy.typing import NDArray

MEMBERS, EVENTS = 5, 200_000
#: Widths of the networks.
WIDTHS = ((2, 20, 20, 3), (30, 200, 200, 200, 5))
#: So many times that of five single models at most; forests are scored one after the other, and the mean is beside it.
LIMIT, LIMIT_OF_FORESTS = 1.0, 1.1


def dense(widths: Sequence[int], seed: int) -> onnx.ModelProto:
    """A network with random weights behind a scaler that all members share, as those of one training are."""
    random, graph = np.random.default_rng(seed), GraphBuilder()
    value = graph.add("Sub", "variables", graph.constant(np.linspace(0.1, 0.2, widths[0]), np.float32))
    value = graph.add("Mul", value, graph.constant(np.linspace(1.1, 1.2, widths[0]), np.float32))
    for index, (number_in, number_out) in enumerate(pairwise(widths)):
        weights = random.standard_normal((number_in, number_out)) / np.sqrt(number_in)
        value = graph.add("MatMul", value, graph.constant(weights, np.float32))
        value = graph.add("Add", value, graph.constant(random.standard_normal(number_out), np.float32))
        value = graph.add("Relu", value) if index < len(widths) - 2 else graph.add("Softmax", value, axis=1)
    graph.add("Identity", value, output=OUTPUT)
    inputs = {"variables": GraphInput([f"x{index}" for index in range(widths[0])])}
    classes = [f"class_{index}" for index in range(widths[-1])]
    return contract_model(graph, inputs, {OUTPUT: classes}, classes=classes, kind="keras")


def networks(widths: Sequence[int]) -> tuple[Evaluator, list[Evaluator]]:
    """An ensemble, and its members alone."""
    graphs = [dense(widths, seed) for seed in range(MEMBERS)]
    ensemble = ensemble_model(graphs, {"record_hash": ""})
    whole, *single = (
        session_evaluator(open_session(one.SerializeToString(), "benchmark", 1)) for one in (ensemble, *graphs)
    )
    return whole, single


def forests(shape: Shape) -> tuple[Evaluator, list[Evaluator]]:
    """The same of boosted trees."""
    forest = forest_of_xgboost(bytes(train(shape).save_raw("json")))
    single = [forest_evaluator(forest, 1) for _ in range(MEMBERS)]
    return mean_evaluator(single), single


def seconds(evaluators: Sequence[Evaluator], matrix: NDArray[np.float32]) -> float:
    """Processor time for all events."""
    start = time.process_time()
    for evaluator in evaluators:
        for first in range(0, len(matrix), evaluator.batch_size):
            evaluator.evaluate({"variables": matrix[first : first + evaluator.batch_size]})
    return time.process_time() - start


def main() -> int:
    """Print the ratios; 1 where one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    arguments = parser.parse_args()
    failed = False
    cases = {f"network {'-'.join(map(str, widths))}": (widths[0], networks(widths)) for widths in WIDTHS}
    cases["forest, 150 trees of depth 3"] = (28, forests(Shape(150, 28, 3)))
    for name, (inputs, (whole, single)) in cases.items():
        matrix = random_events(arguments.events, inputs)
        for warm in ([whole], single):
            seconds(warm, matrix[:10_000])
        turns = [(seconds([whole], matrix), seconds(single, matrix)) for _ in range(5)]
        ratio = statistics.median(one / five for one, five in turns)
        limit = LIMIT_OF_FORESTS if name.startswith("forest") else LIMIT
        verdict = "ok" if ratio <= limit else "TOO SLOW"
        failed |= ratio > limit
        print(f"{name}: an ensemble of {MEMBERS} takes {ratio:.2f} of {MEMBERS} models (limit {limit:g}): {verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
