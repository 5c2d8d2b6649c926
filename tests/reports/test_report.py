"""The whole report of small trained analyses with known scores, and what happens where something is wrong with them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ntupleml.config import TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Verdict
from ntupleml.plots.cells import cell_text
from ntupleml.plots.pictures import picture_paths
from ntupleml.reports.comparison import area_table, config_table, same_events
from ntupleml.reports.summary import summary
from ntupleml.reports.writing import ReportOptions, make_sections, read_material, report_paths, write_report
from ntupleml.testing.material import POOLED
from ntupleml.testing.preparation import prepare

from ..testing.conftest import CLASSES, SLOPES, analysis, draw_events, make_analysis, write_fold_file  # noqa: F401
from .checks import require_no_overflow, require_self_contained, require_sound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _prepared(analysis: Any, fold: str = "all", training: str = "training.yaml") -> Any:  # noqa: F811
    analysis.write_configs()
    return prepare(analysis.folder / training, analysis.folder / "testing.yaml", fold, all_methods=True, tolerant=True)


def _scores(analysis: Any, model: int) -> tuple[Any, Any, Any]:  # noqa: F811
    """Scores, truth and weights of a model's held-out fold, from the formula of its scores."""
    events = analysis.events[(model + 1) % analysis.num_folds]
    inputs = np.concatenate([np.stack([events[name]["x"], events[name]["y"]], axis=1) for name in CLASSES])
    logits = inputs @ SLOPES[model]
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.concatenate([np.full(len(events[name]["x"]), index) for index, name in enumerate(CLASSES)])
    return scores, truth, np.concatenate([events[name]["counts"] for name in CLASSES])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take most of the time; where they do not matter, an empty one stands for each."""
    from ntupleml.reports import page_files

    def write(picture: Any, stem: Path, plot: Any, prefix: str, **_options: Any) -> tuple[list[Path], str]:
        paths = picture_paths(stem)
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        title = f'<title id="{prefix}-title">{escape(picture.caption)}</title>'
        return paths, f'<svg width="100" height="100" role="img" aria-labelledby="{prefix}-title">{title}</svg>'

    monkeypatch.setattr(page_files, "write_picture_and_svg", write)


@pytest.mark.slow
def test_report_of_two_methods(analysis: Any, open_page: Callable[..., Any]) -> None:  # noqa: F811
    """Page, files, and areas that are scikit-learn's."""
    analysis.training["tmva"] = {"methods": [{"name": "Other", "type": "kPyKeras"}]}
    analysis.testing |= {"weight_branch": "counts", "spectators": ["x*y"], "plot": {"style": "CMS", "com": 13}}
    analysis.testing["figures"] = ["svg", "png", "pdf"]
    for model in range(2):
        analysis.add_method(model, "Other", SLOPES[model] * np.float32(0.5))
    paths, verdicts = write_report(_prepared(analysis), ReportOptions(command="report.py a b"))
    page = analysis.folder / "out" / "foldall_report.html"
    assert paths[0] == page
    assert all(path.stat().st_size > 0 for path in paths)
    names = {path.name for path in paths}
    assert {f"foldall_methods_roc_classes.{ending}" for ending in ("svg", "png", "pdf", "yaml")} <= names
    assert "foldall_keras_scores.pdf" in names
    assert "foldall_inputs_1.png" in names
    assert {"Inputs", "Overtrained? keras", "Sculpts? Other", "Calibrated? keras"} <= {name for name, _ in verdicts}
    opened = open_page(page)
    require_self_contained(opened, page)
    require_sound(opened)
    require_no_overflow(open_page, page)
    rows = opened.page.locator("#summary > .tablebox table").first.locator("tbody tr").all()
    assert len(rows) == 6
    found = {tuple(row.locator("th, td").all_inner_texts()[:2]): row for row in rows}
    for model in range(2):
        scores, truth, weights = _scores(analysis, model)
        cells = found[("keras", f"fold {1 - model}")].locator("td[data-v]").all()
        areas = [float(cell.get_attribute("data-v") or "nan") for cell in cells]
        expected = [
            roc_auc_score(truth == index, scores[:, index], sample_weight=weights) for index in range(len(CLASSES))
        ]
        assert areas[1:] == pytest.approx(expected, abs=1e-6)  # single precision makes some scores equal
    with pytest.raises(NtuplemlError, match=r"foldall_report\.html: exists already; give --overwrite"):
        write_report(_prepared(analysis), ReportOptions())


def test_one_fold(analysis: Any, undrawn: None) -> None:  # noqa: F811
    paths, _ = write_report(_prepared(analysis, "1"), ReportOptions())
    assert paths[0].name == "fold1_report.html"
    assert "fold1_keras_confusion_standard.yaml" in {path.name for path in paths}


def test_page_alone(analysis: Any) -> None:  # noqa: F811
    """No figures as files, but all numbers; the page has the same pictures."""
    paths, _ = write_report(_prepared(analysis, "1"), ReportOptions(page_only=True))
    assert {path.suffix for path in paths} == {".html", ".yaml", ".json"}
    assert {path.suffix for path in (analysis.folder / "out" / "fold1_report").iterdir()} == {".yaml", ".json"}
    assert paths[0].read_text(encoding="utf-8").count("<svg") == len(paths) - 2


def test_nasty_names_are_text(analysis: Any, undrawn: None, open_page: Callable[..., Any]) -> None:  # noqa: F811
    name = "<b>&\"'$x$</script>"
    analysis.testing["plot"] = {"label": name.replace("$", ""), "class_labels": {"signal": "$H\\to\\tau\\tau$ <i>"}}
    analysis.testing["spectators"] = ["x < y && y > 0"]
    paths, _ = write_report(_prepared(analysis), ReportOptions(command=name))
    opened = open_page(paths[0])
    require_self_contained(opened, paths[0])
    require_sound(opened)
    assert name in opened.page.locator("#record").inner_text()
    assert opened.page.locator("main b:not(.verdicts b), main i").count() == 0


def test_a_method_that_fails_is_left_out(analysis: Any, undrawn: None) -> None:  # noqa: F811
    """NaN scores of one method, and one that is not trained: the reasons are there, and all else."""
    methods = [{"name": name, "type": "kPyKeras"} for name in ("Broken", "Absent")]
    analysis.training["tmva"] = {"methods": methods}
    for model in range(2):
        analysis.add_method(model, "Broken", np.full((2, 3), np.nan, np.float32))
    paths, _ = write_report(_prepared(analysis), ReportOptions())
    text = paths[0].read_text(encoding="utf-8")
    assert "not trained for fold 0, 1" in text
    assert re.search(r"the scores of .{1,10}Broken.{1,10} (?:is|are) (?:NaN|not)|Broken.*NaN", text)
    assert "foldall_keras_roc_classes.png" in {path.name for path in paths}


@pytest.mark.parametrize("case", ["no events of a class", "one event", "zero weights", "negative weights", "constant"])
def test_bad_samples_give_a_report(analysis: Any, undrawn: None, case: str) -> None:  # noqa: F811
    """What does not exist is undefined, with its reason, and no warning is raised."""
    for fold, events in enumerate(analysis.events):
        for name, columns in events.items():
            if case == "no events of a class" and name == "background_2":
                events[name] = {key: values[:0] for key, values in columns.items()}
            elif case == "one event":
                events[name] = {key: values[: name == "signal"] for key, values in columns.items()}
            elif case == "zero weights":
                columns["weights"] = np.zeros_like(columns["weights"])
            elif case == "negative weights":
                columns["weights"] = -np.abs(columns["weights"])
            elif case == "constant":
                columns |= {"x": np.ones_like(columns["x"]), "y": np.ones_like(columns["y"])}
        uuid = write_fold_file(analysis.folder / f"fold{fold}.root", events)
        record = analysis.folder / "out" / f"fold{fold}_keras_training.json"
        content = json.loads(record.read_text())
        content["datasets"][0]["uuid"] = uuid
        record.write_text(json.dumps(content))
        _repair_hash(analysis, fold)
    paths, _ = write_report(_prepared(analysis), ReportOptions())
    text = paths[0].read_text(encoding="utf-8")
    assert case == "constant" or "undefined" in text
    assert not re.search(r"\bnan\b", text)  # as Python writes it


def _repair_hash(analysis: Any, fold: int) -> None:  # noqa: F811
    """Give the ONNX file the hash of its record, which was changed."""
    import onnx

    from ntupleml.artifacts import read_record, record_hash

    path = analysis.folder / "out" / f"fold{fold}_keras_model.onnx"
    model = onnx.load(path)
    metadata = json.loads(model.metadata_props[0].value)
    metadata["record_hash"] = record_hash(read_record(analysis.folder / "out" / f"fold{fold}_keras_training.json"))
    onnx.helper.set_model_props(model, {"ntupleml": json.dumps(metadata)})
    onnx.save(model, path)


def _second_training(analysis: Any, name: str = "second", **changes: Any) -> Any:  # noqa: F811
    """The same events and other models: scores that are a little worse."""
    import yaml

    from ..testing.conftest import write_model

    for model in range(2):
        write_model(
            analysis.folder / name, model, 2, analysis.datasets[model], [], slopes=SLOPES[model] + np.float32(0.2)
        )
    config = analysis.training | {"output_path": str(analysis.folder / name), "seed": 5} | changes
    (analysis.folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return _prepared(analysis, training=f"{name}.yaml")


def test_three_trainings_side_by_side(analysis: Any, undrawn: None, open_page: Callable[..., Any]) -> None:  # noqa: F811
    analysis.testing["weight_branch"] = "counts"
    second, third = _second_training(analysis), _second_training(analysis, name="third", seed=7)
    paths, verdicts = write_report(_prepared(analysis), ReportOptions(compare=[second, third]))
    assert {name[:14] for name, _ in verdicts if name[1] == ":"} >= {"B: Overtrained", "C: Overtrained"}
    opened = open_page(paths[0])
    require_sound(opened)
    rows = opened.page.locator("#comparison tr").all_inner_texts()
    assert any(row.startswith("training: seed\t") and row.endswith("\t5\t7") for row in rows)
    assert "Method\tClass\tA\tB\tC\tB − A\tC − A" in rows
    assert "foldall_comparison_roc_signal.png" in {path.name for path in paths}


def test_difference_of_areas_is_paired(analysis: Any) -> None:  # noqa: F811
    """Its uncertainty is that of a bootstrap of the events, which scores both trainings with the same ones."""
    analysis.testing["weight_branch"] = "counts"
    first, second = read_material(_prepared(analysis)), read_material(_second_training(analysis))
    assert same_events(first, second)
    row = next(row for row in area_table([first, second], [True]).rows if row[1] == "signal")
    difference: Any = row[4]
    is_signal, weights = first.events.truth == 0, first.events.weights
    scores = [one.events.scores["keras"][:, 0] for one in (first, second)]
    areas = [roc_auc_score(is_signal, one, sample_weight=weights) for one in scores]
    assert difference.value == pytest.approx(areas[1] - areas[0], abs=1e-9)
    random = np.random.default_rng(1)
    toys = []
    for _ in range(300):
        chosen = random.integers(0, len(weights), len(weights))
        pair = [roc_auc_score(is_signal[chosen], one[chosen], sample_weight=weights[chosen]) for one in scores]
        toys.append(pair[1] - pair[0])
    assert difference.uncertainty == pytest.approx(np.std(toys), rel=0.2)
    both = [first.rocs["keras"][POOLED].against_rest["signal"], second.rocs["keras"][POOLED].against_rest["signal"]]
    assert difference.uncertainty < 0.9 * np.hypot(*(one.auc.uncertainty for one in both))


def test_differing_configs_are_listed(analysis: Any) -> None:  # noqa: F811
    second = _second_training(analysis, event_weights="counts")
    rows = {row[0]: row[1:] for row in config_table([_prepared(analysis), second]).rows}
    assert rows["training: seed"][1] == "5"
    assert rows["training: event_weights"] == ("weights", "counts")
    assert "training: classes" not in rows


def test_an_error_of_one_section_leaves_the_rest(analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def refuse(_material: Any) -> Any:
        raise NtuplemlError("fold0.root: gone")

    function = "ntupleml.testing.calibration.calibration_curves"
    monkeypatch.setattr(function, refuse)
    sections = {one.anchor: one for one in make_sections(read_material(_prepared(analysis)), ReportOptions(), "now")}
    assert sections["calibration"].introduction == "Not made: fold0.root: gone"
    assert "Not made" not in sections["roc"].introduction
    monkeypatch.setattr(function, lambda _material: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_sections(read_material(_prepared(analysis)), ReportOptions(), "now")


def test_the_page_begins_with_a_sentence_a_picture_and_the_table(analysis: Any) -> None:  # noqa: F811
    material = read_material(_prepared(analysis))
    verdicts = [("Overtrained? keras", Verdict("attention", "It is.")), ("Calibrated? keras", Verdict("good", "Yes."))]
    made = summary(material, verdicts)
    areas = {method: material.rocs[method][POOLED].average_auc for method in material.methods}
    best = max(areas, key=lambda method: areas[method].value)
    text = f"{best} is the best of {len(areas)} methods and" if len(areas) > 1 else best
    assert made.introduction.startswith(f"{text} separates with an AUC of {cell_text(areas[best])} on ")
    assert made.introduction.endswith(" events that its models never saw; 1 of 2 checks ask for a look.")
    assert made.introduction.count(".") == 1 + cell_text(areas[best]).count(".")
    pictures, table = made.groups[:2]
    assert [picture.name for picture in pictures.pictures] == ["roc_curves"]
    assert table.tables[0].header == ("AUC", *areas)
    assert [name for name, _ in made.groups[2].verdicts] == ["Overtrained? keras", "Calibrated? keras"]
    assert made.first_screen == 3


def test_page_has_another_name(analysis: Any, tmp_path: Path) -> None:  # noqa: F811
    preparation = _prepared(analysis)
    assert report_paths(preparation, ReportOptions(tmp_path / "a.html")) == (tmp_path / "a.html", tmp_path / "a")
    with pytest.raises(NtuplemlError, match=r"--output .*a\.pdf: a page is written; give it a name that ends with"):
        report_paths(preparation, ReportOptions(tmp_path / "a.pdf"))


@pytest.mark.slow
def test_script(analysis: Any, run_script: Callable[..., Any]) -> None:  # noqa: F811
    analysis.write_configs()
    output = analysis.folder / "page.html"
    arguments = ["training.yaml", "testing.yaml", "0", "--output", output, "--methods", "keras"]
    result = run_script("testing/report.py", *arguments, cwd=analysis.folder)
    assert result.returncode == 0, result.stderr
    assert f"the page: {output}" in result.stderr
    assert "--methods keras" in output.read_text(encoding="utf-8")
    again = run_script("testing/report.py", *arguments, cwd=analysis.folder)
    assert again.returncode == 2
    assert len(again.stderr.splitlines()) >= 1
    assert "exists already; give --overwrite" in again.stderr.splitlines()[-1]
    unknown = run_script("testing/report.py", *arguments[:-1], "kears", "--overwrite", cwd=analysis.folder)
    assert unknown.returncode == 2
    assert "'keras'" in unknown.stderr.splitlines()[-1]


def test_trainings_of_other_targets_are_not_compared(analysis: Any) -> None:  # noqa: F811
    preparation = _prepared(analysis)
    other = TrainingConfig.model_validate({**analysis.training, "target": {"values": ["x"]}})
    with pytest.raises(NtuplemlError, match=r"--compare: .*: the target is values, but trainings are compared by"):
        write_report(preparation, ReportOptions(compare=[replace(preparation, training=other)]))
