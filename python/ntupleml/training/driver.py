"""The one way in which every engine trains: checks first, then the training, then all files at once."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts import KERAS, SplitSizes, model_files, sha256_of_file, write_record
from ntupleml.atomic import locked
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.datasets.records import require_one_build
from ntupleml.datasets.reweighting import reweighted
from ntupleml.datasets.trained_keys import keys_file
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.files import write_onnx
from ntupleml.training.jobs import Staging
from ntupleml.training.outputs import draw_reweighting_figure, history_path, write_history
from ntupleml.training.record_parts import (
    check_output_folder,
    fold_division,
    log_contents,
    log_file,
    log_training,
    refuse_recorded_data,
    training_record,
)
from ntupleml.training.tabular_data import as_tabular, left_out, load_tabular_data
from ntupleml.training.trackers import check_trackers, tracked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ntupleml.artifacts import ModelFiles, TrainingRecord
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.datasets.trained_keys import KeysFile
    from ntupleml.training.jobs import Data, Fitted, Job
    from ntupleml.training.tabular_data import TabularData
    from ntupleml.training.trackers import Followers

log = logging.getLogger(__name__)


class _Rows(NamedTuple):
    """What a model is trained on, and the keys of it where these are kept."""

    trees: Sequence[ClassTree]
    data: Data
    keys: KeysFile | None


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
        not to be overwritten, or another command trains the same; and if a method fails whose trainer does not let the
        others go on.
    """
    asked, jobs = jobs, checked(jobs)
    _log_left_out(asked)
    with _by_this_command_alone(jobs):
        return _train_all(jobs)


@contextmanager
def _by_this_command_alone(jobs: Sequence[Job]) -> Iterator[None]:
    """Refuse to train what another command trains now, and keep others from training it."""
    with ExitStack() as stack:
        for job in jobs:
            for method in job.methods:
                files = model_files(job.config.output_path, job.fold, method)
                stack.enter_context(locked(files.model, wait=False))
        yield


def _train_all(jobs: Sequence[Job]) -> Trained:
    for job in jobs:
        check_trackers(job)
        refuse_existing(job)
        check_output_folder(job.config.output_path)
    trees = {
        job.fold: class_trees(job.config, fold_files(job.config, job.fold, job.options.conditional)) for job in jobs
    }
    for fold, of_fold in trees.items():
        config = next(job for job in jobs if job.fold == fold).config
        fold_division(of_fold, config.num_folds)
        refuse_recorded_data(of_fold)
        for condition in dict.fromkeys(tree.file.condition for tree in of_fold):
            require_one_build(config.datasets_of(condition))
    for job in jobs:
        job.trainer.check_trees(job, trees[job.fold])
    trees = {fold: reweighted(jobs[0].config, of_fold) for fold, of_fold in trees.items()}
    asked_keys = jobs[0].config.keys if jobs else None
    keys = {fold: keys_file(of_fold, asked_keys) for fold, of_fold in trees.items()} if asked_keys else {}
    trained = Trained([], [])
    tables: dict[tuple[int, bool], TabularData] = {}
    earlier: tuple[Job, Data] | None = None
    for job in jobs:
        path, table = job.trainer.log_path(job), (job.fold, job.trainer.takes_made)
        with (
            nullcontext() if path is None else log_file(path, append=job.options.continue_training),
            tracked(job) as followers,
        ):
            log_training(job.fold, job.config.num_folds, job.trainer.title(job), job.options.member)
            data: Data
            if not job.trainer.tabular:
                data = _own_events(job, trees[job.fold], earlier)
                earlier = job, data
            else:
                if table not in tables:
                    tables.clear()
                    tables[table] = load_tabular_data(job.config, trees[job.fold])
                data = tables[table].for_job(job.config)
            log_contents(trees[job.fold], data.contents)
            _train(job, _Rows(trees[job.fold], data, keys.get(job.fold)), trained, followers)
    return trained


def _own_events(job: Job, trees: Sequence[ClassTree], earlier: tuple[Job, Data] | None) -> Data:
    """Events of a job that takes no matrix: those of the job before, where it was a member of the same ensemble."""
    if earlier is not None and _differ_by_seed(earlier[0], job):
        shared = job.trainer.shared(job, earlier[1])
        if shared is not None:
            return shared
    return job.trainer.load(job, trees)


def _differ_by_seed(one: Job, other: Job) -> bool:
    """Whether two trainings are of the same network, events and options."""
    first, second = (
        (
            job.fold,
            job.method,
            job.config.seed_of_data,
            job.config.model_copy(update={"seed": 0, "output_path": ""}),
            replace(job.options, member=None),
        )
        for job in (one, other)
    )
    return first == second


def _log_left_out(jobs: Sequence[Job]) -> None:
    """Say once which groups of inputs are for the network alone."""
    tabular = next((job for job in jobs if job.trainer.tabular), None)
    if tabular is not None and (others := left_out(tabular.config, takes_made=tabular.trainer.takes_made)):
        log.info("%s: takes the numbers alone, not inputs.%s", tabular.method.name, ", inputs.".join(others))


def checked(jobs: Sequence[Job]) -> list[Job]:
    """Jobs as their trainers take them; refused where a trainer cannot do what the config asks for."""
    jobs = [
        replace(
            job,
            config=as_tabular(job.config, job.where, takes_made=job.trainer.takes_made, learns=job.trainer.learns),
        )
        if job.trainer.tabular
        else job
        for job in jobs
    ]
    for job in jobs:
        job.trainer.check(job)
    return jobs


def refuse_existing(job: Job) -> None:
    """Refuse before the work what would be in the way after it.

    Raises
    ------
    NtuplemlError
    """
    if job.options.overwrite or job.options.continue_training:
        return
    methods = [model_files(job.config.output_path, job.fold, method) for method in job.methods]
    files = [path for one in methods for path in (*one[:-1], one.pickle)]
    keys = [one.keys for one in methods]
    for path in [*files, *job.trainer.more_files(job), *(keys if job.config.keys else [])]:
        if path is not None and path.exists():
            goes_on = job.method == KERAS or job.config.num_members > 1
            go_on = ", or --continue to go on with that training" if goes_on else ""
            raise NtuplemlError(f"{path}: exists already; give --overwrite to train anew{go_on}")


def _train(job: Job, rows: _Rows, trained: Trained, followers: Followers) -> None:
    """Train a job and put the files of its methods in place, or those of none that failed."""
    with Staging(job.config.output_path, job.fold) as staging:
        try:
            fitted = job.trainer.fit(_followed(job, followers), rows.data, staging)
        except NtuplemlError as error:
            _fail(job, "fit", error, trained)
            return
        written: list[tuple[Fitted, TrainingRecord]] = []
        for one in fitted:
            files = model_files(staging.folder, job.fold, one.method)
            try:
                written.append((one, _write(job, one, files, rows)))
            except Exception as error:
                one.rescue()
                _fail(job, "write", error, trained)
                _discard(files)
        if written:
            staging.put_in_place()
    made: list[Path | None] = []
    for one, record in written:
        one.settle()
        trained.records.append(record)
        final = model_files(job.config.output_path, job.fold, one.method)
        if rows.keys is None:
            final.keys.unlink(missing_ok=True)  # of an earlier training
        log.info("written: %s, with %s", final.model, one.leaves)
        followers.follow(record.history)
        made += [*final[:-1], history_path(final.record), final.keys]
    if written:
        followers.end([path for path in made if path is not None and path.exists()])


def _followed(job: Job, followers: Followers) -> Job:
    """A job whose epochs the trackers follow, too."""
    both = (*job.options.followers, followers.follow)
    return replace(job, options=replace(job.options, followers=both))


def _fail(job: Job, stage: str, error: Exception, trained: Trained) -> None:
    """Note that a method failed, or let the whole training fail."""
    if not isinstance(error, NtuplemlError) or stage not in job.trainer.isolated:
        raise error
    trained.failures.append(f"{error} (model {job.fold})")


def _write(job: Job, fitted: Fitted, files: ModelFiles, rows: _Rows) -> TrainingRecord:
    """Write the files of a method."""
    files.model.parent.mkdir(parents=True, exist_ok=True)
    data = rows.data
    record = training_record(
        data.config,
        job.fold,
        rows.trees,
        data.contents,
        **{
            "keys": None if rows.keys is None else rows.keys.record(files.keys.name),
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
    models = [files.model, files.preprocessing, files.pickle, files.onnx, *fitted.more_models(files)]
    checksums = {path.name: sha256_of_file(path) for path in models if path is not None and path.exists()}
    complete = record.model_copy(update={"onnx_check": check, "sha256": checksums})
    if rows.keys is not None:
        files.keys.write_bytes(rows.keys.content)
    write_record(files.record, complete)
    if record.history:
        write_history(history_path(files.record), record.history, record.step)
    if job.options.figures:
        fitted.draw(files, complete, job.config.plot)
        draw_reweighting_figure(files, rows.trees, job.config.plot)
    return complete


def _discard(files: ModelFiles) -> None:
    """Drop a method's files from those to be put in place, its trainer's own files (TMVA's C++ code) included."""
    for path in files.model.parent.glob("*"):
        if path.name.startswith(files.model.name.removesuffix("weights.xml")):
            path.unlink()
