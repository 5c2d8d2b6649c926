"""Models of boosted trees and of TMVA are found like networks, by their records; weights without one are foreign."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.artifacts import (
    KERAS,
    Method,
    TrainingRecord,
    default_method_name,
    methods_by_fold,
    model_files,
    models_by_fold,
    sha256_of_file,
    write_record,
)
from ntupleml.artifacts.methods import find_method
from ntupleml.config import ApplicationConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path

XGBOOST = Method("boosted_trees", "bdt", "xgboost")
BDT = Method("tmva", "BDT", "kBDT")
VARIABLES, CLASSES = ["x", "y"], ["A", "B", "C"]


def py_keras(fold: int) -> Method:
    return Method("tmva", f"PyKeras_fold{fold}", "kPyKeras")


def train(folder: Path, fold: int, method: Method, **changes: Any) -> None:
    """Write the files of a training of two folds; nothing here opens the model itself."""
    files = model_files(folder, fold, method)
    files.model.parent.mkdir(exist_ok=True, parents=True)
    written = [path for path in (files.model, files.onnx, files.preprocessing) if path is not None]
    for path in written:
        path.write_text(f"{path.name} of {fold}")
    content: dict[str, Any] = {
        "engine": "keras" if method.type == "kPyKeras" else "xgboost",
        "method": method.name,
        "fold": fold,
        "num_folds": 2,
        "trained_on": [fold],
        "held_out_fold": 1 - fold,
        "event_branch": "event",
        "classes": CLASSES,
        "variables": VARIABLES,
        "preprocessing": "none",
        "seed": 1,
        "config": {},
        "sha256": {path.name: sha256_of_file(path) for path in written},
    }
    write_record(files.record, TrainingRecord(**{**content, **changes}))


def find(folder: Path, **arguments: Any) -> list[Any]:
    keys = {key: arguments.pop(key) for key in ("variables", "classes") if key in arguments}
    training = training_config(**{"output_path": str(folder), "variables": VARIABLES, "classes": CLASSES, **keys})
    return models_by_fold(training, **{"where": "application.yaml", **arguments})


def xml(project: Path, case: str, path: Path) -> Path:
    """A weights file of a real TMVA."""
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(gzip.decompress((project / "tests" / "data" / "tmva" / case / "weights.xml.gz").read_bytes()))
    return path


@pytest.mark.parametrize("method", [XGBOOST, BDT, Method("boosted_trees", "trees", "hist_gradient_boosting")])
def test_the_files_that_the_training_wrote(tmp_path: Path, method: Method) -> None:
    for fold in (0, 1):
        train(tmp_path, fold, method)
        train(tmp_path, fold, KERAS)
    models = find(tmp_path, method=method)
    assert [model.files for model in models] == [model_files(tmp_path, fold, method) for fold in (0, 1)]
    assert [model.method for model in models] == [method, method]


@pytest.mark.parametrize("method", [XGBOOST, BDT])
@pytest.mark.parametrize("suffix", ["model", "onnx"])
def test_listed_files_of_any_kind(tmp_path: Path, method: Method, suffix: str) -> None:
    """The record beside a file says what it is, and whether it is in its place."""
    for fold in (0, 1):
        train(tmp_path, fold, method)
    names = [str(getattr(model_files("", fold, method), suffix)) for fold in (1, 0)]
    models = find(tmp_path, models=names, order="crossed")
    assert [(model.record.fold, model.method.kind, model.method.name) for model in models] == [
        (0, method.kind, method.name),
        (1, method.kind, method.name),
    ]
    assert [getattr(model.files, suffix) for model in models] == [tmp_path / name for name in names[::-1]]
    with pytest.raises(NtuplemlError, match=r"classifiers is in the wrong order: element 0 scores the events of fo"):
        find(tmp_path, models=names[::-1], order="crossed")


def test_another_form_of_a_model_is_known_by_its_checksum(tmp_path: Path) -> None:
    """A training of XGBoost may write TMVA's weights beside its own file."""
    for fold in (0, 1):
        path = tmp_path / f"fold{fold}_bdt_model.weights.xml"
        path.write_text(f"weights {fold}")
        train(tmp_path, fold, XGBOOST, sha256={path.name: sha256_of_file(path)})
    names = [f"fold{fold}_bdt_model.weights.xml" for fold in (1, 0)]
    models = find(tmp_path, models=names, order="crossed")
    assert [model.files.model.name for model in models] == names[::-1]
    assert [model.weights for model in models] == [None, None]


def test_htt_mls_config_for_tmva_finds_our_keras_models(tmp_path: Path, project: Path) -> None:
    """It lists the weights of PyKeras, in whose place our training writes a Keras model of that name."""
    application = load_config(
        project / "tests" / "data" / "htt_ml" / "example_application_config.yaml", ApplicationConfig
    )
    for fold in (0, 1):
        train(tmp_path, fold, py_keras(fold))
    models = find(tmp_path, models=application.classifiers, order="crossed")
    assert [model.files for model in models] == [
        model_files(tmp_path, fold, py_keras(fold)).inside(tmp_path / f"fold{fold}_training" / "weights")
        for fold in (0, 1)
    ]
    assert [model.method for model in models] == [py_keras(0), py_keras(1)]
    assert application.classifiers is not None
    with pytest.raises(NtuplemlError, match="wrong order"):
        find(tmp_path, models=application.classifiers[::-1], order="crossed")


def test_missing_files_say_which_command_makes_them(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"'python training/bdt_training\.py t\.yaml 0' makes it"):
        find(tmp_path, method=XGBOOST, training_path="t.yaml")
    with pytest.raises(NtuplemlError, match=r"'python training/TMVA_training\.py t\.yaml 0' makes it"):
        find(tmp_path, method=[py_keras(0), py_keras(1)], training_path="t.yaml")
    with pytest.raises(NtuplemlError, match=r"classifiers\[0\]: no file '.*b\.weights\.xml'; .*TMVA_training\.py t\.y"):
        find(tmp_path, models=["b.weights.xml", "a.weights.xml"], order="crossed", training_path="t.yaml")


def test_methods_are_not_mixed(tmp_path: Path) -> None:
    for method in (XGBOOST, BDT):
        for fold in (0, 1):
            train(tmp_path, fold, method)
    mixed = [str(model_files("", 1, BDT).model), str(model_files("", 0, XGBOOST).model)]
    with pytest.raises(NtuplemlError, match=r"not of one training: '.*json' is of method 'bdt', '.*xml' of 'BDT'"):
        find(tmp_path, models=mixed, order="crossed")


def test_scalers_of_a_method_without_any_are_refused(tmp_path: Path) -> None:
    for fold in (0, 1):
        train(tmp_path, fold, XGBOOST)
    with pytest.raises(NtuplemlError, match="preprocessing lists scalers, but the method 'bdt' has none"):
        find(tmp_path, method=XGBOOST, preprocessing=["a.pickle", "b.pickle"])


def test_a_changed_weights_file_is_refused(tmp_path: Path) -> None:
    for fold in (0, 1):
        train(tmp_path, fold, BDT)
    model_files(tmp_path, 1, BDT).model.write_text("tampered with")
    with pytest.raises(NtuplemlError, match=r"TMVAMulticlass_BDT\.weights\.xml: not the file that the training wrote"):
        find(tmp_path, method=BDT)


def test_foreign_weights_are_taken_by_their_place(
    tmp_path: Path, project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = xml(project, "mc_bdtg_50", tmp_path / "one.weights.xml")
    other = xml(project, "mc_bdtg_50_nobag", tmp_path / "other.weights.xml")
    models = find(tmp_path, models=[str(one), str(other)], order="crossed")
    assert [(model.files.model, model.record.held_out_fold) for model in models] == [(other, 1), (one, 0)]
    assert all(model.weights is not None and model.method.kind == "tmva" for model in models)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 2
    assert warnings[0] == (
        f"{one}: no record of a training goes with it, so it cannot be checked which events it was trained on; it "
        "scores the events of fold 0, by its place in the list"
    )


@pytest.mark.parametrize(
    ("case", "arguments", "message"),
    [
        ("mc_bdtg_50", {"variables": ["x", "z"]}, "it has no variable 'z'"),
        ("mc_bdtg_50", {"classes": ["A", "C", "B"]}, "its class 1 is 'B', that of the config 'C'"),
        ("reg_bdtg", {}, "is a regression, but the config has classes"),
        ("bin_ada_default", {}, "it has no class 'A'"),
    ],
)
def test_foreign_weights_have_to_fit_the_config(
    tmp_path: Path, project: Path, case: str, arguments: dict[str, Any], message: str
) -> None:
    paths = [str(xml(project, case, tmp_path / name)) for name in ("a.xml", "b.xml")]
    with pytest.raises(NtuplemlError, match=message):
        find(tmp_path, models=paths, order="crossed", **arguments)


def test_names_of_foreign_binary_weights_follow_the_config(tmp_path: Path, project: Path) -> None:
    """TMVA calls any two classes Signal and Background; a variable may be known by its label or its expression."""
    paths = [str(xml(project, "bin_bdtg_expr", tmp_path / name)) for name in ("a.xml", "b.xml")]
    variables = ["x + y", "diff", "TMath::Abs(x)"]
    models = find(tmp_path, models=paths, order="crossed", variables=variables, classes=["ggh", "ztt"])
    assert models[0].record.variables == variables
    assert models[0].record.classes == ["ggh", "ztt"]


def training_config(**keys: Any) -> TrainingConfig:
    content = {"datasets": ["0.root", "1.root"], "output_path": "out", "classes": ["a", "b"], "variables": ["x"]}
    return TrainingConfig.model_validate({**content, **keys})


def test_the_method_that_a_script_is_for() -> None:
    config = training_config(boosted_trees=[{"name": "deep"}, {"name": "flat"}])
    names = {kind: default_method_name(config, kind, "t.yaml") for kind in ("keras", "boosted_trees", "tmva")}
    assert names == {"keras": "keras", "boosted_trees": "deep", "tmva": "BDT"}
    only_network = training_config(tmva={"methods": [{"name": "Net_{fold}", "type": "kPyKeras"}]})
    assert default_method_name(only_network, "tmva", "t.yaml") == "Net_{fold}"
    assert [method.name for method in methods_by_fold(only_network, "Net_{fold}", "t.yaml")] == ["Net_0", "Net_1"]
    with pytest.raises(NtuplemlError, match=r"t\.yaml: has no boosted_trees; add them"):
        default_method_name(only_network, "boosted_trees", "t.yaml")


def test_methods_that_nobody_configured_are_not_named() -> None:
    content = {"datasets": ["a.root", "b.root"], "output_path": ".", "classes": ["s", "b"], "variables": ["x"]}
    training = load_config({**content, "boosted_trees": [{"name": "trees"}]}, TrainingConfig)
    with pytest.raises(NtuplemlError, match=r"no method 'other'; there are: 'trees'$"):
        find_method(training, "other", 0, "--method")
    with pytest.raises(NtuplemlError, match=r"no method 'kears'; nearest: 'keras'$"):
        find_method(training, "kears", 0, "--method")
    assert find_method(training, "keras", 0, "--method") == KERAS
    with_network = load_config({**content, "model": {"hidden": [8]}}, TrainingConfig)
    with pytest.raises(NtuplemlError, match=r"there are: 'keras'$"):
        find_method(with_network, "other", 0, "--method")
