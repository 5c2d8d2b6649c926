"""Numbers about the inputs against NumPy's, with weights, missing values and bad input; uncertainties by toys."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.metrics import Measurement, Undefined, as_plain, separation_of_histograms
from ntupleml.metrics.input_binning import Binning, choose_binning
from ntupleml.metrics.input_sums import ClassSums
from ntupleml.metrics.inputs import Fractions, InputSummary, input_summary

Sample = tuple[np.ndarray, np.ndarray]


def summary_of(samples: dict[str, Sample], variables: list[str]) -> InputSummary:
    """Of values (n_events, n_variables) and weights by class, added in uneven parts."""
    samples = {
        name: (np.asarray(values, "f4"), np.asarray(weights, "f8")) for name, (values, weights) in samples.items()
    }
    binnings = {
        name: choose_binning(
            [values[:, index] for values, _ in samples.values()], [weights for _, weights in samples.values()]
        )
        for index, name in enumerate(variables)
    }
    sums = {}
    for label, (values, weights) in samples.items():
        sums[label] = ClassSums(list(binnings.values()))
        for part in (slice(0, 7), slice(7, 40_000), slice(40_000, None)):
            sums[label].add(values[part], weights[part])
    return input_summary(sums, binnings)


def value(found: Measurement | Undefined) -> float:
    assert isinstance(found, Measurement), found
    return found.value


def test_moments_and_histograms_are_numpys() -> None:
    random = np.random.default_rng(1)
    values, weights = random.normal([1e4, -2], [3, 0.5], (50_000, 2)).astype("f4"), random.normal(1, 1, 50_000)
    summary = summary_of({"a": (values, weights), "b": (values[:1000], weights[:1000])}, ["x", "y"])
    for index, name in enumerate(("x", "y")):
        found, column = summary.distributions[name]["a"], values[:, index].astype("f8")
        mean = np.average(column, weights=weights)
        variance = np.average((column - mean) ** 2, weights=weights)
        assert value(found.mean) == pytest.approx(mean, rel=1e-10)
        assert value(found.standard_deviation) == pytest.approx(np.sqrt(variance), rel=1e-8)
        assert isinstance(found.mean, Measurement)
        error = np.sqrt(np.sum(weights**2 * (column - mean) ** 2)) / weights.sum()
        assert found.mean.uncertainty == pytest.approx(error, rel=1e-8)
        assert isinstance(found.standard_deviation, Measurement)
        error = np.sqrt(np.sum(weights**2 * ((column - mean) ** 2 - variance) ** 2)) / weights.sum()
        assert found.standard_deviation.uncertainty == pytest.approx(error / (2 * np.sqrt(variance)), rel=1e-6)
        assert (found.minimum, found.maximum) == (column.min(), column.max())
        edges = summary.binnings[name].edges
        assert edges is not None
        assert not isinstance(found.histogram, Undefined)
        np.testing.assert_allclose(found.histogram.sums, np.histogram(column, edges, weights=weights)[0], atol=1e-9)
        np.testing.assert_allclose(found.histogram.squares, np.histogram(column, edges, weights=weights**2)[0])


def test_uncertainties_cover_repeated_samples() -> None:
    """Pulls of mean and standard deviation, for a skewed variable and weights of both signs."""
    random = np.random.default_rng(2)
    pulls = []
    for _ in range(300):
        values, weights = random.gamma(4.0, size=(1000, 1)), random.exponential(size=1000) - 0.1
        found = summary_of({"a": (values, weights)}, ["x"]).distributions["x"]["a"]
        assert isinstance(found.mean, Measurement)
        assert isinstance(found.standard_deviation, Measurement)
        pulls.append(
            [
                (found.mean.value - 4.0) / found.mean.uncertainty,
                (found.standard_deviation.value - 2.0) / found.standard_deviation.uncertainty,
            ]
        )
    assert np.std(pulls, axis=0) == pytest.approx([1.0, 1.0], abs=0.15)
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.35


def test_missing_values_are_counted_and_left_out() -> None:
    random = np.random.default_rng(3)
    column = random.normal(size=1000)
    column[:100], column[100:150], column[150:153], column[153:155] = np.nan, -999.0, np.inf, -np.inf
    weights = random.exponential(size=1000)
    other = random.normal(size=1000)
    summary = summary_of({"a": (np.stack([column, other], axis=1), weights)}, ["x", "y"])
    found, kept = summary.distributions["x"]["a"], column[155:].astype("f4")
    assert (found.nan, found.plus_infinity, found.minus_infinity, found.defaults) == (100, 3, 2, {-999.0: 50})
    assert found.missing == 155
    assert value(found.mean) == pytest.approx(np.average(kept, weights=weights[155:]))
    assert (found.minimum, found.maximum) == (kept.min(), kept.max())
    total = weights.sum()
    assert isinstance(found.fractions, Fractions)
    assert found.fractions.missing.value == pytest.approx(weights[:100].sum() / total)
    assert found.fractions.default.value == pytest.approx(weights[100:150].sum() / total)
    edges = summary.binnings["x"].edges
    assert edges is not None
    above = (column > edges[-1]) & (column != -999)
    assert found.fractions.overflow.value == pytest.approx(weights[above].sum() / total)
    parts = found.fractions
    everything = [parts.underflow, parts.overflow, parts.missing, parts.default]
    assert parts.bins.sum() + sum(part.value for part in everything) == pytest.approx(1)
    # σ² of a share: Σ w² (δ − p)² / (Σ w)²
    is_default, share = column == -999, parts.default.value
    variance = np.sum(weights**2 * (is_default - share) ** 2) / total**2
    assert parts.default.uncertainty == pytest.approx(np.sqrt(variance))
    coefficient = summary.correlations["a"].of(0, 1)
    expected = np.cov(kept, other[155:].astype("f4"), aweights=weights[155:], ddof=0)
    assert value(coefficient) == pytest.approx(expected[0, 1] / np.sqrt(expected[0, 0] * expected[1, 1]), abs=1e-6)


def test_separation_of_normal_distributions() -> None:
    """Against the integral of its definition, ½ ∫ (s − b)² / (s + b)."""
    random = np.random.default_rng(4)
    samples = {
        name: (random.normal(mean, 1, (100_000, 1)), np.ones(100_000)) for name, mean in (("s", 1.0), ("b", 0.0))
    }
    found = summary_of(samples, ["x"]).distributions["x"]["s"]
    x = np.linspace(-8, 9, 20_001)
    signal, background = (np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (1, 0))
    expected = 0.5 * np.trapezoid((signal - background) ** 2 / (signal + background), x)
    assert isinstance(found.separation, Measurement)
    assert found.separation.value == pytest.approx(expected, abs=3 * found.separation.uncertainty + 0.002)


def test_default_values_separate() -> None:
    """A classifier sees them: 20 % of the signal and 60 % of the background, otherwise alike."""
    random = np.random.default_rng(5)
    samples = {}
    for name, share in (("s", 0.2), ("b", 0.6)):
        column = random.random((40_000, 1))
        column[random.random((40_000, 1)) < share] = -9
        samples[name] = (column, np.ones(40_000))
    found = summary_of(samples, ["x"]).distributions["x"]["s"]
    exact = separation_of_histograms(
        (np.array([0.2, 0.8]), np.array([0.6, 0.4])), (np.array([1e-9, 1e-9]), np.array([1e-9, 1e-9]))
    )
    assert value(found.separation) == pytest.approx(value(exact), abs=0.005)


def test_what_separation_is_by_chance() -> None:
    """On average that of classes that are the same, with weights too."""
    random, found, expected = np.random.default_rng(6), [], []
    for _ in range(60):
        samples = {name: (random.random((2000, 1)), random.exponential(size=2000)) for name in ("s", "b")}
        one = summary_of(samples, ["x"]).distributions["x"]["s"]
        found.append(value(one.separation))
        assert isinstance(one.by_chance, float)
        expected.append(one.by_chance)
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.1)


def test_negative_weights_in_sparse_bins_do_not_decide() -> None:
    """Bins whose sum is near zero by cancellation would make ⟨S²⟩ arbitrary and its uncertainty huge."""
    random = np.random.default_rng(7)
    for _ in range(20):
        samples = {name: (random.normal(size=(400, 1)), random.normal(1, 1.5, 400)) for name in ("s", "b")}
        found = summary_of(samples, ["x"]).distributions["x"]["s"].separation
        assert isinstance(found, Measurement)
        assert found.value < 0.3
        assert found.uncertainty < 0.1


def test_integers_and_spikes() -> None:
    values = np.array([[0, 0.5], [1, 0.5], [1, 0.5], [3, 0.7]] * 10, dtype="f4")
    values[:, 1] = np.where(values[:, 1] == 0.5, 0.5, np.linspace(0, 1, 40))
    values = np.concatenate([values, np.stack([np.ones(60), np.linspace(0, 1, 60)], axis=1)])
    found = summary_of({"a": (values, np.ones(100))}, ["n", "x"])
    counts = found.distributions["n"]["a"].histogram
    assert not isinstance(counts, Undefined)
    assert counts.sums.tolist() == [10, 80, 0, 10]
    assert found.distributions["x"]["a"].spike == (0.5, 30)


NOTHING: Sample = (np.zeros((0, 2)), np.zeros(0))
FULL: Sample = (np.random.default_rng(8).normal(size=(500, 2)), np.ones(500))


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (NOTHING, "no events"),
        ((FULL[0], np.zeros(500)), "sum of weights is zero"),
        ((FULL[0], -np.ones(500)), "sum of weights is negative"),
        ((FULL[0][:1], np.ones(1)), "one event"),
        ((np.full((9, 2), np.nan), np.ones(9)), "all values are missing"),
        ((FULL[0], np.full(500, np.nan)), "no events"),
    ],
)
def test_undefined_numbers_say_why_and_the_rest_is_made(sample: Sample, reason: str) -> None:
    summary = summary_of({"bad": sample, "good": FULL}, ["x", "y"])
    assert summary.distributions["x"]["bad"].mean == Undefined(reason)
    assert isinstance(summary.distributions["x"]["good"].mean, Measurement)
    assert isinstance(summary.correlations["good"].of(0, 1), Measurement)
    assert isinstance(summary.correlations["bad"].of(0, 1), Undefined)
    assert isinstance(summary.differences["good"].of(0, 1), Undefined)
    text = str([as_plain(one) for by_class in summary.distributions.values() for one in by_class.values()])
    assert "nan," not in text
    assert "inf" not in text.replace("infinity", "")


def test_constants_have_no_correlation() -> None:
    values = np.random.default_rng(9).normal(size=(200, 2))
    values[:, 1] = 3.7
    summary = summary_of({"a": (values, np.ones(200)), "b": (values[:, ::-1], np.ones(200))}, ["x", "y"])
    assert summary.correlations["a"].of(0, 1) == Undefined("a variable is constant")
    found = summary.distributions["y"]["a"]
    assert value(found.mean) == pytest.approx(3.7)
    assert found.standard_deviation == pytest.approx((0.0, 0.0), abs=1e-6)


def test_huge_values_are_said_and_do_no_harm() -> None:
    values = np.random.default_rng(10).normal(size=(200, 2)).astype("f4")
    values[5, 0] = 3e38
    found = summary_of({"a": (values, np.ones(200)), "b": (values[:100], np.ones(100))}, ["x", "y"])
    assert found.distributions["x"]["a"].maximum == pytest.approx(3e38, rel=1e-6)
    assert isinstance(found.distributions["y"]["a"].mean, Measurement)


def test_one_class_has_no_separation() -> None:
    found = summary_of({"only": FULL}, ["x", "y"])
    assert found.distributions["x"]["only"].separation == Undefined("no events of the other classes")
    assert found.ranking() == []


def test_a_binning_without_edges_has_no_histogram() -> None:
    sums = ClassSums([Binning(None)])
    sums.add(np.full((3, 1), np.nan, dtype="f4"), np.ones(3))
    found = input_summary({"a": sums}, {"x": Binning(None)}).distributions["x"]["a"]
    assert found.histogram == Undefined("all values are missing")
    assert found.nan == 3
