"""Every step of the testing stage with events that spoil it: no error, no warning, no NaN, but a reason."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from ntupleml.config import PlotConfig
from ntupleml.config.testing import TestingConfig
from ntupleml.metrics.confusion import confusion_matrix, predicted_class
from ntupleml.metrics.measurement import Measurement, Undefined, as_plain
from ntupleml.metrics.performance import performance
from ntupleml.metrics.significance_cut import cut_performance
from ntupleml.metrics.taylor import derivative_sums, taylor_terms
from ntupleml.plots.pictures import PARAMETERS, Picture, write_numbers
from ntupleml.plots.style import plot_style
from ntupleml.testing.calibration import calibration_pictures, calibration_summary
from ntupleml.testing.comparison import Comparison, MethodResult, comparison_content, comparison_table
from ntupleml.testing.confusion import confusion_pictures
from ntupleml.testing.input_summary import input_summary_of_events
from ntupleml.testing.inputs import inputs_pictures
from ntupleml.testing.method_inputs import inputs_of_method
from ntupleml.testing.permutation import importance_of_inputs, importance_picture
from ntupleml.testing.registry import STEPS
from ntupleml.testing.score_distributions import overtraining, score_distribution_pictures
from ntupleml.testing.scored_parts import NO_CLASS
from ntupleml.testing.sculpting import sculpting_pictures, sculpting_summary, sculpts
from ntupleml.testing.significance import significance_pictures, significance_results
from ntupleml.testing.significance_numbers import ams_scores
from ntupleml.testing.sources import ScoreSource
from ntupleml.testing.taylor import TaylorSums, ranking_pictures, taylor_matrix_picture
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from numpy.typing import NDArray

    from ntupleml.testing.preparation import Preparation

METHOD = "net"
CLASSES = ["signal", "ttbar", "qcd"]
#: Of the logits: variables x and y by classes.
SLOPES = np.array([[1.0, -0.3, -0.7], [0.2, 0.8, -0.5]])


def network(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores that are there for any x and y."""
    logits = np.nan_to_num(values[:, :2].astype("f8"), posinf=5, neginf=-5).clip(-20, 20) @ SLOPES
    shares = np.exp(logits)
    return (shares / shares.sum(axis=1, keepdims=True)).astype("f4")


def innocent(seed: int = 1, number: int = 200) -> TestedEvents:
    """Three classes with weights of both signs, two models, two inputs and a spectator."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), number)
    values = random.normal(size=(3 * number, 3)).astype("f4")
    values[:, 0] += 1 - truth
    weights = random.exponential(size=3 * number) * np.where(random.random(3 * number) < 0.1, -1, 1)
    models = random.integers(0, 2, 3 * number)
    variables = ["x", "y", "mass"]
    return TestedEvents(CLASSES, {METHOD: network(values)}, truth, weights, models, variables, values, {}, {})


def weighted(events: TestedEvents, weights: NDArray[Any]) -> TestedEvents:
    return replace(events, weights=np.asarray(weights, dtype=np.float64))


def scored(events: TestedEvents, scores: NDArray[Any]) -> TestedEvents:
    return replace(events, scores={METHOD: scores.astype("f4")})


def but_for_signal(events: TestedEvents, number: int) -> TestedEvents:
    return events.chosen(np.concatenate([np.flatnonzero(events.truth == 0)[:number], np.flatnonzero(events.truth)]))


def two_classes(events: TestedEvents) -> TestedEvents:
    events = events.chosen(events.truth < 2)
    first = events.scores[METHOD][:, 0]
    return scored(replace(events, classes=CLASSES[:2]), np.stack([first, 1 - first], axis=1))


def spoiled_inputs(events: TestedEvents, *spoilers: float) -> TestedEvents:
    """A few values in each class, and one variable in all of the signal."""
    values = events.values.copy()
    for place, spoiler in enumerate(spoilers):
        values[place :: 7 * len(spoilers)] = spoiler
    values[events.truth == 0, 2] = spoilers[0]
    return scored(replace(events, values=values), network(values))


def dominated(events: TestedEvents, weight: float) -> TestedEvents:
    weights = events.weights.copy()
    weights[5] = weight
    return weighted(events, weights)


CASES: dict[str, Callable[[TestedEvents], TestedEvents]] = {
    "nothing wrong": lambda events: events,
    "a class without events": lambda events: but_for_signal(events, 0),
    "one event in a class": lambda events: but_for_signal(events, 1),
    "two events in a class": lambda events: but_for_signal(events, 2),
    "one event in each class": lambda events: events.chosen(np.arange(0, len(events), 200)),
    "one event in all": lambda events: events.chosen(np.arange(1)),
    "only one class": lambda events: events.chosen(events.truth == 1),
    "no events": lambda events: events.chosen(np.arange(0)),
    "all weights zero": lambda events: weighted(events, np.zeros(len(events))),
    "weights of a class zero": lambda events: weighted(events, np.where(events.truth == 1, 0, events.weights)),
    "negative sum of a class": lambda events: weighted(events, np.where(events.truth == 1, -1, 1) * events.weights),
    "negative sum of all": lambda events: weighted(events, -events.weights),
    "sum of a class zero": lambda events: weighted(
        events, np.where(events.truth == 1, np.where(np.arange(len(events)) % 2, 1, -1), 1)
    ),
    "constant score": lambda events: scored(events, np.full((len(events), 3), 1 / 3)),
    "two classes": two_classes,
    "two classes of constant score": lambda events: scored(two_classes(events), np.full((400, 2), 0.5)),
    "perfect separation": lambda events: scored(events, np.eye(3)[events.truth]),
    "always wrong": lambda events: scored(events, np.eye(3)[(events.truth + 1) % 3]),
    "responses of a BDT": lambda events: scored(events, 100 * events.scores[METHOD] - 40),
    "scores in one place": lambda events: scored(events, 0.5 + 1e-7 * events.scores[METHOD]),
    "infinite inputs": lambda events: spoiled_inputs(events, math.inf, -math.inf),
    "NaN inputs": lambda events: spoiled_inputs(events, math.nan),
    "huge inputs": lambda events: spoiled_inputs(events, 3.4e38, -3.4e38),
    "constant inputs": lambda events: replace(events, values=np.zeros_like(events.values)),
    "huge weights": lambda events: weighted(events, 1e30 * events.weights),
    "tiny weights": lambda events: weighted(events, 1e-30 * events.weights),
    "one event dominates": lambda events: dominated(events, 1e9),
    "one event of huge negative weight": lambda events: dominated(events, -1e9),
}

#: Drawing takes most of the time, so that each step draws but some cases, and of many pictures but some.
DRAWN = {
    "roc": ["no events", "one event in a class", "perfect separation"],
    "confusion": ["a class without events", "one event dominates"],
    "scores": ["negative sum of a class", "huge weights", "constant score"],
    "significance": ["no events", "perfect separation", "negative sum of a class"],
    "sculpting": ["a class without events", "NaN inputs", "constant score"],
    "calibration": ["no events", "negative sum of a class", "one event in each class"],
    "inputs": ["no events", "infinite inputs", "negative sum of a class"],
    "permutation": ["no events", "one event in a class"],
    "taylor": ["a class without events", "tiny weights"],
    "numbers": [],
}
MOST_DRAWN = 5


def _roc(events: TestedEvents) -> list[Picture]:
    other = replace(events, scores={METHOD: events.scores[METHOD], "bdt": events.scores[METHOD][:, ::-1]})
    return list(STEPS["roc"](other).pictures.values())


def _confusion(events: TestedEvents) -> list[Picture]:
    size = len(events.classes)
    matrix = confusion_matrix(events.truth, predicted_class(events.scores[METHOD]), events.weights, size)
    return confusion_pictures(matrix, events.classes, [3.0, 1.0, 2.0][:size])


def _scores(events: TestedEvents) -> list[Picture]:
    """Spoiled are first the unseen events, then also the training part, and the recorded data."""
    training = innocent(2)
    if len(events.classes) == 2:
        training = two_classes(training)
    pictures = score_distribution_pictures(events, training, Undefined("no tree 'data'"), METHOD)
    pictures += score_distribution_pictures(
        training, events, replace(events, truth=events.truth * 0 + NO_CLASS), METHOD
    )
    half = events.chosen(np.arange(0, len(events), 2)), events.chosen(np.arange(1, len(events), 2))
    pictures += score_distribution_pictures(*half, Undefined("no tree 'data'"), METHOD)
    pictures += score_distribution_pictures(events, Undefined("nobody knows"), Undefined("no tree 'data'"), METHOD)
    assert overtraining(*half, METHOD).verdict.text.endswith(".")
    return pictures


def _significance(events: TestedEvents) -> list[Picture]:
    uncertain = TestingConfig.model_validate({"significance": {"background_uncertainty": 0.1, "b_reg": 0.0}})
    return [
        picture
        for config in (TestingConfig(), uncertain)
        for picture in significance_pictures(events, METHOD, significance_results(events, config, METHOD))
    ]


def _sculpting(events: TestedEvents) -> list[Picture]:
    rows = sculpting_summary(events)
    assert sculpts(rows, ["mass"]).text
    return sculpting_pictures(events, None, rows)


def _calibration(events: TestedEvents) -> list[Picture]:
    return calibration_pictures(events, calibration_summary(events, None, {"signal": 3.0}))


def _inputs(events: TestedEvents) -> list[Picture]:
    return inputs_pictures(input_summary_of_events(events))


def _permutation(events: TestedEvents) -> list[Picture]:
    """A network of as many classes as there are, and a preparation that holds what the step looks at."""

    def score(_columns: Any, matrix: NDArray[np.float32], _where: str) -> NDArray[np.float32]:
        return network(matrix)[:, : len(events.classes)]

    source = ScoreSource(METHOD, ["x", "y"], lambda _ntuple: None, score)
    preparation = SimpleNamespace(
        testing=TestingConfig(),
        training=SimpleNamespace(numbers=["x", "y"]),
        models=[0, 1],
        trained={METHOD: []},
        sources={0: [source], 1: [source]},
    )
    inputs = inputs_of_method(events, cast("Preparation", preparation), METHOD)
    assert inputs is not None
    found = importance_of_inputs(events, inputs, cast("Preparation", preparation), repeats=2)
    return [importance_picture(found, events, inputs, cast("Preparation", preparation), ())]


def _taylor(events: TestedEvents) -> list[Picture]:
    """Derivatives by the inputs and the products of two of them are any numbers, here powers of the inputs."""
    x, y = np.nan_to_num(events.values[:, :2].T.astype("f8"), posinf=5, neginf=-5).clip(-1e3, 1e3)
    derivatives = np.stack([x, y, x * x, x * y, y * y], axis=1)
    assert derivatives.shape[1] == len(taylor_terms(2, 2))
    by_class = {
        name: derivative_sums(derivatives[chosen], events.weights[chosen])
        for index, name in enumerate(events.classes)
        for chosen in [events.truth == index]
    }
    first = {
        name: derivative_sums(derivatives[chosen, :2], events.weights[chosen], absolute=False)
        for index, name in enumerate(events.classes)
        for chosen in [events.truth == index]
    }
    sums = TaylorSums(by_class, ["x", "y"], 2, True, {}, 0.0)
    matrix = TaylorSums(first, ["x", "y"], 1, False, {}, 0.0)
    pictures = ranking_pictures(sums, sums.rankings())
    return [*pictures, *(taylor_matrix_picture(matrix, normalised=normalised) for normalised in (False, True))]


def _numbers(events: TestedEvents) -> list[Picture]:
    """What is written without a picture: the scores of htt-ml's scripts, and the comparison of methods."""
    result = performance(events.scores[METHOD], events.truth, events.weights, events.classes)
    trained = MethodResult("keras", result, Undefined("nobody knows"))
    both = {METHOD: trained, "bdt": MethodResult("xgboost", result, result)}
    comparison = Comparison(events.classes, [0], [1], both, {"mlp": "no file"}, {}, False, {}, {})
    assert "nan" not in comparison_table(comparison).lower()
    scores = ams_scores(events, METHOD, 10.0), ams_scores(events, METHOD, 0.0)
    numbers: dict[str, Any] = {
        "comparison": comparison_content(comparison),
        "ams": [
            {name: {key: as_plain(one) for key, one in row.items()} for name, row in some.items()} for some in scores
        ],
    }
    for index, name in enumerate(events.classes):
        for cut in (0.3, 2.0):
            found = cut_performance(events.scores[METHOD][:, index], events.truth == index, events.weights, cut)
            numbers[f"{name} {cut}"] = as_plain(found)
    return [Picture("numbers", "Numbers.", lambda _: pytest.fail("nothing to draw"), numbers)]


PICTURES: dict[str, Callable[[TestedEvents], list[Picture]]] = {
    "roc": _roc,
    "confusion": _confusion,
    "scores": _scores,
    "significance": _significance,
    "sculpting": _sculpting,
    "calibration": _calibration,
    "inputs": _inputs,
    "permutation": _permutation,
    "taylor": _taylor,
    "numbers": _numbers,
}


def leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All numbers and texts of a structure, and where they are."""
    if isinstance(content, dict):
        for key, part in content.items():
            yield from leaves(part, f"{place}/{key}")
    elif isinstance(content, list | tuple) and not isinstance(content, Measurement | Undefined):
        for index, part in enumerate(content):
            yield from leaves(part, f"{place}/{index}")
    else:
        yield place, content


def bad_leaves(content: Any) -> list[str]:
    """What must stand nowhere: NaN, infinity, negative uncertainties, numbers of numpy, and reasons without a text."""
    found = []
    for place, one in leaves(content):
        if isinstance(one, Measurement):
            good = all(type(part) is float and math.isfinite(part) for part in one) and one.uncertainty >= 0
        elif isinstance(one, Undefined):
            good = len(one.reason) > 4 and "nan" not in one.reason
        elif isinstance(one, str):
            good = "nan" not in one.split() and "inf" not in one.split()
        elif isinstance(one, float):
            good = math.isfinite(one) and not (place.endswith("/uncertainty") and one < 0)
        else:
            good = one is None or type(one) in (int, bool)
        if not good:
            found.append(f"{place}: {one!r}")
    return found


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", PICTURES)
def test_no_step_fails(step: str, case: str, tmp_path: Path) -> None:
    pictures = PICTURES[step](CASES[case](innocent()))
    assert pictures
    for picture in pictures:
        path = write_numbers(picture.numbers, tmp_path / "numbers.yaml", overwrite=True)
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        assert content == picture.numbers  # what is NaN differs from itself
        assert not bad_leaves(content), picture.name
        assert not bad_leaves([picture.caption, *((table.header, table.rows) for table in picture.tables)]), (
            picture.name
        )
        for table in picture.tables:
            assert {len(row) for row in table.rows} <= {len(table.header)}, picture.name
    if case in DRAWN[step]:
        config = PlotConfig()
        with plot_style(config, PARAMETERS):
            for picture in pictures[:: math.ceil(len(pictures) / MOST_DRAWN)]:
                picture.draw(config).canvas.draw()


def add_logarithm(analysis: Any) -> None:
    """An external model beside the network whose scores are the logarithms of its inputs, NaN for negative ones."""
    nodes = [
        helper.make_node("MatMul", ["features", "slopes"], ["sums"]),
        helper.make_node("Log", ["sums"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logarithm",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.ones((2, 3), "f4"), "slopes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (analysis.folder / "out" / "logarithm.onnx").write_bytes(model.SerializeToString())
    analysis.testing["external"] = {"logarithm": {"files": ["logarithm.onnx"]}}
    analysis.write_configs()


@pytest.mark.slow
def test_the_report_leaves_out_a_method_whose_scores_are_nan(
    analysis: Any, run_script: Callable[..., CompletedProcess[str]]
) -> None:
    add_logarithm(analysis)
    result = run_script("testing/report.py", "training.yaml", "testing.yaml", "all", cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    assert "logarithm: left out: " in result.stderr
    (page,) = analysis.folder.glob("out/*.html")
    text = page.read_text(encoding="utf-8")
    assert re.search(r">logarithm</th>\s*<td>[^<]*scores that are NaN or infinite for 168 of 200 events", text)
    assert "undefined: nan" not in text.lower()
    assert list(analysis.folder.rglob("foldall_keras_roc*.yaml"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("testing/roc_curves.py", "all", "--method", "keras,logarithm"),
            "gives scores that are NaN or infinite for 168 of 200",
        ),
        (("testing/keras_check_performance.py", "0", "signol", "0.5"), "has no class 'signol'; nearest: 'signal'"),
        (("testing/sculpting.py", "all", "--variable", "weight"), "no branch 'weight'"),
        (("testing/permutation_importance.py", "all", "--group", "both=x,z"), "no variable 'z' among the inputs"),
        (("testing/calibration.py", "all", "--method", "kerass"), "'kerass'"),
        (("testing/significance_scan.py", "7"), "7"),
    ],
)
def test_what_cannot_be_tested_is_one_line(
    arguments: tuple[str, ...], message: str, analysis: Any, run_script: Callable[..., CompletedProcess[str]]
) -> None:
    add_logarithm(analysis)
    script, *options = arguments
    result = run_script(script, "training.yaml", "testing.yaml", *options, cwd=analysis.folder)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(analysis.folder.glob("out/*.yaml"))
