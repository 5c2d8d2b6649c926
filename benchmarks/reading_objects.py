#!/usr/bin/env python3
"""Cost of making padded arrays of objects, from the file on, against uproot's bare reading of the same branches."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot

from ntupleml.events.groups import InputGroup, Objects
from ntupleml.events.reading import read_events
from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from collections.abc import Callable

BRANCHES = tuple(f"Jet_{name}" for name in ("pt", "eta", "phi", "btag"))
MEAN, SLOTS = 6, 12
TREE = "Events"
#: What the arrays may cost at most, relative to the faster of uproot's two ways, processor time.
LIMIT = 1.3
_CHUNK = 100_000


def write_objects(path: Path, events: int) -> None:
    """Write a tree of events with a Poisson number of objects."""
    random = np.random.default_rng(1)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree(TREE, dict.fromkeys(BRANCHES, "var * float32"))
        for start in range(0, events, _CHUNK):
            counts = random.poisson(MEAN, min(_CHUNK, events - start))
            values = [random.exponential(50, counts.sum()).astype(np.float32) for _ in BRANCHES]
            file[TREE].extend({name: ak.unflatten(one, counts) for name, one in zip(BRANCHES, values, strict=True)})


def iterated(path: Path) -> None:
    """Bare uproot, chunk by chunk."""
    with uproot.open(path) as file:
        for _ in file[TREE].iterate(BRANCHES, step_size=_CHUNK, library="ak"):
            pass


def at_once(path: Path) -> None:
    """Bare uproot, all events at once."""
    with uproot.open(path) as file:
        file[TREE].arrays(BRANCHES, library="ak")


def padded(path: Path, objects: Objects) -> None:
    """Padded arrays, chunk by chunk."""
    group = InputGroup("jets", BRANCHES, objects=objects)
    with open_ntuple(path, TREE) as ntuple:
        for chunk in read_events(ntuple, [group], finite=BRANCHES):
            chunk.inputs.batch()


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    path = folder / "objects.root"
    write_objects(path, events)
    ways: dict[str, Callable[[], None]] = {
        "uproot, chunks": partial(iterated, path),
        "uproot, at once": partial(at_once, path),
        "padded": partial(padded, path, Objects(SLOTS)),
        "padded, sorted": partial(padded, path, Objects(SLOTS, sort="Jet_pt")),
        "padded, sorted, selected": partial(padded, path, Objects(SLOTS, sort="Jet_pt", selection="Jet_pt > 25")),
    }
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            if repetition:  # the first loads the compiled loops
                costs[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    medians = {name: [statistics.median(some) for some in zip(*found, strict=True)] for name, found in costs.items()}
    print(f"{events:,} events, {MEAN} objects of {len(BRANCHES)} features, {SLOTS} slots, medians of {repetitions}")
    bare = min(medians["uproot, chunks"][0], medians["uproot, at once"][0])
    for name, (cpu, wall) in medians.items():
        print(f"{name:26}{cpu:8.2f} s CPU{wall:8.2f} s{cpu / bare:8.2f}")
    ratio = medians["padded"][0] / bare
    print(f"padded / uproot: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the files of the benchmark lie while it runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        sys.exit(main(arguments.events, arguments.repetitions, Path(temporary)))
