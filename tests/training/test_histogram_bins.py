"""Bins against numpy's, and forests that take inputs instead of the numbers of bins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.ensemble import HistGradientBoostingClassifier

from ntupleml.training.histogram_boosting import bin_edges, bin_numbers, cuts_to_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray


@given(
    inputs=arrays(np.float32, (40, 2), elements=st.floats(-(2.0**100), 2.0**100, width=32)),
    max_bins=st.integers(2, 50),
)
def test_numbers_are_those_of_numpys_bins(inputs: NDArray[np.float32], max_bins: int) -> None:
    edges = bin_edges(inputs, max_bins)
    numbers = bin_numbers(inputs, edges)
    for index, of_input in enumerate(edges):
        assert len(of_input) < max_bins
        assert (np.diff(of_input) > 0).all()
        np.testing.assert_array_equal(numbers[:, index], np.digitize(inputs[:, index], of_input, right=True))
        if len(np.unique(inputs[:, index])) <= max_bins:
            assert len(np.unique(numbers[:, index])) == len(np.unique(inputs[:, index]))


def test_quantiles_share_the_events() -> None:
    inputs = np.random.default_rng(1).exponential(size=(10_000, 1)).astype(np.float32)
    counts = np.bincount(bin_numbers(inputs, bin_edges(inputs, 50))[:, 0].astype(int))
    assert len(counts) == 50
    np.testing.assert_allclose(counts, 200, atol=1)


@pytest.mark.parametrize("max_bins", [4, 255])
def test_a_forest_of_numbers_takes_the_inputs(max_bins: int) -> None:
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(2000, 3)).astype(np.float32)
    inputs[:, 1] = inputs[:, 1].round()
    inputs[:, 2] = 5
    classes = (inputs[:, 0] + inputs[:, 1] + generator.normal(size=2000) > 0).astype(int)
    edges = bin_edges(inputs, max_bins)
    rows = np.concatenate([inputs, generator.normal(size=(2000, 3)).astype(np.float32) * 5])
    numbers = bin_numbers(rows, edges)
    estimator = HistGradientBoostingClassifier(max_iter=5, max_bins=max_bins).fit(numbers[:2000], classes)
    by_number = estimator.predict_proba(numbers)
    assert len(np.unique(by_number)) > 10
    cuts_to_inputs(estimator, edges)
    assert (estimator.predict_proba(rows) == by_number).all()
