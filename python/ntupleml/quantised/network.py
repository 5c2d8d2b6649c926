"""A quantised network evaluated with NumPy: whole numbers where the file rounds, as the hardware has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.quantised.fixed_point import Fixed, product, quantised, shifted
from ntupleml.quantised.layers import QuantisedRelu, activation_of, dense_of, normalisation_of, quantiser_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile
    from ntupleml.artifacts.keras_network import KerasLayer
    from ntupleml.quantised.fixed_point import Quantiser

    #: Whole numbers of steps, or floating-point numbers where nothing has rounded them.
    Values = Fixed | NDArray[np.floating]

#: Beginnings of the kinds of quantised layers.
_KINDS = ("hgq>", "qkeras>")


def is_quantised(file: KerasFile) -> bool:
    """Whether a network has quantised layers."""
    return any(layer.kind.startswith(_KINDS) for layer in file.network.layers)


def evaluate(file: KerasFile, inputs: NDArray[np.float32] | Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """What a quantised network gives, exactly up to where its numbers are fixed.

    Parameters
    ----------
    file : KerasFile
        What `read_keras_file` or `read_qkeras_file` gives.
    inputs : array of float32, shape (n_events, n_inputs), or mapping of str to array
        As the network takes them, scaled; several by their names.

    Returns
    -------
    array of float64, shape (n_events, n_outputs)
        Fixed numbers are exact; a softmax behind them is computed in double precision.

    Raises
    ------
    NtuplemlError
        If a layer has no quantised form, an input is not finite, or a sum needs more than 53 bits.
    """
    network = file.network
    given = inputs if isinstance(inputs, np.ndarray) else {name: inputs[name] for name in network.input_names}
    arrays: Sequence[Any] = [given] if isinstance(given, np.ndarray) else list(given.values())
    values: dict[int, Any] = dict(enumerate(arrays))
    for call in network.calls:
        layer = call.layer
        if layer.kind not in _LAYERS:
            raise NtuplemlError(f"{network.where}: {layer.title} has no form in whole numbers")
        taken = [values[number] for number in call.inputs]
        values[call.output] = _LAYERS[layer.kind](taken, layer, file.weights[layer.names])
    result = values[network.output]
    return result.values if isinstance(result, Fixed) else np.asarray(result, np.float64)


def _rounded(values: Values, quantiser: Quantiser | None) -> Values:
    return values if quantiser is None else quantised(values, quantiser)


def _dense(values: Sequence[Values], layer: KerasLayer, weights: Sequence[NDArray[Any]]) -> Values:
    dense = dense_of(layer, weights)
    taken = _rounded(values[0], dense.inputs)
    if isinstance(taken, Fixed):
        result: Values = product(taken, dense.kernel, dense.bias)
    else:
        result = _single_product(taken, dense.kernel.values)
        result = result if dense.bias is None else result + dense.bias.values.astype(np.float32)
    if dense.is_relu:
        result = _relu(result)
    return result if dense.output is None else _qkeras_activation(result, dense.output)


def _single_product(values: NDArray[np.floating], kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    """Product of numbers that nothing has rounded, in single precision.

    Each product is added to the sum before it is rounded, in the order of the inputs, as TensorFlow and ONNX Runtime do
    on processors that have such an instruction: a number in the middle of two steps then goes the same way.
    """
    sums = np.zeros((len(values), kernel.shape[1]), np.float32)
    for column, weights in zip(values.T.astype(np.float64), kernel, strict=True):
        sums = (sums + column[:, np.newaxis] * weights).astype(np.float32)
    return sums


def _relu(values: Values) -> Values:
    if isinstance(values, Fixed):
        return values._replace(steps=np.maximum(values.steps, 0))
    return np.maximum(values, 0)


def _sloped(values: Values, exponent: int) -> Values:
    """Values, those below 0 divided by a power of two."""
    if not isinstance(values, Fixed):
        return np.where(values < 0, np.ldexp(values, -exponent), values)
    finer = shifted(values, exponent)
    return finer._replace(steps=np.where(values.steps < 0, values.steps, finer.steps))


def _qkeras_activation(values: Values, activation: QuantisedRelu) -> Values:
    if activation.slope is not None:
        clips = activation.clips
        assert clips is not None
        lowest = float(clips.limits[0])
        values = _at_least(values, lowest)
        values = _sloped(values, activation.slope)
    return quantised(values, activation.quantiser)


def _at_least(values: Values, lowest: float) -> Values:
    if isinstance(values, Fixed):
        return values._replace(steps=np.maximum(values.steps, np.int64(np.ldexp(lowest, values.fraction))))
    return np.maximum(values, lowest)


def _quantiser(values: Sequence[Values], layer: KerasLayer, weights: Sequence[NDArray[Any]]) -> Values:
    return quantised(values[0], quantiser_of(layer.settings, weights))


def _activation_layer(values: Sequence[Values], layer: KerasLayer, _weights: Sequence[NDArray[Any]]) -> Values:
    return _qkeras_activation(values[0], activation_of(layer.settings))


def _activation(values: Sequence[Values], layer: KerasLayer, _weights: Sequence[NDArray[Any]]) -> Values:
    name = layer.settings.get("activation") or "linear"
    if name == "linear":
        return values[0]
    if name == "relu":
        return _relu(values[0])
    if name != "softmax":
        raise NtuplemlError(f"{layer.title}: '{name}' has no form in whole numbers")
    numbers = values[0].values if isinstance(values[0], Fixed) else values[0]
    powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _batch_normalization(values: Sequence[Values], layer: KerasLayer, weights: Sequence[NDArray[Any]]) -> Values:
    """By the averages of the training; what comes out is not rounded."""
    factor, summand = normalisation_of(layer.settings, weights)
    numbers = values[0].values if isinstance(values[0], Fixed) else values[0]
    return numbers.astype(np.float32) * factor + summand


def _leaky_relu(values: Sequence[Values], layer: KerasLayer, _weights: Sequence[NDArray[Any]]) -> Values:
    slope = float(layer.settings.get("negative_slope", layer.settings.get("alpha", 0.3)))
    exponent = -np.log2(slope) if slope > 0 else np.nan
    if exponent < 0 or exponent != int(exponent):
        raise NtuplemlError(f"{layer.title}: its slope {slope} is no power of two below 1")
    return _sloped(values[0], int(exponent))


def _relu_layer(values: Sequence[Values], layer: KerasLayer, _weights: Sequence[NDArray[Any]]) -> Values:
    if (
        layer.settings.get("max_value") is not None
        or layer.settings.get("negative_slope")
        or layer.settings.get("threshold")
    ):
        raise NtuplemlError(f"{layer.title}: a relu with further settings has no form in whole numbers")
    return _relu(values[0])


def _unchanged(values: Sequence[Values], _layer: KerasLayer, _weights: Sequence[NDArray[Any]]) -> Values:
    return values[0]


def _concatenated(values: Sequence[Values], _layer: KerasLayer, _weights: Sequence[NDArray[Any]]) -> Values:
    fixed = [value for value in values if isinstance(value, Fixed)]
    if len(fixed) < len(values):
        return np.concatenate([value.values if isinstance(value, Fixed) else value for value in values], axis=-1)
    finest = max(value.fraction for value in fixed)
    return Fixed(np.concatenate([shifted(value, finest - value.fraction).steps for value in fixed], axis=-1), finest)


if TYPE_CHECKING:
    _Layer = Callable[[Sequence[Values], KerasLayer, Sequence[NDArray[Any]]], Values]

#: Kinds of layers that have a form in whole numbers.
_LAYERS: dict[str, _Layer] = {
    "Activation": _activation,
    "ActivityRegularization": _unchanged,
    "AlphaDropout": _unchanged,
    "BatchNormalization": _batch_normalization,
    "Concatenate": _concatenated,
    "Dropout": _unchanged,
    "GaussianDropout": _unchanged,
    "GaussianNoise": _unchanged,
    "LeakyReLU": _leaky_relu,
    "ReLU": _relu_layer,
    "hgq>QDense": _dense,
    "hgq>Quantizer": _quantiser,
    "ntupleml>LatentDraw": _unchanged,
    "qkeras>QActivation": _activation_layer,
    "qkeras>QBatchNormalization": _batch_normalization,
    "qkeras>QDense": _dense,
    "qkeras>QDenseBatchnorm": _dense,
}
