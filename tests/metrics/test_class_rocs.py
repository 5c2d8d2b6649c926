"""All curves of a classifier against those of each score alone, scikit-learn and a known distribution."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ntupleml.metrics import Measurement, Undefined, as_plain, performance, roc_against_rest, roc_of_pair
from ntupleml.metrics.class_rocs import SIGNAL_EFFICIENCIES, ClassRocs, RocSummary, class_rocs

CLASSES = ["a", "b", "c", "d"]


def sample(
    seed: int, number: int = 800, num_classes: int = 4, decimals: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, true classes, and weights of which some are negative."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, num_classes, number)
    logits = random.normal(size=(number, num_classes)) + 1.5 * np.eye(num_classes)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return np.round(scores, decimals), truth, random.normal(1, 0.5, number)


def defined(result: RocSummary | Undefined) -> RocSummary:
    assert isinstance(result, RocSummary), result
    return result


@pytest.mark.parametrize("weighted", [True, False])
def test_one_sort_gives_the_curves_of_each_score_alone(weighted: bool) -> None:
    scores, truth, weights = sample(1)
    found = class_rocs(scores.astype("f4"), truth, weights if weighted else None, CLASSES)
    used = weights if weighted else None
    for index, name in enumerate(CLASSES):
        expected = {"rest": roc_against_rest(scores.astype("f4"), truth, index, used)}
        summaries = {"rest": found.against_rest[name]}
        for number, other in enumerate(CLASSES):
            if other != name:
                expected[other] = roc_of_pair(scores.astype("f4"), truth, index, number, used)
                summaries[other] = found.pairs[name][other]
        for key, curve in expected.items():
            summary = defined(summaries[key])
            assert not isinstance(curve, Undefined)
            assert summary.auc.value == pytest.approx(curve.auc.value, rel=1e-12)
            assert summary.auc.uncertainty == pytest.approx(curve.auc.uncertainty, rel=1e-9)
            assert summary.rejections[0.5] == pytest.approx(curve.rejection_at(0.5), rel=1e-9)
            assert summary.distinct_scores == len(curve.thresholds) - 1
            assert summary.signal_entries == (truth == index).sum()


def test_areas_of_the_rest_of_pairs_and_of_the_average_are_scikit_learns() -> None:
    scores, truth, _ = sample(2, decimals=9)
    scores /= scores.sum(axis=1, keepdims=True)
    found = class_rocs(scores, truth, np.ones(len(truth)), CLASSES)
    for index, name in enumerate(CLASSES):
        area = defined(found.against_rest[name]).auc.value
        assert area == pytest.approx(roc_auc_score(truth == index, scores[:, index]), abs=1e-12)
    pairs = [defined(one).auc.value for others in found.pairs.values() for one in others.values()]
    # One-vs-one is the mean of the areas of all ordered pairs (Hand and Till).
    assert np.mean(pairs) == pytest.approx(roc_auc_score(truth, scores, multi_class="ovo"), abs=1e-12)
    assert isinstance(found.average_auc, Measurement)
    average = roc_auc_score(truth, scores, multi_class="ovr", average="weighted")
    assert found.average_auc.value == pytest.approx(average, abs=1e-12)


def test_two_classes_have_no_pairs() -> None:
    scores, truth, weights = sample(3, num_classes=2)
    found = class_rocs(scores, truth, weights, CLASSES[:2])
    assert found.pairs == {}
    assert defined(found.against_rest["a"]).auc.value == pytest.approx(defined(found.against_rest["b"]).auc.value)


def test_rejections_of_a_known_distribution() -> None:
    """Signal shifted by 1.5: 1/ε_B = 1/Φ(Φ⁻¹(ε_S) − 1.5)."""
    random = np.random.default_rng(4)
    truth = np.arange(200_000) % 2
    score = (random.normal(size=200_000) + 1.5 * (truth == 0)).astype("f4")
    found = defined(class_rocs(np.stack([score, -score], axis=1), truth, None, ["s", "b"]).against_rest["s"])
    assert list(found.rejections) == list(SIGNAL_EFFICIENCIES)
    for level, rejection in found.rejections.items():
        assert isinstance(rejection, Measurement)
        expected = 1 / norm.cdf(norm.ppf(level) - 1.5)
        assert abs(rejection.value - expected) < 4 * rejection.uncertainty
        assert rejection.uncertainty < 0.1 * expected
    # The points follow the curve to its ends, where they are dense.
    points = found.points
    assert len(points.signal_efficiency) <= 200
    assert (np.diff(points.signal_efficiency) > 0).all()
    exact = norm.cdf(norm.ppf(points.signal_efficiency) - 1.5)
    # At the very ends single events decide.
    measured = (points.uncertainty > 0) & (points.signal_efficiency < 0.9995)
    assert (np.abs(points.background_efficiency - exact)[measured] < 5 * points.uncertainty[measured]).all()
    steep = (points.background_efficiency > 0) & (points.background_efficiency < 1e-3)
    assert steep.sum() > 10
    assert (points.signal_efficiency > 0.995).sum() > 5


def test_a_perfect_classifier_keeps_its_corner() -> None:
    truth = np.arange(1000) % 2
    score = np.where(truth == 0, 1.0, 0.0) + np.linspace(0, 0.5, 1000)
    points = defined(class_rocs(np.stack([score, -score], axis=1), truth, None, ["s", "b"]).against_rest["s"]).points
    assert points.signal_efficiency[-1] == 1
    assert (points.background_efficiency == 0).all()


class TestBadInput:
    def test_a_class_without_events_leaves_the_others(self) -> None:
        scores, truth, weights = sample(5)
        found = class_rocs(scores[truth != 3], truth[truth != 3], weights[truth != 3], CLASSES)
        assert found.against_rest["d"] == Undefined("no signal events")
        assert found.pairs["d"]["a"] == Undefined("no signal events")
        assert found.pairs["a"]["d"] == Undefined("no background events")
        assert found.average_auc == Undefined("class 'd': no signal events")
        assert isinstance(found.pairs["a"]["b"], RocSummary)
        plain = as_plain(found)
        assert plain["pairs"]["a"]["d"] == "undefined: no background events"
        assert "NaN" not in json.dumps(plain)

    def test_one_event_no_event_and_one_class(self) -> None:
        scores, truth, weights = sample(6)
        for some in (slice(0, 1), slice(0, 0)):
            found = class_rocs(scores[some], truth[some], weights[some], CLASSES)
            assert all(isinstance(one, Undefined) for one in found.against_rest.values())
            assert isinstance(found.average_auc, Undefined)

    @pytest.mark.parametrize(
        ("factor", "reason"), [(0.0, "sum of signal weights is zero"), (-1.0, "sum of signal weights is negative")]
    )
    def test_weights_that_cannot_be_normalised(self, factor: float, reason: str) -> None:
        scores, truth, weights = sample(7)
        weights = np.where(truth == 0, factor * np.abs(weights), np.abs(weights))
        found = class_rocs(scores, truth, weights, CLASSES)
        assert found.against_rest["a"] == Undefined(reason)
        assert isinstance(found.pairs["b"]["c"], RocSummary)
        nothing = class_rocs(scores, truth, 0 * weights, CLASSES)
        assert nothing.average_auc == Undefined("class 'a': sum of signal weights is zero")

    def test_a_constant_score_has_the_area_one_half_and_says_so(self) -> None:
        _, truth, weights = sample(8)
        found = class_rocs(np.full((len(truth), 4), 0.25, "f4"), truth, weights, CLASSES)
        for one in found.against_rest.values():
            assert defined(one).auc == Measurement(0.5, 0.0)
            assert defined(one).distinct_scores == 1


def test_performance_has_the_same_numbers() -> None:
    scores, truth, weights = sample(9)
    rocs, numbers = (
        class_rocs(scores, truth, weights, CLASSES, pairs=False),
        performance(scores, truth, weights, CLASSES),
    )
    assert isinstance(rocs, ClassRocs)
    assert rocs.pairs == {}
    assert numbers.average_auc == rocs.average_auc
    assert all(numbers.classes[name].auc == defined(rocs.against_rest[name]).auc for name in CLASSES)


def test_the_average_is_covered() -> None:
    """Three scores of a known shift: each area, and so any average, is Φ(1/√2)."""
    random, pulls = np.random.default_rng(10), []
    for _ in range(300):
        truth = random.integers(0, 3, 600)
        scores = random.normal(size=(600, 3)) + np.eye(3)[truth]
        average = class_rocs(scores, truth, None, CLASSES[:3], pairs=False).average_auc
        assert isinstance(average, Measurement)
        pulls.append((average.value - norm.cdf(1 / math.sqrt(2))) / average.uncertainty)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(300)
    assert abs(np.std(pulls) - 1) < 4 / math.sqrt(600)
