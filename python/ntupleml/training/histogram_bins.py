"""Bins of the inputs for scikit-learn's histogram boosting, which is trained on their numbers.

Since its version 1.8 scikit-learn computes each edge with event weights and from all events anew, which takes longer
than to train; inputs with as few values as there are bins it takes as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Bins of an input where the options do not say it, scikit-learn's default.
MOST_BINS = 255


def bin_edges(inputs: NDArray[np.float32], max_bins: int = MOST_BINS) -> list[NDArray[np.float64]]:
    """Edges between the bins of each input: half way between its values if they are few, else quantiles.

    Parameters
    ----------
    inputs : array of float32, shape (n_events, n_inputs)
        Finite.
    max_bins : int
        Largest number of bins.

    Returns
    -------
    list of array of float64
        Increasing edges of each input; an input with a single value has none.

    Examples
    --------
    >>> bin_edges(np.array([[1, 7], [2, 7], [4, 7]], dtype=np.float32))
    [array([1.5, 3. ]), array([], dtype=float64)]
    """
    return [_edges(inputs[:, index].astype(np.float64), max_bins) for index in range(inputs.shape[1])]


def _edges(values: NDArray[np.float64], max_bins: int) -> NDArray[np.float64]:
    distinct = np.unique(values)
    if len(distinct) <= max_bins:
        return (distinct[:-1] + distinct[1:]) / 2
    shares = np.arange(1, max_bins) / max_bins
    return np.unique(np.quantile(values, shares, method="averaged_inverted_cdf"))


def bin_numbers(inputs: NDArray[np.float32], edges: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Number of the bin that each input is in: how many edges are below it.

    Float64, since scikit-learn would make it so.

    Examples
    --------
    >>> bin_numbers(np.array([[1], [1.5], [2], [4]], dtype=np.float32), [np.array([1.5, 3.0])]).T
    array([[0., 0., 1., 2.]])
    """
    numbers = np.empty(inputs.shape)
    for index, of_input in enumerate(edges):
        numbers[:, index] = np.searchsorted(of_input, inputs[:, index], side="left")
    return numbers


def cuts_to_inputs(estimator: Any, edges: Sequence[NDArray[np.float64]]) -> None:
    """Let a forest that was fitted to the numbers of bins take the inputs themselves.

    Parameters
    ----------
    estimator : sklearn.ensemble.HistGradientBoostingClassifier
        Changed in place.
    edges : sequence of array
        As `bin_edges` gave them.
    """
    lengths = [len(of_input) for of_input in edges]
    start = np.cumsum([0, *lengths[:-1]])
    all_edges = np.concatenate(edges)
    for trees in estimator._predictors:
        for tree in trees:
            inner = tree.nodes["is_leaf"] == 0
            # A cut at or above the number k, and below k + 1, keeps the bins up to k at its left.
            last = np.floor(tree.nodes["num_threshold"][inner]).astype(np.int64)
            tree.nodes["num_threshold"][inner] = all_edges[start[tree.nodes["feature_idx"][inner]] + last]
