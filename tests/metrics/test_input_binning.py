"""Bins that neither outliers nor default values flatten, and one bin per integer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.metrics.input_binning import Binning, choose_binning, default_values

RANDOM = np.random.default_rng(1)
NORMAL = RANDOM.normal(size=20_000).astype("f4")


def chosen(*values: np.ndarray) -> Binning:
    arrays = [np.asarray(some, dtype="f4") for some in values]
    return choose_binning(arrays, [np.ones(len(some)) for some in arrays])


def test_a_variable_without_outliers_is_shown_whole() -> None:
    uniform = np.linspace(-np.pi, np.pi, 5001)
    found = chosen(uniform)
    assert found.edges is not None
    assert (found.edges[0], found.edges[-1]) == pytest.approx((-np.pi, np.pi), rel=1e-6)
    assert len(found.edges) == 51
    assert (found.is_integer, found.defaults, found.spike) == (False, (), None)


@pytest.mark.parametrize("outlier", [1e3, -1e5, 1e30, -3e38])
def test_an_outlier_does_not_flatten_the_picture(outlier: float) -> None:
    for size in (100, 20_000):
        found = chosen(np.append(NORMAL[:size], outlier))
        assert found.edges is not None
        assert np.abs(found.edges).max() < 8
        inside = np.mean((found.edges[0] <= NORMAL) & (found.edges[-1] >= NORMAL))
        assert inside > (0.97 if size == 100 else 0.995)


def test_each_class_is_in_the_range() -> None:
    found = chosen(NORMAL, NORMAL[:500] + 20)
    assert found.edges is not None
    assert found.edges[0] < -3
    assert found.edges[-1] > 22


@pytest.mark.parametrize(
    ("values", "default"),
    [
        (NORMAL, -999.0),
        (NORMAL, -10.0),
        (np.abs(NORMAL) * 100 + 20, -1.0),  # negative before what is never negative
        (RANDOM.exponential(300, 5000), -999.0),
        (RANDOM.exponential(300, 5000) + 10, -10.0),  # close to what there is, compared with its long tail
        (RANDOM.random(5000), -9.0),
        (RANDOM.normal(size=5000), 9999.0),
        (RANDOM.poisson(3, 5000), -99.0),
        (RANDOM.integers(0, 3, 5000), -10.0),
    ],
)
def test_default_values_are_recognised(values: np.ndarray, default: float) -> None:
    found = chosen(np.concatenate([values, np.full(len(values) // 4, default)]))
    assert found.defaults == (default,)
    without = chosen(values)
    assert found.edges is not None
    assert without.edges is not None
    np.testing.assert_allclose(found.edges, without.edges)


def test_two_default_values() -> None:
    assert chosen(np.concatenate([NORMAL, np.full(100, -999.0), np.full(50, -99.0)])).defaults == (-999.0, -99.0)


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 1.0],  # a flag
        [-1.0, 1.0],  # a charge
        [-15.0, -13.0, -11.0, 11.0, 13.0, 15.0],  # particles
        [0.0, 1.0, 10.0, 11.0],  # decay modes
        [0.0, 1.0, 2.0, 10.0],
        [-1.0, 0.0, 1.0, 2.0],
        [0.0, 1.086538, 2.173076],
        list(range(12)),
    ],
)
def test_ordinary_values_are_no_defaults(values: list[float]) -> None:
    distinct = np.array(values)
    assert default_values(distinct, np.full(len(values), 500)) == ()


def test_a_single_far_event_is_an_outlier_and_no_default() -> None:
    assert chosen(np.append(NORMAL, -999.0)).defaults == ()


@given(st.integers(-1000, 1000), st.integers(1, 100))
def test_integers_get_one_bin_each(first: int, number: int) -> None:
    found = chosen(np.arange(first, first + number))
    assert found.is_integer
    assert found.edges is not None
    assert found.edges.tolist() == [first - 0.5 + k for k in range(number + 1)]


def test_many_integers_get_bins_of_whole_numbers() -> None:
    found = chosen(np.arange(1000))
    assert found.edges is not None
    steps = np.diff(found.edges)
    assert set(steps.tolist()) == {20.0}
    assert found.edges[0] == -0.5
    assert found.edges[-1] >= 999


def test_numbers_beyond_the_precision_of_float32_are_not_called_integers() -> None:
    assert not chosen(NORMAL * 1e9).is_integer


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1e30, 3e38])
def test_constants_have_one_bin(value: float) -> None:
    found = chosen(np.full(10, value))
    assert found.edges is not None
    assert len(found.edges) == 2
    assert found.edges[0] < np.float32(value) < found.edges[1]
    assert found.scale > 0


def test_nothing_finite_has_no_bins() -> None:
    assert chosen(np.full(3, np.nan), np.array([np.inf, -np.inf])).edges is None
    assert chosen(np.zeros(0)).edges is None


def test_weights_of_zero_do_not_matter() -> None:
    found = choose_binning([NORMAL], [np.zeros(len(NORMAL))])
    assert found.edges is not None
    assert np.abs(found.edges).max() < 8


def test_a_spike_of_a_continuous_variable() -> None:
    assert chosen(np.append(NORMAL, np.zeros(2000))).spike == 0.0
    assert chosen(RANDOM.poisson(1, 1000)).spike is None
