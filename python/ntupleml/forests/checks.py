"""Whether the arrays of a forest are what they should be, so that no engine reads beyond them or walks in circles."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from ntupleml.forests.forest import FIRST_OBLIQUE, LEAF, Link

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.forests.forest import Forest


#: Far beyond what is trained: a place is kept for every input, and ONNX Runtime goes down a tree by recursion.
_MOST_INPUTS = 100_000
_DEEPEST = 1_000


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
