"""Offsets and scales: (x + offset) · scale is what scikit-learn computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from ntupleml.errors import NtuplemlError
from ntupleml.lwtnn.export import scaled_variables
from ntupleml.preprocessing import fit_scaler

SCALERS = [
    StandardScaler(), StandardScaler(with_mean=False), StandardScaler(with_std=False), RobustScaler(),
    RobustScaler(with_centering=False), RobustScaler(with_scaling=False), MinMaxScaler((-1, 1)), MaxAbsScaler(),
]  # fmt: skip


def _applied(scaler: Any, rows: Any) -> Any:
    variables = scaled_variables(scaler, [f"v{index}" for index in range(rows.shape[1])])
    return np.stack([(rows[:, index] + one.offset) * one.scale for index, one in enumerate(variables)], axis=1)


@pytest.mark.parametrize("scaler", SCALERS, ids=str)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e6), centre=st.floats(-1e4, 1e4))
def test_linear_scalers(scaler: Any, seed: int, scale: float, centre: float) -> None:
    rows = np.random.default_rng(seed).normal(centre, scale, size=(40, 3))
    rows[:, 2] = 7.0  # a constant is not divided by its width
    fitted = scaler.fit(rows)
    expected = fitted.transform(rows)
    np.testing.assert_allclose(_applied(fitted, rows), expected, rtol=1e-9, atol=1e-9 * max(1.0, abs(centre) / scale))


@pytest.mark.parametrize("method", ["standard_scaler", "identity", "robust_scaler", "min_max_scaler"])
def test_scalers_of_trainings(method: str) -> None:
    rows = np.random.default_rng(3).normal([10.0, -300.0], [2.0, 50.0], size=(200, 2))
    scaler = fit_scaler(method, rows)
    np.testing.assert_allclose(_applied(scaler, rows), scaler.transform(rows), rtol=1e-12, atol=1e-12)


def test_what_is_not_linear_is_refused() -> None:
    rows = np.random.default_rng(3).normal(size=(50, 2))
    with pytest.raises(NtuplemlError, match="QuantileTransformer has no lwtnn form"):
        scaled_variables(QuantileTransformer(n_quantiles=10).fit(rows), ["x", "y"])
    with pytest.raises(NtuplemlError, match="clips its results"):
        scaled_variables(MinMaxScaler(clip=True).fit(rows), ["x", "y"])
    with pytest.raises(NtuplemlError, match="fitted to 2 variables, but there are 1"):
        scaled_variables(StandardScaler().fit(rows), ["x"])


def test_conditions_and_missing_inputs() -> None:
    """Conditions enter as they are and are never missing; a default is a raw value, in single precision."""
    scaler = StandardScaler().fit([[1.0], [5.0]])
    x, era = scaled_variables(scaler, ["x"], conditions=["2018"], missing=-9.9)
    assert x == ("x", -3.0, 0.5, float(np.float32(-9.9)))
    assert era == ("2018", 0.0, 1.0, None)
