"""Runs scripts, each in a process of its own, from a Python that has imported already what they need.

The imports take longer than what most tests and campaigns ask of a script. `ScriptServer` starts this file as a program
with the modules to import. A line of JSON on its standard input names the script, its arguments, folder, environment,
the files for its output, and a text of Python that is run first; lines on standard output give the process, and its
exit status when it has ended. A process leads a group of its own, and answers signals as one that a shell starts.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, cast

if TYPE_CHECKING:
    from collections.abc import Sequence


class ScriptServer:
    """A Python that waits for scripts, as the process that has them run sees it; one at a time.

    Parameters
    ----------
    *modules : str
        What it imports. No threads may be started by that.
    """

    def __init__(self, *modules: str) -> None:
        command = [sys.executable, __file__, *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._running: int | None = None

    def start(self, command: Sequence[object], folder: Path, output: Path, errors: Path, first: str = "") -> int:
        """Start a script with its arguments; the number of its process, which is that of its group, too."""
        call = {
            "command": list(map(str, command)),
            "folder": str(folder),
            "environment": dict(os.environ),
            "outputs": [str(output), str(errors)],
            "first": first,
        }
        stdin = cast("IO[bytes]", self._process.stdin)
        stdin.write(json.dumps(call).encode() + b"\n")
        stdin.flush()
        self._running = self._number()
        return self._running

    def wait(self, seconds: float | None = None) -> int | None:
        """Exit status of the process that was started last, negative after a signal; None if it still runs."""
        if not select.select([cast("IO[bytes]", self._process.stdout)], [], [], seconds)[0]:
            return None
        self._running = None
        return self._number()

    def kill(self) -> None:
        """Kill the process that was started last and all of its group."""
        if self._running is not None:
            os.killpg(self._running, signal.SIGKILL)
            self.wait()

    def close(self) -> None:
        """Let it end."""
        self.kill()
        self._process.communicate()  # the end of its input ends it

    def _number(self) -> int:
        # Unbuffered, so that `select` sees all there is.
        text = b""
        while not text.endswith(b"\n"):
            read = os.read(cast("IO[bytes]", self._process.stdout).fileno(), 1)
            if not read:
                raise RuntimeError(f"the process that starts scripts has ended: status {self._process.wait()}")
            text += read
        return int(text)


def _serve(modules: Sequence[str]) -> dict[str, Any] | None:
    """Fork for each call that comes; the call, in the process that is to run it; None at the end of calls."""
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what a fork collects would have to be copied
    for line in sys.stdin:
        call: dict[str, Any] = json.loads(line)
        child = os.fork()
        os.setpgid(child, 0)  # for both, whoever comes first
        if child == 0:
            return call
        _say(child)
        _say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return None


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(call: dict[str, Any]) -> NoReturn:
    """Run a script as if this process had been started for it."""
    os.chdir(call["folder"])
    os.environ.clear()
    os.environ.update(call["environment"])
    for descriptor, name in enumerate([os.devnull, *call["outputs"]]):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND if descriptor else os.O_RDONLY, 0o666)
        os.dup2(opened, descriptor)
        os.close(opened)
    # A shell starts background jobs with interruptions ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    exec(call["first"], {})
    sys.argv = call["command"]
    more = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(sys.argv[0]).parent), *(one for one in more if one and one not in sys.path)]
    status = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*cast("Any", sys.exc_info()))
    # As every Python does, but for what is taken apart in the end: all that was imported, which takes seconds.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__" and (todo := _serve(sys.argv[1:])) is not None:
    _become(todo)
