"""Processes of this machine as workers.

They are forks of one process that has imported what they need and does nothing else: neither threads nor anything
that ROOT or ONNX Runtime keeps of files reaches them, and another one in place of one that died costs milliseconds.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver, get_context, parent_process, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ntupleml.cluster.tasks import LOST, OTHER_WORKERS, Finished, Returned, call
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ntupleml.cluster.tasks import FinishedTasks, Task

log = logging.getLogger(__name__)

#: They reach all processes of a terminal, but are for the one that stops the workers.
_FOR_THE_FIRST = {signal.SIGINT, signal.SIGHUP}
#: How long a worker may take to remove its unfinished files, in seconds.
_PATIENCE = 10
_READY = "ready"


def prepare_processes(modules: Sequence[str] = ()) -> None:
    """Start the process that imports modules and is forked for each worker, unless it runs."""
    forkserver.set_forkserver_preload(list(modules))
    resource_tracker.ensure_running()  # it would unblock the signals
    path, mask = os.environ.get("PYTHONPATH"), signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_FIRST)
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, sys.path))  # what was added to it since the start counts, too
    try:
        forkserver.ensure_running()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def local_workers(number: int, retries: int) -> Iterator[FinishedTasks]:
    """Share tasks out among so many processes; see `ntupleml.cluster.started_workers`."""
    prepare_processes()
    pool = _Pool(number, retries)
    log.info("workers of this machine: %d", number)
    try:
        yield pool.finished_tasks
    finally:
        pool.stop()


@dataclass(eq=False)
class _Tried:
    """A task with what became of it so far."""

    place: int
    task: Task
    failures: int = 0
    losses: int = 0


class _Failed(NamedTuple):
    """An exception that is none of the input: one line, and all of it."""

    line: str
    traceback: str


class _Worker:
    """A process, as the one that shares the work out sees it."""

    def __init__(self) -> None:
        context = get_context("forkserver")
        self.connection, theirs = context.Pipe()
        with theirs:
            self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
            with _signals_wait(), suppress(EOFError, ConnectionError):  # the process that is forked has ended
                self.process.start()
        if self.answer() != _READY:
            raise NtuplemlError(
                "--workers: a process that was started has ended at once, for the reason above if there is one; "
                "a Python script must call from under if __name__ == '__main__':"
            )

    def begin(self, request: bytes) -> None:
        with suppress(ConnectionError):  # that it has ended is seen when the answer is awaited
            self.connection.send_bytes(request)

    def answer(self) -> Any:
        """What it sends; None if it has ended."""
        with suppress(EOFError, ConnectionError):
            return self.connection.recv()
        return None


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let signals come when a block is done: a process that is told half of what it is to do prints a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it gets none
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (*_FOR_THE_FIRST, signal.SIGTERM)}
    handlers = {number: handler for number, handler in handlers.items() if handler is not None}  # those of Python
    for number in handlers:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for first in came[:1]:
            signal.raise_signal(first)


class _Pool:
    """Workers and the tasks that they have."""

    def __init__(self, number: int, retries: int) -> None:
        self._number = number
        self._retries = retries
        self._workers: list[_Worker] = []

    def finished_tasks(self, function: Callable[..., Any], tasks: Sequence[Task]) -> Iterator[Finished]:
        """See `ntupleml.cluster.started_workers`."""
        waiting = deque(_Tried(place, task) for place, task in enumerate(tasks))
        running: dict[Any, tuple[_Worker, _Tried]] = {}
        folder = str(Path.cwd())
        try:
            while waiting or running:
                while waiting and (worker := self._free_worker(running)) is not None:
                    tried = waiting.popleft()
                    worker.begin(pickle.dumps((folder, function, tried.task)))
                    running[worker.connection] = worker, tried
                for ready in connection.wait(list(running)):
                    worker, tried = running.pop(ready)
                    answer = worker.answer()
                    if answer is None:
                        self._workers.remove(worker)
                        worker.process.join(_PATIENCE)  # its pipe may be closed before its locks are
                    finished = self._finished(tried, answer)
                    if finished is None:
                        waiting.append(tried)
                    else:
                        yield finished
        finally:
            self._stop([worker for worker, _ in running.values()])

    def _free_worker(self, running: Mapping[Any, object]) -> _Worker | None:
        for worker in self._workers:
            if worker.connection not in running:
                return worker
        if len(self._workers) == self._number:
            return None
        self._workers.append(_Worker())
        return self._workers[-1]

    def _finished(self, tried: _Tried, answer: Returned | _Failed | None) -> Finished | None:
        """How a task ended; None if it is to be tried again."""
        if isinstance(answer, Returned):
            return answer.finished(tried.place)
        if answer is None:
            tried.losses += 1
            return Finished(tried.place, None, LOST) if tried.losses > OTHER_WORKERS else None
        log.debug("task %d failed\n%s", tried.place, answer.traceback)
        tried.failures += 1
        return Finished(tried.place, None, answer.line) if tried.failures > self._retries else None

    def stop(self) -> None:
        self._stop(list(self._workers))

    def _stop(self, workers: Sequence[_Worker]) -> None:
        for worker in workers:
            self._workers.remove(worker)
            worker.process.terminate()
        for worker in workers:
            worker.process.join(_PATIENCE)
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _serve(control: connection.Connection) -> None:
    """Do the tasks that come, until the process that sends them ends or stops this one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_FIRST)
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        control.send(_READY)
        while True:
            control.send(_answer(control.recv_bytes()))


def _exit(number: int, _frame: object) -> NoReturn:
    """Leave as an exception does, which removes unfinished files."""
    raise SystemExit(128 + number)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _answer(request: bytes) -> Returned | _Failed:
    try:
        return call(*pickle.loads(request))  # noqa: S301 - from the process that started this one
    except Exception as error:  # told to the process that sent the task
        return _Failed(f"{type(error).__name__}: {one_line(error)}", traceback.format_exc())
