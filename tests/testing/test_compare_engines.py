"""Forms of one model side by side, and the exports that are compared with their source before they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import uproot
import xgboost
import yaml

from ntupleml.application.onnx_export import export_to_onnx
from ntupleml.artifacts import Method, TrainingRecord, model_files, sha256_of_file, write_record
from ntupleml.config import TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file
from ntupleml.onnx_models.graph_forms import with_opset
from ntupleml.testing.engine_comparison import compare_engines
from ntupleml.testing.preparation import prepare
from ntupleml.training.tmva_training import train_tmva

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

CLASSES = ["signal", "background_1", "background_2"]


class Boosted:
    """Boosted trees of XGBoost, trained on the folds of the small analysis."""

    def __init__(self, analysis: Any) -> None:
        self.analysis = analysis
        self.folder = analysis.folder
        self.out = analysis.folder / "out"
        self.config = analysis.folder / "training.yaml"
        analysis.training["boosted_trees"] = [{"name": "bdt", "rounds": 4}]
        analysis.write_configs()
        self.boosters = [self._train(fold) for fold in range(2)]

    def _train(self, fold: int) -> xgboost.Booster:
        events = self.analysis.events[fold]
        rows = np.concatenate([np.stack([events[name]["x"], events[name]["y"]], axis=1) for name in CLASSES])
        truth = np.concatenate([np.full(len(events[name]["x"]), index) for index, name in enumerate(CLASSES)])
        parameters = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1, "seed": fold}
        booster = xgboost.train(parameters, xgboost.DMatrix(rows, truth), 4)
        files = model_files(self.out, fold, Method("boosted_trees", "bdt", "xgboost"))
        booster.save_model(files.model)
        record = TrainingRecord(
            engine="xgboost",
            method="bdt",
            fold=fold,
            num_folds=2,
            trained_on=[fold],
            held_out_fold=1 - fold,
            classes=CLASSES,
            variables=["x", "y"],
            preprocessing="none",
            seed=1,
            config={},
            datasets=self.analysis.datasets[fold],
            sha256={files.model.name: sha256_of_file(files.model)},
        )
        write_record(files.record, record)
        return booster

    def rows(self, fold: int) -> np.ndarray[Any, Any]:
        events = self.analysis.events[fold]
        return np.concatenate([np.stack([events[name]["x"], events[name]["y"]], axis=1) for name in CLASSES])


@pytest.fixture
def boosted(analysis: Any) -> Boosted:
    return Boosted(analysis)


def run(path: Path, **feeds: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["scores"], feeds)[0]


def description(path: Path) -> dict[str, Any]:
    (entry,) = onnx.load(path).metadata_props
    content: dict[str, Any] = json.loads(entry.value)
    return content


def test_exports_give_the_scores_of_xgboost(boosted: Boosted) -> None:
    paths = export_to_onnx(boosted.config, "all", method="bdt", opset=13)
    assert [path.name for path in paths] == ["fold0_bdt_export.onnx", "fold1_bdt_export.onnx"]
    for fold, path in enumerate(paths):
        rows = boosted.rows(1 - fold)
        expected = boosted.boosters[fold].predict(xgboost.DMatrix(rows))
        np.testing.assert_allclose(run(path, variables=rows), expected, rtol=0, atol=1e-6)
        content = description(path)
        assert content["variables"] == {"variables": ["x", "y"]}
        assert content["classes"] == CLASSES
        assert content["training"]["held_out_fold"] == 1 - fold
        assert content["check"]["events"] == len(rows)
        assert content["check"]["largest_difference"] < 1e-6
        assert with_opset(onnx.load(path), 13) == onnx.load(path)


def test_one_file_for_all_folds(boosted: Boosted) -> None:
    """Even events are scored by model 1, which never saw fold 0."""
    (path,) = export_to_onnx(boosted.config, "all", method="bdt", single=True, dtype="float64")
    rows = boosted.rows(0)
    events = np.arange(len(rows)) - 100
    scores = [booster.predict(xgboost.DMatrix(rows)) for booster in boosted.boosters]
    expected = np.where((events % 2 == 0)[:, None], scores[1], scores[0])
    found = run(path, variables=rows.astype("f8"), event=events)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert description(path)["check"]["events"] == len(rows) + len(boosted.rows(1))


def test_exports_are_not_overwritten_and_errors_come_first(boosted: Boosted) -> None:
    (path,) = export_to_onnx(boosted.config, "0", method="bdt", output=boosted.folder / "new")
    before = path.read_bytes()
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        export_to_onnx(boosted.config, "0", method="bdt", output=boosted.folder / "new")
    with pytest.raises(NtuplemlError, match="--single: one file holds the models of all folds"):
        export_to_onnx(boosted.config, "0", method="bdt", single=True)
    with pytest.raises(NtuplemlError, match="no method 'bdtt'; nearest: 'bdt'"):
        export_to_onnx(boosted.config, "0", method="bdtt")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_export_is_checked_on_events_of_another_fold_only(boosted: Boosted) -> None:
    """With the fold files exchanged the check would use events of the training."""
    boosted.analysis.training["datasets"].reverse()
    boosted.analysis.write_configs()
    with pytest.raises(NtuplemlError, match="was trained on this file"):
        export_to_onnx(boosted.config, "all", method="bdt")
    assert not list(boosted.out.glob("*_export.onnx"))


def test_forms_of_boosted_trees(boosted: Boosted) -> None:
    export_to_onnx(boosted.config, "all", method="bdt", single=True)
    (comparison,), paths = compare_engines(boosted.config, "0", method="bdt", num_events=300)
    assert comparison.reference == "XGBoost"
    assert list(comparison.results) == ["XGBoost", "forest kernel", "ONNX of all folds"]
    assert list(comparison.absent) == ["ONNX", "exported ONNX"]
    assert comparison.events == 300
    assert comparison.results["XGBoost"].largest == 0
    assert 0 < comparison.largest < 1e-6
    assert all(result.events_per_second > 0 for result in comparison.results.values())
    table = paths[0].read_text()
    assert "exported ONNX: not there: no file" in table
    assert "beyond the tolerance" not in table
    (content,) = yaml.safe_load(paths[1].read_text())
    assert content["forms"]["forest kernel"]["largest"] == comparison.results["forest kernel"].largest
    with pytest.raises(NtuplemlError, match="exists already"):
        compare_engines(boosted.config, "0", method="bdt")


def test_listed_files_are_those_of_the_method_that_the_config_names(boosted: Boosted) -> None:
    """The lists of a testing config are of its own method; another method has the files of its training."""
    testing = boosted.folder / "testing.yaml"
    testing.write_text("model: [other0.keras, other1.keras]\n")
    (comparison,), paths = compare_engines(boosted.config, "0", testing_path=testing, method="bdt", num_events=30)
    assert comparison.reference == "XGBoost"
    assert paths[1].name == "fold0_bdt_engines.yaml"
    listed = "model: [fold0_bdt_model.json, fold1_bdt_model.json]\n"
    testing.write_text(listed + "method: bdt\n")
    (again,), _ = compare_engines(boosted.config, "1", testing_path=testing, num_events=30)
    assert again.reference == "XGBoost"
    testing.write_text(listed)  # of the network, as no method is named
    message = (
        r"testing\.yaml: model lists '.*fold0_bdt_model\.json', which is of the method 'bdt', but 'keras' is asked"
    )
    with pytest.raises(NtuplemlError, match=message):
        compare_engines(boosted.config, "0", testing_path=testing, num_events=30)
    with pytest.raises(NtuplemlError, match=message):
        prepare(boosted.config, testing, "all")


@pytest.mark.slow
def test_a_form_that_differs_is_found(
    boosted: Boosted, run_script: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """An export whose scores are 1 % too small."""
    (path,) = export_to_onnx(boosted.config, "1", method="bdt")
    arguments = ("testing/compare_engines.py", boosted.config, "1", "--method", "bdt", "--events", 300)
    result = run_script(*arguments)
    assert result.returncode == 0, result.stderr
    model = onnx.load(path)
    last = next(node for node in model.graph.node if "scores" in node.output)
    last.output[list(last.output).index("scores")] = "right"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.99), "factor"))
    model.graph.node.append(onnx.helper.make_node("Mul", ["right", "factor"], ["scores"]))
    onnx.save(model, path)
    result = run_script(*arguments, "--overwrite")
    assert result.returncode == 1, result.stderr
    assert "beyond the tolerance" in result.stdout
    table = (boosted.out / "fold1_bdt_engines.txt").read_text()
    (line,) = [line for line in table.splitlines() if "beyond the tolerance" in line]
    assert line.startswith("exported ONNX")
    result = run_script(*arguments, "--overwrite", "--tolerance", "0.5")
    assert result.returncode == 0, result.stderr


def test_an_export_of_another_training_is_named(boosted: Boosted) -> None:
    export_to_onnx(boosted.config, "0", method="bdt", output=boosted.folder / "new")
    (boosted.folder / "new" / "fold0_bdt_export.onnx").rename(boosted.out / "fold1_bdt_export.onnx")
    (comparison,), _ = compare_engines(boosted.config, "1", method="bdt", num_events=300)
    assert "was made from another training" in comparison.absent["exported ONNX"]


def test_trees_that_vote_in_all_their_forms(tmp_path: Path) -> None:
    """AdaBoost has one output: its forms give the scores of both classes, with missing values replaced in each."""
    for fold in (0, 1):
        with new_tree_file(tmp_path / f"fold{fold}.root") as file:
            for number, name in enumerate(["low", "high"]):
                values = np.random.default_rng([fold, number]).normal(number, 1, 200)
                values[::10] = np.nan
                file.tree(name, {"x": values.dtype}).extend({"x": values})
    content = {
        "datasets": [str(tmp_path / "fold0.root"), str(tmp_path / "fold1.root")],
        "output_path": str(tmp_path / "out"),
        "classes": ["low", "high"],
        "variables": ["x"],
        "missing": {"value": -9},
        "tmva": {"methods": [{"name": "Ada", "options": "NTrees=5:BoostType=AdaBoost"}]},
    }
    path = tmp_path / "training.yaml"
    path.write_text(yaml.safe_dump(content))
    train_tmva(load_config(path, TrainingConfig), [0, 1], engine="xgboost", where="t.yaml")
    export_to_onnx(path, method="Ada")
    export_to_onnx(path, method="Ada", single=True)
    comparisons, _ = compare_engines(path, "all", method="Ada", num_events=300)
    for comparison in comparisons:
        assert list(comparison.absent) == ["TMVA Reader"]
        assert len(comparison.results) == 6
        assert comparison.largest < 1e-6


def test_no_events(boosted: Boosted) -> None:
    with uproot.recreate(boosted.folder / "fold1.root") as file:
        for name in CLASSES:
            file.mktree(name, {"x": "f4", "y": "f4"})
    with pytest.raises(NtuplemlError, match="there is no event to compare"):
        compare_engines(boosted.config, "0", method="bdt")


@pytest.mark.slow
def test_forms_of_a_keras_network(analysis: Any, run_script: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Train, export to ONNX, lwtnn and frugally-deep, and compare all with Keras, as a user does."""
    out = analysis.folder / "new"
    analysis.training |= {"output_path": str(out), "model": {"hidden": [8], "epochs": 2}}
    analysis.write_configs()
    config = analysis.folder / "training.yaml"
    for script, *arguments in (
        ("training/keras_training.py", config, 0),
        ("application/export_to_onnx.py", config, 0),
        ("application/export_keras_to_lwtnn.py", config, 0),
        ("application/export_to_frugally_deep.py", config, 0),
        ("testing/compare_engines.py", config, 0),
    ):
        result = run_script(script, *arguments)
        assert result.returncode == 0, result.stderr
    (content,) = yaml.safe_load((Path(out) / "fold0_keras_engines.yaml").read_text())
    assert content["reference"] == "Keras"
    assert list(content["forms"]) == ["Keras", "ONNX", "exported ONNX", "lwtnn JSON", "frugally-deep JSON"]
    assert max(form["largest"] for form in content["forms"].values()) < 1e-5
    assert list(content["absent"]) == ["ONNX of all folds", "liblwtnn"]
