"""The loops over events of a forest, compiled by numba, so that every instruction works on several events.

A block of events is kept as columns, and each tree goes over the whole block: its cuts and leaves stay in registers,
and as there is no branch that depends on an event, LLVM turns the loop into vector instructions. The indices are
unsigned, as Python's negative indices would cost a comparison per access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.compiled import compiled, kept
from ntupleml.forests.layout import BLOCK, CHOOSE, SLOTS, STRIDE, WALK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]

_ONE, _TWO, _THREE, _FOUR, _FIVE, _SIX, _SEVEN = (np.uintp(number) for number in range(1, 8))


@compiled
def _eight(numbers: Numbers, at: Any) -> Any:
    """The numbers of a piece, as scalars that stay in registers."""
    return (
        numbers[at],
        numbers[at + _ONE],
        numbers[at + _TWO],
        numbers[at + _THREE],
        numbers[at + _FOUR],
        numbers[at + _FIVE],
        numbers[at + _SIX],
        numbers[at + _SEVEN],
    )


@compiled
def _goes_right(columns: Numbers, offset: Any, i: Any, cut: Any) -> Any:
    return columns[np.uintp(offset) + i] >= cut


@compiled
def _value_1(columns: Numbers, i: Any, offsets: Any, cuts: Any, leaves: Any) -> Any:
    return leaves[1] if _goes_right(columns, offsets[0], i, cuts[0]) else leaves[0]


@compiled
def _value_2(columns: Numbers, i: Any, offsets: Any, cuts: Any, leaves: Any) -> Any:
    left = leaves[1] if _goes_right(columns, offsets[1], i, cuts[1]) else leaves[0]
    right = leaves[3] if _goes_right(columns, offsets[2], i, cuts[2]) else leaves[2]
    return right if _goes_right(columns, offsets[0], i, cuts[0]) else left


@compiled
def _value_3(columns: Numbers, i: Any, offsets: Any, cuts: Any, leaves: Any) -> Any:
    value_3 = leaves[1] if _goes_right(columns, offsets[3], i, cuts[3]) else leaves[0]
    value_4 = leaves[3] if _goes_right(columns, offsets[4], i, cuts[4]) else leaves[2]
    value_5 = leaves[5] if _goes_right(columns, offsets[5], i, cuts[5]) else leaves[4]
    value_6 = leaves[7] if _goes_right(columns, offsets[6], i, cuts[6]) else leaves[6]
    left = value_4 if _goes_right(columns, offsets[1], i, cuts[1]) else value_3
    right = value_6 if _goes_right(columns, offsets[2], i, cuts[2]) else value_5
    return right if _goes_right(columns, offsets[0], i, cuts[0]) else left


@compiled
def _add_piece(columns: Numbers, piece: Any, sums: Numbers, to: Any) -> None:
    """Add the values of a piece to a sum."""
    levels, offsets, cuts, leaves = piece
    if levels == 3:
        for event in range(BLOCK):
            i = np.uintp(event)
            sums[to + i] += _value_3(columns, i, offsets, cuts, leaves)
    elif levels == 2:
        for event in range(BLOCK):
            i = np.uintp(event)
            sums[to + i] += _value_2(columns, i, offsets, cuts, leaves)
    else:
        for event in range(BLOCK):
            i = np.uintp(event)
            sums[to + i] += _value_1(columns, i, offsets, cuts, leaves)


@compiled
def _put_piece(columns: Numbers, piece: Any, stack: Numbers, to: Any) -> None:
    """Put the values of a piece on the stack."""
    levels, offsets, cuts, leaves = piece
    if levels == 3:
        for event in range(BLOCK):
            i = np.uintp(event)
            stack[to + i] = _value_3(columns, i, offsets, cuts, leaves)
    elif levels == 2:
        for event in range(BLOCK):
            i = np.uintp(event)
            stack[to + i] = _value_2(columns, i, offsets, cuts, leaves)
    else:
        for event in range(BLOCK):
            i = np.uintp(event)
            stack[to + i] = _value_1(columns, i, offsets, cuts, leaves)


@compiled
def _choose(columns: Numbers, offset: Any, cut: Any, stack: Numbers, left: Any, right: Any) -> None:
    """Replace the values for the left half of a tree by those for the right one where the event goes there."""
    for event in range(BLOCK):
        i = np.uintp(event)
        # both are loaded beforehand, as a load that depends on the comparison would be a branch
        value_left, value_right = stack[left + i], stack[right + i]
        stack[left + i] = value_right if _goes_right(columns, offset, i, cut) else value_left


@compiled
def _walk(
    columns: Numbers, root: Any, nodes: Any, children: Any, cuts: Numbers, values: Numbers, stack: Numbers, to: Any
) -> None:
    """Put the values of a whole tree on the stack, node by node; without a branch but for the end."""
    for event in range(BLOCK):
        i = np.uintp(event)
        node = np.uintp(root)
        child = np.uintp(children[node])
        while child != np.uintp(0):
            right = np.uintp(1) if columns[np.uintp(nodes[node]) + i] >= cuts[node] else np.uintp(0)
            node = child + right
            child = np.uintp(children[node])
        stack[to + i] = values[node]


@compiled
def _compare_oblique(columns: Numbers, direction: Any, cut: Any, projection: Numbers, to: Any) -> None:
    """Put 1 into a column where a linear combination of the inputs is larger than a cut, else 0.

    In double, the constant first and then one input after the other, as TMVA does it.
    """
    num_inputs = len(direction) - 1
    for event in range(BLOCK):
        projection[np.uintp(event)] = direction[num_inputs]
    for variable in range(num_inputs):
        column = np.uintp(variable * STRIDE)
        for event in range(BLOCK):
            i = np.uintp(event)
            projection[i] += direction[variable] * columns[column + i]
    for event in range(BLOCK):
        i = np.uintp(event)
        columns[to + i] = np.float32(1.0) if projection[i] > cut else np.float32(0.0)


@compiled
def _add(stack: Numbers, sums: Numbers, to: Any) -> None:
    """Add the lowest values of the stack to a sum."""
    for event in range(BLOCK):
        i = np.uintp(event)
        sums[to + i] += stack[i]


@compiled
def _add_tree(columns: Numbers, prepared: Any, first: Any, end: Any, stack: Numbers, sums: Numbers, to: Any) -> None:
    """Add the values of a tree, found step by step on the stack, to a sum."""
    kinds, offsets, cuts, leaves, walk_columns, walk_children, walk_cuts, walk_values = prepared
    top = np.uintp(0)
    for step in range(first, end):
        kind = kinds[step]
        at = np.uintp(step * SLOTS)
        if kind == CHOOSE:
            top -= np.uintp(STRIDE)
            _choose(columns, offsets[at], cuts[at], stack, top - np.uintp(STRIDE), top)
            continue
        if kind == WALK:
            _walk(columns, offsets[at], walk_columns, walk_children, walk_cuts, walk_values, stack, top)
        else:
            _put_piece(columns, (kind, _eight(offsets, at), _eight(cuts, at), _eight(leaves, at)), stack, top)
        top += np.uintp(STRIDE)
    _add(stack, sums, to)


@compiled
def _add_block(columns: Numbers, prepared: Any, trees: Any, oblique: Any, stack: Numbers, sums: Numbers) -> None:
    """Add the values of all trees, one after the other, to the sums of a block."""
    kinds, offsets, cuts, leaves = prepared[:4]
    first_step, tree_sums, num_inputs = trees
    first_oblique, directions, oblique_cuts = oblique
    projection = np.empty(BLOCK)
    for tree in range(len(tree_sums)):
        for cut in range(first_oblique[tree], first_oblique[tree + 1]):
            to = np.uintp((num_inputs + cut - first_oblique[tree]) * STRIDE)
            _compare_oblique(columns, directions[cut], oblique_cuts[cut], projection, to)
        first, end = first_step[tree], first_step[tree + 1]
        to = np.uintp(tree_sums[tree])
        if end - first > 1 or kinds[first] == WALK:
            _add_tree(columns, prepared, first, end, stack, sums, to)
            continue
        at = np.uintp(first * SLOTS)
        piece = kinds[first], _eight(offsets, at), _eight(cuts, at), _eight(leaves, at)
        if leaves.itemsize == 8:
            _add_piece(columns, piece, sums, to)
        else:  # a loop of float32 numbers alone handles twice as many at once
            _put_piece(columns, piece, stack, np.uintp(0))
            _add(stack, sums, to)


@compiled
def _fill_missing(columns: Numbers, num_inputs: Any, first_missing: Any) -> None:
    """Copy the inputs of a block column by column, with infinity for NaN (right of all cuts)."""
    for place in range(num_inputs * STRIDE):
        value = columns[np.uintp(place)]
        columns[np.uintp(first_missing + place)] = np.float32(np.inf) if np.isnan(value) else value


@kept
def sum_trees(
    matrix: Numbers, prepared: Any, missing: Any, trees: Any, oblique: Any, scratch: Any, out: Numbers
) -> None:
    """Sums of the trees of a forest.

    Parameters
    ----------
    matrix : array of float32, shape (n_events, n_inputs), contiguous
    prepared : tuple of arrays
        `kinds` to `walk_values` of a `PreparedForest`.
    missing : tuple
        Its `missing_columns`, `missing_walk_columns` and `first_missing`.
    trees : tuple
        Its `first_step` and `sums`, and the number of inputs.
    oblique : tuple of arrays
        Its `first_oblique`, `oblique_directions` and `oblique_cuts`.
    scratch : tuple of arrays
        Place for the columns, the stack and the sums of a block.
    out : array of float64, shape (n_sums, n_events)
    """
    columns, stack, sums = scratch
    missing_columns, missing_walk_columns, first_missing = missing
    kinds, offsets, cuts, leaves, walk_columns, walk_children, walk_cuts, walk_values = prepared
    for start in range(0, len(matrix), BLOCK):
        events = min(BLOCK, len(matrix) - start)
        is_missing = False
        for i in range(events):
            for variable in range(matrix.shape[1]):
                value = matrix[np.uintp(start + i), np.uintp(variable)]
                columns[np.uintp(variable * STRIDE + i)] = value
                is_missing |= np.isnan(value)
        is_missing &= first_missing > 0
        if is_missing:
            _fill_missing(columns, matrix.shape[1], first_missing)
        sums[:] = 0.0
        compared = missing_columns if is_missing else offsets
        walked = missing_walk_columns if is_missing else walk_columns
        block = kinds, compared, cuts, leaves, walked, walk_children, walk_cuts, walk_values
        _add_block(columns, block, trees, oblique, stack, sums)
        for number in range(len(out)):
            for i in range(events):
                out[number, start + i] = sums[number * STRIDE + i]
