"""What a process costs: processor time, wall time and peak memory, as the system counts them; how benchmarks start."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Cost(NamedTuple):
    """Cost of one process: seconds of processor time (user and system), seconds, and megabytes."""

    cpu: float
    wall: float
    memory: float


def cost_of(command: Sequence[object]) -> Cost:
    """Run a command to its end and return what it cost; a failure ends the benchmark with its message."""
    start = time.monotonic()
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        message = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command}: exit status {process.returncode}\n{message}")
    return Cost(usage.ru_utime + usage.ru_stime, time.monotonic() - start, usage.ru_maxrss / 1000)


def median_costs(
    commands: dict[str, Sequence[object]],
    repetitions: int,
    before: Callable[[str], None] | None = None,
    after: Callable[[str], None] | None = None,
) -> dict[str, Cost]:
    """Medians over several runs of each command, taken in turns so that all see the same state of the machine.

    Parameters
    ----------
    commands : dict
        Command by name.
    repetitions : int
        Runs of each.
    before, after : callable, optional
        Called with the name before and after each run, for what must not be counted.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(repetitions):
        for name, command in commands.items():
            if before is not None:
                before(name)
            costs[name].append(cost_of(command))
            if after is not None:
                after(name)
    return {
        name: Cost(*(statistics.median(values) for values in zip(*runs, strict=True))) for name, runs in costs.items()
    }


def table(costs: dict[str, Cost], reference: str) -> str:
    """Costs as a table, with the ratio of processor times to a reference."""
    lines = [f"{'':34}{'CPU':>10}{'wall':>10}{'memory':>10}{'CPU ratio':>12}"]
    for name, cost in costs.items():
        ratio = cost.cpu / costs[reference].cpu
        lines.append(f"{name:34}{cost.cpu:8.2f} s{cost.wall:8.2f} s{cost.memory:7.0f} MB{ratio:12.2f}")
    return "\n".join(lines)


def run_in_folder(main: Callable[..., int], description: str | None, **options: int | str) -> NoReturn:
    """Call a function with options of the command line, and a `folder` that is gone at the end; exit as it says.

    Parameters
    ----------
    main : callable
        Takes the options and the folder by their names and returns the exit status.
    **options : int or str
        Defaults of the options, by the names of the parameters.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, default in options.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--folder", type=Path, help="where the files of the benchmark lie while it runs")
    arguments = vars(parser.parse_args())
    with tempfile.TemporaryDirectory(dir=arguments.pop("folder")) as temporary:
        sys.exit(main(**arguments, folder=Path(temporary)))
