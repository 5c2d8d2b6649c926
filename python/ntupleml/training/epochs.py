"""The loop over epochs: train, validate, follow the schedule, log a line, keep a checkpoint."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.training.checkpoint import save_checkpoint
from ntupleml.training.compiled_epoch import EpochRunner
from ntupleml.training.schedule import REDUCTION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ntupleml.config import ModelConfig
    from ntupleml.training.checkpoint import Progress
    from ntupleml.training.data import TrainingData

log = logging.getLogger(__name__)

#: Seconds between checkpoints; in units of the time that one takes, where that is more.
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 50.0
#: Metrics that the line of an epoch shows, and how.
_SHOWN = {
    **dict.fromkeys(("loss", "val_loss"), ".5f"),
    **dict.fromkeys(("accuracy", "val_accuracy"), ".4f"),
    **dict.fromkeys(("mean_absolute_error", "val_mean_absolute_error"), ".5f"),
}


def train_epochs(
    model: Any,
    data: TrainingData,
    settings: ModelConfig,
    progress: Progress,
    checkpoint: Path,
    identity: dict[str, Any],
    learning_rates: Mapping[int, float] | None = None,
) -> str:
    """Train until the epochs are done or early stopping ends it, then restore the best weights where asked.

    Parameters
    ----------
    model : keras.Model
        In the state after `progress.epoch` epochs.
    progress : Progress
        Updated epoch by epoch.
    checkpoint : Path
        Written after the first epoch, about every 30 seconds, and at the end.
    identity : dict
        Goes into the checkpoint.
    learning_rates : mapping of int to float, optional
        By the number of the epoch, counted from 0 as Keras does, from which on they hold.

    Returns
    -------
    str
        How epochs were compiled, see `EpochRunner`.
    """
    runner = EpochRunner(model, data.batching.size)
    next_checkpoint = 0.0
    while progress.epoch < settings.epochs and not progress.schedule.is_over(settings.early_stopping):
        if learning_rates and progress.epoch in learning_rates:
            model.optimizer.learning_rate.assign(np.float32(learning_rates[progress.epoch]))
        metrics = _one_epoch(runner, model, data, progress.epoch + 1)
        progress.epoch += 1
        for name, value in metrics.items():
            progress.history.setdefault(name, []).append(value)
        decision = progress.schedule.observe(
            progress.epoch, metrics["val_loss"], settings.early_stopping, settings.reduce_lr_on_plateau
        )
        if decision.best and keeps_best(settings):
            progress.best_weights = model.get_weights()
        if decision.reduce_learning_rate:
            _reduce_learning_rate(model)
        if time.monotonic() >= next_checkpoint:
            next_checkpoint = _timed_checkpoint(checkpoint, model, progress, identity)
        if decision.stop:
            log.info("early stopping: no better validation loss since epoch %d", progress.schedule.best_epoch)
    save_checkpoint(checkpoint, model, progress, identity)
    if keeps_best(settings) and progress.best_weights:
        model.set_weights(progress.best_weights)
        log.info("weights of the best epoch, %d, are kept", progress.schedule.best_epoch)
    return runner.compiled


def keeps_best(settings: ModelConfig) -> bool:
    """Whether the weights of the best epoch are kept, not those of the last."""
    return settings.save_best_only or settings.early_stopping is not None


def _one_epoch(runner: EpochRunner, model: Any, data: TrainingData, epoch: int) -> dict[str, float]:
    start = time.perf_counter()
    learning_rate = float(model.optimizer.learning_rate)
    metrics = runner.train(data.training_blocks(epoch))
    metrics |= {f"val_{name}": value for name, value in runner.evaluate(data.validation_blocks()).items()}
    seconds = time.perf_counter() - start
    bad = [name for name in ("loss", "val_loss") if not math.isfinite(metrics[name])]
    if bad:
        raise NtuplemlError(
            f"the {bad[0]} became {metrics[bad[0]]} in epoch {epoch}; lower model.learning_rate or the weights' scale, "
            "or choose another preprocessing"
        )
    shown = [f"{name} {metrics[name]:{form}}" for name, form in _SHOWN.items() if name in metrics]
    log.info("epoch %d: %s, learning rate %.3g, %.2f s", epoch, ", ".join(shown), learning_rate, seconds)
    return metrics | {"learning_rate": learning_rate, "seconds": seconds}


def _reduce_learning_rate(model: Any) -> None:
    old = float(model.optimizer.learning_rate)
    model.optimizer.learning_rate.assign(np.float32(old * REDUCTION))
    log.info("learning rate reduced from %.3g to %.3g", old, old * REDUCTION)


def _timed_checkpoint(path: Path, model: Any, progress: Progress, identity: dict[str, Any]) -> float:
    """Write a checkpoint and return the time from which on the next is due."""
    start = time.monotonic()
    save_checkpoint(path, model, progress, identity)
    seconds = time.monotonic() - start
    return start + max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * seconds)
