"""Forests of a given shape, as XGBoost trains them, and the events that they score."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xgboost

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = 3
TRAINING_EVENTS = 4_000


class Shape(NamedTuple):
    """Trees of a forest, inputs, levels of a tree, and leaves of a tree where it may be unbalanced."""

    trees: int
    inputs: int
    depth: int
    leaves: int = 0

    def __str__(self) -> str:
        form = f"up to {self.leaves} leaves, unbalanced" if self.leaves else f"depth {self.depth}"
        return f"{self.trees} trees, {form}, {self.inputs} inputs"


def random_events(number: int, inputs: int, seed: int = 1) -> NDArray[np.float32]:
    """Independent Gaussian inputs."""
    return np.random.default_rng(seed).standard_normal((number, inputs), dtype=np.float32)


def train(shape: Shape) -> xgboost.Booster:
    """Train a forest for three classes on noise, so that its trees become as large as they may."""
    classes = np.random.default_rng(2).integers(0, CLASSES, TRAINING_EVENTS)
    sample = xgboost.DMatrix(random_events(TRAINING_EVENTS, shape.inputs, seed=3), label=classes)
    parameters = {
        "objective": "multi:softprob",
        "num_class": CLASSES,
        "eta": 0.02,
        "max_depth": shape.depth,
        "min_child_weight": 0,
        "max_bin": 64,
        "nthread": 1,
        "seed": 4,
    }
    if shape.leaves:
        parameters |= {"grow_policy": "lossguide", "max_leaves": shape.leaves, "max_depth": 0}
    return xgboost.train(parameters, sample, shape.trees // CLASSES)
