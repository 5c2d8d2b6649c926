#!/usr/bin/env python3
"""Events per second of processor time of TMVA_application.py with a BDT, against the Reader and the bare kernel."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import uproot
from support.measuring import median_costs, run_in_folder

from ntupleml.forests import LEAF, Forest
from ntupleml.forests.kernel import evaluate
from ntupleml.tmva.writing import write_weights

SCRIPT = Path(__file__).resolve().parents[1] / "application" / "TMVA_application.py"
#: Events per second of `TMVA::Reader` in a compiled loop (TMVA 4.2.1, -O3) with 4500 trees of depth 3: the larger of
#: the figures that were measured on the machine of the other figures here.
READER = 3_200
#: What the application has to reach at least, relative to that.
LIMIT = 100
TREES, DEPTH, CLASSES = 4500, 3, ["A", "B", "C"]


def main(events: int, variables: int, repetitions: int, folder: Path) -> int:
    """Print the figures; 1 if the application is slower than it has to be."""
    names = [f"variable_{index}" for index in range(variables)]
    forest = random_forest(TREES, variables)
    weights = folder / "random.weights.xml"
    write_weights(
        weights, forest, method_name="BDT", classes=CLASSES, variables=names,
        minima=[-5.0] * variables, maxima=[5.0] * variables,
    )  # fmt: skip
    matrix = np.random.default_rng(2).standard_normal((events, variables), dtype="f4")
    ntuple = folder / "data" / "data.root"
    write_ntuple(ntuple, names, matrix)
    command = [
        sys.executable, SCRIPT, "--weights", weights, "--variables-from-xml", "--friend", "--overwrite",
        "--output-directory", folder / "friends", ntuple, "ntuple",
    ]  # fmt: skip
    cost = median_costs({"friend": command}, repetitions)["friend"]
    application, kernel = events / cost.cpu, kernel_rate(forest, matrix)
    print(f"{TREES} trees of depth {DEPTH}, {variables} variables, {events:,} events, median of {repetitions}")
    print(f"TMVA_application.py, file to friend  {application:12,.0f} events per second of CPU ({cost.memory:.0f} MB)")
    print(f"bare kernel                          {kernel:12,.0f}")
    print(f"TMVA::Reader, compiled loop          {READER:12,.0f}")
    ratio = application / READER
    print(f"application / Reader: {ratio:.0f} (limit {LIMIT}); bare kernel / application: {kernel / application:.2f}")
    return int(ratio < LIMIT)


def random_forest(trees: int, variables: int) -> Forest:
    """Complete trees with random cuts and leaves, one class after the other."""
    random = np.random.default_rng(1)
    inner, nodes = 2**DEPTH - 1, 2 ** (DEPTH + 1) - 1
    is_leaf = np.arange(nodes) >= inner
    first = np.arange(trees)[:, None] * nodes
    position = np.arange(nodes)
    shape = (trees, nodes)
    features = np.where(is_leaf, LEAF, random.integers(0, variables, shape))
    left = np.where(is_leaf, -1, first + 2 * position + 1)
    return Forest(
        num_inputs=variables,
        num_outputs=len(CLASSES),
        roots=first[:, 0].astype(np.int64),
        tree_outputs=np.arange(trees, dtype=np.int64) % len(CLASSES),
        features=features.ravel().astype(np.int32),
        cuts=np.where(is_leaf, 0, random.normal(size=shape)).ravel().astype(np.float32),
        left=left.ravel().astype(np.int32),
        right=np.where(is_leaf, -1, left + 1).ravel().astype(np.int32),
        values=np.where(is_leaf, random.normal(scale=0.05, size=shape), 0).astype(np.float32).astype(float).ravel(),
        link="softmax",
    )


def write_ntuple(path: Path, names: list[str], matrix: np.ndarray) -> None:
    """Write the variables as branches of float32."""
    path.parent.mkdir(parents=True)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        tree = file.mktree("ntuple", dict.fromkeys(names, np.dtype("f4")))
        for start in range(0, len(matrix), 100_000):
            tree.extend(dict(zip(names, matrix[start : start + 100_000].T, strict=True)))


def kernel_rate(forest: Forest, matrix: np.ndarray) -> float:
    """Events per second of processor time of the kernel alone, compiled already."""
    evaluate(forest, matrix[:10_000])
    start = time.process_time()
    evaluate(forest, matrix)
    return len(matrix) / (time.process_time() - start)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=3_000_000, variables=2, repetitions=3)
