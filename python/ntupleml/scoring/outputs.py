"""From scores to the branches that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


#: What TMVA's Reader answers to an event with NaN among its inputs.
NO_ANSWER = -999.0
#: `max_index` of such an event, and of one whose scores are NaN: no class.
NO_CLASS = -1.0

#: What the one value of a classifier of two classes says.
#:
#: ``response``: from −1 (second class) to 1 (first class), as TMVA's BDT, whose signal is the first class.
#: ``first``, ``second``: probability of the first class (TMVA's MLP and Likelihood), of the second (XGBoost,
#: scikit-learn). ``discriminant``: the larger, the more like the first class, without bounds (Fisher, LD).
Binary = Literal["response", "first", "second", "discriminant"]


def class_scores(values: NDArray[Any], num_classes: int, binary: Binary) -> NDArray[Any]:
    """Scores per class from what a model gives: unchanged, or for two classes made from its one value.

    Parameters
    ----------
    values : array of float, shape (n_events, n_classes), or (n_events, 1) for two classes
    binary : Binary
        What one value says.

    Returns
    -------
    array of float, shape (n_events, n_classes)

    Examples
    --------
    >>> class_scores(np.array([[-0.5], [1.0]]), 2, "response")
    array([[0.25, 0.75],
           [1.  , 0.  ]])
    """
    if values.shape[1] == num_classes:
        return values
    if (values.shape[1], num_classes) != (1, 2):
        raise ValueError(f"{values.shape[1]} values for {num_classes} classes")
    value = values[:, 0]
    if binary == "response":
        first, second = (1 + value) / 2, (1 - value) / 2
    elif binary == "first":
        first, second = value, 1 - value
    elif binary == "second":
        first, second = 1 - value, value
    else:
        first, second = value, -value
    scores = np.stack([first, second], axis=1)
    scores[value == NO_ANSWER] = NO_ANSWER
    return scores


def score_branch_names(outputs: Sequence[str], prefix: str, *, with_max: bool = True) -> list[str]:
    """Names of the new branches: one per score; of classes also the largest score and the index of its class.

    Examples
    --------
    >>> score_branch_names(["signal", "background"], "ml_score_")
    ['ml_score_signal', 'ml_score_background', 'ml_score_max_score', 'ml_score_max_index']
    """
    return [f"{prefix}{name}" for name in [*outputs, *(("max_score", "max_index") if with_max else ())]]


def spread_branch_names(outputs: Sequence[str], prefix: str) -> list[str]:
    """Names of the branches that hold how far the members of ensembles disagree.

    Examples
    --------
    >>> spread_branch_names(["signal"], "ml_score_")
    ['ml_score_signal_spread']
    """
    return [f"{prefix}{name}_spread" for name in outputs]


def max_score_and_index(scores: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Largest score of each event, and the index of its class; the first one where several are equally large.

    Parameters
    ----------
    scores : array of float32, shape (n_events, n_classes)

    Returns
    -------
    max_score, max_index : arrays of float32, shape (n_events,)
        The index is a float, as in htt-ml, so that cuts such as ``ml_score_max_index == 1`` go on working. For
        events without an answer (NaN among the inputs of a TMVA method) they are −999 or NaN, as the scores, and −1:
        no class, so that no such cut takes them.

    Examples
    --------
    >>> max_score_and_index(np.array([[0.2, 0.4, 0.4]], dtype=np.float32))
    (array([0.4], dtype=float32), array([1.], dtype=float32))
    """
    index = np.argmax(scores, axis=1)
    largest = np.take_along_axis(scores, index[:, None], axis=1)[:, 0]
    number = np.where((largest == NO_ANSWER) | np.isnan(largest), NO_CLASS, index)
    return largest.astype(np.float32, copy=False), number.astype(np.float32)
