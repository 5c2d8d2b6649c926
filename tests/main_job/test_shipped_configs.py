"""The shipped analyses of ROOT's own samples: all four stages, with networks that are trained for one epoch."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "file", "tree"),
    [("multiclass", "tmva_multiclass_example.root", "TreeB1"), ("higgs", "Higgs_data.root", "bkg_tree")],
)
def test_all_stages(
    new_analysis: Callable[..., Any],
    project: Path,
    root_data: Path,
    require_scores: Any,
    name: str,
    file: str,
    tree: str,
) -> None:
    """Neither sample has event numbers, so the entry decides the fold."""
    analysis = new_analysis(name, f"example/{name}")
    shutil.copytree(project / "configs", analysis.folder / "configs")
    (analysis.folder / "example" / "data").mkdir(parents=True)
    shutil.copy(root_data / file, analysis.folder / "example" / "data")
    configs = [f"configs/{name}/{stage}.yaml" for stage in ("dataset", "training", "application")]
    training = yaml.safe_load((analysis.folder / configs[1]).read_text())
    training["model"]["epochs"] = 1
    analysis.write_config(configs[1], training)
    classes, variables = training["classes"], training["variables"]

    analysis.run("dataset/create_training_dataset.py", configs[0])
    analysis.run("training/keras_training.py", configs[1], "all")
    analysis.run("testing/keras_confusion_matrix.py", configs[1], f"configs/{name}/testing.yaml", "0", warns=True)
    path = f"example/data/{file}"
    before = analysis.columns(path, tree)
    analysis.run("application/keras_application.py", *configs, path, tree)
    analysis.run("application/keras_application_friend.py", *configs, path, tree)

    matrix = np.stack([before[variable] for variable in variables], axis=1)
    entries = np.arange(len(matrix))
    expected = analysis.held_out_scores(matrix, entries, 2)
    after = analysis.columns(path, tree)
    require_scores(after, classes, expected)
    for branch, values in before.items():
        np.testing.assert_array_equal(after[branch], values)
    friend = analysis.columns(f"example/{name}/friends/data/data.root", tree)
    np.testing.assert_array_equal(friend["entry"], entries)
    require_scores(friend, classes, expected)

    def matrix_of(columns: dict[str, Any]) -> Any:
        return np.stack([columns[variable] for variable in variables], axis=1)

    training_file = training["datasets"][1]
    c, _ = analysis.confusion(0, training_file, classes, matrix_of)
    found = analysis.yaml_matrix("fold0_keras_confusion_standard", classes)
    np.testing.assert_allclose(found, c, rtol=1e-9, atol=1e-9)
    record = analysis.record(f"example/{name}/fold0_keras_training.json")
    assert (record["event_branch"], record["epochs"]) == (None, 1)
