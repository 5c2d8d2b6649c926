"""Missing inputs: counted, refused by name, replaced."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing import count_missing, fill_missing, refuse_missing

ROWS = np.array([[1.0, np.nan, 3.0], [np.inf, np.nan, 4.0], [2.0, 5.0, -np.inf]], dtype=np.float32)


def test_nan_and_both_infinities_count() -> None:
    np.testing.assert_array_equal(count_missing(ROWS), [1, 2, 1])
    np.testing.assert_array_equal(count_missing(np.ones((3, 2))), [0, 0])


def test_replacing_keeps_type_and_original() -> None:
    original = ROWS.copy()
    filled = fill_missing(ROWS, -10.0)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled, [[1, -10, 3], [-10, -10, 4], [2, 5, -10]])
    np.testing.assert_array_equal(ROWS, original)


def test_nothing_to_replace_copies_nothing() -> None:
    complete = np.ones((3, 2))
    assert fill_missing(complete, -10.0) is complete
    assert fill_missing(ROWS, None) is ROWS


def test_the_message_names_branch_count_and_key() -> None:
    with pytest.raises(NtuplemlError, match=r"'pt' in 1 of 3 events, 'm' in 2 of 3 events, 'eta' in 1 .*missing:"):
        refuse_missing(ROWS, ["pt", "m", "eta"], "fold0.root: class signal")
    refuse_missing(ROWS[:, :0], [], "fold0.root")


def test_of_elements_that_are_not_there_the_formula_with_a_default_is_suggested() -> None:
    with pytest.raises(NtuplemlError, match=r"where there is no such element, 'Alt\$\(Jet_pt\[0\], -10\)' is -10$"):
        refuse_missing(ROWS, ["pt", "m", "Jet_pt[0]"], "fold0.root: class signal")
    with pytest.raises(NtuplemlError, match=r"in the training config$"):
        refuse_missing(ROWS, ["pt", "m", "Alt$(Jet_pt[0], -10)"], "fold0.root: class signal")
