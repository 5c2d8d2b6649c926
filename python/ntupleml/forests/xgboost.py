"""Forests from the models that XGBoost writes, without XGBoost."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.forests.forest import LEAF, Forest, Link, forest_fault
from ntupleml.forests.xgboost_file import parse_xgboost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Link of each objective that is understood.
_LINKS: dict[str, Link] = {
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "binary:logitraw": "identity",
    "reg:squarederror": "identity",
}


class _Trees(NamedTuple):
    """Nodes of all trees, one tree after the other."""

    roots: NDArray[np.int64]
    features: NDArray[np.int32]
    cuts: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: NDArray[np.float64]
    missing_right: NDArray[np.bool_]


def forest_of_xgboost(model: bytes | bytearray | Mapping[str, Any], where: str = "XGBoost model") -> Forest:
    """Forest of a model of XGBoost.

    Parameters
    ----------
    model : bytes or mapping
        Content of a model file, JSON or UBJSON, as ``Booster.save_raw`` gives it too, or that parsed.

    Returns
    -------
    Forest
        One output per class, or a single one: the probability of class 1, or the value of a regression.

    Raises
    ------
    NtuplemlError
        If the model is damaged or is of a kind that is no sum of ordinary trees: boosters other than ``gbtree``,
        categorical features, trees of several outputs, several targets, other objectives.

    Notes
    -----
    The forest gives what ``XGBClassifier.predict_proba`` or ``XGBRegressor.predict`` gives after ``load_model``: where
    early stopping left a ``best_iteration``, the rounds up to it count. ``Booster.predict`` takes all of them unless it
    is given an ``iteration_range``.

    XGBoost goes to the left where x < cut, like TMVA and unlike scikit-learn, and adds in float32; the sums here are
    double.
    """
    content = _Part(parse_xgboost(model, where) if isinstance(model, bytes | bytearray) else model, where)
    learner = content.part("learner")
    booster = learner.part("gradient_booster")
    name = booster.text("name")
    if name != "gbtree":
        raise NtuplemlError(f"{where}: booster '{one_line(name)}'; only 'gbtree' is understood")
    objective = learner.part("objective").text("name")
    if objective not in _LINKS:
        raise NtuplemlError(f"{where}: objective '{one_line(objective)}'; understood are {', '.join(_LINKS)}")
    parameters = learner.part("learner_model_param")
    num_inputs = parameters.whole_number("num_feature", 1)
    num_outputs = max(1, parameters.whole_number("num_class", 0))
    if "num_target" in parameters.content and parameters.whole_number("num_target", 0) > 1:
        raise NtuplemlError(f"{where}: a model of several targets; train one model for each")
    forest_part = booster.part("model")
    if "cats" in forest_part.content and forest_part.part("cats").member("enc") != []:
        raise NtuplemlError(f"{where}: categorical features; train on numbers only")
    trees = _read_trees(forest_part)
    if num_outputs > len(trees.roots):
        raise NtuplemlError(f"{where}: num_class is {num_outputs}, but there are {len(trees.roots)} trees")
    trees = _first_trees(trees, _trees_that_count(learner, forest_part, num_outputs))
    forest = Forest(
        num_inputs=num_inputs,
        num_outputs=num_outputs,
        tree_outputs=forest_part.integers("tree_info")[: len(trees.roots)],
        link=_LINKS[objective],
        offsets=_offsets(parameters.text("base_score"), num_outputs, _LINKS[objective], where),
        **trees._asdict(),
    )
    if (fault := forest_fault(forest)) is not None:
        raise NtuplemlError(f"{where}: no valid model of XGBoost: {fault}")
    return forest


def names_in_xgboost(content: Mapping[str, Any], where: str) -> list[str] | None:
    """Names of the inputs that a model holds; None where it has none.

    Raises
    ------
    NtuplemlError
        If they are not one text for each input.
    """
    learner = _Part(content, where).part("learner")
    names = learner.content.get("feature_names")
    if not names:
        return None
    num_inputs = learner.part("learner_model_param").whole_number("num_feature", 1)
    if not isinstance(names, list) or len(names) != num_inputs or not all(isinstance(name, str) for name in names):
        raise NtuplemlError(f"{learner.where}: feature_names are not {num_inputs} names, one for each input")
    return names


class _Part:
    """An object in the JSON, whose members are fetched with one-line errors."""

    def __init__(self, content: Any, where: str) -> None:
        if not hasattr(content, "keys"):
            raise NtuplemlError(f"{where}: no object, but {one_line(repr(content), 40)}; not a model of XGBoost")
        self.content = content
        self.where = where

    def member(self, name: str) -> Any:
        if name not in self.content:
            raise NtuplemlError(f"{self.where}: no '{name}'; not a complete model of XGBoost")
        return self.content[name]

    def part(self, name: str) -> _Part:
        return _Part(self.member(name), f"{self.where}: {name}")

    def text(self, name: str) -> str:
        return str(self.member(name))

    def whole_number(self, name: str, lowest: int) -> int:
        text = self.text(name)
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < lowest:
            raise NtuplemlError(f"{self.where}: {name} is '{one_line(text, 40)}'; a number from {lowest} on is needed")
        return int(text)

    def integers(self, name: str) -> NDArray[np.int64]:
        array = self._array(name)
        if array.dtype.kind not in "iub" and len(array):
            raise NtuplemlError(f"{self.where}: {name}: whole numbers are needed, not {array.dtype}")
        return array.astype(np.int64)

    def numbers(self, name: str) -> NDArray[np.float64]:
        array = self._array(name)
        if array.dtype.kind not in "iuf" and len(array):
            raise NtuplemlError(f"{self.where}: {name}: numbers are needed, not {array.dtype}")
        return array.astype(np.float64)

    def _array(self, name: str) -> NDArray[Any]:
        values = self.member(name)
        try:
            array = np.asarray(values if isinstance(values, list | np.ndarray) else None)
        except ValueError:
            array = np.asarray(None)
        if array.ndim != 1:
            raise NtuplemlError(f"{self.where}: {name}: a list of numbers is needed")
        return array


def _offsets(base_score: str, num_outputs: int, link: Link, where: str) -> NDArray[np.float64]:
    """Starting values of the sums, from one number or, since XGBoost 3.1, a list of them in brackets."""
    try:
        values = np.array([float(text) for text in base_score.strip().removeprefix("[").removesuffix("]").split(",")])
    except ValueError:
        values = np.zeros(0)
    if len(values) not in (1, num_outputs) or not np.isfinite(values).all():
        found = one_line(base_score, 60)
        raise NtuplemlError(f"{where}: base_score is '{found}'; {num_outputs} numbers, or one for all, are needed")
    if link == "sigmoid":  # XGBoost writes the probability
        if not ((values > 0) & (values < 1)).all():
            raise NtuplemlError(f"{where}: base_score is '{one_line(base_score, 60)}'; a probability is needed")
        values = np.array([math.log(value / (1 - value)) for value in values])
    return np.broadcast_to(values, (num_outputs,)).copy()


def _trees_that_count(learner: _Part, model: _Part, num_outputs: int) -> int | None:
    """Number of trees up to the best round of a model that was stopped early; None for all."""
    ends = _ends_of_rounds(model, num_outputs)
    attributes = learner.part("attributes") if "attributes" in learner.content else None
    if attributes is None or "best_iteration" not in attributes.content:
        return None
    best = attributes.whole_number("best_iteration", 0)
    if best >= len(ends):
        raise NtuplemlError(f"{attributes.where}: best_iteration is {best}, but there are {len(ends)} rounds from 0 on")
    if best + 1 < len(ends):
        log.info(
            "%s: was stopped early: the first %d of %d rounds are taken, as predict_proba of XGBClassifier does",
            learner.where,
            best + 1,
            len(ends),
        )
    return int(ends[best])


def _ends_of_rounds(model: _Part, num_outputs: int) -> NDArray[np.int64]:
    """Number of trees after each round."""
    number = len(model.integers("tree_info"))
    if "iteration_indptr" not in model.content:  # before XGBoost 2.0
        parameters = model.part("gbtree_model_param")
        has_number = "num_parallel_tree" in parameters.content  # where not, XGBoost takes one
        step = num_outputs * (max(1, parameters.whole_number("num_parallel_tree", 0)) if has_number else 1)
        return np.arange(step, number + 1, step)
    bounds = model.integers("iteration_indptr")
    if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != number or (np.diff(bounds) < 1).any():
        raise NtuplemlError(f"{model.where}: iteration_indptr does not divide the {number} trees into rounds")
    return bounds[1:]


def _first_trees(trees: _Trees, number: int | None) -> _Trees:
    if number is None or number == len(trees.roots):
        return trees
    end = trees.roots[number]
    nodes = {name: column[:end] for name, column in trees._asdict().items()}
    return _Trees(**{**nodes, "roots": trees.roots[:number]})


def _read_trees(model: _Part) -> _Trees:
    trees = model.member("trees")
    if not isinstance(trees, list) or not trees:
        raise NtuplemlError(f"{model.where}: no trees")
    if len(trees) != len(model.integers("tree_info")):
        raise NtuplemlError(f"{model.where}: {len(trees)} trees, but tree_info has {len(model.integers('tree_info'))}")
    columns: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("features", "cuts", "left", "right", "values", "missing_right")
    }
    roots = []
    start = 0
    for index, tree in enumerate(trees):
        roots.append(start)
        for name, column in _read_tree(_Part(tree, f"{model.where}: trees[{index}]"), start).items():
            columns[name].append(column)
        start += len(columns["features"][-1])
    return _Trees(
        roots=np.array(roots, dtype=np.int64),
        **{name: np.concatenate(parts) for name, parts in columns.items()},
    )


def _read_tree(tree: _Part, start: int) -> dict[str, NDArray[Any]]:
    """Nodes of a tree, whose first one has the number `start` in the forest."""
    left, right = tree.integers("left_children"), tree.integers("right_children")
    features, conditions = tree.integers("split_indices"), tree.numbers("split_conditions")
    missing_left = tree.integers("default_left")
    number = len(left)
    if not number or {len(right), len(features), len(conditions), len(missing_left)} != {number}:
        raise NtuplemlError(f"{tree.where}: the lists of its nodes are not of one length")
    if tree.part("tree_param").text("size_leaf_vector") not in ("0", "1"):
        raise NtuplemlError(f"{tree.where}: a tree of several outputs; train with multi_strategy: one_output_per_tree")
    if any(name in tree.content and tree.integers(name).any() for name in ("split_type", "categories_segments")):
        raise NtuplemlError(f"{tree.where}: a categorical split; train on numbers only")
    inner = left != -1
    for children in (left[inner], right[inner]):
        if len(children) and (children.min() < 0 or children.max() >= number):
            raise NtuplemlError(f"{tree.where}: a child that is none of its {number} nodes")
    if "parents" in tree.content:  # which only XGBoost follows, without a look at where it leads
        parents = tree.integers("parents")
        if len(parents) != number or (parents[1:] < 0).any() or (parents[1:] >= number).any():
            raise NtuplemlError(f"{tree.where}: a parent that is none of its {number} nodes")
    # nodes that were pruned stay in the lists as leaves that nothing leads to, with a feature that does not exist
    if (np.abs(features[inner]) > np.iinfo(np.int32).max).any() or (features[inner] < 0).any():
        raise NtuplemlError(f"{tree.where}: a split on a feature that does not exist")
    with np.errstate(over="ignore"):
        conditions = conditions.astype(np.float32)
    return {
        "features": np.where(inner, features, LEAF).astype(np.int32),
        "cuts": np.where(inner, conditions, 0).astype(np.float32),
        "left": np.where(inner, left + start, -1).astype(np.int32),
        "right": np.where(inner, right + start, -1).astype(np.int32),
        "values": np.where(inner, 0, conditions).astype(np.float64),
        "missing_right": inner & (missing_left == 0),
    }
