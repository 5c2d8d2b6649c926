"""Work for the workers: tasks that are tried again when a worker is lost, and their results as they come."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

log = logging.getLogger(__name__)


class Finished(NamedTuple):
    """A task that has ended.

    Attributes
    ----------
    place : int
        Its place among the tasks.
    result : object
        What the function returned; None after an error.
    error : str or None
        The error as one line.
    """

    place: int
    result: Any
    error: str | None


def finished_tasks(
    client: Any, function: Callable[..., Any], tasks: Sequence[tuple[Any, ...]], *, retries: int = 0
) -> Iterator[Finished]:
    """Let the workers of a Dask cluster call a function once for each task, and give the results as they come.

    A task whose worker is lost is given to another one; how often, Dask's `distributed.scheduler.allowed-failures`
    says (3). Errors of the input (`NtuplemlError`) are not tried again. Workers call from the current folder of this
    process, and their warnings are logged here.

    Parameters
    ----------
    client : distributed.Client
    function : callable
        Importable by the workers.
    tasks : sequence of tuple
        Arguments of each call.
    retries : int, default: 0
        How often a task is tried again after an exception.

    Yields
    ------
    Finished
        One for each task, in the order in which they end.
    """
    from distributed import as_completed

    run, folder = uuid.uuid4().hex, str(Path.cwd())
    futures = {}
    for place, task in enumerate(tasks):
        key = f"{function.__name__}-{run}-{place}"
        futures[client.submit(_call, folder, function, task, key=key, retries=retries, pure=False)] = place
    try:
        # With the results: that of a worker which dies before it is fetched is computed again, and waited for.
        for future, returned in as_completed(list(futures), with_results=True, raise_errors=False):
            yield _finished(futures.pop(future), returned, future)
            future.release()
    finally:
        client.cancel(list(futures))


class _Returned(NamedTuple):
    """What a worker sends back: a result or an error of the input, and the warnings that were logged."""

    result: Any
    error: str | None
    warnings: list[str]


#: A worker may have several threads, but ROOT and the current folder are of the whole process.
_one_at_a_time = threading.Lock()


def _call(folder: str, function: Callable[..., Any], task: tuple[Any, ...]) -> _Returned:
    """Call a function on a worker; an error of the input is returned, lest it is tried again."""
    with _one_at_a_time, _collected_warnings() as warnings:
        try:
            _go_to(folder)
            return _Returned(function(*task), None, warnings)
        except NtuplemlError as error:
            return _Returned(None, str(error), warnings)


def _go_to(folder: str) -> None:
    """Make the current folder the one of the process that shares the work out: paths are relative to it."""
    try:
        if os.getcwd() != folder:  # noqa: PTH109 - a text to compare
            os.chdir(folder)
    except OSError as error:
        raise NtuplemlError(
            f"{folder}: not there on {socket.gethostname()}, where a worker runs; all need the same file system"
        ) from error


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Take the warnings of this package, for the process that shares the work out to log them."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger, collector = logging.getLogger("ntupleml"), Collector(logging.WARNING)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        yield lines
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagated


def _finished(place: int, returned: Any, future: Any) -> Finished:
    if isinstance(returned, _Returned):
        for line in returned.warnings:
            log.warning("%s", line)
        return Finished(place, returned.result, returned.error)
    error = future.exception() if future.status == "error" else None
    log.debug("task %s failed", future.key, exc_info=error)
    return Finished(place, None, failure_as_line(error, future.status))


def failure_as_line(error: BaseException | None, status: str) -> str:
    """One line on a task that did not return."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return "its worker died each time that it was tried; the memory may be too small for it"
    if error is None:
        return f"the task was {status}"
    return f"{type(error).__name__}: {one_line(error)}"
