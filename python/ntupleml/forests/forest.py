"""A forest of decision trees as flat arrays: the one form that boosted trees of every library are brought to.

Its arrays are checked, so that no engine reads beyond them or walks in circles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Value of `Forest.features` for a leaf.
LEAF = -1
#: Value of `Forest.features` for the first oblique cut; the next ones have the numbers below.
FIRST_OBLIQUE = -2

#: How the sums of a forest become its outputs.
#:
#: ``identity``: as they are. ``tanh``: 2 / (1 + exp(−2 s)) − 1, TMVA's binary gradient boosting. ``softmax``: one sum
#: per class. ``sigmoid``: 1 / (1 + exp(−s)). ``weighted_median``: TMVA's AdaBoost.R2, from the outputs of the single
#: trees and their weights, not from a sum.
Link = Literal["identity", "tanh", "softmax", "sigmoid", "weighted_median"]
#: Far beyond what is trained: a place is kept for every input, and ONNX Runtime goes down a tree by recursion.
_MOST_INPUTS = 100_000
_DEEPEST = 1_000


class PreselectionCut(NamedTuple):
    """An input beyond a value decides alone (TMVA's DoPreselection)."""

    feature: int
    #: Whether the events above the value are meant, else those below.
    above: bool
    value: float
    #: Output of these events.
    response: float


@dataclass(frozen=True, eq=False)
class Forest:
    """Decision trees over float32 inputs.

    An event starts at the root of each tree and goes on to the right where x ≥ cut, else to the left, until a leaf,
    whose value is added to the sum of the tree's output. NaN goes to the left too, unless the node says otherwise. An
    oblique cut compares a linear combination of the inputs with its cut instead, and goes to the right where it is
    larger; NaN goes to the left there.
    """

    #: Number of inputs, and of sums.
    num_inputs: int
    num_outputs: int
    #: Shape (n_trees,). Node at which each tree begins.
    roots: NDArray[np.int64]
    #: Shape (n_trees,). Sum that each tree adds to.
    tree_outputs: NDArray[np.int64]
    #: Shape (n_nodes,). Input that a node compares; `LEAF` for a leaf; FIRST_OBLIQUE − k for the oblique cut k.
    features: NDArray[np.int32]
    #: Shape (n_nodes,). 0 for a leaf.
    cuts: NDArray[np.float32]
    #: Shape (n_nodes,). Next node; −1 for a leaf.
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    #: Shape (n_nodes,). What a leaf adds, the weight of its tree included unless the link is ``weighted_median``.
    values: NDArray[np.float64]
    link: Link = "identity"
    #: By which the sums are divided, before the link.
    divisor: float = 1.0
    #: Shape (n_outputs,). Added to the sums before they are divided; empty for none.
    offsets: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    #: Shape (n_oblique, n_inputs + 1). Coefficients of the oblique cuts, and the constant that is added.
    directions: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    #: Shape (n_trees,). Weight of each tree, for ``weighted_median``; else empty.
    tree_weights: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    #: The first that holds decides.
    preselection: tuple[PreselectionCut, ...] = ()
    #: Shape (n_nodes,). Whether NaN goes to the right at a node; empty where it goes to the left everywhere.
    missing_right: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    @property
    def num_trees(self) -> int:
        """Number of trees."""
        return len(self.roots)


def forest_fault(forest: Forest) -> str | None:
    """What is wrong with a forest, or None.

    Checked are shapes, ranges of all indices, that every tree is one (no node has two parents) and not too deep, that
    numbers are finite, and what the link asks for.
    """
    return (
        _link_fault(forest)
        or _shape_fault(forest)
        or _number_fault(forest)
        or _tree_fault(forest)
        or _depth_fault(forest)
    )


def levels(forest: Forest) -> list[NDArray[np.int64]]:
    """Nodes of a forest that passed `forest_fault`, level by level: the roots, then their children, and so on."""
    found = []
    nodes = forest.roots
    while len(nodes):
        found.append(nodes)
        inner = nodes[forest.features[nodes] != LEAF]
        nodes = np.concatenate([forest.left[inner], forest.right[inner]]).astype(np.int64)
    return found


def trees_of_nodes(forest: Forest) -> NDArray[np.int64]:
    """Tree that each node of a valid forest belongs to; −1 where nothing leads to it."""
    trees = np.full(len(forest.features), -1, dtype=np.int64)
    trees[forest.roots] = np.arange(forest.num_trees)
    for level in levels(forest):
        inner = level[forest.features[level] != LEAF]
        trees[forest.left[inner]] = trees[forest.right[inner]] = trees[inner]
    return trees


def _shape_fault(forest: Forest) -> str | None:
    nodes, trees = len(forest.features), len(forest.roots)
    if forest.num_inputs < 1 or forest.num_outputs < 1 or trees < 1:
        return (
            f"{trees} trees, {forest.num_inputs} inputs and {forest.num_outputs} outputs; at least one each is needed"
        )
    if forest.num_inputs > _MOST_INPUTS or forest.num_outputs > trees:
        return (
            f"{forest.num_inputs} inputs and {forest.num_outputs} outputs; at most {_MOST_INPUTS} inputs are "
            f"possible, and an output for each of the {trees} trees"
        )
    expected: dict[str, tuple[int, ...]] = {
        "roots": (trees,),
        "tree_outputs": (trees,),
        "features": (nodes,),
        "cuts": (nodes,),
        "left": (nodes,),
        "right": (nodes,),
        "values": (nodes,),
        "offsets": (len(forest.offsets) and forest.num_outputs,),
        "tree_weights": (trees if forest.link == "weighted_median" else 0,),
        "missing_right": (len(forest.missing_right) and nodes,),
    }
    if len(forest.directions):
        expected["directions"] = (len(forest.directions), forest.num_inputs + 1)
    for name, shape in expected.items():
        found = getattr(forest, name).shape
        if found != shape:
            return f"'{name}' has the shape {found} instead of {shape}"
    return None


def _number_fault(forest: Forest) -> str | None:
    for name in ("values", "offsets", "directions", "tree_weights"):
        if not np.isfinite(getattr(forest, name)).all():
            return f"'{name}' has values that are NaN or infinite"
    if np.isnan(forest.cuts).any():
        return "'cuts' has values that are NaN"
    if not np.isfinite(forest.divisor) or forest.divisor == 0:
        return f"the divisor is {forest.divisor}"
    ranges = {
        "roots": (0, len(forest.features)),
        "tree_outputs": (0, forest.num_outputs),
        "features": (FIRST_OBLIQUE + 1 - len(forest.directions), forest.num_inputs),
    }
    for name, (low, high) in ranges.items():
        found = getattr(forest, name)
        if len(found) and (found.min() < low or found.max() >= high):
            return f"'{name}' goes from {found.min()} to {found.max()}; {low} to {high - 1} are possible"
    inner = forest.features != LEAF
    for name in ("left", "right"):
        children = getattr(forest, name)[inner]
        if len(children) and (children.min() < 0 or children.max() >= len(forest.features)):
            return f"'{name}' names nodes from {children.min()} to {children.max()}; there are {len(forest.features)}"
    return None


def _link_fault(forest: Forest) -> str | None:
    if forest.link not in get_args(Link):
        return f"the link '{forest.link}' is none of {', '.join(get_args(Link))}"
    if forest.link == "weighted_median" and forest.num_outputs != 1:
        return f"a weighted median has one output, not {forest.num_outputs}"
    for cut in forest.preselection:
        if not 0 <= cut.feature < forest.num_inputs:
            return f"the preselection asks for input {cut.feature}; there are {forest.num_inputs}"
        if np.isnan(cut.value) or np.isnan(cut.response):
            return "the preselection has a value that is NaN"
    return None


def _tree_fault(forest: Forest) -> str | None:
    parents = np.zeros(len(forest.features), dtype=np.int64)
    np.add.at(parents, forest.roots, 1)
    inner = forest.features != LEAF
    np.add.at(parents, forest.left[inner], 1)
    np.add.at(parents, forest.right[inner], 1)
    # with at most one parent each, and none above a root, what begins at a root cannot come back to itself
    if parents.max() > 1:
        return f"node {int(parents.argmax())} is reached in more than one way"
    return None


def _depth_fault(forest: Forest) -> str | None:
    nodes = forest.roots
    for _ in range(_DEEPEST + 1):
        nodes = nodes[forest.features[nodes] != LEAF]
        if not len(nodes):
            return None
        nodes = np.concatenate([forest.left[nodes], forest.right[nodes]])
    return f"a tree is deeper than {_DEEPEST} nodes"
