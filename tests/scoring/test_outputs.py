"""From the values of a model to scores per class, and to the branches of the largest."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.scoring import max_score_and_index
from ntupleml.scoring.outputs import NO_ANSWER, Binary, class_scores


@pytest.mark.parametrize(
    ("binary", "value", "expected"),
    [
        ("response", [-1, 0.5, 1], [[0, 1], [0.75, 0.25], [1, 0]]),
        ("first", [0.25, 1], [[0.25, 0.75], [1, 0]]),
        ("second", [0.25, 1], [[0.75, 0.25], [0, 1]]),
        ("discriminant", [-3, 2], [[-3, 3], [2, -2]]),
    ],
)
def test_one_value_for_two_classes(binary: Binary, value: list[float], expected: list[list[float]]) -> None:
    np.testing.assert_array_equal(class_scores(np.array(value, dtype=float)[:, None], 2, binary), expected)


@pytest.mark.parametrize("binary", ["response", "first", "second", "discriminant"])
def test_no_answer_stays_so(binary: Binary) -> None:
    scores = class_scores(np.array([[NO_ANSWER], [0.5]]), 2, binary)
    np.testing.assert_array_equal(scores[0], [-999, -999])
    assert (scores[1] != NO_ANSWER).all()


def test_scores_of_all_classes_are_left_alone() -> None:
    scores = np.array([[0.25, 0.75]])
    assert class_scores(scores, 2, "second") is scores
    with pytest.raises(ValueError, match="1 values for 3 classes"):
        class_scores(scores[:, :1], 3, "response")


def test_events_without_an_answer_are_of_no_class() -> None:
    """A cut such as max_index == 0 must not take them."""
    scores = np.array([[NO_ANSWER] * 3, [0.2, 0.5, 0.3], [np.nan] * 3], dtype=np.float32)
    largest, index = max_score_and_index(scores)
    np.testing.assert_array_equal(largest, np.array([-999, 0.5, np.nan], dtype=np.float32))
    np.testing.assert_array_equal(index, [-1, 1, -1])
    assert largest.dtype == index.dtype == np.float32
