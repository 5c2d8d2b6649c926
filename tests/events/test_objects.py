"""Jagged columns become padded arrays: against loops over the objects of each event, one after the other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.events.evaluation import missing_events, read_group, read_inputs
from ntupleml.events.groups import InputGroup, Objects
from ntupleml.events.values import joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.events.values import ObjectRows

#: Few values, so that there are ties.
_PT = st.one_of(st.sampled_from([10.0, 20.0, 30.0, math.nan]), st.floats(0, 100, width=32))
_EVENTS = st.lists(st.lists(st.tuples(_PT, st.integers(-5, 5)), max_size=40), max_size=8)


def columns_of(events: list[list[tuple[float, int]]]) -> dict[str, ak.Array]:
    flat = [one for event in events for one in event]
    counts = np.array([len(event) for event in events], np.int64)
    pt = np.array([pt for pt, _ in flat], np.float32)
    charge = np.array([charge for _, charge in flat], np.int16)
    return {"jet_pt": ak.unflatten(pt, counts), "jet_charge": ak.unflatten(charge, counts)}


def kept_objects(
    event: list[tuple[float, int]], objects: Objects, threshold: float | None
) -> list[tuple[float, float, float]]:
    """The objects of one event, in plain Python."""
    kept = [one for one in event if threshold is None or one[0] > threshold]
    if objects.sort is not None:
        sign = 1 if objects.ascending else -1
        kept = sorted(kept, key=lambda one: (math.isnan(one[0]), 0 if math.isnan(one[0]) else sign * one[0]))
    return [(pt, charge, 2 * pt + charge) for pt, charge in kept[: objects.length]]


@settings(deadline=None, max_examples=100)
@given(
    events=_EVENTS,
    length=st.one_of(st.none(), st.integers(1, 6)),
    threshold=st.one_of(st.none(), st.sampled_from([15.0, 99.0])),
    sort=st.sampled_from([None, "jet_pt"]),
    ascending=st.booleans(),
    data=st.data(),
)
def test_objects_are_those_of_a_plain_loop(
    events: list[Any],
    length: int | None,
    threshold: float | None,
    sort: str | None,
    ascending: bool,
    data: st.DataObject,
) -> None:
    """Selected, sorted (equal ones in their order, NaN last), cut and padded; whole, in batches, in joined chunks."""
    selection = None if threshold is None else f"jet_pt > {threshold:g}"
    objects = Objects(length, 0.0, sort, ascending, selection)
    group = InputGroup("jets", ("jet_pt", "jet_charge", "2*jet_pt + jet_charge"), objects=objects)
    columns = columns_of(events)
    border = data.draw(st.integers(0, len(events)))
    halves = [
        read_inputs([group], {name: column[part] for name, column in columns.items()}, number, "in.root")
        for part, number in ((slice(border), border), (slice(border, None), len(events) - border))
    ]
    rows = np.array(data.draw(st.lists(st.integers(0, len(events) - 1)) if events else st.just([])), np.int64)
    wanted = [kept_objects(event, objects, threshold) for event in events]
    for values in (read_inputs([group], columns, len(events), "in.root"), joined(halves)):
        check_batch(values.batch(), wanted, length)
        check_batch(values.batch(rows), [wanted[row] for row in rows], length)


def check_batch(batch: dict[str, NDArray[Any]], wanted: list[list[Any]], length: int | None) -> None:
    steps = length or max([1, *map(len, wanted)])
    assert batch["jets"].dtype == np.float32
    assert batch["jets"].shape == (len(wanted), steps, 3)
    assert batch["jets_length"].dtype == np.int64
    assert batch["jets_length"].tolist() == list(map(len, wanted))
    for row, objects in zip(batch["jets"], wanted, strict=True):
        expected = np.zeros((steps, 3), np.float32)
        expected[: len(objects)] = np.array(objects, np.float64).reshape(-1, 3)
        np.testing.assert_allclose(row, expected, rtol=1e-6)


def jets(*, number: int = 4, **changes: Any) -> ObjectRows:
    columns = {"pt": ak.Array([[1.0, 2.0], [], [3.0]])[:number], "x": np.arange(3.0)[:number]}
    group = InputGroup("jets", ("pt",), objects=Objects(**changes))
    return read_group(group, columns, min(number, 3), "in.root")  # type: ignore[return-value]


@pytest.mark.parametrize("length", [None, 2])
def test_no_events_and_no_objects(length: int | None) -> None:
    assert jets(number=0, length=length).take(slice(None)).shape == (0, length or 1, 1)
    empty = jets(selection="pt > 10", length=length)
    np.testing.assert_array_equal(empty.take(slice(None)), np.zeros((3, length or 1, 1)))
    assert empty.lengths(slice(None)).tolist() == [0, 0, 0]


def test_a_formula_mixes_objects_with_values_of_the_event() -> None:
    columns = {"pt": ak.Array([[1.0, 2.0], [], [3.0]]), "met": np.array([10.0, 20.0, 30.0])}
    group = InputGroup("jets", ("pt/met",), objects=Objects())
    rows = read_group(group, columns, 3, "in.root")
    np.testing.assert_allclose(rows.take(slice(None))[:, :, 0], [[0.1, 0.2], [0, 0], [0.1, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    "layout",
    [
        ak.Array([[1, 2], [], [3]])[[2, 0, 1]],  # lists out of order
        ak.Array([[9], [3], [1, 2], []])[1:],  # lists that do not begin at zero
        ak.Array(ak.to_layout(ak.Array([[3], [1, 2], []])).to_ListOffsetArray64(False)),
        ak.concatenate([ak.Array([[3]]), ak.Array([[1, 2], []])]),
    ],
)
def test_all_layouts_of_lists_are_read(layout: ak.Array) -> None:
    rows = read_group(InputGroup("jets", ("n",), objects=Objects()), {"n": layout}, 3, "in.root")
    np.testing.assert_array_equal(rows.take(slice(None))[:, :, 0], [[3, 0], [1, 2], [0, 0]])


def test_arrays_of_fixed_length_are_objects() -> None:
    group = InputGroup("jets", ("x",), objects=Objects())
    for column in (np.arange(6).reshape(2, 3), ak.from_regular(np.arange(6).reshape(2, 3)), ak.Array(np.ones((2, 3)))):
        assert read_group(group, {"x": column}, 2, "in.root").take(slice(None)).shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (("a", "b"), r"^in\.root: input 'jets': 'b' has 1 values in an event where 'a' has 2 \(entry 101\)"),
        (("a", "a*b"), r"^in\.root: input 'jets': .*has 1 values in an event where 'a' has 2 \(entry 101\)"),
        (("a/b",), r"'b' has .*|'a' has 2 values in an event where 'a/b' has 1 \(entry 101\)"),
        (("a", "x"), "variable 'x' has one value per event; a vector of objects is needed"),
        (("a", "words"), "variable 'words' is no list of numbers per event"),
    ],
)
def test_what_is_no_collection_is_one_line(variables: tuple[str, ...], message: str) -> None:
    columns = {
        "a": ak.Array([[1.0], [1.0, 2.0]]),
        "b": ak.Array([[1.0], [2.0]]),
        "x": np.ones(2),
        "words": ak.Array([["a"], ["b"]]),
    }
    group = InputGroup("jets", variables, objects=Objects())
    with pytest.raises(NtuplemlError, match=message) as error:
        read_group(group, columns, 2, "in.root", entries=np.array([100, 101]))
    assert "\n" not in str(error.value)


def test_only_objects_that_are_kept_can_be_missing() -> None:
    """NaN is counted by variable; what is cut away is not looked at, and padding is never missing."""
    columns = {"pt": ak.Array([[1.0, np.nan], [], [3.0, 4.0]]), "eta": ak.Array([[np.inf, 0.0], [], [np.nan, 1.0]])}
    group = InputGroup("jets", ("pt", "eta"), objects=Objects(length=2))
    with pytest.raises(MissingInputError, match=r"^in\.root: variable 'eta' is NaN or infinite in 2 of 4 values"):
        read_group(group, columns, 3, "in.root", finite=["eta"])
    with pytest.raises(NtuplemlError, match=r"inputs\.jets: NaN or infinite input: branch 'pt' in 1 of 4 .*'eta' in 2"):
        read_inputs([group], columns, 3, "in.root").require_finite("in.root")
    assert missing_events(group, columns, 3, "in.root", ["pt"]).tolist() == [True, False, False]
    cut = group._replace(objects=Objects(length=1, selection="pt > 3"))
    read_inputs([cut], columns, 3, "in.root", finite=["pt", "eta"]).require_finite("in.root")
    filled = read_group(group._replace(missing=-9.0), columns, 3, "in.root", finite=["pt", "eta"]).take(slice(None))
    np.testing.assert_array_equal(filled, [[[1, -9], [-9, 0]], [[0, 0], [0, 0]], [[3, -9], [4, 1]]])


def test_numbers_are_the_matrix_of_the_variables() -> None:
    columns = {"n": np.array([1, 2]), "x": np.array([0.5, np.inf])}
    rows = read_group(InputGroup("event", ("x", "n", "2*x"), missing=-1.0), columns, 2, "in.root")
    np.testing.assert_array_equal(rows.take(slice(None)), [[0.5, 1, 1], [-1, 2, -1]])
    with pytest.raises(NtuplemlError, match=r"^in\.root: NaN or infinite input: branch 'x' in 1 of 2 events"):
        read_inputs([InputGroup("variables", ("x", "n"))], columns, 2, "in.root").require_finite("in.root")
