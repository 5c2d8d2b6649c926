"""Precision against recall: against scikit-learn, by hand with negative weights, and uncertainties by the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from ntupleml.metrics import Undefined
from ntupleml.metrics.precision_recall import PrecisionRecall, precision_recall


def defined(result: PrecisionRecall | Undefined) -> PrecisionRecall:
    assert isinstance(result, PrecisionRecall), result
    return result


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.floats(0.01, 100)), min_size=4, max_size=60).filter(
        lambda events: 2 <= sum(signal for _, signal, _ in events) <= len(events) - 2
    )
)
def test_equal_to_scikit_learn(events: list[tuple[int, bool, float]]) -> None:
    scores, is_signal, weights = (np.array(column) for column in zip(*events, strict=True))
    found = defined(precision_recall(scores, is_signal, weights))
    expected = metrics.average_precision_score(is_signal, scores, sample_weight=weights)
    assert found.average_precision.value == pytest.approx(expected, rel=1e-9)
    precision, recall, _ = metrics.precision_recall_curve(is_signal, scores, sample_weight=weights)
    assert found.signal_share.value == pytest.approx(precision[0], rel=1e-9)
    for at, value in zip(found.recall, found.precision, strict=True):
        near = np.isclose(recall, at, atol=1e-9)
        assert np.isclose(precision[near], value, rtol=1e-9).any()


def test_negative_weights_by_hand() -> None:
    """The sums of the background are −1, −1, 1, 2: the two tightest cuts count together with the third."""
    scores = np.array([0.9, 0.9, 0.7, 0.5, 0.3, 0.1])
    is_signal = np.array([True, False, True, False, True, False])
    found = defined(precision_recall(scores, is_signal, np.array([2.0, -1.0, 1.0, 2.0, 1.0, 1.0])))
    assert found.together_up_to == pytest.approx(3 / 4)
    assert found.average_precision.value == pytest.approx(3 / 4 * 3 / 4 + 1 / 4 * 4 / 5)
    assert found.precisions[0.3] == pytest.approx((3 / 4, np.sqrt(1 / 16 * 5 + 9 / 16 * 5) / 4))
    assert found.precisions[0.9] == pytest.approx((4 / 5, np.sqrt(1 / 25 * 6 + 16 / 25 * 5) / 5))
    assert found.signal_share.value == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([1.0, 1.0, -1.0, 1.0, 1.0], "sum of signal weights is zero"),
        ([1.0, 1.0, np.nan, 1.0, 1.0], "1 of 5 weights are NaN or infinite"),
    ],
)
def test_undefined(weights: list[float], reason: str) -> None:
    scores = np.array([0.9, 0.9, 0.7, 0.5, 0.1])
    is_signal = np.array([True, False, True, False, False])
    assert precision_recall(scores, is_signal, np.array(weights)) == Undefined(reason)


def test_uncertainties_are_those_of_the_bootstrap() -> None:
    """Numbers of events fluctuate as Poisson ones, so each event is taken as often as one says, with its weight."""
    random = np.random.default_rng(3)
    is_signal = random.random(600) < 0.3
    scores = np.round(random.normal(size=600) + is_signal, 1)
    weights = random.uniform(0.2, 2, 600) * np.where(random.random(600) < 0.05, -1, 1)
    found = defined(precision_recall(scores, is_signal, weights))
    others = [defined(precision_recall(scores, is_signal, weights * random.poisson(1, 600))) for _ in range(400)]
    for name in ("average_precision", "signal_share"):
        spread = np.std([getattr(one, name).value for one in others])
        assert getattr(found, name).uncertainty == pytest.approx(spread, rel=0.12)
