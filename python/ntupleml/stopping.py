"""Signals that stop a command. Next to nothing is imported here, since this has to come before all else."""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

#: What they are in Python, and what a command says. SIGTERM comes from batch systems, SIGHUP from a closed terminal.
_DEFAULTS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
_SAID: dict[int, str] = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "stopped (SIGTERM)",
    signal.SIGHUP: "stopped (SIGHUP)",
}
#: Those that came since the outermost `stoppable` began.
_came: list[int] = []


def stoppable(name: str, work: Callable[[], int], *, last: bool = False) -> int:
    """Call a function; if a signal stops it, say so in one line.

    The signal raises an exception where the program is at that moment, so that unfinished files are removed. Libraries
    in C that are just being imported may make an error of their own of it, so it is remembered.

    Parameters
    ----------
    name : str
        Of the command, in the line.
    last : bool, default: False
        Nothing comes after it but the end of Python, which a signal ends at once.

    Returns
    -------
    int
        What the function returns; 128 and the number of the signal where it was stopped.
    """
    changed = _waited_for()
    if changed:
        _came.clear()
    try:
        return work()
    except BaseException:
        if not _came:
            raise
    finally:
        for number in changed:
            signal.signal(number, _end(name) if last else _DEFAULTS[number])
    _say(name, _came[0])
    return 128 + _came[0]


def _waited_for() -> list[int]:
    """Handle signals that nobody else handles or ignores; which these are, none but in the main thread."""
    changed: list[int] = []
    for number, default in _DEFAULTS.items():
        if signal.getsignal(number) is default:
            try:
                signal.signal(number, _stop)
            except ValueError:
                return []
            changed.append(number)
    return changed


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
    try:
        os.write(2, f"{name}: {_SAID[number]}\n".encode())
    except OSError:
        return  # of a terminal that is closed
