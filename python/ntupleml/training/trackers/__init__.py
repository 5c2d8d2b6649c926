"""Trackers: other programs in which a training is followed. One file and one line each."""

from __future__ import annotations

import importlib.util
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError, one_line
from ntupleml.models.registries import chosen_block, require_name
from ntupleml.training.record_parts import NOT_OF_THE_MODEL
from ntupleml.training.trackers.mlflow import Mlflow
from ntupleml.training.trackers.tensorboard import TensorBoard
from ntupleml.training.trackers.tracker import Run, Tracker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ntupleml.training.jobs import Job
    from ntupleml.training.trackers.tracker import Follower

log = logging.getLogger(__name__)

#: Trackers by the names that a config has.
TRACKERS: dict[str, type[Tracker]] = {
    "mlflow": Mlflow,
    "tensorboard": TensorBoard,
}
#: Blocks of a config that say nothing of the training.
_NOT_TRACKED = {"plot", "processes", *NOT_OF_THE_MODEL}


class Followers:
    """All trackers of a training. One that fails is left out from then on, and the training goes on."""

    def __init__(self, followers: Mapping[str, Follower]) -> None:
        self._followers = dict(followers)
        self._epochs = 0
        self.ended = False

    def follow(self, history: Mapping[str, Sequence[float]]) -> None:
        """Log the epochs of a history that were not logged yet."""
        known = max(map(len, history.values()), default=0)
        metrics = {
            number + 1: {name: values[number] for name, values in history.items() if number < len(values)}
            for number in range(self._epochs, known)
        }
        self._epochs = known
        if metrics:
            self._each(lambda one: one.epochs(metrics))

    def end(self, files: Sequence[Path]) -> None:
        """Log the files of a training that is complete."""
        self._each(lambda one: one.end(files))
        self.ended = True

    def fail(self) -> None:
        """Note that the training failed."""
        self._each(lambda one: one.fail())

    def _each(self, call: Callable[[Follower], None]) -> None:
        for name, follower in list(self._followers.items()):
            try:
                call(follower)
            except Exception as error:  # of libraries, disks and networks, none worth a training
                del self._followers[name]
                log.warning("tracking.%s: %s; the training goes on without it", name, one_line(error, 300))


def check_trackers(job: Job) -> dict[str, Tracker]:
    """Trackers of a job's config.

    Raises
    ------
    NtuplemlError
        For unknown names and settings, and for what is not installed.
    """
    trackers = {}
    for name, settings in job.config.tracking.items():
        where = f"{job.where}: tracking.{name}"
        require_name(name, TRACKERS, "tracker", where)
        tracker = chosen_block({**settings, "type": name}, TRACKERS, "tracker", where)
        if importlib.util.find_spec(tracker.module) is None:
            raise NtuplemlError(f'{where}: is not installed; run pip install "ntupleml[tracking]"')
        trackers[name] = tracker
    return trackers


@contextmanager
def tracked(job: Job) -> Iterator[Followers]:
    """Follow a job's training with all trackers of its config.

    Raises
    ------
    NtuplemlError
        Where a tracker cannot begin.
    """
    names = "_".join(method.name for method in job.methods)
    config = job.config.model_dump(mode="json", by_alias=True, exclude=_NOT_TRACKED)
    member = "" if job.options.member is None else f"_seed{job.options.member}"
    run = Run(f"fold{job.fold}_{names}{member}", Path(job.config.output_path), config)
    started: dict[str, Follower] = {}
    followers = Followers({})
    try:
        for name, tracker in check_trackers(job).items():
            started[name] = _started(name, tracker, run, job.where)
        followers = Followers(started)
        yield followers
    finally:
        if not followers.ended:
            Followers(started).fail()


def _started(name: str, tracker: Tracker, run: Run, where: str) -> Follower:
    try:
        return tracker.start(run)
    except Exception as error:  # the libraries have no common class of their own
        raise NtuplemlError(
            f"{where}: tracking.{name}: cannot begin: {one_line(error, 300)}; fix or remove it"
        ) from error
