"""Scores of a forest: blocks of events against tree after tree, on the processor's vector units.

The fastest way to a forest's answers here, and the same answers as its ONNX form gives. Sums are double and in the
order of the trees, as in TMVA, so that they depend neither on the other events nor on the number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.forests.layout import STRIDE, PreparedForest, prepare

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from ntupleml.forests.forest import Forest, PreselectionCut

__all__ = ["PreparedForest", "evaluate", "prepare"]

#: Events per step of one thread: enough to hide its beginning, few enough that the sums stay in the cache.
_CHUNK = 16_384
#: Numbers that a step may keep, where the value of every single tree is needed.
_MOST_NUMBERS = 4_000_000


def evaluate(forest: Forest | PreparedForest, matrix: NDArray[np.float32], threads: int = 1) -> NDArray[np.float64]:
    """Outputs of a forest for events.

    Parameters
    ----------
    forest : Forest or PreparedForest
        What `prepare` returns saves its work where one forest is evaluated often.
    matrix : array of float32, shape (n_events, n_inputs)
        NaN goes where the forest sends it.

    Returns
    -------
    array of float64, shape (n_events, n_outputs)

    Raises
    ------
    ValueError
        If the matrix is not of this type and shape, or the arrays of the forest do not fit together.

    Notes
    -----
    The first call in a process loads the compiled loops from numba's cache, or compiles them.
    """
    prepared = forest if isinstance(forest, PreparedForest) else prepare(forest)
    num_inputs, num_outputs = prepared.forest.num_inputs, prepared.forest.num_outputs
    if matrix.ndim != 2 or matrix.shape[1] != num_inputs or matrix.dtype != np.float32:
        raise ValueError(f"inputs of shape {matrix.shape}, {matrix.dtype}; (n_events, {num_inputs}) float32 needed")
    out = np.empty((len(matrix), num_outputs))
    chunk = min(_CHUNK, max(1, _MOST_NUMBERS // _number_of_sums(prepared)))

    def score(start: int) -> None:
        out[start : start + chunk] = _outputs(prepared, matrix[start : start + chunk]).T

    starts = range(0, len(matrix), chunk)
    if threads > 1 and len(starts) > 1:
        with ThreadPoolExecutor(min(threads, len(starts))) as pool:
            list(pool.map(score, starts))
    else:
        for start in starts:
            score(start)
    return out


def _number_of_sums(prepared: PreparedForest) -> int:
    forest = prepared.forest
    return forest.num_trees if forest.link == "weighted_median" else forest.num_outputs


def _outputs(prepared: PreparedForest, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Outputs of some events, shape (n_outputs, n_events)."""
    forest = prepared.forest
    outputs = _link(forest, _sums(prepared, matrix))
    for cut in reversed(forest.preselection):
        outputs[:, _is_cut(cut, matrix)] = cut.response
    return outputs


def _is_cut(cut: PreselectionCut, matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    column = matrix[:, cut.feature].astype(np.float64)
    return column > cut.value if cut.above else column < cut.value


def _sums(prepared: PreparedForest, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    from ntupleml.forests import loops  # numba takes half a second to import

    number_of_sums = _number_of_sums(prepared)
    contiguous = np.require(matrix, requirements=["C_CONTIGUOUS", "ALIGNED"]).view()
    contiguous.flags.writeable = False  # one type of array, so that the loops are compiled once
    out = np.empty((number_of_sums, len(matrix)))
    loops.sum_trees(
        contiguous,
        (
            prepared.kinds,
            prepared.columns,
            prepared.cuts,
            prepared.leaves,
            prepared.walk_columns,
            prepared.walk_children,
            prepared.walk_cuts,
            prepared.walk_values,
        ),
        (prepared.missing_columns, prepared.missing_walk_columns, prepared.first_missing),
        (prepared.first_step, prepared.sums, prepared.forest.num_inputs),
        (prepared.first_oblique, prepared.oblique_directions, prepared.oblique_cuts),
        (
            _aligned_zeros(prepared.num_columns * STRIDE, np.float32),
            _aligned_zeros(prepared.stack_size * STRIDE, prepared.leaves.dtype),
            _aligned_zeros(number_of_sums * STRIDE, np.float64),
        ),
        out,
    )
    return out


def _aligned_zeros(length: int, dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that begin with a line of the processor's cache, so that no vector lies in two of them: twice as fast."""
    line = 64
    raw = np.zeros(length * np.dtype(dtype).itemsize + line, dtype=np.uint8)
    begin = -raw.ctypes.data % line
    return raw[begin : begin + length * np.dtype(dtype).itemsize].view(dtype)


def _link(forest: Forest, sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outputs from sums, shape (n_outputs, n_events), or from the values of all trees for ``weighted_median``.

    Softmax and tanh as in TMVA's ``MethodBDT``; the former with the largest sum subtracted, which changes nothing but
    the last bits.
    """
    if forest.link == "weighted_median":
        sums = _weighted_median(sums, forest.tree_weights)
    if len(forest.offsets):
        sums += forest.offsets[:, np.newaxis]
    if forest.divisor != 1:
        sums /= forest.divisor
    with np.errstate(over="ignore", under="ignore"):
        if forest.link == "tanh":
            return 2.0 / (1.0 + np.exp(-2.0 * sums)) - 1.0
        if forest.link == "sigmoid":
            return 1.0 / (1.0 + np.exp(-sums))
        if forest.link == "softmax":
            sums -= sums.max(axis=0)
            np.exp(sums, out=sums)
            # in this order whatever the number of events, unlike numpy's sum
            sums /= reduce(np.add, sums)
    return sums


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the trees' values around their weighted median, from shape (n_trees, n_events) to (1, n_events).

    As TMVA's ``MethodBDT`` does for AdaBoost.R2: the values are sorted, t is the number of the smallest of them that
    are needed for more than half of the sum of weights, and those from t − n // 6 − 1 to t + n // 6 are averaged.
    """
    number = len(values)
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    # cumsum adds one after the other, whatever the shape, as TMVA does
    sums_of_weights = np.cumsum(weights[order], axis=0)
    median = 1 + np.argmax(sums_of_weights > np.cumsum(weights)[-1] / 2.0, axis=0)
    lowest = np.maximum(median - number // 6 - 1, 0)
    end = np.minimum(median + number // 6, number)
    rank = np.arange(number)[:, np.newaxis]
    inside = (rank >= lowest) & (rank < end)
    totals: NDArray[np.float64] = np.cumsum(np.where(inside, ordered, 0.0), axis=0)[-1:]
    totals /= end - lowest
    return totals
