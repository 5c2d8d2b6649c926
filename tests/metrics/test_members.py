"""A quantity of each member of an ensemble: numbers against the standard library's, and members without a value."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from ntupleml.metrics import Measurement, Undefined, as_plain
from ntupleml.metrics.members import each_member, over_members

_NUMBERS = lists(floats(-1e6, 1e6), min_size=2, max_size=12)


@given(values=_NUMBERS)
def test_mean_spread_and_quartiles_are_the_usual_ones(values: list[float]) -> None:
    """The standard library has the same sample standard deviation and, of included ends, the same quartiles."""
    found = over_members(values)
    size = max(map(abs, values)) + 1
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-9 * size)
    assert found.standard_deviation == pytest.approx(statistics.stdev(values), abs=1e-6 * size)
    assert list(found.quartiles) == pytest.approx(statistics.quantiles(values, method="inclusive"), abs=1e-9 * size)


def test_members_without_a_value_are_named_and_left_out() -> None:
    none = Undefined("no threshold")
    found = over_members([Measurement(0.5, 0.1), none, float("nan"), 0.7])
    assert found.mean == pytest.approx(0.6)
    assert found.values == (0.5, none, Undefined("the value is not finite"), 0.7)
    assert found.measurement == Measurement(pytest.approx(0.6), pytest.approx(0.02**0.5))
    assert as_plain(found)["values"] == [0.5, "undefined: no threshold", "undefined: the value is not finite", 0.7]


def test_one_member_has_no_spread_and_none_has_nothing() -> None:
    assert over_members([1.5]).measurement == Undefined("fewer than two members have a value")
    assert over_members([]).mean == Undefined("no members")
    assert over_members([Undefined("no events")] * 2).quartiles == Undefined("no events")


def test_the_quantity_sees_the_scores_of_one_member() -> None:
    scores = np.arange(24.0).reshape(4, 3, 2)
    found = each_member(scores, lambda one: float(one[:, 1].sum()))
    assert found.values == (1 + 7 + 13 + 19, 3 + 9 + 15 + 21, 5 + 11 + 17 + 23)
