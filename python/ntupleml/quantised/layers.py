"""Quantised layers of a file as what they compute: their weights already rounded, their quantisers as widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts.qkeras_quantisers import read_quantiser
from ntupleml.quantised.fixed_point import FLOAT_BITS, Fixed, Quantiser, quantised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_network import KerasLayer

    Settings = Mapping[str, Any]


#: Kind of a dense layer of HGQ2; those of QKeras are others.
HGQ_DENSE = "hgq>QDense"


class QuantisedDense(NamedTuple):
    """A dense layer: inputs rounded, times the kernel, plus the bias, and a relu or nothing."""

    #: Shape (n_inputs, n_units).
    kernel: Fixed
    #: Shape (n_units,).
    bias: Fixed | None
    #: Of the inputs; None where another layer has rounded them, or they are taken as they are.
    inputs: Quantiser | None
    #: Of weights and biases.
    weights: Quantiser
    biases: Quantiser | None
    is_relu: bool = False
    #: Quantiser of the output, and its slope below 0.
    output: QuantisedRelu | None = None

    @property
    def sum_bits(self) -> int | None:
        """Most bits that a sum can need, the sign included; None where the inputs can be anything."""
        if self.inputs is None:
            return None
        lowest, highest = self.inputs.limits
        fraction = int(np.max(self.inputs.fraction)) + self.kernel.fraction
        largest = np.broadcast_to(np.maximum(-lowest, highest).ravel(), self.kernel.steps.shape[:1])
        total = largest @ np.abs(self.kernel.values)
        if self.bias is not None:
            fraction = max(fraction, self.bias.fraction)
            total = total + np.abs(self.bias.values)
        return int(np.ceil(np.log2(np.ldexp(float(total.max()), fraction) + 1))) + 1

    @property
    def is_exact_in_float32(self) -> bool:
        """Whether 32-bit floating-point numbers hold all sums exactly, in whatever order."""
        bits = self.sum_bits
        return bits is not None and bits - 1 <= FLOAT_BITS


class QuantisedRelu(NamedTuple):
    """What QKeras does behind a layer: clips, takes a slope below 0, and rounds."""

    quantiser: Quantiser
    #: Power of two, as the exponent of 1/2; None without one.
    slope: int | None = None

    @property
    def clips(self) -> Quantiser | None:
        """Range in which the slope does not saturate."""
        return None if self.slope is None else self.quantiser._replace(overflow="SAT")


def dense_of(layer: KerasLayer | tuple[str, Settings], weights: Sequence[NDArray[Any]]) -> QuantisedDense:
    """What a dense layer of HGQ2 or QKeras computes.

    Parameters
    ----------
    layer : KerasLayer, or (kind, settings)
    weights : sequence of array
        As `read_weights` gives them.
    """
    kind, settings = layer if isinstance(layer, tuple) else (layer.kind, layer.settings)
    if kind == HGQ_DENSE:
        return _hgq_dense(settings, weights)
    return _qkeras_dense(settings, weights, kind)


def _hgq_dense(settings: Settings, weights: Sequence[NDArray[Any]]) -> QuantisedDense:
    left = iter(weights)
    kernel = next(left)
    biased = settings.get("use_bias", True)
    bias = next(left) if biased else None
    for _ in range(2 if settings["enable_ebops"] else 0):
        next(left)
    of_kernel = _hgq_quantiser(settings["kq_conf"]["config"], left)
    of_bias = _hgq_quantiser(settings["bq_conf"]["config"], left) if biased else None
    of_inputs = _hgq_quantiser(settings["iq_conf"]["config"], left)
    return QuantisedDense(
        quantised(kernel, of_kernel),
        None if bias is None or of_bias is None else quantised(bias, of_bias),
        _of_columns(of_inputs),
        of_kernel,
        of_bias,
        is_relu=settings.get("activation") == "relu",
    )


def _hgq_quantiser(settings: Settings, left: Iterator[NDArray[Any]]) -> Quantiser:
    """Widths are learnt as real numbers; each is rounded, ties to even. `kbi` counts all bits but the sign."""
    overflow = settings["overflow_mode"]
    wraps = overflow == "WRAP"
    first, second, third = (next(left) for _ in range(3))
    if wraps:
        next(left)  # the speed at which the range shrinks in the training
    # trainable ones come first: the range is none of them where numbers go round
    sizes, sign, integer = (first, second, third) if wraps else (first, third, second)
    is_kbi = settings["q_type"] == "kbi"
    if not is_kbi and not wraps:
        integer, sizes = first, second
    bits, integer_bits = np.round(sizes).astype(np.int64), np.round(integer).astype(np.int64)
    if wraps and settings.get("is_weight") and settings.get("trainable") and (not is_kbi or _rounds_up(settings)):
        overflow = "NONE"  # HGQ2 looks at no range of weights whose range grows with them
    fraction = bits - integer_bits if is_kbi else bits
    return Quantiser(sign.astype(np.int64), integer_bits, fraction, settings["round_mode"], overflow)


def _rounds_up(settings: Settings) -> bool:
    return bool(settings["round_mode"] == "RND")


def _of_columns(quantiser: Quantiser) -> Quantiser:
    """Without the axis of the events."""
    sign, integer, fraction = (one[0] for one in quantiser[:3])
    return quantiser._replace(sign=sign, integer=integer, fraction=fraction)


def quantiser_of(settings: Settings, weights: Sequence[NDArray[Any]]) -> Quantiser:
    """What a layer `Quantizer` of HGQ2 does."""
    return _of_columns(_hgq_quantiser(settings["config"]["config"], iter(weights)))


def normalised_weights(
    kind: str, settings: Settings, weights: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Kernel and bias of a dense layer before they are rounded, a normalisation behind it folded into them."""
    left = list(weights)
    kernel = left.pop(0)
    bias = left.pop(0) if settings.get("use_bias", True) else None
    if not kind.endswith("QDenseBatchnorm"):
        return kernel, bias
    factor, summand = normalisation_of(settings, left)
    return factor * kernel, summand if bias is None else factor * bias + summand


def normalisation_of(
    settings: Settings, weights: Sequence[NDArray[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and summand of a normalisation over batches, by the averages of its training, in single precision."""
    given, mean, variance = weights[:-2], weights[-2], weights[-1]
    left = iter(given)
    factor = np.float32(1) / np.sqrt(variance + np.float32(settings.get("epsilon", 1e-3)))
    factor = factor * next(left) if settings.get("scale", True) else factor
    centre = next(left) if settings.get("center", True) else np.zeros_like(mean)
    return np.asarray(factor), np.asarray(centre - factor * mean)


def _qkeras_dense(settings: Settings, weights: Sequence[NDArray[Any]], kind: str) -> QuantisedDense:
    kernel, bias = normalised_weights(kind, settings, weights)
    of_kernel = _as_quantiser(read_quantiser(settings["kernel_quantizer"]))
    of_bias = None if bias is None else _as_quantiser(read_quantiser(settings["bias_quantizer"]))
    activation = settings.get("activation")
    return QuantisedDense(
        quantised(kernel, of_kernel),
        None if bias is None or of_bias is None else quantised(bias, of_bias),
        None,
        of_kernel,
        of_bias,
        is_relu=activation == "relu",
        output=None if activation in (None, "linear", "relu") else activation_of(settings),
    )


def _as_quantiser(read: Any) -> Quantiser:
    return Quantiser.of(read.sign, read.integer, read.fraction, "RND_CONV", "SAT_SYM" if read.symmetric else "SAT")


def activation_of(settings: Settings) -> QuantisedRelu:
    """What an activation of QKeras does."""
    read = read_quantiser(settings["activation"])
    return QuantisedRelu(_as_quantiser(read), read.slope)
