"""A separate process for ROOT, forked for each file: a crash harms nothing else.

ROOT takes a second to start, and keeps for the life of its process how each class looked in the first file that
described it. So one process starts ROOT, waits, and forks for each piece of work.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, NoReturn

from ntupleml.errors import NtuplemlError
from ntupleml.imports import crash_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: Time of the processor that one step may take, in seconds: opening a file, filling a chunk, closing. A damaged file
#: may send ROOT around in circles.
SECONDS_PER_STEP = 300
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); import ntupleml.ntuples.root_process as p; p.serve()"
)
_WORK = b"work"
_KILLED = "the process of ROOT was killed (SIGKILL); the memory may be too small for it"
#: What the process of ROOT says: that it wants the next chunk, a result, an error of the input, or one of this program.
_NEXT, _RESULT, _REFUSED, _FAILED = "next", "result", "refused", "failed"


def run_with_root(
    function: Callable[..., Any], *arguments: Any, where: str, chunks: Iterable[Any] | None = None
) -> Any:
    """Call a function in a process that has started ROOT and done nothing else.

    Parameters
    ----------
    function : callable
        Importable by its name.
    *arguments : object
        What it is called with.
    where : str
        Beginning of the message; given to the function as well.
    chunks : iterable, optional
        Given to the function as an iterator. While it deals with one, the next is computed here.

    Returns
    -------
    object
        What the function returns.
    """
    server, connection = _connected()
    try:
        return server.run(connection, (function, arguments, where, chunks is not None), chunks)
    finally:
        if server.is_running:
            _servers.append(server)
        else:
            server.stop()


def stop_root() -> None:
    """End the process of ROOT; the next call starts another one."""
    while _servers:
        _servers.pop().stop()


#: Processes that wait for work.
_servers: list[_Server] = []
atexit.register(stop_root)


def _connected() -> tuple[_Server, Connection]:
    """A process that waits for work, or a new one, and the connection to a fork of it."""
    for server in [server for server in _servers if server.is_mine]:
        _servers.remove(server)
        with suppress(ConnectionError):
            return server, server.connect()
        server.stop()  # it was killed since
    server = _Server()
    return server, server.connect()


class _Server:
    """The process of ROOT, as the process that needs it sees it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        self._owner = os.getpid()
        self._has_ended = False
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(list(map(str, sys.path)))],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,  # with its fork, so that both can be killed
            )

    @property
    def is_mine(self) -> bool:
        """Whether this process started it, rather than the one that this is a fork of."""
        return self._owner == os.getpid()

    @property
    def is_running(self) -> bool:
        return not self._has_ended and self._process.poll() is None

    def stop(self) -> None:
        if self.is_mine:
            self._control.close()
            if self._has_ended:
                self._kill()
            self._process.wait()

    def _kill(self) -> None:
        """Kill it and its fork, which may be anywhere in ROOT, or not begun yet and about to make files."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def connect(self) -> Connection:
        """Let it fork; what connects this process with the fork."""
        ours, theirs = socket.socketpair()
        with theirs, ExitStack() as stack:
            stack.callback(ours.close)
            socket.send_fds(self._control, [_WORK], [theirs.fileno()])
            stack.pop_all()
        return Connection(ours.detach())

    def run(
        self, connection: Connection, request: tuple[Callable[..., Any], Any, str, bool], chunks: Iterable[Any] | None
    ) -> Any:
        answer, self._has_ended = None, True  # unless it says what became of its fork
        try:
            with connection, suppress(_GoneError):
                answer = _conversation(connection, request, chunks)
        except (KeyboardInterrupt, SystemExit):
            self._kill()
            raise
        finally:
            status = self._end_of_fork()
            self._has_ended = not status
        where = request[2]
        if answer is None:
            ended = _as_text(int(status)) if status else self._as_text()
            raise NtuplemlError(f"{where}: {ended}; the file was left as it was")
        kind, value = answer
        if kind == _REFUSED:
            raise NtuplemlError(value)
        if kind == _FAILED:
            raise RuntimeError(f"{where}: the process of ROOT failed:\n{value}")
        return value

    def _end_of_fork(self) -> bytes:
        """Its status, which comes when it has ended (it does when nobody listens); empty if this process has, too."""
        with suppress(ConnectionError):  # no error of its own: it would take the place of an interruption
            return self._control.recv(16)
        return b""

    def _as_text(self) -> str:
        """What became of this process itself."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return _KILLED
        ended = signal.Signals(-code).name if code < 0 else f"status {code}"
        return f"the process that starts ROOT has ended ({ended}); see whether python -c 'import ROOT' works"


class _GoneError(Exception):
    """The fork has ended."""


def _conversation(connection: Connection, request: Any, chunks: Iterable[Any] | None) -> tuple[str, Any]:
    """Send work, and chunks as they are wanted; the answer."""
    with _as_gone():
        connection.send(request)
    for chunk in chunks or ():
        with _as_gone():
            answer: tuple[str, Any] = connection.recv()
            if answer[0] != _NEXT:
                return answer
            connection.send(chunk)
    with _as_gone():
        answer = connection.recv()
        if answer[0] == _NEXT:
            connection.send(None)
            answer = connection.recv()
    return answer


@contextmanager
def _as_gone() -> Iterator[None]:
    """Tell the end of the fork from what computing a chunk may raise."""
    try:
        yield
    except (EOFError, ConnectionError) as error:
        raise _GoneError from error


def _as_text(status: int) -> str:
    """What became of a fork that gave no answer."""
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGXCPU:
        return f"ROOT did not come to an end within {SECONDS_PER_STEP} seconds, so the file is probably damaged"
    if code == -signal.SIGKILL:
        return _KILLED
    if code < 0:
        return f"ROOT crashed ({signal.Signals(-code).name}), so the file is probably damaged"
    return f"ROOT ended its process (status {code})"


def serve() -> None:
    """Start ROOT, and fork for each piece of work that comes, until the process that sends it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # control-C is for the process that sends the work
    control = socket.socket(fileno=int(sys.argv[1]))
    failure = _started()
    gc.freeze()  # what a fork collects would have to be copied
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, len(_WORK), 1)
        if not descriptors:
            return
        process = os.fork()
        if process == 0:
            control.close()
            _work(Connection(descriptors[0]), failure)
        os.close(descriptors[0])
        control.send(str(os.waitpid(process, 0)[1]).encode())


def _started() -> tuple[str, str] | None:
    """Start ROOT and all of it that files need; the answer to everything, if that fails."""
    from ntupleml.ntuples.root_trees import warm_up

    try:
        warm_up()
    except NtuplemlError as error:
        return _REFUSED, str(error)
    except Exception:  # told to the process that sent the work
        return _FAILED, traceback.format_exc()
    crash_at_once()
    return None


def _work(connection: Connection, failure: tuple[str, str] | None) -> NoReturn:
    """Do one piece of work and end this process."""
    with suppress(EOFError, ConnectionError):  # the process that sent the work has ended, or needs it no more
        connection.send(_answer(connection, failure))
    os._exit(0)


def _answer(connection: Connection, failure: tuple[str, str] | None) -> tuple[str, Any]:
    function, arguments, where, has_chunks = connection.recv()
    if failure is not None:
        return failure
    _allow_time()
    chunks = {"chunks": _chunks(connection)} if has_chunks else {}
    try:
        return _RESULT, function(*arguments, where=where, **chunks)
    except NtuplemlError as error:
        return _REFUSED, str(error)
    except (EOFError, ConnectionError):
        raise
    except BaseException:  # told to the process that sent the work
        return _FAILED, traceback.format_exc()


def _chunks(connection: Connection) -> Iterator[Any]:
    while True:
        connection.send((_NEXT, None))
        chunk = connection.recv()
        if chunk is None:
            return
        _allow_time()
        yield chunk


def _allow_time() -> None:
    """Let the kernel end this process if its next step takes too long."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + SECONDS_PER_STEP
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
