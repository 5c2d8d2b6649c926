"""Every number of every layer is bounded, and so is what layers compute on the way from inputs to outputs."""

from __future__ import annotations

from typing import Any

import pytest

from ntupleml.artifacts.keras_config import read_network_config
from ntupleml.artifacts.keras_layers import COMMON, LAYERS
from ntupleml.errors import NtuplemlError

Config = dict[str, Any]
MANY = 10**9


def network(kind: str, settings: Config, shapes: list[list[int]]) -> Config:
    """Description of a network of one layer `x` on inputs `in0`, `in1`, …"""

    def item(kind: str, /, **config: Any) -> Config:
        return {"module": "keras.layers", "class_name": kind, "config": config, "inbound_nodes": []}

    starts = [f"in{number}" for number in range(len(shapes))]
    inputs = [
        item("InputLayer", name=name, batch_shape=[None, *shape]) for name, shape in zip(starts, shapes, strict=True)
    ]
    tensors = [{"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, 0]}} for name in starts]
    layer = item(kind.removeprefix("ntupleml>"), name="x", **settings)
    layer["inbound_nodes"] = [{"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {}}]
    if kind.startswith("ntupleml>"):
        layer |= {"module": "ntupleml.models.layers", "registered_name": kind}
    places = {name: [name, 0, 0] for name in starts}
    config = {"name": "n", "layers": [*inputs, layer], "input_layers": places, "output_layers": ["x", 0, 0]}
    return {"module": "keras", "class_name": "Functional", "config": config}


#: Layers whose inputs and outputs have 100,000 numbers at most; what is between took gigabytes in Keras.
BETWEEN: dict[str, tuple[str, Config, list[list[int]]]] = {
    "scores of attention": ("ntupleml>SelfAttention", {"heads": 1}, [[8_000, 3], [8_000]]),
    "scores of attention between two": ("ntupleml>CrossAttention", {"heads": 2}, [[6_000, 2], [6_000, 4], [6_000]]),
    "distances": ("ntupleml>Neighbours", {"neighbours": 5}, [[5_000, 3], [5_000]]),
    "padding for a dilation": (
        "Conv2D",
        {"filters": 1, "kernel_size": 3, "padding": "same", "dilation_rate": 3_000},
        [[6, 8, 2]],
    ),
    "gates": ("LSTM", {"units": 1_000}, [[20_000, 1]]),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_computed_on_the_way_counts(name: str) -> None:
    message = "file: refused: layer 'x': it computes more than 50,000,000 numbers per event on the way to its output"
    with pytest.raises(NtuplemlError, match=message):
        read_network_config(network(*BETWEEN[name]), "file")


def test_a_convolution_of_an_image_counts_once() -> None:
    """What lies around an image for a window at its edge: 8 × 10 pixels of 2 channels, of which 6 × 8 are inside."""
    shapes = LAYERS["Conv2D"].shapes({"filters": 4, "kernel_size": [3, 3], "padding": "same"}, [(6, 8, 2)])
    assert shapes.between == 2 * (8 * 10 - 6 * 8)


#: Settings that may be 10⁹, and what bounds the memory then.
_ARITHMETIC = (
    "seed l1 l2 alpha stddev negative_slope mean variance max_value threshold scale offset ebops_factor beta0 "
    "parallelization_factor radius constant"
)
LARGE_SETTINGS = {
    **dict.fromkeys(("units", "filters", "number"), "numbers per event, and weights that are all in the file"),
    "heads": "divides the width",
    **dict.fromkeys(_ARITHMETIC.split(), "a number of the arithmetic, which makes nothing longer"),
}
#: QKeras describes quantisers by texts, read with the shapes; lists of numbers have to be as long as the input.
READ_WITH_THE_SHAPES = {"activation", "kernel_quantizer", "bias_quantizer", "mean", "variance", "scale", "offset"}


def test_every_setting_of_every_layer_is_bounded() -> None:
    """A setting that is huge, long, deep or an object is refused, or stands above."""
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    hostile: dict[str, Any] = {
        "huge": MANY,
        "more digits than a float": 10**400,
        "NaN": float("nan"),
        "long text": "x" * 5_000,
        "long list": [1] * 10_000,
        "deep list": deep,
        "deep object": {"module": "keras.layers", "class_name": "ReLU", "config": {"max_value": deep}},
        "object": {"module": "os", "class_name": "system", "config": {}},
    }
    for kind, known in LAYERS.items():
        for key, check in (COMMON | known.settings).items():
            accepted = {name for name, value in hostile.items() if check(value)}
            assert accepted <= {"huge"} or key in READ_WITH_THE_SHAPES, (kind, key, accepted)
            assert "huge" not in accepted or key in LARGE_SETTINGS, (kind, key)
