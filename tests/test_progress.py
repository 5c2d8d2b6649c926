"""Steps that take long show how much is done and the time that is left; short ones say nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from ntupleml import progress
from ntupleml.progress import files_progress, watched

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def items(self, seconds: float, sizes: list[int]) -> Iterator[int]:
        for size in sizes:
            self.now += seconds
            yield size


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress.time, "monotonic", lambda: found.now)
    return found


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "ntupleml.progress"]


@pytest.fixture(autouse=True)
def _shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ntupleml.progress")


def test_lines_with_the_time_that_is_left(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """After 3 of 10 parts in 30 s, 70 s are left; a line each 20 s and none at the end."""
    sizes = [10] * 10
    assert list(watched(clock.items(10, sizes), "reading", 100, size=lambda size: size)) == sizes
    assert said(caplog) == [
        "reading: 10 % done, 0:01:30 left",
        "reading: 40 % done, 0:01:00 left",
        "reading: 70 % done, 0:00:30 left",
    ]


@pytest.mark.parametrize(("seconds", "total"), [(0.1, 10), (30, 1)])
def test_nothing_is_said_of_what_is_short_or_one_part(
    clock: Clock, caplog: pytest.LogCaptureFixture, seconds: float, total: int
) -> None:
    list(watched(clock.items(seconds, [1] * total), "reading", total))
    assert said(caplog) == []


def test_the_outermost_is_shown(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in watched(clock.items(30, [1, 1]), "trials", 2):
        list(watched(clock.items(30, [1, 1, 1]), "reading", 3))
    with files_progress(1):
        list(watched(clock.items(30, [1, 1, 1]), "reading", 3))
    assert said(caplog) == ["trials: 50 % done, 0:02:00 left"]
    list(watched(clock.items(30, [1, 1]), "reading", 2))  # a later one is shown again
    assert said(caplog)[1:] == ["reading: 50 % done, 0:00:30 left"]


def test_what_ends_early_or_fails_is_watched_no_more(clock: Clock) -> None:
    def fails() -> Iterator[int]:
        yield from clock.items(5, [1, 1])
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        list(watched(fails(), "reading", 9))
    some = watched(clock.items(5, [1] * 9), "reading", 9)
    next(some)
    some.close()  # type: ignore[attr-defined]
    assert progress._watching == []


def test_a_bar_on_a_terminal(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    list(watched(clock.items(10, [1] * 5), "reading the inputs", 5))
    assert "reading the inputs" in capsys.readouterr().err
    assert said(caplog) == []
