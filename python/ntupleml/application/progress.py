"""A progress bar around the chunks of an ntuple, and the rate at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ntupleml.application.scores import ScoredChunk


def shown(chunks: Iterable[ScoredChunk], total: int, description: str) -> Iterator[ScoredChunk]:
    """Pass chunks on, with a progress bar where the standard error stream is a terminal.

    Parameters
    ----------
    total : int
        Number of events of all chunks.
    description : str
        What stands beside the bar.
    """
    with progress_bar(total) as advance:
        for chunk in chunks:
            yield chunk
            advance(description, chunk.stop - chunk.start)


def rate(events: int, start: float) -> str:
    """Number of events and events per second since a time of `time.monotonic`, as text."""
    seconds = max(time.monotonic() - start, 1e-9)
    return f"{events:,} events, {events / seconds:,.0f} events per second"
