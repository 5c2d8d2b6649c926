"""Scoring of many files, here or by workers. Finished files are skipped; failures are listed at the end."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.application.friend_trees import friend_jobs, require_friends, write_friend
from ntupleml.application.in_place import append_planned_scores
from ntupleml.application.inputs import ntuple_name, open_input
from ntupleml.application.outputs import in_place_jobs
from ntupleml.application.resuming import is_finished, plan_key, scores_mark
from ntupleml.application.selection import EventCounts
from ntupleml.application.trees import chosen_trees, has_several_trees
from ntupleml.atomic import hidden_folder, locked
from ntupleml.cluster.workers import prepare_workers, started_workers
from ntupleml.command_line import SOME_FAILED, show
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.ntuples.friends import friend_of
from ntupleml.ntuples.input_files import expand_inputs
from ntupleml.ntuples.remote import fetch, is_remote
from ntupleml.progress import duration, files_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ntupleml.application.outputs import Job
    from ntupleml.application.plan import Plan
    from ntupleml.application_arguments import ApplicationOptions

log = logging.getLogger(__name__)

#: Of files, which no tree has.
_FILE_ENDINGS = (".root", ".h5", ".hdf5", ".parquet")


class Task(NamedTuple):
    """What is done with every file, but for the models."""

    #: Tree, or names and patterns of several with commas between.
    tree_path: str
    #: Whether scores go into a friend tree.
    friend: bool
    #: Whether scores that exist are replaced, finished ones too.
    overwrite: bool

    def trees(self, path: str) -> list[str]:
        """Trees of an input that are scored."""
        return chosen_trees(path, self.tree_path)


class Scored(NamedTuple):
    """What became of one file."""

    #: Events that were looked at now, and those of them that were not scored.
    counts: EventCounts
    #: Whether all was done already.
    skipped: bool
    seconds: float


class ScoredFiles(NamedTuple):
    """What became of several files."""

    #: Files with the scores.
    outputs: list[Path]
    #: A line for each input that has none.
    failures: list[str]


def score_files(
    make: Callable[[], Plan], inputs: Sequence[str], tree_path: str, options: ApplicationOptions | None = None
) -> int:
    """Score ntuples as the command line of a script says; the exit status: 0, or 1 if some of several files failed.

    Parameters and errors as for `scored_files`.
    """
    return SOME_FAILED if scored_files(make, inputs, tree_path, options).failures else 0


def scored_files(
    make: Callable[[], Plan], inputs: Sequence[str], tree_path: str, options: ApplicationOptions | None = None
) -> ScoredFiles:
    """Score ntuples.

    One input, given by its path and scored in this process, is done as ever: its error is raised, and scores that
    exist are an error. Of several, those that are finished (see `ntupleml.application.resuming`) are skipped, and
    errors of single files are logged at the end.

    Parameters
    ----------
    make : callable
        Makes the plan, e.g. `functools.partial(make_plan, …)`. Workers call it too, so it must be importable.
    inputs : sequence of str
        See `ntupleml.ntuples.input_files.expand_inputs`.
    tree_path : str
        Tree in all of them; or several, names and patterns with commas between, e.g. `nominal,JES_*`: each is scored,
        a friend file has a tree for each.
    options : ApplicationOptions, optional
        From `ntupleml.application_arguments.application_options`; by default scores go into the inputs themselves,
        computed in this process.

    Raises
    ------
    NtuplemlError
        For anything wrong with configs, models or the list of inputs, two inputs with one output, workers that
        cannot be started, and whatever is wrong with a single input.
    """
    if options is None:
        from ntupleml.application_arguments import ApplicationOptions

        options = ApplicationOptions()
    if tree_path.endswith(_FILE_ENDINGS):
        raise NtuplemlError(f"TREE: '{tree_path}' is the name of a file; give the tree in the files as last argument")
    prepare_workers(options.cluster, __name__, "uproot")
    paths = expand_inputs(inputs)
    plan = make()
    if options.output_directory is not None:
        plan = plan._replace(output_directory=options.output_directory)
    several = has_several_trees(tree_path)
    if options.friend:
        require_friends(plan, "" if several else tree_path)
        if several and plan.friend_format != "root":
            raise NtuplemlError(
                f"{plan.where}: friend_format: {plan.friend_format} holds a friend of one tree, but TREE is "
                f"'{tree_path}'; leave the key out, or score one tree at a time"
            )
        jobs = friend_jobs(plan, paths, keep_names=options.keep_names)
    else:
        jobs = in_place_jobs(paths, options.output_directory, keep_names=options.keep_names)
    task = Task(tree_path, options.friend, options.overwrite)
    if options.dry_run:
        return _shown_jobs(plan, jobs, task)
    if paths == list(inputs) and len(paths) == 1 and not several and options.cluster.is_this_process:
        _write(plan, jobs[0], tree_path, task, logging.INFO)
        return ScoredFiles([jobs[0].output_path], [])
    start = time.monotonic()
    here = options.cluster.is_this_process
    if not here and _are_done(plan, jobs, task):  # no worker has to start
        log.info("%d of %d files done already", len(jobs), len(jobs))
        return ScoredFiles([job.output_path for job in jobs], [])
    function: Callable[..., Scored] = score_file if here else score_on_worker
    first = (plan,) if here else (make, plan_key(plan))  # a worker makes its plan itself
    tasks = [(*first, job, task) for job in jobs]
    counts, errors = EventCounts(), dict[int, str]()
    with files_progress(len(jobs)) as progress, started_workers(options.cluster, plan.cluster) as finished_tasks:
        for place, scored, error in finished_tasks(function, tasks):
            if error is not None:
                errors[place] = error
                progress.file_done(f"{jobs[place].input_path}: failed")
                continue
            counts = counts.plus(scored.counts)
            if not here:  # events that this process reads have been counted
                progress.add_events(scored.counts.events)
            progress.file_done(_as_line(jobs[place], scored, plan))
    log.info(
        "%d of %d files done: %s events, %s per second, in %s%s",
        len(jobs) - len(errors),
        len(jobs),
        f"{progress.events:,}",
        f"{progress.rate:,.0f}",
        duration(time.monotonic() - start),
        counts.as_text(plan),
    )
    outputs = [job.output_path for place, job in enumerate(jobs) if place not in errors]
    failures = []
    for place, error in sorted(errors.items()):
        path = jobs[place].input_path
        failures.append(one_line(error if path in error else f"{path}: {error}", 2000))
        log.error("%s", failures[-1])
    return ScoredFiles(outputs, failures)


def _shown_jobs(plan: Plan, jobs: Sequence[Job], task: Task) -> ScoredFiles:
    """Check that the models can score each input, and show where its scores would go."""
    failures = []
    for job in jobs:
        try:
            if is_remote(job.input_path):
                states = ["not looked at"]
            else:
                states = [_state(plan, job, tree_path, task) for tree_path in task.trees(job.input_path)]
        except NtuplemlError as error:
            failures.append(one_line(error, 2000))
            log.error("%s", failures[-1])
        else:
            for state in states:
                show(f"{job.input_path} -> {job.output_path}: {', '.join(plan.all_branches)} ({state})")
    return ScoredFiles([], failures)


def _state(plan: Plan, job: Job, tree_path: str, task: Task) -> str:
    """What a dry run says of a tree, once it is clear that it can be scored."""
    with open_input(plan, job.input_path, tree_path) as ntuple:
        rows = f"{ntuple.num_entries:,} rows"
    tree = f"tree '{tree_path}', " if has_several_trees(task.tree_path) else ""
    return f"{tree}{rows}{', done already' if _is_done(plan, job, tree_path, task) else ''}"


def score_file(plan: Plan, job: Job, task: Task) -> Scored:
    """Score one of many files, unless that is done: all its trees, also where one of them cannot be scored."""
    start, counts, skipped, begun, failures = time.monotonic(), EventCounts(), True, False, list[str]()
    with locked(job.output_path):
        for tree_path in task.trees(job.input_path):
            if _is_done(plan, job, tree_path, task):
                begun = True
                continue
            skipped = False
            try:
                counts = counts.plus(_write(plan, job, tree_path, task, into=begun))
                begun = True
            except NtuplemlError as error:
                if not has_several_trees(task.tree_path):
                    raise
                failures.append(str(error))
    if failures:
        raise NtuplemlError("; ".join(failures))
    return Scored(counts, skipped, time.monotonic() - start)


def _is_done(plan: Plan, job: Job, tree_path: str, task: Task) -> bool:
    """Whether the scores of a tree are there, and complete."""
    if task.overwrite or not job.output_path.exists():
        return False
    mark = scores_mark(plan, job.input_path, tree_path, in_place=not task.friend)
    return is_finished(mark, job.output_path, friend_of(job.input_path, tree_path, job.output_path, "").tree_path)


def _are_done(plan: Plan, jobs: Sequence[Job], task: Task) -> bool:
    """Whether nothing is left to do; looks at the files up to the first that is not done, or cannot be read."""
    try:
        return all(_is_done(plan, job, tree, task) for job in jobs for tree in task.trees(job.input_path))
    except (NtuplemlError, OSError):
        return False


def _write(
    plan: Plan, job: Job, tree_path: str, task: Task, level: int = logging.DEBUG, *, into: bool = False
) -> EventCounts:
    """Score a tree, with a line of the log at the end; numbers of events.

    Parameters
    ----------
    into : bool, default: False
        Whether a copy that is written already, with scores of another tree, gets these as well.
    """
    if task.friend:
        return write_friend(plan, job, tree_path, overwrite=task.overwrite, level=level)
    with _local_file(job) as path:
        output = None if job.output_path == Path(job.input_path) else job.output_path
        return append_planned_scores(
            plan, path, tree_path, overwrite=task.overwrite, output_path=output, into=into, level=level
        )


@contextmanager
def _local_file(job: Job) -> Iterator[str]:
    """The input, or a copy of it beside its output if it lies behind an address."""
    if not is_remote(job.input_path):
        yield job.input_path
        return
    with hidden_folder(job.output_path.parent, ".fetched-") as folder:
        local = folder / ntuple_name(job.input_path) / Path(job.input_path).name  # by which it finds its friends
        local.parent.mkdir()
        fetch(job.input_path, local)
        yield str(local)


@contextmanager
def _said_already() -> Iterator[None]:
    """Leave out the warnings of a plan: the process that shares the work out has made the same one."""
    logger = logging.getLogger("ntupleml")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


#: The plan that this worker made last, by its key.
_plans: dict[str, Plan] = {}


def score_on_worker(make: Callable[[], Plan], key: str, job: Job, task: Task) -> Scored:
    """Score one file on a worker, which makes the plan once.

    Parameters
    ----------
    make : callable
        Makes the plan.
    key : str
        Its `plan_key`, as the process that shares the work out has it.
    """
    if key not in _plans:
        with _said_already():
            plan = make()
        if plan_key(plan) != key:
            raise NtuplemlError(f"{plan.where}: models or configs have changed since the call began; call again")
        _plans.clear()
        _plans[key] = plan
    return score_file(_plans[key], job, task)


def _as_line(job: Job, scored: Scored, plan: Plan) -> str:
    if scored.skipped:
        return f"{job.output_path}: done already"
    events = scored.counts.events
    rate = events / max(scored.seconds, 1e-9)
    return f"{job.output_path}: {events:,} events, {rate:,.0f} per second{scored.counts.as_text(plan)}"
