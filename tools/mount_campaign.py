"""Run commands on disks that are full and on disks that cannot be written, and look at what they say and leave.

    python tools/mount_campaign.py [COMMAND ...]

Needs the right to mount. A small analysis lies in a file system in memory (tmpfs) that has room for a few bytes more,
or that is mounted for reading alone; the commands and the judgement are those of disk_campaign.py. The exit status is 1
where a command says or leaves anything that it must not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from campaign_commands import prepare
from disk_campaign import COMMANDS, PARTS, judge
from kill_campaign import TOP, completed, hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a command may take.
LIMIT = 600
#: Room on the disks in pages of memory; None on one that cannot be written.
ROOM = (None, 0, 1, 4, 16, 64)


@contextmanager
def mounted(folder: Path, content: Path, room: int | None) -> Iterator[None]:
    """Let a folder be a disk with a content and a number of pages more, or one for reading alone."""
    page = os.sysconf("SC_PAGE_SIZE")
    subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)
    try:
        shutil.copytree(content, folder, dirs_exist_ok=True)
        used = os.statvfs(folder)
        size = max(used.f_blocks - used.f_bfree + (room or 0), 1) * page  # a size of 0 has no limit
        how = "remount,ro" if room is None else f"remount,size={size}"
        subprocess.run(["mount", "-o", how, folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def campaign(name: str) -> str:
    """Run a command on each disk; a line of the table."""
    command, counts, faults = COMMANDS[name], {0: 0, 1: 0, 2: 0}, []
    with tempfile.TemporaryDirectory() as place:
        made, folder = Path(place) / "made", Path(place) / "analysis"
        made.mkdir()
        folder.mkdir()
        prepare(made, 2000)
        for before in (*command.before, command.arguments):
            completed(before, made)
        (made / "log.txt").unlink()
        expected, usual = command.outputs(made), {*hidden(made), PARTS}
        for room in ROOM:
            with mounted(folder, made, room):
                done = subprocess.run(
                    [sys.executable, str(TOP / command.arguments[0]), *command.arguments[1:]],
                    cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT,
                    check=False,
                )  # fmt: skip
                counts[done.returncode] = counts.get(done.returncode, 0) + 1
                wrong = judge(command, folder, done.returncode, done.stdout, expected)
                if wrong is None and (rest := set(hidden(folder)) - usual):
                    wrong = f"left {sorted(rest)[0]}"
                where = "read-only" if room is None else f"{room} pages"
                if wrong is not None:
                    faults.append(f"{where}: {wrong}")
                last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
                print(f"    {name} {where}, status {done.returncode}: {last[-300:]}")
    for line in faults:
        print(f"    {name} {line}")
    return f"{name:12} {len(ROOM):5} {counts[0]:9} {counts[1] + counts[2]:9} {len(faults):7}"


def main() -> int:
    """Run commands and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=", ".join(COMMANDS))
    arguments = parser.parse_args()
    print(f"{'command':12} {'runs':>5} {'succeeded':>9} {'refused':>9} {'faults':>7}", flush=True)
    failed = False
    for name in arguments.commands or COMMANDS:
        line = campaign(name)
        failed |= line.split()[-1] != "0"
        print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
