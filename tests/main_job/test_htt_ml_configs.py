"""htt-ml's own five example YAML files, unchanged, with the commands that its users know."""

from __future__ import annotations

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


def test_the_application_config_of_tmva_is_told_apart(analysis: Any) -> None:
    configs = ["example_dataset_config.yaml", "example_training_config.yaml", "example_application_config.yaml"]
    line = analysis.refused("application/keras_application.py", *configs, "example_data.root", "ntuple")
    assert "is a method of TMVA" in line
