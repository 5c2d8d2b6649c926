"""The network of the set `calratio`: the original's weights in the network of the zoo, in Keras and in what it becomes.

Layout: in `network` the trained weights by layer (`weights.npz`, `layers.json`), and for each sample a file of inputs
with their scores. Settings follow from the layers, so that any of the original's trainings can be compared.
"""

from __future__ import annotations

import json
import tempfile
from functools import cached_property, partial
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from quantities import Quantity, largest

from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup, Objects
from ntupleml.models import GroupShape

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile

    Batch = dict[str, NDArray[Any]]

LIMIT = 1e-5
CLASSES = ("qcd", "signal", "bib")
#: By the group of objects: its name in the files of inputs, and in the names of settings and layers.
LISTS = {"clus": ("clusters", "constit"), "track": ("tracks", "track"), "MSeg": ("msegs", "MSeg")}


class Original:
    """A trained network of the original, and inputs with its scores."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def samples(self) -> dict[str, Batch]:
        """Arrays of each file of inputs; what is no number counts 0, as in the original."""
        samples = {}
        for path in sorted(self.folder.glob("*.npz")):
            if path.name != "weights.npz":
                with np.load(path) as file:
                    samples[path.stem] = {name: np.nan_to_num(file[name], nan=0.0) for name in file}
        return samples

    @cached_property
    def shapes(self) -> dict[str, GroupShape]:
        """Groups of inputs."""
        sample = next(iter(self.samples.values()))
        lists = {name: GroupShape("objects", sample[array].shape[1:]) for name, (array, _) in LISTS.items()}
        return {**lists, "jet": GroupShape("numbers", sample["jet"].shape[1:])}

    @cached_property
    def weights(self) -> dict[str, list[NDArray[np.float32]]]:
        """Weights of each layer, a convolution that sees one object as a dense layer."""
        layers = json.loads((self.folder / "layers.json").read_text())
        with np.load(self.folder / "weights.npz") as file:
            return {
                layer["name"]: [np.squeeze(file[name], 0) if file[name].ndim == 3 else file[name] for name in names]
                for layer in layers
                if (names := [name for name, _ in layer["weights"]])
            }

    @cached_property
    def layers(self) -> dict[str, str]:
        """Layers of the original by those of ours."""
        recurrent = self._numbered("lstm")
        each = len(recurrent) // len(LISTS)
        layers: dict[str, str] = {}
        for place, (group, names) in enumerate(self._convolutions().items()):
            layers |= {f"{group}.hidden_{number}": name for number, name in enumerate(names, start=1)}
            for number, name in enumerate(recurrent[place * each : (place + 1) * each], start=1):
                layers[f"{group}.lstm_{number}" if number > 1 else f"{group}.lstm"] = name
        first, second = self._numbered("dense")[-2:]
        return layers | {"hidden_1": first, "hidden_2": second, "scores": "main_output"}

    def _numbered(self, kind: str) -> list[str]:
        """Layers of a kind in the order in which they were made, `lstm` before `lstm_1`."""
        found = [name for name in self.weights if name.rstrip("0123456789").rstrip("_") == kind]
        return sorted(found, key=lambda name: int(name.removeprefix(kind).lstrip("_") or 0))

    def _convolutions(self) -> dict[str, list[str]]:
        """Those of each list of objects: numbered through all lists, so cut where their widths fit."""
        names = self._numbered("conv1d")
        for bounds in combinations_with_replacement(range(len(names) + 1), len(LISTS) - 1):
            parts = [names[start:end] for start, end in pairwise((0, *bounds, len(names)))]
            found = {
                group: [*part, f"{setting}_final_conv1d"]
                for (group, (_, setting)), part in zip(LISTS.items(), parts, strict=True)
            }
            if all(self._fit(group, layers) for group, layers in found.items()):
                return found
        raise NtuplemlError(f"{self.folder}: the convolutions of layers.json do not fit the inputs")

    def _fit(self, group: str, layers: list[str]) -> bool:
        kernels = [self.weights[name][0] for name in layers]
        widths = [self.shapes[group].shape[1], *(kernel.shape[1] for kernel in kernels)]
        return all(kernel.shape[0] == width for kernel, width in zip(kernels, widths, strict=False))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Of the network of the zoo."""
        settings: dict[str, Any] = {"layers_list": sum(name.startswith("clus.lstm") for name in self.layers)}
        for group, (_, setting) in LISTS.items():
            kernels = [self.weights[name][0] for ours, name in self.layers.items() if f"{group}.hidden" in ours]
            settings[f"filters_cnn_{setting}"] = [kernel.shape[1] for kernel in kernels]
            settings[f"nodes_{setting}_lstm"] = self.weights[self.layers[f"{group}.lstm"]][1].shape[0]
        return settings | {"hidden_layer_fraction": self.weights[self.layers["hidden_1"]][0].shape[1] / 512}

    @cached_property
    def model(self) -> Any:
        """Our network with the weights of the original."""
        from ntupleml.imports import import_tensorflow
        from ntupleml.models import build_model
        from ntupleml.models.zoo import network_of_zoo

        import_tensorflow()
        model = build_model(network_of_zoo("calratio", self.settings, "model"), self.shapes, len(CLASSES), seed=1)
        for ours, name in self.layers.items():
            model.get_layer(ours).set_weights(self.weights[name])
        return model

    def batch(self, name: str) -> Batch:
        """Inputs of a sample under our names; each slot counts as filled, as the original reads all."""
        sample = self.samples[name]
        batch = {group: sample[array].astype(np.float32) for group, (array, _) in LISTS.items()}
        rows = len(sample["jet"])
        lengths = {f"{group}_length": np.full(rows, self.shapes[group].shape[0], np.int64) for group in LISTS}
        return {**batch, **lengths, "jet": sample["jet"].astype(np.float32)}

    @cached_property
    def graphs(self) -> dict[str, onnx.ModelProto]:
        """What the network becomes: ONNX, and lwtnn's JSON as our reader has it."""
        from ntupleml.artifacts import file_of_model
        from ntupleml.lwtnn import keras_to_lwtnn
        from ntupleml.onnx_models.keras_network import keras_to_onnx
        from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx
        from ntupleml.preprocessing import fit_scaler

        columns = {name: [f"{name}_{n}" for n in range(group.shape[-1] or 0)] for name, group in self.shapes.items()}
        groups = [
            InputGroup(name, tuple(columns[name]), objects=Objects(group.shape[0]) if group.kind == "objects" else None)
            for name, group in self.shapes.items()
        ]
        scalers = {name: fit_scaler("identity", np.zeros((1, len(names)))) for name, names in columns.items()}
        content = keras_to_lwtnn(self.model, columns, {"scores": CLASSES}, masks={f"{name}_mask" for name in LISTS})
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "lwtnn.json"
            path.write_text(json.dumps(content))
            return {
                "ONNX": keras_to_onnx(file_of_model(self.model), scalers, groups, CLASSES),
                **{
                    f"lwtnn's JSON in {dtype.__name__}": lwtnn_to_onnx(path, dtype)
                    for dtype in (np.float32, np.float64)
                },
            }

    @cached_property
    def frugally_deep(self) -> KerasFile:
        """The network as our reader has it from frugally-deep's JSON."""
        from ntupleml.artifacts import file_of_model
        from ntupleml.frugally_deep import keras_to_frugally_deep, read_frugally_deep

        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "frugally_deep.json"
            path.write_text(json.dumps(keras_to_frugally_deep(file_of_model(self.model), CLASSES)))
            return read_frugally_deep(path)


def network(folder: Path) -> Iterator[Quantity]:
    """Number of weights, and scores of each sample in Keras, ONNX, and the JSON of lwtnn and frugally-deep."""
    if not (folder / "network" / "weights.npz").is_file():
        return
    original = Original(folder / "network")
    yield Quantity("network: number of weights", partial(_weights_difference, original), 0.0)
    for name in original.samples:
        yield Quantity(f"network/{name}: Keras", partial(_keras_difference, original, name), LIMIT)
        for form in ("ONNX", "lwtnn's JSON in float32", "lwtnn's JSON in float64"):
            yield Quantity(f"network/{name}: {form}", partial(_graph_difference, original, name, form), LIMIT)
        yield Quantity(
            f"network/{name}: frugally-deep's JSON", partial(_frugally_deep_difference, original, name), LIMIT
        )


def _weights_difference(original: Original) -> float:
    expected = sum(one.size for weights in original.weights.values() for one in weights)
    return abs(original.model.count_params() - expected)


def _keras_difference(original: Original, name: str) -> float:
    batch = original.batch(name)
    masks = {f"{group}_mask": np.ones(batch[group].shape[:2], np.float32) for group in LISTS}
    inputs = {key: values for key, values in batch.items() if not key.endswith("_length")}
    return largest(np.asarray(original.model({**inputs, **masks}, training=False)), _scores(original, name))


def _graph_difference(original: Original, name: str, form: str) -> float:
    from ntupleml.onnx_models.sessions import new_session

    session = new_session(original.graphs[form].SerializeToString())
    double = any(value.type == "tensor(double)" for value in session.get_inputs())
    batch = {
        key: values.astype(np.float64) if double and values.dtype == np.float32 else values
        for key, values in original.batch(name).items()
    }
    return largest(session.run(["scores"], batch)[0], _scores(original, name))


def _frugally_deep_difference(original: Original, name: str) -> float:
    from ntupleml.frugally_deep.evaluation import evaluate, raw_inputs

    file = original.frugally_deep
    return largest(evaluate(file, raw_inputs(file, original.batch(name), None)), _scores(original, name))


def _scores(original: Original, name: str) -> NDArray[Any]:
    return original.samples[name]["prediction"]
