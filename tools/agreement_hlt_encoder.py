"""The L1 encoder of the set `hlt`: stored outputs of its layers, and a file of QKeras where the folder has one.

Layout: `l1_encoder.npz` with inputs, the rounded weights and the outputs of each layer; any `.h5` file that holds a
network of as many inputs is compared with the same scores.
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from quantities import Quantity, largest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile

    Answers = Mapping[str, NDArray[Any]]

LIMIT = 1e-6
#: Layers by the names of their weights, each with the activation behind it and the stored output.
LAYERS = {"dense1": ("relu1", "hidden1"), "dense2": ("relu2", "hidden2"), "z": (None, "z_mean")}
_WEIGHTS = "quantized_bits(10,5,0,alpha=1)"
_ACTIVATION = "quantized_relu(15,0,0,0.0009765625)"


def encoder(folder: Path) -> Iterator[Quantity]:
    """Each layer, the score in whole numbers and as ONNX, and that of files."""
    path = folder / "l1_encoder.npz"
    if not path.is_file():
        return
    answers = dict(np.load(path))
    for layer, (activation, stored) in LAYERS.items():
        yield Quantity(f"L1 encoder: {stored}", partial(_layer_difference, answers, activation or layer, stored), LIMIT)
    yield Quantity("L1 encoder: score in whole numbers", partial(_score_difference, answers, None, False), LIMIT)
    yield Quantity("L1 encoder: score as ONNX", partial(_score_difference, answers, None, True), LIMIT)
    for file in sorted(folder.rglob("*.h5")):
        if _has_network(file):
            name = file.relative_to(folder)
            yield Quantity(f"{name}: score in whole numbers", partial(_score_difference, answers, file, False), LIMIT)
            yield Quantity(f"{name}: score as ONNX", partial(_score_difference, answers, file, True), LIMIT)


def _has_network(path: Path) -> bool:
    with h5py.File(path, "r") as file:
        return "model_config" in file.attrs


def _layer_difference(answers: Answers, layer: str, stored: str) -> float:
    from ntupleml.quantised import evaluate, up_to

    found = evaluate(up_to(_network(answers), layer), answers["input44"])
    return largest(found, answers[stored])


def _score_difference(answers: Answers, path: Path | None, as_onnx: bool) -> float:
    from ntupleml.artifacts.keras2_files import read_keras2_file
    from ntupleml.onnx_models.keras2 import LATENT_NORM, keras2_to_onnx
    from ntupleml.onnx_models.sessions import new_session
    from ntupleml.quantised import evaluate

    file = _network(answers) if path is None else read_keras2_file(path)
    inputs = answers["input44"].astype(np.float32)
    if as_onnx:
        session = new_session(keras2_to_onnx(file, LATENT_NORM).SerializeToString())
        found = session.run(None, {"variables": inputs})[0][:, 0]
    else:
        found = np.square(evaluate(file, inputs)).mean(axis=1)
    return largest(found, answers["score"])


def _network(answers: Answers) -> KerasFile:
    """The encoder of the stored weights, written as QKeras writes it and read."""
    from ntupleml.artifacts.keras2_files import read_keras2_file

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "encoder.h5"
        layers: list[dict[str, Any]] = [_layer("InputLayer", "inputs", None, batch_input_shape=[None, 44])]
        with h5py.File(path, "w") as file:
            before = "inputs"
            for name, (activation, _) in LAYERS.items():
                kernel, bias = (answers[f"q_{name}_{what}"] for what in ("kernel", "bias"))
                quantisers = {"kernel_quantizer": _WEIGHTS, "bias_quantizer": _WEIGHTS}
                layers.append(_layer("QDense", name, before, units=kernel.shape[1], use_bias=True, **quantisers))
                file[f"model_weights/{name}/{name}/kernel:0"] = kernel
                file[f"model_weights/{name}/{name}/bias:0"] = bias
                before = name
                if activation is not None:
                    layers.append(_layer("QActivation", activation, name, activation=_ACTIVATION))
                    before = activation
            ends = {"input_layers": [["inputs", 0, 0]], "output_layers": [[before, 0, 0]]}
            description = {"class_name": "Functional", "config": {"name": "encoder", "layers": layers, **ends}}
            file.attrs["model_config"] = json.dumps(description)
        return read_keras2_file(path)


def _layer(kind: str, name: str, before: str | None, **settings: Any) -> dict[str, Any]:
    calls = [] if before is None else [[[before, 0, 0, {}]]]
    return {"class_name": kind, "name": name, "config": {"name": name, **settings}, "inbound_nodes": calls}
