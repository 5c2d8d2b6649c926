"""The one way in which every engine trains: what could fail is checked first, all files of a method appear at once."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts import KERAS, SplitSizes, model_files, sha256_of_file, write_record
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.files import write_onnx
from ntupleml.training.jobs import Staging
from ntupleml.training.record_parts import (
    check_output_folder,
    fold_division,
    log_contents,
    log_file,
    log_training,
    training_record,
)
from ntupleml.training.tabular_data import as_tabular, load_tabular_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.training.jobs import Data, Fitted, Job

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """What becomes of methods that are trained together."""

    #: Of those that are in place, fold by fold.
    records: list[TrainingRecord]
    #: A line for each of the others.
    failures: list[str]


def train(jobs: Sequence[Job]) -> Trained:
    """Train methods, fold after fold, and write their files to the config's `output_path`.

    Parameters
    ----------
    jobs : sequence of Job
        Of one training config.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config, options or fold files, before anything is trained; if outputs exist and are
        not to be overwritten; and if a method fails whose trainer does not let the others go on.
    """
    jobs = [replace(job, config=as_tabular(job.config, job.where)) if job.trainer.tabular else job for job in jobs]
    for job in jobs:
        job.trainer.check(job)
        _refuse_existing(job)
        check_output_folder(job.config.output_path)
    trees = {
        job.fold: class_trees(job.config, fold_files(job.config, job.fold, job.options.conditional)) for job in jobs
    }
    for fold, of_fold in trees.items():
        fold_division(of_fold, next(job for job in jobs if job.fold == fold).config.num_folds)
    trained = Trained([], [])
    tables: dict[int, Data] = {}
    for job in jobs:
        path = job.trainer.log_path(job)
        with nullcontext() if path is None else log_file(path, append=job.options.continue_training):
            log_training(job.fold, job.config.num_folds, job.trainer.title(job))
            if not job.trainer.tabular:
                data = job.trainer.load(job, trees[job.fold])
            elif job.fold in tables:
                data = tables[job.fold]
            else:
                tables.clear()
                data = tables[job.fold] = load_tabular_data(job.config, trees[job.fold])
            log_contents(trees[job.fold], data.contents)
            _train(job, trees[job.fold], data, trained)
    return trained


def _refuse_existing(job: Job) -> None:
    """Refuse before the work what would be in the way after it."""
    if job.options.overwrite or job.options.continue_training:
        return
    files = [path for method in job.methods for path in model_files(job.config.output_path, job.fold, method)[:-1]]
    for path in [*files, *job.trainer.more_files(job)]:
        if path is not None and path.exists():
            go_on = ", or --continue to go on with that training" if job.method == KERAS else ""
            raise NtuplemlError(f"{path}: exists already; give --overwrite to train anew{go_on}")


def _train(job: Job, trees: Sequence[ClassTree], data: Data, trained: Trained) -> None:
    """Train a job and put the files of its methods in place, or those of none that failed."""
    with Staging(job.config.output_path, job.fold) as staging:
        try:
            fitted = job.trainer.fit(job, data, staging)
        except NtuplemlError as error:
            _fail(job, "fit", error, trained)
            return
        written: list[tuple[Fitted, TrainingRecord]] = []
        for one in fitted:
            files = model_files(staging.folder, job.fold, one.method)
            try:
                written.append((one, _write(job, one, files, trees, data)))
            except Exception as error:
                one.rescue()
                _fail(job, "write", error, trained)
                _discard(files)
        if written:
            staging.put_in_place()
    for one, record in written:
        one.settle()
        trained.records.append(record)
        final = model_files(job.config.output_path, job.fold, one.method)
        log.info("written: %s, with %s", final.model, one.leaves)


def _fail(job: Job, stage: str, error: Exception, trained: Trained) -> None:
    """Note that a method failed, or let the whole training fail."""
    if not isinstance(error, NtuplemlError) or stage not in job.trainer.isolated:
        raise error
    trained.failures.append(f"{error} (model {job.fold})")


def _write(job: Job, fitted: Fitted, files: ModelFiles, trees: Sequence[ClassTree], data: Data) -> TrainingRecord:
    """Write the files of a method."""
    files.model.parent.mkdir(parents=True, exist_ok=True)
    record = training_record(
        job.config,
        job.fold,
        trees,
        data.contents,
        **{
            "method": fitted.method.name,
            "preprocessing": "none",
            "split": SplitSizes(training=data.num_training, validation=data.num_validation),
            **fitted.fields,
        },
    )
    fitted.write(files, record)
    graph = fitted.graph(files, record)
    check = None
    if graph is not None:
        check = fitted.check(graph)
        write_onnx(files.onnx, graph)
    models = [files.model, files.preprocessing, files.onnx, *fitted.more_models(files)]
    checksums = {path.name: sha256_of_file(path) for path in models if path is not None and path.exists()}
    complete = record.model_copy(update={"onnx_check": check, "sha256": checksums})
    write_record(files.record, complete)
    fitted.draw(files, complete, job.config.plot)
    return complete


def _discard(files: ModelFiles) -> None:
    """Take a method's files out of what is put in place: also those that only its trainer knows, as TMVA's C++ code."""
    for path in files.model.parent.glob("*"):
        if path.name.startswith(files.model.name.removesuffix("weights.xml")):
            path.unlink()
