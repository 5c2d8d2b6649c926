"""Distances in slices against SciPy, sums by hand, and what is empty."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ntupleml.metrics import Undefined, as_plain
from ntupleml.metrics.sliced_distances import slice_names, sliced_distances, slices_of
from ntupleml.metrics.two_samples import TwoSampleTest


def test_each_slice_is_scipys_test_of_its_rows() -> None:
    random = np.random.default_rng(3)
    scores, pt = random.random((600, 2)).astype("f4"), random.uniform(0, 3, 600)
    is_data = random.random(600) < 0.4
    slices = slices_of(pt, [1.0, 2.0])
    found = sliced_distances(scores, is_data, np.full(600, 2.5), slices, 3)
    for score, of_score in enumerate(found.tests):
        for index, test in enumerate(of_score):
            inside = (pt >= index) & (pt < index + 1)
            expected = stats.ks_2samp(scores[inside & ~is_data, score], scores[inside & is_data, score], method="asymp")
            assert isinstance(test, TwoSampleTest)
            assert test.statistic == pytest.approx(expected.statistic, abs=1e-12)
            assert test.p_value == pytest.approx(expected.pvalue, abs=1e-10)
    inside = pt < 1
    assert found.entries[0] == pytest.approx((np.sum(inside & ~is_data), np.sum(inside & is_data)))


def test_weights_and_sums_by_hand() -> None:
    """Slice 0: F₁ is 1/3 at 0.2 and 1 at 0.6, F₂ is 1 at 0.4: D = 2/3. Slice 1: all of the first lie below: D = 1."""
    scores = np.repeat([[0.2], [0.6], [0.4], [0.1], [0.9]], 4, axis=0)
    is_second = np.repeat([False, False, True, False, True], 4)
    weights = np.repeat([1.0, 2.0, 7.0, 1.0, 1.0], 4)
    slices = np.repeat([0, 0, 0, 1, 1], 4)
    found = sliced_distances(scores, is_second, weights, slices, 2)
    assert found.sums == pytest.approx((2 / 3 + 1,))
    assert found.entries == (pytest.approx((4 * 9 / 5, 4.0)), (4.0, 4.0))
    (whole,) = sliced_distances(scores, is_second, weights).tests[0]
    assert isinstance(whole, TwoSampleTest)
    # Both samples together: 0.1 (1 of 4), 0.2 (2 of 4), 0.4 (7 of 8 of the second), 0.6, 0.9.
    assert whole.statistic == pytest.approx(max(1 / 2, abs(1 / 2 - 7 / 8), 1 - 7 / 8))


def test_a_slice_that_lacks_a_sample_is_undefined_and_not_summed() -> None:
    scores = np.repeat([[0.2, 0.1], [0.6, 0.1], [0.4, 0.1], [0.5, 0.1]], 2, axis=0)
    is_second = np.repeat([False, True, True, False], 2)
    found = sliced_distances(scores, is_second, np.ones(8), np.repeat([0, 0, 1, -1], 2), 3)
    assert found.sums == (1.0, 0.0)
    assert [isinstance(test, Undefined) for test in found.tests[0]] == [False, True, True]
    assert as_plain(found)["tests"][0][1] == "undefined: first sample: no events"
    alone = sliced_distances(scores, np.zeros(8, bool), np.ones(8))
    assert math.isnan(alone.sums[0])


def test_slices() -> None:
    values = np.array([-np.inf, 0.9, 1.0, 1.9, 2.0, np.inf, np.nan])
    np.testing.assert_array_equal(slices_of(values, [1.0, 2.0]), [0, 0, 1, 1, 2, 2, -1])
    assert slice_names("pt", [1]) == ("pt < 1", "pt >= 1")
