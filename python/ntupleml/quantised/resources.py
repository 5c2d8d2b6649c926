"""What a quantised network costs in hardware: bit widths and effective bit operations (EBOPs) per layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.quantised.layers import activation_of, dense_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile
    from ntupleml.quantised.fixed_point import Quantiser


class LayerResources(NamedTuple):
    """What a dense layer costs."""

    layer: str
    inputs: int
    units: int
    #: Mean width of inputs, weights and biases, the sign included.
    input_bits: float
    weight_bits: float
    bias_bits: float
    #: Weights that are not 0 after rounding.
    nonzero_weights: int
    #: Widest sum, the sign included; None where the inputs can be anything.
    sum_bits: int | None
    #: Effective bit operations; None where the inputs can be anything.
    ebops: int | None


def resources_of(file: KerasFile) -> list[LayerResources]:
    """Resources of each dense layer, in the order of computation.

    Notes
    -----
    EBOPs of a layer are Σ b_input b_weight over its products, plus the mean width of its biases per output, with the
    widths and the count of HGQ2 (Sun et al., arXiv:2405.00645, eq. 5): the sign is counted where the range saturates
    unsymmetrically, as HGQ2 does.
    """
    found = []
    before: Quantiser | None = None
    for call in file.network.calls:
        layer = call.layer
        weights = file.weights[layer.names]
        if layer.kind.endswith("QDense") or layer.kind.endswith("QDenseBatchnorm"):
            dense = dense_of(layer, weights)
            found.append(_of_dense("/".join(layer.names), dense, dense.inputs or before))
            before = dense.output.quantiser if dense.output else None
        elif layer.kind == "qkeras>QActivation":
            before = activation_of(layer.settings).quantiser
    return found


def _of_dense(name: str, dense: Any, inputs: Quantiser | None) -> LayerResources:
    shape = dense.kernel.steps.shape
    weight_bits = np.broadcast_to(_counted(dense.weights), shape)
    bias_bits = 0.0 if dense.biases is None else np.broadcast_to(_counted(dense.biases), shape[1:]).mean()
    input_bits = np.broadcast_to(0 if inputs is None else _counted(inputs), shape[:1])
    ebops = float((input_bits @ weight_bits).sum() + bias_bits * shape[1])
    return LayerResources(
        name,
        inputs=shape[0],
        units=shape[1],
        input_bits=_mean_width(inputs, shape[:1]),
        weight_bits=_mean_width(dense.weights, shape),
        bias_bits=_mean_width(dense.biases, shape[1:]),
        nonzero_weights=int(np.count_nonzero(dense.kernel.steps)),
        sum_bits=dense._replace(inputs=inputs).sum_bits,
        ebops=None if inputs is None else int(ebops),
    )


def _counted(quantiser: Quantiser) -> NDArray[np.float64]:
    """Widths as HGQ2 counts them."""
    size = np.maximum(quantiser.integer + quantiser.fraction, 0)
    return np.asarray(size + quantiser.sign if quantiser.overflow == "SAT" else size, np.float64)


def _mean_width(quantiser: Quantiser | None, shape: Sequence[int]) -> float:
    return 0.0 if quantiser is None else float(np.broadcast_to(quantiser.bits, shape).mean())
