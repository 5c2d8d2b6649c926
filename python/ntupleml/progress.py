"""A progress bar on terminals, and plain lines or nothing elsewhere: for the events of a file, many files, any step."""

from __future__ import annotations

import logging
import math
import sys
import time
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

log = logging.getLogger(__name__)

Item = TypeVar("Item")

#: Seconds that need no bar, and seconds between two lines where there is none.
_SHORT, _BETWEEN_LINES = 2.0, 20.0
#: Steps that are watched now: the outermost is shown.
_watching: list[str] = []
#: Counts the events of the file that is being read, while the bar of many files is shown.
_of_many: ContextVar[Callable[[str, int], None] | None] = ContextVar("of_many", default=None)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show how many events have been read, if the standard error stream is a terminal; else log what is read.

    Inside `files_progress` the events count there, and nothing else is shown.

    Parameters
    ----------
    total : int
        Number of events to read.

    Yields
    ------
    callable
        Takes a description of what is being read and the number of events read since the last call.
    """
    outer = _of_many.get()
    if outer is not None:
        yield outer
        return
    if not sys.stderr.isatty():
        seen: set[str] = set()

        def note(description: str, number: int) -> None:
            del number
            if description not in seen:
                seen.add(description)
                log.info("reading %s", description)

        yield note
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=total)

        def advance(description: str, number: int) -> None:
            progress.update(task, description=description, advance=number)

        yield advance


def watched(
    items: Iterable[Item], what: str, total: float, size: Callable[[Item], float] = lambda _item: 1.0
) -> Iterator[Item]:
    """Pass items on, and show how much is done and the time that is left, of a step that takes over two seconds.

    On a terminal a bar, elsewhere a line now and then. Inside another one, and inside the bars of this module, nothing.

    Parameters
    ----------
    what : str
        The step, e.g. ``trials``.
    total : float
        Sum of the sizes of all items.
    size : callable, optional
        Of an item; by default each counts 1.
    """
    if _of_many.get() is not None or _watching:
        yield from items
        return
    start, done, said = time.monotonic(), 0.0, -math.inf
    with ExitStack() as stack:
        _watching.append(what)
        stack.callback(_watching.remove, what)
        show: Callable[[float], None] | None = None
        for item in items:
            yield item
            done += size(item)
            passed = time.monotonic() - start
            if passed < _SHORT or not 0 < done < total:
                continue
            if show is not None:
                show(done)
            elif sys.stderr.isatty():
                show = stack.enter_context(_bar(what, total))
                show(done)
            elif passed - said > _BETWEEN_LINES:
                said = passed
                log.info("%s: %.0f %% done, %s left", what, 100 * done / total, duration(passed * (total / done - 1)))


@contextmanager
def _bar(what: str, total: float) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    before = sys.stderr
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, _logging_above_the_bar(before):
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


class FilesProgress:
    """Files and events that are done, of many; made by `files_progress`."""

    def __init__(self, total: int, show: Callable[[int, str], None] | None = None) -> None:
        self.total = total
        self.files = 0
        self.events = 0
        self._start = time.monotonic()
        self._show = show

    @property
    def rate(self) -> float:
        """Events per second since the beginning."""
        return self.events / max(time.monotonic() - self._start, 1e-9)

    def add_events(self, number: int) -> None:
        """Count events."""
        self.events += number
        self._update()

    def file_done(self, line: str) -> None:
        """Count a file; where there is no terminal, log a line on it, with the time that is left."""
        self.files += 1
        self._update()
        if self._show is None:
            log.info("%d of %d: %s%s", self.files, self.total, line, self._time_left())

    def _time_left(self) -> str:
        if self.files == self.total:
            return ""
        seconds = (time.monotonic() - self._start) / self.files * (self.total - self.files)
        return f"; {duration(seconds)} left"

    def _update(self) -> None:
        if self._show is not None:
            self._show(self.files, f"{self.events:,} events, {self.rate:,.0f} per second")


def duration(seconds: float) -> str:
    """Time as hours, minutes and seconds.

    Examples
    --------
    >>> duration(3725.4)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def files_progress(total: int) -> Iterator[FilesProgress]:
    """Show files, events, events per second and the time left on a terminal; plain lines per file elsewhere.

    Parameters
    ----------
    total : int
        Number of files.
    """
    if not sys.stderr.isatty():
        with _counting_in(FilesProgress(total)) as plain:
            yield plain
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("files"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    before = sys.stderr
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar, _logging_above_the_bar(before):
        task = bar.add_task("files", total=total, rate="")

        def show(files: int, rate: str) -> None:
            bar.update(task, completed=files, rate=rate)

        with _counting_in(FilesProgress(total, show)) as shown:
            yield shown


@contextmanager
def _counting_in(progress: FilesProgress) -> Iterator[FilesProgress]:
    token = _of_many.set(lambda _description, number: progress.add_events(number))
    try:
        yield progress
    finally:
        _of_many.reset(token)


@contextmanager
def _logging_above_the_bar(before: TextIO) -> Iterator[None]:
    """Let log lines go through the stream that rich put in place of standard error, so that the bar stays below."""
    handlers = [item for item in logging.getLogger().handlers if isinstance(item, logging.StreamHandler)]
    changed = [handler for handler in handlers if handler.stream is before]
    for handler in changed:
        handler.setStream(sys.stderr)
    try:
        yield
    finally:
        for handler in changed:
            handler.setStream(before)
