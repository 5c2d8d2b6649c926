"""Let the n-th write of commands fail, for many n, and look at what they say and leave.

    python tools/disk_campaign.py --number 20 --seed 1 [COMMAND ...]

A library in C (failing_writes.c, compiled with gcc) stands before the C library's `write`, `open` for writing, `fsync`,
`ftruncate`, `rename` and `mkdir`, and counts the calls on files below the folder of a small analysis. From the n-th on
all fail as on a full disk (ENOSPC) or with a quota that is used up (EDQUOT), or the n-th alone fails as on a bad disk
(EIO). After each run every file under a final name must be whole and hold what the command makes, nothing hidden may be
left, and the command ends with status 1 or 2 and one line, without a traceback; or with status 0 and all of its files.
Where a write fails in libc's own buffers of streams, only its `fwrite` is seen. The exit status is 1 where any of this
fails.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from campaign_commands import COMMANDS as KILLED
from campaign_commands import DATASET, INPUTS, KERAS, Command, files, prepare, root_files
from kill_campaign import PARTS, TOP, completed, hidden, imported
from script_server import ScriptServer

LIBRARY = "FAILING_WRITES"
PATIENCE = 120
#: errno, and whether all writes after the first one fail as well.
FAULTS = ((errno.ENOSPC, True), (errno.EIO, False), (errno.EDQUOT, True))


COMMANDS = {
    **{name: one for name, one in KILLED.items() if name not in ("workers", "dask")},
    "validate": Command(
        ["dataset/validate_inputs.py", "trees.yaml", "--overwrite"], files("models/*inputs*/*"), (DATASET,)
    ),
    "lwtnn": Command(
        ["application/export_keras_to_lwtnn.py", "training.yaml", "0", "--overwrite"],
        files("models/*lwtnn*"),
        (DATASET, KERAS),
    ),
    "arrays": Command(
        ["application/model_inputs.py", "training.yaml", INPUTS[0], "events", "arrays.npz", "--overwrite"],
        files("arrays.npz"),
        (DATASET, KERAS),
    ),
    "merge": Command(["dataset/merge.py", "-b", ".", "-o", "merged", "--overwrite", *"ab"], files("merged/*")),
    "join": Command(
        ["dataset/join.py", "-k", "event", "-c", "other=x", "-o", "joined.root", "--overwrite", *INPUTS[:2]],
        root_files("joined.root"),
    ),
    "example": Command(["dataset/write_example_dataset.py", "--overwrite"], files("**/*.root")),
}
#: What arms the library in the process of a command, and what writes down its calls in the end.
_ARMED = """
import atexit, ctypes, pathlib
library = ctypes.CDLL(None)
library.calls.restype = ctypes.c_long
library.arm({folder!r}, ctypes.c_long({failing}), {number}, {lasting})
atexit.register(lambda: pathlib.Path({counts!r}).write_text(str(library.calls())))
"""


def attempt(
    arguments: list[str], folder: Path, log: Path, fault: tuple[int, int, bool], server: ScriptServer
) -> tuple[int | None, int]:
    """Run a script; its exit status, None if it took too long, and the number of writes of one that came to its end."""
    failing, number, lasting = fault
    counts = log.with_name("calls.txt")
    counts.write_text("0")
    log.write_bytes(b"")
    armed = _ARMED.format(
        folder=os.fsencode(f"{folder}/"), failing=failing, number=number, lasting=int(lasting), counts=str(counts)
    )
    server.start([TOP / arguments[0], *arguments[1:]], folder, log, log, armed)
    status = server.wait(PATIENCE)
    server.kill()
    return status, int(counts.read_text())


def judge(command: Command, folder: Path, status: int | None, said: str, expected: dict[str, str]) -> str | None:
    """What is wrong after a run, or None."""
    if status not in (0, 1, 2):
        return f"status {status}"
    if "Traceback" in said or (status != 0 and not said.strip()):
        return f"no message of one line: {said[-300:]}"
    try:
        found = command.outputs(folder)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if status == 1:  # some files failed, the others are done
        found = {key: value for key, value in found.items() if key not in expected}
    if wrong := [key for key, value in found.items() if expected.get(key) != value]:
        return f"another {wrong[0]}"
    if status == 0 and found != expected:
        return "status 0 without all files"
    return None


def campaign(name: str, number: int, seed: int, server: ScriptServer) -> str:
    """Let many writes of a command fail; a line of the table."""
    command, random = COMMANDS[name], np.random.default_rng([seed, *name.encode()])
    counts, faults, left = {0: 0, 1: 0, 2: 0}, [], set()
    with tempfile.TemporaryDirectory() as place:
        made, log = Path(place) / "made", Path(place) / "log.txt"
        made.mkdir()
        prepare(made, 2000)
        for before in command.before:
            completed(before, made, server)
        completed(command.arguments, made, server)
        expected, usual = command.outputs(made), {*hidden(made), PARTS}
        folder = Path(place) / "analysis"
        shutil.copytree(made, folder)
        status, writes = attempt(command.arguments, folder, log, (0, 0, False), server)
        if status != 0 or writes == 0:
            raise RuntimeError(f"{name}: status {status}, {writes} writes: {log.read_text()[-500:]}")
        chosen = random.permutation(np.arange(1, writes + 1))[:number]
        for index, failing in enumerate(sorted({1, writes, *chosen.tolist()})):
            fault = FAULTS[index % len(FAULTS)]
            shutil.rmtree(folder)
            shutil.copytree(made, folder)
            status, _ = attempt(command.arguments, folder, log, (failing, *fault), server)
            said = log.read_text(errors="replace")
            if status is not None and status in counts:
                counts[status] += 1
            wrong = judge(command, folder, status, said, expected)
            if wrong is None and (rest := set(hidden(folder)) - usual):
                left |= rest
                wrong = f"left {sorted(rest)[0]}"
            if wrong is not None:
                faults.append(f"write {failing} of {writes}, {errno.errorcode[fault[0]]}: {wrong}")
    for line in faults:
        print(f"    {name} {line}")
    return f"{name:12} {writes:7} {sum(counts.values()):7} {counts[0]:9} {counts[1] + counts[2]:9} {len(faults):7}"


def main() -> int:
    """Compile the library, start again with it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    parser.add_argument("--number", type=int, default=20, help="of writes of each command that fail")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if LIBRARY not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "failing_writes.so"
            source = TOP / "tools" / "failing_writes.c"
            subprocess.run(["gcc", "-O1", "-shared", "-fPIC", source, "-o", library, "-ldl"], check=True)
            changed = {LIBRARY: str(library), "LD_PRELOAD": str(library), "PYTHONWARNINGS": "ignore"}
            return subprocess.run([sys.executable, *sys.argv], env=os.environ | changed, check=False).returncode
    print(f"{'command':12} {'writes':>7} {'runs':>7} {'succeeded':>9} {'refused':>9} {'faults':>7}", flush=True)
    failed = False
    names = arguments.commands or COMMANDS
    with closing(ScriptServer(*imported(COMMANDS[name] for name in names))) as server:
        for name in names:
            line = campaign(name, arguments.number, arguments.seed, server)
            failed |= line.split()[-1] != "0"
            print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
