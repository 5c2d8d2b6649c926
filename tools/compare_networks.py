#!/usr/bin/env python3
"""Train networks that differ in their `model` block, and print a table: `compare_networks.py TRAINING NETWORKS`.

NETWORKS is a YAML file of names and `model` blocks, each in place of that of the training config; keys of the fit
(epochs, batch size, optimiser, …) are kept where a block has none; a network of the zoo has an optimiser of its own. A
block `trees: NAME` stands for boosted trees of the config.

Each is trained on all folds into `{output_path}/networks/{name}`, and each event is scored by the model that did not
see it. The AUC is of one class against the rest, by default the first. It is compared with the largest one, on the
same events.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml

import ntupleml
from ntupleml.artifacts import read_keras_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.roc import auc_influences, roc_curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Keys of a model block that say how a network is fitted, not what it is.
FIT = ("epochs", "batch_size", "early_stopping", "schedule", "clip_norm", "optimizer", "learning_rate", "dropout")
#: Those that a network of the zoo brings along.
OF_ZOO = ("optimizer", "learning_rate", "dropout")


class Line(NamedTuple):
    """What a network reached."""

    name: str
    weights: str
    auc: float
    influences: NDArray[np.float64]
    seconds: float
    difference: float


def trained(config: dict[str, Any], name: str, block: dict[str, Any], signal: str | None = None) -> Line:
    """Train a network unless it is there, and test it."""
    folder = Path(config["output_path"]) / "networks" / name
    method = block.get("trees", "keras")
    kept = set(FIT) - set(OF_ZOO if "name" in block else ())
    fit = {key: value for key, value in config["model"].items() if key in kept}
    model = {"model": {**fit, **block}} if method == "keras" else {}
    training = {**config, **model, "output_path": str(folder)}
    if not folder.exists():
        folder.mkdir(parents=True)
        ntupleml.train(training, method=method)
    events = ntupleml.test(training, methods=[method]).events
    place = events.classes.index(signal) if signal else 0
    scores, is_signal = events.scores[method][:, place], events.truth == place
    curve = roc_curve(scores, is_signal, events.weights)
    influences = auc_influences(curve, scores, is_signal, events.weights)
    records = [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("fold*_training.json"))]
    times = [time for record in records for time in record["history"].get("seconds", [])[1:]]
    difference = max(record["onnx_check"]["largest_difference"] for record in records if record["onnx_check"])
    return Line(name, _weights(folder), curve.auc.value, influences, float(np.median(times or [np.nan])), difference)


def _weights(folder: Path) -> str:
    """Number of weights of a network; nothing for trees."""
    files = sorted(folder.glob("fold*_keras_model.keras"))
    if not files:
        return ""
    weights = read_keras_file(files[0]).weights
    return f"{sum(array.size for arrays in weights.values() for array in arrays):,}"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path)
    parser.add_argument("networks", type=Path)
    parser.add_argument("--only", nargs="*", help="names of networks")
    parser.add_argument("--signal", metavar="CLASS", help="class whose AUC is compared")
    arguments = parser.parse_args()
    config = yaml.safe_load(arguments.training.read_text())
    if arguments.signal and arguments.signal not in config["classes"]:
        parser.error(f"--signal {arguments.signal}: the classes are {', '.join(config['classes'])}")
    lines = []
    for name, block in yaml.safe_load(arguments.networks.read_text()).items():
        if arguments.only and name not in arguments.only:
            continue
        try:
            lines.append(trained(config, name, block, arguments.signal))
        except NtuplemlError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"{name}: {lines[-1].auc:.4f}", file=sys.stderr)
    best = max(lines, key=lambda line: line.auc)
    print("| network | weights | AUC | to the best | s per epoch | ONNX against Keras |")
    print("|---|---|---|---|---|---|")
    for line in sorted(lines, key=lambda line: -line.auc):
        sigma, of_difference = (np.sqrt(np.sum(x**2)) for x in (line.influences, line.influences - best.influences))
        difference = f"{line.auc - best.auc:+.4f} ± {of_difference:.4f}" if line is not best else ""
        print(
            f"| {line.name} | {line.weights} | {line.auc:.4f} ± {sigma:.4f} | {difference} | {line.seconds:.1f} "
            f"| {line.difference:.0e} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
