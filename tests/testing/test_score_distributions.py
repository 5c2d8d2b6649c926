"""The step of the score distributions: its pictures and numbers, recorded data, bad input, and the script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml
from scipy import stats

from ntupleml.config import PlotConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots import plot_style
from ntupleml.testing.preparation import prepare, recorded_data, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.score_distributions import overtraining, score_distribution_pictures
from ntupleml.testing.steps import write_step
from ntupleml.testing.tested_events import TestedEvents
from ntupleml.testing.training_part import training_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from numpy.typing import NDArray

    from ntupleml.plots.pictures import Picture
    from ntupleml.testing.preparation import Preparation

#: As in conftest.py.
CLASSES = ["signal", "background_1", "background_2"]
NAMES = [f"{kind}_{name}" for name in CLASSES for kind in ("scores", "stack")]
NO_PART = Undefined("there is no training part")
NO_DATA = Undefined("no tree 'data' in fold0.root")


def prepared(analysis: Any, fold: str = "all", **options: Any) -> Preparation:
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)


def events(
    scores: NDArray[Any],
    truth: NDArray[Any],
    weights: NDArray[Any] | None = None,
    sampled: dict[str, float] | None = None,
) -> TestedEvents:
    number = len(truth)
    weights = np.ones(number) if weights is None else weights
    return TestedEvents(
        CLASSES,
        {"net": scores},
        truth,
        weights,
        np.zeros(number, "i8"),
        [],
        np.zeros((number, 0), "f4"),
        sampled or {},
        {},
    )


def drawn(number: int, seed: int, **options: Any) -> TestedEvents:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, number)
    return events(random.dirichlet([1, 1, 1], number).astype("f4"), truth, random.exponential(size=number), **options)


def draw(pictures: list[Picture]) -> None:
    with plot_style(PlotConfig()):
        for picture in pictures:
            picture.draw(PlotConfig()).get_tightbbox()


def test_files_of_all_folds_pooled(analysis: Any) -> None:
    analysis.training["event_weights"] = "weights_f4"
    analysis.write_configs()
    preparation = prepared(analysis)
    paths, _ = write_step(STEPS["scores"], preparation)
    expected = [f"foldall_keras_{name}.{ending}" for name in NAMES for ending in ("png", "pdf", "yaml")]
    assert [path.name for path in paths] == expected
    content = analysis.result("foldall_keras_stack_background_1")
    # Sums of weights of all events of both folds, in bins of the score.
    for name in CLASSES:
        whole = sum(fold[name]["weights_f4"].astype("f8").sum() for fold in analysis.events)
        assert sum(content["classes"][name]["sums_of_weights"]) == pytest.approx(whole, rel=1e-6)
    assert content["data"].startswith("undefined: no tree 'data' in ")
    scores = analysis.result("foldall_keras_scores_signal")
    assert set(scores["overtraining"]["models"]) == {0, 1}
    for part in ("unseen", "training_part"):
        for name in CLASSES:
            density = scores[part][name]
            assert np.dot(density["values"], np.diff(density["edges"])) == pytest.approx(1)
    tests = scores["overtraining"]["models"][0]["by_true_class"]["signal"]
    assert 0 <= tests["kolmogorov_smirnov"]["p_value"] <= 1
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        write_step(STEPS["scores"], preparation)


def test_tests_are_of_each_model_on_its_own(analysis: Any) -> None:
    """D and p-value of SciPy for unit weights, from the formula of the scores."""
    del analysis.training["event_weights"]
    analysis.write_configs()
    preparation = prepared(analysis)
    test, training = tested_events(preparation), training_part(preparation, "keras")
    assert isinstance(training, TestedEvents)
    result = overtraining(test, training, "keras")
    for model in (0, 1):
        samples = [one.scores["keras"][(one.models == model) & (one.truth == 2), 1] for one in (training, test)]
        expected = stats.ks_2samp(*samples, method="asymp")
        found = result.models[model]["background_1"].shapes["background_2"].kolmogorov_smirnov
        assert not isinstance(found, Undefined)
        assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)
    pictures = score_distribution_pictures(test, training, NO_DATA, "keras", result)
    tables = {table.title: table for table in pictures[2].tables}
    rows = tables["Training part against unseen events"].rows
    assert len(rows) == 3 * 2 + 3  # three true classes by two models, and all models together
    assert len(tables["AUC of 'background_1' against the rest"].rows) == 3
    assert rows[2][:4] == ("background_2", 0, *result.models[0]["background_1"].shapes["background_2"][0][:2])


def add_data(analysis: Any, number: int = 150) -> list[dict[str, NDArray[Any]]]:
    """Recorded data in each fold file, which keep their UUIDs."""
    random = np.random.default_rng(8)
    added = []
    for fold in range(analysis.num_folds):
        columns = {name: random.normal(size=number + fold).astype("f4") for name in ("x", "y")}
        with uproot.update(analysis.folder / f"fold{fold}.root") as file:
            file.mktree("data", {name: column.dtype for name, column in columns.items()}).extend(columns)
        added.append(columns)
    return added


def test_recorded_data_are_points_with_a_ratio(analysis: Any) -> None:
    analysis.training["event_weights"] = "weights_f4"
    analysis.write_configs()
    added = add_data(analysis)
    preparation = prepared(analysis)
    test, data = tested_events(preparation), recorded_data(preparation)
    assert isinstance(data, TestedEvents)
    pictures = {one.name: one for one in score_distribution_pictures(test, NO_PART, data, "keras")}
    assert list(pictures) == NAMES
    stack = pictures["stack_signal"].numbers
    assert sum(stack["data"]["sums_of_weights"]) == sum(len(columns["x"]) for columns in added) == 301
    sums = np.array(stack["data"]["sums_of_weights"])
    np.testing.assert_allclose(stack["data"]["uncertainties"], np.sqrt(sums))
    total = np.array(stack["total"]["sums_of_weights"])
    for found, count, simulated in zip(stack["data_over_simulation"], sums, total, strict=True):
        if simulated > 0:
            assert found["value"] == pytest.approx(count / simulated)
            assert found["uncertainty"] == pytest.approx(np.sqrt(count) / simulated)
        else:
            assert found.startswith("undefined")
    rows: dict[Any, Any] = {row[0]: row[1] for row in pictures["stack_signal"].tables[0].rows}
    assert rows["data"] == pytest.approx(Measurement(301.0, np.sqrt(301)))
    assert rows["data / all classes"].value == pytest.approx(301 / test.weights.sum())
    draw(list(pictures.values())[:2])
    # Of one model, the data of the fold that it never saw.
    data = recorded_data(prepared(analysis, "0"))
    assert isinstance(data, TestedEvents)
    stack = score_distribution_pictures(test, NO_PART, data, "keras")[1].numbers
    assert sum(stack["data"]["sums_of_weights"]) == len(added[1]["x"])


def test_without_a_training_part_the_reason_is_said(analysis: Any) -> None:
    pictures = score_distribution_pictures(tested_events(prepared(analysis)), NO_PART, NO_DATA, "keras")
    numbers = pictures[0].numbers
    assert numbers["training_part"] == {}
    assert numbers["overtraining"] == {
        "verdict": {
            "level": "unknown",
            "text": "Whether it is overtrained cannot be told: there is no training part.",
            "short": "There is nothing to compare with the events of the training.",
        }
    }
    assert "there is no training part" in pictures[0].caption
    assert [table.title for table in pictures[0].tables] == ["Sums of weights"]
    draw(pictures[:1])


def test_what_is_sampled_is_said() -> None:
    test = drawn(500, 1)
    training = drawn(500, 2, sampled={"signal": 0.25})
    caption = score_distribution_pictures(test, training, NO_DATA, "net")[0].caption
    assert caption.endswith("Of the training part a random sample was taken and weighted up: 0.25 of 'signal'.")


def test_responses_of_any_range_are_drawn_whole() -> None:
    test, training = drawn(500, 3), drawn(300, 4)
    test.scores["net"][:] = 7 * test.scores["net"] - 3
    training.scores["net"][:] = 8 * training.scores["net"] - 3.5
    stack = score_distribution_pictures(test, training, NO_DATA, "net")[1].numbers
    total = stack["total"]
    assert total["edges"][0] == training.scores["net"][:, 0].min()
    assert total["edges"][-1] == training.scores["net"][:, 0].max()
    assert (total["underflow"]["value"], total["overflow"]["value"]) == (0, 0)


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda test: test.chosen(test.truth != 0), id="a class without events"),
        pytest.param(lambda test: test.chosen(np.arange(len(test)) < 1), id="one event"),
        pytest.param(lambda test: test.chosen(np.arange(len(test)) < 0), id="no event"),
        pytest.param(lambda test: events(test.scores["net"], test.truth, np.zeros(len(test))), id="weights of zero"),
        pytest.param(lambda test: events(test.scores["net"], test.truth, -test.weights), id="negative sum"),
        pytest.param(lambda test: events(np.full((len(test), 3), 1 / 3, "f4"), test.truth), id="constant score"),
        pytest.param(lambda test: events(np.full((len(test), 3), 5, "f4"), test.truth), id="constant response"),
    ],
)
def test_bad_input_is_undefined_and_the_rest_is_made(kept: Callable[[TestedEvents], TestedEvents]) -> None:
    test, training = kept(drawn(200, 5)), drawn(200, 6)
    for unseen, fitted, data in ((test, training, test), (training, test, NO_DATA), (test, test, training)):
        pictures = score_distribution_pictures(unseen, fitted, data, "net")
        assert [picture.name for picture in pictures] == NAMES
        draw(pictures[:2])
        text = yaml.safe_dump([picture.numbers for picture in pictures])
        assert ".nan" not in text
        assert ".inf" not in text


def test_the_script_says_whether_it_is_overtrained(
    analysis: Any, run_script: Callable[..., CompletedProcess[str]]
) -> None:
    arguments = ("training.yaml", "testing.yaml", "1")
    found = run_script("testing/score_distributions.py", *arguments, cwd=analysis.folder)
    assert found.returncode == 0, found.stderr
    assert "keras: " in found.stderr + found.stdout
    assert any(word in found.stderr for word in ("overtrained", "vertraining", "too few events"))
    assert (analysis.folder / "out" / "fold1_keras_scores_signal.pdf").exists()
    wrong = run_script("testing/score_distributions.py", *arguments, "--method", "kears", cwd=analysis.folder)
    assert wrong.returncode == 2
    assert "keras" in wrong.stderr
    assert "Traceback" not in wrong.stderr
