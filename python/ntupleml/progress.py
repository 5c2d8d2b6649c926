"""A progress bar on terminals, and nothing elsewhere."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """Show how many events have been read, if the standard error stream is a terminal; else log what is read.

    Parameters
    ----------
    total : int
        Number of events to read.

    Yields
    ------
    callable
        Takes a description of what is being read and the number of events read since the last call.
    """
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
