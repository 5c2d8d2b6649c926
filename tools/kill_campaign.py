"""Stop commands at random moments, and look at what they leave.

    python tools/kill_campaign.py --number 200 --seed 1 [COMMAND ...]
    python tools/kill_campaign.py --number 40 --signal SIGINT [COMMAND ...]

Each command works on a small analysis in a temporary folder, again and again on what the one before left, every third
time without. It is stopped at a random moment of the time that it takes; every other time with all processes of its
group, as control-C in a terminal does. Most runs are forks of a process that has imported what they need, so that the
time is that of the work; every tenth is a process of its own, stopped also while it starts and imports.

After each stop every file under a final name must be whole, and hold what it held before or what the command makes:
uproot reads every basket, ROOT opens it without recovering it. After every fifth the command runs once more, with
`--continue` where it has that: it must succeed, make the same as a run that was not stopped, and nothing hidden may
remain. With SIGINT and SIGTERM it must also end within two seconds with status 130 or 143 and a line that says so,
without a traceback, and leave nothing hidden. Time in which it waits for a processor does not count, and one that takes
longer is stopped once more at this moment, since the machine may have other work. The exit status is 1 where any of
this fails.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from campaign_commands import COMMANDS, prepare
from script_server import ScriptServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from campaign_commands import Command

TOP = Path(__file__).resolve().parents[1]
SIGNALS = {one.name: one for one in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)}
#: What commands need, but ONNX Runtime: forks of a process that has imported it never end.
_IMPORTED = (
    "awkward", "h5py", "ntupleml.application.many_files", "ntupleml.datasets", "ntupleml.forests", "ntupleml.stages",
    "ntupleml.verbs", "numba", "onnx", "pyarrow.parquet", "uproot",
)  # fmt: skip
_IMPORTED_BY_STAGES = (
    "keras", "matplotlib.pyplot", "ntupleml.reports", "ntupleml.testing", "ntupleml.training", "ntupleml.tuning",
    "optuna", "sklearn.ensemble", "xgboost",
)  # fmt: skip
#: One of so many runs is a process that imports all by itself.
WHOLE_EVERY = 10
#: After how many stops the command runs to its end, and before how many it has nothing to replace.
AGAIN_EVERY, ANEW_EVERY = 5, 3
#: How long a command may take to end, in seconds, and how long one is waited for.
LONGEST, PATIENCE = 2.0, 120.0
#: What a conversion has finished, with which it goes on.
PARTS = ".table.h5.parts"


class Stop(NamedTuple):
    """How a run is stopped."""

    after: float
    number: signal.Signals = signal.SIGKILL
    whole_group: bool = False


class Ended(NamedTuple):
    """How a run ended."""

    #: Negative after a signal; None where it did not.
    status: int | None
    #: Until it was stopped, or ended by itself.
    seconds: float
    #: From the signal to the end, without waiting for a processor; None where it ended before.
    stopping: float | None
    said: str


def run(arguments: list[str], folder: Path, stop: Stop | None = None, server: ScriptServer | None = None) -> Ended:
    """Run a script, in a fork of a server if there is one; the log of the run before is gone."""
    log = folder / "log.txt"
    log.write_bytes(b"")
    command = [str(TOP / arguments[0]), *arguments[1:]]
    start = time.monotonic()
    number, wait = (
        _started(command, folder, log) if server is None else (server.start(command, folder, log, log), server.wait)
    )
    status, stopping = wait(None if stop is None else stop.after), None
    seconds = time.monotonic() - start
    if status is None and stop is not None:
        (os.killpg if stop.whole_group else os.kill)(number, stop.number)
        waited = before = _waited(number)
        while (status := wait(0.02)) is None and time.monotonic() - start - seconds < PATIENCE:
            waited = max(waited, _waited(number))
        stopping = time.monotonic() - start - seconds - (waited - before)
        if status is None:
            os.killpg(number, signal.SIGKILL)
            wait(None)
    return Ended(status, seconds, stopping, log.read_text(errors="replace"))


def _started(command: list[str], folder: Path, log: Path) -> tuple[int, Callable[[float | None], int | None]]:
    """A process of its own."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=output, stderr=output, process_group=0
        )

    def wait(seconds: float | None) -> int | None:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    return process.pid, wait


def _waited(process: int) -> float:
    """How long a process has waited for a processor, in seconds; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def completed(arguments: list[str], folder: Path, server: ScriptServer | None = None) -> float:
    """Run a script that must succeed; the seconds that it took."""
    ended = run(arguments, folder, server=server)
    if ended.status != 0:
        raise RuntimeError(f"{' '.join(arguments)}: status {ended.status}: {ended.said[-1000:]}")
    return ended.seconds


def imported(commands: Iterable[Command]) -> tuple[str, ...]:
    """Modules that a server imports for some commands and those before them."""
    scripts = [one[0] for command in commands for one in (command.arguments, *command.before)]
    return _IMPORTED + (_IMPORTED_BY_STAGES if any(one.startswith(("training", "testing")) for one in scripts) else ())


def hidden(folder: Path) -> set[str]:
    """What unfinished commands have left."""
    return {str(path.relative_to(folder)) for path in folder.rglob(".*")}


@contextmanager
def _scheduler() -> Iterator[str]:
    """Address of a Dask cluster of two processes, which no signal reaches."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield str(cluster.scheduler_address)


class Campaign:
    """A command that is stopped many times.

    Parameters
    ----------
    folder : Path
        A small analysis.
    before : Path
        Where what the command changes is kept as it was.
    """

    def __init__(self, name: str, folder: Path, before: Path, address: str | None, server: ScriptServer) -> None:
        self._command = COMMANDS[name]
        self._folder = folder
        self._before = before
        self._server = server
        self._arguments = [address or one if one == "SCHEDULER" else one for one in self._command.arguments]
        self._again = [self._command.goes_on or one if one == "--overwrite" else one for one in self._arguments]
        shutil.copytree(folder, before)
        old = self._command.outputs(folder)
        completed(self._arguments, folder, server)
        self._new = self._command.outputs(folder)
        self._usual = {*hidden(folder), PARTS}  # a study keeps its lock
        self._seconds = {False: completed(self._arguments, folder, server), True: completed(self._arguments, folder)}
        again = self._command.outputs(folder)
        #: What two runs make alike; of the rest it is enough that it is there, and whole.
        self._alike = {key for key in self._new if again.get(key) == self._new[key]}
        self._allowed = (old, self._new)

    def anew(self) -> None:
        """Take away what the command has made."""
        for path in self._folder.glob(self._command.place):
            # Workers of a cluster may still be at work.
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
        for path in self._before.glob(self._command.place):
            copy = self._folder / path.relative_to(self._before)
            shutil.copytree(path, copy, dirs_exist_ok=True) if path.is_dir() else shutil.copy2(path, copy)

    def stop(self, part: float, number: signal.Signals, *, whole_group: bool, alone: bool) -> Ended:
        """Run the command, and stop it after a part of its time."""
        after = self._seconds[alone] * part
        ended = run(self._arguments, self._folder, Stop(after, number, whole_group), None if alone else self._server)
        if ended.stopping is None:
            self._seconds[alone] = (self._seconds[alone] + ended.seconds) / 2  # the machine may have other work
        return ended

    def wrong_files(self, before: dict[str, str]) -> str | None:
        """What is wrong with the outputs, if anything."""
        try:
            found = self._command.outputs(self._folder)
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        for key in found:
            states = [state for state in self._allowed if key in state]
            if not states or (key in self._alike and found[key] not in [state[key] for state in states]):
                return f"another {key}"
        return next((f"no {key} any more" for key in before if key not in found), None)

    def left(self) -> list[str]:
        """What is hidden in the analysis, and was not there after a run that was not stopped."""
        return sorted(hidden(self._folder) - self._usual)

    def wrong_again(self) -> str | None:
        """What is wrong with the next run, if anything."""
        ended = run(self._again, self._folder, server=self._server)
        if ended.status != 0:
            return f"again: status {ended.status}: {ended.said[-500:]}"
        if wrong := self.wrong_files(self._new):
            return f"again: {wrong}"
        for _ in range(20):  # what was started by a process that was killed may still be ending
            if not self.left():
                return None
            time.sleep(0.1)
            run(self._again, self._folder, server=self._server)
        return f"again: left {self.left()[0]}"

    @property
    def outputs(self) -> dict[str, str]:
        """What its outputs hold."""
        return self._command.outputs(self._folder)


def wrong_end(ended: Ended, number: signal.Signals) -> str | None:
    """What is wrong with the end of a run that was told to stop, if anything."""
    if ended.stopping is None:
        return None if ended.status == 0 else f"status {ended.status}: {ended.said[-500:]}"
    if number == signal.SIGKILL or (ended.status == 0 and not ended.said.count("Traceback")):
        return None  # it was done
    if ended.status == -number and "Traceback" not in ended.said:
        return None  # Python itself was starting, or ending
    if "KeyboardInterrupt" in ended.said and str(TOP) not in ended.said:
        return None  # the same, before any line of ours
    if ended.status != 128 + number:
        return f"status {ended.status}: {ended.said[-500:]}"
    lines = ended.said.splitlines()
    if not lines or not lines[-1].endswith((": interrupted", ": stopped (SIGTERM)")) or "Traceback" in ended.said:
        return f"no message of one line: {ended.said[-500:]}"
    return None


class Counts(NamedTuple):
    """A line of the table."""

    command: str
    stopped: int
    faults: int
    #: Longest time from a signal to the end in seconds, and how often it was more than allowed but not the second time.
    longest: float
    slow_once: int
    #: Hidden files after a stop, at most.
    hidden: int

    def __str__(self) -> str:
        return (
            f"{self.command:12} {self.stopped:7} {self.faults:7} {self.longest:9.2f} {self.slow_once:9} {self.hidden:7}"
        )


def campaign(
    name: str,
    number: int,
    seed: int,
    entries: int,
    how: signal.Signals,
    server: ScriptServer,
    seconds: float = float("inf"),
) -> Counts:
    """Stop a command many times, for some seconds at most."""
    random = np.random.default_rng([seed, *name.encode()])
    faults, stopped, longest, slow_once, most_left = [], 0, 0.0, 0, 0
    with (
        tempfile.TemporaryDirectory() as place,
        _scheduler() if "SCHEDULER" in COMMANDS[name].arguments else nullcontext() as address,
    ):
        folder = Path(place) / "analysis"
        folder.mkdir()
        prepare(folder, entries)
        for arguments in COMMANDS[name].before:
            completed(arguments, folder, server)
        commands = Campaign(name, folder, Path(place) / "before", address, server)
        end = time.monotonic() + seconds
        for index in range(number):
            if time.monotonic() > end:
                break
            if index % ANEW_EVERY == 0:
                commands.anew()
            before = commands.outputs
            part, group = random.uniform(0, 1.05), index % 2 == 0
            alone = index % WHOLE_EVERY == 1
            ended = commands.stop(part, how, whole_group=group, alone=alone)
            if how != signal.SIGKILL and (ended.stopping or 0) > LONGEST:
                slow_once += 1
                ended = commands.stop(part, how, whole_group=group, alone=alone)
                if (ended.stopping or 0) > LONGEST:
                    faults.append(f"{index}: ended {ended.stopping:.1f} s after the signal at {ended.seconds:.2f} s")
            stopped += ended.stopping is not None and ended.status != 0
            longest = max(longest, ended.stopping or 0)
            wrong = [wrong_end(ended, how), commands.wrong_files(before)]
            most_left = max(most_left, len(commands.left()))
            if how != signal.SIGKILL and (left := commands.left()):
                wrong.append(f"left {left[0]}")
            if index % AGAIN_EVERY == 0 or index == number - 1:
                wrong.append(commands.wrong_again())
            faults += [f"{index}, at {ended.seconds:.2f} s, {group=}, {alone=}: {one}" for one in wrong if one]
    for line in faults:
        print(f"    {name} {line}")
    return Counts(name, stopped, len(faults), longest, slow_once, most_left)


def main() -> int:
    """Run campaigns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--number", type=int, default=200, help="of runs of each command")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for the runs of each command, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entries", type=int, default=200_000, help="of each of four ntuples")
    parser.add_argument("--signal", choices=SIGNALS, default="SIGKILL")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without
    print(f"{'command':12} {'stopped':>7} {'faults':>7} {'longest/s':>9} {'slow once':>9} {'hidden':>7}", flush=True)
    failed = False
    how = SIGNALS[arguments.signal]
    names = arguments.commands or COMMANDS
    with closing(ScriptServer(*imported(COMMANDS[name] for name in names))) as server:
        for name in names:
            counts = campaign(name, arguments.number, arguments.seed, arguments.entries, how, server, arguments.seconds)
            failed |= counts.faults > 0
            print(counts, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
