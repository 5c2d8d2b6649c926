"""The progress bar, on terminals only."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.application.progress import rate, shown
from ntupleml.application.scores import ScoredChunk

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


CHUNKS = [ScoredChunk(start, start + 10, np.arange(10), {}) for start in (0, 10)]


def test_a_terminal_shows_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(shown(CHUNKS, 20, "data.root")) == CHUNKS
    assert "data.root" in terminal.getvalue()


def test_elsewhere_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    assert list(shown(CHUNKS, 20, "data.root")) == CHUNKS
    assert log.getvalue() == ""


def test_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 12.0)
    assert rate(5000, 10.0) == "5,000 events, 2,500 events per second"
