"""htt-ml's own five example YAML files, unchanged, with the commands that its users know."""

from __future__ import annotations

import pickle
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

CLASSES = ["signal", "background_1", "background_2"]


def matrix_of(columns: dict[str, Any]) -> NDArray[Any]:
    return np.stack([columns["x"], columns["y"]], axis=1)


@pytest.fixture(scope="module")
def analysis(new_analysis: Callable[..., Any], project: Path) -> Any:
    """Stage after stage, a process for each fold, in a folder that holds nothing but the configs."""
    analysis = new_analysis("htt_ml", ".")
    for config in (project / "tests" / "data" / "htt_ml").glob("*.yaml"):
        shutil.copy(config, analysis.folder)
    training, testing = "example_training_config.yaml", "example_keras_testing_config.yaml"
    analysis.run("dataset/write_example_dataset.py", analysis.folder)
    analysis.run("dataset/create_training_dataset.py", "example_dataset_config.yaml")
    for fold in ("0", "1"):
        analysis.run("training/keras_training.py", training, fold)
    for fold in ("0", "1"):
        # Ten epochs of ten nodes hardly find background_2; if not at all, what is undefined is said.
        analysis.run("testing/keras_confusion_matrix.py", training, testing, fold, warns=True)
    configs = ["example_dataset_config.yaml", training, "example_keras_application_config.yaml"]
    analysis.run("application/keras_application.py", *configs, "example_data.root", "ntuple")
    return analysis


def test_fold_files_have_a_tree_of_data_too(analysis: Any) -> None:
    before = analysis.columns("example_data.root", "ntuple")
    for fold in (0, 1):
        found = analysis.columns(f"fold{fold}_example_dataset.root", "data")
        kept = (before["event"] % 2 == fold) & (before["x"] > 0)
        np.testing.assert_array_equal(found["event"], before["event"][kept])
        np.testing.assert_array_equal(found["training_weight"], np.ones(kept.sum(), "f4"))


def test_scores(analysis: Any, require_scores: Any) -> None:
    columns = analysis.columns("example_data.root", "ntuple")
    require_scores(columns, CLASSES, analysis.held_out_scores(matrix_of(columns), columns["event"], 2))


@pytest.mark.parametrize("fold", [0, 1])
def test_confusion_matrices(analysis: Any, fold: int) -> None:
    """Weights are those of `weight_branch`, a branch of the ntuples."""
    expected = np.zeros((3, 3))
    for i, name in enumerate(CLASSES):
        columns = analysis.columns(f"fold{1 - fold}_example_dataset.root", name)
        predicted = analysis.scores(fold, matrix_of(columns)).argmax(axis=1)
        for j in range(3):
            expected[i, j] = columns["weights"][predicted == j].astype("f8").sum()
    found = analysis.yaml_matrix(f"fold{fold}_keras_confusion_standard", CLASSES)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    found = analysis.yaml_matrix(f"fold{fold}_keras_confusion_standard_cw", CLASSES)
    np.testing.assert_allclose(found, expected * [[10.0], [1.0], [1.0]], rtol=1e-9)


def test_tmva_training_and_application(analysis: Any) -> None:
    """Both methods of TMVA are trained; the config lists PyKeras, whose scores are those of the Keras files."""
    analysis.run("training/TMVA_training.py", "example_training_config.yaml", "all", warns=True)
    configs = ["example_dataset_config.yaml", "example_training_config.yaml", "example_application_config.yaml"]
    data = shutil.copy(analysis.folder / "example_signal.root", analysis.folder / "for_tmva.root")
    analysis.run("application/TMVA_application.py", *configs, data, "ntuple")
    columns = analysis.columns(data, "ntuple")
    expected = np.empty((len(columns["event"]), 3))
    for model in (0, 1):
        scored = columns["event"] % 2 == 1 - model
        expected[scored] = pykeras_scores(analysis, model, matrix_of(columns)[scored])
    found = np.stack([columns[f"ml_score_{name}"] for name in CLASSES], axis=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    for fold in (0, 1):
        text = (analysis.folder / f"fold{fold}_training/TMVAMulticlass_comparison.txt").read_text()
        assert "BDT" in text
        assert f"PyKeras_fold{fold}" in text


def pykeras_scores(analysis: Any, model: int, matrix: NDArray[Any]) -> NDArray[Any]:
    import keras

    stem = analysis.folder / f"fold{model}_training/weights/TMVAMulticlass_PyKeras_fold{model}"
    scaler = pickle.loads(stem.with_name(f"{stem.name}_preprocessing.pickle").read_bytes())
    network = keras.saving.load_model(stem.with_name(f"{stem.name}.keras"))
    return np.asarray(network(scaler.transform(matrix.astype("f8")).astype("f4"), training=False))
