#!/usr/bin/env python3
"""Cost of joining an HDF5 table to an ntuple by run and event, against a bare script with `pandas.merge`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from support.measuring import median_costs, run_in_folder, table

from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples.table_files import new_table_file

PROJECT = Path(__file__).resolve().parents[1]
TREE = "events"
RUNS = 40
#: Most seconds of processor time and megabytes for 10,000,000 rows, and cost relative to the peer.
CPU_LIMIT, MEMORY_LIMIT, RATIO_LIMIT = 20.0, 2000.0, 1.0
_CHUNK = 100_000


def write_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write the same keys in two random orders; the columns of the second are formulas of the key."""
    random = np.random.default_rng(1)
    types = {"run": np.dtype("i4"), "event": np.dtype("u8")}
    left, right = folder / "left.root", folder / "right.h5"
    with new_tree_file(left) as file:
        tree = file.tree(TREE, {**types, "x": np.dtype("f4")})
        for numbers in np.array_split(random.permutation(rows), rows // _CHUNK + 1):
            tree.extend({**_keys(numbers), "x": np.zeros(len(numbers), np.float32)})
    columns = {**types, "mu": np.dtype("f4"), "score": np.dtype("f8")}
    with new_table_file(right, TREE, columns, rows) as written:
        for numbers in np.array_split(random.permutation(rows), rows // _CHUNK + 1):
            written.extend({**_keys(numbers), "mu": (numbers % 60).astype("f4"), "score": np.sqrt(numbers)})
        written.finish("")
    return left, right


def _keys(numbers: np.ndarray) -> dict[str, np.ndarray]:
    return {"run": (475_000 + numbers % RUNS).astype("i4"), "event": numbers.astype("u8") * 1_000 + 2**53}


def check(path: Path, rows: int) -> None:
    """Stop if a row has the columns of another."""
    with open_ntuple(path, TREE) as ntuple:
        assert ntuple.num_entries == rows
        for chunk in ntuple.chunks(["event", "mu", "score"]):
            numbers = ((chunk.columns["event"] - np.uint64(2**53)) // 1_000).astype("i8")
            assert np.array_equal(chunk.columns["mu"], numbers % 60)
            assert np.array_equal(chunk.columns["score"], np.sqrt(numbers))


def main(rows: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if a limit is exceeded."""
    left, right = write_tables(folder, rows)
    outputs = {"bare script": folder / "bare.root", "join.py": folder / "joined.root"}
    own = [PROJECT / "dataset" / "join.py", left, right, "-k", "run", "-k", "event", "-o", outputs["join.py"]]
    bare = [PROJECT / "benchmarks" / "support" / "bare_join.py", left, right, outputs["bare script"]]
    commands: dict[str, list[object]] = {
        "bare script": [sys.executable, *bare],
        "join.py": [sys.executable, *own, "--overwrite"],
    }
    costs = median_costs(commands, repetitions, after=lambda name: check(outputs[name], rows))
    print(f"{rows:,} rows of both tables, medians of {repetitions}")
    print(table(costs, "bare script"))
    cost, ratio = costs["join.py"], costs["join.py"].cpu / costs["bare script"].cpu
    print(f"join.py / bare script: {ratio:.2f} (limits {RATIO_LIMIT}, {CPU_LIMIT} s, {MEMORY_LIMIT} MB)")
    return int(cost.cpu > CPU_LIMIT or cost.memory > MEMORY_LIMIT or ratio > RATIO_LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, rows=10_000_000, repetitions=3)
