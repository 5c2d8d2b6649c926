"""Joins the members of an ensemble into one model: ONNX file, record and figures, from the members' files."""

from __future__ import annotations

import datetime
import logging
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import OnnxCheck, model_files, read_record, record_hash, sha256_of_file, write_record
from ntupleml.artifacts.record import EnsembleRecord, MemberRecord
from ntupleml.onnx_models.files import write_onnx
from ntupleml.training.importance import importance_files, write_importance
from ntupleml.training.jobs import Staging
from ntupleml.training.outputs import draw_loss_figure, history_path, write_history
from ntupleml.training.record_parts import log_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.training.jobs import Job

log = logging.getLogger(__name__)

#: What a history has beside metrics of the model.
_NO_METRICS = ("learning_rate", "seconds")


def join_members(job: Job, members: Sequence[Job]) -> TrainingRecord:
    """Write the model that is the mean of trained members, all of its files or none.

    Parameters
    ----------
    job : Job
        Of the ensemble.
    members : sequence of Job
        Trained, in the order of their seeds.
    """
    records = [read_record(member.files.record) for member in members]
    final = job.files
    with log_file(final.log), Staging(job.config.output_path, job.fold) as staging:
        files = model_files(staging.folder, job.fold, job.method)
        record = _write(job, members, records, files)
        staging.put_in_place()
        _remove_plain_training(job)
        if record.keys is None:
            final.keys.unlink(missing_ok=True)
        log.info(
            "written: %s, the mean of the members with the seeds %s",
            final.onnx,
            ", ".join(str(one.seed) for one in records),
        )
    return record


def _write(job: Job, members: Sequence[Job], records: Sequence[TrainingRecord], files: ModelFiles) -> TrainingRecord:
    record = _record(job, records)
    write_onnx(files.onnx, _graph([member.files.onnx for member in members], record))
    checks = [one.onnx_check for one in records if one.onnx_check is not None]
    check = None
    if checks:  # the mean is no farther from the mean of what the members were made from
        check = OnnxCheck(events=checks[0].events, largest_difference=max(one.largest_difference for one in checks))
    checksums = {files.onnx.name: sha256_of_file(files.onnx)}
    record = record.model_copy(update={"sha256": checksums, "onnx_check": check})
    if record.keys is not None:  # of the rows that all members saw, to train or to validate
        shutil.copyfile(members[0].files.keys, files.keys)
    write_record(files.record, record)
    if record.history:
        write_history(history_path(files.record), record.history, record.step)
    if job.options.figures:
        if members[0].files.loss_png.exists():  # not of all trainers
            draw_loss_figure(files, record, job.config.plot)
        if record.importance:
            write_importance(files, record, job.config.plot)
    return record


def _graph(paths: Sequence[Path], record: TrainingRecord) -> onnx.ModelProto:
    import onnx

    from ntupleml.onnx_models.ensemble import ensemble_model

    assert record.ensemble is not None
    description = {"record_hash": record_hash(record), "ensemble": {"seeds": record.ensemble.seeds}}
    return ensemble_model([onnx.load_model(path) for path in paths], description)


def _record(job: Job, records: Sequence[TrainingRecord]) -> TrainingRecord:
    """What all members share, and what each has."""
    first, config = records[0], job.config
    assert config.ensemble is not None
    own = {
        "seed": config.seed,
        "data_seed": config.data_seed,
        "ensemble": config.ensemble.model_dump(mode="json"),
        "output_path": config.output_path,
    }
    importance, spread = _mean_importance(records)
    return first.model_copy(
        update={
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seed": config.seed,
            "config": first.config | own,
            "ensemble": EnsembleRecord(members=[_member(one) for one in records]),
            "history": _mean_history([one.history for one in records]),
            "epochs": max(one.epochs for one in records),
            "best_epoch": None,
            "importance": importance,
            "importance_spread": spread,
            "sha256": {},
            "onnx_check": None,
        }
    )


def _member(record: TrainingRecord) -> MemberRecord:
    steps = max(map(len, record.history.values()), default=0)
    step = (record.best_epoch or steps) - 1
    metrics = {
        name: values[step]
        for name, values in record.history.items()
        if name not in _NO_METRICS and 0 <= step < len(values)
    }
    return MemberRecord(
        seed=record.seed,
        data_seed=record.seed_of_data,
        record_hash=record_hash(record),
        sha256=record.sha256,
        epochs=record.epochs,
        best_epoch=record.best_epoch,
        metrics=metrics,
        history=record.history,
    )


def _mean_history(histories: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Mean of the members, as far as all were trained."""
    mean: dict[str, list[float]] = {}
    for name in histories[0]:
        own = [one.get(name, []) for one in histories]
        steps = min(map(len, own))
        if steps:
            mean[name] = np.mean([values[:steps] for values in own], axis=0).tolist()
    return mean


def _mean_importance(records: Sequence[TrainingRecord]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean and standard deviation over the members of what each input has, the largest first."""
    if not all(one.importance for one in records):
        return {}, {}
    shares = {name: [one.importance.get(name, 0.0) for one in records] for name in records[0].importance}
    mean = {name: float(np.mean(values)) for name, values in shares.items()}
    order = sorted(mean, key=lambda name: -mean[name])
    return {name: mean[name] for name in order}, {name: float(np.std(shares[name], ddof=1)) for name in order}


def _remove_plain_training(job: Job) -> None:
    """Remove what a training without an ensemble left in this place."""
    files, kept = job.files, {job.files.onnx, *importance_files(job.files)}
    gone: list[Any] = [files.model, files.preprocessing, files.pickle, *job.trainer.more_files(job)]
    for path in gone:
        if path is not None and path not in kept:
            path.unlink(missing_ok=True)
