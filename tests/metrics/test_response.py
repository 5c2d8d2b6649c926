"""Response, resolution and tails of estimators, against normal distributions, NumPy and toys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ntupleml.metrics.estimates import Estimate, core, mean
from ntupleml.metrics.linearity import Linearity, linearity
from ntupleml.metrics.measurement import Interval, Measurement, Undefined
from ntupleml.metrics.response import (
    CORRECTED,
    WIDTHS,
    compared,
    compared_in_bins,
    estimates,
    narrowest,
    sample_of_values,
)
from ntupleml.metrics.variable_bins import bins_of_edges
from ntupleml.metrics.vectors import QUANTITIES, samples_of_vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = ("response", "mean_response", "median_response", "bias", *WIDTHS, *CORRECTED)


def known(one: Estimate | Undefined) -> Estimate:
    assert not isinstance(one, Undefined), one
    return one


def value(one: Any) -> float:
    assert isinstance(one, Measurement | Interval), one
    return one.value


def gaussian(number: int, response: float, width: float, seed: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    random = np.random.default_rng(seed)
    truth = random.uniform(20, 100, number)
    return response * truth + random.normal(0, width, number), truth


def test_numbers_of_a_normal_distribution() -> None:
    """Prediction = 0.8 truth ± 5: response 0.8, corrected width 5/0.8; widths are larger by the spread of 0.2 t."""
    prediction, truth = gaussian(100_000, 0.8, 5)
    found = compared({"own": sample_of_values(prediction, truth)}, np.ones(100_000)).qualities["own"]
    expected = {
        "response": 0.8,
        "mean_response": 0.8,
        "median_response": 0.8,
        "bias": -0.2 * 60,
        "standard_deviation": np.sqrt(25 + 0.04 * 80**2 / 12),
        **dict.fromkeys(CORRECTED, 5 / 0.8),
    }
    for name, wanted in expected.items():
        one = found.numbers[name]
        assert isinstance(one, Measurement)
        assert abs(one.value - wanted) < 4 * one.uncertainty, name
        assert one.uncertainty < 0.01 * abs(wanted), name
    assert (found.entries, found.left_out, found.without_ratio) == (100_000, 0, 0)


def test_tails_of_a_normal_distribution_and_of_one_with_tails() -> None:
    truth = np.full(50_000, 10.0)
    random = np.random.default_rng(4)
    for residuals, more in ((random.normal(2, 3, 50_000), False), (random.standard_t(3, 50_000), True)):
        tails = compared({"own": sample_of_values(truth + residuals, truth)}, np.ones(50_000)).qualities["own"].tails
        for deviations, share in tails.items():
            assert isinstance(share, Interval)
            normal = 2 * stats.norm.sf(deviations)
            assert (share.value > 1.5 * normal) if more else abs(share.value - normal) < 5 * share.up


def test_core_is_the_likelihood_of_a_cut_normal_distribution() -> None:
    """At the end of the fit the mean and width are the largest likelihood in their range (scipy's normal)."""
    random = np.random.default_rng(2)
    values = np.concatenate([random.normal(7, 2, 4000), random.normal(9, 15, 600)])
    found = core(values, np.ones(len(values)))
    assert not isinstance(found, Undefined)
    centre, width = found.mean.value, found.width.value
    inside = values[np.abs(values - centre) <= 2 * width]

    def likelihood(shift: float, factor: float) -> float:
        normal = stats.norm(centre + shift, width * factor)
        low, high = centre - 2 * width, centre + 2 * width
        return float(normal.logpdf(inside).sum() - len(inside) * np.log(normal.cdf(high) - normal.cdf(low)))

    best = likelihood(0, 1)
    assert all(likelihood(s, f) < best for s, f in ((0.02, 1), (-0.02, 1), (0, 1.01), (0, 0.99)))
    assert centre == pytest.approx(7, abs=0.2)
    assert width == pytest.approx(2, rel=0.07)


def test_uncertainties_are_the_spread_of_toys() -> None:
    """Of correlated estimators with weights: numbers, and improvements, whose correlation makes them more precise."""
    random = np.random.default_rng(3)
    values, errors, gains = [], [], []
    for _ in range(120):
        truth, weights = random.exponential(50, 800), random.exponential(1, 800)
        common = random.normal(0, 8, 800)
        own = 0.8 * truth + common
        other = 0.9 * truth + common + random.normal(0, 4, 800)
        found = [estimates(sample_of_values(one, truth), weights) for one in (own, other)]
        numbers = [known(found[0][name]) for name in NUMBERS]
        values.append([one.value for one in numbers])
        errors.append([one.measurement.uncertainty for one in numbers])
        gains.append(
            tuple(known(found[0]["standard_deviation"]).over(known(found[1]["standard_deviation"])).measurement)
        )
    spread, mean_error = np.std(values, axis=0), np.mean(errors, axis=0)
    for index, name in enumerate(NUMBERS):
        if name not in ("mean_response",):  # truths near zero give it no variance
            assert mean_error[index] == pytest.approx(spread[index], rel=0.25), name
    gain, error = np.array(gains).T
    assert error.mean() == pytest.approx(gain.std(), rel=0.25)
    alone = mean_error / np.mean(values, axis=0)
    assert error.mean() < alone[NUMBERS.index("standard_deviation")] * gain.mean()  # what is common does not count


def test_the_influence_of_an_event_is_the_change_by_its_weight() -> None:
    random = np.random.default_rng(5)
    values, weights = random.normal(size=50), random.exponential(1, 50)
    for row in (0, 7):
        more = weights.copy()
        more[row] *= 1 + 1e-6
        slope = (mean(values, more).value - mean(values, weights).value) / 1e-6
        assert mean(values, weights).influences[row] == pytest.approx(slope, rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(angle=st.floats(-3.1, 3.1), scale=st.floats(0.1, 1e3), seed=st.integers(0, 1000))
def test_numbers_of_vectors_turn_and_scale(angle: float, scale: float, seed: int) -> None:
    """A common rotation changes nothing; a common factor scales lengths, and no angle."""
    random = np.random.default_rng(seed)
    truth, prediction = random.normal(0, 30, (2, 40, 2))
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    before, after = samples_of_vector(prediction, truth), samples_of_vector(prediction @ matrix.T, truth @ matrix.T)
    for name in QUANTITIES:
        factor = 1 if name == "angle" else scale
        np.testing.assert_allclose(after[name].prediction, factor * before[name].prediction, atol=1e-6 * factor * 100)
        np.testing.assert_allclose(after[name].truth, factor * before[name].truth, rtol=1e-9)
    np.testing.assert_allclose(
        np.hypot(before["parallel"].prediction, before["perpendicular"].prediction), np.hypot(*prediction.T)
    )


def test_zero_has_no_direction_and_no_ratio() -> None:
    truth = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0], [np.nan, 1.0]])
    prediction = np.array([[1.0, 1.0], [0.0, 0.0], [6.0, 8.0], [1.0, 1.0]])
    found = {
        name: compared({"own": one}, np.ones(4)).qualities["own"]
        for name, one in samples_of_vector(prediction, truth).items()
    }
    counts = {name: (one.entries, one.left_out, one.without_ratio) for name, one in found.items()}
    assert counts == {"parallel": (2, 2, 0), "perpendicular": (2, 2, 0), "magnitude": (3, 1, 1), "angle": (1, 3, 0)}
    assert value(found["parallel"].numbers["response"]) == pytest.approx(1.0)
    assert found["angle"].numbers["response"] == Undefined("it has no response")
    nothing = compared({"own": sample_of_values(np.ones(3), np.zeros(3))}, np.ones(3)).qualities["own"].numbers
    assert nothing["response"] == Undefined("the mean of the truth is zero")
    assert nothing["mean_response"] == Undefined("the truth is zero in all events")
    assert nothing["bias"] == Measurement(1.0, 0.0)


def test_bins_hold_their_own_events_and_the_narrowest_reference() -> None:
    prediction, truth = gaussian(2000, 1, 5)
    samples = {"own": sample_of_values(prediction, truth), "wide": sample_of_values(2 * prediction - truth, truth)}
    samples["none"] = sample_of_values(np.full(2000, np.nan), truth)
    bins = bins_of_edges(truth, [20, 60, 100, 200])
    found = compared_in_bins(samples, np.ones(2000), bins, ["wide", "none"])
    for one, low, high in zip(found, (20, 60), (60, 100), strict=False):
        chosen = (truth >= low) & (truth < high)
        residuals = (prediction - truth)[chosen]
        assert value(one.qualities["own"].numbers["standard_deviation"]) == pytest.approx(residuals.std(ddof=1))
        assert value(one.improvements["own"]["wide"]["standard_deviation"]) == pytest.approx(0.5)
        assert narrowest(one, ["wide", "none"], "standard_deviation") == "wide"
    assert found[2].qualities["own"].numbers["bias"] == Undefined("no events")
    assert narrowest(found[2], ["wide", "none"], "standard_deviation") is None


def test_a_line_through_bins_is_that_of_polyfit() -> None:
    prediction, truth = gaussian(5000, 0.9, 4)
    prediction[truth > 90] += 3
    bins = bins_of_edges(truth, np.linspace(20, 100, 9))
    found = linearity(sample_of_values(prediction + 2, truth), np.ones(5000), bins)
    assert isinstance(found, Linearity)
    errors = [one.uncertainty for one in found.prediction]
    fit, covariance = np.polyfit(
        found.truth, [one.value for one in found.prediction], 1, w=1 / np.array(errors), cov="unscaled"
    )
    assert (found.slope.value, found.intercept.value) == pytest.approx(tuple(fit))
    assert (found.slope.uncertainty, found.intercept.uncertainty) == pytest.approx(tuple(np.sqrt(np.diag(covariance))))
    assert found.place == pytest.approx(95, abs=1)
    assert found.largest_deviation.value > 5 * found.largest_deviation.uncertainty


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.arange(5.0), "fewer than ten effective events"),
        (np.ones(50), "the central 68 % have no width"),
    ],
)
def test_no_core_is_said(values: NDArray[np.float64], reason: str) -> None:
    assert core(values, np.ones(len(values))) == Undefined(reason)
