"""Keras layers on sequences, recurrent ones and convolutions, as lwtnn's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.lwtnn.export_layers import Activation, activation_of
from ntupleml.lwtnn.export_parts import ActivationEntry, LayerEntry, array, flat, refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class ConvertedSequence(NamedTuple):
    """A Keras layer on sequences in lwtnn's form."""

    #: For a node of type `sequence`.
    layer: LayerEntry
    #: What follows it, at each step.
    after: list[LayerEntry]
    width: int
    #: Whether Keras gives all steps, or the last one.
    returns_sequence: bool


def convert_sequence_layer(layer: Any) -> ConvertedSequence | None:
    """A recurrent layer or a convolution; None if the layer is another one. Refused where lwtnn has not its like."""
    name = type(layer).__name__
    return _CONVERTERS[name](layer) if name in _CONVERTERS else None


#: lwtnn's letters of the gates in the order of Keras' columns.
_GATES = {"LSTM": "ifco", "GRU": "zrh", "SimpleRNN": "h"}


def _recurrent(layer: Any) -> ConvertedSequence:
    name = type(layer).__name__
    _refuse_options(layer)
    gates = _GATES[name]
    kernel, recurrent = (array(layer, values) for values in (layer.cell.kernel, layer.cell.recurrent_kernel))
    bias = array(layer, layer.cell.bias) if layer.use_bias else np.zeros(kernel.shape[1])
    components = {
        gate: {"weights": flat(weights.T), "U": flat(matrix.T), "bias": flat(offset)}
        for gate, weights, matrix, offset in zip(
            gates, *(np.split(values, len(gates), axis=-1) for values in (kernel, recurrent, bias)), strict=True
        )
    }
    result = {
        "architecture": name.lower(),
        "components": components,
        "activation": _inside(layer, layer.activation, "activation"),
    }
    if name != "SimpleRNN":
        result["inner_activation"] = _inside(layer, layer.recurrent_activation, "recurrent_activation")
    return ConvertedSequence(result, [], recurrent.shape[0], bool(layer.return_sequences))


def _refuse_options(layer: Any) -> None:
    if layer.go_backwards:
        refuse(layer, "go_backwards=True: lwtnn reads sequences forwards only")
    if getattr(layer, "reset_after", False):
        refuse(
            layer,
            "reset_after=True (Keras' default) applies the reset gate after the recurrent matrix, lwtnn before it; "
            "train with GRU(…, reset_after=False)",
        )
    if layer.stateful:
        refuse(layer, "stateful=True: lwtnn begins each event anew")
    if layer.return_state:
        refuse(layer, "return_state=True: lwtnn gives no states")


def _inside(layer: Any, function: Any, key: str) -> ActivationEntry:
    """An activation inside the recurrence, which must be a single function."""
    activation = activation_of(layer, function, int(layer.units))
    if activation.after or activation.mixes:
        name = getattr(function, "__name__", type(function).__name__)
        refuse(layer, f"{key} '{name}' is not one of lwtnn's functions, of which a recurrence takes a single one")
    return activation.function


def _convolution(layer: Any) -> ConvertedSequence:
    for key, wanted in (("strides", 1), ("groups", 1), ("data_format", "channels_last")):
        value = getattr(layer, key)
        value = value[0] if isinstance(value, tuple) else value
        if value != wanted:
            refuse(layer, f"{key}={value}: lwtnn has only {wanted}")
    kernel = array(layer, layer.kernel)  # steps × inputs × outputs
    dilation = int(layer.dilation_rate[0])
    if layer.padding == "same" and (len(kernel) - 1) * dilation % 2:
        kernel, dilation = _odd_kernel(kernel, dilation), 1
    width = kernel.shape[2]
    activation = activation_of(layer, layer.activation, width, rank=3)
    if activation.mixes:  # lwtnn would take the softmax over the steps
        activation = Activation("linear", tuple(activation.as_layers()))
    result = {
        "architecture": "conv1d",
        "weights": flat(kernel.T),
        "bias": flat(array(layer, layer.bias) if layer.use_bias else np.zeros(width)),
        "padding": layer.padding,
        "dilation_rate": dilation,
        "activation": activation.function,
    }
    return ConvertedSequence(result, list(activation.after), width, returns_sequence=True)


def _odd_kernel(kernel: NDArray[np.float64], dilation: int) -> NDArray[np.float64]:
    """The same kernel with a zero in front, and the gaps of its dilation filled with zeros.

    Where a kernel reaches over an odd number of steps, Keras puts the smaller half of the padding in front, lwtnn the
    larger one; a kernel with one more step in front sees the same numbers with equal halves.
    """
    spread = np.zeros((1 + (len(kernel) - 1) * dilation, *kernel.shape[1:]))
    spread[::dilation] = kernel
    return np.concatenate([np.zeros((1, *kernel.shape[1:])), spread])


_CONVERTERS: dict[str, Callable[[Any], ConvertedSequence]] = {
    "Conv1D": _convolution,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "SimpleRNN": _recurrent,
}
