"""Score thousands of files by workers that are killed at random moments, and look at each file and at the memory.

    python tools/load_campaign.py --files 2000 --seed 1 [MODE ...]

One of the files is damaged. `dask` lets a scheduler with two workers of one thread do it, which are started again,
`workers` two processes of this machine; of both, workers are killed (SIGKILL) again and again. `stopped` and
`stopped-dask` kill the command itself in the middle, and call it again. The model adds two branches up, so that what
the friend of each file must hold is known without it. Every good file must have its friend, with its entries and its
values, the damaged one no friend and one line at the end, with exit status 1; nothing hidden may be left. The exit
status is 1 where this is not so, or where the scheduler or the command takes over 100 MB more than when a tenth of the
files was done.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import psutil
import uproot
from kill_campaign import TOP, hidden

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Mean number of files that are done between two kills.
BETWEEN_KILLS = 50.0
#: Memory in MB that may come once a part of the files is done.
ALLOWED = 100
#: Part of the files after which memory counts as warm.
WARM = 0.1
OUTPUT = "sum"


class Outcome(NamedTuple):
    """What became of a call."""

    kills: int
    seconds: float
    #: Highest memory of the scheduler and of the command in MB, and what they had when a tenth was done.
    memory: dict[str, tuple[float, float]]
    faults: list[str]


def values(seed: int, place: int) -> NDArray[np.float32]:
    """Two branches of a file, each with its own number of entries."""
    random = np.random.default_rng([seed, place])
    return random.normal(size=(2, 20 + place % 7)).astype("f4")


def prepare(folder: Path, number: int, seed: int) -> int:
    """Ntuples and a model; which of them is damaged."""
    for place in range(number):
        x, y = values(seed, place)
        path = folder / f"in{place:05}" / "ntuple.root"
        path.parent.mkdir()
        with uproot.recreate(path) as file:
            file.mktree("events", {"x": "f4", "y": "f4"}).extend({"x": x, "y": y})
    damaged = int(np.random.default_rng(seed).integers(number))
    path = folder / f"in{damaged:05}" / "ntuple.root"
    path.write_bytes(path.read_bytes()[:600])
    layer = {"architecture": "dense", "weights": [1.0, 1.0], "bias": [0.0], "activation": "linear"}
    inputs = [{"name": name, "offset": 0, "scale": 1} for name in "xy"]
    network = {"inputs": inputs, "layers": [layer], "outputs": [OUTPUT]}
    (folder / "network.json").write_text(json.dumps(network))
    (folder / "application.yaml").write_text("classifiers: [network.json]\nbranch_prefix: ''\n")
    return damaged


def _command(*options: str) -> list[str]:
    files = ["in*/ntuple.root", "events"]
    where = ["--friend", "--output-directory", "out"]
    return [sys.executable, str(TOP / "application/lwtnn_application.py"), "application.yaml", *where, *options, *files]


def _judge(folder: Path, number: int, seed: int, damaged: int, status: int | None, said: str) -> list[str]:
    """What is wrong at the end."""
    faults = [] if status == 1 else [f"status {status}: {said[-300:]}"]
    name = f"in{damaged:05}"
    errors = [line for line in said.splitlines() if line.startswith("ERROR")]
    if len(errors) != 1 or name not in errors[0] or said.splitlines()[-1] != errors[0]:
        faults.append(f"errors: {errors[:3]}")
    warnings = [line for line in said.splitlines() if line.startswith("WARNING")]
    faults += [f"said {warnings.count(line)} times: {line}" for line in set(warnings) if warnings.count(line) > 1]
    if "Traceback" in said:
        faults.append(f"a traceback: {said[said.index('Traceback') :][:1000]}")
    faults += [f"left {one}" for one in hidden(folder)]
    for place in range(number):
        found = sorted(path.name for path in (folder / "out" / f"in{place:05}").glob("*"))
        if place == damaged:
            faults += [f"in{place:05}: {one}" for one in found]
            continue
        try:
            with uproot.open(folder / "out" / f"in{place:05}" / f"in{place:05}.root") as file:
                scores = file["events"].arrays(library="np").get(OUTPUT)
        except (OSError, ValueError, KeyError) as error:
            faults.append(f"in{place:05}: {error}")
            continue
        x, y = values(seed, place)
        if len(found) != 1 or scores is None or len(scores) != len(x) or np.abs(scores - (x + y)).max() > 1e-5:
            faults.append(f"in{place:05}: other scores, or {found}: {scores} for {x + y}")
    return faults


class _Cluster:
    """A scheduler of Dask, and two workers, which are started again when they are killed."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder.parent / "cluster.txt").open("ab")
        file = folder.parent / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(file)
        )
        while not file.exists():
            time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]
        local = str(folder.parent / "dask")
        self._options = ("worker", "--nthreads", "1", "--no-nanny", "--local-directory", local, self.address)
        self._workers = [self._start(*self._options) for _ in range(2)]

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        return subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def workers(self) -> list[psutil.Process]:
        """The workers; those that were killed are started again."""
        for place, one in enumerate(self._workers):
            if one.poll() is not None:
                self._workers[place] = self._start(*self._options)
        return [psutil.Process(one.pid) for one in self._workers]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self._workers, self.scheduler):
            process.kill()
            process.wait()
        self._log.close()


def _forked(command: psutil.Process) -> list[psutil.Process]:
    """Processes that score: forks of the server that a command has started."""
    try:
        return [child for child in command.children(recursive=True) if child.ppid() != command.pid]
    except psutil.NoSuchProcess:
        return []


def run(folder: Path, number: int, seed: int, mode: str, damaged: int) -> Outcome:
    """Score all files once, whatever is killed."""
    random, start = np.random.default_rng([seed, *mode.encode()]), time.monotonic()
    log, kills, status = folder.parent / "log.txt", 0, None
    seen = dict[str, list[tuple[int, float]]]()
    stops = mode.startswith("stopped")
    next_kill = random.uniform(0.3, 0.7) * number if stops else random.exponential(BETWEEN_KILLS)
    with _Cluster(folder) if mode.endswith("dask") else nullcontext() as cluster:
        command = _command(*(["--workers", "2"] if cluster is None else ["--scheduler", cluster.address]))
        while status is None:
            with log.open("wb") as opened:
                process = subprocess.Popen(command, cwd=folder, stdout=opened, stderr=opened)
            watched = {"command": psutil.Process(process.pid)}
            if cluster is not None:
                watched["scheduler"] = psutil.Process(cluster.scheduler.pid)
            while (status := process.poll()) is None:
                time.sleep(0.1)
                done = sum(1 for _ in (folder / "out").glob("*/[!.]*.root"))
                for name, one in watched.items():
                    seen.setdefault(name, []).append((done, one.memory_info().rss / 1e6))
                workers = _forked(watched["command"]) if cluster is None else cluster.workers()
                if done < next_kill:
                    continue
                if stops:
                    next_kill = float("inf")
                    process.kill()
                    process.wait()
                    kills += 1
                    break
                if workers:
                    with suppress(psutil.NoSuchProcess):
                        workers[random.integers(len(workers))].kill()
                        kills += 1
                        next_kill = done + random.exponential(BETWEEN_KILLS)
    seconds = time.monotonic() - start
    faults = _judge(folder, number, seed, damaged, status, log.read_text(errors="replace"))
    memory = {}
    for name, samples in seen.items():
        warm = max(size for done, size in samples if done <= max(WARM * number, samples[0][0]))
        memory[name] = (max(size for _, size in samples), warm)
        if memory[name][0] - warm > ALLOWED:
            faults.append(f"{name}: {memory[name][0] - warm:.0f} MB more at the end")
    return Outcome(kills, seconds, memory, faults)


def campaign(mode: str, number: int, seed: int) -> Outcome:
    """Score new files in a mode."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "files"
        folder.mkdir()
        damaged = prepare(folder, number, seed)
        return run(folder, number, seed, mode, damaged)


MODES = ("dask", "workers", "stopped", "stopped-dask")


def main() -> int:
    """Run modes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modes", nargs="*", metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'mode':12} {'files':>6} {'kills':>6} {'seconds':>8} {'faults':>7}  memory at the most (at a tenth) in MB")
    failed = False
    for mode in arguments.modes or MODES:
        outcome = campaign(mode, arguments.files, arguments.seed)
        memory = ", ".join(f"{name} {most:.0f} ({warm:.0f})" for name, (most, warm) in outcome.memory.items())
        for line in outcome.faults[:20]:
            print(f"    {mode} {line}")
        print(
            f"{mode:12} {arguments.files:6} {outcome.kills:6} {outcome.seconds:8.0f} {len(outcome.faults):7}  {memory}",
            flush=True,
        )
        failed |= bool(outcome.faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
