"""Forests from the models that XGBoost writes (its JSON, or its UBJSON if XGBoost is there to translate it)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.forests.checks import forest_fault
from ntupleml.forests.forest import LEAF, Forest, Link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

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


def forest_of_xgboost(model: bytes | bytearray | Mapping[str, Any], where: str = "XGBoost model") -> Forest:
    """Forest of a model of XGBoost.

    Parameters
    ----------
    model : bytes or mapping
        Content of a model file, as ``Booster.save_raw("json")`` gives it too, or that JSON parsed. All trees count:
        cut the model to its best round beforehand (``booster[:best_iteration + 1]``) where that is meant.
    where : str
        File, for messages.

    Returns
    -------
    Forest
        One output per class, or a single one: the probability of class 1, or the value of a regression.

    Raises
    ------
    NtuplemlError
        If the model is damaged or is of a kind that is no sum of ordinary trees: boosters other than ``gbtree``,
        categorical splits, trees of several outputs, other objectives.

    Notes
    -----
    XGBoost goes to the left where x < cut, like TMVA and unlike scikit-learn, and adds in float32; the sums here are
    double. Where it sends missing values is not kept.
    """
    content = _Part(_parsed(model, where) if isinstance(model, bytes | bytearray) else model, where)
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
    trees = _read_trees(forest_part)
    forest = Forest(
        num_inputs=num_inputs,
        num_outputs=num_outputs,
        tree_outputs=forest_part.integers("tree_info").astype(np.int64),
        link=_LINKS[objective],
        offsets=_offsets(parameters.text("base_score"), num_outputs, _LINKS[objective], where),
        **trees._asdict(),
    )
    if (fault := forest_fault(forest)) is not None:
        raise NtuplemlError(f"{where}: no valid model of XGBoost: {fault}")
    return forest


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
            array = np.asarray(values if isinstance(values, list) else None)
        except ValueError:
            array = np.asarray(None)
        if array.ndim != 1:
            raise NtuplemlError(f"{self.where}: {name}: a list of numbers is needed")
        return array


def _parsed(model: bytes | bytearray, where: str) -> Any:
    try:
        return json.loads(model)
    except (ValueError, RecursionError) as error:
        text = _translated(model)
        if text is None:
            message = f"{where}: neither JSON nor UBJSON of XGBoost: {one_line(error, 100)}"
            raise NtuplemlError(message) from None
        return json.loads(text)


def _translated(model: bytes | bytearray) -> bytes | None:
    """JSON of a model in XGBoost's UBJSON, which only XGBoost reads; None if it cannot."""
    if not model.startswith(b"{L"):
        return None
    import xgboost

    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(model))
        return bytes(booster.save_raw("json"))
    except xgboost.core.XGBoostError:
        return None


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


def _read_trees(model: _Part) -> _Trees:
    trees = model.member("trees")
    if not isinstance(trees, list) or not trees:
        raise NtuplemlError(f"{model.where}: no trees")
    if len(trees) != len(model.integers("tree_info")):
        raise NtuplemlError(f"{model.where}: {len(trees)} trees, but tree_info has {len(model.integers('tree_info'))}")
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("features", "cuts", "left", "right", "values")}
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
    number = len(left)
    if not number or {len(right), len(features), len(conditions)} != {number}:
        raise NtuplemlError(f"{tree.where}: the lists of its nodes are not of one length")
    if tree.part("tree_param").text("size_leaf_vector") not in ("0", "1"):
        raise NtuplemlError(f"{tree.where}: a tree of several outputs; train with multi_strategy: one_output_per_tree")
    if "split_type" in tree.content and tree.integers("split_type").any():
        raise NtuplemlError(f"{tree.where}: a categorical split; train on numbers only")
    inner = left != -1
    for children in (left[inner], right[inner]):
        if len(children) and (children.min() < 0 or children.max() >= number):
            raise NtuplemlError(f"{tree.where}: a child that is none of its {number} nodes")
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
    }
