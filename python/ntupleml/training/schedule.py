"""When training stops, which epoch was the best, and when the learning rate is reduced."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

#: Factor by which the learning rate is reduced, and the improvement that counts there, as Keras has them.
REDUCTION = 0.1
SMALLEST_IMPROVEMENT = 1e-4


class Decision(NamedTuple):
    """What follows from an epoch."""

    best: bool
    reduce_learning_rate: bool
    stop: bool


@dataclass
class Schedule:
    """Follows the validation loss, by the rules of Keras' EarlyStopping and ReduceLROnPlateau."""

    #: Lowest validation loss, its epoch (from 1; 0 before the first), and epochs since then.
    best_loss: float = math.inf
    best_epoch: int = 0
    waited: int = 0
    #: The same for the learning rate, where an improvement below 1e-4 does not count.
    plateau_loss: float = math.inf
    plateau_waited: int = 0

    def observe(self, epoch: int, loss: float, patience: int | None, plateau_patience: int | None) -> Decision:
        """Take note of the validation loss of an epoch (counted from 1)."""
        best = loss < self.best_loss
        if best:
            self.best_loss, self.best_epoch = loss, epoch
        self.waited = 0 if best else self.waited + 1
        stop = patience is not None and epoch > 1 and self.waited >= patience
        if loss < self.plateau_loss - SMALLEST_IMPROVEMENT:
            self.plateau_loss, self.plateau_waited = loss, 0
        else:
            self.plateau_waited += 1
        reduce = plateau_patience is not None and self.plateau_waited >= plateau_patience
        if reduce:
            self.plateau_waited = 0
        return Decision(best, reduce, stop)

    def is_over(self, patience: int | None) -> bool:
        """Whether early stopping has ended the training."""
        return patience is not None and self.best_epoch > 0 and self.waited >= patience

    def as_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return asdict(self)
