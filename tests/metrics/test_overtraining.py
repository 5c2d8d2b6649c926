"""Training part against unseen events: the numbers against scikit-learn and SciPy, and when which verdict is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.overtraining import Overtraining, ScoredSample, no_overtraining, overtraining
from ntupleml.metrics.score_distributions import score_edges
from ntupleml.metrics.two_samples import TwoSampleTest

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = ["signal", "background"]


def draw(
    random: np.random.Generator, number: int, separation: float = 1.0, models: Sequence[int] = (0,), classes: int = 2
) -> ScoredSample:
    """Softmax of normal variables, that of the true class shifted by the separation."""
    truth = random.integers(0, classes, number)
    logits = random.normal(size=(number, classes))
    logits[np.arange(number), truth] += separation
    scores = np.exp(logits)
    scores /= scores.sum(axis=1, keepdims=True)
    return ScoredSample(
        scores.astype("f4"), truth, random.exponential(size=number), np.arange(number) % len(models) + models[0]
    )


def compared(test: ScoredSample, training: ScoredSample, classes: Sequence[str] = CLASSES) -> Overtraining:
    edges = {
        name: score_edges([test.scores[:, index], training.scores[:, index]]) for index, name in enumerate(classes)
    }
    return overtraining(test, training, classes, edges)


def measured(value: Measurement | Undefined) -> Measurement:
    assert isinstance(value, Measurement), value
    return value


def test_numbers_of_each_model() -> None:
    random = np.random.default_rng(1)
    test, training = draw(random, 3000, models=(0, 1)), draw(random, 2000, 1.5, models=(0, 1))
    found = compared(test, training)
    assert list(found.models) == [0, 1]
    for model, classes in found.models.items():
        areas = []
        for sample in (training, test):
            chosen = sample.models == model
            areas.append(
                roc_auc_score(sample.truth[chosen] == 0, sample.scores[chosen, 0], sample_weight=sample.weights[chosen])
            )
        result = classes["signal"]
        assert measured(result.training_auc).value == pytest.approx(areas[0], abs=1e-10)
        assert measured(result.test_auc).value == pytest.approx(areas[1], abs=1e-10)
        difference = measured(result.difference)
        assert difference.value == pytest.approx(areas[0] - areas[1], abs=1e-10)
        assert difference.uncertainty**2 == pytest.approx(
            measured(result.training_auc).uncertainty ** 2 + measured(result.test_auc).uncertainty ** 2
        )
        # The largest distance of the distribution functions, on a fine grid of the score.
        grid = np.linspace(0, 1, 20_001)
        functions = []
        for sample in (training, test):
            chosen = (sample.models == model) & (sample.truth == 1)
            values, weights = sample.scores[chosen, 0], sample.weights[chosen]
            order = np.argsort(values)
            steps = np.append(0, np.cumsum(weights[order])) / weights.sum()
            functions.append(steps[np.searchsorted(values[order], grid, side="right")])
        test_of_shape = result.shapes["background"].kolmogorov_smirnov
        assert isinstance(test_of_shape, TwoSampleTest)
        assert test_of_shape.statistic == pytest.approx(np.abs(functions[0] - functions[1]).max(), abs=2e-3)
    differences = [measured(found.models[model]["signal"].difference) for model in (0, 1)]
    average = measured(found.average["signal"])
    assert average.value == pytest.approx(np.mean([one.value for one in differences]))
    assert average.uncertainty == pytest.approx(np.linalg.norm([one.uncertainty for one in differences]) / 2)


def test_areas_that_are_known_are_not_computed_again() -> None:
    random = np.random.default_rng(3)
    test, training = draw(random, 900, models=(0, 1)), draw(random, 900, models=(0, 1))
    edges = dict.fromkeys(CLASSES, np.linspace(0, 1, 11))
    known = {0: {"signal": Measurement(0.25, 0.5), "background": Undefined("nobody asked")}}
    found, expected = overtraining(test, training, CLASSES, edges, known), overtraining(test, training, CLASSES, edges)
    signal, computed = found.models[0]["signal"], expected.models[0]["signal"]
    assert signal.test_auc == Measurement(0.25, 0.5)
    assert measured(signal.difference).value == measured(computed.training_auc).value - 0.25
    assert found.models[0]["background"].difference == Undefined("unseen events: nobody asked")
    assert found.models[1] == expected.models[1]


def test_p_values_of_all_models_together_are_corrected_for_their_number() -> None:
    random = np.random.default_rng(2)
    found = compared(draw(random, 3000, models=(0, 1, 2)), draw(random, 3000, models=(0, 1, 2)))
    tests = [classes["signal"].shapes["background"].kolmogorov_smirnov for classes in found.models.values()]
    smallest = min(one.p_value for one in tests if isinstance(one, TwoSampleTest))
    assert found.p_values("signal", "background")[0] == pytest.approx(1 - (1 - smallest) ** 3)


def test_pulls_of_the_difference_and_false_alarms() -> None:
    """Of equal parents the difference is zero within its uncertainty, and hardly ever an alarm."""
    random = np.random.default_rng(3)
    pulls, levels = [], []
    for _ in range(300):
        found = compared(draw(random, 400), draw(random, 300))
        difference = measured(found.models[0]["signal"].difference)
        pulls.append(difference.value / difference.uncertainty)
        levels.append(found.verdict.level)
    assert np.std(pulls) == pytest.approx(1, abs=4 / np.sqrt(2 * 300))
    assert np.mean(pulls) == pytest.approx(0, abs=4 / np.sqrt(300))
    assert levels.count("attention") <= 6  # one in a hundred by the tests of the shapes, and less by the areas


def test_good_where_the_samples_are_large_and_alike() -> None:
    random = np.random.default_rng(4)
    verdict = compared(draw(random, 40_000), draw(random, 30_000)).verdict
    assert verdict.level == "good"
    assert verdict.text.startswith("It is not overtrained: AUC is lower on held-out events by no more than 0.0")
    assert "the scores are distributed alike (smallest p-value of 8 tests, corrected: " in verdict.text


def test_attention_where_the_training_part_is_much_better() -> None:
    random = np.random.default_rng(5)
    found = compared(draw(random, 4000, models=(0, 1)), draw(random, 4000, 1.6, models=(0, 1)))
    assert found.verdict.level == "attention"
    largest = max(
        (measured(classes[name].difference) for classes in found.models.values() for name in CLASSES),
        key=lambda one: one.value,
    )
    assert (
        f"is lower on held-out events than on those of the training by {measurement_text(largest)}"
        in found.verdict.text
    )
    assert "K-S distance" in found.verdict.text


def test_no_p_value_is_said_to_be_zero() -> None:
    """Too small for a double, it is below the smallest of them."""
    random = np.random.default_rng(5)
    text = compared(draw(random, 4000), draw(random, 4000, 30.0)).verdict.text
    assert "distributions differ significantly (p < 1e-300 after correction" in text


def test_one_model_of_several_is_enough() -> None:
    random = np.random.default_rng(6)
    parts = [draw(random, 3000, 1.6 if model == 2 else 1.0, models=(model,)) for model in range(4)]
    training = ScoredSample(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    found = compared(draw(random, 12_000, models=(0, 1, 2, 3)), training)
    assert found.verdict.level == "attention"
    assert "by model 2" in found.verdict.text


def test_a_difference_that_is_significant_but_tiny_is_good() -> None:
    """Half a million events on both sides show a separation that is better by 1.5 %, but that does not matter."""
    random = np.random.default_rng(7)
    test, training = draw(random, 500_000, 1.0), draw(random, 500_000, 1.015)
    unit = np.ones(500_000)
    found = compared(test._replace(weights=unit), training._replace(weights=unit))
    difference = measured(found.models[0]["signal"].difference)
    assert difference.value > 3.5 * difference.uncertainty
    assert found.verdict.level == "good"
    assert found.verdict.text.startswith("Overtraining costs little: AUC is lower on held-out events by no more than ")


def test_what_a_difference_may_cost_is_said_by_the_user() -> None:
    """A useful model: some better on its own events, significantly; whether that is too much is not for statistics."""
    random = np.random.default_rng(13)
    test, training = draw(random, 60_000, 1.0), draw(random, 60_000, 1.06)
    edges = {name: score_edges([test.scores[:, index]]) for index, name in enumerate(CLASSES)}
    found = {allowed: overtraining(test, training, CLASSES, edges, allowed=allowed) for allowed in (0.005, 0.03, 0.05)}
    difference = measured(found[0.03].models[0]["signal"].difference)
    assert 0.005 < difference.value < 0.03
    assert difference.value > 4 * difference.uncertainty
    assert [one.verdict.level for one in found.values()] == ["attention", "good", "good"]
    text = f"by {measurement_text(difference)}, and 0.005 is allowed"
    assert text in found[0.005].verdict.text
    assert "and 0.03 is allowed" in found[0.03].verdict.text


def test_distributions_that_differ_significantly_by_little_are_good() -> None:
    """A shift of all scores alike: p-values are tiny, but hardly an event moves, and the areas are the same."""
    random = np.random.default_rng(12)
    test, training = draw(random, 300_000), draw(random, 300_000)
    found = compared(test, training._replace(scores=training.scores + np.array([0.006, -0.006], "f4")))
    shapes = found.models[0]["signal"].shapes["background"].kolmogorov_smirnov
    assert isinstance(shapes, TwoSampleTest)
    assert shapes.p_value < 1e-4
    assert found.verdict.level == "good"
    assert "distributions differ significantly" in found.verdict.text
    assert f"by a K-S distance of {shapes.statistic:.3f}" in found.verdict.text


def test_unknown_with_the_sensitivity_where_the_samples_are_small() -> None:
    random = np.random.default_rng(8)
    found = compared(draw(random, 60), draw(random, 50))
    limits = {
        name: measured(found.average[name]).value + stats.norm.ppf(0.95) * measured(found.average[name]).uncertainty
        for name in CLASSES
    }
    assert found.verdict.level == "unknown"
    assert f"by up to {max(limits.values()):.3f} for" in found.verdict.text
    assert "95 % confidence" in found.verdict.text


def test_small_samples_whose_training_part_is_worse_by_chance_are_not_good() -> None:
    """Nothing is excluded by a fluctuation to the other side: good needs the same number of events."""
    levels = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        levels.append(compared(draw(random, 300), draw(random, 300)).verdict.level)
    assert "good" not in levels


def test_a_class_without_events_is_named_and_the_others_are_judged() -> None:
    random = np.random.default_rng(9)
    classes = ["a", "b", "rare"]
    test, training = draw(random, 60_000, classes=3), draw(random, 60_000, classes=3)
    kept = test.truth != 2
    without = ScoredSample(*(column[kept] for column in test))
    found = compared(without, training, classes)
    assert found.models[0]["rare"].difference == Undefined("unseen events: no signal events")
    assert found.models[0]["a"].shapes["rare"].kolmogorov_smirnov == Undefined("unseen events: no events")
    assert found.models[0]["a"].shapes["rare"].chi_square == Undefined("unseen events: no events with a weight")
    assert found.verdict.level in ("good", "attention")  # the class is missing among the others' background
    assert as_plain(found)["models"][0]["rare"]["difference"] == "undefined: unseen events: no signal events"


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        (ScoredSample(np.zeros((0, 2), "f4"), np.zeros(0, "i8"), np.zeros(0), np.zeros(0, "i8")), "no signal events"),
        (ScoredSample(np.full((1, 2), 0.5, "f4"), np.zeros(1, "i8"), np.ones(1), np.zeros(1, "i8")), "only one"),
        (
            ScoredSample(np.full((9, 2), 0.5, "f4"), np.arange(9) % 2, np.zeros(9), np.zeros(9, "i8")),
            "sum of signal weights is zero",
        ),
        (
            ScoredSample(np.full((9, 2), 0.5, "f4"), np.arange(9) % 2, -np.ones(9), np.zeros(9, "i8")),
            "sum of signal weights is negative",
        ),
    ],
)
def test_what_cannot_be_compared_is_unknown(sample: ScoredSample, text: str) -> None:
    training = draw(np.random.default_rng(10), 1000)
    found = compared(sample, training)
    assert found.verdict.level == "unknown"
    assert found.verdict.text.startswith("Whether it is overtrained cannot be told: unseen events: ")
    assert text in found.verdict.text


def test_a_constant_score_tells_nothing_but_is_not_overtrained() -> None:
    random = np.random.default_rng(11)
    test, training = (sample._replace(scores=np.full((4000, 2), 0.5, "f4")) for sample in [draw(random, 4000)] * 2)
    found = compared(test, training)
    assert measured(found.models[0]["signal"].difference).value == 0
    assert found.verdict.level == "good"


def test_without_a_training_part() -> None:
    found = no_overtraining(Undefined("the fold files are not those of the training"))
    assert found.verdict[:2] == (
        "unknown",
        "Whether it is overtrained cannot be told: the fold files are not those of the training.",
    )
    assert as_plain(found) == {
        "verdict": {"level": "unknown", "text": found.verdict.text, "short": found.verdict.short},
        "average_difference": {},
        "models": {},
    }
