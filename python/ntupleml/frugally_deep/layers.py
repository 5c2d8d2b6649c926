"""The layers of frugally-deep that are written and read here: their settings, and how the file keeps their weights.

Format: frugally-deep 0.20, ``keras_export/convert_model.py`` and ``include/fdeep/import_model.hpp``.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_shapes import Shape

_CONVOLUTION = {
    "filters": 1,
    "kernel_size": 1,
    "strides": 1,
    "padding": "valid",
    "dilation_rate": 1,
    "use_bias": True,
    "activation": "linear",
}
_POOLING = {"pool_size": 2, "strides": None, "padding": "valid"}
_RECURRENT = {
    "units": 1,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "use_bias": True,
    "return_sequences": False,
}
#: By the class of a layer what its description has, with Keras' values where a Keras file leaves them out.
SETTINGS: dict[str, dict[str, Any]] = {
    "Activation": {"activation": "linear"},
    "Add": {},
    "Average": {},
    "AveragePooling1D": _POOLING,
    "AveragePooling2D": _POOLING,
    "BatchNormalization": {"axis": -1, "epsilon": 1e-3, "center": True, "scale": True},
    "Concatenate": {"axis": -1},
    "Conv1D": _CONVOLUTION,
    "Conv2D": _CONVOLUTION,
    "Dense": {"units": 1, "use_bias": True, "activation": "linear"},
    "Dot": {"axes": [2, 2], "normalize": False},
    "ELU": {"alpha": 1.0},
    "Flatten": {},
    "GRU": {**_RECURRENT, "reset_after": True},
    "GlobalAveragePooling1D": {"keepdims": False},
    "GlobalAveragePooling2D": {"keepdims": False},
    "GlobalMaxPooling1D": {"keepdims": False},
    "GlobalMaxPooling2D": {"keepdims": False},
    "LSTM": _RECURRENT,
    "LayerNormalization": {"axis": -1, "epsilon": 1e-3, "center": True, "scale": True},
    "LeakyReLU": {"negative_slope": 0.3},
    "MaxPooling1D": _POOLING,
    "MaxPooling2D": _POOLING,
    "Maximum": {},
    "Minimum": {},
    "Multiply": {},
    "ReLU": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
    "Rescaling": {"scale": 1.0, "offset": 0.0},
    "Reshape": {"target_shape": [-1]},
    "Softmax": {"axis": -1},
    "Subtract": {},
}
#: Longest text in a list of texts that hold the numbers of an array.
_PIECE = 1024


def settings_of(kind: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All settings that frugally-deep reads of a layer."""
    return {key: default if given.get(key) is None else given[key] for key, default in SETTINGS[kind].items()}


def weight_names(kind: str, settings: Mapping[str, Any]) -> list[str]:
    """What the file calls the weights of a layer, in Keras' order."""
    if kind in ("BatchNormalization", "LayerNormalization"):
        affine = [name for name, key in (("gamma", "scale"), ("beta", "center")) if settings.get(key, True)]
        return [*affine, "moving_mean", "moving_variance"] if kind == "BatchNormalization" else affine
    if kind in ("LSTM", "GRU"):
        names = ["weights", "recurrent_weights", "bias"]
    elif kind in ("Dense", "Conv1D", "Conv2D"):
        names = ["weights", "bias"]
    else:
        return []
    return names if settings.get("use_bias", True) else names[:-1]


def encoded(values: NDArray[Any]) -> list[str]:
    """Numbers in single precision, little-endian, as pieces of base64."""
    text = base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")
    return [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]


def decoded(item: Any, number: int) -> NDArray[np.float32]:
    """The numbers of an array.

    Parameters
    ----------
    item : parsed JSON
        Base64, in one piece or several, or plain numbers.
    number : int
        How many there must be.

    Raises
    ------
    ValueError
        Saying what is wrong.
    """
    pieces = [item] if isinstance(item, str) else item
    if not isinstance(pieces, list):
        raise ValueError("no list of numbers or of base64")
    if pieces and all(isinstance(one, int | float) and not isinstance(one, bool) for one in pieces):
        values = np.asarray(pieces, dtype=np.float64)
    elif all(isinstance(one, str) for one in pieces):
        try:
            values = np.frombuffer(base64.b64decode("".join(pieces), validate=True), dtype="<f4")
        except (binascii.Error, ValueError):
            raise ValueError("no base64 of numbers in single precision") from None
    else:
        raise ValueError("neither numbers nor base64")
    if len(values) != number:
        raise ValueError(f"{len(values)} numbers where {number} belong")
    if not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise ValueError("a number that is not finite")
    return values.astype(np.float32)


def in_file(kind: str, weights: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Keras' weights as frugally-deep has them: of convolutions the outputs come first."""
    if kind in ("Conv1D", "Conv2D"):
        return [np.moveaxis(weights[0], -1, 0), *weights[1:]]
    return list(weights)


def from_file(kind: str, number: int, values: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Keras' form of the `number`-th weights of a layer, of a shape of Keras."""
    sizes = tuple(size or 1 for size in shape)
    if kind in ("Conv1D", "Conv2D") and number == 0:
        return np.moveaxis(values.reshape(sizes[-1], *sizes[:-1]), 0, -1)
    return values.reshape(sizes)
