"""A progress bar on terminals and nothing elsewhere, and the rate at the end."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ntupleml.application.scores import ScoredChunk


def shown(chunks: Iterable[ScoredChunk], total: int, description: str) -> Iterator[ScoredChunk]:
    """Pass chunks on, with a progress bar where the standard error stream is a terminal.

    Parameters
    ----------
    chunks : iterable of ScoredChunk
    total : int
        Number of events of all chunks.
    description : str
        What stands beside the bar.
    """
    if not sys.stderr.isatty():
        yield from chunks
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total)
        for chunk in chunks:
            yield chunk
            progress.update(task, completed=chunk.stop)


def rate(events: int, start: float) -> str:
    """Number of events and events per second since a time of `time.monotonic`, as text."""
    seconds = max(time.monotonic() - start, 1e-9)
    return f"{events:,} events, {events / seconds:,.0f} events per second"
