"""Confusion matrices against scikit-learn, formulas written out by hand, and toy Monte Carlo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from ntupleml.metrics import (
    ConfusionMatrix,
    Measurement,
    Undefined,
    confusion_matrix,
    efficiency,
    efficiency_to_correct,
    predicted_class,
    purity,
    purity_to_correct,
    sums_of_weights,
    with_class_weights,
)
from ntupleml.metrics.measurement import as_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.metrics import Matrix

CLASS_WEIGHTS = (10.0, 1.0, 2.5)


def sample(num_events: int, seed: int, num_classes: int = 3) -> tuple[NDArray[np.int64], ...]:
    """True class, predicted class and weight, all of them correlated, every tenth weight negative."""
    random = np.random.default_rng(seed)
    true = random.integers(0, num_classes, num_events)
    predicted = np.where(random.random(num_events) < 0.6, true, random.integers(0, num_classes, num_events))
    weights = random.exponential(1.0 + true + predicted) * np.where(random.random(num_events) < 0.1, -1, 1)
    return true, predicted, weights


def values(matrix: Matrix) -> NDArray[np.float64]:
    return np.array([[entry.value if isinstance(entry, Measurement) else np.nan for entry in row] for row in matrix])


def uncertainties(matrix: Matrix) -> NDArray[np.float64]:
    return np.array(
        [[entry.uncertainty if isinstance(entry, Measurement) else np.nan for entry in row] for row in matrix]
    )


def test_sums_agree_with_scikit_learn() -> None:
    true, predicted, weights = sample(5000, seed=1)
    matrix = confusion_matrix(true, predicted, weights, 3)
    np.testing.assert_allclose(matrix.sums, sklearn_confusion_matrix(true, predicted, sample_weight=weights))
    np.testing.assert_allclose(matrix.squares, sklearn_confusion_matrix(true, predicted, sample_weight=weights**2))
    np.testing.assert_array_equal(matrix.entries, sklearn_confusion_matrix(true, predicted))
    assert sums_of_weights(matrix)[1][2].uncertainty == pytest.approx(
        np.sqrt((weights[(true == 1) & (predicted == 2)] ** 2).sum())
    )


@pytest.mark.parametrize(
    ("function", "normalize"), [(efficiency, "true"), (purity, "pred")], ids=["efficiency2", "purity2"]
)
def test_shares_agree_with_scikit_learn(function: Callable[[ConfusionMatrix], Matrix], normalize: str) -> None:
    true, predicted, weights = sample(5000, seed=2)
    matrix = confusion_matrix(true, predicted, weights, 3)
    expected = sklearn_confusion_matrix(true, predicted, sample_weight=weights, normalize=normalize)
    np.testing.assert_allclose(values(function(matrix)), expected)


def test_htt_mls_formulas() -> None:
    """C_ij / C_ii and C_ij / C_jj, with i the true class."""
    events = ConfusionMatrix(np.full((2, 2), 9), np.array([[8.0, 2.0], [1.0, 4.0]]), np.ones((2, 2)))
    np.testing.assert_allclose(values(efficiency_to_correct(events)), [[1, 0.25], [0.25, 1]])
    np.testing.assert_allclose(values(purity_to_correct(events)), [[1, 0.5], [0.125, 1]])
    np.testing.assert_allclose(values(efficiency(events)), [[0.8, 0.2], [0.2, 0.8]])
    np.testing.assert_allclose(values(purity(events)), [[8 / 9, 1 / 3], [1 / 9, 2 / 3]])


def test_class_weights_change_only_purities() -> None:
    true, predicted, weights = sample(2000, seed=3)
    plain = confusion_matrix(true, predicted, weights, 3)
    scaled = with_class_weights(plain, CLASS_WEIGHTS)
    weights = weights * np.array(CLASS_WEIGHTS)[true]
    expected = sklearn_confusion_matrix(true, predicted, sample_weight=weights, normalize="pred")
    np.testing.assert_allclose(values(purity(scaled)), expected)
    np.testing.assert_allclose(values(efficiency(scaled)), values(efficiency(plain)))
    np.testing.assert_allclose(uncertainties(efficiency(scaled)), uncertainties(efficiency(plain)))


def test_unweighted_efficiency_has_the_binomial_uncertainty() -> None:
    true, predicted, _ = sample(3000, seed=4)
    result = efficiency(confusion_matrix(true, predicted, np.ones(3000), 3))
    for i in range(3):
        total = (true == i).sum()
        for j in range(3):
            share = ((true == i) & (predicted == j)).sum() / total
            assert result[i][j].uncertainty == pytest.approx(np.sqrt(share * (1 - share) / total))


@pytest.mark.parametrize("class_weights", [(1.0, 1.0, 1.0), CLASS_WEIGHTS], ids=["plain", "class weights"])
@pytest.mark.parametrize(
    "function",
    [sums_of_weights, efficiency, efficiency_to_correct, purity, purity_to_correct],
    ids=lambda f: f.__name__,
)
def test_uncertainties_agree_with_toy_monte_carlo(
    function: Callable[[ConfusionMatrix], Matrix], class_weights: tuple[float, ...]
) -> None:
    """Poisson bootstrap: each event counts Poisson(1) times; the spread of the results is their uncertainty."""
    true, predicted, weights = sample(20_000, seed=5)
    random = np.random.default_rng(6)
    toys = [
        values(function(with_class_weights(confusion_matrix(true, predicted, toy, 3), class_weights)))
        for toy in (weights * random.poisson(1.0, len(weights)) for _ in range(400))
    ]
    result = uncertainties(function(with_class_weights(confusion_matrix(true, predicted, weights, 3), class_weights)))
    spread = np.std(toys, axis=0, ddof=1)
    exact = result == 0
    assert (spread[exact] < 1e-12).all()
    # The spread of 400 toys is known to 1/√800 = 3.5 %; 9 entries stay within 4 of these.
    np.testing.assert_allclose(result[~exact], spread[~exact], rtol=0.14)


def test_a_class_without_events_is_undefined() -> None:
    matrix = confusion_matrix(np.array([0, 0]), np.array([0, 2]), np.array([1.0, 2.0]), 3)
    assert efficiency(matrix)[1] == (Undefined("no events"),) * 3
    assert [row[1] for row in purity(matrix)] == [Undefined("no events")] * 3
    assert efficiency_to_correct(matrix)[2][0] == Undefined("no events")
    assert purity_to_correct(matrix)[0][2] == Undefined("no events")
    assert sums_of_weights(matrix)[1][1] == Measurement(0.0, 0.0)
    assert str(Undefined("no events")) == "undefined: no events"


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([0.0, 0.0, 0.0], "sum of weights is zero"),
        ([0.1, 0.2, -0.3], "sum of weights is zero"),  # 5.6e-17 in floating point
        ([1.0, -1.5, -1.0], "sum of weights is negative"),
    ],
)
def test_sums_that_nothing_can_be_divided_by(weights: list[float], reason: str) -> None:
    zero = np.zeros(3, dtype=np.int64)
    result = efficiency(confusion_matrix(zero, zero, np.array(weights), 2))
    assert result[0] == (Undefined(reason), Undefined(reason))
    assert result[1] == (Undefined("no events"), Undefined("no events"))


def test_one_event_is_enough() -> None:
    matrix = confusion_matrix(np.array([1]), np.array([1]), np.array([1e-12]), 2)
    assert efficiency(matrix)[1] == (Measurement(0.0, 0.0), Measurement(1.0, 0.0))


def test_no_events_at_all() -> None:
    empty = np.array([], dtype=np.int64)
    matrix = confusion_matrix(empty, empty, np.array([]), 4)
    assert matrix.sums.shape == (4, 4)
    assert matrix.sums.dtype == np.float64
    assert all(isinstance(entry, Undefined) for row in purity(matrix) for entry in row)


def test_plain_numbers() -> None:
    matrix = confusion_matrix(np.array([0, 0, 1]), np.array([0, 0, 1]), np.array([3.0, 4.0, -1.0]), 2)
    assert as_plain(matrix) == {
        "entries": [[2, 0], [0, 1]],
        "sums_of_weights": [[7.0, 0.0], [0.0, -1.0]],
        "uncertainties": [[5.0, 0.0], [0.0, 1.0]],
    }


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "u2", "?", ">f4"])
def test_weights_of_any_number_type(dtype: str) -> None:
    matrix = confusion_matrix(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([1, 0, 1], dtype=dtype), 2)
    np.testing.assert_array_equal(matrix.sums, [[1, 0], [1, 0]])


def test_large_float32_weights_are_summed_in_double_precision() -> None:
    weights = np.full(200_001, 1000.001, dtype=np.float32)
    zero = np.zeros(len(weights), dtype=np.int64)
    total = confusion_matrix(zero, zero, weights, 2).sums[0, 0]
    assert total == pytest.approx(float(weights[0]) * len(weights), rel=1e-12)


def test_ties_go_to_the_first_class() -> None:
    scores = np.array([[0.2, 0.4, 0.4], [0.5, 0.0, 0.5], [1 / 3, 1 / 3, 1 / 3], [0.1, 0.2, 0.7]])
    assert predicted_class(scores).tolist() == [1, 0, 0, 2]


@given(
    data=st.integers(1, 60).flatmap(
        lambda size: st.tuples(
            arrays(np.int64, size, elements=st.integers(0, 3)),
            arrays(np.int64, size, elements=st.integers(0, 3)),
            arrays(np.float64, size, elements=st.floats(-100, 100)),
            st.integers(0, size),
        )
    )
)
def test_chunks_add_up_and_no_result_is_nan(data: tuple[NDArray, NDArray, NDArray, int]) -> None:
    true, predicted, weights, cut = data
    whole = confusion_matrix(true, predicted, weights, 4)
    parts = confusion_matrix(true[:cut], predicted[:cut], weights[:cut], 4) + confusion_matrix(
        true[cut:], predicted[cut:], weights[cut:], 4
    )
    np.testing.assert_allclose(parts.sums, whole.sums, atol=1e-9)
    np.testing.assert_allclose(parts.squares, whole.squares, atol=1e-9)
    np.testing.assert_array_equal(parts.entries, whole.entries)
    for function in (sums_of_weights, efficiency, efficiency_to_correct, purity, purity_to_correct):
        for entry in (entry for row in function(whole) for entry in row):
            assert isinstance(entry, Undefined) or np.isfinite(entry).all()
