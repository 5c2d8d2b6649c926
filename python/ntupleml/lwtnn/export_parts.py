"""What exported layers are made of: numbers, plain lwtnn layers, and the refusal of what has no exact form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: An activation as it stands in the file: a name, or a block with the function and its parameter.
ActivationEntry: TypeAlias = str | dict[str, Any]
#: A layer as it stands in the file.
LayerEntry: TypeAlias = dict[str, Any]
#: Far below what single precision holds, for those who evaluate the file in it.
_LARGEST_BIAS = 1e30


def title(operation: Any) -> str:
    """What messages call a layer: its name and its class."""
    return f"layer '{one_line(operation.name, 100)}' ({type(operation).__name__})"


def refuse(operation: Any, reason: str) -> NoReturn:
    """Raise the error that a layer cannot be exported.

    Raises
    ------
    NtuplemlError
        Always, naming the layer and the reason.
    """
    raise NtuplemlError(f"{title(operation)} has no lwtnn form: {reason}")


def array(operation: Any, variable: Any) -> NDArray[np.float64]:
    """Weights of a layer (a Keras variable or tensor), in double precision.

    Raises
    ------
    NtuplemlError
        If one is not finite, which JSON cannot hold.
    """
    import keras

    values = np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float64)
    if not np.isfinite(values).all():
        raise NtuplemlError(f"{title(operation)} has weights that are NaN or infinite; the training has diverged")
    return values


def flat(values: ArrayLike) -> list[float]:
    """Numbers row after row, as the file has them."""
    numbers: list[float] = np.asarray(values, dtype=np.float64).ravel().tolist()
    return numbers


def dense(weights: ArrayLike, bias: ArrayLike | None = None, activation: ActivationEntry = "linear") -> LayerEntry:
    """Layer activation(W x + b).

    Parameters
    ----------
    weights : array, shape (n_outputs, n_inputs)
        Empty for a layer that only applies the activation.
    bias : array, shape (n_outputs,), optional
    """
    return {
        "architecture": "dense",
        "weights": flat(weights),
        "bias": [] if bias is None else flat(bias),
        "activation": activation,
    }


def activation_only(activation: ActivationEntry) -> LayerEntry:
    """Layer that applies an activation and nothing else."""
    return dense([], None, activation)


def affine(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> list[LayerEntry]:
    """Layers that compute scale · x + offset, element by element.

    lwtnn's normalization is scale · (x + bias), which has no bias for an element whose scale is zero (or so small
    that offset / scale overflows); then a second layer adds the offset.

    Parameters
    ----------
    scale, offset : array of float64, shape (width,)
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bias = offset / scale
    if np.isfinite(bias).all() and np.abs(bias).max(initial=0.0) < _LARGEST_BIAS:
        return [_normalization(scale, bias)]
    return [_normalization(scale, np.zeros_like(scale)), _normalization(np.ones_like(scale), offset)]


def _normalization(weights: NDArray[np.float64], bias: NDArray[np.float64]) -> LayerEntry:
    return {"architecture": "normalization", "weights": flat(weights), "bias": flat(bias)}
