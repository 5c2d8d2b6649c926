"""The search for settings: trials by one or several processes, and the files of its results."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ntupleml.atomic import replace_file
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import prepare_workers, started_workers
from ntupleml.config import TrainingConfig, load_config
from ntupleml.config.loading import parse_yaml, stages_in
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.plots.pictures import write_picture
from ntupleml.progress import watched
from ntupleml.training.checkpoint import require_same
from ntupleml.training.jobs import TrainingOptions
from ntupleml.tuning.edited_yaml import with_values
from ntupleml.tuning.objectives import objective_of
from ntupleml.tuning.pictures import pictures_of
from ntupleml.tuning.results import result_of, study_folder, write_result
from ntupleml.tuning.space import searched, values_of
from ntupleml.tuning.storage import (
    IDENTITY,
    at_work,
    create_study,
    num_tried,
    one_at_a_time,
    open_study,
    retry_killed,
    storage_errors,
    storage_path,
)
from ntupleml.tuning.trials import Search, run_trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config import ConfigSource
    from ntupleml.tuning.results import StudyResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningOptions:
    """Options of the command line."""

    #: In place of the number of the config.
    trials: int | None = None
    #: Who trains.
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    #: Go on with a study that was interrupted, is to have more trials, or is worked on by other processes.
    continue_study: bool = False
    #: Begin a study anew.
    overwrite: bool = False
    #: Keep the models of all trials.
    keep_models: bool = False
    #: Whether the log has what each training says.
    detailed: bool = False


def tune(source: ConfigSource, folds: Sequence[int], options: TuningOptions | None = None) -> StudyResult:
    """Search for the settings that a training config's block `tune` names, and write what was found.

    All is in the folder ``tuning_{method}`` of the config's `output_path`: the study, its results as JSON and as a
    table, pictures, and ``best_training.yaml``, the config with the best settings.

    Parameters
    ----------
    folds : sequence of int
        Models that a trial trains. Each is judged on the validation part of its own training events; the fold that it
        is held out from is not opened.

    Raises
    ------
    NtuplemlError
        For what is wrong with config and fold files, before anything is trained; for a study that exists, unless it is
        to go on, or is of another config; and if no trial is completed.
    """
    options = options or TuningOptions()
    if options.continue_study and options.overwrite:
        raise NtuplemlError("--overwrite and --continue exclude each other: search anew, or go on")
    config = load_config(source, TrainingConfig)
    search = _search(config, tuple(folds), options)
    with storage_errors(search.folder):
        _begin(search, options)
        if not search.prunes and search.searched.method.kind == "keras" and search.searched.tune.pruner != "none":
            log.info("no trial is given up early: the loss itself is searched, by which they would be compared")
        failures = _run(search, options.cluster)
        # Who reads the study later writes later.
        with one_at_a_time(search.folder):
            result = result_of(open_study(search.folder), search)
            _write(search, source, result)
    if failures:
        raise NtuplemlError(f"{len(failures)} workers failed: {failures[0]}; --continue tries what is missing")
    return result


def _search(config: TrainingConfig, folds: tuple[int, ...], options: TuningOptions) -> Search:
    workers = (options.cluster.workers or 1) if options.cluster.are_local else 1
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    conditional = config.datasets is None
    found = searched(config, config.where, folds, TrainingOptions(conditional=conditional))
    objective_of(config, config.where)
    return Search(
        found,
        study_folder(config.output_path, found.method.name),
        folds,
        options.trials or found.tune.trials,
        threads,
        options.keep_models,
        options.detailed,
    )


def _begin(search: Search, options: TuningOptions) -> None:
    """Make the study, or look whether the one that is there is of this search."""
    path = storage_path(search.folder)
    identity = _identity(search)
    if path.exists() and not (options.continue_study or options.overwrite):
        raise NtuplemlError(
            f"{path}: exists already; give --continue to go on with this study, or --overwrite to search anew"
        )
    if options.overwrite:
        if at_work(search.folder):
            raise NtuplemlError(
                f"{path}: another process is at work on this study; give --continue to share the work, or stop it first"
            )
        path.unlink(missing_ok=True)
        for folder in search.folder.glob(".trial*"):
            shutil.rmtree(folder)
    search.folder.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(search.folder):
        if not path.exists():
            create_study(search.folder, maximise=search.objective.maximise, identity=identity)
            return
        study = open_study(search.folder)
        require_same(
            f"{path}: --continue", study.user_attrs.get(IDENTITY, {}), identity, "tune.trials may change", "search anew"
        )
        retry_killed(study, search.folder)
        log.info("going on after %d of %d trials", num_tried(study), search.trials)


def _identity(search: Search) -> dict[str, Any]:
    """What must stay the same for a study to go on; of fold files only those that models are trained on."""
    config, options = search.searched.config, search.options
    other = {"output_path", "plot", "cluster", "processes", "datasets", "conditions", "tmva"}
    content: dict[str, Any] = config.model_dump(mode="json", exclude=other)
    tune = content.pop("tune")
    files = {
        tree.file.path: tree.uuid
        for fold in search.folds
        for tree in class_trees(config, fold_files(config, fold, options.conditional))
    }
    conditions = {name: one.class_weights for name, one in config.conditions.items()}
    model = content.pop("model")
    return {
        **content,
        **{f"model.{key}": value for key, value in model.items()},
        **{f"tune.{key}": value for key, value in tune.items() if key != "trials"},
        "conditions": conditions,
        "--folds": list(search.folds),
        "fold files": list(files.values()),
    }


def _run(search: Search, cluster: ClusterOptions) -> list[str]:
    """Let workers do the trials that are missing; what went wrong with them."""
    config = search.searched.config.cluster
    with one_at_a_time(search.folder):
        missing = search.trials - num_tried(open_study(search.folder))
    if missing <= 0:
        return []
    prepare_workers(cluster, "ntupleml.tuning.trials")
    failures = []
    with started_workers(cluster, config) as finished_tasks:
        for done in watched(finished_tasks(run_trial, [(search,)] * missing), "trials", missing):
            if done.error is not None:
                failures.append(done.error)
            elif done.result is not None:
                log.info("%s", done.result)
    return failures


def _write(search: Search, source: ConfigSource, result: StudyResult) -> None:
    """Write all results, in place of earlier ones of the study."""
    paths = write_result(result, search.folder)
    for picture in pictures_of(result):
        stem = search.folder / picture.name
        paths += write_picture(picture, stem, search.searched.config.plot, overwrite=True)
    best = next(trial.value for trial in result.trials if trial.number == result.best)
    path = _write_best(search, source, result)
    log.info(
        "best of %d trials: number %d, %s %.6g; %s trains with it; %d files in %s",
        len(result.trials),
        result.best,
        result.objective,
        best,
        path,
        len(paths) + 1,
        search.folder,
    )
    running = sum(trial.state == "running" for trial in result.trials)
    if running:
        log.info("%d trials are not done yet by other processes, which write the results anew", running)


def _write_best(search: Search, source: ConfigSource, result: StudyResult) -> Path:
    """Write the config with the best settings: the text of the given one, else its content."""
    tune = search.searched.tune
    best = next(trial for trial in result.trials if trial.number == result.best)
    values = values_of(best.settings, tune.space)
    wanted = search.searched.with_values(values)
    head = f"# {result.objective} {best.value:.6g}: best of {len(result.trials)} trials of '{result.method}'\n"
    text = _edited(source, values, wanted)
    if text is None:
        content = wanted.model_dump(mode="json", exclude_unset=True, by_alias=True)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    path = search.folder / "best_training.yaml"
    with replace_file(path, overwrite=True) as temporary:
        temporary.write_text(head + text, encoding="utf-8")
    return path


def _edited(source: ConfigSource, values: dict[str, Any], wanted: TrainingConfig) -> str | None:
    """Text of a config file with other values; None where it does not say what is wanted, e.g. because of aliases."""
    if not isinstance(source, str | Path):
        return None
    of_block = {f"training.{key}": value for key, value in values.items()} if stages_in(source) else values
    text = with_values(Path(source).read_text(encoding="utf-8"), of_block)
    try:
        found = load_config(parse_yaml(text.encode(), source), TrainingConfig)
    except NtuplemlError:
        return None
    return text if found.model_copy(update={"tune": None}) == wanted else None
