"""What is refused, with its position, on one line; and that size and depth are bounded."""

from __future__ import annotations

import logging

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse

REFUSED = [
    ("x > 0 &&& y", 7, "unexpected '&&&'"),
    ("", 1, "empty formula"),
    (" \n", 1, "empty formula"),
    ("x >", 4, "unexpected end"),
    ("(x > 1", 1, "'(' is never closed"),
    ("abs((x)", 4, "'(' is never closed"),
    ("x > 1)", 6, "unexpected ')' in \"x > 1)\"; there is no '(' for it"),
    ("x[1", 2, "'[' is never closed"),
    ("sqrt()", 1, "sqrt takes 1 argument, 0 given"),
    ("1 + pow(x)", 5, "pow takes 2 arguments, 1 given"),
    ("sqrtt(x)", 1, "unknown function 'sqrtt' in \"sqrtt(x)\"; nearest: 'sqrt'"),
    ("TMath::Sqr(x)", 1, "nearest: 'TMath::Sqrt'"),
    ("Summ$(x)", 1, "nearest: 'Sum$'"),
    ("x = 3", 3, "a comparison is one of =="),
    ("x =< 3", 3, "write '<='"),
    ("x and y", 3, "write '&&'"),
    ("x > 1 or y", 7, "write '||'"),
    ("x:y", 2, "a formula is one value"),
    ("1.0f*x", 4, "numbers have no suffix"),
    ("2x", 2, "numbers have no suffix"),
    ("x y", 3, "an operator is missing"),
    ("x ? 1", 6, "': no'"),
    ("x ? : 2", 5, "unexpected ':'"),
    ("a, b", 2, "unexpected ','"),
    ("x[0][1]", 1, "'x' has 2 indices"),
    ("x[-1]", 3, "elements are counted from 0"),
    ("x[1.5]", 3, "not a whole number"),
    ("x[99999999999]", 3, "not a whole number"),
    ("x[Iteration$]", 3, "Iteration$ in an index"),
    ("(x)[0]", 4, "an index follows the name"),
    ("Sum$ > 1", 1, "Sum$ needs its arguments"),
    ("Entrys$", 1, "nearest: 'Entry$'"),
    ("jets.size()", 1, "methods cannot be called"),
    ("@jets.size()", 1, "Length$(branch)"),
    ('x == "abc"', 6, "text cannot be compared"),
    ("rndm < 0.5", 1, "would differ from run to run"),
    ("1 + 0x1ffffffffffffffff", 5, "does not fit into 64 bits"),
    ("TMath::Pi", 1, "TMath::Pi()"),
    ("pi[0]", 1, "has no elements"),
    ("[0]", 1, "unexpected '['"),
    ("x\n&&& y", 3, "unexpected '&&&'"),
    ("a < b > c", 3, "'<' is ambiguous"),
    ("a << 1 < b", 8, "'<' is ambiguous"),
    ("a <= b <= c", 8, "several '<=' in a row"),
    ("x; y", 2, "without ';'"),
    ("x = system('ls')", 3, "unexpected '='"),
    ("__import__('os')", 12, "text cannot be compared"),
    ("().__class__", 2, "unexpected ')'"),
]


@pytest.mark.parametrize(("formula", "column", "message"), REFUSED)
def test_refused_with_its_position(formula: str, column: int, message: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        parse(formula, "c.yaml: cut_string")
    assert str(error.value).startswith(f"c.yaml: cut_string: column {column}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "formula",
    [
        "(" * 20_000 + "x" + ")" * 20_000,
        "!" * 40_000 + "x",
        "-" * 40_000 + "x",
        "a?b:" * 12_000 + "c",
        "x[" * 10_000 + "0" + "]" * 10_000,
        "sin(" * 9_000 + "x" + ")" * 9_000,
        "x<" * 20_000 + "x",
        "x" * 10_000_000,
        "(" * 49_000,
        "&&" * 20_000,
        "f" * 40_000 + "(1)",
    ],
    ids=[
        "parentheses",
        "not",
        "minus",
        "ternary",
        "index",
        "calls",
        "comparisons",
        "long",
        "open",
        "operators",
        "name",
    ],
)
def test_monsters_are_one_line(formula: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        parse(formula)
    assert len(str(error.value)) < 400


def test_long_sums_and_deep_formulas_work() -> None:
    """What a program may write: thousands of terms, a hundred levels."""
    many = " || ".join(f"run == {run}" for run in range(2000, 4000))
    assert parse(many).passes({"run": np.array([1999, 2000, 3999])}, 3).tolist() == [False, True, True]
    assert parse("+".join(["1"] * 20_000)).evaluate({}, 1)[0] == 20_000
    assert parse("abs(" * 140 + "-1" + ")" * 140).evaluate({}, 1)[0] == 1
    assert parse("0 ? 1 : " * 140 + "2").evaluate({}, 1)[0] == 2
    columns = {"v": np.array([[1, 2, 0]])}
    assert parse("v[" * 140 + "(0)" + "]" * 140).evaluate(columns, 1)[0] == 2
    assert parse("Sum$(v*" * 70 + "1" + ")" * 70).evaluate(columns, 1)[0] == pytest.approx(3.0**70)
    assert parse("Alt$(v[3]," * 140 + "5" + ")" * 140).evaluate({"v": ak.Array([[1]])}, 1)[0] == 5


@given(text=st.text(alphabet="xy1.$[]()&|<>=!*/%^+-?:, ecSum", max_size=30))
def test_any_text_is_a_formula_or_one_line(text: str) -> None:
    try:
        parse(text)
    except NtuplemlError as error:
        message = str(error)
    else:
        return
    assert "column " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("formula", "warned"),
    [
        ("a < b < c", True),
        ("a == b < c", True),
        ("1 << 2 + 1", True),
        ("a % b * c", True),
        ("a % b % c", True),
        ("a >> b << c", True),
        ("(a < b) < c", False),
        ("a < b && c < d", False),
        ("a * b % c", False),
        ("(1 << 2) + 1", False),
        ("a - b + c", False),
    ],
)
def test_grouping_unlike_cpp_is_logged(formula: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        parse(formula, "c.yaml")
    assert bool(caplog.messages) == warned
    assert all(message.startswith("c.yaml: column ") for message in caplog.messages)
