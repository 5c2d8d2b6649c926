"""Bias and resolution against NumPy's numbers, and their uncertainties against the spread of toys."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.regression import Regression, Residuals, regression, residuals


def known(result: Regression | Undefined) -> Regression:
    assert isinstance(result, Regression), result
    return result


def test_equal_weights_give_numpys_numbers() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(50, 10, 5000)
    prediction = truth + random.normal(1, 3, 5000)
    result = known(regression(truth, prediction, np.ones(5000)))
    differences = prediction - truth
    assert result.residuals.bias.value == pytest.approx(differences.mean())
    assert result.residuals.bias.uncertainty == pytest.approx(differences.std() / np.sqrt(5000))
    assert isinstance(result.residuals.resolution, Measurement)
    assert result.residuals.resolution.value == pytest.approx(differences.std(ddof=1))
    low, high = np.quantile(differences, [0.158655, 0.841345], method="hazen")
    assert isinstance(result.residuals.central_width, Measurement)
    assert result.residuals.central_width.value == pytest.approx((high - low) / 2, rel=1e-5)
    assert isinstance(result.correlation, Measurement)
    assert result.correlation.value == pytest.approx(np.corrcoef(truth, prediction)[0, 1])
    assert sum(one.entries for one in result.in_bins if isinstance(one, Residuals)) == 5000
    assert result.map.sums.sum() == pytest.approx(5000, abs=150)  # less what lies outside


def test_bins_are_those_of_the_truth() -> None:
    truth = np.repeat([1.0, 2.0, 3.0], 40)
    prediction = truth * np.tile([1.0, 1.2], 60)
    result = known(regression(truth, prediction, np.ones(120)))
    assert result.edges.tolist() == [0.5, 1.5, 2.5, 3.5]
    biases = [one.bias.value for one in result.in_bins if isinstance(one, Residuals)]
    assert biases == pytest.approx([0.1, 0.2, 0.3])


def test_a_weight_of_two_is_an_event_twice() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=400)
    twice, once = residuals(values, np.full(400, 2.0)), residuals(np.repeat(values, 2), np.ones(800))
    assert twice.bias.value == pytest.approx(once.bias.value)
    assert twice.bias.uncertainty == pytest.approx(once.bias.uncertainty * np.sqrt(2))


def test_uncertainties_are_the_spread_of_toys() -> None:
    """Weights of both signs; a distribution with tails."""
    random = np.random.default_rng(3)
    found = []
    for _ in range(400):
        values = random.standard_t(8, 600)
        weights = random.exponential(1, 600) * np.where(random.random(600) < 0.1, -1, 1)
        found.append(residuals(values, weights))
    for part in ("bias", "resolution", "central_width"):
        values = np.array([getattr(one, part).value for one in found])
        mean = np.mean([getattr(one, part).uncertainty for one in found])
        assert mean == pytest.approx(values.std(), rel=0.2), part


@pytest.mark.parametrize(
    ("weights", "reason"), [([], "no events"), ([1.0, -1.0], "is zero"), ([1.0, -2.0], "is negative")]
)
def test_no_positive_sum_of_weights_is_said(weights: list[float], reason: str) -> None:
    values = np.arange(len(weights), dtype="f8")
    result = regression(values, values, np.array(weights))
    assert isinstance(result, Undefined)
    assert reason in result.reason


def test_what_cannot_be_known_is_said() -> None:
    one = known(regression(np.array([1.0]), np.array([2.0]), np.ones(1)))
    assert one.residuals.bias == Measurement(1.0, 0.0)
    assert one.residuals.resolution == Undefined("fewer than two effective events")
    assert one.correlation == Undefined("the truth is the same for all events")
    missing = known(regression(np.array([np.nan, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]), np.ones(3)))
    assert missing.missing == 1
    assert missing.residuals.entries == 2
