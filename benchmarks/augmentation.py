#!/usr/bin/env python3
"""Time per epoch of a deep set with augmented events against one with events as they are, in turns; medians."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot
from support.measuring import run_in_folder

from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.imports import import_tensorflow
from ntupleml.models import build_model, network_of
from ntupleml.training.data import MemoryData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = ("signal", "background")
BRANCHES = tuple(f"jet_{name}" for name in ("pt", "eta", "phi", "e"))
FEATURES = ["px", "py", "pz", "energy", "pt", "eta", "phi", "mass", "is_met"]
AUGMENTATION = {
    "phi_rotation": True,
    "eta_reflection": 0.5,
    "translation": {"eta": 0.1, "phi": 0.1},
    "energy_smearing": 0.1,
    "drop_objects": 0.05,
}
#: What an epoch may cost at most, relative to one without augmentation, processor time.
LIMIT = 1.3


def write_events(path: Path, events: int, seed: int) -> None:
    """Write a fold file: events of 2 to 12 jets with missing energy."""
    random = np.random.default_rng(seed)
    with uproot.recreate(path) as file:
        for number, name in enumerate(CLASSES):
            counts = random.integers(2, 13, events // len(CLASSES))
            pt, eta, phi = random.exponential([[50 + 10 * number], [1], [1]], (3, counts.sum()))
            jets = dict(
                zip(BRANCHES, (pt + 20, eta - 1, phi - 1, np.hypot((pt + 20) * np.cosh(eta - 1), 5)), strict=True)
            )
            met = {"met": random.exponential(40, len(counts)), "met_phi": random.uniform(-3, 3, len(counts))}
            file.mktree(name, dict.fromkeys(BRANCHES, "var * float32") | dict.fromkeys(met, "float32"))
            file[name].extend({key: ak.unflatten(one.astype("f4"), counts) for key, one in jets.items()} | met)


def epochs_of(content: dict[str, Any]) -> Callable[[int], None]:
    """A function that trains an epoch."""
    from ntupleml.training.compiled_epoch import EpochRunner

    config = TrainingConfig.model_validate(content)
    trees = class_trees(config, fold_files(config, 0, False))
    data = MemoryData(config, trees, 0, balanced=False, randomized=False)
    network = network_of(config.model, "model", config.groups, config.target_kind)
    model = build_model(network, data.preparation.shapes, data.preparation.num_outputs, config.seed)
    runner = EpochRunner(model, data.batching.size)

    def train(epoch: int) -> None:
        runner.train(data.training_blocks(epoch))

    return train


def main(events: int, batch_size: int, repetitions: int, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    import_tensorflow()
    files = [folder / f"fold{fold}.root" for fold in (0, 1)]
    for seed, path in enumerate(files):
        write_events(path, events, seed)
    jet = dict(zip(("pt", "eta", "phi", "energy"), BRANCHES, strict=True))
    objects = {"collections": {"jet": jet, "met": {"pt": "met", "phi": "met_phi"}}, "features": FEATURES, "length": 12}
    content = {
        "datasets": [str(path) for path in files],
        "output_path": str(folder),
        "classes": list(CLASSES),
        "inputs": {"objects": objects},
        "model": {"encoders": {"objects": {"type": "deep_set"}}, "hidden": [100], "batch_size": batch_size},
    }
    ways = {"as they are": epochs_of(content), "augmented": epochs_of(content | {"augmentation": AUGMENTATION})}
    costs: dict[str, list[float]] = {name: [] for name in ways}
    for epoch in range(repetitions + 1):
        for name, train in ways.items():
            start = time.process_time()
            train(epoch)
            if epoch:  # the first compiles
                costs[name].append(time.process_time() - start)
    print(
        f"deep set, {events * 3 // 4:,} events train, batches of {batch_size}, CPU per epoch, median of {repetitions}"
    )
    plain, augmented = (statistics.median(some) for some in costs.values())
    print(f"as they are {plain:.2f} s, augmented {augmented:.2f} s: {augmented / plain:.2f} (limit {LIMIT})")
    return int(augmented / plain > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=200_000, batch_size=1000, repetitions=5)
