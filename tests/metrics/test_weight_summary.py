"""Sums of weights against NumPy's, whatever the chunks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.metrics import Undefined, no_sum_of_weights
from ntupleml.metrics.measurement import as_plain, no_normalisation
from ntupleml.metrics.weight_summary import WeightSums


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50), st.integers(0, 50))
def test_summary_is_that_of_all_weights(weights: list[float], cut: int) -> None:
    array, sums = np.array(weights), WeightSums()
    for part in (array[:cut], array[cut:]):
        sums.add(part)
    found = sums.summary()
    assert found.events == len(weights)
    assert found.total.value == pytest.approx(array.sum(), abs=1e-9)
    assert found.total.uncertainty == pytest.approx(np.sqrt(np.sum(array**2)))
    assert found.negative_events == pytest.approx(np.mean(array < 0))
    if np.abs(array).sum() > 1e-6:
        assert found.negative_weight == pytest.approx(-array[array < 0].sum() / np.abs(array).sum(), abs=1e-9)
        assert found.effective_events == pytest.approx(array.sum() ** 2 / np.sum(array**2), abs=1e-6)
        assert found.largest_to_mean == pytest.approx(np.abs(array).max() / np.abs(array).mean())
        assert found.largest_share == pytest.approx(np.abs(array).max() ** 2 / np.sum(array**2))


def test_nan_and_infinite_weights_are_counted_and_left_out() -> None:
    sums = WeightSums()
    sums.add(np.array([1.0, np.nan, np.inf, -np.inf, 2.0]))
    found = sums.summary()
    assert (found.events, found.bad, found.total.value) == (5, 3, 3.0)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0]])
def test_nothing_gives_zeros(weights: list[float]) -> None:
    sums = WeightSums()
    sums.add(np.array(weights))
    found = sums.summary()
    assert as_plain(found)["sum_of_weights"] == {"value": 0.0, "uncertainty": 0.0}
    assert (found.effective_events, found.largest_to_mean, found.largest_share, found.negative_weight) == (0, 0, 0, 0)


@given(st.lists(st.sampled_from([-2.0, -1.0, -0.1, 0.1, 0.3, 1.0, 2.0]), max_size=8))
def test_reasons_are_those_of_the_weights_themselves(weights: list[float]) -> None:
    array = np.array(weights)
    expected = no_sum_of_weights(array)
    found = no_normalisation(len(array), float(array.sum()), float(array @ array))
    assert found == expected
    assert found is None or isinstance(found, Undefined)
