"""Layers on images in (η, φ), `ntupleml.models.layers.images`, as ONNX operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.artifacts.keras_options import sizes_of
from ntupleml.onnx_models.layer_parts import constant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.onnx_models.layer_parts import LayerParts

#: Of images, rows × η × φ × channels.
_PHI = 2


def periodic_padding(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Pixels of the other end in φ, a constant beyond the ends of η."""
    (image,), size, phi = values, parts.settings["size"], parts.shape[_PHI - 1]
    assert phi is not None, "the shapes have been checked"

    def columns(first: int, end: int) -> str:
        bounds = (graph.constant([one], np.int64) for one in (first, end, _PHI))
        return graph.add("Slice", image, *bounds)

    around = graph.add("Concat", columns(phi - size, phi), image, columns(0, size), axis=_PHI)
    pads = graph.constant([0, size, 0, 0, 0, size, 0, 0], np.int64)
    return graph.add("Pad", around, pads, constant(graph, parts.settings.get("constant", 0.0)))


def with_both_kernels(parts: LayerParts) -> LayerParts:
    """The weights of a reflected convolution as those of a plain one: its kernel, and the same reversed along η."""
    kernel, *bias = parts.weights
    both = np.concatenate([kernel, kernel[::-1]], axis=-1)
    return parts._replace(weights=[both, *(np.tile(one, 2) for one in bias)])


def repeated(graph: GraphBuilder, values: Sequence[str], parts: LayerParts) -> str:
    """Each pixel several times along both axes."""
    scales = constant(graph, [1, *sizes_of(parts.settings.get("size", 2), 2), 1])
    return graph.add(
        "Resize",
        values[0],
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
