#!/usr/bin/env python3
"""Events per second of processor time that a network in lwtnn's JSON scores, from columns to scores.

The peers are bare ONNX Runtime on the same graph, in the same batches, and liblwtnn, which no package registry has: it
is represented by what a compiled loop over its LightweightNeuralNetwork reached on the machine where these limits were
set.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime

from ntupleml.application import make_plan
from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx
from ntupleml.scoring import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Case(NamedTuple):
    """Widths of a network, and the events per second of liblwtnn with it."""

    widths: tuple[int, ...]
    liblwtnn: float

    def __str__(self) -> str:
        return "-".join(map(str, self.widths))


CASES = (Case((2, 100, 100, 3), 700_000), Case((30, 200, 200, 200, 5), 80_000))
#: At least so much of bare ONNX Runtime's speed, and so many times that of liblwtnn.
ONNX_LIMIT, LIBLWTNN_LIMIT = 0.8, 5.0
EVENTS = 200_000


def network(widths: tuple[int, ...]) -> dict[str, Any]:
    """A network with random weights in the sequential form."""
    random = np.random.default_rng(1)
    layers = [
        {
            "architecture": "dense",
            "activation": "tanh",
            "weights": (random.standard_normal(number_in * number_out) / np.sqrt(number_in)).tolist(),
            "bias": random.standard_normal(number_out).tolist(),
        }
        for number_in, number_out in pairwise(widths)
    ]
    layers[-1]["activation"] = "softmax"
    return {
        "inputs": [{"name": f"x{index}", "offset": 0.1, "scale": 1.1} for index in range(widths[0])],
        "layers": layers,
        "outputs": [f"class_{index}" for index in range(widths[-1])],
    }


def bare(path: Path, matrix: NDArray[np.float32]) -> Callable[[], object]:
    """ONNX Runtime on a matrix that is there already."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(lwtnn_to_onnx(path).SerializeToString(), options)

    def run() -> None:
        for start in range(0, len(matrix), BATCH_SIZE):
            session.run(["scores"], {"variables": matrix[start : start + BATCH_SIZE]})

    return run


def ours(folder: Path, path: Path, columns: dict[str, NDArray[np.float32]]) -> Callable[[], object]:
    """What the application does with the columns of an ntuple."""
    config = folder / "application.yaml"
    config.write_text(f"classifiers: [{path}]\n")
    scorer = make_plan(None, None, config, kind="lwtnn").scorer
    events = np.arange(EVENTS)
    return lambda: scorer.score(columns, events)


def rates(engines: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Events per second of processor time, medians; the engines run in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for repetition in range(repetitions + 1):
        for name, engine in engines.items():
            start = time.process_time()
            engine()
            if repetition:  # the first one warms up
                seconds[name].append(time.process_time() - start)
    return {name: EVENTS / statistics.median(values) for name, values in seconds.items()}


def main() -> int:
    """Measure both networks, and fail if a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    repetitions = parser.parse_args().repetitions
    kept = True
    print(f"{'network':20}{'lwtnn JSON':>14}{'bare ONNX':>14}{'ratio':>8}{'liblwtnn':>12}{'ratio':>8}")
    for case in CASES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            path = folder / "network.json"
            path.write_text(json.dumps(network(case.widths)))
            matrix = np.random.default_rng(2).standard_normal((EVENTS, case.widths[0]), dtype=np.float32)
            columns = {f"x{index}": np.ascontiguousarray(values) for index, values in enumerate(matrix.T)}
            found = rates({"ours": ours(folder, path, columns), "bare": bare(path, matrix)}, repetitions)
        to_bare, to_liblwtnn = found["ours"] / found["bare"], found["ours"] / case.liblwtnn
        kept &= to_bare >= ONNX_LIMIT and to_liblwtnn >= LIBLWTNN_LIMIT
        print(
            f"{case!s:20}{found['ours']:14,.0f}{found['bare']:14,.0f}{to_bare:8.2f}{case.liblwtnn:12,.0f}"
            f"{to_liblwtnn:8.1f}"
        )
    print(f"limits: {ONNX_LIMIT} of bare ONNX Runtime, {LIBLWTNN_LIMIT:.0f} times liblwtnn")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
