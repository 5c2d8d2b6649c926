"""Which models a config means: defaults, lists in both orders, htt-ml's own examples, and what is refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.artifacts import TrainingRecord, model_files, models_by_fold, sha256_of_file, write_record
from ntupleml.config import ApplicationConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = ["pt_1", "pt_2", "m_vis"]
CLASSES = ["signal", "background"]


def train(folder: Path, fold: int, num_folds: int = 2, **changes: Any) -> None:
    """Write the files of a training; nothing here opens the model itself."""
    files = model_files(folder, fold)
    folder.mkdir(exist_ok=True)
    files.model.write_text(f"network {fold}")
    files.preprocessing.write_text(f"scaler {fold}")
    files.onnx.write_text(f"graph {fold}")
    held_out = (fold + 1) % num_folds
    content: dict[str, Any] = {
        "fold": fold,
        "num_folds": num_folds,
        "trained_on": [other for other in range(num_folds) if other != held_out],
        "held_out_fold": held_out,
        "event_branch": "event",
        "classes": CLASSES,
        "variables": VARIABLES,
        "preprocessing": "standard_scaler",
        "seed": 1,
        "config": {},
        "sha256": {path.name: sha256_of_file(path) for path in (files.model, files.preprocessing, files.onnx)},
    }
    write_record(files.record, TrainingRecord(**{**content, **changes}), overwrite=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Output of a training with two folds."""
    for fold in (0, 1):
        train(tmp_path / "out", fold)
    return tmp_path / "out"


def resolve(folder: Path, **arguments: Any) -> list[int]:
    """Folds of the models found; `where` is a config file."""
    datasets = [f"fold{fold}.root" for fold in range(arguments.pop("num_folds", 2))]
    content = {"datasets": datasets, "output_path": str(folder), "variables": VARIABLES, "classes": CLASSES}
    content |= {key: arguments.pop(key) for key in ("variables", "classes") if key in arguments}
    training = TrainingConfig.model_validate(content)
    models = models_by_fold(training, **{"where": "config.yaml", **arguments})
    for model in models:
        assert model.files.model.read_text() == f"network {model.record.fold}"
        assert model.files.preprocessing.read_text() == f"scaler {model.record.fold}"
    return [model.record.fold for model in models]


def test_by_default_the_models_of_the_training_are_taken(folder: Path) -> None:
    assert resolve(folder) == [0, 1]


def test_three_folds(tmp_path: Path) -> None:
    for fold in range(3):
        train(tmp_path / "out", fold, num_folds=3)
    assert resolve(tmp_path / "out", num_folds=3) == [0, 1, 2]
    # Fold j is scored by the model held out from it, model j - 1.
    crossed = [f"fold{fold}_keras_model.keras" for fold in (2, 0, 1)]
    assert resolve(tmp_path / "out", num_folds=3, models=crossed, order="crossed") == [0, 1, 2]


def test_a_missing_model_says_which_command_makes_it(folder: Path) -> None:
    model_files(folder, 1).record.unlink()
    with pytest.raises(
        NtuplemlError, match=r"no trained model of fold 1 in .*'python training/keras_training\.py t\.yaml 1' makes it"
    ):
        resolve(folder, training_path="t.yaml")


def test_the_straight_order_of_a_testing_config(folder: Path) -> None:
    models = ["fold0_keras_model.keras", "fold1_keras_model.keras"]
    preprocessing = ["fold0_keras_preprocessing.pickle", "fold1_keras_preprocessing.pickle"]
    assert resolve(folder, models=models, preprocessing=preprocessing) == [0, 1]
    with pytest.raises(
        NtuplemlError,
        match=r"config\.yaml: model is in the wrong order: element 0 is to be the model of fold 0, but the record says "
        r"that it is 1; the right order is \[fold0_keras_model\.keras, fold1_keras_model\.keras\]",
    ):
        resolve(folder, models=models[::-1], preprocessing=preprocessing[::-1])
    with pytest.raises(NtuplemlError, match="preprocessing is in the wrong order: element 0"):
        resolve(folder, models=models, preprocessing=preprocessing[::-1])


def test_the_crossed_order_of_an_application_config(folder: Path) -> None:
    models = ["fold1_keras_model.keras", "fold0_keras_model.keras"]
    preprocessing = ["fold1_keras_preprocessing.pickle", "fold0_keras_preprocessing.pickle"]
    assert resolve(folder, models=models, preprocessing=preprocessing, order="crossed") == [0, 1]
    with pytest.raises(
        NtuplemlError,
        match=r"classifiers is in the wrong order: element 0 scores the events of fold 0, which model 0 was trained "
        r"on; the right order is \[fold1_keras_model\.keras, fold0_keras_model\.keras\]",
    ):
        resolve(folder, models=models[::-1], order="crossed")
    with pytest.raises(NtuplemlError, match="preprocessing is in the wrong order"):
        resolve(folder, models=models, preprocessing=preprocessing[::-1], order="crossed")


def test_the_record_decides_not_the_name(folder: Path) -> None:
    """Two files that were renamed into each other are noticed."""
    zero, one = model_files(folder, 0).model, model_files(folder, 1).model
    zero.rename(folder / "other.keras")
    one.rename(zero)
    (folder / "other.keras").rename(one)
    with pytest.raises(NtuplemlError, match="model is in the wrong order"):
        resolve(folder, models=[zero.name, one.name])
    with pytest.raises(NtuplemlError, match="not the file that the training wrote: its checksum differs"):
        resolve(folder)


def test_a_renamed_model_is_known_by_its_checksum(folder: Path) -> None:
    model_files(folder, 0).model.rename(folder / "best.keras")
    assert resolve(folder, models=["best.keras", "fold1_keras_model.keras"]) == [0, 1]


def test_application_paths_are_relative_to_the_current_folder_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    models = ["out/fold1_keras_model.keras", "out/fold0_keras_model.keras"]
    assert resolve(folder, models=models, order="crossed") == [0, 1]


def test_htt_mls_own_configs_find_our_files(folder: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = project / "tests" / "data" / "htt_ml"
    testing = load_config(examples / "example_keras_testing_config.yaml", TestingConfig)
    assert resolve(folder, models=testing.model, preprocessing=testing.preprocessing) == [0, 1]
    application = load_config(examples / "example_keras_application_config.yaml", ApplicationConfig)
    arguments = {"models": application.classifiers, "preprocessing": application.preprocessing, "order": "crossed"}
    assert resolve(folder, **arguments) == [0, 1]
    monkeypatch.chdir(folder)
    assert resolve(folder, **arguments) == [0, 1]


def test_a_model_in_hdf5_that_is_there_is_refused(folder: Path) -> None:
    (folder / "fold0_keras_model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(NtuplemlError, match="Keras models in HDF5 are not read"):
        resolve(folder, models=["fold0_keras_model.h5", "fold1_keras_model.h5"])


def test_a_missing_listed_model_names_the_nearest(folder: Path) -> None:
    with pytest.raises(
        NtuplemlError, match=r"model\[1\]: no file '.*fold1_keras_modle\.keras'; nearest: 'fold1_keras_model\.keras'"
    ):
        resolve(folder, models=["fold0_keras_model.keras", "fold1_keras_modle.keras"])


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["fold0_keras_model.keras"], "model lists 1 files, but the training has 2 folds"),
        (["fold0_keras_model.keras", "fold0_keras_model.onnx"], "model 0 is listed twice, model 1 not at all"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(folder: Path, models: list[str], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        resolve(folder, models=models)


def test_a_model_without_a_record_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.keras").write_text("network")
    with pytest.raises(NtuplemlError, match=r"no record of a training .* goes with it, so nobody knows"):
        resolve(folder, models=[str(tmp_path / "alone.keras"), "fold1_keras_model.keras"])


def test_a_foreign_scaler_is_refused(folder: Path) -> None:
    (folder / "other.pickle").write_text("another scaler")
    with pytest.raises(NtuplemlError, match="is not the scaler of any of the listed models"):
        resolve(folder, preprocessing=["other.pickle", "fold1_keras_preprocessing.pickle"])


def test_a_changed_file_is_refused(folder: Path) -> None:
    model_files(folder, 1).preprocessing.write_text("tampered with")
    with pytest.raises(NtuplemlError, match="checksum differs"):
        resolve(folder)


@pytest.fixture
def older(folder: Path) -> Path:
    """The same from before scalers were JSON: pickles, whose checksums the records have."""
    for fold in (0, 1):
        files = model_files(folder, fold)
        files.preprocessing.rename(files.pickle)
        kept = {path.name: sha256_of_file(path) for path in (files.model, files.pickle, files.onnx)}
        train(folder, fold, sha256=kept)
        files.preprocessing.unlink()
    return folder


@pytest.mark.parametrize("listed", [None, ["fold0_keras_preprocessing.pickle", "fold1_keras_preprocessing.pickle"]])
def test_an_older_training_has_pickles(older: Path, listed: list[str] | None) -> None:
    training = TrainingConfig.model_validate(
        {"datasets": ["a", "b"], "output_path": str(older), "variables": VARIABLES, "classes": CLASSES}
    )
    for model in models_by_fold(training, where="config.yaml", preprocessing=listed):
        assert model.files.preprocessing == model_files(older, model.record.fold).pickle
    model_files(older, 1).pickle.write_text("tampered with")
    with pytest.raises(NtuplemlError, match="checksum differs" if listed is None else "is not the scaler of any"):
        models_by_fold(training, where="config.yaml", preprocessing=listed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variables": ["pt_1", "pt_l", "m_vis"]}, "it has no variable 'pt_l'; nearest: 'pt_1', 'pt_2'"),
        ({"variables": ["pt_1", "pt_2"]}, "it has the variable 'm_vis', the config not"),
        ({"variables": ["pt_2", "pt_1", "m_vis"]}, "its variable 0 is 'pt_1', that of the config 'pt_2': the order"),
        ({"classes": ["signal", "backgrund"]}, "it has no class 'backgrund'; nearest: 'background'"),
        ({"classes": ["background", "signal"]}, "its class 0 is 'signal'"),
        ({"num_folds": 3}, "the training config has 3 folds, but the model of .* was trained for 2"),
    ],
)
def test_another_config_is_refused_with_the_first_difference(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    if "num_folds" in changes:
        shutil.copy(model_files(folder, 1).record, model_files(folder, 2).record)
    with pytest.raises(NtuplemlError, match=message):
        resolve(folder, **changes)


def test_models_of_different_trainings_are_refused(folder: Path) -> None:
    train(folder, 1, event_branch=None)
    with pytest.raises(NtuplemlError, match="not of one training: event_branch is None"):
        resolve(folder)


def test_a_model_that_is_held_out_from_another_fold_is_refused(tmp_path: Path) -> None:
    for fold in range(3):
        train(tmp_path / "out", fold, num_folds=3)
    train(tmp_path / "out", 1, num_folds=3, held_out_fold=0, trained_on=[1, 2])
    with pytest.raises(NtuplemlError, match="model 1 is held out from fold 0, not from fold 2"):
        resolve(tmp_path / "out", num_folds=3)


def test_some_models_while_the_others_are_not_trained_yet(tmp_path: Path) -> None:
    """htt-ml trains and tests one fold after the other."""
    train(tmp_path / "out", 0)
    models = ["fold0_keras_model.keras", "fold1_keras_model.keras"]
    assert resolve(tmp_path / "out", only=[0]) == [0]
    assert resolve(tmp_path / "out", only=[0], models=models) == [0]
    with pytest.raises(NtuplemlError, match="no trained model of fold 1"):
        resolve(tmp_path / "out")
    with pytest.raises(NtuplemlError, match=r"model is in the wrong order: where it should have .* fold 1, it has"):
        resolve(tmp_path / "out", only=[1], models=models[::-1])
