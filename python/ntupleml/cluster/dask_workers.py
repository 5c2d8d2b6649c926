"""Workers of Dask: those of a cluster that runs already, or started as jobs of HTCondor or Slurm."""

from __future__ import annotations

import logging
import shutil
import threading
import uuid
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.cluster.tasks import LOST, Finished, Returned, call
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ntupleml.cluster.options import ClusterOptions
    from ntupleml.cluster.tasks import FinishedTasks, Task
    from ntupleml.config import ClusterConfig

log = logging.getLogger(__name__)

#: How long a scheduler that runs already may take to answer, in seconds.
_PATIENCE = 20


@contextmanager
def dask_workers(options: ClusterOptions, config: ClusterConfig) -> Iterator[FinishedTasks]:
    """Share tasks out among the workers of a cluster; see `ntupleml.cluster.workers.started_workers`."""
    if options.scheduler is not None and options.workers is not None:
        raise NtuplemlError("--workers: the cluster of --scheduler has its workers already; leave one of the two out")
    _configure()
    with ExitStack() as stack:
        if options.scheduler is not None:
            client = stack.enter_context(_running_client(options.scheduler))
        else:
            client = stack.enter_context(_batch_client(options, config))
        log.info("workers of the Dask scheduler %s%s", client.scheduler.address, _dashboard(client))
        yield partial(_finished_tasks, client, config.retries)


def _finished_tasks(
    client: Any, retries: int, function: Callable[..., Any], tasks: Sequence[Task]
) -> Iterator[Finished]:
    from distributed import as_completed

    run, folder = uuid.uuid4().hex, str(Path.cwd())
    futures = {}
    for place, task in enumerate(tasks):
        key = f"{function.__name__}-{run}-{place}"
        futures[client.submit(_call_alone, folder, function, task, key=key, retries=retries, pure=False)] = place
    try:
        # With the results: that of a worker which dies before it is fetched is computed again, and waited for.
        for future, returned in as_completed(list(futures), with_results=True, raise_errors=False):
            yield _finished(futures.pop(future), returned, future)
            future.release()
    finally:
        client.cancel(list(futures))


#: A worker may have several threads, but ROOT and the current folder are of the whole process.
_one_at_a_time = threading.Lock()


def _call_alone(folder: str, function: Callable[..., Any], task: Task) -> Returned:
    with _one_at_a_time:
        return call(folder, function, task)


def _finished(place: int, returned: Any, future: Any) -> Finished:
    if isinstance(returned, Returned):
        return returned.finished(place)
    from distributed import KilledWorker

    error = future.exception() if future.status == "error" else None
    log.debug("task %s failed", future.key, exc_info=error)
    if isinstance(error, KilledWorker):
        return Finished(place, None, LOST)
    if error is None:
        return Finished(place, None, f"the task was {future.status}")
    return Finished(place, None, f"{type(error).__name__}: {one_line(error)}")


def _configure() -> None:
    """Settings of Dask, unless the user's own configuration of it says otherwise.

    It logs only what goes wrong: at the level of information it closes its connections with tracebacks, and workers
    that are stopped warn of the task that they had. (It sets its loggers when `distributed` is imported.) A worker gets
    one task at a time, since those that wait in a worker which is lost count as having failed too.
    """
    import dask

    given = dask.config.get("distributed", {})
    if "scheduler" not in given:
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0})
    if "logging" not in {*dask.config.config, *given}:
        level = "debug" if log.isEnabledFor(logging.DEBUG) else "warning"
        noisy = ("distributed.client", "distributed.http.proxy", "distributed.worker.state_machine")
        quiet = dict.fromkeys(noisy, "error")
        dask.config.set({"logging": {"distributed": level, **quiet}})


def _dashboard(client: Any) -> str:
    """Address of the dashboard, which is served only where the package bokeh is installed."""
    from importlib.util import find_spec

    return f", dashboard {client.dashboard_link}" if find_spec("bokeh") is not None and client.dashboard_link else ""


@contextmanager
def _running_client(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, TimeoutError, ValueError) as error:
        raise NtuplemlError(f"--scheduler: no Dask scheduler answers at '{address}': {one_line(error)}") from error
    with client:
        yield client


@contextmanager
def _batch_client(options: ClusterOptions, config: ClusterConfig) -> Iterator[Any]:
    from distributed import Client

    jobs = options.workers or config.jobs
    option, command, system = (
        ("--slurm", "sbatch", "Slurm") if options.slurm else ("--htcondor", "condor_submit", "HTCondor")
    )
    with _batch_cluster(options, config) as cluster:
        if shutil.which(command) is None:  # Dask would try it again and again
            raise NtuplemlError(
                f"{option}: no command '{command}' here; log in where jobs are sent off, or use --workers"
            )
        cluster.scale(jobs=jobs)
        log.info("asked %s for %d jobs of %d cores, %s memory", system, jobs, config.cores, config.memory)
        with Client(cluster) as client:
            yield client


def job_script(options: ClusterOptions, config: ClusterConfig) -> str:
    """What would be given to the batch system for each worker."""
    _configure()
    with _batch_cluster(options, config) as cluster:
        return str(cluster.job_script())


def _batch_cluster(options: ClusterOptions, config: ClusterConfig) -> Any:
    """Jobs of a batch system; on CERN's lxplus with what HTCondor asks for there, where dask-lxplus is installed."""
    common: dict[str, Any] = {"cores": config.cores, "processes": 1, "memory": config.memory}
    if config.log_directory is not None:
        common["log_directory"] = config.log_directory
    if not options.slurm:
        common["disk"] = config.disk
        try:
            from dask_lxplus import CernCluster
        except ModuleNotFoundError:
            pass
        else:
            return CernCluster(**common, job_extra=dict(config.job_extra))
    try:
        import dask_jobqueue
    except ModuleNotFoundError as error:
        option = "--slurm" if options.slurm else "--htcondor"
        raise NtuplemlError(
            f"{option} needs dask-jobqueue ({error.name} is not installed); run pip install 'ntupleml[batch]'"
        ) from error
    if not options.slurm:
        return dask_jobqueue.HTCondorCluster(**common, job_extra_directives=dict(config.job_extra))
    extra = [f"--{name.lstrip('-')}={value}" for name, value in config.job_extra.items()]
    own = {"queue": config.queue, "account": config.account, "walltime": config.walltime}
    return dask_jobqueue.SLURMCluster(**common, **own, job_extra_directives=extra)
