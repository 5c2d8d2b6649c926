"""Options are checked by the libraries themselves, and mistakes are one line."""

from __future__ import annotations

from typing import Any

import pytest

from ntupleml.config.methods import BoostedTreesConfig
from ntupleml.errors import NtuplemlError
from ntupleml.training.boosted_tree_options import check_options
from ntupleml.training.lightgbm_fit import check_lightgbm


def check(kind: str, options: dict[str, Any], num_classes: int = 2) -> None:
    method = BoostedTreesConfig.model_validate({"name": "bdt", "type": kind, "options": options})
    check = check_lightgbm if kind == "lightgbm" else check_options
    check(method, 3, num_classes, "t.yaml: boosted_trees[0]")


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("xgboost", {}),
        ("xgboost", {"eta": 0.1, "gamma": 1, "lambda": 0.5, "alpha": 0.1, "max_leaves": 8, "grow_policy": "lossguide"}),
        ("xgboost", {"learning_rate": 0.1, "min_split_loss": 1, "reg_lambda": 0, "reg_alpha": 1, "max_bin": 64}),
        ("xgboost", {"subsample": 0.5, "colsample_bytree": 0.5, "colsample_bylevel": 0.5, "colsample_bynode": 0.5}),
        ("xgboost", {"monotone_constraints": "(1,0,-1)", "num_parallel_tree": 2, "tree_method": "exact"}),
        ("xgboost", {"min_child_weight": 3, "max_delta_step": 1, "interaction_constraints": "[[0, 1], [2]]"}),
        ("lightgbm", {}),
        ("lightgbm", {"eta": 0.1, "reg_lambda": 1, "num_leaf": 8, "colsample_bytree": 0.5, "max_depth": None}),
        ("lightgbm", {"monotone_constraints": "1,0,-1", "interaction_constraints": "[0,1],[2]", "extra_trees": True}),
        ("lightgbm", {"subsample": 0.5, "subsample_freq": 1, "min_child_samples": 5, "force_col_wise": True}),
        ("hist_gradient_boosting", {}),
        ("hist_gradient_boosting", {"max_leaf_nodes": None, "max_depth": 3, "max_bins": 63, "max_features": 0.5}),
        ("hist_gradient_boosting", {"min_samples_leaf": 5, "l2_regularization": 1.0, "interaction_cst": "pairwise"}),
    ],
)
def test_real_options_pass(kind: str, options: dict[str, Any], num_classes: int) -> None:
    check(kind, options, num_classes)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("xgboost", {"max_dept": 3}, "XGBoost has no parameter 'max_dept'; nearest: 'max_depth'"),
        ("xgboost", {"max_leaf_nodes": 3}, "XGBoost has no parameter 'max_leaf_nodes'; nearest: 'max_leaves'"),
        ("xgboost", {"max_depth": "deep"}, "Invalid Parameter format for max_depth expect int but value='deep'"),
        ("xgboost", {"max_depth": 3, "eta": "fast"}, "'eta' cannot be 'fast': "),
        ("xgboost", {"subsample": 3}, "value 3 for Parameter subsample exceed bound"),
        ("xgboost", {"tree_method": "fast"}, "Invalid Input: 'fast', valid values are:"),
        ("xgboost", {"max_bin": 1}, "max_bin >= 2"),
        ("xgboost", {"monotone_constraints": "(1,1,1,1)"}, "constraint should be less or equal to the number"),
        ("xgboost", {"objective": "multi:softmax"}, "'objective' cannot be set here: it follows from the number of"),
        ("xgboost", {"n_estimators": 10}, "'n_estimators' cannot be set here: give rounds beside options"),
        ("xgboost", {"booster": "dart"}, "'booster' cannot be set here: only trees"),
        ("xgboost", {"eta": 0.1, "learning_rate": 0.2}, "'eta' and 'learning_rate' are the same parameter"),
        ("lightgbm", {"max_dept": 3}, "LightGBM has no parameter 'max_dept' here; nearest: 'max_depth'"),
        ("lightgbm", {"max_depth": "deep"}, "'max_depth' cannot be 'deep': Parameter max_depth should be of type int"),
        ("lightgbm", {"learning_rate": 0.1, "subsample": 3}, "'subsample' cannot be 3: (bagging_fraction) <= (1.0)"),
        ("lightgbm", {"monotone_constraints": "1,1"}, "'monotone_constraints' cannot be '1,1': "),
        ("lightgbm", {"eta": 0.1, "shrinkage_rate": 0.2}, "'eta' and 'shrinkage_rate' are the same parameter"),
        ("lightgbm", {"num_boost_round": 10}, "'num_boost_round' cannot be set here: give rounds beside options"),
        ("lightgbm", {"linear_trees": True}, "'linear_trees' cannot be set here: the trees are of constants"),
        ("lightgbm", {"cat_feature": 0}, "'cat_feature' cannot be set here: all inputs are numbers"),
        ("lightgbm", {"zero_as_missing": True}, "cannot be set here: give missing in the training config"),
        ("hist_gradient_boosting", {"max_leaves": 3}, "HistGradientBoostingClassifier has no parameter 'max_leaves'"),
        ("hist_gradient_boosting", {"learning_rate": "fast"}, "The 'learning_rate' parameter must be a float in"),
        ("hist_gradient_boosting", {"max_bins": 300}, "The 'max_bins' parameter must be an int in the range"),
        ("hist_gradient_boosting", {"max_iter": 10}, "'max_iter' cannot be set here: give rounds beside options"),
        ("hist_gradient_boosting", {"early_stopping": True}, "cannot be set here: give early_stopping beside options"),
        ("hist_gradient_boosting", {"class_weight": "balanced"}, "give class_weights in the training config"),
    ],
)
def test_mistakes(kind: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError) as caught:
        check(kind, options)
    assert str(caught.value).startswith("t.yaml: boosted_trees[0].options: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value)  # no place in a library's source
