"""Inputs validated as a user does it: files, numbers, findings, bad input; and the same from events in memory."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined, as_plain
from ntupleml.plots.pictures import Picture, picture_paths, write_numbers
from ntupleml.testing.input_findings import input_findings, inputs_verdict
from ntupleml.testing.input_summary import Part, input_summary_of_events, summarize_inputs
from ntupleml.testing.inputs import inputs_names, inputs_pictures, validate_inputs
from ntupleml.testing.registry import STEPS
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ntupleml.metrics.inputs import InputSummary

PARTS = ["x", "y"]


def validate(analysis: Any, *, testing: bool = True, **options: Any) -> tuple[InputSummary, list[Path]]:
    analysis.write_configs()
    folder = analysis.folder
    return validate_inputs(folder / "training.yaml", folder / "testing.yaml" if testing else None, **options)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the numbers alone, which is much faster."""

    def write(picture: Picture, stem: Path, plot: Any, *, overwrite: bool) -> list[Path]:
        return [write_numbers(picture.numbers, picture_paths(stem)[-1], overwrite=overwrite)]

    monkeypatch.setattr("ntupleml.testing.inputs.write_picture", write)


def rewrite(analysis: Any, fold: int, name: str, **columns: Any) -> None:
    """Write a fold file anew, with other values in one class."""
    import uproot

    with uproot.recreate(analysis.folder / f"fold{fold}.root") as file:
        for label, content in analysis.events[fold].items():
            changed = content | (columns if label == name else {})
            tree = file.mktree(label, {key: np.asarray(values).dtype for key, values in changed.items()})
            if len(changed["x"]):
                tree.extend(changed)


def events_of(values: Any, truth: Any, weights: Any, classes: list[str], variables: list[str]) -> TestedEvents:
    return TestedEvents(
        classes,
        {},
        np.asarray(truth, dtype=np.int64),
        np.asarray(weights, dtype=np.float64),
        np.zeros(len(truth), dtype=np.int64),
        variables,
        np.asarray(values, dtype=np.float32),
        {},
        {},
    )


def summary_of(*arguments: Any) -> InputSummary:
    return input_summary_of_events(events_of(*arguments))


@pytest.mark.parametrize(
    ("classes", "missing"), [(["a"], {"inputs_separation", "correlations_difference"}), (["a", "b"], set())]
)
def test_one_class_is_compared_with_nothing(classes: list[str], missing: set[str]) -> None:
    values, truth = np.random.default_rng(1).normal(size=(40, 2)), np.arange(40) % len(classes)
    answer = STEPS["inputs"](events_of(values, truth, np.ones(40), classes, ["x", "y"]))
    everything = {"inputs_separation", "inputs_1", "correlations", "correlations_difference"}
    assert set(answer.pictures) == everything - missing
    panels = answer.figure("inputs_1")
    texts = [text.get_text() for axes in panels.axes for text in axes.texts]
    assert any("separation" in text for text in texts) == (not missing)


def test_script_works_before_any_training(run_script: Callable[..., Any], analysis: Any) -> None:
    """No models; formulas; fold files of a training that never ran; the plot block of the training config."""
    for file in (analysis.folder / "out").glob("*"):
        file.unlink()
    analysis.training["plot"] = {"style": "ATLAS"}
    analysis.write_configs()
    done = run_script(
        "dataset/validate_inputs.py", "--variable", "x/y", "training.yaml", "1", "--overwrite", cwd=analysis.folder
    )
    assert done.returncode == 0, done.stderr
    assert "class 'background_2': 202 events, worth" in done.stderr
    names = ["inputs_separation", "inputs_x", "inputs_y", "inputs_x_y"]
    for label in ("signal", "background_1", "background_2"):
        names += [f"correlations_{label}", f"correlations_difference_{label}"]
    expected = {f"fold1_{name}.{ending}" for name in names for ending in ("png", "pdf", "yaml")}
    assert {path.name for path in (analysis.folder / "out").iterdir()} == expected
    content = analysis.result("fold1_inputs_x")
    events = analysis.events[1]["signal"]
    mean = np.average(events["x"].astype("f8"), weights=events["weights"])
    assert content["classes"]["signal"]["mean"]["value"] == pytest.approx(mean)
    assert analysis.result("fold1_inputs_separation")["weights"]["signal"]["sum_of_weights"] == {
        "value": pytest.approx(events["weights"].sum()),
        "uncertainty": pytest.approx(np.sqrt(np.sum(events["weights"] ** 2))),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["training.yaml", "testing.yaml", "7"], "fold '7': training.yaml has the folds 0, 1"),
        (["training.yaml", "0", "1"], "'1': CONFIG_TRAINING, CONFIG_TESTING and FOLD are all that is taken"),
        (["training.yaml", "--variable", "xx"], "fold0.root: tree 'signal': no branch 'xx'; nearest: 'x'"),
    ],
)
def test_mistakes_are_one_line(
    run_script: Callable[..., Any], analysis: Any, arguments: list[str], message: str
) -> None:
    done = run_script("dataset/validate_inputs.py", *arguments, cwd=analysis.folder)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]


@pytest.mark.usefixtures("undrawn")
def test_numbers_of_groups_are_shown(analysis: Any) -> None:
    """As the same variables are; objects and images are not, and nothing at all is said."""
    expected, _ = validate(analysis)
    del analysis.training["variables"]
    analysis.training["inputs"] = {"a": ["x"], "b": ["y"], "jets": {"objects": ["Jet_pt"]}}
    summary, _ = validate(analysis, overwrite=True)
    assert as_plain(summary) == as_plain(expected)
    analysis.training["inputs"] = {"jets": {"objects": ["Jet_pt"]}}
    with pytest.raises(NtuplemlError, match=r"training\.yaml: inputs: no group of numbers, .*; give --variable"):
        validate(analysis, overwrite=True)


@pytest.mark.usefixtures("undrawn")
def test_all_folds_are_pooled_and_spectators_are_shown(analysis: Any) -> None:
    analysis.testing |= {"spectators": ["counts"], "weight_branch": "weights_f4", "class_weights": True}
    summary, paths = validate(analysis)
    assert summary.variables == ["x", "y", "counts"]
    assert summary.binnings["counts"].edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    pooled = {
        key: np.concatenate([events["background_2"][key] for events in analysis.events]).astype("f8")
        for key in ("x", "weights_f4")
    }
    found = summary.distributions["x"]["background_2"]
    assert found.events == len(pooled["x"])
    assert found.mean.value == pytest.approx(np.average(pooled["x"], weights=pooled["weights_f4"]))
    assert summary.weights["background_2"].total.value == pytest.approx(2.5 * pooled["weights_f4"].sum())
    assert all(path.name.startswith("foldall_") for path in paths)


@pytest.mark.usefixtures("undrawn")
def test_chunks_and_a_second_reading_change_nothing(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = validate(analysis)
    monkeypatch.setattr("ntupleml.testing.input_summary._MOST_VALUES", 0)
    chunked, _ = validate(analysis, entries_per_chunk=17, overwrite=True)
    for name in ("x", "y"):
        for label in whole.classes:
            one, other = whole.distributions[name][label], chunked.distributions[name][label]
            np.testing.assert_allclose(one.histogram.sums, other.histogram.sums)
            assert one.mean == pytest.approx(other.mean)
    np.testing.assert_allclose(
        whole.correlations["signal"].coefficients, chunked.correlations["signal"].coefficients, atol=1e-12
    )


@pytest.mark.usefixtures("undrawn")
def test_a_sample_is_weighted_up(analysis: Any) -> None:
    whole, _ = validate(analysis)
    some, _ = validate(analysis, max_events=600, overwrite=True)
    share = some.sampled["signal"]
    assert share == pytest.approx(600 / 1206)
    assert some.weights["signal"].events < whole.weights["signal"].events
    total, expected = some.weights["signal"].total, whole.weights["signal"].total.value
    assert abs(total.value - expected) < 4 * total.uncertainty
    assert "random sample" in inputs_pictures(some)[0].caption


@pytest.mark.usefixtures("undrawn")
def test_conditions_have_their_own_files(make_analysis: Callable[..., Any]) -> None:
    analysis = make_analysis(2, ("2016", "2017"))
    _, paths = validate(analysis, fold="0", condition="2017")
    assert {path.stem for path in paths if "inputs_x" in path.name} == {"fold0_inputs_x_2017"}
    with pytest.raises(NtuplemlError, match="give --era"):
        validate(analysis, fold="0")


@pytest.mark.usefixtures("undrawn")
def test_existing_results_are_kept(analysis: Any) -> None:
    _, paths = validate(analysis)
    before = paths[0].read_bytes()
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        validate(analysis)
    assert paths[0].read_bytes() == before


@pytest.mark.usefixtures("undrawn")
def test_a_variable_missing_in_one_class_is_one_line(analysis: Any) -> None:
    events = analysis.events[1]["background_1"]
    events["yy"] = events.pop("y")
    rewrite(analysis, 1, "background_1")
    with pytest.raises(NtuplemlError, match=r"fold1.root: tree 'background_1': no branch 'y'; nearest: 'yy'"):
        validate(analysis)


@pytest.mark.usefixtures("undrawn")
def test_a_class_without_events_does_not_stop_the_others(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    for fold in range(2):
        empty = {key: values[:0] for key, values in analysis.events[fold]["background_1"].items()}
        rewrite(analysis, fold, "background_1", **empty)
    with caplog.at_level(logging.WARNING):
        summary, _ = validate(analysis)
    assert "class 'background_1' has no events" in caplog.text
    assert summary.distributions["x"]["background_1"].mean == Undefined("no events")
    assert not isinstance(summary.distributions["x"]["signal"].separation, Undefined)
    content = analysis.result("foldall_inputs_x")
    assert content["classes"]["background_1"]["mean"] == "undefined: no events"


@pytest.mark.usefixtures("undrawn")
def test_weights_that_are_nan_are_counted(analysis: Any) -> None:
    weights = analysis.events[0]["signal"]["weights"].copy()
    weights[:3] = np.nan
    rewrite(analysis, 0, "signal", weights=weights)
    summary, _ = validate(analysis, fold="0", testing=False)
    assert summary.weights["signal"].bad == 3
    assert summary.distributions["x"]["signal"].events == len(weights) - 3
    assert input_findings(summary)[0] == (
        "3 of the 200 weights of class 'signal' are NaN or infinite; these events are left out"
    )


def test_findings_say_what_an_analyst_must_know() -> None:
    random = np.random.default_rng(1)
    number = 4000
    truth = np.arange(number) % 2
    values = random.normal(size=(number, 8)).astype("f4")
    values[:, 1] = 2 * values[:, 0] + 0.01 * values[:, 1]  # all but the same
    values[:, 2] = 3.0
    values[:1000, 3] = -999
    values[:100, 4] = np.nan
    values[7, 5] = np.inf
    values[:400, 6] = 0.25
    values[:, 7] = np.nan
    weights = np.ones(number)
    weights[0] = 100.0
    found = input_findings(summary_of(values, truth, weights, ["s", "b"], list("abcdefgh")))
    assert found == [
        "one event of class 's' has 83 % of the variance Σw²: its weight is 95 times the mean",
        "no finite value in any class: h",
        "constant, so of no use: c",
        "infinite values: f (1 events)",
        "correlations beyond ±0.99 in every class, so one of two is enough: a and b (at least 1.0000)",
        "default value -999, which stands for missing: d (25 %)",
        "NaN: e (2.5 %), h (100 %)",
        "a single value of a continuous variable in many events: g = 0.25 (10 %)",
    ]


def test_findings_about_classes() -> None:
    random = np.random.default_rng(2)
    truth = (np.arange(5000) >= 4990).astype(int)
    values = random.normal(size=(5000, 2))
    values[truth == 1, 0] = 1.5
    found = input_findings(summary_of(values, truth, np.ones(5000), ["s", "b"], ["x", "y"]))
    assert found == [
        "constant in class 'b' alone: x",
        "classes of very different size: 's' is worth 4990 events of equal weight, 'b' 10",
    ]


def test_shared_default_values_are_no_duplicates() -> None:
    """Two independent variables that are missing together."""
    values = np.random.default_rng(3).normal(size=(4000, 2))
    values[:2000] = -999
    summary = summary_of(values, np.arange(4000) % 2, np.ones(4000), ["s", "b"], ["x", "y"])
    assert abs(summary.correlations["s"].of(0, 1).value) < 0.1
    assert not [text for text in input_findings(summary) if "correlations" in text]


def test_verdicts() -> None:
    values = np.random.default_rng(4).normal(size=(400, 2))
    good = summary_of(values, np.arange(400) % 2, np.ones(400), ["s", "b"], ["x", "y"])
    assert inputs_verdict(good).level == "good"
    values[:, 1] = 0
    bad = summary_of(values, np.arange(400) % 2, np.ones(400), ["s", "b"], ["x", "y"])
    assert inputs_verdict(bad).text == "Constant, so of no use: y."
    nothing = summary_of(values[:0], [], [], ["s", "b"], ["x", "y"])
    assert inputs_verdict(nothing).level == "unknown"


def test_pictures_of_events_in_memory_have_numbers_and_tables() -> None:
    """Shuffled classes; recorded data are left out."""
    random = np.random.default_rng(5)
    truth, values, weights = random.integers(-1, 3, 3000), random.normal(size=(3000, 2)), random.normal(1, 1, 3000)
    summary = summary_of(values, truth, weights, ["a", "b", "c"], ["x", "pt[0]"])
    mean = np.average(values[truth == 1, 0].astype("f4"), weights=weights[truth == 1])
    assert summary.distributions["x"]["b"].mean.value == pytest.approx(mean)
    pictures = inputs_pictures(summary)
    assert [picture.name for picture in pictures] == inputs_names(summary.variables, summary.classes)
    for picture in pictures:
        assert picture.tables
        assert all(len(row) == len(table.header) for table in picture.tables for row in table.rows)
        text = yaml.safe_dump(picture.numbers)
        assert ".nan" not in text
        assert ".inf" not in text
    assert [row[0] for row in pictures[0].tables[1].rows] == ["a", "b", "c"]


def test_equal_names_are_numbered() -> None:
    names = inputs_names(["separation", "x/y", "x*y", "x_y", "$"], ["s", "difference_s"])
    assert names == [
        "inputs_separation",
        "inputs_separation_2",
        "inputs_x_y",
        "inputs_x_y_2",
        "inputs_x_y_3",
        "inputs_variable",
        "correlations_s",
        "correlations_difference_s",
        "correlations_difference_s_2",
        "correlations_difference_difference_s",
    ]


@pytest.mark.parametrize("number", [0, 1])
def test_next_to_no_events(number: int) -> None:
    values = np.ones((number, 2), dtype="f4")
    summary = summarize_inputs(lambda: [Part(0, values, np.ones(number))], [number, 0], ["a", "b"], PARTS)
    assert isinstance(summary.distributions["x"]["a"].separation, Undefined)
    for picture in inputs_pictures(summary):
        assert "undefined" in str(picture.numbers)
