"""Networks of frugally-deep evaluated with NumPy, in single precision as the library computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts.keras_options import sizes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile

    Floats = NDArray[np.float32]

#: Events at a time.
_BATCH = 1000
_SELU_SCALE, _SELU_ALPHA = np.float32(1.0507009873554805), np.float32(1.6732632423543772)


def evaluate(file: KerasFile, inputs: Mapping[str, NDArray[Any]]) -> Floats:
    """Scores of events.

    Parameters
    ----------
    file : KerasFile
        What `read_frugally_deep` gives.
    inputs : mapping of str to array
        By the names of the inputs, events first.

    Returns
    -------
    array of float32, shape (n_events, n_outputs)
    """
    arrays = [np.asarray(inputs[name], dtype=np.float32) for name in file.network.input_names]
    starts = range(0, max(len(arrays[0]), 1), _BATCH)
    return np.concatenate([_of_batch(file, [one[start : start + _BATCH] for one in arrays]) for start in starts])


def raw_inputs(file: KerasFile, batch: Mapping[str, NDArray[Any]], missing: float | None) -> dict[str, Floats]:
    """What an exported network takes, in its order, from a batch of raw inputs.

    Parameters
    ----------
    batch : mapping of str to array
        By the names of the groups; for objects also their number, ``{name}_length``, from which the mask comes.
    missing : float, optional
        What replaces NaN and infinite values.
    """
    inputs = {}
    for name, shape in file.network.inputs.items():
        length = batch.get(f"{name.removesuffix('_mask')}_length")
        if name not in batch and length is not None:
            values = np.arange(shape[0] or 0) < length[:, np.newaxis]
        else:
            values = batch[name]
            if missing is not None:
                values = np.where(np.isfinite(values), values, missing)
        inputs[name] = values.astype(np.float32)
    return inputs


def _of_batch(file: KerasFile, arrays: Sequence[Floats]) -> Floats:
    network = file.network
    values = dict(enumerate(arrays))
    for call in network.calls:
        layer = call.layer
        parts = _Parts([values[one] for one in call.inputs], layer.settings, file.weights[layer.names])
        values[call.output] = EVALUATORS[layer.kind](parts)
    return values[network.output]


class _Parts(NamedTuple):
    """What a layer computes from; events are the first axis of its inputs."""

    inputs: Sequence[Floats]
    settings: Mapping[str, Any]
    weights: Sequence[Floats]

    @property
    def value(self) -> Floats:
        return self.inputs[0]


def _sigmoid(value: Floats) -> Floats:
    power = np.exp(-np.abs(value))
    return np.asarray(np.where(value >= 0, 1, power) / (1 + power))


def _softplus(value: Floats) -> Floats:
    return np.maximum(value, 0) + np.log1p(np.exp(-np.abs(value)))


def _elu(value: Floats, alpha: float = 1.0) -> Floats:
    return np.where(value > 0, value, np.float32(alpha) * np.expm1(np.minimum(value, 0)))


def _leaky(value: Floats, slope: float = 0.2) -> Floats:
    return np.where(value > 0, value, np.float32(slope) * value)


def _softmax(value: Floats) -> Floats:
    """The library takes the largest value of the event from all, also where it has a softmax for each step."""
    powers = np.exp(value - value.max(axis=tuple(range(1, value.ndim)), keepdims=True))
    sums = powers.sum(axis=-1, keepdims=True)
    shares: Floats = np.divide(powers, sums, out=np.zeros_like(powers), where=sums > 0)
    return shares


def _log_softmax(value: Floats) -> Floats:
    shifted = value - value.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _gelu(value: Floats) -> Floats:
    from scipy.special import erf

    return np.asarray(value * (1 + erf(value / np.float32(np.sqrt(2)))) / 2, dtype=np.float32)


def _sparse_plus(value: Floats) -> Floats:
    return np.where(value < 1, np.square(np.maximum(value + 1, 0)) / 4, value)


#: Activations that frugally-deep has by their name alone.
ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "celu": _elu,  # with α = 1 they are the same
    "elu": _elu,
    "exponential": np.exp,
    "gelu": _gelu,
    "hard_sigmoid": lambda value: np.clip(value / 6 + np.float32(0.5), 0, 1),
    "hard_tanh": lambda value: np.clip(value, -1, 1),
    "leaky_relu": _leaky,
    "linear": lambda value: value,
    "log_sigmoid": lambda value: -_softplus(-value),
    "log_softmax": _log_softmax,
    "relu": lambda value: np.maximum(value, 0),
    "relu6": lambda value: np.clip(value, 0, 6),
    "selu": lambda value: _SELU_SCALE * _elu(value, float(_SELU_ALPHA)),
    "sigmoid": _sigmoid,
    "silu": lambda value: value * _sigmoid(value),
    "softmax": _softmax,
    "softplus": _softplus,
    "softsign": lambda value: value / (1 + np.abs(value)),
    "sparse_plus": _sparse_plus,
    "squareplus": lambda value: (value + np.sqrt(np.square(value) + 4)) / 2,
    "swish": lambda value: value * _sigmoid(value),
    "tanh": np.tanh,
    "tanh_shrink": lambda value: value - np.tanh(value),
}


def _activated(parts: _Parts, value: Floats, key: str = "activation", default: str = "linear") -> Floats:
    return ACTIVATIONS[parts.settings.get(key) or default](value)


def _dense(parts: _Parts) -> Floats:
    kernel, *bias = parts.weights
    return _activated(parts, sum(bias, parts.value @ kernel))


def _dot(parts: _Parts) -> Floats:
    """Products of two matrices along one axis of each, counted from 1."""
    axes = parts.settings["axes"]
    one, two = axes if isinstance(axes, list) else (axes, axes)
    first, second = parts.inputs
    products: Floats = np.matmul(
        first if one == 2 else first.swapaxes(1, 2), second if two == 1 else second.swapaxes(1, 2)
    )
    return products


def _windows(parts: _Parts, spans: Sequence[int], strides: Sequence[int], fill: float) -> Floats:
    """Windows along the axes between events and channels: events × places × channels × positions in the window."""
    value, axes = parts.value, range(1, len(spans) + 1)
    if parts.settings.get("padding") == "same":
        pads = []
        for size, span, stride in zip(value.shape[1:], spans, strides, strict=False):
            lacking = max((-(-size // stride) - 1) * stride + span - size, 0)
            pads.append((lacking // 2, lacking - lacking // 2))
        value = np.pad(value, [(0, 0), *pads, (0, 0)], constant_values=fill)
    windows: Floats = np.lib.stride_tricks.sliding_window_view(value, spans, axis=tuple(axes))
    places: tuple[Any, ...] = tuple(slice(None, None, stride) for stride in (1, *strides))
    found: Floats = windows[places]
    return found


def _convolution(axes: int) -> Evaluate:
    def evaluator(parts: _Parts) -> Floats:
        settings = parts.settings
        kernel, *bias = parts.weights
        strides, dilation = (sizes_of(settings.get(key, 1), axes) for key in ("strides", "dilation_rate"))
        spans = [(size - 1) * step + 1 for size, step in zip(kernel.shape, dilation, strict=False)]
        windows = _windows(parts, spans, strides, 0.0)
        positions: tuple[Any, ...] = (..., *(slice(None, None, step) for step in dilation))
        windows = windows[positions]
        own = [axes + 1, *range(axes + 2, 2 * axes + 2)]  # channels, then positions in the window
        found = np.tensordot(windows, kernel, (own, [axes, *range(axes)]))
        return _activated(parts, sum(bias, found))

    return evaluator


def _pooling(axes: int, function: Callable[..., Floats], fill: float) -> Evaluate:
    def evaluator(parts: _Parts) -> Floats:
        pool = sizes_of(parts.settings.get("pool_size", 2), axes)
        strides = sizes_of(parts.settings.get("strides") or parts.settings.get("pool_size", 2), axes)
        return function(_windows(parts, pool, strides, fill), axis=tuple(range(-axes, 0)))

    return evaluator


def _over_all(axes: int, function: Callable[..., Floats]) -> Evaluate:
    return lambda parts: function(parts.value, axis=tuple(range(1, axes + 1)))


def _batch_normalization(parts: _Parts) -> Floats:
    *_, mean, variance = parts.weights
    width = np.sqrt(variance + np.float32(parts.settings.get("epsilon", 1e-3)))
    return _scaled(parts, (parts.value - mean), width)


def _layer_normalization(parts: _Parts) -> Floats:
    centred = parts.value - parts.value.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return _scaled(parts, centred, np.sqrt(variance + np.float32(parts.settings.get("epsilon", 1e-3))))


def _scaled(parts: _Parts, centred: Floats, width: Floats) -> Floats:
    weights = iter(parts.weights)
    if parts.settings.get("scale", True):
        centred = centred * next(weights)
    result = centred / width
    return result + next(weights) if parts.settings.get("center", True) else result


def _states(parts: _Parts, step: Callable[[Floats], Floats]) -> Floats:
    """The state after the last step, or after each."""
    states = [step(parts.value[:, place]) for place in range(parts.value.shape[1])]
    return np.stack(states, axis=1) if parts.settings.get("return_sequences") else states[-1]


def _lstm(parts: _Parts) -> Floats:
    """Gates in Keras' order: input, forget, cell, output."""
    kernel, recurrent, *bias = parts.weights
    units = len(recurrent)
    hidden = cell = np.zeros((len(parts.value), units), np.float32)

    def step(values: Floats) -> Floats:
        nonlocal hidden, cell
        gates = sum(bias, values @ kernel + hidden @ recurrent)
        given, forget, candidate, output = np.split(gates, 4, axis=1)
        given, forget, output = (_gate(parts, one) for one in (given, forget, output))
        cell = forget * cell + given * _activated(parts, candidate, default="tanh")
        hidden = output * _activated(parts, cell, default="tanh")
        return hidden

    return _states(parts, step)


def _gate(parts: _Parts, value: Floats) -> Floats:
    return _activated(parts, value, "recurrent_activation", "sigmoid")


def _gru(parts: _Parts) -> Floats:
    """Gates in Keras' order: update, reset, candidate; the reset acts behind the recurrent matrix, or before it."""
    kernel, recurrent, *bias = parts.weights
    units = len(recurrent)
    after = parts.settings.get("reset_after", True)
    biases = np.zeros((2, 3 * units), np.float32)
    if bias:
        biases[: 2 if after else 1] = bias[0]
    state = np.zeros((len(parts.value), units), np.float32)

    def step(values: Floats) -> Floats:
        nonlocal state
        given = values @ kernel + biases[0]
        update, reset = np.split(
            _gate(parts, given[:, : 2 * units] + state @ recurrent[:, : 2 * units] + biases[1, : 2 * units]), 2, axis=1
        )
        last, of_last = recurrent[:, 2 * units :], biases[1, 2 * units :]
        inner = reset * (state @ last + of_last) if after else (reset * state) @ last
        candidate = _activated(parts, given[:, 2 * units :] + inner, default="tanh")
        state = update * state + (1 - update) * candidate
        return state

    return _states(parts, step)


def _relu(parts: _Parts) -> Floats:
    settings = parts.settings
    threshold, slope = (np.float32(settings.get(key) or 0.0) for key in ("threshold", "negative_slope"))
    largest = settings.get("max_value")
    above = parts.value if largest is None else np.minimum(parts.value, np.float32(largest))
    return np.where(parts.value >= threshold, above, slope * (parts.value - threshold))


def _product(parts: _Parts) -> Floats:
    result, *others = parts.inputs
    for other in others:
        result = result * other
    return result


if TYPE_CHECKING:
    Evaluate = Callable[[_Parts], Floats]

#: Layers by class.
EVALUATORS: dict[str, Evaluate] = {
    "Activation": lambda parts: _activated(parts, parts.value),
    "Add": lambda parts: sum(parts.inputs[1:], parts.value),
    "Average": lambda parts: sum(parts.inputs[1:], parts.value) / np.float32(len(parts.inputs)),
    "AveragePooling1D": _pooling(1, np.nanmean, np.nan),
    "AveragePooling2D": _pooling(2, np.nanmean, np.nan),
    "BatchNormalization": _batch_normalization,
    "Concatenate": lambda parts: np.concatenate(parts.inputs, axis=-1),
    "Conv1D": _convolution(1),
    "Conv2D": _convolution(2),
    "Dense": _dense,
    "Dot": _dot,
    "ELU": lambda parts: _elu(parts.value, parts.settings.get("alpha", 1.0)),
    "Flatten": lambda parts: parts.value.reshape(len(parts.value), -1),
    "GRU": _gru,
    "GlobalAveragePooling1D": _over_all(1, np.mean),
    "GlobalAveragePooling2D": _over_all(2, np.mean),
    "GlobalMaxPooling1D": _over_all(1, np.max),
    "GlobalMaxPooling2D": _over_all(2, np.max),
    "LSTM": _lstm,
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": lambda parts: _leaky(parts.value, parts.settings.get("negative_slope", 0.3)),
    "MaxPooling1D": _pooling(1, np.max, -np.inf),
    "MaxPooling2D": _pooling(2, np.max, -np.inf),
    "Maximum": lambda parts: np.maximum.reduce(parts.inputs),
    "Minimum": lambda parts: np.minimum.reduce(parts.inputs),
    "Multiply": _product,
    "ReLU": _relu,
    "Rescaling": lambda parts: parts.value * np.float32(parts.settings["scale"]) + np.float32(parts.settings["offset"]),
    "Reshape": lambda parts: parts.value.reshape(len(parts.value), *parts.settings["target_shape"]),
    "Softmax": lambda parts: _softmax(parts.value),
    "Subtract": lambda parts: parts.inputs[0] - parts.inputs[1],
}
