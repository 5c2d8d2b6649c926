"""The loop over epochs: train, validate, follow the schedule, log a line, keep a checkpoint."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.progress import duration
from ntupleml.training.checkpoint import save_checkpoint
from ntupleml.training.kept_epochs import keep_best
from ntupleml.training.schedule import Plateau, schedule_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.config import ModelConfig
    from ntupleml.training.checkpoint import Progress
    from ntupleml.training.compiled_epoch import Block, EpochRunner
    from ntupleml.training.data import TrainingData
    from ntupleml.training.jobs import Follower
    from ntupleml.training.modes import Mode

log = logging.getLogger(__name__)

#: Seconds between checkpoints; in units of the time that one takes, where that is more.
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 50.0
#: Seconds of which no line says that they are left.
_SHORT = 2.0
#: Metrics that the line of an epoch shows, and how.
_SHOWN = {
    **dict.fromkeys(("loss", "val_loss"), ".5f"),
    **dict.fromkeys(("accuracy", "val_accuracy"), ".4f"),
    **dict.fromkeys(("mean_absolute_error", "val_mean_absolute_error"), ".5f"),
    **dict.fromkeys(("adversary_loss", "val_adversary_loss"), ".5f"),
    **dict.fromkeys(("distance_correlation", "val_distance_correlation"), ".4f"),
    "ks": ".4f",
    "ebops": ".0f",
}


def train_epochs(
    runner: EpochRunner,
    mode: Mode,
    data: TrainingData,
    settings: ModelConfig,
    progress: Progress,
    checkpoint: Path,
    identity: dict[str, Any],
    learning_rate: float,
    followers: Sequence[Follower] = (),
) -> str:
    """Train until the epochs are done or early stopping ends it, then restore the best weights where asked.

    Parameters
    ----------
    runner : EpochRunner
        Of the mode's model.
    mode : Mode
        Its model is in the state after `progress.epoch` epochs.
    progress : Progress
        Updated epoch by epoch.
    checkpoint : Path
        Written after the first epoch, about every 30 seconds, and at the end.
    identity : dict
        Goes into the checkpoint.
    learning_rate : float
        Of the model before the first epoch, from which the schedule makes those of all epochs.
    followers : sequence of callable
        Each gets the history after each epoch: lists of metrics, such as `val_loss`, by their names.

    Returns
    -------
    str
        How epochs were compiled, see `EpochRunner`.
    """
    model = mode.model
    schedule = schedule_of(settings)
    plateau = schedule if isinstance(schedule, Plateau) else None
    plateau_patience = None if plateau is None else plateau.patience
    steps = data.batching.steps or -(-data.num_training // data.batching.size)
    next_checkpoint = 0.0
    begun = progress.epoch
    while progress.epoch < settings.epochs and not progress.stopping.is_over(settings.early_stopping):
        rates = schedule.rates(learning_rate, progress.epoch, settings.epochs, steps)
        last = progress.epoch + 1 if progress.epoch == begun else settings.epochs  # the first one compiles
        metrics = _one_epoch(runner, mode, data, (progress.epoch + 1, last), rates)
        progress.epoch += 1
        for name, value in metrics.items():
            progress.history.setdefault(name, []).append(value)
        for follow in followers:
            follow(progress.history)
        standing = mode.standing(progress.epoch, metrics)
        decision = progress.stopping.observe(
            progress.epoch, metrics["val_loss"], settings.early_stopping, plateau_patience, standing
        )
        if decision.best and keeps_best(settings):
            progress.best_weights = model.get_weights()
        if settings.keep_epochs:
            keep_best(progress.kept, mode.network.get_weights(), progress.history)
        if plateau is not None and decision.reduce_learning_rate:
            _reduce_learning_rate(model, plateau.factor)
        if time.monotonic() >= next_checkpoint:
            next_checkpoint = _timed_checkpoint(checkpoint, model, progress, identity)
        if decision.stop:
            best = progress.stopping.best_epoch
            log.info("early stopping: no better validation %s since epoch %d", mode.judge, best)
    save_checkpoint(checkpoint, model, progress, identity)
    if keeps_best(settings) and progress.best_weights:
        model.set_weights(progress.best_weights)
        best = progress.stopping.best_epoch
        reason = mode.reason(best, progress.history)
        log.info("weights of the best epoch, %d, are kept%s", best, f": {reason}" if reason else "")
    return runner.compiled


def keeps_best(settings: ModelConfig) -> bool:
    """Whether the weights of the best epoch are kept, not those of the last."""
    return settings.save_best_only or settings.early_stopping is not None


def _one_epoch(
    runner: EpochRunner, mode: Mode, data: TrainingData, place: tuple[int, int], rates: NDArray[np.float64] | None
) -> dict[str, float]:
    (epoch, last), start, model = place, time.perf_counter(), mode.model
    mode.begin(epoch - 1)
    blocks = data.training_blocks(epoch)
    if rates is not None:
        model.optimizer.learning_rate.assign(np.float32(rates[0]))
        if len(rates) > 1:
            blocks = _with_rates(blocks, rates.astype(np.float32), data.batching.size)
    learning_rate = float(model.optimizer.learning_rate)
    metrics = runner.train(blocks)
    metrics |= {f"val_{name}": value for name, value in runner.evaluate(data.validation_blocks()).items()}
    bad = [name for name in ("loss", "val_loss") if not math.isfinite(metrics[name])]
    bad += [name for name in ("adversary_loss", "val_adversary_loss") if not math.isfinite(metrics.get(name, 0.0))]
    if bad:
        raise NtuplemlError(
            f"the {bad[0]} became {metrics[bad[0]]} in epoch {epoch}; lower model.learning_rate or the weights' scale, "
            "or choose another preprocessing"
        )
    metrics |= mode.more_metrics()
    shown = [f"{name} {metrics[name]:{form}}" for name, form in _SHOWN.items() if name in metrics]
    seconds = time.perf_counter() - start
    left = seconds * (last - epoch)
    line = f"epoch {epoch}: {', '.join(shown)}, learning rate {learning_rate:.3g}, {seconds:.2f} s"
    log.info("%s%s", line, f", {duration(left)} left at most" if left > _SHORT else "")
    return metrics | {"learning_rate": learning_rate, "seconds": seconds}


def _with_rates(blocks: Iterable[Block], rates: NDArray[np.float32], batch_size: int) -> Iterator[Block]:
    """The same blocks with the learning rates of their batches; all but the last have whole batches."""
    for block in blocks:
        number = -(-len(block.order) // batch_size)
        yield block._replace(rates=rates[:number])
        rates = rates[number:]


def _reduce_learning_rate(model: Any, factor: float) -> None:
    old = float(model.optimizer.learning_rate)
    model.optimizer.learning_rate.assign(np.float32(old * factor))
    log.info("learning rate reduced from %.3g to %.3g", old, old * factor)


def _timed_checkpoint(path: Path, model: Any, progress: Progress, identity: dict[str, Any]) -> float:
    """Write a checkpoint and return the time from which on the next is due."""
    start = time.monotonic()
    save_checkpoint(path, model, progress, identity)
    seconds = time.monotonic() - start
    return start + max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * seconds)
