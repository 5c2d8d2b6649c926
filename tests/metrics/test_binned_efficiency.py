"""Efficiency and purity in bins: sums by hand, coverage by toys, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.binned_efficiency import BinnedEfficiency, binned_efficiency, ratios
from ntupleml.metrics.variable_bins import VariableBins, even_bins


def bins_of(values: np.ndarray) -> VariableBins:
    bins = even_bins(values)
    assert isinstance(bins, VariableBins)
    return bins


def test_every_number_is_that_of_the_events_in_the_bin() -> None:
    random = np.random.default_rng(1)
    scores = random.random(2000).astype("f4").round(2)
    is_signal = random.random(2000) < 0.3
    weights = random.exponential(1, 2000) * np.where(random.random(2000) < 0.1, -1, 1)
    values = random.normal(size=2000).round(1)
    values[5] = np.nan
    bins = bins_of(values)
    result = binned_efficiency(scores, is_signal, weights, bins, (0.5, 0.2))
    assert isinstance(result, BinnedEfficiency)
    assert [cut.wanted for cut in result.cuts] == [0.2, 0.5]
    assert result.missing == 1
    for cut in result.cuts:
        passed = scores >= cut.threshold
        stricter = scores > np.float32(cut.threshold)
        signal = weights * is_signal
        assert signal[passed].sum() >= cut.wanted * signal.sum() - 1e-9 > signal[stricter].sum() - 2e-9
        assert isinstance(cut.signal, Measurement)
        assert cut.signal.value == pytest.approx(signal[passed].sum() / signal.sum())
        for index in range(bins.number):
            inside = bins.of_event == index
            for chosen, given in ((is_signal, cut.signal_in_bins), (~is_signal, cut.background_in_bins)):
                events, found = inside & chosen, given[index]
                total = weights[events].sum()
                if not len(weights[events]) or total <= 0:
                    assert isinstance(found, Undefined)
                    continue
                value = weights[events & passed].sum() / total
                assert isinstance(found, Measurement)
                assert found.value == pytest.approx(value, abs=1e-12)
                if 0 < np.count_nonzero(events & passed) < np.count_nonzero(events):
                    spread = np.sqrt(np.sum(weights[events] ** 2 * (passed[events] - value) ** 2)) / total
                    assert found.uncertainty == pytest.approx(spread, abs=1e-12)
            purity = cut.purity_in_bins[index]
            total = weights[inside & passed].sum()
            if isinstance(purity, Measurement):
                assert purity.value == pytest.approx(signal[inside & passed].sum() / total, abs=1e-12)


def test_without_a_signal_that_can_be_normalised_there_is_nothing() -> None:
    bins = bins_of(np.arange(4.0))
    scores, weights = np.linspace(0, 1, 4), np.ones(4)
    assert str(binned_efficiency(scores, np.zeros(4, bool), weights, bins)) == "undefined: no signal events"
    negative = binned_efficiency(scores, np.ones(4, bool), -weights, bins)
    assert str(negative) == "undefined: sum of signal weights is negative"


def test_without_background_its_efficiency_is_undefined_and_the_rest_is_made() -> None:
    result = binned_efficiency(np.linspace(0, 1, 4), np.ones(4, bool), np.ones(4), bins_of(np.arange(4.0)))
    assert isinstance(result, BinnedEfficiency)
    # Two events pass the first cut: Beta(3, 1).
    assert str(result.cuts[0].background) == "undefined: no events"
    assert result.cuts[0].purity == Measurement(1.0, pytest.approx(np.sqrt(3 / 80)))
    assert as_plain(result)["cuts"][0]["background"] == "undefined: no events"


def test_a_constant_score_passes_as_a_whole() -> None:
    is_signal = np.array([True, True, False, False])
    result = binned_efficiency(np.ones(4, "f4"), is_signal, np.ones(4), bins_of(np.array([0.0, 1, 0, 1])))
    assert isinstance(result, BinnedEfficiency)
    assert {cut.signal.value for cut in result.cuts if isinstance(cut.signal, Measurement)} == {1.0}


def test_the_ratio_of_sums_has_the_binomial_uncertainty() -> None:
    (result,) = ratios(*(np.array([one]) for one in (30.0, 30.0, 70.0, 70.0)))
    assert result == Measurement(0.3, pytest.approx(np.sqrt(0.3 * 0.7 / 100)))


def test_none_of_many_has_an_uncertainty() -> None:
    """Beta(n + 1, 1) for n = 10: its standard deviation by the formula of the distribution."""
    from scipy.stats import beta

    (result,) = ratios(*(np.array([one]) for one in (0.0, 0.0, 20.0, 40.0)))
    assert result == Measurement(0.0, pytest.approx(beta(11, 1).std()))


@pytest.mark.parametrize("rest", [-1.0, -2.0])
def test_no_ratio_of_sums_that_are_not_positive(rest: float) -> None:
    (result,) = ratios(*(np.array([one]) for one in (1.0, 1.0, rest, 4.0)))
    assert isinstance(result, Undefined)


def test_pulls_of_weighted_toys() -> None:
    random = np.random.default_rng(2)
    pulls = []
    for _ in range(400):
        weights = random.exponential(1, 400) * np.where(random.random(400) < 0.1, -1, 1)
        passed = random.random(400) < 0.4
        parts = [
            amounts[chosen].sum(keepdims=True) for chosen in (passed, ~passed) for amounts in (weights, weights**2)
        ]
        (result,) = ratios(*parts)
        assert isinstance(result, Measurement)
        pulls.append((result.value - 0.4) / result.uncertainty)
    assert abs(np.mean(pulls)) < 0.2
    assert 0.9 < np.std(pulls) < 1.1
