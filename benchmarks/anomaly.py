#!/usr/bin/env python3
"""What the autoencoder finds, against the HLT anomaly detection's own network and training, rebuilt in plain Keras.

Both see the same events, half of which train; the other half, and signals, are tested. Printed are the area under the
ROC curve of each signal against the background, with event weights, and the share of the signal above the threshold at
which the background has a pure rate below `--target-rate`: means over seeds and their standard errors. The original's
loss cannot weigh events, so it is rebuilt without weights, and again with weights as it passes them; the package trains
without, and with weights that act.

SAMPLE is an `.npz` with `{class}/HLT_data` (events, 16, 3), `/weights`, `/passL1` and `/passHLT`; without it the events
are those of `tools/anomaly_events.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import h5py
import numpy as np
from support import bare_autoencoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PROJECT = Path(__file__).resolve().parents[1]
SLOTS = {"jets": 6, "electrons": 3, "muons": 3, "photons": 3, "met": 1}


class Events(NamedTuple):
    """Events of a class."""

    objects: NDArray[np.float32]
    weights: NDArray[np.float64]
    already: NDArray[np.bool_]

    def part(self, number: int) -> Events:
        """Events of one of two folds."""
        return Events(*(values[number::2] for values in self))


def made_up(number: int, folder: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays of each class, of the toy."""
    command = [sys.executable, PROJECT / "tools" / "anomaly_events.py", folder, "--events", str(number), "--hdf5"]
    subprocess.run(command, check=True, capture_output=True)
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as file:
            found[path.stem] = {name: file[name][:] for name in ("HLT_data", "weights", "passL1", "passHLT")}
    return found


def read_sample(path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """Arrays of each class, of a file."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    with np.load(path) as sample:
        for key in sample:
            name, _, column = key.partition("/")
            found.setdefault(name, {})[column] = sample[key]
    return found


class Ours:
    """Fold files of the events, and trainings of them by a config."""

    def __init__(self, sample: dict[str, Events], background: str, folder: Path, epochs: int) -> None:
        import ntupleml

        self._folder = folder
        for name, events in sample.items():
            with h5py.File(folder / f"{name}.h5", "w") as file:
                number = len(events.weights)
                columns = {"HLT_data": events.objects, "weight": events.weights, "event": np.arange(number)}
                for column, values in columns.items():
                    file[column] = values
        dataset = {
            "base_path": str(folder),
            "tree_path": "/",
            "event_branch": "event",
            "output_path": str(folder),
            "output_filename": "events.root",
            "processes": {background: {"files": [f"{background}.h5"], "weight_string": "weight"}},
        }
        ntupleml.create_datasets(dataset)
        self._training = {
            "datasets": [str(folder / f"fold{fold}_events.root") for fold in (0, 1)],
            "classes": [background],
            "inputs": {
                "hlt": {
                    "column": "HLT_data",
                    "slots": SLOTS,
                    "steps": [
                        "delta_phi",
                        "met",
                        {"thresholds": {"jets": 50, "electrons": 30, "muons": 30, "photons": 30}},
                        {"scale_pt": {"type": "global_division", "factor": 0.05}},
                    ],
                }
            },
            "target": {"reconstruction": "all"},
            "train_test_split": 0.85,
            "model": {
                "name": "hlt_autoencoder",
                "epochs": epochs,
                "batch_size": 512,
                "early_stopping": 9,
                "schedule": {"type": "plateau", "patience": 6, "factor": 0.1},
            },
        }

    def scorers(self, seeds: int, *, weighted: bool) -> list[Callable[[NDArray[np.float32]], NDArray[np.float32]]]:
        """Train model 0, which does not see fold 1, with several seeds, as the members of an ensemble."""
        import onnxruntime

        import ntupleml
        from ntupleml.artifacts import members_path

        output = self._folder / ("weighted" if weighted else "plain")
        config: dict[str, Any] = {**self._training, "output_path": str(output), "seed": 1, "ensemble": {"seeds": seeds}}
        if weighted:
            config["event_weights"] = "training_weight"
        ntupleml.train(config, 0)
        folders = [members_path(output, seed) for seed in range(1, seeds + 1)] if seeds > 1 else [output]
        sessions = [onnxruntime.InferenceSession(folder / "fold0_keras_model.onnx") for folder in folders]
        return [lambda objects, one=one: one.run(["scores"], {"hlt": objects})[0][:, 0] for one in sessions]


class Reached(NamedTuple):
    """Of one training and one signal."""

    area: float
    efficiency: float


def compared(
    score: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    sample: dict[str, Events],
    background: str,
    input_rate: float,
    target_rate: float,
) -> dict[str, Reached]:
    """Of each signal, on events of the second fold."""
    from ntupleml.metrics import Undefined
    from ntupleml.metrics.roc import roc_curve
    from ntupleml.metrics.trigger_rates import rate_scan

    tested = {name: events.part(1) for name, events in sample.items()}
    scores = {name: score(events.objects) for name, events in tested.items()}
    of_background = tested[background]
    scan = rate_scan(scores[background], of_background.already, of_background.weights, input_rate)
    if isinstance(scan, Undefined):
        raise SystemExit(f"{background}: {scan.reason}")
    threshold = scan.threshold(target_rate)
    found = {}
    for name, events in tested.items():
        if name != background:
            values = np.concatenate([scores[background], scores[name]])
            weights = np.concatenate([of_background.weights, events.weights])
            is_signal = np.arange(len(values)) >= len(of_background.weights)
            curve = roc_curve(values, is_signal, weights)
            area = np.nan if isinstance(curve, Undefined) else curve.auc.value
            accepted = threshold.accepts(scores[name])
            found[name] = Reached(area, float(np.average(accepted, weights=events.weights)))
    return found


def table(results: dict[str, list[dict[str, Reached]]]) -> list[str]:
    """A line for each signal and training."""
    lines = [f"{'signal':20} {'training':34} {'AUC':>19} {'efficiency':>19}"]
    for signal in next(iter(results.values()))[0]:
        for name, seeds in results.items():
            values = np.array([one[signal] for one in seeds])
            means, errors = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
            cells = [f"{mean:.4f} ± {error:.4f}" for mean, error in zip(means, errors, strict=True)]
            lines.append(f"{signal:20} {name:34} {cells[0]:>19} {cells[1]:>19}")
    return lines


def main() -> None:
    """Print the table of each sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", nargs="*", type=Path, metavar="SAMPLE")
    parser.add_argument("--events", type=int, default=40_000, help="of the toy's background (%(default)s)")
    parser.add_argument("--epochs", type=int, default=15, help="largest number of epochs (%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each kind (%(default)s)")
    parser.add_argument("--background", default="EB", help="class that trains (%(default)s)")
    parser.add_argument("--already", default="passL1", help="what has accepted events already (%(default)s)")
    parser.add_argument("--input-rate", type=float, default=31_575_960, help="of the background, in Hz (%(default)s)")
    parser.add_argument("--target-rate", type=float, default=1000, help="in Hz (%(default)s)")
    arguments = parser.parse_args()
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    for path in arguments.samples or [None]:
        with tempfile.TemporaryDirectory() as folder:
            arrays = read_sample(path) if path else made_up(arguments.events, Path(folder))
            sample = {
                name: Events(one["HLT_data"], one["weights"].astype(np.float64), one[arguments.already])
                for name, one in arrays.items()
            }
            print(
                f"{path or 'made-up events'}:",
                ", ".join(f"{len(one.weights):,} {name}" for name, one in sample.items()),
            )
            print("\n".join(table(results(sample, Path(folder), arguments))), flush=True)


def results(
    sample: dict[str, Events], folder: Path, arguments: argparse.Namespace
) -> dict[str, list[dict[str, Reached]]]:
    """What each kind of training reaches, seed by seed."""
    trained = sample[arguments.background].part(0)
    (folder / "ours").mkdir()
    ours = Ours(sample, arguments.background, folder / "ours", arguments.epochs)

    def originals(weights: NDArray[np.float64] | None) -> list[Any]:
        fits = (bare_autoencoder.fit(trained.objects, weights, seed, arguments.epochs) for seed in seeds)
        return [one.scores for one in fits]

    seeds = range(1, arguments.seeds + 1)
    scorers = {
        "original": originals(None),
        "original, weights of batches": originals(trained.weights),
        "ours": ours.scorers(arguments.seeds, weighted=False),
        "ours, weights of events": ours.scorers(arguments.seeds, weighted=True),
    }
    rates = arguments.input_rate, arguments.target_rate
    return {
        name: [compared(score, sample, arguments.background, *rates) for score in some]
        for name, some in scorers.items()
    }


if __name__ == "__main__":
    main()
