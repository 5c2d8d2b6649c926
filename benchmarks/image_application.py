#!/usr/bin/env python3
"""Cost of scoring images into a friend tree, without and with the image, against uproot and ONNX Runtime alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import uproot
import yaml
from support.measuring import median_costs, run_in_folder, table
from support.trained_models import trained_models

PROJECT = Path(__file__).resolve().parents[1]
#: The peer: the same columns read and the same session run, nothing written.
PEER = Path(__file__).parent / "support" / "bare_image_scoring.py"
TREE = "events"
ETA, PHI = 50, 64
CHANNELS, TRUTH = ("cluster", "SK", "VorSK", "CSSK"), "truth"
#: Share of the pixels that hold energy, and its mean (GeV).
FILLED, ENERGY = 0.1, 2.0
#: What a friend may cost at most, relative to the bare script, processor time.
LIMIT = 1.6
_CHUNK = 500


def write_images(path: Path, events: int, seed: int) -> None:
    """Write sparse images, of which the truth is a part."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    types = {"event": np.dtype("i8"), **dict.fromkeys((*CHANNELS, TRUTH), np.dtype(("f4", (ETA, PHI))))}
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree(TREE, types)
        for start in range(0, events, _CHUNK):
            number = min(_CHUNK, events - start)
            truth = _images(number, random)
            channels = {name: truth + _images(number, random) for name in CHANNELS}
            tree.extend({"event": np.arange(start, start + number), TRUTH: truth, **channels})


def _images(number: int, random: np.random.Generator) -> np.ndarray:
    energies = random.exponential(ENERGY, (number, ETA, PHI)) * (random.random((number, ETA, PHI)) < FILLED)
    return energies.astype(np.float32)


def write_models(folder: Path, network: str) -> list[Path]:
    """Train a network for one epoch on few events; the configs."""
    write_images(folder / "training.root", 64, 0)
    contents = {
        "dataset": {
            "base_path": str(folder), "tree_path": TREE, "event_branch": "event", "output_path": str(folder),
            "output_filename": "data.root", "processes": {"all": {"files": ["training.root"]}},
        },
        "training": {
            "datasets": [f"{folder}/fold{fold}_data.root" for fold in (0, 1)], "output_path": str(folder),
            "classes": ["all"], "inputs": {"calo": {"image": [*CHANNELS], "preprocessing": "identity"}},
            "target": {"image": TRUTH}, "model": {"name": network, "epochs": 1, "batch_size": 16},
        },
        "application": {"branch_prefix": "nn_", "output_directory": str(folder / "scores")},
    }  # fmt: skip
    configs = trained_models(folder, contents)
    with_image = {**contents["application"], "image": True, "output_directory": str(folder / "images")}
    configs.append(folder / "with_image.yaml")
    configs[-1].write_text(yaml.safe_dump(with_image))
    return configs


def main(events: int, repetitions: int, network: str, folder: Path) -> int:
    """Print the table; 1 if the limit is exceeded."""
    ntuple = folder / "ntuples" / "events.root"
    write_images(ntuple, events, 1)
    dataset, training, application, with_image = write_models(folder, network)
    script = PROJECT / "application" / "keras_application_friend.py"
    bare, scores, images = "bare uproot and ONNX Runtime", "keras_application_friend.py", "the same, with the image"
    ours = {
        name: [sys.executable, script, dataset, training, config, ntuple, TREE, "--overwrite"]
        for name, config in ((scores, application), (images, with_image))
    }
    model = folder / "fold0_keras_model.onnx"
    costs = median_costs(
        {bare: [sys.executable, PEER, ntuple, TREE, model, *CHANNELS], **ours},
        repetitions,
    )
    print(f"{events:,} images of {ETA} × {PHI} × {len(CHANNELS)}, network {network}, medians of {repetitions}")
    print(table(costs, bare))
    largest = max(costs[name].cpu / costs[bare].cpu for name in ours)
    print(f"friend / bare script: {largest:.2f} at most (limit {LIMIT})")
    return int(largest > LIMIT)


if __name__ == "__main__":
    run_in_folder(main, __doc__, events=4_000, repetitions=3, network="BB_model")
