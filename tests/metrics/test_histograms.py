"""Weighted histograms against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.metrics import add_histograms, as_plain, histogram


@pytest.mark.parametrize("edges", [np.linspace(-1, 1, 21), np.array([-1.0, 0.0, 0.1, 0.5, 2.0])])
def test_sums_and_variances_are_numpys(edges: np.ndarray) -> None:
    random = np.random.default_rng(1)
    values, weights = random.normal(size=5000), random.normal(1, 2, size=5000)
    found = histogram(values, weights, edges)
    np.testing.assert_allclose(found.sums, np.histogram(values, edges, weights=weights)[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.squares, np.histogram(values, edges, weights=weights**2)[0], rtol=1e-12)
    assert found.underflow[0] == pytest.approx(weights[values < edges[0]].sum(), rel=1e-12)
    assert found.overflow[1] == pytest.approx((weights[values > edges[-1]] ** 2).sum(), rel=1e-9, abs=1e-12)


@given(st.lists(st.integers(-3, 12)), st.integers(1, 12))
def test_values_on_edges_go_where_numpy_puts_them(values: list[int], num_bins: int) -> None:
    found = histogram(np.array(values, dtype=np.float32), None, np.arange(num_bins + 1))
    assert found.sums.tolist() == np.histogram(values, np.arange(num_bins + 1))[0].tolist()
    assert found.underflow[0] == sum(value < 0 for value in values)
    assert found.overflow[0] == sum(value > num_bins for value in values)


def test_nan_counts_nowhere_and_infinity_flows_over() -> None:
    found = histogram(np.array([np.nan, np.inf, -np.inf, 0.5]), np.array([1.0, 2.0, 3.0, 4.0]), [0.0, 1.0])
    assert (found.sums.tolist(), found.underflow[0], found.overflow[0]) == ([4.0], 3.0, 2.0)


def test_histograms_add_and_refuse_other_edges() -> None:
    first, second = histogram(np.array([0.5]), None, [0, 1]), histogram(np.array([0.2, 3.0]), None, [0, 1])
    assert as_plain(add_histograms(first, second)) == as_plain(histogram(np.array([0.5, 0.2, 3.0]), None, [0, 1]))
    with pytest.raises(ValueError, match="different edges"):
        add_histograms(first, histogram(np.array([0.5]), None, [0, 2]))


@pytest.mark.parametrize("edges", [np.linspace(0, 1, 31), np.array([0.0, 0.3, 1.0])])
def test_scores_of_exactly_one_leave_no_rounding_in_the_overflow(edges: np.ndarray) -> None:
    """Such a rounding error may be negative, and then has no root."""
    for seed in range(20):
        weights = np.random.default_rng(seed).exponential(size=200)
        found = histogram(np.ones(200, dtype=np.float32), weights, edges)
        assert found.overflow == (0.0, 0.0)
        assert found.sums[-1] == pytest.approx(weights.sum())
        assert as_plain(found)["overflow"] == {"value": 0.0, "uncertainty": 0.0}
