"""Workers: started on this machine or as jobs of HTCondor, or those of a Dask cluster that runs already."""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ntupleml.cluster.options import ClusterOptions
    from ntupleml.config import ClusterConfig

log = logging.getLogger(__name__)

#: How long a scheduler that runs already may take to answer, in seconds.
_PATIENCE = 20


@contextmanager
def started_client(options: ClusterOptions, config: ClusterConfig) -> Iterator[Any]:
    """Connect to the workers that the command line asks for, and stop those that were started at the end.

    Parameters
    ----------
    options : ClusterOptions
    config : ClusterConfig
        What jobs ask for.

    Yields
    ------
    distributed.Client

    Raises
    ------
    NtuplemlError
        If no scheduler answers at the address, or the package for HTCondor is not installed.
    """
    _require_one_kind(options)
    _configure()
    with ExitStack() as stack:
        if options.scheduler is not None:
            client = stack.enter_context(_running_client(options.scheduler))
        else:
            from distributed import Client

            start = _htcondor_cluster if options.htcondor else _local_cluster
            cluster = stack.enter_context(start(stack, options, config))
            client = stack.enter_context(Client(cluster))
        log.info("workers of the Dask scheduler %s%s", client.scheduler.address, _dashboard(client))
        yield client


def _require_one_kind(options: ClusterOptions) -> None:
    if options.scheduler is not None and options.workers is not None:
        raise NtuplemlError("--workers: the cluster of --scheduler has its workers already; leave one of the two out")


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
        quiet = dict.fromkeys(("distributed.http.proxy", "distributed.worker.state_machine"), "error")
        dask.config.set({"logging": {"distributed": level, **quiet}})
    if "nanny" not in given:
        import distributed  # noqa: F401 - brings the settings that are changed here

        # A threshold for giving memory back makes the C library ask the system anew for each array, which costs a third
        # of the scoring.
        environment = dask.config.get("distributed.nanny.pre-spawn-environ")
        kept = {name: value for name, value in environment.items() if name != "MALLOC_TRIM_THRESHOLD_"}
        dask.config.set({"distributed.nanny.pre-spawn-environ": kept})


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


def _local_cluster(stack: ExitStack, options: ClusterOptions, config: ClusterConfig) -> Any:
    """Processes on this machine, one thread each, with a folder for their own files that goes away with them."""
    del config
    from distributed import LocalCluster

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ntupleml-workers-", ignore_cleanup_errors=True))
    return LocalCluster(
        n_workers=options.workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        local_directory=folder,
        preload="ntupleml.cluster.worker_setup",
    )


def _htcondor_cluster(stack: ExitStack, options: ClusterOptions, config: ClusterConfig) -> Any:
    """Jobs of HTCondor; on CERN's lxplus with what its batch system asks for, where dask-lxplus is installed."""
    del stack
    jobs = options.workers or config.jobs
    common: dict[str, Any] = {"cores": config.cores, "processes": 1, "memory": config.memory, "disk": config.disk}
    if config.log_directory is not None:
        common["log_directory"] = config.log_directory
    try:
        from dask_lxplus import CernCluster
    except ModuleNotFoundError:
        CernCluster = None  # noqa: N806 - a class
    if CernCluster is not None:
        cluster = CernCluster(**common, job_extra=dict(config.job_extra))
    else:
        try:
            from dask_jobqueue import HTCondorCluster
        except ModuleNotFoundError as error:
            raise NtuplemlError(
                f"--htcondor needs dask-jobqueue ({error.name} is not installed); run pip install 'ntupleml[batch]'"
            ) from error
        cluster = HTCondorCluster(**common, job_extra_directives=dict(config.job_extra))
    cluster.scale(jobs=jobs)
    log.info("asked HTCondor for %d jobs of %d cores, %s memory", jobs, config.cores, config.memory)
    return cluster
