"""Files of all kinds, written once, and a process with ROOT that says what is in them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .kinds import Kind

HERE = Path(__file__).parent


class RootProcess:
    """What a process with ROOT answers; see `root_process.py`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        #: Of files that the tests have copied: what the same bytes hold is asked once.
        self._answers: dict[tuple[object, ...], Any] = {}

    def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"operation": operation, **arguments}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert "failed" not in answer, f"ROOT failed: {operation} {arguments}"
        return answer

    def evaluate(self, path: Path, tree: str, formulas: list[str]) -> dict[str, list[list[float]] | None]:
        """Values of formulas in each entry; None where ROOT has no such formula."""
        known = self._answers.setdefault(("evaluate", *_content(path), tree), {})
        if missing := [formula for formula in formulas if formula not in known]:
            known.update(self.ask("evaluate", path=str(path), tree=tree, formulas=missing))
        return {formula: known[formula] for formula in formulas}

    def describe(self, path: Path, tree: str, without: str = "", values: bool = True) -> dict[str, str]:
        """All that is in a file, but for a branch of a tree; without values where ROOT cannot read them."""
        key = ("describe", *_content(path), tree, without, values)
        if key not in self._answers:
            self._answers[key] = self.ask("describe", path=str(path), tree=tree, without=without, values=values)
        return self._answers[key]


def _content(path: Path) -> tuple[object, ...]:
    """Tells files apart by their name and what is in them; what lies beside one goes with its name."""
    state = path.stat()
    if state.st_size > 1e9:
        return path, state.st_mtime_ns
    with path.open("rb") as file:
        return path.name, hashlib.file_digest(file, "sha256").digest()


@pytest.fixture(scope="session")
def root_process() -> Iterator[RootProcess]:
    command = [sys.executable, str(HERE / "root_process.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield RootProcess(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="session")
def public_files(root_process: RootProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a folder for each kind, which holds its file `{kind}.root`."""
    from . import uproot_files
    from .kinds import ALL_KINDS, CHANGED_CLASS, IN_TESTS_DATA, WRITTEN_BY_ROOT, WRITTEN_BY_UPROOT

    folder = tmp_path_factory.mktemp("public_files")
    paths = {kind.name: folder / kind.name / f"{kind.name}.root" for kind in ALL_KINDS}
    for path in paths.values():
        path.parent.mkdir()
    calls = {kind.name: str(paths[kind.name]) for kind in WRITTEN_BY_ROOT if not kind.slow}
    root_process.ask("write", code=f'#include "{HERE / "kinds.C"}"', calls=calls)
    for kind, define in zip(CHANGED_CLASS, ("", "#define NEW_FORM\n"), strict=True):
        code = f'{define}#include "{HERE / "changed_class.C"}"'
        root_process.ask("write", code=code, calls={kind.name: str(paths[kind.name])})
    for kind in IN_TESTS_DATA:
        shutil.copy(HERE.parent / "data" / "public_files" / f"{kind.name}.root", paths[kind.name])
    for kind in WRITTEN_BY_UPROOT:
        getattr(uproot_files, kind.name)(paths[kind.name])
    return folder


@pytest.fixture
def copy_of(public_files: Path, root_process: RootProcess, tmp_path: Path) -> Iterator[Callable[[Kind], Path]]:
    """Copy the file of a kind, and what lies beside it, into the test's folder; what is large is removed at the end."""

    def copy(kind: Kind) -> Path:
        path = tmp_path / kind.name / f"{kind.name}.root"
        if kind.slow:
            path.parent.mkdir()
            root_process.ask("write", code=f'#include "{HERE / "kinds.C"}"', calls={kind.name: str(path)})
        else:
            shutil.copytree(public_files / kind.name, path.parent)
        return path

    yield copy
    for path in tmp_path.rglob("*.root"):
        if path.stat().st_size > 1e9:
            path.unlink()
