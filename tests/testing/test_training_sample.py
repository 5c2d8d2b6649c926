"""The training part: the events of scikit-learn's split, with the scores of their models, sampled if too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
from sklearn.model_selection import train_test_split

from ntupleml.metrics import Undefined
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.training_part import training_part

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

#: As in conftest.py.
CLASSES = ["signal", "background_1", "background_2"]
SLOPES = np.array([[[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]], [[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]]])


def prepared(analysis: Any, fold: str = "all", **options: Any) -> Preparation:
    return prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, **options)


def defined(found: TestedEvents | Undefined) -> TestedEvents:
    assert not isinstance(found, Undefined), found
    return found


def fitted(analysis: Any, model: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Scores, truth and weights of the events that a model was fitted on: three quarters of fold `model`, by seed 1."""
    events = analysis.events[model]
    columns = {name: np.concatenate([events[one][name] for one in CLASSES]) for name in ("x", "y", "weights")}
    truth = np.repeat(np.arange(3), [len(events[name]["x"]) for name in CLASSES])
    kept = np.sort(train_test_split(np.arange(len(truth)), test_size=0.25, random_state=1)[0])
    logits = np.exp(np.stack([columns["x"], columns["y"]], axis=1)[kept] @ SLOPES[model])
    return logits / logits.sum(axis=1, keepdims=True), truth[kept], columns["weights"][kept]


def test_the_events_of_the_split_by_the_models_that_saw_them(analysis: Any) -> None:
    found = defined(training_part(prepared(analysis), "keras"))
    for model in (0, 1):
        scores, truth, weights = fitted(analysis, model)
        one = found.of_model(model)
        np.testing.assert_allclose(one.scores["keras"], scores, atol=1e-6)
        np.testing.assert_array_equal(one.truth, truth)
        np.testing.assert_array_equal(one.weights, weights)
    assert set(found.models) == {0, 1}
    assert (found.classes, found.variables, found.values.shape) == (CLASSES, [], (len(found), 0))
    assert found.sampled == {}


@pytest.mark.parametrize(("fold", "max_events"), [("all", None), ("all", 450), ("0", None)])
def test_what_was_tested_is_not_read_again(
    analysis: Any, fold: str, max_events: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The held-out events of one model are those that the other was fitted on; of one model alone they are read."""
    preparation = prepared(analysis, fold)
    read = defined(training_part(preparation, "keras", max_events))
    tested = tested_events(preparation)
    if fold == "all":
        monkeypatch.setattr("ntupleml.testing.training_part.checked_chunks", None)
    found = defined(training_part(preparation, "keras", max_events, tested))
    np.testing.assert_array_equal(found.scores["keras"], read.scores["keras"])
    for name in ("truth", "weights", "models"):
        np.testing.assert_array_equal(getattr(found, name), getattr(read, name))
    assert found.sampled == read.sampled


def test_one_model_and_class_weights(analysis: Any) -> None:
    found = defined(training_part(prepared(analysis, "1", class_weights=True), "keras"))
    _, truth, weights = fitted(analysis, 1)
    np.testing.assert_allclose(found.weights, weights * np.array([10.0, 1.0, 2.5])[truth])
    assert set(found.models) == {1}


def test_of_too_many_events_a_seeded_sample_is_weighted_up(analysis: Any) -> None:
    everything = defined(training_part(prepared(analysis), "keras"))
    sampled = defined(training_part(prepared(analysis), "keras", 450))
    again = defined(training_part(prepared(analysis), "keras", 450))
    np.testing.assert_array_equal(sampled.scores["keras"], again.scores["keras"])
    # Half of each class: within four standard deviations of the binomial distribution.
    for index, name in enumerate(CLASSES):
        whole, taken = (np.count_nonzero(one.truth == index) for one in (everything, sampled))
        share = sampled.sampled[name]
        assert share == pytest.approx(150 / whole, rel=0.05)
        assert abs(taken - share * whole) < 4 * np.sqrt(whole * share * (1 - share))
    # Each event that is there is one of all, its weight divided by the share of its class.
    position = {tuple(row): i for i, row in enumerate(everything.scores["keras"])}
    rows = [position[tuple(row)] for row in sampled.scores["keras"]]
    shares = np.array([sampled.sampled[name] for name in CLASSES])[sampled.truth]
    np.testing.assert_array_equal(everything.truth[rows], sampled.truth)
    np.testing.assert_allclose(sampled.weights * shares, everything.weights[rows])
    analysis.testing["seed"] = 99
    analysis.write_configs()
    other = defined(training_part(prepared(analysis), "keras", 450))
    assert (
        other.scores["keras"].shape != sampled.scores["keras"].shape
        or (other.scores["keras"] != sampled.scores["keras"]).any()
    )


def test_small_classes_are_taken_whole(analysis: Any) -> None:
    """Of 7.5 fitted events of the third class and some 150 of each other, 100 in all are asked for."""
    events = {name: dict(columns) for name, columns in analysis.events[0].items()}
    events["background_2"] = {name: column[:10] for name, column in events["background_2"].items()}
    path = analysis.folder / "fold0.root"
    write(path, events)
    with uproot.open(path) as file:
        uuid = str(file.file.uuid)
    analysis.datasets[0] = [one.model_copy(update={"uuid": uuid}) for one in analysis.datasets[0]]
    analysis.training["tmva"] = {"methods": [{"name": "Py_fold{fold}", "type": "kPyKeras"}]}
    analysis.write_configs()
    analysis.add_method(0, "Py_fold0", SLOPES[0].astype("f4"))
    preparation = prepared(analysis, "0", methods=["Py_fold{fold}"])
    (method,) = preparation.methods
    found = defined(training_part(preparation, method, 100))
    assert set(found.sampled) == {"signal", "background_1"}
    assert np.count_nonzero(found.truth == 2) <= 10
    assert 60 < len(found) < 140


def write(path: Path, events: dict[str, dict[str, NDArray[Any]]]) -> None:
    with uproot.recreate(path) as file:
        for name, columns in events.items():
            tree = file.mktree(name, {branch: column.dtype for branch, column in columns.items()})
            tree.extend(columns)


def test_of_a_condition_only(make_analysis: Callable[..., Any]) -> None:
    analysis = make_analysis(conditions=("a", "b"))
    both = [defined(training_part(prepared(analysis, "0", condition=name), "keras")) for name in ("a", "b")]
    events = sum(len(analysis.events[0][name]["x"]) for name in CLASSES)
    assert sum(map(len, both)) == 2 * events - np.ceil(0.25 * 2 * events)
    assert all(len(one) < events for one in both)


def test_there_is_none_where_the_fold_files_were_made_anew(analysis: Any) -> None:
    write(analysis.folder / "fold1.root", analysis.events[1])
    preparation = prepared(analysis)
    assert training_part(preparation, "keras") == Undefined("the fold files are not those of the training")
    (analysis.folder / "fold1.root").unlink()
    found = training_part(preparation, "keras")
    assert isinstance(found, Undefined)
    assert found.reason.startswith("the events of the training cannot be read: ")


def test_there_is_none_of_a_model_of_another_program(analysis: Any) -> None:
    preparation = prepared(analysis)
    preparation.trained["other"] = []
    for name in ("other", "third"):
        assert training_part(preparation, name) == Undefined(
            f"'{name}' is a model of another program; which events it was fitted on is not recorded"
        )
