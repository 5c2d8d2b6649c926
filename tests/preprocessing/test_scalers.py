"""The five scalers against scikit-learn and against formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import SCALERS, fit_scaler
from ntupleml.preprocessing.scalers import weighted_quantiles


@pytest.fixture
def rows() -> np.ndarray:
    """Four variables: normal, skewed and large, integer, constant."""
    random = np.random.default_rng(5)
    return np.stack(
        [random.normal(3, 2, 400), 1e5 + random.exponential(size=400), random.integers(0, 4, 400), np.full(400, 7.0)],
        axis=1,
    )


EQUIVALENTS = {
    "standard_scaler": StandardScaler(),
    "robust_scaler": RobustScaler(),
    "min_max_scaler": MinMaxScaler((-1, 1)),
    "quantile_transformer": QuantileTransformer(n_quantiles=400, output_distribution="normal", random_state=8),
}


@pytest.mark.parametrize("method", EQUIVALENTS)
def test_without_weights_the_result_is_that_of_scikit_learn(method: str, rows: np.ndarray) -> None:
    expected = EQUIVALENTS[method].fit(rows)
    scaler = fit_scaler(method, rows, seed=8)
    assert type(scaler) is type(expected)
    np.testing.assert_array_equal(scaler.transform(rows), expected.transform(rows))


def test_identity_changes_nothing(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(fit_scaler("identity", rows).transform(rows), rows)


@pytest.mark.parametrize("method", SCALERS)
def test_a_constant_variable_stays_finite(method: str, rows: np.ndarray) -> None:
    weights = np.random.default_rng(1).uniform(-0.2, 1, len(rows))
    for chosen in (None, weights):
        assert np.isfinite(fit_scaler(method, rows, weights=chosen).transform(rows)).all()


def test_weighted_mean_and_variance_with_negative_weights(rows: np.ndarray) -> None:
    weights = np.random.default_rng(2).choice([-0.3, 1.0], len(rows), p=[0.2, 0.8])
    scaler = fit_scaler("standard_scaler", rows, weights=weights)
    mean = (weights @ rows) / weights.sum()
    variance = (weights @ (rows - mean) ** 2) / weights.sum()
    np.testing.assert_allclose(scaler.mean_, mean, rtol=1e-12)
    np.testing.assert_allclose(scaler.scale_[:3], np.sqrt(variance[:3]), rtol=1e-9)
    assert scaler.scale_[3] == 1


def test_an_event_and_its_opposite_cancel_in_the_standard_scaler(rows: np.ndarray) -> None:
    pair = np.array([[50.0, 0.0, 9.0, 7.0]] * 2)
    weights = np.concatenate([np.ones(len(rows)), [1.0, -1.0]])
    with_pair = fit_scaler("standard_scaler", np.concatenate([rows, pair]), weights=weights)
    without = fit_scaler("standard_scaler", rows)
    np.testing.assert_allclose(with_pair.mean_, without.mean_, rtol=1e-12)
    np.testing.assert_allclose(with_pair.scale_[[0, 2]], without.scale_[[0, 2]], rtol=1e-9)


@pytest.mark.parametrize("method", ["robust_scaler", "quantile_transformer"])
def test_equal_weights_give_the_unweighted_quantiles(method: str, rows: np.ndarray) -> None:
    weighted = fit_scaler(method, rows, weights=np.full(len(rows), 0.25), seed=1)
    np.testing.assert_allclose(
        weighted.transform(rows)[:, :3], fit_scaler(method, rows, seed=1).transform(rows)[:, :3], atol=1e-6
    )


@pytest.mark.parametrize("method", ["robust_scaler", "quantile_transformer"])
def test_the_modulus_of_weights_counts_for_quantiles(method: str, rows: np.ndarray) -> None:
    weights = np.random.default_rng(3).choice([-1.0, 2.0], len(rows), p=[0.2, 0.8])
    signed = fit_scaler(method, rows, weights=weights, seed=1)
    modulus = fit_scaler(method, rows, weights=np.abs(weights), seed=1)
    np.testing.assert_array_equal(signed.transform(rows), modulus.transform(rows))


def test_weighted_quantiles_follow_a_known_distribution() -> None:
    """Uniform events with weight 2x are distributed as x², whose quantile at fraction p is √p."""
    x = (np.arange(200_000) + 0.5) / 200_000
    fractions = np.array([0.1, 0.25, 0.5, 0.9])
    found = weighted_quantiles(x[:, None], 2 * x, fractions)[:, 0]
    np.testing.assert_allclose(found, np.sqrt(fractions), rtol=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    values=hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-1e6, 1e6)),
    fractions=st.lists(st.floats(0, 1), min_size=1, max_size=5).map(sorted),
)
def test_equal_weights_give_numpys_quantiles(values: np.ndarray, fractions: list[float]) -> None:
    found = weighted_quantiles(values[:, None], np.ones(len(values)), np.array(fractions))[:, 0]
    np.testing.assert_allclose(found, np.quantile(values, fractions), rtol=1e-9, atol=1e-7)


def test_events_of_weight_zero_do_not_count() -> None:
    found = weighted_quantiles(np.array([[0.0], [1.0], [9.0]]), np.array([1.0, 1.0, 0.0]), np.array([0.0, 1.0]))
    np.testing.assert_array_equal(found[:, 0], [0, 1])


def test_same_seed_same_quantiles_on_many_events() -> None:
    rows = np.random.default_rng(0).normal(size=(12_000, 1))
    one, two, other = (fit_scaler("quantile_transformer", rows, seed=seed).quantiles_ for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "standart_scaler"}, "no preprocessing 'standart_scaler'; nearest: 'standard_scaler'"),
        ({"rows": np.empty((0, 2))}, "no events to fit"),
        ({"rows": np.array([[1.0], [np.nan]])}, "1 inputs are NaN or infinite"),
        ({"weights": np.array([1.0, -1.0])}, "their sum is 0"),
        ({"weights": np.array([1.0, np.nan])}, "one finite weight per event"),
        ({"weights": np.array([1.0])}, "one finite weight per event"),
    ],
)
def test_wrong_input_is_one_line(change: dict, message: str) -> None:
    arguments = {"method": "standard_scaler", "rows": np.array([[1.0], [2.0]]), **change}
    with pytest.raises(NtuplemlError, match=message) as error:
        fit_scaler(**arguments, where="training.yaml: preprocessing")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("training.yaml: preprocessing: ")


def test_a_negative_variance_is_an_error() -> None:
    rows = np.array([[0.0], [1.0], [10.0]])
    with pytest.raises(NtuplemlError, match="variable 0 a negative variance; fit without weights"):
        fit_scaler("standard_scaler", rows, weights=np.array([1.0, 1.0, -0.5]))
