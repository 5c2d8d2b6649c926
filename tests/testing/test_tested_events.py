"""The events of the testing stage: every event once, by the model that did not see it, sampled if too many."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot
import yaml

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.testing.preparation import prepare, recorded_data, tested_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.testing.preparation import Preparation

#: As in conftest.py.
CLASSES = ["signal", "background_1", "background_2"]
SLOPES = np.array(
    [[[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]], [[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]], [[-1.0, 0.4, 0.3], [0.3, -0.5, 0.2]]]
)


def prepared(folder: Path, fold: str = "all", **options: object) -> Preparation:
    return prepare(folder / "training.yaml", folder / "testing.yaml", fold, **options)  # type: ignore[arg-type]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("num_folds", [2, 3])
def test_all_pools_the_folds_each_event_by_the_model_that_never_saw_it(
    make_analysis: Callable[..., object], num_folds: int
) -> None:
    analysis = make_analysis(num_folds)
    found = tested_events(prepared(analysis.folder))
    start = 0
    for model in range(num_folds):
        for index, name in enumerate(CLASSES):
            events = analysis.events[(model + 1) % num_folds][name]
            rows = slice(start, start + len(events["x"]))
            inputs = np.stack([events["x"], events["y"]], axis=1)
            np.testing.assert_array_equal(found.values[rows], inputs)
            np.testing.assert_allclose(found.scores["keras"][rows], softmax(inputs @ SLOPES[model]), atol=1e-6)
            np.testing.assert_array_equal(found.weights[rows], events["weights"])
            assert set(found.truth[rows]) == {index}
            assert set(found.models[rows]) == {model}
            start = rows.stop
    assert len(found) == start
    np.testing.assert_array_equal(found.of_model(1).values, found.values[found.models == 1])
    np.testing.assert_array_equal(found.values_of("y"), found.values[:, 1])


def test_class_weights_and_spectators(analysis: object) -> None:
    analysis.testing |= {"class_weights": True, "spectators": ["counts", "x*y"], "weight_branch": "weights_f4"}
    analysis.write_configs()
    found = tested_events(prepared(analysis.folder, "0"))
    events = analysis.events[1]["background_2"]
    chosen = found.truth == 2
    np.testing.assert_allclose(found.weights[chosen], 2.5 * events["weights_f4"].astype("f8"), rtol=1e-12)
    assert found.variables == ["x", "y", "counts", "x*y"]
    np.testing.assert_array_equal(found.values_of("counts")[chosen], events["counts"])
    np.testing.assert_allclose(found.values_of("x*y")[chosen], events["x"] * events["y"], rtol=1e-5)


def test_a_sample_keeps_small_classes_and_sums_of_weights(tmp_path: Path, make_analysis: Callable[..., object]) -> None:
    analysis = make_analysis()
    random = np.random.default_rng(3)
    numbers = {"signal": 300, "background_1": 40_000, "background_2": 80_000}
    for path in (tmp_path / "big0.root", tmp_path / "big1.root"):
        with uproot.recreate(path) as file:
            for name, number in numbers.items():
                columns = {"x": random.normal(size=number).astype("f4"), "y": random.normal(size=number).astype("f4")}
                columns["weights"] = random.normal(1, 1, number)
                file.mktree(name, {key: values.dtype for key, values in columns.items()}).extend(columns)
    analysis.training["datasets"] = [str(tmp_path / "big0.root"), str(tmp_path / "big1.root")]
    analysis.testing = {"max_events": 20_600}
    analysis.write_configs()
    found = tested_events(prepared(analysis.folder))
    counts = np.bincount(found.truth, minlength=3)
    assert counts[0] == 600
    assert found.sampled == pytest.approx({"background_1": 10_000 / 80_000, "background_2": 10_000 / 160_000})
    assert np.abs(counts[1:] - 10_000).max() < 5 * np.sqrt(10_000)
    for index in (1, 2):
        weights = found.weights[found.truth == index]
        expected = 2 * numbers[CLASSES[index]]
        assert abs(weights.sum() - expected) < 5 * np.sqrt((weights**2).sum())
    again = tested_events(prepared(analysis.folder, entries_per_chunk=7_000))
    np.testing.assert_array_equal(again.values, found.values)
    everything = tested_events(prepared(analysis.folder, max_events=10**6))
    assert not everything.sampled
    assert len(everything) == 2 * sum(numbers.values())


def test_several_methods_in_one_pass_and_one_that_fails(analysis: object) -> None:
    analysis.training["tmva"] = {"methods": [{"name": "other", "type": "kPyKeras"}]}
    analysis.write_configs()
    slopes = np.array([[2.0, 0.0, -2.0], [0.0, 1.0, 0.0]], dtype="f4")
    for model in (0, 1):
        analysis.add_method(model, "other", slopes)
    found = tested_events(prepared(analysis.folder, all_methods=True))
    assert list(found.scores) == ["keras", "other"]
    np.testing.assert_allclose(found.scores["other"], softmax(found.values @ slopes.astype("f8")), atol=1e-6)
    analysis.add_method(1, "other", np.full((2, 3), np.nan, dtype="f4"))
    with pytest.raises(NtuplemlError, match="scores of 'other' are NaN or infinite"):
        tested_events(prepared(analysis.folder, all_methods=True))
    rest = tested_events(prepared(analysis.folder, all_methods=True, tolerant=True))
    assert list(rest.scores) == ["keras"]
    assert "NaN" in rest.left_out["other"]
    np.testing.assert_array_equal(rest.scores["keras"], found.scores["keras"])


def test_recorded_data(analysis: object) -> None:
    assert isinstance(recorded_data(prepared(analysis.folder)), Undefined)
    for fold in (0, 1):
        path = analysis.folder / f"fold{fold}.root"
        with uproot.update(path) as file:
            file.mktree("data", {"x": "f4", "y": "f4"}).extend(
                {"x": np.full(3, fold, dtype="f4"), "y": np.ones(3, dtype="f4")}
            )
    data = recorded_data(prepared(analysis.folder))
    assert data.truth.tolist() == [-1] * 6
    assert data.weights.tolist() == [1.0] * 6
    np.testing.assert_allclose(data.scores["keras"][0], softmax(np.array([[1.0, 1.0]]) @ SLOPES[0])[0], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spectators": ["countz"]}, "spectators: no branch 'countz'.*nearest: 'counts'"),
        ({"weight_branch": "weigths"}, "weight_branch: no branch 'weigths'.*nearest: 'weights'"),
        ({"method": "kears"}, "testing.yaml: method: the training config has no method 'kears'.*nearest: 'keras'"),
    ],
)
def test_unknown_names_are_one_line(analysis: object, changes: dict[str, object], message: str) -> None:
    (analysis.folder / "testing.yaml").write_text(yaml.safe_dump(changes))
    with pytest.raises(NtuplemlError, match=message):
        tested_events(prepared(analysis.folder))


def test_a_fold_that_the_model_was_trained_on_is_refused(analysis: object) -> None:
    analysis.training["datasets"] = analysis.training["datasets"][::-1]
    analysis.write_configs()
    with pytest.raises(NtuplemlError, match="model 0 was trained on this file"):
        tested_events(prepared(analysis.folder))


def test_the_stem_names_fold_method_and_condition(analysis: object) -> None:
    preparation = prepared(analysis.folder, "1")
    assert preparation.stem("roc_signal").name == "fold1_keras_roc_signal"
    several = replace(preparation, methods=["keras", "BDT"], fold="all", condition="2018")
    assert several.stem("roc_signal").name == "foldall_methods_roc_signal_2018"
    assert replace(preparation, methods=["Py_fold{fold}"]).stem("roc").name == "fold1_Py_fold1_roc"
    assert replace(preparation, methods=["Py_fold{fold}"], fold="all").stem("roc").name == "foldall_Py_roc"
