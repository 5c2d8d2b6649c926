"""The fold of an event, and the model that may score it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers

from ntupleml.errors import NtuplemlError
from ntupleml.folds import event_numbers, fold_of_events, held_out_fold, scoring_model, trained_on


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
