"""Forests from models of LightGBM: its text files, read as plain data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.forests.sklearn import forest_of_trees, mirrored

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.forests.forest import Forest, Link

#: Bytes of a file; a million trees of 30 leaves have as many.
_MOST_BYTES = 2_000_000_000
#: Objectives whose trees add up to something that we know how to turn into a score.
_LINKS: dict[str, Link] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
}
#: Bits of a node's `decision_type`: categorical, missing values to the left; then what counts as missing.
_CATEGORICAL, _MISSING_LEFT = 1, 2
_ZERO, _NAN = 1, 2
_WHOLE = re.compile(r"-?\d{1,9}")
_BEGINNING = "tree\n"


def is_lightgbm(text: str) -> bool:
    """Whether a text begins as a model of LightGBM."""
    return text.startswith(_BEGINNING)


def read_lightgbm(path: Path) -> str:
    """Text of a model file.

    Raises
    ------
    NtuplemlError
        If it is too large, or no text of LightGBM.
    """
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise NtuplemlError(f"{path}: {size:,} bytes; at most {_MOST_BYTES:,} are read")
    text = path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    if not is_lightgbm(text):
        raise NtuplemlError(f"{path}: not a model of LightGBM, whose first line is 'tree'")
    return text


def forest_of_lightgbm(text: str, where: str = "LightGBM model") -> Forest:
    """Forest of a model of LightGBM.

    Parameters
    ----------
    text : str
        Content of a model file, as ``Booster.model_to_string`` gives it too.

    Returns
    -------
    Forest
        One output per class, or a single one: the probability of class 1, or the value of a regression, as
        ``Booster.predict`` gives them.

    Raises
    ------
    NtuplemlError
        If the model is damaged, or is of a kind that is no sum of ordinary trees: categorical features, linear trees,
        zeros that count as missing, other objectives.

    Notes
    -----
    LightGBM goes to the left where x ≤ threshold, in double, like scikit-learn. Where a node was made from events
    without missing values, NaN counts as zero there.
    """
    head, *blocks = text.split("end of trees", 1)[0].split("\nTree=")
    header = _Block(head, where)
    if not blocks or "end of trees" not in text:
        raise NtuplemlError(f"{where}: no trees, or cut off; not a complete model of LightGBM")
    objective, *settings = header.text("objective").split(" ")
    if objective not in _LINKS or "sqrt" in settings:
        raise NtuplemlError(f"{where}: objective '{one_line(objective, 40)}'; understood are {', '.join(_LINKS)}")
    num_outputs = header.whole_number("num_tree_per_iteration")
    if num_outputs < 1 or len(blocks) % num_outputs:
        raise NtuplemlError(f"{where}: {len(blocks)} trees are no multiple of num_tree_per_iteration, {num_outputs}")
    trees = [_read_tree(_Block(block, f"{where}: Tree={number}")) for number, block in enumerate(blocks)]
    is_mean = "average_output" in head.split("\n")
    try:
        return forest_of_trees(
            trees,
            num_inputs=header.whole_number("max_feature_idx") + 1,
            num_outputs=num_outputs,
            link=_LINKS[objective],
            divisor=len(blocks) / num_outputs if is_mean else 1 / _sigmoid(settings, where),
        )
    except ValueError as error:
        raise NtuplemlError(f"{where}: not a model of LightGBM: {error}") from None


def names_in_lightgbm(text: str, where: str) -> list[str] | None:
    """Names of the inputs that a model holds; None where they are LightGBM's own, ``Column_0`` and so on.

    Raises
    ------
    NtuplemlError
        If they are not one for each input.
    """
    header = _Block(text.split("\nTree=", 1)[0], where)
    names = header.text("feature_names").split(" ")
    number = header.whole_number("max_feature_idx") + 1
    if len(names) != number:
        raise NtuplemlError(f"{where}: feature_names are not {number} names, one for each input")
    return None if names == [f"Column_{index}" for index in range(number)] else names


def _sigmoid(settings: list[str], where: str) -> float:
    """Factor of the sum in the sigmoid, 1 where nothing else is said."""
    given = [text.removeprefix("sigmoid:") for text in settings if text.startswith("sigmoid:")]
    try:
        factor = float(given[0]) if given else 1.0
    except ValueError:
        factor = 0.0
    if not 1e-6 < factor < 1e6:
        raise NtuplemlError(f"{where}: the objective's sigmoid is '{one_line(given[0], 40)}'; a number is needed")
    return factor


class _Block:
    """Lines ``name=value`` of the file's head or of a tree, with one-line errors."""

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self._values = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)

    def text(self, name: str) -> str:
        if name not in self._values:
            raise NtuplemlError(f"{self.where}: no '{name}'; not a complete model of LightGBM")
        return self._values[name]

    def whole_number(self, name: str, default: int | None = None) -> int:
        if default is not None and name not in self._values:
            return default
        text = self.text(name)
        if not _WHOLE.fullmatch(text) or int(text) < 0:
            raise NtuplemlError(f"{self.where}: {name} is '{one_line(text, 40)}'; a number from 0 on is needed")
        return int(text)

    def integers(self, name: str, length: int) -> NDArray[np.int64]:
        return self._array(name, length, np.int64)

    def numbers(self, name: str, length: int) -> NDArray[np.float64]:
        return self._array(name, length, np.float64)

    def _array(self, name: str, length: int, dtype: type[Any]) -> NDArray[Any]:
        try:
            values = np.array(self.text(name).split(), dtype=dtype)
        except (ValueError, OverflowError):
            raise NtuplemlError(f"{self.where}: {name}: {length} numbers are needed") from None
        if len(values) != length:
            raise NtuplemlError(f"{self.where}: {name} has {len(values)} values; {length} are needed")
        return values


def _read_tree(tree: _Block) -> tuple[NDArray[Any], ...]:
    """Nodes of a tree as `forest_of_trees` takes them, inner ones first."""
    if tree.whole_number("num_cat", 0):
        raise NtuplemlError(f"{tree.where}: categorical features; train on numbers only")
    if tree.whole_number("is_linear", 0):
        raise NtuplemlError(f"{tree.where}: a linear tree; train with linear_tree: false")
    leaves = tree.whole_number("num_leaves")
    values = tree.numbers("leaf_value", leaves)
    inner = max(leaves - 1, 0)
    if not inner:  # a bare leaf has no lists of nodes
        features = kinds = left = right = np.zeros(0, dtype=np.int64)
        thresholds = np.zeros(0)
    else:
        features, kinds = tree.integers("split_feature", inner), tree.integers("decision_type", inner)
        left, right = (tree.integers(name, inner) for name in ("left_child", "right_child"))
        thresholds = tree.numbers("threshold", inner)
    if (kinds & _CATEGORICAL).any():
        raise NtuplemlError(f"{tree.where}: a categorical split; train on numbers only")
    missing = (kinds >> 2) & 3
    if (missing == _ZERO).any():
        raise NtuplemlError(f"{tree.where}: zeros count as missing; train with zero_as_missing: false")
    if np.isnan(thresholds).any():
        raise NtuplemlError(f"{tree.where}: threshold: a number that is NaN")
    for children in (left, right):
        if len(children) and (children.min() < -leaves or children.max() >= inner):
            raise NtuplemlError(f"{tree.where}: a child that is none of its {inner} nodes and {leaves} leaves")
    if len(features) and not 0 <= features.min() <= features.max() <= np.iinfo(np.int32).max:
        raise NtuplemlError(f"{tree.where}: a split on a feature that does not exist")
    none = np.zeros(leaves, dtype=np.int64)
    # A child below zero is the leaf of its complement.
    left, right = (np.where(children < 0, inner + ~children, children) for children in (left, right))
    to_left = np.where(missing == _NAN, (kinds & _MISSING_LEFT) > 0, thresholds >= 0)
    return mirrored(
        (
            np.arange(inner + leaves) < inner,
            np.concatenate([features, none]),
            np.concatenate([thresholds, none]),
            np.concatenate([left, none]),
            np.concatenate([right, none]),
            np.concatenate([np.zeros(inner), values]),
            np.concatenate([to_left, np.ones(leaves, np.bool_)]),
        )
    )
