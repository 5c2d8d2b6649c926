"""Events that come twice are counted when a dataset is built."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.datasets import create_training_dataset, repeated_events
from ntupleml.datasets.repeated_events import RepeatedEvents
from ntupleml.folds import hashed_numbers

if TYPE_CHECKING:
    from conftest import MakeConfig, WriteNtuple


def built(
    write_ntuple: WriteNtuple, make_config: MakeConfig, caplog: pytest.LogCaptureFixture, **keys: Any
) -> list[tuple[str, str]]:
    """Two files of 100 events, of which 30 are the same; a cut keeps 20 of these."""
    for name, start in (("a.root", 0), ("b.root", 70)):
        event = np.arange(start, start + 100)
        write_ntuple(name, run=np.full(100, 5), event=event, x=event.astype("f8"))
    caplog.set_level(logging.INFO, "ntupleml")
    process = {"files": ["a.root", "b.root"], "cut_string": "x >= 80"}
    create_training_dataset(make_config(processes={"sig": process}, **keys))
    return [(record.levelname, record.getMessage()) for record in caplog.records if "as an earlier" in record.msg]


def test_they_are_counted(write_ntuple: WriteNtuple, make_config: MakeConfig, caplog: pytest.LogCaptureFixture) -> None:
    ((level, message),) = built(write_ntuple, make_config, caplog, event_branch=None, fold_by=["run", "event"])
    assert level == "WARNING"
    assert message.startswith("processes.sig: 20 of 110 selected events have the same run, event as an earlier one; ")


def test_one_number_may_begin_anew(
    write_ntuple: WriteNtuple, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    ((level, message),) = built(write_ntuple, make_config, caplog)
    assert (level, message[:15]) == ("INFO", "processes.sig: ")
    assert "20 of 110 selected events have the same event as" in message


def test_without_numbers_nothing_is_known(
    write_ntuple: WriteNtuple, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    assert built(write_ntuple, make_config, caplog, event_branch=None) == []


@pytest.mark.parametrize("parts", [1, 7])
def test_of_many_a_share_is_looked_at(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """10,000 of 40,000 events come again; an estimate from 2,000 hashes is within five standard deviations."""
    monkeypatch.setattr(repeated_events, "MOST_HELD", 2000)
    numbers = np.random.default_rng(1).permutation(np.concatenate([np.arange(30_000), np.arange(10_000)]))
    total = RepeatedEvents()
    for some in np.array_split(numbers, parts):
        one = RepeatedEvents()
        for chunk in np.array_split(some, 10):
            one.add(hashed_numbers([chunk]))
        total.add_others(one)
    found = total.count()
    assert found.share == 32
    expected = 10_000 / found.share
    assert abs(found.number / found.share - expected) < 5 * np.sqrt(expected)
    monkeypatch.setattr(repeated_events, "MOST_HELD", 10**6)
    exact = RepeatedEvents()
    exact.add(hashed_numbers([numbers]))
    assert exact.count() == (10_000, 1)
