"""A forest arranged for the compiled loops: trees cut into pieces of at most three levels, columns by their offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.forests.forest import FIRST_OBLIQUE, LEAF, forest_fault, levels, trees_of_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.forests.forest import Forest

#: Events that are evaluated together: their columns stay in the processor's first cache.
BLOCK = 256
#: Distance of two columns of a block, in numbers; not a power of two, whose columns would compete for places in it.
STRIDE = BLOCK + 16
#: Numbers that are kept for each piece: up to 7 cuts and 8 leaves.
SLOTS = 8
#: Levels of the largest piece.
PIECE_LEVELS = 3
#: What a step does, beside the pieces of 1, 2 and 3 levels: choose between the last two results, walk a whole tree.
CHOOSE, WALK = 4, 5
#: Trees of more steps are walked node by node instead; about where both take the same time.
MOST_STEPS = 127


class PreparedForest(NamedTuple):
    """A forest and its arrangement for `ntupleml.forests.kernel.evaluate`.

    A tree is a list of steps that leave its value behind, like a calculator with a stack: pieces put the value of a
    subtree there, and `CHOOSE` replaces the last two values by one of them.
    """

    forest: Forest
    #: Inputs, places for the results of the oblique cuts of one tree, and the inputs again where NaN goes to the right
    #: at some nodes.
    num_columns: int
    #: Offset of the inputs that come again, in which infinity stands for NaN; 0 where there are none.
    first_missing: int
    stack_size: int
    #: Shape (n_trees + 1,). Where the steps of each tree begin.
    first_step: NDArray[np.uint64]
    #: Shape (n_trees,). Offset of the sum that a tree adds to.
    sums: NDArray[np.uint64]
    #: Shape (n_steps,). Levels of a piece, `CHOOSE` or `WALK`.
    kinds: NDArray[np.uint8]
    #: Shape (n_steps * SLOTS,). Offsets of the columns that are compared, in the order of a heap; of `WALK` the first
    #: node.
    columns: NDArray[np.uint32]
    #: Shape (n_steps * SLOTS,).
    cuts: NDArray[np.float32]
    #: Shape (n_steps * SLOTS,). float32 where that loses nothing.
    leaves: NDArray[np.floating[Any]]
    #: Shape (n_walked_nodes,). The trees that are walked; the right child follows the left one, a leaf has child 0.
    walk_columns: NDArray[np.uint32]
    walk_children: NDArray[np.uint32]
    walk_cuts: NDArray[np.float32]
    walk_values: NDArray[np.floating[Any]]
    #: `columns` and `walk_columns` for events with NaN: at nodes where NaN goes to the right, those in which infinity
    #: stands for it.
    missing_columns: NDArray[np.uint32]
    missing_walk_columns: NDArray[np.uint32]
    #: Shape (n_trees + 1,). Where the oblique cuts of each tree begin.
    first_oblique: NDArray[np.uint64]
    #: Shape (n_cuts, n_inputs + 1).
    oblique_directions: NDArray[np.float64]
    #: Shape (n_cuts,).
    oblique_cuts: NDArray[np.float64]


class _Nodes(NamedTuple):
    """Nodes of a forest in which an oblique cut is a column of its own, compared with 0.5."""

    inner: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: NDArray[np.float64]


class _Oblique(NamedTuple):
    """Oblique cuts, tree after tree."""

    first: NDArray[np.uint64]
    directions: NDArray[np.float64]
    cuts: NDArray[np.float64]


class _Walked(NamedTuple):
    """Trees that are walked node by node: places of their roots, nodes of the forest in order, and the children."""

    roots: NDArray[np.int64]
    nodes: NDArray[np.int64]
    children: NDArray[np.uint32]


def prepare(forest: Forest) -> PreparedForest:
    """Arrange a forest for `ntupleml.forests.kernel.evaluate`, once for many calls.

    Raises
    ------
    ValueError
        If the arrays of the forest do not fit together; what is read from a user's file is checked before.
    """
    if (fault := forest_fault(forest)) is not None:
        raise ValueError(f"no valid forest: {fault}")
    by_level = levels(forest)
    columns, cuts, oblique = _oblique_columns(forest)
    nodes = _Nodes(forest.features != LEAF, forest.left.astype(np.int64), forest.right.astype(np.int64), forest.values)
    kinds, first_nodes, first_step = _steps(forest.roots, nodes, by_level)
    pieces, leaves = _pieces(nodes, kinds, first_nodes)
    walked = _walked_trees(nodes, first_nodes[kinds == WALK])

    def offsets(columns: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Offsets of the columns that the pieces and the walked trees compare, from the column of each node."""
        of_pieces = columns[pieces] * STRIDE
        of_pieces[kinds == WALK, 0] = walked.roots
        return of_pieces.ravel().astype(np.uint32), (columns[walked.nodes] * STRIDE).astype(np.uint32)

    piece_columns, walk_columns = missing_columns, missing_walk_columns = offsets(columns)
    first_missing = 0
    num_columns = forest.num_inputs + int(np.diff(oblique.first).max())
    to_right = (
        np.flatnonzero(forest.missing_right & (forest.features >= 0)) if len(forest.missing_right) else np.zeros(0, int)
    )
    if len(to_right):
        columns[to_right] = num_columns + forest.features[to_right]
        missing_columns, missing_walk_columns = offsets(columns)
        first_missing = num_columns * STRIDE
        num_columns += forest.num_inputs
    number = _leaf_type(forest.values[forest.features == LEAF])
    outputs = np.arange(forest.num_trees) if forest.link == "weighted_median" else forest.tree_outputs
    return PreparedForest(
        forest=forest,
        num_columns=num_columns,
        first_missing=first_missing,
        stack_size=_stack_size(kinds, first_step),
        first_step=first_step,
        sums=(outputs * STRIDE).astype(np.uint64),
        kinds=kinds,
        columns=piece_columns,
        cuts=cuts[pieces].ravel(),
        leaves=leaves.ravel().astype(number),
        walk_columns=walk_columns,
        walk_children=walked.children,
        walk_cuts=cuts[walked.nodes],
        walk_values=forest.values[walked.nodes].astype(number),
        missing_columns=missing_columns,
        missing_walk_columns=missing_walk_columns,
        first_oblique=oblique.first,
        oblique_directions=oblique.directions,
        oblique_cuts=oblique.cuts,
    )


def _leaf_type(values: NDArray[np.float64]) -> type[np.floating[Any]]:
    """float32 where all leaves are such numbers, as TMVA's and XGBoost's are: twice as many per instruction."""
    with np.errstate(over="ignore"):
        return np.float32 if np.array_equal(values.astype(np.float32), values) else np.float64


def _oblique_columns(forest: Forest) -> tuple[NDArray[np.int64], NDArray[np.float32], _Oblique]:
    """Column and cut of each node, where the oblique cuts of a tree have the columns after the inputs."""
    columns = np.where(forest.features == LEAF, 0, forest.features).astype(np.int64)
    cuts = np.where(forest.features == LEAF, 0, forest.cuts).astype(np.float32)
    trees = trees_of_nodes(forest)
    nodes = np.flatnonzero((trees >= 0) & (forest.features <= FIRST_OBLIQUE))
    nodes = nodes[np.argsort(trees[nodes], kind="stable")]
    numbers = np.bincount(trees[nodes], minlength=forest.num_trees)
    first = np.concatenate([[0], np.cumsum(numbers)])
    directions = forest.directions.reshape(-1, forest.num_inputs + 1)[FIRST_OBLIQUE - forest.features[nodes]]
    oblique = _Oblique(first.astype(np.uint64), directions.astype(np.float64), cuts[nodes].astype(np.float64))
    columns[nodes] = forest.num_inputs + np.arange(len(nodes)) - first[trees[nodes]]
    cuts[nodes] = 0.5
    return columns, cuts, oblique


def _steps(
    roots: NDArray[np.int64], nodes: _Nodes, by_level: list[NDArray[np.int64]]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint64]]:
    """Kind and node of each step of all trees, and where the steps of each tree begin."""
    heights = np.zeros(len(nodes.inner), dtype=np.int64)
    counts = np.ones(len(nodes.inner), dtype=np.int64)
    for level in reversed(by_level):
        inner = level[nodes.inner[level]]
        left, right = nodes.left[inner], nodes.right[inner]
        heights[inner] = 1 + np.maximum(heights[left], heights[right])
        counts[inner] = np.where(heights[inner] > PIECE_LEVELS, 1 + counts[left] + counts[right], 1)
    kinds: list[int] = []
    first_nodes: list[int] = []
    first_step = [0]
    for root in roots.tolist():
        if counts[root] > MOST_STEPS:
            kinds.append(WALK)
            first_nodes.append(root)
        else:
            _add_steps(root, nodes, heights, kinds, first_nodes)
        first_step.append(len(kinds))
    return (
        np.array(kinds, dtype=np.uint8),
        np.array(first_nodes, dtype=np.int64),
        np.array(first_step, dtype=np.uint64),
    )


def _add_steps(node: int, nodes: _Nodes, heights: NDArray[np.int64], kinds: list[int], first_nodes: list[int]) -> None:
    """Append the steps of a subtree: a piece if it is low enough, else both of its halves and the choice."""
    if heights[node] <= PIECE_LEVELS:
        kinds.append(max(1, int(heights[node])))
    else:
        _add_steps(int(nodes.left[node]), nodes, heights, kinds, first_nodes)
        _add_steps(int(nodes.right[node]), nodes, heights, kinds, first_nodes)
        kinds.append(CHOOSE)
    first_nodes.append(node)


def _stack_size(kinds: NDArray[np.uint8], first_step: NDArray[np.uint64]) -> int:
    """Largest number of values on the stack, where each tree leaves one, which is taken off before the next."""
    numbers = (first_step[1:] - first_step[:-1]).astype(np.int64)
    left_by_earlier_trees = np.repeat(np.arange(len(numbers)), numbers)
    return int((np.cumsum(np.where(kinds == CHOOSE, -1, 1)) - left_by_earlier_trees).max())


def _pieces(
    nodes: _Nodes, kinds: NDArray[np.uint8], first_nodes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Nodes and leaves of each step, shape (n_steps, SLOTS); where a tree ends early its leaf is repeated."""
    heap = np.empty((len(first_nodes), 2 * SLOTS - 1), dtype=np.int64)
    heap[:, 0] = first_nodes
    for slot in range(SLOTS - 1):
        parent = heap[:, slot]
        heap[:, 2 * slot + 1] = np.where(nodes.inner[parent], nodes.left[parent], parent)
        heap[:, 2 * slot + 2] = np.where(nodes.inner[parent], nodes.right[parent], parent)
    leaves = np.zeros((len(first_nodes), SLOTS))
    for height in range(1, PIECE_LEVELS + 1):
        width = 2**height
        leaves[kinds == height, :width] = nodes.values[heap[kinds == height, width - 1 : 2 * width - 1]]
    return heap[:, :SLOTS], leaves


def _walked_trees(nodes: _Nodes, roots: NDArray[np.int64]) -> _Walked:
    """Trees level by level, so that the right child of a node follows the left one."""
    order = [roots]
    children = []
    total = len(roots)
    while len(level := order[-1]):
        inner = nodes.inner[level]
        following = np.stack([nodes.left[level[inner]], nodes.right[level[inner]]], axis=1).ravel()
        first_child = np.zeros(len(level), dtype=np.uint32)
        first_child[inner] = total + 2 * np.arange(np.count_nonzero(inner))
        children.append(first_child)
        order.append(following)
        total += len(following)
    return _Walked(
        np.arange(len(roots)), np.concatenate(order), np.concatenate([*children, np.zeros(0, dtype=np.uint32)])
    )
