"""Trainings of several methods, folds and seeds, shared out among workers; what is trained already is left out."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts import KERAS, Method, listed_methods
from ntupleml.cluster.workers import started_workers
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.training.driver import checked
from ntupleml.training.ensembles import missing_members, train_members, train_models
from ntupleml.training.finished import finished_record
from ntupleml.training.jobs import Job, TrainingOptions
from ntupleml.training.keras_training import NETWORKS
from ntupleml.training.listed_methods import listed_jobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ntupleml.cluster import ClusterOptions
    from ntupleml.cluster.tasks import Finished
    from ntupleml.config import TrainingConfig

log = logging.getLogger(__name__)


class Submitted(NamedTuple):
    """One training: a method, a fold and a seed."""

    method: Method
    fold: int
    #: With the seed, and an output folder of its own where there are several.
    config: TrainingConfig
    where: str
    options: TrainingOptions

    def __str__(self) -> str:
        return f"model {self.fold} of '{self.method.name}' with seed {self.config.seed}"


def trainings(
    config: TrainingConfig,
    folds: Sequence[int],
    seeds: Sequence[int],
    methods: Sequence[str],
    options: TrainingOptions,
    where: str,
) -> list[Submitted]:
    """All trainings of a config that are not done, checked before anything runs.

    Parameters
    ----------
    seeds : sequence of int
        Those of several have folders of their own, ``seed1``, … in the config's `output_path`; with none the seed is
        that of the config.
    methods : sequence of str
        `keras` and names of `boosted_trees` and `scikit_learn`; with none all that the config describes.

    Raises
    ------
    NtuplemlError
        For what is wrong with the config, and for a model that is there but of another config.
    """
    wanted = []
    for seed in seeds or [config.seed]:
        path = str(Path(config.output_path) / f"seed{seed}") if seeds else config.output_path
        own = config.model_copy(update={"seed": seed, "output_path": path})
        for method in _methods(config, methods, where):
            wanted += [Submitted(method, fold, own, where, options) for fold in folds]
    missing = [one for one in wanted if not _is_trained(one)]
    if len(missing) < len(wanted):
        log.info("%d of %d trainings are done already", len(wanted) - len(missing), len(wanted))
    return missing


def _methods(config: TrainingConfig, names: Sequence[str], where: str) -> list[Method]:
    known = {one.name: one for one in listed_methods(config)}
    if "model" in config.model_fields_set or not known or "keras" in names:
        known = {"keras": KERAS, **known}
    for name in names:
        if name not in known:
            raise NtuplemlError(f"--method: {where} has no method '{name}'{did_you_mean(name, known)}")
    return [known[name] for name in names or known]


def _job(submitted: Submitted) -> Job:
    """The job of a training."""
    method, fold, config, where, options = submitted
    if method == KERAS:
        return Job(NETWORKS, config, fold, (KERAS,), where, options)
    own = replace(options, method=method.name)
    return listed_jobs(config, method.kind, [fold], own, where)[0]


def _is_trained(submitted: Submitted) -> bool:
    """Whether the model is there, of this config."""
    (job,) = checked([_job(submitted)])
    return not submitted.options.overwrite and finished_record(job) is not None


def train_all(submitted: Sequence[Submitted], cluster: ClusterOptions) -> list[str]:
    """Train with as many workers as are asked for.

    Returns
    -------
    list of str
        A line for each training that failed.
    """
    failures: list[str] = []
    if not submitted:
        return failures
    members = [(place, job) for place, one in enumerate(submitted) for job in _members(one)]
    with started_workers(cluster, submitted[0].config.cluster) as finished_tasks:
        texts = [f"{submitted[place]}: member with seed {job.config.seed}" for place, job in members]
        failed = _ended(finished_tasks(train_members, [([job],) for _, job in members]), texts, failures)
        incomplete = {members[index][0] for index in failed}
        complete = [one for place, one in enumerate(submitted) if place not in incomplete]
        _ended(finished_tasks(train_one, [(one,) for one in complete]), list(map(str, complete)), failures)
    return failures


def _ended(finished: Iterable[Finished], texts: Sequence[str], failures: list[str]) -> list[int]:
    """Note what becomes of tasks; the places of those that failed."""
    failed = []
    for done in finished:
        if done.error is None:
            log.info("trained: %s", texts[done.place])
        else:
            failed.append(done.place)
            failures.append(f"{texts[done.place]}: {done.error}")
    return failed


def _members(submitted: Submitted) -> list[Job]:
    """Trainings that an ensemble is made of, as far as they are missing; none of others."""
    return [] if submitted.config.num_members == 1 else missing_members(_job(submitted))


def train_one(submitted: Submitted) -> None:
    """Train a model, or make it of members that are trained; a task for workers."""
    has_members = submitted.config.num_members > 1
    # a worker that was lost has left a checkpoint
    if has_members or (submitted.method == KERAS and not submitted.options.overwrite):
        submitted = submitted._replace(options=TrainingOptions(continue_training=True))
    train_models([_job(submitted)])
