"""Training boosted trees on fold files, by the libraries that `ntupleml.training.trainers` lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.training.listed_methods import train_listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.training.jobs import TrainingOptions


def train_boosted_trees(
    config: TrainingConfig,
    folds: Sequence[int],
    options: TrainingOptions | None = None,
    where: str = "training config",
) -> list[TrainingRecord]:
    """Train the boosted trees of each fold; as `ntupleml.training.listed_methods.train_listed`."""
    return train_listed(config, "boosted_trees", folds, options, where)
