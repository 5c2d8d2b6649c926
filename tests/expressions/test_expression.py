"""The interface that other rooms use: branches, values per event, cuts, errors with columns."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse

if TYPE_CHECKING:
    from conftest import Ntuple

COLUMNS = {
    "x": np.array([1.0, -2.0, 3.0]),
    "n": np.array([0, 1, 2], "i4"),
    "v": ak.Array([[1.5, -2.5], [], [4.0]]),
    "fixed": np.array([[1, 2], [3, 4], [5, 6]], "i2"),
    "regular": ak.Array(np.array([[1, 2], [3, 4], [5, 6]], "i2")),
    "friend.y": np.array([1.0, 2.0, 3.0], "f4"),
    "text": ak.Array(["a", "b", "c"]),
    "nested": ak.Array([[[1]], [], [[2]]]),
    "record": ak.Array([{"pt": 1.0}, {"pt": 2.0}, {"pt": 3.0}]),
    "holes": ak.Array([1.0, None, 2.0]),
    "Entry$": np.arange(3),
}


def test_branches() -> None:
    expression = parse("pt[idx] > 20 && Sum$(w*(eta>pi)) || friend.y[0] + v[] + Iteration$ ? true : TMath::Pi()")
    assert expression.branches == {"pt", "idx", "w", "eta", "friend.y", "v"}
    assert expression.columns == expression.branches
    assert parse("Entry$ % 2 + v").branches == {"v"}
    assert parse("Entry$ % 2 + v").columns == {"v", "Entry$"}
    assert parse("2**-1").branches == frozenset()
    assert parse("2**-1").columns == {"Entry$"}


@pytest.mark.parametrize(
    ("formula", "dtype", "values"),
    [
        ("x > 0", "?", [True, False, True]),
        ("n * 2", "i8", [0, 2, 4]),
        ("n / 2", "f8", [0.0, 0.5, 1.0]),
        ("friend.y", "f4", [1.0, 2.0, 3.0]),
        ("friend.y * 2", "f8", [2.0, 4.0, 6.0]),
        ("fixed[1]", "i2", [2, 4, 6]),
        ("Sum$(fixed)", "i8", [3, 7, 11]),
        ("regular[1]", "i2", [2, 4, 6]),
        ("Length$(regular*v)", "i8", [2, 0, 1]),
        ("7", "i8", [7, 7, 7]),
        ("n > 0 ? n : -1", "i8", [-1, 1, 2]),
        ("Length$(v)", "i8", [2, 0, 1]),
    ],
)
def test_types_of_values(formula: str, dtype: str, values: list[Any]) -> None:
    result = parse(formula).evaluate(COLUMNS, 3)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.dtype(dtype)
    assert result.tolist() == values


def test_vectors_are_jagged() -> None:
    assert parse("v * 2").evaluate(COLUMNS, 3).tolist() == [[3.0, -5.0], [], [8.0]]
    assert parse("v > n").evaluate(COLUMNS, 3).tolist() == [[True, False], [], [True]]


def test_missing_element_is_nan() -> None:
    np.testing.assert_array_equal(parse("v[0]").evaluate(COLUMNS, 3), [1.5, np.nan, 4.0])
    np.testing.assert_array_equal(parse("v[n]").evaluate(COLUMNS, 3), [1.5, np.nan, np.nan])
    assert parse("v[0] > -100").passes(COLUMNS, 3).tolist() == [True, False, True]
    assert parse("n == 1 || v[0] > 2").passes(COLUMNS, 3).tolist() == [False, False, True]


def test_entry_number_is_a_column() -> None:
    columns = {"Entry$": np.arange(2**40, 2**40 + 3)}
    assert parse("Entry$ + 1").evaluate(columns, 3).tolist() == [2**40 + 1, 2**40 + 2, 2**40 + 3]


@pytest.mark.parametrize("formula", ["v > 0", "x * 2 + n", "Sum$(v)", "v[0]", "1", "Entry$"])
def test_no_events(formula: str) -> None:
    columns = {name: column[:0] for name, column in COLUMNS.items()}
    expression = parse(formula)
    assert len(expression.evaluate(columns, 0)) == 0
    assert expression.passes(columns, 0).shape == (0,)


def test_chunks_make_no_difference(ntuple: Ntuple) -> None:
    formula = parse("Entry$*1000 + Sum$(v*w) + v[j] + l%7 + (f>0 ? Max$(k) : i)")
    whole = formula.evaluate(ntuple.columns, ntuple.num_events)
    parts = []
    for start in range(0, ntuple.num_events, 5):
        chunk = {name: column[start : start + 5] for name, column in ntuple.columns.items()}
        parts.append(formula.evaluate(chunk, len(chunk["f"])))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_one_value_per_event() -> None:
    assert parse("x * 2", "c.yaml").per_event(COLUMNS, 3).tolist() == [2.0, -4.0, 6.0]
    with pytest.raises(
        NtuplemlError, match=r'^c.yaml: weight: "x\*v" has one value for each element of \'v\'.*Sum\$\(v\)'
    ):
        parse("x*v", "c.yaml: weight").per_event(COLUMNS, 3)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("friend.z", r"no branch 'friend.z'; nearest: 'friend.y'.* \(in \"friend.z\"\)"),
        ("text", "'text' does not hold numbers"),
        ("holes", "'holes' does not hold numbers"),
        ("nested > 1", "'nested' has vectors in vectors"),
        ("record > 1", "write one of them, such as 'record.pt'"),
        ("fixed[2]", r"there is no fixed\[2\]: each event has 2 of 'fixed'"),
        ("regular[2]", r"there is no regular\[2\]: each event has 2 of 'regular'"),
        ("fixed[v]", r"array .fixed. has a fixed length and its index is a vector"),
        ("x[0]", "'x' has one value per event; write it without an index"),
        ("Alt$(v, v[1])", r"second argument of Alt\$"),
    ],
)
def test_columns_that_do_not_suit(formula: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=f"^c.yaml: cut: .*{message}"):
        parse(formula, "c.yaml: cut").evaluate(COLUMNS, 3)


def test_length_of_columns_is_the_callers_business() -> None:
    with pytest.raises(ValueError, match="'x' has 3 entries, not 4"):
        parse("x").evaluate(COLUMNS, 4)


def test_check_branches() -> None:
    expression = parse("pt_1 > 20 && pt_l < 100", "c.yaml: cut")
    expression.check_branches(["pt_1", "pt_l", "other"])
    with pytest.raises(NtuplemlError, match=r"^c.yaml: cut: column 14: no branch 'pt_l' .*nearest: 'pt_1'"):
        expression.check_branches(["pt_1", "pt_2"])


def test_branch_names_that_a_formula_cannot_spell(higgs: Ntuple) -> None:
    """The HIGGS sample has a branch jet1_b-tag."""
    with pytest.raises(NtuplemlError, match=r"column 5: no branch 'jet1_b'.*'jet1_b-tag' has a character .* rename"):
        parse("1 + jet1_b-tag > 0.5").check_branches(higgs.columns)
    with pytest.raises(NtuplemlError, match=r"no branch 'm_jk'.*; nearest: 'm_jj'"):
        parse("m_jk - m_jj").check_branches(higgs.columns)


def test_what_is_not_chosen_does_not_warn() -> None:
    """Warnings are errors in tests."""
    columns = {"x": np.array([-1.0, 0.0, 4.0, np.nan, 1e300])}
    assert parse("x > 0 ? TMath::Log(x) : -1").evaluate(columns, 5)[:2].tolist() == [-1, -1]
    passed = parse("x != 0 && 1/x > 0 && TMath::Sqrt(x) > 1").passes(columns, 5)
    assert passed.tolist() == [False, False, True, False, True]
    parse("int(x) + x % 3 + (x << 2) + exp(x*x) + x^0.5 + (x & 7)").evaluate(columns, 5)


def test_import_is_cheap() -> None:
    """Neither awkward nor ROOT nor scipy is imported before it is needed."""
    code = "import sys, ntupleml.expressions; print({'awkward', 'ROOT', 'scipy', 'uproot'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
