"""Scalers as plain data: their settings and numbers by scikit-learn's names, and scalers made anew from those.

What files hold is no scaler until it is made here, after a look at each number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.preprocessing.scalers import Scaler


class ScalerNumbers(NamedTuple):
    """A fitted scaler as plain data."""

    #: Its class, a key of `LAYOUTS`.
    scaler: str
    #: Numbers, texts, pairs of numbers, flags and arrays by the names of scikit-learn.
    attributes: Mapping[str, object]


class Layout(NamedTuple):
    """What a scaler consists of: arguments of its class, arrays with one number per variable, other results."""

    parameters: tuple[str, ...]
    per_variable: tuple[str, ...]
    other: tuple[str, ...] = ()
    divisor: str | None = "scale_"


LAYOUTS = {
    "StandardScaler": Layout(("copy", "with_mean", "with_std"), ("mean_", "scale_", "var_"), ("n_samples_seen_",)),
    "RobustScaler": Layout(
        ("copy", "with_centering", "with_scaling", "quantile_range", "unit_variance"), ("center_", "scale_")
    ),
    "MinMaxScaler": Layout(
        ("copy", "feature_range", "clip"),
        ("scale_", "min_", "data_min_", "data_max_", "data_range_"),
        ("n_samples_seen_",),
        divisor=None,
    ),
    "QuantileTransformer": Layout(
        ("copy", "n_quantiles", "output_distribution", "ignore_implicit_zeros", "subsample", "random_state"),
        ("quantiles_",),
        ("references_", "n_quantiles_"),
        divisor=None,
    ),
}


def numbers_of(scaler: Scaler) -> ScalerNumbers:
    """Settings and numbers of a fitted scaler, numbers of numpy as plain ones.

    Raises
    ------
    KeyError
        If it is none of `LAYOUTS`.
    """
    name = type(scaler).__name__
    layout = LAYOUTS[name]
    found = {key: getattr(scaler, key) for key in (*layout.parameters, *layout.per_variable, *layout.other)}
    return ScalerNumbers(name, {key: one.item() if isinstance(one, np.generic) else one for key, one in found.items()})


def scaler_of(found: object, path: str, num_variables: int | None = None) -> Scaler:
    """Scikit-learn's scaler with the numbers that a file holds.

    Parameters
    ----------
    found : object
        What the file holds: `ScalerNumbers`, else it is refused.
    path : str
        Of the file, for messages.
    num_variables : int, optional
        Number of variables that it must be fitted to.

    Raises
    ------
    NtuplemlError
        If it is no fitted scaler, its numbers do not fit together, or it is fitted to another number of variables.
    """
    import sklearn.preprocessing

    if not isinstance(found, ScalerNumbers):
        kind = "an array" if isinstance(found, np.ndarray) else f"a {type(found).__name__.lstrip('_')}"
        raise NtuplemlError(f"{path}: holds {kind}, not a fitted scaler of scikit-learn")
    layout, attributes = LAYOUTS[found.scaler], found.attributes
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
    values = value if isinstance(value, np.ndarray) else None
    wanted = 2 if name == "quantiles_" else 1
    if values is None or values.ndim != wanted or not values.size or not np.isfinite(values).all():
        raise NtuplemlError(f"{path}: holds a {scaler} without a valid '{name}'; it is not fitted, or damaged")
    return values.astype(np.float64)


def _plain(value: object, path: str) -> object:
    """A number, text, pair of numbers or array, and nothing else."""
    if isinstance(value, np.ndarray):
        return value
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
