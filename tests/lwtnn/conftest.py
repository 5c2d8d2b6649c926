"""Keras models and what our reading of lwtnn's files makes of their export."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest

from ntupleml.lwtnn.network import Variable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.lwtnn.export_forms import Form

EVENTS = 60
STEPS = 7
#: Offset and scale of all variables, so that a forgotten one shows.
OFFSET, SCALE = -3.0, 0.25


@pytest.fixture(scope="session")
def keras_module() -> Any:
    """Keras, imported without TensorFlow's remarks."""
    from ntupleml.imports import import_tensorflow

    import_tensorflow()
    import keras

    return keras


@pytest.fixture
def shaken(keras_module: Any) -> Callable[..., Any]:
    """Give all weights of a model, statistics of normalisations included, random values that matter."""

    def shake(model: Any, seed: int = 5) -> Any:
        random = np.random.default_rng(seed)
        for variable in model.variables:
            if "seed" in variable.name:
                continue
            values = random.normal(scale=0.6, size=variable.shape)
            variable.assign(0.3 + np.abs(values) if "variance" in variable.name else values)
        for layer in model._flatten_layers():
            if isinstance(layer, keras_module.layers.Normalization):
                layer.finalize_state()
        return model

    return shake


@pytest.fixture
def lwtnn_scores(tmp_path: Path) -> Callable[..., dict[str, NDArray[np.float64]]]:
    """Scores of an exported network, read back from its file, in double precision: `lwtnn_scores(content, feeds)`."""

    def scores(content: Mapping[str, Any], feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx

        path = tmp_path / "network.json"
        path.write_text(json.dumps(content, allow_nan=False))
        graph = lwtnn_to_onnx(path, np.float64).SerializeToString()
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, dict(feeds)), strict=True))

    return scores


@pytest.fixture
def require_same_scores(lwtnn_scores: Callable[..., dict[str, NDArray[np.float64]]]) -> Callable[..., dict[str, Any]]:
    """Export a model and compare with Keras on random events, sequences of all lengths from 1 up; gives the export."""

    def require(model: Any, form: Form = "auto", shortest: int = 1) -> dict[str, Any]:
        from ntupleml.lwtnn.export import keras_to_lwtnn

        random = np.random.default_rng(11)
        length = random.integers(shortest, STEPS + 1, EVENTS)
        feeds: dict[str, NDArray[Any]] = {}
        inputs, scaled = {}, {}
        for tensor in model.inputs:
            sequence = len(tensor.shape) == 3
            shape = (EVENTS, STEPS, tensor.shape[2]) if sequence else (EVENTS, tensor.shape[1])
            raw = random.normal(3.0, 6.0, size=shape)
            names = [f"{tensor.name}_{index}" for index in range(shape[-1])]
            inputs[tensor.name] = [Variable(name, OFFSET, SCALE) for name in names]
            feeds[tensor.name] = raw
            if sequence:
                feeds[f"{tensor.name}_length"] = length
            scaled[tensor.name] = ((raw + OFFSET) * SCALE).astype(np.float32)
        expected = _keras_scores(model, scaled, length)
        labels = {name: [f"{name}_{index}" for index in range(values.shape[1])] for name, values in expected.items()}
        flat = form != "graph" and len(inputs) == len(labels) == 1
        if flat:
            content = keras_to_lwtnn(model, next(iter(inputs.values())), next(iter(labels.values())), form)
        else:
            content = keras_to_lwtnn(model, inputs, labels, form)
        if flat:
            feeds = {name.replace(model.inputs[0].name, "variables", 1): values for name, values in feeds.items()}
        found = lwtnn_scores(content, feeds)
        assert len(found) == len(expected)
        for name, values in expected.items():
            assert values.std() > 1e-3, "the test tells nothing"
            result = found["scores"] if len(found) == 1 else found[name]
            np.testing.assert_allclose(result, values, rtol=1e-6, atol=1e-5)
        return content

    return require


def _keras_scores(model: Any, scaled: Mapping[str, NDArray[Any]], length: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Keras on unpadded sequences: events of one length at a time."""
    names = [tensor.name for tensor in model.inputs]
    outputs = [tensor._keras_history.operation.name for tensor in model.outputs]
    result: dict[str, NDArray[Any]] = {}
    for steps in np.unique(length):
        chosen = length == steps
        values = [scaled[name][chosen] for name in names]
        values = [value[:, :steps] if value.ndim == 3 else value for value in values]
        found = model(values if len(values) > 1 else values[0], training=False)
        found = found if isinstance(found, list | tuple) else [found]
        for name, part in zip(outputs, found, strict=True):
            result.setdefault(name, np.zeros((EVENTS, part.shape[1])))[chosen] = np.asarray(part)
    return result
