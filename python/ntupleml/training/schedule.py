"""Schedules of the learning rate: a registry of their settings, each with its formula.

Rates rise to, and fall from, the `learning_rate` of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from ntupleml.config.schema import Schema
from ntupleml.errors import NtuplemlError
from ntupleml.models.registries import chosen_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.config import ModelConfig

_Rate = Annotated[float, Field(ge=0, le=1e6)]
_Epochs = Annotated[int, Field(ge=0)]


class Schedule(Schema):
    """Settings of a schedule, and the learning rates that they mean."""

    #: Whether the rates depend on the number of all epochs.
    spans_epochs: ClassVar[bool] = False

    def problem(self, epochs: int) -> str | None:
        """What is wrong with the settings for a number of epochs."""
        return None

    def rates(self, peak: float, epoch: int, epochs: int, steps: int) -> NDArray[np.float64] | None:
        """Learning rates of an epoch: one, or one for each step; None where it stays as it is.

        Parameters
        ----------
        peak : float
            Learning rate of the model.
        epoch : int
            Counted from 0.
        epochs, steps : int
            Number of all epochs, and of batches in each.
        """
        return None


class Constant(Schedule):
    """The learning rate of the model."""


class Plateau(Schedule):
    """Keras' ReduceLROnPlateau: the rate is multiplied by a factor where the validation loss improves no more."""

    patience: Annotated[int, Field(ge=1)] = 5
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1


class Steps(Schedule):
    """Other rates after some epochs, such as TMVA's LearningRateSchedule."""

    #: By the number of epochs after which they hold.
    after: Annotated[dict[_Epochs, _Rate], Field(min_length=1)]

    def rates(self, peak: float, epoch: int, epochs: int, steps: int) -> NDArray[np.float64]:
        """The rate that holds since the last of these epochs."""
        begun = [number for number in self.after if number <= epoch]
        return np.array([self.after[max(begun)] if begun else peak])


class Cosine(Schedule):
    """Linear warm-up, then half a period of a cosine, step by step (Loshchilov and Hutter, arXiv:1608.03983)."""

    spans_epochs: ClassVar = True
    #: Epochs of the warm-up.
    warm_up: float = Field(default=0.0, ge=0)
    initial: _Rate = 0.0
    final: _Rate = 0.0

    def problem(self, epochs: int) -> str | None:
        """A warm-up without an end."""
        if self.warm_up < epochs:
            return None
        return f"warm_up: {self.warm_up:g} epochs, but the training has {epochs}; it has to be shorter"

    def rates(self, peak: float, epoch: int, epochs: int, steps: int) -> NDArray[np.float64]:
        """Of each step; those of Keras' CosineDecay."""
        step, warm_up = epoch * steps + np.arange(steps), self.warm_up * steps
        rising = self.initial + (peak - self.initial) * step / max(warm_up, 1)
        falling = self.final + (peak - self.final) * _fall((step - warm_up) / (epochs * steps - warm_up))
        return np.where(step < warm_up, rising, falling)


class Ramp(Schedule):
    """Burn-in, rise along a cosine, plateau, fall along a cosine, epoch by epoch; then it stays at the end."""

    initial: _Rate
    final: _Rate
    #: Epochs of each part.
    burn_in: _Epochs = 0
    ramp_up: _Epochs
    plateau: _Epochs = 0
    ramp_down: _Epochs

    def rates(self, peak: float, epoch: int, epochs: int, steps: int) -> NDArray[np.float64]:
        """Of the epoch; each cosine reaches its end in the last epoch of its part."""
        risen = epoch - self.burn_in
        fallen = risen - self.ramp_up - self.plateau
        rate = self.final
        if risen < 0:
            rate = self.initial
        elif risen < self.ramp_up:
            rate = self.initial + (peak - self.initial) * (1 - _fall((risen + 1) / self.ramp_up))
        elif fallen < 0:
            rate = peak
        elif fallen < self.ramp_down:
            rate = self.final + (peak - self.final) * _fall((fallen + 1) / self.ramp_down)
        return np.array([rate])


class OneCycle(Schedule):
    """Up and down along straight lines, then further down, step by step (Smith and Topin, arXiv:1708.07120)."""

    spans_epochs: ClassVar = True
    #: Share of the training in which the rate rises and falls back.
    cycle: float = Field(default=0.9, gt=0, lt=1)
    #: By default a tenth of the model's learning rate, and a hundredth of that.
    initial: _Rate | None = None
    final: _Rate | None = None

    def rates(self, peak: float, epoch: int, epochs: int, steps: int) -> NDArray[np.float64]:
        """Of each step, between the corners."""
        initial = peak / 10 if self.initial is None else self.initial
        final = initial / 100 if self.final is None else self.final
        end = epochs * steps
        corners = np.array([0, self.cycle / 2, self.cycle, 1]) * end
        return np.interp(epoch * steps + np.arange(steps), corners, [initial, peak, initial, final])


def _fall(done: Any) -> Any:
    """Half a period of a cosine: from 1 where nothing is done to 0 where all is."""
    return (1 + np.cos(np.pi * done)) / 2


#: Schedules by the names that a config has.
SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "plateau": Plateau,
    "ramp": Ramp,
    "steps": Steps,
}


def schedule_of(config: ModelConfig, where: str = "model") -> Schedule:
    """Schedule that the `model` block of a training config means.

    Raises
    ------
    NtuplemlError
        For an unknown schedule or setting, and for settings that do not go with the number of epochs.
    """
    if config.schedule is None:
        patience = config.reduce_lr_on_plateau
        return Constant() if patience is None else Plateau(patience=patience)
    schedule = chosen_block(config.schedule, SCHEDULES, "schedule", f"{where}.schedule")
    problem = schedule.problem(config.epochs)
    if problem is not None:
        raise NtuplemlError(f"{where}.schedule.{problem}")
    return schedule
