#!/usr/bin/env python3
"""Cost of anomaly scores of raw trigger objects, against bare ONNX Runtime on the network alone, preprocessed already.

The network is an autoencoder (100-100-64-32-4, mirrored). Its graph has the steps of preprocessing inside, and the
masked error behind.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from support.measuring import run_in_folder
from support.trained_models import trained_models

from ntupleml import load_model
from ntupleml.artifacts import read_keras_file
from ntupleml.onnx_models.contract import GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.keras_network import network_nodes
from ntupleml.onnx_models.sessions import new_session
from ntupleml.scoring import BATCH_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SLOTS = {"jets": 6, "electrons": 3, "muons": 3, "photons": 3, "met": 1}
THRESHOLDS = {"thresholds": {"jets": 50.0, "electrons": 30.0, "muons": 30.0, "photons": 30.0}}
SCALE = {"scale_pt": {"type": "global_division", "factor": 0.05}}
#: Steps by what they are called in the table.
CASES: dict[str, list[Any]] = {
    "Δφ, MET, thresholds, scale": ["delta_phi", "met", THRESHOLDS, SCALE],
    "the same with overlap removal": ["delta_phi", "overlap_removal", "met", THRESHOLDS, SCALE],
    "… and duplicate removal": ["delta_phi", "overlap_removal", "duplicate_removal", "met", THRESHOLDS, SCALE],
}
#: What scoring may cost at most, relative to bare ONNX Runtime, processor time.
LIMIT = 1.6
HIDDEN = (100, 100, 64, 32, 4, 32, 64, 100, 100)


class Cost(NamedTuple):
    """Seconds of processor time, and seconds."""

    cpu: float
    wall: float


def draw_events(number: int, seed: int) -> NDArray[np.float32]:
    """Made-up events: a Poisson number of objects of each type with falling pT, and missing energy."""
    random = np.random.default_rng(seed)
    parts = []
    for name, slots in SLOTS.items():
        counts = np.minimum(random.poisson(2.6 if name == "jets" else 0.5, number), slots)
        there = (np.arange(slots) < counts[:, None]) if name != "met" else np.ones((number, 1), np.bool_)
        pt = -np.sort(-random.exponential(30, (number, slots)), axis=1) + 5
        angles = random.uniform(-2.5, 2.5, pt.shape), random.uniform(-np.pi, np.pi, pt.shape)
        parts.append((np.stack([pt, *angles], axis=2) * there[..., None]).astype(np.float32))
    return np.concatenate(parts, axis=1)


def write_model(folder: Path, steps: list[Any]) -> None:
    """Train the network for one epoch on few events."""
    folder.mkdir()
    with h5py.File(folder / "background.h5", "w") as file:
        file["events/HLT_data"], file["events/event"] = draw_events(4_000, 1), np.arange(4_000)
    contents = {
        "dataset": {
            "base_path": str(folder), "tree_path": "events", "event_branch": "event",
            "output_path": str(folder), "output_filename": "data.root",
            "processes": {"background": {"files": ["background.h5"]}},
        },
        "training": {
            "datasets": [f"{folder}/fold{fold}_data.root" for fold in (0, 1)], "output_path": str(folder),
            "classes": ["background"], "target": {"reconstruction": "all"},
            "inputs": {"hlt": {"column": "HLT_data", "slots": SLOTS, "steps": steps}},
            "model": {"hidden": list(HIDDEN), "norm": "batch", "epochs": 1, "batch_size": 512},
        },
    }  # fmt: skip
    trained_models(folder, contents)


def bare_network(path: Path) -> Callable[[NDArray[np.float32]], None]:
    """ONNX Runtime on the network alone, in the batches of the product."""
    graph = GraphBuilder(prefix="network/")
    graph.add("Identity", network_nodes(graph, ["hlt"], read_keras_file(path)), output="scores")
    names = [f"number_{place}" for place in range(3 * sum(SLOTS.values()))]
    model = contract_model(graph, {"hlt": GraphInput(names)}, {"scores": names}, classes=names, kind="keras")
    session = new_session(model.SerializeToString())

    def score(numbers: NDArray[np.float32]) -> None:
        for start in range(0, len(numbers), BATCH_SIZE):
            session.run(None, {"hlt": numbers[start : start + BATCH_SIZE]})

    return score


def cost_of(run: Callable[[], object]) -> Cost:
    """Of one call."""
    cpu, wall = time.process_time(), time.monotonic()
    run()
    return Cost(time.process_time() - cpu, time.monotonic() - wall)


def measure(folder: Path, raw: NDArray[np.float32], repetitions: int) -> tuple[Cost, Cost]:
    """Medians of bare ONNX Runtime and of the product, in turns."""
    bare, model = bare_network(folder / "fold0_keras_model.keras"), load_model(folder / "fold0_keras_model.onnx")
    numbers = np.ascontiguousarray(raw.reshape(len(raw), -1))
    columns = {"HLT_data": raw, "event": np.zeros(len(raw), np.int64)}
    runs: dict[str, Callable[[], object]] = {"bare": lambda: bare(numbers), "ours": lambda: model.score(columns)}
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    for _ in range(repetitions):
        for name, run in runs.items():
            costs[name].append(cost_of(run))
    bare_cost, ours = (Cost(*map(statistics.median, zip(*some, strict=True))) for some in costs.values())
    return bare_cost, ours


def main(events: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    raw = draw_events(events, 2)
    print(f"{events:,} events, medians of {repetitions}; microseconds of processor time per event")
    print(f"{'':34}{'bare':>8}{'ours':>8}{'CPU ratio':>12}{'wall ratio':>12}")
    worst = 0.0
    for place, (name, steps) in enumerate(CASES.items()):
        write_model(folder / str(place), steps)
        bare, ours = measure(folder / str(place), raw, repetitions)
        each = [cost.cpu / events * 1e6 for cost in (bare, ours)]
        ratio = ours.cpu / bare.cpu
        print(f"{name:34}{each[0]:8.2f}{each[1]:8.2f}{ratio:12.2f}{ours.wall / bare.wall:12.2f}")
        worst = max(worst, ratio)
    print(f"largest ratio: {worst:.2f} (limit {LIMIT})")
    return int(worst > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=1_000_000, repetitions=5)
