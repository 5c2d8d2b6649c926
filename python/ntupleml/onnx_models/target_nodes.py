"""From what a network gives to scores in their units, by what was learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.artifacts.keras_shapes import size_of
from ntupleml.features.images import directions, missing_energy
from ntupleml.onnx_models.arrays import OnnxArrays
from ntupleml.onnx_models.contract import OUTPUT
from ntupleml.targets import IMAGE_OUTPUT

if TYPE_CHECKING:
    from ntupleml.artifacts.record import ImageRecord, TargetRecord
    from ntupleml.onnx_models.graph import GraphBuilder


def in_units(graph: GraphBuilder, given: str, target: TargetRecord, output: str | None = None) -> str:
    """Values in their own units."""
    scaled = graph.add("Mul", given, graph.constant(target.scale, np.float32))
    return graph.add("Add", scaled, graph.constant(target.mean, np.float32), output=output)


def image_nodes(graph: GraphBuilder, given: str, target: TargetRecord, image: ImageRecord) -> None:
    """The image as an output, and as scores its missing transverse energy and the values behind it."""
    pixels, values = given, []
    if target.values:
        pixels, found = graph.split(given, [size_of(image.bins), len(target.values)])
        values = [in_units(graph, found, target)]
    shape = graph.constant([0, *image.bins], np.int64)
    graph.add("Reshape", pixels, shape, output=IMAGE_OUTPUT)
    # in double precision, as thousands of pixels cancel
    arrays = OnnxArrays(graph, np.float64)
    doubles = arrays.value(graph.cast(IMAGE_OUTPUT, np.float64))
    towards = directions(image.bins[1], image.source.phi_range)
    components = graph.cast(missing_energy(arrays, doubles, towards).name, np.float32)
    graph.add("Concat", components, *values, axis=1, output=OUTPUT)
