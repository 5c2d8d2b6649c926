"""Who does the work: this process, others on this machine, or a Dask cluster; all are called in the same way."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ntupleml.cluster.processes import local_workers, prepare_processes
from ntupleml.cluster.tasks import Finished
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ntupleml.cluster.options import ClusterOptions
    from ntupleml.cluster.tasks import FinishedTasks, Task
    from ntupleml.config import ClusterConfig


def prepare_workers(options: ClusterOptions, *modules: str) -> None:
    """Let processes on this machine, if they are asked for, import what they need while this one goes on.

    Parameters
    ----------
    *modules : str
        What they will need, and what does not start threads when it is imported.
    """
    if options.are_local:
        prepare_processes(modules)


@contextmanager
def started_workers(options: ClusterOptions, config: ClusterConfig) -> Iterator[FinishedTasks]:
    """Give what the command line asks for: a function that shares tasks out, and gives their results as they come.

    It is called with a function that workers can import and with the arguments of each call, and yields a `Finished`
    for each. A task whose worker is lost is given to another one, up to three times. After an exception it is tried
    again as often as the config says; errors of the input (`NtuplemlError`) are not. Workers call from the current
    folder of this process, and their warnings are logged here. Workers that were started are stopped at the end.

    Raises
    ------
    NtuplemlError
        If no scheduler answers at the address, workers do not start, or the package for HTCondor is not installed.
    """
    if options.is_this_process:
        yield _here
    elif options.are_local:
        with local_workers(options.workers or 1, config.retries) as finished_tasks:
            yield finished_tasks
    else:
        from ntupleml.cluster.dask_workers import dask_workers

        with dask_workers(options, config) as finished_tasks:
            yield finished_tasks


def _here(function: Callable[..., Any], tasks: Sequence[Task]) -> Iterator[Finished]:
    """Do one task after the other; a fault of this program ends all."""
    for place, task in enumerate(tasks):
        result, failure = None, None
        try:
            result = function(*task)
        except NtuplemlError as error:
            failure = str(error)
        except OSError as error:
            failure = f"{type(error).__name__}: {one_line(error)}"
        yield Finished(place, result, failure)
