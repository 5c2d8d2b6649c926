"""LightGBM's models as forests: its own answers, and files that are damaged, hostile or of another kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.forests.kernel import evaluate
from ntupleml.forests.lightgbm import forest_of_lightgbm, names_in_lightgbm, read_lightgbm
from ntupleml.onnx_models.convert import convert
from ntupleml.onnx_models.sessions import graph_scores

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def events(number: int = 4000) -> NDArray[np.float32]:
    """Real numbers with NaN, infinities, zeros of both signs and tiny numbers among them."""
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(number, 4)).astype(np.float32)
    for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36, -1e-36):
        rows[generator.random(rows.shape) < 0.03] = value
    rows[:, 3] = np.where(np.isnan(rows[:, 3]), 0, rows[:, 3])  # a variable that is never missing in the training
    return rows


def fitted(num_classes: int = 2, rounds: int = 20, **parameters: Any) -> Any:
    rows = events()
    signal = np.nan_to_num(rows, posinf=2, neginf=-2)
    truth = np.digitize(signal[:, 0] + signal[:, 1] ** 2 - signal[:, 3], np.linspace(0, 2, num_classes - 1))
    objective = {"objective": "binary"} if num_classes == 2 else {"objective": "multiclass", "num_class": num_classes}
    chosen = {**objective, "verbosity": -1, "num_threads": 1, "seed": 1, **parameters}
    return lightgbm.train(chosen, lightgbm.Dataset(rows, truth.astype(float)), rounds)


KINDS: tuple[dict[str, Any], ...] = (
    {},
    {"num_classes": 3},
    {"sigmoid": 0.7},
    {"use_missing": False},
    {"objective": "regression"},
    {"objective": "huber"},
    {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "objective": "regression"},
    {"boosting": "dart"},
    {"boost_from_average": False, "max_depth": 2},
    {"min_data_in_leaf": 3000},  # bare leaves
    {"extra_trees": True, "lambda_l1": 0.5, "path_smooth": 1.0},
)


@pytest.mark.parametrize("parameters", KINDS, ids=str)
def test_answers_are_those_of_lightgbm(parameters: dict[str, Any], tmp_path: Path) -> None:
    booster = fitted(**parameters)
    rows = events()
    rows[: len(rows) // 2, 3] = np.nan  # which the training did not see there
    expected = np.asarray(booster.predict(rows)).reshape(len(rows), -1)
    path = tmp_path / "model.txt"
    booster.save_model(path)
    found = evaluate(forest_of_lightgbm(read_lightgbm(path)), rows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    scores = graph_scores(convert(path), rows)
    np.testing.assert_allclose(scores[:, -expected.shape[1] :], expected, rtol=0, atol=1e-6)


def test_names_are_those_of_the_training() -> None:
    assert names_in_lightgbm(fitted().model_to_string(), "m.txt") is None
    rows = events()
    named = lightgbm.Dataset(rows, rows[:, 3] > 0, feature_name=["pt", "eta", "phi", "m"])
    text = lightgbm.train({"objective": "binary", "verbosity": -1}, named, 1).model_to_string()
    assert names_in_lightgbm(text, "m.txt") == ["pt", "eta", "phi", "m"]


def damaged(pattern: str, replacement: str) -> str:
    text, number = re.subn(pattern, replacement, fitted(rounds=2).model_to_string(), count=1, flags=re.MULTILINE)
    assert number
    return text


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"end of trees[\s\S]*", "", "no trees, or cut off"),
        (r"^Tree=1[\s\S]{200}[\s\S]*", "", "no trees, or cut off"),
        (r"^objective=.*", "objective=lambdarank", "objective 'lambdarank'; understood are binary, multiclass"),
        (r"^objective=.*", "objective=binary sigmoid:x", "the objective's sigmoid is 'x'"),
        (r"^objective=.*\n", "", "no 'objective'"),
        (r"^num_tree_per_iteration=1", "num_tree_per_iteration=3", "2 trees are no multiple of num_tree_per_iteration"),
        (
            r"^num_tree_per_iteration=1",
            "num_tree_per_iteration=0",
            "2 trees are no multiple of num_tree_per_iteration, 0",
        ),
        (r"^max_feature_idx=3", "max_feature_idx=1", "not a model of LightGBM: no valid forest: 'features' goes from"),
        (
            r"^max_feature_idx=3",
            "max_feature_idx=999999999",
            "not a model of LightGBM: no valid forest: 1000000000 inputs",
        ),
        (r"^num_leaves=\d+", "num_leaves=999999999", "Tree=0: leaf_value has 31 values; 999999999 are needed"),
        (r"^num_leaves=\d+", "num_leaves=-2", "num_leaves is '-2'; a number from 0 on is needed"),
        (r"^num_cat=0", "num_cat=1", "Tree=0: categorical features"),
        (r"^is_linear=0", "is_linear=1", "Tree=0: a linear tree"),
        (r"^decision_type=\d+", "decision_type=1", "Tree=0: a categorical split"),
        (r"^decision_type=\d+", "decision_type=6", "Tree=0: zeros count as missing"),
        (r"^threshold=\S+", "threshold=nan", "Tree=0: threshold: a number that is NaN"),
        (r"^threshold=\S+", "threshold=abc", "Tree=0: threshold: 30 numbers are needed"),
        (r"^leaf_value=\S+", "leaf_value=inf", "'values' has values that are NaN or infinite"),
        (r"^left_child=-?\d+", "left_child=0", "is reached in more than one way"),
        (r"^left_child=-?\d+", "left_child=31", "a child that is none of its 30 nodes and 31 leaves"),
        (r"^left_child=-?\d+", "left_child=-40", "a child that is none of its 30 nodes and 31 leaves"),
        (r"^split_feature=\d+", "split_feature=-1", "a split on a feature that does not exist"),
        (r"^split_feature=\d+", "split_feature=99999999999999999999999", "split_feature: 30 numbers are needed"),
    ],
)
def test_damaged_files_are_refused_in_one_line(pattern: str, replacement: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as error:
        forest_of_lightgbm(damaged(pattern, replacement), "model.txt")
    assert str(error.value).startswith("model.txt: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("objective", ["poisson", "multiclassova", "cross_entropy"])
def test_other_objectives_are_refused(objective: str) -> None:
    rows = events()
    chosen = {"objective": objective, "num_class": 2 if "multi" in objective else 1, "verbosity": -1}
    booster = lightgbm.train(chosen, lightgbm.Dataset(rows, rows[:, 3] > 0), 2)
    with pytest.raises(NtuplemlError, match=f"objective '{objective}'; understood are"):
        forest_of_lightgbm(booster.model_to_string())


def test_another_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("what I did today")
    with pytest.raises(NtuplemlError, match=r"notes\.txt: not a model of LightGBM, whose first line is 'tree'"):
        convert(tmp_path / "notes.txt")
