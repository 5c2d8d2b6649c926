"""Signals that stop a command. Next to nothing is imported here, since this has to come before all else."""

from __future__ import annotations

import _thread
import gc
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn
else:
    import _signal as signal  # what `signal` adds takes longer than all else here

#: What they are in Python, and what a command says. SIGTERM comes from batch systems, SIGHUP from a closed terminal.
_DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
_TEXTS: dict[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "stopped (SIGTERM)",
    signal.SIGHUP: "stopped (SIGHUP)",
}
#: How long a process may take to end after a signal, in seconds: it may be in a library in C, which Python cannot stop.
PATIENCE = 1.5
#: Between an exception that was lost and the next one, in seconds.
_PAUSE = 0.05
#: Those that came since the outermost `stoppable` began.
_came: list[int] = []
#: Those that a line was written about.
_said: list[int] = []
#: Files that are not finished, and go away also where a process is ended without an exception.
unfinished: set[tuple[int, str]] = set()


def stoppable(name: str, work: Callable[[], int], *, last: bool = False) -> int:
    """Call a function; if a signal stops it, say so in one line.

    The signal raises an exception where the program is at that moment, so that unfinished files are removed. Libraries
    in C that are just being imported may make an error of their own of it, so it is remembered. Where it is lost, as in
    functions that such libraries call, it is raised once more.

    Parameters
    ----------
    name : str
        Of the command, in the line.
    last : bool, default: False
        Nothing comes after it but the end of Python, which a signal ends at once. The process ends also where the
        exception does not come through in time.

    Returns
    -------
    int
        What the function returns; 128 and the number of the signal where it was stopped.
    """
    changed: list[int] = []
    try:
        _wait_for_signals(changed)
        if changed and last:
            _watch(name)
        status = work()
        if last:
            gc.freeze()  # Python looks for garbage once more: after an import of TensorFlow for over a second
        return status
    except BaseException:
        if not _came:
            raise
    finally:
        for number in changed:
            signal.signal(number, _end(name) if last else _DEFAULTS[number])
    if last:
        _remove_unfinished()  # what a signal between two lines kept from being removed
    _say(name, _came[0])
    return 128 + _came[0]


def _watch(name: str) -> None:
    """Let another thread end this process some time after a signal, if it is still there."""
    sys.unraisablehook = _raise_again
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_watch_no_more)

    def wait() -> None:
        while (number := os.read(reader, 1)[0]) not in _TEXTS:
            pass
        time.sleep(PATIENCE)
        _remove_unfinished()
        if not _said:
            _say(name, number)
        os._exit(128 + number)

    _thread.start_new_thread(wait, ())


def _watch_no_more() -> None:
    """Let a signal that a fork gets be none of the process that it is a fork of."""
    signal.set_wakeup_fd(-1)


def _raise_again(lost: Any) -> None:
    """Interrupt the main thread at another moment, where an exception could not be raised.

    What fails after a signal, as in objects that were being made, is no fault.
    """
    if not _came:
        sys.__unraisablehook__(lost)
    if not _came or not issubclass(lost.exc_type, (KeyboardInterrupt, SystemExit)):
        return

    def later() -> None:
        time.sleep(_PAUSE)
        _thread.interrupt_main(_came[0])  # type: ignore[arg-type]

    _thread.start_new_thread(later, ())


def _remove_unfinished() -> None:
    from shutil import rmtree

    for process, path in tuple(unfinished):
        if process == os.getpid():
            try:
                rmtree(path) if os.path.isdir(path) else os.unlink(path)  # noqa: PTH108, PTH112 - pathlib takes time
            except OSError:  # it is not there yet, or any more
                continue


def _wait_for_signals(changed: list[int]) -> None:
    """Handle signals that nobody else handles or ignores, and note which: none but in the main thread."""
    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) == default:
            if not changed:
                _came.clear()
                _said.clear()
            try:
                signal.signal(number, _stop)
            except ValueError:
                return
            changed.append(number)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    _came.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _end(name: str) -> Callable[[int, FrameType | None], NoReturn]:
    """What ends a process that has nothing more to do."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        _say(name, number)
        os._exit(128 + number)

    return end


def _say(name: str, number: int) -> None:
    _said.append(number)
    try:
        os.write(2, f"{name}: {_TEXTS[number]}\n".encode())
    except OSError:
        return  # of a terminal that is closed
