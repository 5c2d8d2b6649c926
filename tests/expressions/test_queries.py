"""Filters in the syntax of pandas against pandas itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse_filter

RANDOM = np.random.default_rng(5)
COLUMNS = {
    "n": RANDOM.integers(-5, 6, 400),
    "event": RANDOM.integers(2**62, 2**63, 400).astype(np.uint64),
    "x": RANDOM.normal(size=400),
    "y": np.where(RANDOM.random(400) < 0.1, np.nan, RANDOM.normal(size=400)),
}


@pytest.mark.parametrize(
    "query",
    [
        "event % 2 == 1",
        "event % 3 == 1 and x > 0",
        "n % 3 == 2 and x > 0",
        "not x > 0 or y < 0.5",
        "-0.5 < x <= y",
        "x > 0 & y > 0 | n == 3",
        "~(x > 0) and n != 2",
        "n in [1, 2, -3]",
        "n not in (1, 2) and -x**2 < -0.1",
        "n == [1, 2] or n != [0, 1, 2, 3] and x < 0 < y",
        "0 < abs(x - y) * 2 < 1 and n / 2 - 1 < 0.25",
        "True and x > 0",
    ],
)
def test_queries_mean_what_they_mean_to_pandas(query: str) -> None:
    found = parse_filter(query).passes(COLUMNS, 400)
    expected = pd.DataFrame(COLUMNS).query(query, engine="python").index
    assert np.flatnonzero(found).tolist() == expected.tolist()
    assert 0 < len(expected) < 400


@pytest.mark.parametrize("formula", ["n & 4", "x > 0 && !(y > 0)", "x > 0 ? n > 1 : n < 1", "(x > 0) + (y > 0) > 1"])
def test_a_formula_stays_one(formula: str) -> None:
    assert parse_filter(formula).text == formula


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > @lowest", "a.yaml: event_filter: '@' stands for a variable of Python"),
        ("name.str.contains('a') and x > 1", "event_filter: 'name.str.contains('a')' is nothing that a filter can"),
        ("name == 'a' and x > 1", "''a'' is nothing that a filter can have"),
        ("x in y", "'x in y' is nothing"),
        ("x in []", "'x in []' is nothing"),
        ("1 > 0 and x < 0x" + "f" * 5000, "a number of too many digits"),
        ("[1] < x < 2", "'[1]' is nothing"),
        ("x > 0 and [i for i in y]", "is nothing that a filter can have"),
        ("__import__('os').system('true') and x", "is nothing that a filter can have"),
        ("n & 4 and x > 1", "'4' is no condition; for the bits of a number write a formula"),
        ("sqr(x) > 1 and y > 1", "unknown function 'sqr'"),
        ("x >", "column 4"),
        ("not " * 500 + "x", "too deep"),
    ],
)
def test_what_is_no_filter_is_said_in_one_line(text: str, expected: str) -> None:
    with pytest.raises(NtuplemlError) as caught:
        parse_filter(text, "a.yaml: event_filter")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("a.yaml: event_filter: ")
    assert "\n" not in str(caught.value)
