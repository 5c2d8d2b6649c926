"""Pickles of scalers: written for plain scikit-learn, read without calling any class that a pickle names.

A pickle may call whatever it names, and even numpy's own classes can be given states that corrupt memory. So the
names of scalers and arrays are given stand-ins of ours here, everything else is refused, and what is read is plain
numbers.
"""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.preprocessing.scaler_numbers import LAYOUTS, ScalerNumbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: Bytes that no pickle of a scaler exceeds (1000 quantiles of 1000 variables are 8 MB).
LARGEST_FILE = 100_000_000
#: Steps of a pickle; a scaler has some dozens, for each group of inputs.
_MOST_STEPS = 1_000_000
#: Steps that note an object at a place.
_NOTES = ("PUT", "BINPUT", "LONG_BINPUT")


def read_pickle(path: str | Path) -> object:
    """What the pickle of a scaler holds, without running anything in it.

    Returns
    -------
    ScalerNumbers, or a dict of them by the names of groups, or whatever else it holds, which is no scaler

    Raises
    ------
    NtuplemlError
        If the file cannot be read, is not a pickle, or names a class or function that no scaler needs.
    """
    found = _unpickled(path)
    return {name: _plain(one) for name, one in found.items()} if isinstance(found, dict) else _plain(found)


def _plain(found: object) -> object:
    if isinstance(found, _Array):
        return found.values
    if not isinstance(found, _StandIn):
        return found
    attributes = found.attributes if isinstance(found.attributes, dict) else {}
    return ScalerNumbers(
        found.scaler, {name: one.values if isinstance(one, _Array) else one for name, one in attributes.items()}
    )


def _unpickled(path: str | Path) -> object:
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise NtuplemlError(f"{path}: too large for the pickle of a scaler")
        with Path(path).open("rb") as file:
            _require_near_places(file)
            file.seek(0)
            return _Unpickler(file, str(path)).load()
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; it is written by the training, beside the model") from None
    except (NtuplemlError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # what damaged pickles raise has no bounds: any builtin error, by Python's docs
        raise NtuplemlError(f"{path}: not the pickle of a scaler, or damaged: {one_line(error)}") from error


def _require_near_places(file: IO[bytes]) -> None:
    """Refuse a pickle that notes an object at a place far away: Python takes memory for all places before it.

    Raises
    ------
    ValueError
        Also for a damaged pickle, and one of more steps than any scaler has.
    """
    for number, (step, argument, _) in enumerate(pickletools.genops(file)):
        if number > _MOST_STEPS or (step.name in _NOTES and int(argument or 0) > number):
            raise ValueError(f"step {number} is {step.name} {one_line(argument, 30)}, which no scaler needs")


class _StandIn:
    """A scaler while it is unpickled: the name of its class and its attributes."""

    scaler: str
    attributes: object = None

    def __setstate__(self, state: object) -> None:
        self.attributes = state


class _Dtype:
    """The type of an array while it is unpickled: text such as 'f8', and the byte order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.big_endian = False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.big_endian = state[1] == ">"

    def numpy(self) -> np.dtype[Any]:
        """The numpy type; only plain numbers have one here."""
        dtype = np.dtype(str(self.text)).newbyteorder(">" if self.big_endian else "<")
        if dtype.kind not in "fiub":
            raise TypeError(f"array of type {self.text}")
        return dtype


class _Array:
    """An array while it is unpickled."""

    values: NDArray[Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran_order, data = state
        data = data.encode("latin1") if isinstance(data, str) else data  # pickled by Python 2
        self.values = _numbers(data, dtype, shape, "F" if fortran_order else "C")


class _Callable:
    """A function that the pickle may call. It has no attributes that the pickle could set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def __call__(self, *arguments: object) -> object:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a function is given a state")


def _numbers(data: object, dtype: object, shape: object, order: object) -> NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple):
        raise TypeError("array without numbers")
    values = np.frombuffer(bytes(data), dtype=dtype.numpy())
    return values.reshape(shape, order="F" if order == "F" else "C").copy()


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> _Array:
    array = _Array()
    array.values = _numbers(data, dtype, shape, order)
    return array


def _scalar(dtype: object, data: object) -> object:
    data = data.encode("latin1") if isinstance(data, str) else data
    return _numbers(data, dtype, (1,), "C")[0].item()


def _encode(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise TypeError("text in an unexpected encoding")
    return text.encode("latin1")


def _reconstruct(cls: object, _base: object, _state: object) -> object:
    if isinstance(cls, type) and issubclass(cls, _StandIn):
        return cls()
    raise TypeError("an object of an unexpected class")


class _Unpickler(pickle.Unpickler):
    """Unpickler that gives our stand-ins for the names it knows and refuses all others."""

    def __init__(self, file: Any, path: str) -> None:
        super().__init__(file, encoding="latin1")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("sklearn.preprocessing.") and name in LAYOUTS:
            return type(name, (_StandIn,), {"scaler": name})
        known = _KNOWN.get((module.replace("numpy.core.", "numpy._core."), name))
        if known is None:
            raise NtuplemlError(
                f"{self._path}: refused: its pickle names '{one_line(f'{module}.{name}')}', which no scaler needs; "
                f"only {', '.join(LAYOUTS)} are read"
            )
        return _Callable(known)


_KNOWN: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "dtype"): lambda text, *_: _Dtype(text),
    ("numpy", "ndarray"): lambda *_: None,
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("builtins", "object"): lambda: None,
    ("__builtin__", "object"): lambda: None,
}
