"""Run the files and commands of a page of the documentation in a folder, and put their output on the page.

    python tools/run_page.py docs/tutorial-ten-minutes.md FOLDER [--update]

A block of Python after a line with "as `NAME`" is a file, as one of YAML is; other Python and bash are run. A block of
text that follows is the output: with `--update` it is written anew. Where it begins with an ellipsis, it is the last
lines, as many as before.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"as `([\w./-]+)`[^\n]*\n+$")


class Block(NamedTuple):
    """A block of a page: its language, its text, the file that it is, and where its text begins and ends."""

    language: str
    text: str
    file: str | None
    begin: int
    end: int


def blocks(page: str) -> list[Block]:
    """Fenced blocks of a page with a language, in order."""
    found = []
    for match in _FENCE.finditer(page):
        named = _FILE.search(page[: match.start()])
        found.append(Block(match[1], match[2], named[1] if named else None, match.start(2), match.end(2)))
    return found


def run_block(block: Block, folder: Path) -> str | None:
    """Output of a block in a folder; None of what is only written or shown.

    Raises
    ------
    subprocess.CalledProcessError
        If a command fails.
    """
    if block.file is not None:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return None
    command = {"bash": ["bash", "-e", "-c", block.text], "python": [sys.executable, "-c", block.text]}.get(
        block.language
    )
    if command is None:
        return None
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{block.text}\n{done.stdout}\n")
        done.check_returncode()
    return done.stdout


def shown(output: str, before: str) -> str:
    """Output as a page shows it: the last lines alone where there is an ellipsis at the beginning."""
    lines = [line.rstrip() for line in output.strip("\n").splitlines()]
    if before.startswith("…\n"):
        lines = ["…", *lines[-(before.count("\n") - 1) :]]
    return "\n".join(lines) + "\n"


def run_page(page: str, folder: Path) -> str:
    """Run all blocks of a page in a folder; the page with the new outputs."""
    output: str | None = None
    parts, last = [], 0
    for block in blocks(page):
        if block.language == "text" and output is not None:
            parts += [page[last : block.begin], shown(output, block.text)]
            last, output = block.end, None
        else:
            output = run_block(block, folder)
    return "".join([*parts, page[last:]])


def main() -> int:
    """Run the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("folder", type=Path, help="where the commands run; made if need be")
    parser.add_argument("--update", action="store_true", help="write the outputs into the page")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    page = run_page(arguments.page.read_text(encoding="utf-8"), arguments.folder)
    if arguments.update:
        arguments.page.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
