"""The page of formulas: every function stands on it, and its examples have the values that it says."""

from __future__ import annotations

import re
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse
from ntupleml.expressions.functions import CONSTANTS, FUNCTIONS
from ntupleml.expressions.parsing import SPECIAL_NAMES
from ntupleml.expressions.syntax import AGGREGATES

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "formulas.md").read_text(encoding="utf-8")
#: The three events that the page names.
COLUMNS = {
    "pt": ak.Array([[50.0, 30.0], [], [20.0]]),
    "eta": ak.Array([[1.0, -2.0], [], [0.5]]),
    "met": np.array([10.0, 20.0, 30.0]),
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Cells of the tables in a text, without the lines of titles."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_function_with_its_numbers_of_arguments() -> None:
    found: dict[str, set[int]] = {}
    for cells in rows(section("Functions")):
        for name, arguments in re.findall(r"`([\w:]+)\(([^)]*)\)`", cells[0]):
            found.setdefault(name, set()).add(len(arguments.split(",")) if arguments else 0)
    assert found == {name: set(function.argument_counts) for name, function in FUNCTIONS.items()}


def test_every_special_name_and_constant() -> None:
    for name in [*CONSTANTS, *SPECIAL_NAMES]:
        assert f"`{name}`" in section("What a formula is made of"), name
    for name in [*AGGREGATES, "Alt$"]:
        assert f"`{name}(" in section("Lists"), name


@pytest.mark.parametrize("cells", rows(section("Lists")), ids=lambda cells: cells[0])
def test_values_of_lists(cells: list[str]) -> None:
    expected = []
    for cell in cells[1:4]:
        values = [np.nan if one == "no value" else float(one) for one in cell.split(", ") if one]
        expected.append(values)
    got = ak.to_list(parse(cells[0].strip("`")).evaluate(COLUMNS, 3))
    got = [one if isinstance(one, list) else [one] for one in got]
    assert [len(one) for one in got] == [len(one) for one in expected]
    for one, other in zip(got, expected, strict=True):
        assert one == pytest.approx(other, nan_ok=True)


@pytest.mark.parametrize(
    ("formula", "value"),
    [("7/2", 3.5), ("2^3^2", 64), ("sqrt(-4)", 2), ("2**-1", 0.5), ("-3^2", -9), ("std::sqrt(-4)", np.nan)],
)
def test_values_that_the_page_names(formula: str, value: float) -> None:
    if formula != "-3^2":
        assert f"`{formula}`" in PAGE
    assert parse(formula).evaluate({}, 1) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("formula", ["rndm", "pt@.size()", "GetLength()", '"text"', "image[3][4]"])
def test_what_is_refused(formula: str) -> None:
    assert f"`{formula}`" in section("What is different from ROOT")
    with pytest.raises(NtuplemlError):
        parse(formula)
