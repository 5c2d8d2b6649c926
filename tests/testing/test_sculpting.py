"""The step of efficiencies and shapes: the right events in the right files, any variable, and bad input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS
from ntupleml.testing.sculpting import file_names, sculpting_pictures, sculpting_summary, sculpts, worst_rows
from ntupleml.testing.steps import write_step
from ntupleml.testing.tested_events import TestedEvents

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from ntupleml.config import PlotConfig
    from ntupleml.testing.preparation import Preparation


CLASSES = ["signal", "background_1", "background_2"]


def made_up(number: int = 6000, **changes: Any) -> TestedEvents:
    """A mass that the score of 'a' is made of, and a pile-up that it knows nothing of; weights of both signs."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, number)
    mass, pile_up = random.normal(size=number), random.poisson(30, number)
    first = 1 / (1 + np.exp(-mass + 0.3 * random.normal(size=number)))
    other = random.random(number) * (1 - first)
    content = {
        "classes": ["a", "b", "c"],
        "scores": {"keras": np.stack([first, other, 1 - first - other], axis=1).astype("f4")},
        "truth": truth,
        "weights": np.where(random.random(number) < 0.1, -1.0, 1.0),
        "models": np.zeros(number, np.int64),
        "variables": ["mass", "pile_up"],
        "values": np.stack([mass, pile_up], axis=1).astype("f4"),
        "sampled": {},
        "left_out": {},
    }
    return TestedEvents(**{**content, **changes})  # type: ignore[arg-type]


def test_the_mass_is_sculpted_and_the_pile_up_is_not() -> None:
    rows = sculpting_summary(made_up(20_000))
    assert [(row.class_name, row.variable) for row in rows[:3]] == [("a", "mass"), ("b", "mass"), ("c", "mass")]
    levels = {(row.class_name, row.variable): row.verdict.level for row in rows}
    assert levels["a", "mass"] == "attention"
    assert {levels[name, "pile_up"] for name in "abc"} == {"good"}
    assert worst_rows(rows, 1)[0][:2] == ("a", "mass")
    assert sculpts(rows, ["pile_up"]).level == "good"
    assert sculpts(rows, ["mass", "pile_up"]).level == "attention"
    nobody = sculpts(rows, [])
    assert nobody.level == "unknown"
    assert nobody.text.startswith("no spectators are named")
    assert "the score of 'a' sculpts the background in 'mass'" in nobody.text


def test_the_same_seed_gives_the_same_numbers() -> None:
    first, second = (sculpting_summary(made_up(), "keras", ["mass"], seed=3) for _ in range(2))
    assert first == second


def test_pictures_of_the_worst_only() -> None:
    events = made_up()
    rows = sculpting_summary(events)
    pictures = sculpting_pictures(events, "keras", rows, shown=worst_rows(rows, 2))
    assert [picture.name for picture in pictures[:3]] == ["sculpting", "efficiency_a_mass", "shape_a_mass"]
    assert len(pictures) == 5
    assert len(pictures[0].tables[0].rows) == 6
    yaml.safe_dump([picture.numbers for picture in pictures])


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda events: events.chosen(np.arange(0)), id="no events"),
        pytest.param(lambda events: events.chosen(np.arange(1)), id="one event"),
        pytest.param(lambda events: events.chosen(events.truth != 0), id="a class without events"),
        pytest.param(lambda events: events.chosen(events.truth == 0), id="only one class"),
        pytest.param(lambda _: made_up(weights=np.zeros(6000)), id="weights of zero"),
        pytest.param(lambda _: made_up(weights=np.full(6000, -1.0)), id="negative weights"),
        pytest.param(lambda _: made_up(scores={"keras": np.full((6000, 3), 1 / 3, "f4")}), id="constant scores"),
        pytest.param(lambda _: made_up(values=np.full((6000, 2), np.nan, "f4")), id="no values"),
        pytest.param(lambda _: made_up(values=np.full((6000, 2), 7, "f4")), id="constant values"),
        pytest.param(lambda _: made_up(values=np.tile(np.array([[0, 1e38]], "f4"), (6000, 1))), id="large values"),
    ],
)
def test_bad_input_is_said_and_the_rest_is_made(spoil: Callable[[TestedEvents], TestedEvents]) -> None:
    from ntupleml.config import PlotConfig

    events = spoil(made_up())
    pictures = sculpting_pictures(events)
    assert len(pictures) == 13
    yaml.safe_dump([picture.numbers for picture in pictures])
    config: PlotConfig = PlotConfig()
    with plot_style(config, PARAMETERS):
        for picture in pictures[:3]:
            picture.draw(config)
    assert all(
        row.verdict.level != "attention" for row in sculpting_summary(events) if isinstance(row.result, Undefined)
    )


def test_unknown_names_are_one_line() -> None:
    with pytest.raises(NtuplemlError, match="variable 'masss' was not read; nearest: 'mass'"):
        sculpting_summary(made_up(), "keras", ["masss"])
    with pytest.raises(NtuplemlError, match="method 'kears' is not among those tested; nearest: 'keras'"):
        sculpting_summary(made_up(), "kears")


def test_file_names_are_plain_and_different() -> None:
    names = file_names(["pt_1", "pt_1 / pt_2", "pt_1*pt_2", "PT_1", "#", "x" * 300, "../../x"])
    assert list(names.values()) == ["pt_1", "pt_1_pt_2", "pt_1_pt_2_2", "PT_1_2", "variable", "x" * 60, "x"]


def prepared(analysis: Any, **options: Any) -> Preparation:
    analysis.write_configs()
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "0", **options)


def test_files_of_spectators(analysis: Any) -> None:
    """Branches that are no inputs; the efficiency is that of the events of the held-out fold."""
    analysis.testing |= {"spectators": ["counts", "x*x+1"]}
    preparation = prepared(analysis)
    assert {row.variable for row in STEPS["efficiency"](preparation).numbers["keras"]} == {"counts", "x*x+1"}
    paths, answer = write_step(STEPS["efficiency"], preparation, variables=["counts"])
    stems = {path.name.split(".")[0] for path in paths}
    parts = [f"{kind}_{name}_counts" for kind in ("efficiency", "shape") for name in CLASSES]
    assert stems == {f"fold0_keras_{name}" for name in ("sculpting", *parts)}
    assert len(answer.numbers["keras"]) == 3
    content = analysis.result("fold0_keras_efficiency_signal_counts")
    assert content["efficiency"]["edges"] == [0.5, 1.5, 2.5, 3.5, 4.5]
    events = analysis.events[1]
    cut = content["efficiency"]["cuts"][1]
    inputs = {name: np.stack([columns["x"], columns["y"]], axis=1) for name, columns in events.items()}
    slopes = np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]])
    exponents = {name: np.exp(values @ slopes) for name, values in inputs.items()}
    scores = {name: values[:, 0] / values.sum(axis=1) for name, values in exponents.items()}
    passed, weights = scores["signal"] >= cut["threshold"] - 1e-6, events["signal"]["weights"]
    assert cut["signal"]["value"] == pytest.approx(weights[passed].sum() / weights.sum(), abs=1e-6)
    two = events["signal"]["counts"] == 2
    assert cut["signal_in_bins"][1]["value"] == pytest.approx(
        weights[two & passed].sum() / weights[two].sum(), abs=1e-6
    )
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        write_step(STEPS["efficiency"], preparation)


def test_other_variables_are_read_too(analysis: Any) -> None:
    preparation = prepared(analysis)
    rows = STEPS["efficiency"](preparation, variables=["y", "counts", "counts"]).numbers["keras"]
    assert list(dict.fromkeys(row.variable for row in rows)) == ["y", "counts"]
    rows = STEPS["efficiency"](preparation).numbers["keras"]
    assert list(dict.fromkeys(row.variable for row in rows)) == ["x", "y"]
    with pytest.raises(NtuplemlError, match=r"no branch 'countss'.*nearest: 'counts'"):
        write_step(STEPS["efficiency"], preparation, variables=["countss"])
    assert not list(analysis.folder.glob("out/*sculpting*"))


def test_missing_values_are_counted() -> None:
    events = made_up()
    events.values[::3, 0] = np.nan
    events.values[1, 0] = np.inf
    picture = sculpting_pictures(events)[1]
    assert picture.numbers["efficiency"]["events_missing"] == 2001
    assert "2001 events without a finite value are left out" in picture.caption


def test_the_script(analysis: Any, run_script: Callable[..., CompletedProcess[str]]) -> None:
    configs = [analysis.folder / "training.yaml", analysis.folder / "testing.yaml"]
    result = run_script("testing/sculpting.py", *configs, "all", "--variable", "x*x+1")
    assert result.returncode == 0, result.stderr
    assert "does it sculpt: " in result.stderr + result.stdout
    assert (analysis.folder / "out" / "foldall_keras_shape_signal_x_x_1.png").exists()
    wrong = run_script("testing/sculpting.py", *configs, "1", "--variable", "cuonts")
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") <= 3
    assert "nearest: 'counts'" in wrong.stderr
