"""The description of a network as frugally-deep reads it, layer by layer: a functional network of Keras 3."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.frugally_deep.layers import encoded, in_file, settings_of, weight_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


class Value(NamedTuple):
    """What a call of a layer gives: its shape is that for one event."""

    layer: str
    call: int
    shape: tuple[int, ...]


class Architecture:
    """Layers so far, with their weights."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, Any]] = {}
        self.weights: dict[str, dict[str, NDArray[Any]]] = {}
        self.inputs: list[Value] = []
        self._names: dict[tuple[str, ...], str] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> Value:
        """Append an input."""
        settings = {"batch_shape": [None, *shape], "dtype": "float32", "name": name}
        self.layers[name] = _layer("InputLayer", name, settings)
        self.inputs.append(Value(name, 0, shape))
        return self.inputs[-1]

    def call(
        self,
        key: tuple[str, ...],
        kind: str,
        sources: Sequence[Value],
        shape: tuple[int, ...],
        settings: Mapping[str, Any] | None = None,
        weights: Sequence[NDArray[Any]] = (),
    ) -> Value:
        """Append a call of a layer; the same key, used again, is the same layer.

        Parameters
        ----------
        key : tuple of str
            Parts of its name.
        kind : str
            A key of `layers.SETTINGS`.
        shape : tuple of int
            Of what it gives for one event.
        weights : sequence of array
            As Keras has them.
        """
        if key not in self._names:
            self._names[key] = self._new_name("_".join(key))
            name = self._names[key]
            written = settings_of(kind, settings or {})
            self.layers[name] = _layer(kind, name, {"name": name, "trainable": True, "dtype": "float32", **written})
            arrays = dict(zip(weight_names(kind, written), in_file(kind, weights), strict=True))
            if arrays:
                self.weights[name] = arrays
        name = self._names[key]
        calls = self.layers[name]["inbound_nodes"]
        tensors = [_tensor(source) for source in sources]
        calls.append({"args": tensors if len(tensors) == 1 else [tensors], "kwargs": {}})
        return Value(name, len(calls) - 1, shape)

    def _new_name(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.layers:
            name, number = f"{wanted}_{number}", number + 1
        return name

    def content(self, output: Value) -> dict[str, Any]:
        """Content of the file, but for its tests."""
        described = {
            "name": "network",
            "trainable": True,
            "layers": list(self.layers.values()),
            "input_layers": [[value.layer, 0, 0] for value in self.inputs],
            "output_layers": [[output.layer, output.call, 0]],
        }
        return {
            "architecture": {
                "module": "keras.src.models.functional",
                "class_name": "Functional",
                "config": described,
                "registered_name": "Functional",
            },
            "image_data_format": "channels_last",
            "input_shapes": [list(value.shape) for value in self.inputs],
            "output_shapes": [list(output.shape)],
            "trainable_params": {
                name: {key: encoded(array) for key, array in arrays.items()} for name, arrays in self.weights.items()
            },
            "hash": self._hash(),
        }

    def _hash(self) -> str:
        found = hashlib.sha256()
        for name in self.layers:
            for array in self.weights.get(name, {}).values():
                found.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
            found.update(name.encode())
        return found.hexdigest()


def _layer(kind: str, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": "keras.layers",
        "class_name": kind,
        "config": settings,
        "registered_name": None,
        "name": name,
        "inbound_nodes": [],
    }


def _tensor(value: Value) -> dict[str, Any]:
    history = [value.layer, value.call, 0]
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, *value.shape], "dtype": "float32", "keras_history": history},
    }
