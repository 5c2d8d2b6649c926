"""The script for boosted trees, against XGBoost's own predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.application import make_plan
from ntupleml.artifacts import Method, TrainingRecord, model_files, sha256_of_file, write_record
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TREE = "mt_nominal/ntuple"
SCRIPT = "application/bdt_application.py"
BDT = Method("boosted_trees", "bdt", "xgboost")


@pytest.fixture
def with_trees(analysis: Any) -> Any:
    """The small analysis with boosted trees beside its networks; `boosters` are XGBoost's."""
    import xgboost

    random = np.random.default_rng(3)
    analysis.change("training", {"boosted_trees": [{"name": "bdt"}]})
    analysis.boosters = []
    for fold in (0, 1):
        rows = random.normal(size=(1000, 2)).astype("f4")
        target = (rows[:, 0] > 0).astype(int) + (rows[:, 1] > 0.5)
        booster = xgboost.train(
            {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1},
            xgboost.DMatrix(rows, target),
            10,
        )
        files = model_files(analysis.folder / "models", fold, BDT)
        booster.save_model(files.model)
        record = TrainingRecord(
            engine="xgboost",
            method="bdt",
            fold=fold,
            num_folds=2,
            trained_on=[fold],
            held_out_fold=1 - fold,
            event_branch="event",
            classes=analysis.classes,
            variables=analysis.variables,
            preprocessing="none",
            seed=1,
            config={},
            sha256={files.model.name: sha256_of_file(files.model)},
        )
        write_record(files.record, record)
        analysis.boosters.append(booster)
    return analysis


def expected(analysis: Any, path: Path) -> dict[str, NDArray[Any]]:
    import xgboost

    with uproot.open(path) as file:
        columns = file[TREE].arrays(library="np")
    data = xgboost.DMatrix(np.stack([columns["x"], columns["y"]], axis=1).astype("f4"))
    by_model = [booster.predict(data) for booster in analysis.boosters]
    even = (columns["event"] % 2 == 0)[:, None]
    scores = np.where(even, by_model[1], by_model[0])
    return {f"ml_score_{name}": scores[:, index] for index, name in enumerate(analysis.classes)}


@pytest.mark.parametrize("engine", [[], ["--engine", "onnx"], ["--engine", "forest"]])
def test_in_place(
    with_trees: Any, run_script: Callable[..., Any], require_scores: Callable[..., None], engine: list[str]
) -> None:
    path = with_trees.ntuple()
    finished = run_script(SCRIPT, *with_trees.configs, path, TREE, *engine)
    assert finished.returncode == 0, finished.stderr
    require_scores(path, expected(with_trees, path))


def test_friend(with_trees: Any, run_script: Callable[..., Any], require_scores: Callable[..., None]) -> None:
    path = with_trees.ntuple()
    before = path.read_bytes()
    finished = run_script(SCRIPT, "--friend", *with_trees.configs, path, TREE)
    assert finished.returncode == 0, finished.stderr
    assert path.read_bytes() == before
    require_scores(with_trees.folder / "friends" / "ggh_2018" / "ggh_2018.root", expected(with_trees, path))
    again = run_script(SCRIPT, "--friend", *with_trees.configs, path, TREE)
    assert again.returncode == 2
    assert "has a tree 'mt_nominal/ntuple' already; give --overwrite" in again.stderr


def test_the_method_of_the_config_wins(
    with_trees: Any, run_script: Callable[..., Any], require_scores: Callable[..., None]
) -> None:
    """So that one config works with every script."""
    path = with_trees.ntuple()
    with_trees.change("application", {"method": "keras"})
    finished = run_script(SCRIPT, *with_trees.configs, path, TREE)
    assert finished.returncode == 0, finished.stderr
    require_scores(path, with_trees.expected(path))
    with_trees.change("application", {"method": "bdtt"})
    finished = run_script(SCRIPT, *with_trees.configs, path, TREE)
    assert finished.returncode == 2
    assert "application.yaml: method: the training config has no method 'bdtt'; nearest: 'bdt'" in finished.stderr


def test_a_training_without_boosted_trees(analysis: Any, run_script: Callable[..., Any]) -> None:
    finished = run_script(SCRIPT, *analysis.configs, analysis.ntuple(), TREE)
    assert finished.returncode == 2
    assert "training.yaml: has no boosted_trees; add them" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_listed_files_are_of_the_method_that_is_named(with_trees: Any) -> None:
    names = [f"fold{fold}_bdt_model.json" for fold in (1, 0)]
    with_trees.change("application", {"classifiers": names, "method": "bdt"})
    assert make_plan(*with_trees.configs).branch_names[0] == "ml_score_signal"
    with_trees.change("application", {"method": "keras"})
    with pytest.raises(
        NtuplemlError, match=r"classifiers lists '.*bdt_model\.json', which is of the method 'bdt', but"
    ):
        make_plan(*with_trees.configs)
