"""When training stops, which epoch was the best, and when the loss is at a plateau."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

#: Improvement of the loss that ends a plateau, as Keras has it.
SMALLEST_IMPROVEMENT = 1e-4


class Standing(NamedTuple):
    """How good an epoch is; small is good, and what comes first decides."""

    #: By how much a limit is exceeded.
    excess: float
    value: float
    #: Whether the epoch can be the best; where it cannot, nothing is waited for.
    counts: bool = True


class Decision(NamedTuple):
    """What follows from an epoch."""

    best: bool
    reduce_learning_rate: bool
    stop: bool


@dataclass
class Stopping:
    """Follows the validation, by the rules of Keras' EarlyStopping and ReduceLROnPlateau."""

    #: By how much the best epoch exceeds a limit, its value of what tells the best one (low is good), that epoch (from
    #: 1; 0 before the first), and epochs since then.
    best_excess: float = math.inf
    best_loss: float = math.inf
    best_epoch: int = 0
    waited: int = 0
    #: The same of the validation loss for the learning rate, where an improvement below 1e-4 does not count.
    plateau_loss: float = math.inf
    plateau_waited: int = 0

    def observe(
        self,
        epoch: int,
        loss: float,
        patience: int | None,
        plateau_patience: int | None,
        standing: Standing | None = None,
    ) -> Decision:
        """Take note of the validation of an epoch (counted from 1).

        Parameters
        ----------
        loss : float
            Of the validation.
        standing : Standing, optional
            What tells the best epoch; by default the loss.
        """
        excess, value, counts = standing or Standing(0.0, loss)
        best = counts and (excess, value) < (self.best_excess, self.best_loss)
        if best:
            self.best_excess, self.best_loss, self.best_epoch = excess, value, epoch
        self.waited = 0 if best or not counts else self.waited + 1
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
