"""The ten confusion matrices, from the fold files to the files written, against sums made here by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

from ntupleml.errors import NtuplemlError
from ntupleml.testing.confusion import REPRESENTATIONS, confusion_of_events, confusion_pictures, uncertainty_key
from ntupleml.testing.preparation import prepare, tested_events
from ntupleml.testing.registry import STEPS
from ntupleml.testing.steps import write_step

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Analysis

CLASSES = ["signal", "background_1", "background_2"]
CLASS_WEIGHTS = {"signal": 10.0, "background_1": 1.0, "background_2": 2.5}
#: Slopes of the networks' scores, as conftest has them.
SLOPES = [np.array([[0.0, 1, -1], [0.5, 0.2, -0.4]]), np.array([[1, -0.3, 0.1], [0, 0.6, 0.9]])]
NAMES = ["standard", "standard_cw"] + [
    f"{kind}{cw}{number}" for kind in ("efficiency", "purity") for cw in ("", "_cw") for number in (1, 2)
]


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time, and is tested elsewhere."""
    monkeypatch.setattr("ntupleml.plots.pictures.save_figure", lambda *_, **__: [])


def run(
    analysis: Analysis, fold: str = "0", condition: str | None = None, *, overwrite: bool = False, **options: Any
) -> list[Path]:
    analysis.write_configs()
    with contextlib.chdir(analysis.folder):
        preparation = prepare("training.yaml", "testing.yaml", fold, condition=condition, **options)
        return write_step(STEPS["confusion"], preparation, overwrite=overwrite)[0]


def rewrite(analysis: Analysis, fold: int, changes: dict[str, dict[str, Any]]) -> None:
    """Replace a fold file by one with changed columns (None removes a branch)."""
    with uproot.recreate(analysis.folder / f"fold{fold}.root") as file:
        for class_name, columns in analysis.events[fold].items():
            changed = {**columns, **changes.get(class_name, {})}
            new = {name: column for name, column in changed.items() if column is not None}
            tree = file.mktree(class_name, {name: column.dtype for name, column in new.items()})
            if len(next(iter(new.values()))):
                tree.extend(new)


def test_the_script_writes_htt_mls_thirty_files(
    analysis: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    before = set((analysis.folder / "out").iterdir())
    script = ("testing/keras_confusion_matrix.py", "training.yaml", "testing.yaml", "1")
    result = run_script(*script, "--Num_Events", "37", cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    written = {path.name for path in set((analysis.folder / "out").iterdir()) - before}
    assert written == {f"fold1_keras_confusion_{name}.{end}" for name in NAMES for end in ("png", "pdf", "yaml")}
    assert (analysis.folder / "out" / "fold1_keras_confusion_purity1.pdf").read_bytes().startswith(b"%PDF")
    np.testing.assert_allclose(analysis.matrix("fold1_keras_confusion_standard"), analysis.expected(1, "weights"))
    again = run_script(*script, cwd=analysis.folder)
    assert again.returncode == 2
    assert "fold1_keras_confusion_standard.png: exists already; give --overwrite" in again.stderr.splitlines()[-1]


@pytest.mark.parametrize("model", [0, 1, 2])
def test_the_formulas_on_the_fold_that_the_model_never_saw(
    make_analysis: Callable[..., Analysis], no_pictures: None, model: int
) -> None:
    analysis = make_analysis(num_folds=3)
    run(analysis, str(model))
    for end, class_weights in (("", None), ("_cw", CLASS_WEIGHTS)):
        sums = analysis.expected(model, "weights", class_weights)
        diagonal = np.diag(sums)
        expected = {
            f"standard{end}": sums,
            f"efficiency{end}1": sums / diagonal[:, None],
            f"efficiency{end}2": sums / sums.sum(axis=1)[:, None],
            f"purity{end}1": sums / diagonal[None, :],
            f"purity{end}2": sums / sums.sum(axis=0)[None, :],
        }
        for name, matrix in expected.items():
            found = analysis.matrix(f"fold{model}_keras_confusion_{name}")
            np.testing.assert_allclose(found, matrix, rtol=1e-12, err_msg=name)


def test_the_yaml_holds_uncertainties_beside_the_classes(analysis: Analysis, no_pictures: None) -> None:
    run(analysis)
    content = analysis.result("fold0_keras_confusion_standard")
    assert list(content) == [*CLASSES, "uncertainty"]
    assert all(isinstance(content[true][predicted], float) for true in CLASSES for predicted in CLASSES)
    weights = analysis.events[1]["signal"]["weights"][analysis.predicted(0, "signal") == 2]
    uncertainty = content["uncertainty"]["signal"]["background_2"]
    assert uncertainty == pytest.approx(np.sqrt((weights**2).sum()))
    weighted = analysis.result("fold0_keras_confusion_standard_cw")["uncertainty"]["signal"]["background_2"]
    assert weighted == pytest.approx(10 * uncertainty)


def test_a_class_called_uncertainty_keeps_its_row() -> None:
    assert uncertainty_key(["uncertainty", "uncertainty_", "tt"]) == "uncertainty__"


@pytest.mark.parametrize("weight", ["counts", "weights_f4"])
def test_weights_of_any_number_type(analysis: Analysis, no_pictures: None, weight: str) -> None:
    analysis.testing["weight_branch"] = weight
    run(analysis)
    np.testing.assert_allclose(analysis.matrix("fold0_keras_confusion_standard"), analysis.expected(0, weight))


def test_without_a_weight_branch_each_event_counts_one(analysis: Analysis, no_pictures: None) -> None:
    del analysis.training["event_weights"]
    run(analysis, "1")
    assert analysis.matrix("fold1_keras_confusion_standard").sum(axis=1).tolist() == [200, 201, 202]
    run(analysis, "all")
    assert analysis.matrix("foldall_keras_confusion_standard").sum(axis=1).tolist() == [400, 402, 404]
    assert not list((analysis.folder / "out").glob("fold0_*confusion*"))


def test_all_are_the_sums_of_all_models(analysis: Analysis, no_pictures: None) -> None:
    run(analysis, "all", entries_per_chunk=97)
    sums = analysis.expected(0, "weights") + analysis.expected(1, "weights")
    np.testing.assert_allclose(analysis.matrix("foldall_keras_confusion_standard"), sums)
    found = analysis.matrix("foldall_keras_confusion_efficiency2")
    np.testing.assert_allclose(found, sums / sums.sum(axis=1)[:, None])
    squares = [
        (analysis.events[1 - model]["signal"]["weights"][analysis.predicted(model, "signal") == 2] ** 2).sum()
        for model in (0, 1)
    ]
    uncertainty = analysis.result("foldall_keras_confusion_standard")["uncertainty"]["signal"]["background_2"]
    assert uncertainty == pytest.approx(np.sqrt(sum(squares)))


@pytest.mark.parametrize("fold", ["0", "all"])
def test_pictures_for_the_report_are_those_of_the_script(analysis: Analysis, no_pictures: None, fold: str) -> None:
    """From events in memory, whose weights may have class weights already, and the same numbers."""
    run(analysis, fold)
    preparation = prepare(
        analysis.folder / "training.yaml", analysis.folder / "testing.yaml", fold, class_weights=fold == "0"
    )
    total = confusion_of_events(tested_events(preparation), "keras", preparation.reading.factors)
    pictures = confusion_pictures(total, CLASSES, list(CLASS_WEIGHTS.values()))
    assert [picture.name for picture in pictures] == [f"confusion_{name}" for name in REPRESENTATIONS]
    for picture in pictures:
        expected = analysis.result(f"fold{fold}_keras_{picture.name}")
        for matrix, other in ((picture.numbers, expected), (picture.numbers["uncertainty"], expected["uncertainty"])):
            for true in CLASSES:
                assert matrix[true] == pytest.approx(other[true], rel=1e-9), picture.name
        assert picture.tables[0].header == ("True class", *(f"predicted {name}" for name in CLASSES))
        assert picture.tables[0].rows[1][0] == "background_1"


def test_chunks_do_not_show(analysis: Analysis, no_pictures: None) -> None:
    run(analysis)
    whole = analysis.matrix("fold0_keras_confusion_purity_cw2")
    run(analysis, entries_per_chunk=1, overwrite=True)
    np.testing.assert_allclose(analysis.matrix("fold0_keras_confusion_purity_cw2"), whole, rtol=1e-12)


def test_conditions_have_their_own_files_weights_and_one_hot_inputs(
    make_analysis: Callable[..., Analysis], no_pictures: None
) -> None:
    analysis = make_analysis(conditions=("2016", "2017"))
    run(analysis, "0", "2016")
    run(analysis, "0", "2017")
    sums = analysis.expected(0, "weights")
    np.testing.assert_allclose(analysis.matrix("fold0_keras_confusion_standard_2016"), sums)
    np.testing.assert_allclose(analysis.matrix("fold0_keras_confusion_standard_cw_2016"), 7 * sums)
    events = analysis.events[1]["background_2"]
    logits = np.stack([events["x"], events["y"]], axis=1) @ np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]])
    logits[:, 0] += 4  # what the second condition does in this network
    weight = events["weights"][np.argmax(logits, axis=1) == 0].sum()
    assert analysis.result("fold0_keras_confusion_standard_2017")["background_2"]["signal"] == pytest.approx(weight)


def test_an_empty_class_is_undefined_with_its_reason(analysis: Analysis, caplog: pytest.LogCaptureFixture) -> None:
    """Drawn, too: the pictures say so."""
    empty = {name: column[:0] for name, column in analysis.events[1]["background_1"].items()}
    rewrite(analysis, 1, {"background_1": empty})
    with caplog.at_level(logging.WARNING, logger="ntupleml"):
        run(analysis)
    assert len(caplog.messages) == 1
    assert "true class 'background_1' (no events)" in caplog.messages[0]
    for name in NAMES:
        text = (analysis.folder / "out" / f"fold0_keras_confusion_{name}.yaml").read_text()
        assert "nan" not in text
    content = analysis.result("fold0_keras_confusion_efficiency2")
    assert content["background_1"]["signal"] == "undefined: no events"
    assert content["uncertainty"]["background_1"]["signal"] == "undefined: no events"
    assert isinstance(content["signal"]["background_1"], float)
    standard = analysis.result("fold0_keras_confusion_standard")
    assert standard["background_1"] == dict.fromkeys(CLASSES, 0.0)


@pytest.mark.parametrize(("factor", "reason"), [(0.0, "sum of weights is zero"), (-1.0, "sum of weights is negative")])
def test_sums_that_are_not_positive(
    analysis: Analysis, no_pictures: None, caplog: pytest.LogCaptureFixture, factor: float, reason: str
) -> None:
    rewrite(analysis, 1, {"signal": {"weights": factor * np.abs(analysis.events[1]["signal"]["weights"])}})
    with caplog.at_level(logging.WARNING, logger="ntupleml"):
        run(analysis)
    assert f"true class 'signal' ({reason})" in caplog.messages[0]
    content = analysis.result("fold0_keras_confusion_efficiency_cw2")
    assert content["signal"] == dict.fromkeys(CLASSES, f"undefined: {reason}")


def test_one_event_per_class(analysis: Analysis, no_pictures: None) -> None:
    rewrite(
        analysis,
        1,
        {name: {key: column[:1] for key, column in columns.items()} for name, columns in analysis.events[1].items()},
    )
    run(analysis)
    row = analysis.result("fold0_keras_confusion_efficiency2")["signal"]
    assert sorted(row.values()) in ([0.0, 0.0, 1.0], ["undefined: sum of weights is negative"] * 3)


def test_existing_results_are_refused_before_anything_is_computed(analysis: Analysis) -> None:
    last = analysis.folder / "out" / "foldall_keras_confusion_purity_cw2.yaml"
    last.write_text("precious")
    (analysis.folder / "fold0.root").unlink()  # would be the next error
    with pytest.raises(NtuplemlError, match=r"foldall_keras_confusion_purity_cw2\.yaml: exists already"):
        run(analysis, "all")
    assert last.read_text() == "precious"
    assert not list((analysis.folder / "out").glob("*standard*"))


class TestBadInput:
    """One line that says what is wrong and what there is."""

    def test_fold_that_is_not_there(self, analysis: Analysis) -> None:
        for fold in ("2", "-1", "x", "²"):
            with pytest.raises(NtuplemlError, match=rf"fold '{fold}': training.yaml has the folds 0, 1; .*'all'"):
                run(analysis, fold)

    def test_condition_that_is_not_there(self, make_analysis: Callable[..., Analysis]) -> None:
        analysis = make_analysis(conditions=("2016", "2017"))
        with pytest.raises(NtuplemlError, match=r"no condition '2106'; nearest: '2016'"):
            run(analysis, "0", "2106")
        with pytest.raises(NtuplemlError, match=r"give --era with one of '2016', '2017'"):
            run(analysis)

    def test_condition_of_a_training_without(self, analysis: Analysis) -> None:
        with pytest.raises(NtuplemlError, match="has no conditions"):
            run(analysis, "0", "2016")

    def test_missing_weight_branch(self, analysis: Analysis) -> None:
        analysis.testing["weight_branch"] = "weight"
        with pytest.raises(NtuplemlError, match=r"^testing.yaml: weight_branch: no branch 'weight' .*: 'weights'"):
            run(analysis)
        analysis.testing.clear()
        analysis.training["event_weights"] = "wights"
        with pytest.raises(NtuplemlError, match=r"^training.yaml: event_weights: no branch 'wights'"):
            run(analysis)

    def test_several_weights_per_event(self, analysis: Analysis) -> None:
        with uproot.recreate(analysis.folder / "fold1.root") as file:
            tree = file.mktree("signal", {"x": "f4", "y": "f4", "weights": "var * float64"})
            jagged = ak.Array([[1.0, 2.0], [1.0]])
            tree.extend({"x": np.zeros(2, "f4"), "y": np.zeros(2, "f4"), "weights": jagged})
        with pytest.raises(
            NtuplemlError, match=r"^training.yaml: event_weights: .*'weights'.* several values per event"
        ):
            run(analysis)

    def test_missing_variable(self, analysis: Analysis) -> None:
        rewrite(analysis, 1, {"background_1": {"y": None}})
        with pytest.raises(NtuplemlError, match=r"fold1.root: tree 'background_1': no branch 'y'"):
            run(analysis)

    def test_missing_tree(self, analysis: Analysis) -> None:
        with uproot.recreate(analysis.folder / "fold1.root") as file:
            file.mktree("signal_", {"x": "f4"}).extend({"x": np.zeros(3, "f4")})
        with pytest.raises(NtuplemlError, match=r"^training.yaml: datasets\[1\]: .*'signal'.*nearest: 'signal_'"):
            run(analysis)

    def test_missing_fold_file(self, analysis: Analysis) -> None:
        (analysis.folder / "fold1.root").unlink()
        with pytest.raises(NtuplemlError, match=r"^training.yaml: datasets\[1\]: .*fold1\.root: no such file"):
            run(analysis)

    def test_missing_model(self, analysis: Analysis) -> None:
        (analysis.folder / "out" / "fold0_keras_training.json").unlink()
        with pytest.raises(NtuplemlError, match=r"no trained model of fold 0 .*keras_training.py training.yaml 0"):
            run(analysis)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_weights_that_are_not_finite(self, analysis: Analysis, bad: float) -> None:
        weights = analysis.events[1]["signal"]["weights"].copy()
        weights[[150, 160]] = bad
        rewrite(analysis, 1, {"signal": {"weights": weights}})
        with pytest.raises(NtuplemlError, match=r"'signal'.*'weights' are NaN or infinite in 2 .* entry 150"):
            run(analysis, entries_per_chunk=170)

    def test_inputs_that_are_not_finite(self, analysis: Analysis) -> None:
        x = analysis.events[1]["background_2"]["x"].copy()
        x[7] = np.nan
        rewrite(analysis, 1, {"background_2": {"x": x}})
        with pytest.raises(NtuplemlError, match=r"fold1.root: tree 'background_2': variable 'x' is NaN"):
            run(analysis)

    def test_scores_that_are_not_finite(self, analysis: Analysis) -> None:
        x = analysis.events[1]["background_2"]["x"].copy()
        x[7] = 3e38  # finite, but the difference of two logits is not
        rewrite(analysis, 1, {"background_2": {"x": x, "y": x}})
        with pytest.raises(NtuplemlError, match=r"'background_2': the scores of 'keras' are NaN .* in 1 .* entry 7"):
            run(analysis)

    def test_variables_that_the_model_was_not_trained_on(self, analysis: Analysis) -> None:
        analysis.training["variables"] = ["y", "x"]
        with pytest.raises(NtuplemlError, match=r"^training.yaml: .*differs from what the model"):
            run(analysis)

    def test_the_file_that_the_model_was_trained_on(self, analysis: Analysis) -> None:
        """Also under another name: the order of the datasets was changed after the training."""
        analysis.training["datasets"].reverse()
        with pytest.raises(NtuplemlError, match=r"fold0.root: model 0 was trained on this file"):
            run(analysis)

    def test_models_in_the_wrong_order(self, analysis: Analysis) -> None:
        for model in (0, 1):
            path = analysis.folder / "out" / f"fold{model}_keras_training.json"
            content = yaml.safe_load(path.read_text())
            onnx_file = path.with_name(f"fold{model}_keras_model.onnx")
            digest = hashlib.sha256(onnx_file.read_bytes()).hexdigest()
            content["sha256"] = {onnx_file.name: digest}
            path.write_text(json.dumps(content))
        analysis.testing["model"] = ["fold1_keras_model.onnx", "fold0_keras_model.onnx"]
        with pytest.raises(NtuplemlError, match=r"testing.yaml: model is in the wrong order"):
            run(analysis)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_folds": 3}, r"fold1\.root is fold 1 of 3, but fold 1 of 2 is the one that model 0 never saw"),
            ({"fold": 0}, r"fold1\.root is fold 0 of 2, but fold 1 of 2 is the one"),
            (
                {"event_branch": "event"},
                r"by branch 'event', those that model 0 was trained on by entry number",
            ),
            ({"uuid": "another"}, r"fold1\.json: is the record of another file than .*fold1\.root"),
        ],
    )
    def test_a_fold_file_of_another_division(
        self, analysis: Analysis, no_pictures: None, changes: dict[str, Any], message: str
    ) -> None:
        """Such a file may hold events that the model was trained on, whatever its name."""
        with uproot.open(analysis.folder / "fold1.root") as file:
            uuid = str(file.file.uuid)
        content = {
            "dataset": "toy",
            "file": "fold1.root",
            "uuid": uuid,
            "fold": 1,
            "num_folds": 2,
            "event_branch": None,
            "decided_by": "entry number in each input file",
            "training_weight_branch": "weights",
            "branches": {},
            "processes": {},
            "config": {},
            "created": "2020-01-01T00:00:00+00:00",
            "versions": {},
        }
        (analysis.folder / "fold1.json").write_text(json.dumps(content))
        run(analysis)
        (analysis.folder / "fold1.json").write_text(json.dumps(content | changes))
        with pytest.raises(NtuplemlError, match=message):
            run(analysis, overwrite=True)


def test_results_appear_together_or_not_at_all(analysis: Analysis, no_pictures: None) -> None:
    """The second model fails, after the first one's matrices are made."""
    rewrite(analysis, 0, {"background_2": {"y": None}})
    with pytest.raises(NtuplemlError, match=r"fold0\.root: tree 'background_2': no branch 'y'"):
        run(analysis, "all")
    assert not list((analysis.folder / "out").rglob("*confusion*"))


class TestOtherMethods:
    @pytest.fixture
    def with_method(self, analysis: Analysis) -> Analysis:
        """A method whose predictions are those of the other fold's network."""
        analysis.training["tmva"] = {"methods": [{"name": "Py_fold{fold}", "type": "kPyKeras"}]}
        for model in (0, 1):
            analysis.add_method(model, f"Py_fold{model}", SLOPES[1 - model].astype("f4"))
        return analysis

    @staticmethod
    def expected(analysis: Analysis, model: int) -> Any:
        matrix = np.zeros((3, 3))
        for i, class_name in enumerate(CLASSES):
            events = analysis.events[1 - model][class_name]
            scores = np.stack([events["x"], events["y"]], axis=1) @ SLOPES[1 - model]
            np.add.at(matrix[i], np.argmax(scores, axis=1), events["weights"])
        return matrix

    def test_by_the_testing_config(self, with_method: Analysis, no_pictures: None) -> None:
        with_method.testing["method"] = "Py_fold{fold}"
        for model in (0, 1):
            run(with_method, str(model))
            found = with_method.matrix(f"fold{model}_Py_fold{model}_confusion_standard")
            np.testing.assert_allclose(found, self.expected(with_method, model))
        run(with_method, "all")
        found = with_method.matrix("foldall_Py_confusion_standard")
        np.testing.assert_allclose(found, self.expected(with_method, 0) + self.expected(with_method, 1))

    def test_by_the_script(
        self, with_method: Analysis, run_script: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        with_method.write_configs()
        script = ("testing/confusion_matrix.py", "training.yaml", "testing.yaml", "1", "--method")
        result = run_script(*script, "Py_fold{fold}", cwd=with_method.folder)
        assert result.returncode == 0, result.stderr
        found = with_method.matrix("fold1_Py_fold1_confusion_standard")
        np.testing.assert_allclose(found, self.expected(with_method, 1))
        unknown = run_script(*script, "Pi_fold1", cwd=with_method.folder)
        assert unknown.returncode == 2
        assert "--method: the training config has no method 'Pi_fold1'; nearest: 'Py_fold" in unknown.stderr
        assert unknown.stderr.count("\n") == 1

    def test_an_external_model(self, with_method: Analysis, no_pictures: None) -> None:
        files = [f"fold{model}_keras_model.onnx" for model in (0, 1)]
        with_method.testing["external"] = {"theirs": {"files": files}}
        run(with_method, "all", methods=["theirs"])
        found = with_method.matrix("foldall_theirs_confusion_standard")
        np.testing.assert_allclose(found, with_method.expected(0, "weights") + with_method.expected(1, "weights"))

    def test_without_a_method_it_is_the_network(self, with_method: Analysis, no_pictures: None) -> None:
        run(with_method)
        found = with_method.matrix("fold0_keras_confusion_standard")
        np.testing.assert_allclose(found, with_method.expected(0, "weights"))
