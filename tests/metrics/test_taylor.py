"""Taylor coefficients: terms and factors, weighted means, and uncertainties that toys confirm."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.taylor import (
    derivative_sums,
    normalised_coefficients,
    taylor_coefficients,
    taylor_factor,
    taylor_matrix,
    taylor_ranking,
    taylor_terms,
)


@given(num_inputs=st.integers(1, 9))
def test_number_of_terms_is_that_of_htt_ml(num_inputs: int) -> None:
    """n + n(n+1)/2 terms up to second order; the third adds n(n+1)(n+2)/6."""
    second = num_inputs * (num_inputs + 3) // 2
    assert len(taylor_terms(num_inputs, 2)) == second
    assert len(taylor_terms(num_inputs, 3)) == second + num_inputs * (num_inputs + 1) * (num_inputs + 2) // 6


def test_second_order_is_the_upper_triangle_row_by_row() -> None:
    triangle = [(int(i), int(j)) for i, j in zip(*np.triu_indices(4), strict=True)]
    assert taylor_terms(4, 2) == [(0,), (1,), (2,), (3,), *triangle]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31))
def test_factors_make_the_taylor_polynomial(seed: int) -> None:
    """Σ over all index tuples of d/k! is Σ over the terms of factor · d."""
    random = np.random.default_rng(seed)
    point = random.normal(size=3)
    for order in (1, 2, 3):
        raw = random.normal(size=(3,) * order)
        symmetric = sum(np.transpose(raw, axes) for axes in _permutations(order))
        full = sum(
            symmetric[index] * math.prod(point[i] for i in index) / math.factorial(order)
            for index in product(range(3), repeat=order)
        )
        terms = [term for term in taylor_terms(3, order) if len(term) == order]
        reduced = sum(taylor_factor(term) * symmetric[term] * math.prod(point[i] for i in term) for term in terms)
        assert reduced == pytest.approx(full, rel=1e-10, abs=1e-10)


def _permutations(length: int) -> list[tuple[int, ...]]:
    from itertools import permutations

    return list(permutations(range(length)))


def test_coefficients_are_weighted_means() -> None:
    random = np.random.default_rng(3)
    derivatives, weights = random.normal(size=(500, 5)), random.normal(1, 1, 500)
    for absolute in (True, False):
        values = np.abs(derivatives) if absolute else derivatives
        expected = np.average(values, weights=weights, axis=0) * [1, 1, 0.5, 1, 0.5]
        found = taylor_coefficients(derivative_sums(derivatives, weights, absolute=absolute), taylor_terms(2, 2))
        np.testing.assert_allclose([one.value for one in found], expected, rtol=1e-12)


def test_uncertainty_of_equal_weights_is_the_standard_error_of_the_mean() -> None:
    derivatives = np.random.default_rng(4).normal(3, 1, size=(200, 1))
    (found,) = taylor_coefficients(derivative_sums(derivatives, np.full(200, 7.0)), [(0,)])
    assert found.uncertainty == pytest.approx(derivatives.std(ddof=1) / math.sqrt(200), rel=1e-9)


def test_sums_of_parts_are_those_of_the_whole() -> None:
    random = np.random.default_rng(5)
    derivatives, weights = random.normal(size=(300, 2)), random.exponential(size=300)
    whole = taylor_coefficients(derivative_sums(derivatives, weights), [(0,), (1,)])
    parts = [derivative_sums(derivatives[rows], weights[rows]) for rows in (slice(0, 17), slice(17, None))]
    np.testing.assert_allclose(taylor_coefficients(parts[0] + parts[1], [(0,), (1,)]), whole, rtol=1e-12)


@pytest.mark.parametrize("normalised", [False, True])
def test_uncertainties_cover_the_true_values(normalised: bool) -> None:
    """Pulls of 2,000 samples with random weights, some negative, have width 1."""
    random = np.random.default_rng(6)
    # |d| of the inputs: x and x + y of two exponentials, so that they are correlated.
    true = np.array([1 / 3, 2 / 3]) if normalised else np.array([1.0, 2.0])
    pulls = []
    for _ in range(2000):
        first = random.exponential(size=400)
        values = np.stack([first, first + random.exponential(size=400)], axis=1)
        weights = random.exponential(size=400) * np.where(random.random(400) < 0.05, -1, 1)
        sums = derivative_sums(values * random.choice([-1, 1], values.shape), weights)
        found = normalised_coefficients(sums) if normalised else taylor_coefficients(sums, [(0,), (1,)])
        pulls.append([(one.value - centre) / one.uncertainty for one, centre in zip(found, true, strict=True)])
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.12
    # The width of 2,000 pulls is known to 1.6 %.
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.06)


@pytest.mark.parametrize(
    ("derivatives", "weights", "reason"),
    [
        ([], [], "no events"),
        ([1.0], [1.0], "only one event"),
        ([1.0, 2.0], [0.0, 0.0], "sum of weights is zero"),
        ([1.0, 2.0], [1.0, -3.0], "sum of weights is negative"),
        ([1.0, 2.0], [1.0, np.nan], "a weight is NaN or infinite"),
        ([1.0, np.nan, np.inf], [1.0, 1.0, 1.0], "the derivative is NaN or infinite in 2 of 3 events"),
    ],
)
def test_undefined(derivatives: list[float], weights: list[float], reason: str) -> None:
    sums = derivative_sums(np.reshape(derivatives, (-1, 1)), np.array(weights))
    assert taylor_coefficients(sums, [(0,)]) == [Undefined(reason)]
    assert normalised_coefficients(sums) == [Undefined(reason)]


def test_constant_score_has_coefficients_of_zero_but_no_shares() -> None:
    sums = derivative_sums(np.zeros((10, 2)), np.ones(10))
    assert taylor_coefficients(sums, [(0,), (1,)]) == [Measurement(0, 0)] * 2
    assert normalised_coefficients(sums) == [Undefined("the sum of the coefficients is not positive")] * 2


def test_ranking_falls_and_equal_values_rank_by_falling_label() -> None:
    derivatives = np.tile([1.0, 3.0, 3.0], (5, 1))
    derivatives[0, 0] = np.nan
    ranking = taylor_ranking(derivative_sums(derivatives, np.ones(5)), ["c", "a", "b"], 1)
    assert [term.label for term in ranking.terms] == ["b", "a", "c"]
    content = as_plain(ranking)["ranking"]
    assert content[0] == {"variables": ["b"], "score": 3.0, "uncertainty": 0.0}
    assert content[2] == {"variables": ["c"], "score": "undefined: the derivative is NaN or infinite in 1 of 5 events"}


def test_rows_of_a_normalised_matrix_sum_to_one() -> None:
    random = np.random.default_rng(8)
    sums = {name: derivative_sums(random.normal(size=(50, 3)), random.exponential(size=50)) for name in "ab"}
    content = as_plain(taylor_matrix(sums, ["x", "y", "z"], normalised=True))
    for row in content.values():
        assert sum(entry["value"] for entry in row.values()) == pytest.approx(1, rel=1e-12)
