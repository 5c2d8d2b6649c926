"""Scikit-learn's linear scalers as lwtnn's offsets and scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.network import Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def scaled_variables(
    scaler: Any, variables: Sequence[str], *, conditions: Sequence[str] = (), missing: float | None = None
) -> list[Variable]:
    """Inputs of a network with their preprocessing, as lwtnn applies it: (x + offset) · scale.

    Parameters
    ----------
    scaler : scikit-learn scaler
        `StandardScaler`, `RobustScaler`, `MinMaxScaler` or `MaxAbsScaler`, fitted to the variables.
    conditions : sequence of str
        Names of inputs that follow the variables and are not scaled.
    missing : float, optional
        Value that replaces variables that are NaN; it becomes their default.

    Raises
    ------
    NtuplemlError
        If the scaler is of another kind, clips, or is fitted to another number of variables.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> scaled_variables(StandardScaler().fit([[1.0], [5.0]]), ["x"])
    [Variable(name='x', offset=-3.0, scale=0.5, default=None)]
    """
    if scaler.n_features_in_ != len(variables):
        raise NtuplemlError(
            f"the preprocessing is fitted to {scaler.n_features_in_} variables, but there are {len(variables)}"
        )
    offsets, scales = _offsets_and_scales(scaler)
    default = None if missing is None else float(np.float32(missing))  # as single as the inputs that it stands for
    return [
        *(
            Variable(name, float(offset), float(scale), default)
            for name, offset, scale in zip(variables, offsets, scales, strict=True)
        ),
        *(Variable(name, 0.0, 1.0) for name in conditions),
    ]


def _offsets_and_scales(scaler: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kind = type(scaler).__name__
    zeros, ones = np.zeros(scaler.n_features_in_), np.ones(scaler.n_features_in_)
    if kind == "StandardScaler":
        offsets = -scaler.mean_ if scaler.with_mean else zeros
        return offsets, 1 / scaler.scale_ if scaler.with_std else ones
    if kind == "RobustScaler":
        offsets = -scaler.center_ if scaler.with_centering else zeros
        return offsets, 1 / scaler.scale_ if scaler.with_scaling else ones
    if kind == "MaxAbsScaler":
        return zeros, 1 / scaler.scale_
    if kind == "MinMaxScaler" and not scaler.clip:
        return scaler.min_ / scaler.scale_, scaler.scale_
    reason = "clips its results" if kind == "MinMaxScaler" else "is not linear, as far as is known"
    raise NtuplemlError(
        f"preprocessing by a {kind} has no lwtnn form: it {reason}, but lwtnn shifts and scales; train with "
        "standard_scaler, robust_scaler, min_max_scaler or identity"
    )
