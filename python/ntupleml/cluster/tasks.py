"""A task as a worker does it, and what comes back."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path  # noqa: TC003 - a field of a tuple
from typing import Any, NamedTuple, TypeAlias

from ntupleml.atomic import note_written, noting_written
from ntupleml.errors import NtuplemlError

log = logging.getLogger(__name__)

#: How often a task is given to another worker when it has lost the one that it had.
OTHER_WORKERS = 3
LOST = "its worker died each time that it was tried; the memory may be too small for it"

#: The arguments of one call.
Task: TypeAlias = tuple[Any, ...]


class Finished(NamedTuple):
    """A task that has ended."""

    #: Its place among the tasks.
    place: int
    #: What the function returned; None after an error.
    result: Any
    #: The error as one line.
    error: str | None


#: Shares tasks out; see `ntupleml.cluster.started_workers`.
FinishedTasks: TypeAlias = Callable[[Callable[..., Any], Sequence[Task]], Iterator[Finished]]


class Returned(NamedTuple):
    """What a worker sends back: a result or an error of the input, and the warnings that were logged."""

    result: Any
    error: str | None
    warnings: list[str]
    #: Files that were written.
    written: list[Path]

    def finished(self, place: int) -> Finished:
        """The end of the task; its warnings are logged."""
        for line in self.warnings:
            log.warning("%s", line)
        note_written(*self.written)
        return Finished(place, self.result, self.error)


def call(folder: str, function: Callable[..., Any], task: Task) -> Returned:
    """Call a function on a worker; an error of the input is returned, lest it is tried again.

    Parameters
    ----------
    folder : str
        Current folder of the process that shares the work out: paths are relative to it.
    """
    with _collected_warnings() as warnings, noting_written() as written:
        try:
            _go_to(folder)
            return Returned(function(*task), None, warnings, list(written))
        except NtuplemlError as error:
            return Returned(None, str(error), warnings, list(written))


def _go_to(folder: str) -> None:
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
