"""A forest of decision trees as flat arrays: the one form that boosted trees of every library are brought to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

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
