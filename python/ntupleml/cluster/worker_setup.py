"""What a worker on this machine does when it starts (Dask's `preload`)."""

from __future__ import annotations

import signal


def dask_setup(worker: object) -> None:
    """Leave control-C, which reaches all processes of a terminal, to the process that stops the workers."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
