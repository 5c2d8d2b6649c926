"""Keras models of lwtnn's reference networks: our export gives liblwtnn's answers and those of Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.lwtnn import keras_to_lwtnn
from ntupleml.lwtnn.network import Variable

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.lwtnn.export_forms import Form

DATA = Path(__file__).resolve().parents[1] / "data" / "lwtnn"
CASES: list[tuple[str, Form]] = [
    ("batchnorm", "sequential"),
    ("batchnorm", "graph"),
    ("gru_var", "sequential"),
    ("gru_var", "graph"),
    ("timedist_lstm", "graph"),
    ("two_inputs", "graph"),
]


def _variables(listed: list[dict[str, Any]]) -> list[Variable]:
    return [Variable(one["name"], one["offset"], one["scale"]) for one in listed]


def _exported(case: str, form: Form, keras: Any) -> dict[str, Any]:
    """The model under the names of the file that lwtnn's own converter made of it."""
    model = keras.saving.load_model(DATA / case / "model.keras", compile=False)
    converted = json.loads((DATA / case / "lwtnn.json").read_text())
    if "nodes" not in converted:
        return keras_to_lwtnn(model, _variables(converted["inputs"]), converted["outputs"], form)
    groups = converted["inputs"] + converted["input_sequences"]
    inputs = {group["name"]: _variables(group["variables"]) for group in groups}
    return keras_to_lwtnn(model, inputs, {name: one["labels"] for name, one in converted["outputs"].items()}, form)


def _feeds(content: dict[str, Any], data: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Stored raw inputs by the names of the graph; a file of the sequential form has one input, without a name."""
    if "nodes" in content:
        names = [group["name"] for group in content["inputs"] + content["input_sequences"]]
    else:
        names = ["variables"]
    feeds = {}
    for name in names:
        stored = f"X_{name}" if f"X_{name}" in data else next(key for key in data if key.startswith("X"))
        feeds[name] = data[stored]
        if data[stored].ndim == 3:
            feeds[f"{name}_length"] = data["len"]
    return feeds


@pytest.mark.parametrize(("case", "form"), CASES)
def test_answers(keras_module: Any, lwtnn_scores: Callable[..., Any], case: str, form: Form) -> None:
    """liblwtnn's answers are of the same weights in double precision, those of Keras in single precision."""
    content = _exported(case, form, keras_module)
    assert ("nodes" in content) == (form == "graph")
    with np.load(DATA / case / "data.npz") as answers, np.load(DATA / case / "keras.npz") as keras_answers:
        data, keras_scores = dict(answers), dict(keras_answers)
    found = lwtnn_scores(content, _feeds(content, data))
    liblwtnn = {key: values for key, values in data.items() if key.startswith("y_lwtnn")}
    assert liblwtnn
    assert keras_scores
    for scores, tolerance in ((liblwtnn, 1e-12), (keras_scores, 1e-5)):
        for key, expected in scores.items():
            result = found.get(key.split("_")[-1], found.get("scores"))
            np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance, err_msg=key)
