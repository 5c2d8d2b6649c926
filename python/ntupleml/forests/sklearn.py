"""Forests from scikit-learn's histogram boosting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.forests.forest import LEAF, Forest, Link, forest_fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def float32_cuts(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Cuts that decide as scikit-learn does: x ≥ cut where x > threshold, for every finite x of type float32.

    scikit-learn compares in double and goes to the left where x ≤ threshold. The cut is the smallest float32 number
    above the threshold, infinity if there is none.

    Examples
    --------
    >>> [float(cut) for cut in float32_cuts(np.array([1.0, 0.1, 1e300]))]
    [1.0000001192092896, 0.10000000149011612, inf]
    """
    with np.errstate(over="ignore", under="ignore"):
        nearest = thresholds.astype(np.float32)
        following = np.nextafter(nearest, np.float32(np.inf))
    return np.where(nearest.astype(np.float64) <= thresholds, following, nearest)


def mirrored(tree: tuple[NDArray[Any], ...]) -> tuple[NDArray[Any], ...]:
    """Tree in which cuts at +∞ are replaced by cuts at −∞ with exchanged sides.

    With them, histogram boosting tells missing values from all others.
    """
    inner, features, thresholds, left, right, values, missing_left = tree
    all_left = inner & np.isposinf(thresholds)
    return (
        inner,
        features,
        np.where(all_left, -np.inf, thresholds),
        np.where(all_left, right, left),
        np.where(all_left, left, right),
        values,
        missing_left ^ all_left,
    )


def forest_of_hist_gradient_boosting(estimator: Any) -> Forest:
    """Forest of a fitted ``HistGradientBoostingClassifier`` or ``HistGradientBoostingRegressor``.

    Returns
    -------
    Forest
        One output per class; for two classes a single one, the probability of the second. For a regressor its value.

    Raises
    ------
    NtuplemlError
        If the estimator has categorical splits, or a loss other than those of the classifier, ``squared_error``,
        ``absolute_error`` and ``quantile``.
    """
    losses = ("log_loss", "squared_error", "absolute_error", "quantile")
    if estimator.loss not in losses:
        raise NtuplemlError(f"histogram boosting with the loss '{estimator.loss}'; understood are {', '.join(losses)}")
    if estimator.is_categorical_ is not None:
        raise NtuplemlError("histogram boosting with categorical features; train on numbers only")
    num_outputs = estimator.n_trees_per_iteration_
    link: Link = "identity" if estimator.loss != "log_loss" else "sigmoid" if num_outputs == 1 else "softmax"
    trees = []
    for iteration in estimator._predictors:
        for predictor in iteration:
            nodes = predictor.nodes
            inner = ~nodes["is_leaf"].astype(bool)
            leaves = np.where(inner, 0.0, nodes["value"])
            missing_left = nodes["missing_go_to_left"].astype(np.bool_)
            trees.append(mirrored((inner, nodes["feature_idx"], nodes["num_threshold"], nodes["left"], nodes["right"],
                                    leaves, missing_left)))  # fmt: skip
    return forest_of_trees(
        trees,
        num_inputs=estimator.n_features_in_,
        num_outputs=num_outputs,
        link=link,
        offsets=np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(num_outputs),
    )


def forest_of_trees(trees: Sequence[tuple[NDArray[Any], ...]], *, num_outputs: int, **others: Any) -> Forest:
    """Forest of trees given as (is inner, feature, threshold, left, right, value, NaN to the left) of their nodes.

    Raises
    ------
    ValueError
        If they are no valid forest.
    """
    roots = np.cumsum([0, *(len(tree[0]) for tree in trees)])
    starts = np.repeat(roots[:-1], np.diff(roots))
    columns = (np.concatenate(column) for column in zip(*trees, strict=True))
    inner, features, thresholds, left, right, values, missing_left = columns
    cuts = np.where(np.isneginf(thresholds), -np.inf, float32_cuts(np.where(inner, thresholds, 0.0)))
    missing_right = inner & ~missing_left
    forest = Forest(
        num_outputs=num_outputs,
        roots=roots[:-1].astype(np.int64),
        tree_outputs=np.arange(len(trees)) % num_outputs,
        features=np.where(inner, features, LEAF).astype(np.int32),
        cuts=np.where(inner, cuts, 0).astype(np.float32),
        left=np.where(inner, left.astype(np.int64) + starts, -1).astype(np.int32),
        right=np.where(inner, right.astype(np.int64) + starts, -1).astype(np.int32),
        values=values.astype(np.float64),
        missing_right=missing_right if missing_right.any() else np.zeros(0, dtype=np.bool_),
        **others,
    )
    if (fault := forest_fault(forest)) is not None:
        raise ValueError(f"no valid forest: {fault}")
    return forest
