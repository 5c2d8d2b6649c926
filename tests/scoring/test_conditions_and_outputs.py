"""One-hot inputs of conditions, and from scores to branches."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.scoring import append_condition, max_score_and_index, score_branch_names


def test_conditions_have_to_fit_the_models() -> None:
    matrix = np.ones((2, 1), dtype=np.float32)
    assert append_condition(matrix, [], None, "c.yaml") is matrix
    with pytest.raises(NtuplemlError, match=r"c\.yaml: no condition '2061'; nearest: '2016'"):
        append_condition(matrix, ["2016", "2017"], "2061", "c.yaml")
    with pytest.raises(NtuplemlError, match="no condition is given; there are: '2016', '2017'"):
        append_condition(matrix, ["2016", "2017"], None, "c.yaml")
    with pytest.raises(NtuplemlError, match="the models were trained without any"):
        append_condition(matrix, [], "2016", "c.yaml")


def test_the_first_of_equal_scores_wins() -> None:
    scores = np.array([[0.5, 0.5, 0], [0.1, 0.2, 0.7], [0.3, 0.35, 0.35]], dtype=np.float32)
    largest, index = max_score_and_index(scores)
    assert largest.dtype == index.dtype == np.float32
    np.testing.assert_array_equal(index, [0, 2, 1])
    np.testing.assert_array_equal(largest, scores.max(axis=1))
    assert [len(array) for array in max_score_and_index(scores[:0])] == [0, 0]


def test_branch_names_are_those_of_htt_ml() -> None:
    assert score_branch_names(["ggh", "qqh"], "mt_") == ["mt_ggh", "mt_qqh", "mt_max_score", "mt_max_index"]
