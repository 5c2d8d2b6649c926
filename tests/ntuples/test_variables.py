"""Variables of a classifier as one matrix: branches, or formulas of them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import columns_to_matrix, required_branches


def test_all_types_of_numbers_in_the_order_of_the_variables() -> None:
    columns = {
        "event": np.array([2**40, -1], dtype=np.int64),
        "flag": np.array([True, False]),
        "pt": np.array([0.1, 0.2]),
        "n": np.array([3, 4], dtype=np.uint8),
        "big": np.array([1.5, 2.5], dtype=">f4"),
    }
    matrix = columns_to_matrix(columns, ["pt", "flag", "event", "n", "big"])
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    np.testing.assert_array_equal(matrix, np.array([[0.1, 1, 2.0**40, 3, 1.5], [0.2, 0, -1, 4, 2.5]], dtype=np.float32))


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 10_000), st.integers(1, 4)), elements=st.floats(-1e3, 1e3)))
def test_any_number_of_events_and_variables(values: np.ndarray) -> None:
    columns = {f"v{index}": values[:, index] for index in range(values.shape[1])}
    np.testing.assert_array_equal(columns_to_matrix(columns, list(columns)), values.astype(np.float32))


def test_what_does_not_fit_into_float32_is_infinite() -> None:
    np.testing.assert_array_equal(columns_to_matrix({"x": np.array([1e300, -1e300])}, ["x"]), [[np.inf], [-np.inf]])


def test_a_flat_awkward_array_is_a_column() -> None:
    np.testing.assert_array_equal(columns_to_matrix({"x": ak.Array([1, 2])}, ["x"]), [[1], [2]])


@pytest.mark.parametrize(
    "column",
    [ak.Array([[1.0, 2.0], [3.0]]), ak.Array([[1.0], [2.0]]), np.ones((2, 3)), ak.Array([1.0, None])],
)
def test_a_vector_branch_as_variable_is_refused_by_name(column: object) -> None:
    with pytest.raises(NtuplemlError, match=r"in\.root: variable 'jet_pt' has several values per event; .*jet_pt\[0\]"):
        columns_to_matrix({"x": np.ones(2), "jet_pt": column}, ["x", "jet_pt"], where="in.root")


def test_text_is_refused_by_name() -> None:
    with pytest.raises(NtuplemlError, match="variable 'name' is of type"):
        columns_to_matrix({"name": np.array(["a", "b"])}, ["name"])


def test_a_variable_may_be_a_formula() -> None:
    columns = {"jet_pt": ak.Array([[30.0, 20.0], [50.0]]), "pt_1": np.array([10.0, 20.0]), "pt_2": np.array([5.0, 8.0])}
    matrix = columns_to_matrix(columns, ["jet_pt[0]", "pt_1 / pt_2", "pt_1"])
    np.testing.assert_allclose(matrix, [[30, 2, 10], [50, 2.5, 20]])


def test_a_branch_goes_before_a_formula() -> None:
    columns = {"a-b": np.array([7.0]), "a": np.array([3.0]), "b": np.array([1.0])}
    np.testing.assert_array_equal(columns_to_matrix(columns, ["a-b"]), [[7]])
    assert required_branches(["a-b", "a"], columns, "in.root") == ["a-b", "a"]


def test_branches_that_formulas_need() -> None:
    available = ["jet_pt", "pt_1", "pt_2", "eta"]
    assert required_branches(["pt_1", "pt_1/pt_2", "jet_pt[0]"], available, "in.root") == ["pt_1", "pt_2", "jet_pt"]


def test_formulas_without_branches_need_the_entry_numbers() -> None:
    assert required_branches(["pt_1", "Entry$%2 + pt_1", "1"], ["pt_1"], "in.root") == ["pt_1", "Entry$"]
    matrix = columns_to_matrix({"Entry$": np.arange(4, 6)}, ["Entry$ + 1", "2**-1", "Entry$"])
    np.testing.assert_array_equal(matrix, [[5, 0.5, 4], [6, 0.5, 5]])


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("pt_l", "in.root: no branch 'pt_l'; nearest: 'pt_1', 'pt_2'"),
        ("pt_l/pt_2", "in.root: no branch 'pt_l', which variable 'pt_l/pt_2' needs; nearest: 'pt_1'"),
    ],
)
def test_a_missing_branch_names_the_nearest(variable: str, message: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        required_branches([variable], ["pt_1", "pt_2"], "in.root")
    assert str(error.value).startswith(message)


def test_no_events() -> None:
    assert columns_to_matrix({"x": np.empty(0), "y": np.empty(0)}, ["x", "y"]).shape == (0, 2)


def test_an_array_is_no_variable() -> None:
    with pytest.raises(NtuplemlError, match="variable 'image' is an array of 50 × 64 numbers; it can only be an image"):
        columns_to_matrix({"image": np.zeros((2, 50, 64))}, ["image"])
