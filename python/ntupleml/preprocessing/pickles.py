"""Pickles of scalers: written for plain scikit-learn, read without calling any class that a pickle names.

A pickle may call whatever it names, and even numpy's own classes can be given states that corrupt memory. So the
names of scalers and arrays are given stand-ins of ours here, everything else is refused, and the scaler is made anew
from the plain numbers found, after a look at each.
"""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ntupleml.preprocessing.scalers import Scaler

log = logging.getLogger(__name__)

#: Bytes that no pickle of a scaler exceeds (1000 quantiles of 1000 variables are 8 MB).
LARGEST_FILE = 100_000_000


class _Layout(NamedTuple):
    """What a scaler's pickle holds: arguments of its class, arrays with one number per variable, other results."""

    parameters: tuple[str, ...]
    per_variable: tuple[str, ...]
    other: tuple[str, ...] = ()
    divisor: str | None = "scale_"


_LAYOUTS = {
    "StandardScaler": _Layout(("copy", "with_mean", "with_std"), ("mean_", "scale_", "var_"), ("n_samples_seen_",)),
    "RobustScaler": _Layout(
        ("copy", "with_centering", "with_scaling", "quantile_range", "unit_variance"), ("center_", "scale_")
    ),
    "MinMaxScaler": _Layout(
        ("copy", "feature_range", "clip"),
        ("scale_", "min_", "data_min_", "data_max_", "data_range_"),
        ("n_samples_seen_",),
        divisor=None,
    ),
    "QuantileTransformer": _Layout(
        ("copy", "n_quantiles", "output_distribution", "ignore_implicit_zeros", "subsample", "random_state"),
        ("quantiles_",),
        ("references_", "n_quantiles_"),
        divisor=None,
    ),
}


def write_preprocessing(path: str | Path, scaler: Scaler | Mapping[str, Scaler], *, overwrite: bool = False) -> None:
    """Pickle a scaler, or a dict of them by group, complete or not at all.

    Plain scikit-learn reads the file, and `load_preprocessing` without risk.

    Raises
    ------
    NtuplemlError
        If the file exists and is not to be overwritten, or the folder cannot be written to.
    """
    with replace_file(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(pickle.dumps(scaler, protocol=4))


def load_preprocessing(path: str | Path, num_variables: int | None = None) -> Scaler:
    """Read a pickled scaler without running anything in the pickle.

    Parameters
    ----------
    path : path
        A pickle that holds a `StandardScaler`, `RobustScaler`, `MinMaxScaler` or `QuantileTransformer` of any version
        of scikit-learn, also one pickled by Python 2.
    num_variables : int, optional
        Number of variables that it must be fitted to.

    Raises
    ------
    NtuplemlError
        If there is no such file, it is not a pickle, it names any other class or function, it holds something else
        than one fitted scaler, or the scaler is fitted to another number of variables.
    """
    found = _unpickled(path)
    if isinstance(found, dict):
        raise NtuplemlError(
            f"{path}: holds scalers of the groups {one_line(', '.join(map(str, found)), 200)}, but this is for models "
            "of numbers alone, listed as variables in the training config"
        )
    return _scaler_of(found, str(path), num_variables)


def load_scalers(path: str | Path, groups: Mapping[str, int | None]) -> dict[str, Scaler]:
    """Read the scalers of groups of inputs; one alone is that of the one group.

    Parameters
    ----------
    path : path
        As for `load_preprocessing`, or a pickle of a dict of such scalers by the names of the groups.
    groups : mapping of str to int or None
        Number of variables of each group, where it is known.

    Raises
    ------
    NtuplemlError
        As `load_preprocessing`, and for scalers of other groups.
    """
    content = _unpickled(path)
    found = content if isinstance(content, dict) else dict.fromkeys(groups if len(groups) == 1 else (), content)
    names = sorted(map(str, found))
    if names != sorted(groups):
        held = f"the groups {', '.join(names)}" if names else "one group"
        raise NtuplemlError(
            f"{path}: holds scalers of {one_line(held, 200)}, but the model has {', '.join(groups)}; take the "
            "preprocessing that was written with the model"
        )
    return {name: _scaler_of(found.get(name), f"{path}: '{name}'", number) for name, number in groups.items()}


def _unpickled(path: str | Path) -> object:
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise NtuplemlError(f"{path}: too large for the pickle of a scaler")
        with Path(path).open("rb") as file:
            return _Unpickler(file, str(path)).load()
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; it is written by the training, beside the model") from None
    except (NtuplemlError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # what damaged pickles raise has no bounds: any builtin error, by Python's docs
        raise NtuplemlError(f"{path}: not the pickle of a scaler, or damaged: {one_line(error)}") from error


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
        if module.startswith("sklearn.preprocessing.") and name in _LAYOUTS:
            return type(name, (_StandIn,), {"scaler": name})
        known = _KNOWN.get((module.replace("numpy.core.", "numpy._core."), name))
        if known is None:
            raise NtuplemlError(
                f"{self._path}: refused: its pickle names '{one_line(f'{module}.{name}')}', which no scaler needs; "
                f"only {', '.join(_LAYOUTS)} are read"
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


def _scaler_of(found: object, path: str, num_variables: int | None) -> Scaler:
    """Scikit-learn's scaler with the numbers found in a pickle."""
    import sklearn.preprocessing

    if not isinstance(found, _StandIn):
        kind = "an array" if isinstance(found, _Array) else f"a {type(found).__name__.lstrip('_')}"
        raise NtuplemlError(f"{path}: holds {kind}, not a fitted scaler of scikit-learn")
    layout = _LAYOUTS[found.scaler]
    attributes = found.attributes if isinstance(found.attributes, dict) else {}
    parameters = {name: _plain(attributes[name], path) for name in layout.parameters if name in attributes}
    scaler = getattr(sklearn.preprocessing, found.scaler)(**parameters)
    for name in layout.per_variable:
        setattr(scaler, name, _array(attributes.get(name), name, found.scaler, path))
    for name in layout.other:
        if name in attributes:
            setattr(scaler, name, _plain(attributes[name], path))
    sizes = {getattr(scaler, name).shape[-1] for name in layout.per_variable}
    if len(sizes) != 1:
        raise NtuplemlError(f"{path}: damaged {found.scaler}: its arrays are of different lengths")
    if layout.divisor and not getattr(scaler, layout.divisor).all():
        raise NtuplemlError(f"{path}: damaged {found.scaler}: it divides by zero")
    if found.scaler == "QuantileTransformer":
        _check_quantiles(scaler, path)
    (scaler.n_features_in_,) = sizes
    if num_variables is not None and scaler.n_features_in_ != num_variables:
        raise NtuplemlError(
            f"{path}: the scaler is fitted to {scaler.n_features_in_} variables, but the model has {num_variables}; "
            "take the preprocessing that was written with the model"
        )
    return scaler


def _array(value: object, name: str, scaler: str, path: str) -> NDArray[np.float64]:
    values = value.values if isinstance(value, _Array) else None
    wanted = 2 if name == "quantiles_" else 1
    if values is None or values.ndim != wanted or not values.size or not np.isfinite(values).all():
        raise NtuplemlError(f"{path}: holds a {scaler} without a valid '{name}'; it is not fitted, or damaged")
    return values.astype(np.float64)


def _plain(value: object, path: str) -> object:
    """A number, text, pair of numbers or array, and nothing else."""
    if isinstance(value, _Array):
        return value.values
    parts = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    if all(part is None or type(part) in (bool, int, float, str) for part in parts):
        return value
    raise NtuplemlError(f"{path}: damaged scaler: an attribute is a {type(value).__name__.lstrip('_')}")


def _check_quantiles(scaler: Scaler, path: str) -> None:
    references = getattr(scaler, "references_", None)
    if (
        not isinstance(references, np.ndarray)
        or references.shape != (len(scaler.quantiles_),)
        or not (np.diff(references) > 0).all()
        or (np.diff(scaler.quantiles_, axis=0) < 0).any()
        or scaler.output_distribution not in ("normal", "uniform")
    ):
        raise NtuplemlError(f"{path}: damaged QuantileTransformer: its quantiles are not in order")
    scaler.n_quantiles_ = len(references)
