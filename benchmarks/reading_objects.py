#!/usr/bin/env python3
"""Cost of padded arrays of objects and of their features, from the file on, against uproot's bare reading."""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import uproot
from support.measuring import run_in_folder

from ntupleml.config import CollectionsConfig
from ntupleml.events.groups import InputGroup, Objects, groups_of
from ntupleml.events.reading import read_events
from ntupleml.ntuples import open_ntuple
from ntupleml.preprocessing import fit_scaler
from ntupleml.preprocessing.groups import network_inputs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BRANCHES = tuple(f"Jet_{name}" for name in ("pt", "eta", "phi", "btag"))
MEAN, SLOTS = 6, 12
TREE = "Events"
#: Four-vectors: as many objects per event as slots.
FULL = "Full"
VECTORS = tuple(f"Jet_{name}" for name in ("pt", "eta", "phi", "energy"))
FEATURES = ("px", "py", "pz", "energy", "pt", "eta", "phi", "mass")
#: What the arrays may cost at most, relative to the faster of uproot's two ways, processor time.
LIMIT = 1.3
#: What features may cost at most.
FEATURE_LIMIT = 2.0
_CHUNK = 100_000


def write_objects(path: Path, events: int) -> None:
    """Write a tree of events with a Poisson number of objects, and one with four-vectors in all slots."""
    random = np.random.default_rng(1)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        for tree, names in ((TREE, BRANCHES), (FULL, VECTORS)):
            file.mktree(tree, dict.fromkeys(names, "var * float32"))
            for start in range(0, events, _CHUNK):
                number = min(_CHUNK, events - start)
                counts = random.poisson(MEAN, number) if tree == TREE else np.full(number, SLOTS)
                values = {name: random.exponential(50, counts.sum()).astype(np.float32) for name in names}
                if tree == FULL:
                    values["Jet_eta"] = random.normal(0, 1.5, counts.sum()).astype(np.float32)
                    values["Jet_phi"] = random.uniform(-np.pi, np.pi, counts.sum()).astype(np.float32)
                    values["Jet_energy"] = np.hypot(values["Jet_pt"] * np.cosh(values["Jet_eta"]), np.float32(5))
                file[tree].extend({name: ak.unflatten(one, counts) for name, one in values.items()})


def iterated(path: Path, tree: str = TREE, names: tuple[str, ...] = BRANCHES) -> None:
    """Bare uproot, chunk by chunk."""
    with uproot.open(path) as file:
        for _ in file[tree].iterate(names, step_size=_CHUNK, library="ak"):
            pass


def at_once(path: Path, tree: str = TREE, names: tuple[str, ...] = BRANCHES) -> None:
    """Bare uproot, all events at once."""
    with uproot.open(path) as file:
        file[tree].arrays(names, library="ak")


def features(path: Path, names: tuple[str, ...]) -> None:
    """Padded features of four-vectors, chunk by chunk, as a network takes them."""
    jet = {name.removeprefix("Jet_"): name for name in VECTORS}
    config = CollectionsConfig.model_validate({"collections": {"jet": jet}, "features": [*names], "length": SLOTS})
    scaler = fit_scaler("identity", np.ones((1, len(names))))
    with open_ntuple(path, FULL) as ntuple:
        for chunk in read_events(ntuple, groups_of({"jets": config}), finite=VECTORS):
            network_inputs(chunk.inputs.batch(), {"jets": scaler}, makers={"jets": config.maker})


def padded(path: Path, objects: Objects) -> None:
    """Padded arrays, chunk by chunk."""
    group = InputGroup("jets", BRANCHES, objects=objects)
    with open_ntuple(path, TREE) as ntuple:
        for chunk in read_events(ntuple, [group], finite=BRANCHES):
            chunk.inputs.batch()


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the tables; 1 if a limit is exceeded."""
    path = folder / "objects.root"
    write_objects(path, events)
    ways: dict[str, Callable[[], None]] = {
        "uproot, chunks": partial(iterated, path),
        "uproot, at once": partial(at_once, path),
        "padded": partial(padded, path, Objects(SLOTS)),
        "padded, sorted": partial(padded, path, Objects(SLOTS, sort="Jet_pt")),
        "padded, sorted, selected": partial(padded, path, Objects(SLOTS, sort="Jet_pt", selection="Jet_pt > 25")),
    }
    of_vectors: dict[str, Callable[[], None]] = {
        "uproot, chunks": partial(iterated, path, FULL, VECTORS),
        "uproot, at once": partial(at_once, path, FULL, VECTORS),
        **{f"{number} features": partial(features, path, FEATURES[:number]) for number in (4, 8)},
    }
    title = f"{events:,} events, {MEAN} objects of {len(BRANCHES)} columns, {SLOTS} slots"
    ratio = compared(title, ways, repetitions)["padded"]
    print(f"padded / uproot: {ratio:.2f} (limit {LIMIT})")
    title = f"{events:,} events, {SLOTS} four-vectors"
    of_features = compared(title, of_vectors, repetitions)["8 features"]
    print(f"features / uproot: {of_features:.2f} (limit {FEATURE_LIMIT})")
    return int(ratio > LIMIT or of_features > FEATURE_LIMIT)


def compared(title: str, ways: dict[str, Callable[[], None]], repetitions: int) -> dict[str, float]:
    """Print a table; processor time relative to the faster of uproot's ways."""
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repetition in range(repetitions + 1):
        for name, way in ways.items():
            cpu, wall = time.process_time(), time.perf_counter()
            way()
            if repetition:  # the first loads the compiled loops
                costs[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    medians = {name: [statistics.median(some) for some in zip(*found, strict=True)] for name, found in costs.items()}
    print(f"{title}, medians of {repetitions}")
    bare = min(medians["uproot, chunks"][0], medians["uproot, at once"][0])
    for name, (cpu, wall) in medians.items():
        print(f"{name:26}{cpu:8.2f} s CPU{wall:8.2f} s{cpu / bare:8.2f}")
    return {name: cpu / bare for name, (cpu, _) in medians.items()}


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=5)
