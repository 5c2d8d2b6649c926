"""Training against an adversary: its weight λ epoch by epoch, the distances of the control sample, the best epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.models.registries import ACTIVATIONS, require_name
from ntupleml.training.compiled_epoch import EVALUATION_BATCH
from ntupleml.training.control import ControlSample, WithControl, control_trees
from ntupleml.training.modes import Mode
from ntupleml.training.nuisances import Nuisances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.config.adversary import AdversaryConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.training.data import TrainingData
    from ntupleml.training.stopping import Standing


def check_adversary(config: TrainingConfig, where: str, *, conditional: bool) -> None:
    """Refuse, before anything is read, what cannot be trained."""
    adversary = config.adversary
    if adversary is None:
        return
    key = f"{where}: adversary"
    require_name(adversary.activation, ACTIVATIONS, "activation", f"{key}.activation")
    if config.model.quantised is not None:
        raise NtuplemlError(
            f"{key}: a quantised network is trained without an adversary; leave out model.quantised, or the adversary"
        )
    if adversary.ramp >= config.model.epochs:
        raise NtuplemlError(
            f"{key}.ramp: λ rises over {adversary.ramp} epochs, but the training has {config.model.epochs}; only "
            "epochs after the rise can be the best, so it has to be shorter"
        )
    if conditional and config.control is not None:
        raise NtuplemlError(
            f"{key}.against: a control sample has no conditions; train without --conditional, or against formulas"
        )


class Adversarial(Mode):
    """Trains a network and its adversary."""

    shares_programs = False

    def __init__(self, network: Any, data: TrainingData, fold: int) -> None:
        from ntupleml.training.adversarial_model import AdversarialModel

        config = data.config
        super().__init__(network, config.model)
        assert config.adversary is not None
        self._settings, self._config = config.adversary, config
        self._fold = fold
        found = data.preparation.nuisances
        self._nuisances = found if isinstance(found, Nuisances) else None
        self._sample: ControlSample | None = None
        if config.control is not None:
            trees = control_trees(config, fold, data.trees[0].hypotheses)
            self._sample = ControlSample(config, trees, data.preparation)
        heads = [2] if self._nuisances is None else self._nuisances.heads
        halves = self._sample is not None
        self.model = AdversarialModel(network, heads, config.adversary, config.seed, halves=halves)
        #: Loss of an adversary that learns nothing.
        self._ignorance = math.log(2) if self._nuisances is None else self._nuisances.ignorance

    @property
    def more_trees(self) -> list[ClassTree]:
        """Of the control sample."""
        return [] if self._sample is None else self._sample.trees

    def data_of(self, data: TrainingData) -> TrainingData:
        """The events, and rows of the control sample with them."""
        return data if self._sample is None else WithControl(data, self._sample, self._fold)

    def begin(self, epoch: int) -> None:
        """Let λ rise."""
        self.model.factor.assign(weight_in_epoch(self._settings, epoch))

    def more_metrics(self) -> dict[str, float]:
        """λ, and the sum over the slices of the distances of each score, and their sum."""
        measured = {"adversary_weight": float(self.model.factor)}
        if self._sample is not None:
            sums = self._sample.distances(self._scores(self._sample.validation.inputs)).sums
            measured |= {f"ks_{name}": one for name, one in zip(self._config.outputs, sums, strict=True)}
            measured["ks"] = math.fsum(sums)
        return measured

    def _scores(self, inputs: Any) -> NDArray[np.float32]:
        import tensorflow as tf

        if not hasattr(self, "_evaluate"):
            self._evaluate = tf.function(lambda some: self.network(some, training=False), reduce_retracing=True)
        number = len(tf.nest.flatten(inputs)[0])
        starts = range(0, number, EVALUATION_BATCH)
        some = [tf.nest.map_structure(lambda one, s=start: one[s : s + EVALUATION_BATCH], inputs) for start in starts]
        return np.concatenate([np.asarray(self._evaluate(one)) for one in some])

    def standing(self, epoch: int, metrics: Mapping[str, float]) -> Standing:
        """By the K-S limit, then by the validation; of epochs in which λ has risen.

        Without a limit, what the adversary finds in the scores counts with λ.
        """
        standing = super().standing(epoch, metrics)._replace(counts=epoch > self._settings.ramp)
        limit = self._settings.ks_limit
        if limit is not None:
            return standing._replace(excess=max(0.0, self._largest(metrics) - limit))
        found = max(0.0, self._ignorance - metrics["val_adversary_loss"])
        return standing._replace(value=standing.value + self._settings.strength * found)

    def _largest(self, metrics: Mapping[str, float]) -> float:
        return max(metrics[f"ks_{name}"] for name in self._config.outputs)

    def reason(self, epoch: int, history: Mapping[str, list[float]]) -> str:
        """The rule, and what it found."""
        what = "the lowest validation loss" if self.judge == "loss" else f"the best validation {self.judge}"
        limit, metrics = self._settings.ks_limit, {name: values[epoch - 1] for name, values in history.items()}
        if limit is None:
            return f"{what}, with {self._settings.strength:g} times what the adversary found in the scores added"
        largest = self._largest(metrics)
        if largest > limit:
            return f"no epoch has K-S sums of at most {limit:g}, and its largest, {largest:.4f}, comes nearest"
        return f"{what} of the epochs whose largest K-S sum is at most {limit:g}; its is {largest:.4f}"

    def record(self, best: int | None, history: Mapping[str, list[float]]) -> dict[str, Any]:
        """Adversary, rule of the best epoch, and what of the control sample or the nuisances the training found."""
        found: dict[str, Any] = {
            "weights": int(self.model.adversary.count_params()),
            "loss_of_ignorance": self._ignorance,
            "best_epoch": "the last" if best is None else self.reason(best, history),
        }
        if self._sample is not None:
            return {"adversary": found | self._sample.record()}
        assert self._nuisances is not None
        return {"adversary": found | self._nuisances.described(self._config)}


def weight_in_epoch(settings: AdversaryConfig, epoch: int) -> float:
    """λ in an epoch, counted from 0.

    Examples
    --------
    >>> from ntupleml.config.adversary import AdversaryConfig
    >>> settings = AdversaryConfig(against=["m"], weight=4, ramp=2)
    >>> [weight_in_epoch(settings, epoch) for epoch in range(4)]
    [0.0, 2.0, 4.0, 4.0]
    """
    return settings.strength * (min(1.0, epoch / settings.ramp) if settings.ramp else 1.0)
