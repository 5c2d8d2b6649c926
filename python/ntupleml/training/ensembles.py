"""Ensembles: each member is an ordinary training with a seed and a folder of its own; one model is made of all."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts import members_path
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import prepare_workers, started_workers
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.training.driver import Trained, checked, refuse_existing, train
from ntupleml.training.finished import finished_record, require_same_files
from ntupleml.training.joining import join_members
from ntupleml.training.record_parts import check_output_folder
from ntupleml.training.trackers import check_trackers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import Method
    from ntupleml.training.jobs import Job

log = logging.getLogger(__name__)


class _Ensemble(NamedTuple):
    """What is trained for one model."""

    job: Job
    members: list[Job]


def train_models(jobs: Sequence[Job]) -> Trained:
    """Train what a config asks for: methods as they are, or the ensembles of its block `ensemble`.

    Of an ensemble the members that are not there are trained, then the models made of them are written.

    Parameters
    ----------
    jobs : sequence of Job
        Of one training config.

    Raises
    ------
    NtuplemlError
        As `ntupleml.training.driver.train`; for ensembles of methods of TMVA; for members that are there but of
        another config; and where a member cannot be trained: the others are kept, and a new start takes them.
    """
    if not any(job.config.num_members > 1 for job in jobs):
        return train(jobs)
    check_ensembles(jobs)
    ensembles = [_Ensemble(job, member_jobs(job)) for job in jobs]
    missing = [member for one in ensembles for member in missing_members(one.job)]
    total = sum(len(one.members) for one in ensembles)
    if len(missing) < total:
        log.info("%d of %d members are trained already", total - len(missing), total)
    _train_members(missing, jobs[0])
    return Trained([join_members(one.job, one.members) for one in ensembles], [])


def check_ensembles(jobs: Sequence[Job]) -> None:
    """Refuse before anything is trained what cannot be.

    Raises
    ------
    NtuplemlError
    """
    for job in jobs:
        if job.options.overwrite and job.options.continue_training:
            raise NtuplemlError("--overwrite and --continue exclude each other: train anew, or go on")
        if job.method.kind == "tmva":
            raise NtuplemlError(
                f"{job.where}: ensemble: a method of TMVA is one training; leave ensemble out, or train boosted_trees"
            )
    for job in checked(jobs):
        check_trackers(job)
        refuse_existing(job)
        check_output_folder(job.config.output_path)


def member_jobs(job: Job) -> list[Job]:
    """The trainings that a model is the mean of.

    What is random of their events has the seed of the first, unless the config lets it vary.
    """
    config, options = job.config, job.options
    assert config.ensemble is not None
    members = []
    for seed in range(config.seed, config.seed + config.ensemble.seeds):
        own = {
            "seed": seed,
            "data_seed": None if config.ensemble.vary_split else config.seed_of_data,
            "ensemble": None,
            "output_path": str(members_path(config.output_path, seed)),
        }
        of_member = replace(
            options,
            member=seed,
            workers=1,
            threads=_threads(job),
            continue_training=not options.overwrite,  # what was interrupted goes on
            followers=(),
        )
        members.append(replace(job, config=config.model_copy(update=own), options=of_member))
    return members


def _threads(job: Job) -> int | None:
    """Of each member: processes side by side share the cores."""
    options = job.options
    if options.threads is not None or options.workers == 1:
        return options.threads
    return max(1, len(os.sched_getaffinity(0)) // options.workers)


def missing_members(job: Job) -> list[Job]:
    """Members of an ensemble that are not trained, or are to be trained again.

    Raises
    ------
    NtuplemlError
        For one that is there, but of another config or of other fold files.
    """
    members = member_jobs(job)
    if job.options.overwrite:
        return members
    trees = class_trees(job.config, fold_files(job.config, job.fold, job.options.conditional))
    missing = []
    for member, made in zip(members, checked(members), strict=True):
        record = finished_record(made)
        if record is None:
            missing.append(member)
        else:
            require_same_files(member, record, trees)
    return missing


def _train_members(missing: Sequence[Job], first: Job) -> None:
    """Train all in this process, or in as many as the options say: the models are the same."""
    workers = min(first.options.workers, len(missing))
    if workers < 2:
        same_events = first.config.ensemble is not None and not first.config.ensemble.vary_split
        for jobs in [missing] if same_events and missing else [[job] for job in missing]:
            train(jobs)
        return
    cluster, shares, failures = ClusterOptions(workers), shares_of_members(missing, workers), []
    prepare_workers(cluster, __name__)
    with started_workers(cluster, first.config.cluster) as finished_tasks:
        for done in finished_tasks(train_members, [(share,) for share in shares]):
            share = shares[done.place]
            if done.error is not None:
                seeds = ", ".join(str(job.config.seed) for job in share)
                failures.append(f"model {share[0].fold}, seed{'s' * (len(share) > 1)} {seeds}: {done.error}")
                continue
            for job in share:
                log.info("trained: model %d with seed %d", job.fold, job.config.seed)
    if failures:
        more = f" (and {len(failures) - 1} more)" if failures[1:] else ""
        raise NtuplemlError(f"{failures[0]}{more}; those that are trained are kept, and a new start goes on")


def shares_of_members(missing: Sequence[Job], workers: int) -> list[list[Job]]:
    """Members for each task: of one model, as they share events and compiled epochs, but enough for all workers."""
    models: dict[tuple[int, Method], list[Job]] = {}
    for job in missing:
        models.setdefault((job.fold, job.method), []).append(job)
    parts = -(-workers // len(models))
    return [jobs[part::parts] for jobs in models.values() for part in range(min(parts, len(jobs)))]


def train_members(jobs: Sequence[Job]) -> None:
    """Train some members; a task for workers."""
    train(jobs)
