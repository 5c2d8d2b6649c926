"""What a network makes of its inputs before its last layer, in few dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Points of t-SNE; with more it takes minutes.
MOST_POINTS = 2_000
#: Share of the variance that is said to be all of it.
_NEARLY_ALL = 0.95


class PrincipalComponents(NamedTuple):
    """Principal components of some rows."""

    #: Shape (n_rows, 2). The first two, in units of the columns.
    points: NDArray[np.float64]
    #: Shape (n_components,). Share of the variance along each, falling.
    shares: NDArray[np.float64]

    @property
    def needed(self) -> int:
        """How many components have 95 % of the variance."""
        return int(np.searchsorted(np.cumsum(self.shares), _NEARLY_ALL - 1e-12)) + 1


def principal_components(rows: NDArray[np.floating]) -> PrincipalComponents | Undefined:
    """Principal components of rows that count the same, whatever the weights of their events.

    Notes
    -----
    Eigenvectors of the covariance of the columns, by singular values; signs are such that the largest entry of each
    eigenvector is positive.

    Examples
    --------
    >>> principal_components(np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])).points[:, 0]
    array([-2.,  0.,  2.])
    """
    if len(rows) < 2:
        return Undefined("fewer than two events")
    values = np.asarray(rows, np.float64)
    values = values - values.mean(axis=0)
    _, sizes, directions = np.linalg.svd(values, full_matrices=False)
    if not sizes.any():
        return Undefined("all events have the same values")
    largest = np.abs(directions).argmax(axis=1)
    directions *= np.sign(directions[np.arange(len(directions)), largest])[:, None]
    points = np.zeros((len(values), 2))
    points[:, : min(2, len(directions))] = values @ directions[:2].T
    return PrincipalComponents(points, np.square(sizes) / np.square(sizes).sum())


def neighbourhoods(rows: NDArray[np.floating], seed: int) -> NDArray[np.float64] | Undefined:
    """Rows in a plane where neighbours stay neighbours: t-SNE (van der Maaten and Hinton, JMLR 9 (2008) 2579).

    Returns
    -------
    array of float64, shape (n_rows, 2), or Undefined
        Distances between groups in it mean nothing.
    """
    from sklearn.manifold import TSNE

    if len(rows) < 10:
        return Undefined("fewer than ten events")
    perplexity = min(30.0, (len(rows) - 1) / 3)
    found: NDArray[np.float64] = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        np.asarray(rows, np.float32)
    )
    return found
