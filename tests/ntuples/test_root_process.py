"""ROOT works in forks of a process of its own: what happens to one does not reach the next, nor this process."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.root_process import SECONDS_PER_STEP, run_with_root, stop_root

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def add(first: int, second: int, where: str) -> tuple[int, str]:
    return first + second, where


def total(where: str, chunks: Iterable[int]) -> int:
    return sum(chunks)


def kill(number: int, where: str) -> None:
    os.kill(os.getpid(), number)


def kill_with_parent(where: str) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def kill_after_a_chunk(where: str, chunks: Iterable[int]) -> None:
    for _ in chunks:
        os.kill(os.getpid(), signal.SIGSEGV)


def crash_in_root(where: str) -> None:
    import ROOT

    ROOT.gInterpreter.ProcessLine("*(volatile int *)8 = 1;")


def refuse_after_a_chunk(where: str, chunks: Iterable[int]) -> None:
    for chunk in chunks:
        raise NtuplemlError(f"{where}: not {chunk}")


def make_late(begun: Path, made: Path, where: str, chunks: Iterable[int]) -> None:
    begun.touch()
    time.sleep(1)
    made.touch()


def fail(where: str) -> None:
    raise KeyError("a mistake of ours")


def declare(code: str, where: str) -> bool:
    """Whether ROOT's interpreter takes a definition, which it does once."""
    import ROOT

    return bool(ROOT.gInterpreter.Declare(code))


def identity(where: str) -> tuple[int, int, int]:
    return os.getpid(), os.getppid(), resource.getrlimit(resource.RLIMIT_CPU)[0]


def test_results_and_chunks() -> None:
    assert run_with_root(add, 1, 2, where="here") == (3, "here")
    assert run_with_root(total, where="", chunks=range(100)) == 4950
    assert run_with_root(total, where="", chunks=[]) == 0


def test_each_call_meets_a_root_that_has_done_nothing() -> None:
    for value in (1, 2):
        assert run_with_root(declare, f"int only_once() {{ return {value}; }}", where="")
    (first, parent, limit), (second, same_parent, _) = (run_with_root(identity, where="") for _ in range(2))
    assert first != second
    assert parent == same_parent != os.getpid()
    assert SECONDS_PER_STEP <= limit <= SECONDS_PER_STEP + 2


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGSEGV, r"ROOT crashed \(SIGSEGV\), so the file is probably damaged"),
        (signal.SIGABRT, r"ROOT crashed \(SIGABRT\)"),
        (signal.SIGXCPU, f"ROOT did not come to an end within {SECONDS_PER_STEP} seconds"),
        (signal.SIGKILL, r"was killed \(SIGKILL\); the memory"),
    ],
)
def test_a_crash_is_one_line_and_the_next_call_works(number: int, message: str) -> None:
    with pytest.raises(NtuplemlError, match=rf"^a\.root: .*{message}.*; the file was left as it was$"):
        run_with_root(kill, number, where="a.root")
    assert run_with_root(add, 1, 2, where="") == (3, "")


def test_a_crash_of_root_itself(capfd: pytest.CaptureFixture[str]) -> None:
    start = time.monotonic()
    with pytest.raises(NtuplemlError, match=r"ROOT crashed \(SIG"):
        run_with_root(crash_in_root, where="a.root")
    assert time.monotonic() - start < 20, "ROOT's own handler starts a debugger"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("function", "message"), [(kill_after_a_chunk, "SIGSEGV"), (refuse_after_a_chunk, r"^a\.root: not 0$")]
)
def test_what_fails_in_the_middle_takes_no_more_chunks(function: Any, message: str) -> None:
    taken = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    with pytest.raises(NtuplemlError, match=message):
        run_with_root(function, where="a.root", chunks=numbers())
    assert len(taken) < 3
    assert run_with_root(add, 1, 2, where="") == (3, "")


@pytest.mark.parametrize("error", [NtuplemlError, EOFError, ConnectionError, KeyboardInterrupt])
def test_an_exception_while_chunks_are_computed_comes_through(error: type[BaseException]) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise error("NaN in a variable")

    with pytest.raises(error, match=r"^NaN in a variable$"):
        run_with_root(total, where="a.root", chunks=failing())
    assert run_with_root(add, 1, 2, where="") == (3, "")


def test_an_interruption_does_not_wait_for_root_and_nothing_is_made_after_it(tmp_path: Path) -> None:
    begun, made = tmp_path / "begun", tmp_path / "made"

    def interrupting() -> Iterator[int]:
        while not begun.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        run_with_root(make_late, begun, made, where="a.root", chunks=interrupting())
    time.sleep(1.2)
    assert not made.exists()
    assert run_with_root(add, 1, 2, where="") == (3, "")


def test_a_mistake_of_ours_is_not_taken_for_one_of_the_file() -> None:
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        run_with_root(fail, where="a.root")


def test_one_call_within_another() -> None:
    def numbers() -> Iterator[int]:
        for number in range(3):
            yield run_with_root(add, number, number, where="")[0]

    assert run_with_root(total, where="", chunks=numbers()) == 6


def test_a_process_that_was_killed_is_started_anew() -> None:
    stop_root()
    _, server, _ = run_with_root(identity, where="")
    with pytest.raises(NtuplemlError, match="SIGKILL"):
        run_with_root(kill_with_parent, where="a.root")
    _, server, _ = run_with_root(identity, where="")
    os.kill(server, signal.SIGKILL)  # while it waits
    _wait_for_end(server)
    assert run_with_root(identity, where="")[1] != server


def test_without_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ROOT.py").write_text("raise ImportError('libTree.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    stop_root()
    try:
        for _ in range(2):
            with pytest.raises(NtuplemlError, match=r"^ROOT cannot be imported: libTree.so is missing; take it from"):
                run_with_root(add, 1, 2, where="a.root")
    finally:
        stop_root()


def test_a_root_that_cannot_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What its process was sent and never read is no error of the connection, and hides no interruption."""
    started = tmp_path / "started"
    crash = f"import os; open({str(started)!r}, 'w').write(str(os.getpid())); os.kill(os.getpid(), {signal.SIGABRT:d})"
    (tmp_path / "ROOT.py").write_text(crash)
    monkeypatch.syspath_prepend(tmp_path)

    def interrupted() -> Iterator[int]:
        while not (started.exists() and started.read_text()):
            time.sleep(0.01)
        _wait_for_end(int(started.read_text()))
        yield from ()
        raise KeyboardInterrupt

    stop_root()
    try:
        with pytest.raises(NtuplemlError, match=r"^a\.root: the process that starts ROOT has ended \(SIGABRT\); see"):
            run_with_root(add, 1, 2, where="a.root")
        started.unlink()
        with pytest.raises(KeyboardInterrupt):
            run_with_root(total, where="a.root", chunks=interrupted())
    finally:
        stop_root()


def test_no_process_is_left_when_the_one_that_needs_it_is_killed() -> None:
    code = (
        f"import os, signal; from ntupleml.ntuples.root_process import run_with_root; import {__name__} as t;"
        "print(*run_with_root(t.identity, where=''), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path}; {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    server = int(ended.stdout.split()[1])
    _wait_for_end(server)


def _wait_for_end(process: int) -> None:
    """Wait until a process is gone, or is nothing but an entry that its parent has not asked for."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the process of ROOT is still there")
