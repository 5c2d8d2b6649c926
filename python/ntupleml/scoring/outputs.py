"""From scores to the branches that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def score_branch_names(classes: Sequence[str], prefix: str) -> list[str]:
    """Names of the new branches: one per class, the largest score and the index of its class.

    Examples
    --------
    >>> score_branch_names(["signal", "background"], "ml_score_")
    ['ml_score_signal', 'ml_score_background', 'ml_score_max_score', 'ml_score_max_index']
    """
    return [f"{prefix}{name}" for name in [*classes, "max_score", "max_index"]]


def max_score_and_index(scores: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Largest score of each event, and the index of its class; the first one where several are equally large.

    Parameters
    ----------
    scores : array of float32, shape (n_events, n_classes)

    Returns
    -------
    max_score, max_index : arrays of float32, shape (n_events,)
        The index is a float, as in htt-ml, so that cuts such as ``ml_score_max_index == 1`` go on working.

    Examples
    --------
    >>> max_score_and_index(np.array([[0.2, 0.4, 0.4]], dtype=np.float32))
    (array([0.4], dtype=float32), array([1.], dtype=float32))
    """
    index = np.argmax(scores, axis=1)
    largest = np.take_along_axis(scores, index[:, None], axis=1)[:, 0]
    return largest.astype(np.float32, copy=False), index.astype(np.float32)
