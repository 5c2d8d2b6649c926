"""Random forests, and their answers by the definition: one event, one tree, one node after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.forests import FIRST_OBLIQUE, LEAF, Forest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def random_forest(
    generator: np.random.Generator,
    *,
    num_trees: int = 7,
    num_inputs: int = 3,
    num_outputs: int = 1,
    depth: int = 3,
    unbalanced: float = 0.0,
    leaf_type: type[np.floating[Any]] = np.float32,
    num_oblique: int = 0,
    missing_right: float = 0.0,
    **others: Any,
) -> Forest:
    """Trees of at most this depth, of which a share of the inner nodes is a leaf; the nodes lie in no order.

    NaN goes to the right at a share of the nodes.
    """
    nodes: list[list[float]] = []

    def grow(levels: int) -> int:
        nodes.append([LEAF, 0.0, -1, -1, 0.0])
        node = len(nodes) - 1
        if levels == 0 or generator.random() < unbalanced:
            nodes[node][4] = float(leaf_type(generator.normal()))
        else:
            feature = int(generator.integers(-num_oblique, num_inputs))
            feature = feature if feature >= 0 else FIRST_OBLIQUE + feature + 1
            # few different cuts, so that events lie on them
            nodes[node][:4] = [feature, np.float32(generator.integers(-8, 8) / 5), grow(levels - 1), grow(levels - 1)]
        return node

    roots = np.array([grow(depth) for _ in range(num_trees)])
    places = generator.permutation(len(nodes))
    columns = np.empty((len(nodes), 5))
    columns[places] = nodes
    inner = columns[:, 0] != LEAF
    left, right = columns[:, 2].astype(np.int32), columns[:, 3].astype(np.int32)
    return Forest(
        num_inputs=num_inputs,
        num_outputs=num_outputs,
        roots=places[roots].astype(np.int64),
        tree_outputs=generator.integers(0, num_outputs, num_trees),
        features=columns[:, 0].astype(np.int32),
        cuts=columns[:, 1].astype(np.float32),
        left=np.where(inner, places[left], -1).astype(np.int32),
        right=np.where(inner, places[right], -1).astype(np.int32),
        values=columns[:, 4],
        directions=generator.normal(size=(num_oblique, num_inputs + 1)),
        missing_right=(generator.random(len(nodes)) < missing_right) if missing_right else np.zeros(0, dtype=bool),
        **others,
    )


def random_matrix(generator: np.random.Generator, num_events: int, num_inputs: int) -> NDArray[np.float32]:
    """Inputs of which a part lies exactly on the cuts, and some are infinite or NaN."""
    matrix = generator.normal(size=(num_events, num_inputs))
    on_cuts = generator.random(matrix.shape) < 0.5
    matrix[on_cuts] = generator.integers(-8, 8, int(on_cuts.sum())) / 5
    special = generator.random(matrix.shape) < 0.03
    matrix[special] = generator.choice([np.nan, np.inf, -np.inf], int(special.sum()))
    return matrix.astype(np.float32)


def leaf_of(forest: Forest, tree: int, event: NDArray[np.float32]) -> float:
    """Value of the leaf that an event comes to."""
    node = forest.roots[tree]
    while forest.features[node] != LEAF:
        feature = forest.features[node]
        if feature >= 0:
            goes_right = bool(event[feature] >= forest.cuts[node])
            if math.isnan(event[feature]) and len(forest.missing_right):
                goes_right = bool(forest.missing_right[node])
        else:
            direction = forest.directions[FIRST_OBLIQUE - feature]
            combination = float(direction[-1])
            for coefficient, value in zip(direction[:-1], event, strict=True):
                combination += float(coefficient) * float(value)
            goes_right = combination > float(forest.cuts[node])
        node = forest.right[node] if goes_right else forest.left[node]
    return float(forest.values[node])


def linked(forest: Forest, sums: list[float]) -> list[float]:
    """Outputs of one event, as TMVA's MethodBDT and XGBoost compute them."""
    if forest.link == "tanh":
        return [2.0 / (1.0 + math.exp(-2.0 * value)) - 1.0 for value in sums]
    if forest.link == "sigmoid":
        return [1.0 / (1.0 + math.exp(-value)) for value in sums]
    if forest.link == "softmax":
        return [1.0 / sum(math.exp(other - value) for other in sums) for value in sums]
    return sums


def plain_answers(forest: Forest, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Answers by the definition, for all links that start from sums."""
    rows = []
    for event in matrix:
        sums = [0.0] * forest.num_outputs
        for tree in range(forest.num_trees):
            sums[forest.tree_outputs[tree]] += leaf_of(forest, tree, event)
        if len(forest.offsets):
            sums = [value + float(offset) for value, offset in zip(sums, forest.offsets, strict=True)]
        rows.append(linked(forest, [value / forest.divisor for value in sums]))
    return np.array(rows).reshape(len(matrix), forest.num_outputs)


@pytest.fixture(scope="session")
def make_forest() -> Callable[..., Forest]:
    return random_forest


@pytest.fixture(scope="session")
def make_matrix() -> Callable[..., NDArray[np.float32]]:
    return random_matrix


@pytest.fixture(scope="session")
def answers() -> Callable[..., NDArray[np.float64]]:
    return plain_answers


@pytest.fixture(scope="session")
def leaf() -> Callable[..., float]:
    return leaf_of
