"""The fold of an event, and the model that may score it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers

from ntupleml.errors import NtuplemlError
from ntupleml.folds import (
    FoldRule,
    event_numbers,
    fold_of_events,
    hashed_numbers,
    held_out_fold,
    scoring_model,
    trained_on,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_two_folds_follow_htt_ml() -> None:
    """For two folds, model i is trained on fold i and scores the other one."""
    assert [trained_on(model, num_folds=2) for model in (0, 1)] == [{0}, {1}]


def test_three_folds() -> None:
    assert [trained_on(model, num_folds=3) for model in range(3)] == [{0, 2}, {0, 1}, {1, 2}]
    assert [held_out_fold(model, 3) for model in range(3)] == [1, 2, 0]


@given(event=integers(-(2**63), 2**63 - 1), num_folds=integers(2, 20))
def test_no_model_scores_what_it_saw(event: int, num_folds: int) -> None:
    fold = int(fold_of_events(np.array([event]), num_folds)[0])
    assert fold == event % num_folds
    assert fold not in trained_on(scoring_model(fold, num_folds), num_folds)


def test_event_numbers_stay_exact_above_2_to_the_53() -> None:
    events = np.array([2**53 + 1, 2**62 + 3], dtype=np.int64)
    assert event_numbers(events, "file: event").tolist() == [2**53 + 1, 2**62 + 3]
    assert fold_of_events(event_numbers(events, "file: event"), 2).tolist() == [1, 1]


def test_float_event_numbers_are_taken_where_they_are_exact() -> None:
    assert event_numbers(np.array([0, 3, 2**24], dtype=np.float32), "f: event").tolist() == [0, 3, 2**24]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1, 2**24 + 2], dtype=np.float32), "loses its parity above 16777216"),
        (np.array([1, 2.0**53 + 2]), "loses its parity above 9007199254740992"),
        (np.array([1.5], dtype=np.float32), "event number 1.5 is not an integer"),
        (np.array([np.nan], dtype=np.float32), "event number nan is not an integer"),
        (np.array([2**63], dtype=np.uint64), "does not fit into a signed 64-bit integer"),
        (np.array([True]), "an integer branch is needed"),
    ],
)
def test_event_numbers_that_lost_their_parity_are_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as error:
        event_numbers(values, "a.root: event")
    assert str(error.value).startswith("a.root: event: ")


@given(run=integers(0, 2**32 - 1), lumi=integers(-(2**31), 2**31 - 1), event=integers(0, 2**64 - 1))
def test_hashes_are_those_of_integers_of_python(
    python_hash: Callable[..., int], run: int, lumi: int, event: int
) -> None:
    """For each type of integers, with and without sign, up to the last of 64 bits."""
    columns = [np.array([run], np.uint32), np.array([lumi], np.int32), np.array([event], np.uint64)]
    found = hashed_numbers(columns)
    assert found.tolist() == [python_hash(run, lumi, event)]
    assert hashed_numbers([columns[0].astype(np.int64), columns[1].astype(np.int64), columns[2]]) == found


def test_the_first_number_of_splitmix64() -> None:
    """Published: with the seed 0 it begins 0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, as the seed grows by its step."""
    values = np.array([0, 0x9E3779B97F4A7C15], np.uint64)
    assert hashed_numbers([values]).tolist() == [0xE220A8397B1DCDAF >> 1, 0x6E789E6AA1B965F4 >> 1]


def test_the_number_that_the_docs_name(project: Path) -> None:
    """The answer of the function in C++ of docs/dataset.md, compiled by g++ 13; for lumi −3 also."""
    assert hashed_numbers([np.array([one]) for one in (1, 2, 3)]).tolist() == [7510213797696614745]
    assert hashed_numbers([np.array([one]) for one in (1, -3, 3)]).tolist() == [6338675012747507634]
    assert "the hash is 7510213797696614745" in (project / "docs" / "dataset.md").read_text()


def test_folds_by_a_hash_are_even_where_event_numbers_are_not() -> None:
    """Each of five folds has a fifth of 100,000 even numbers, within five standard deviations of a binomial."""
    columns = {"run": np.full(100_000, 7), "event": np.arange(0, 200_000, 2)}
    numbers = FoldRule(fold_by=("run", "event")).numbers(columns, np.arange(100_000), "f")
    counts = np.bincount(fold_of_events(numbers, 5))
    assert np.abs(counts - 20_000).max() < 5 * np.sqrt(100_000 * 0.2 * 0.8)
    swapped = FoldRule(fold_by=("event", "run")).numbers(columns, np.arange(100_000), "f")
    assert np.mean(swapped == numbers) < 1e-3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([1.0, 2.5]), "event number 2.5 is not an integer"),
        (np.array([2.0**53 + 2]), "loses its parity above 9007199254740992"),
        (np.array([True]), "an integer branch is needed"),
    ],
)
def test_a_hash_takes_integers_alone(values: np.ndarray, message: str) -> None:
    rule = FoldRule(fold_by=("run",))
    with pytest.raises(NtuplemlError, match=rf"^a\.root: branch 'run': .*{message}"):
        rule.numbers({"run": values}, np.arange(len(values)), "a.root")
    exact = rule.numbers({"run": np.array([3.0, 7.0])}, np.arange(2), "a.root")
    assert exact.tolist() == rule.numbers({"run": np.array([3, 7])}, np.arange(2), "a.root").tolist()


def test_rules_are_the_same_where_each_event_gets_the_same_fold() -> None:
    by_event, by_entry, hashed = FoldRule("event"), FoldRule(), FoldRule(fold_by=("run", "event"))
    assert hashed.decides_as(FoldRule("event", ("run", "event")))
    assert not hashed.decides_as(FoldRule(fold_by=("event", "run")))
    assert not any(one.decides_as(other) for one in (by_event, hashed) for other in (by_entry,))
    assert FoldRule("event", ("run", "event")).branches == ("run", "event")
