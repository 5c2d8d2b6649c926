"""Inputs that are objects: as columns and back, exchanged between events, and their distributions."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.events.groups import Image, InputGroup, ObjectCollection, Objects, ObjectSource
from ntupleml.events.values import Channel, ImageRows, InputValues, ObjectRows, Rows
from ntupleml.testing.attention import named_objects
from ntupleml.testing.input_columns import InputColumns
from ntupleml.testing.object_inputs import summaries_of_objects
from ntupleml.testing.tested_events import TestedEvents

NUMBER = 300
JETS = InputGroup("jets", ("pt", "eta"), objects=Objects(3), constants=(7.0,))


def made_up() -> InputValues:
    """Numbers, up to three jets with a constant column, a read image and one that is filled."""
    random = np.random.default_rng(4)
    counts = random.integers(0, 4, NUMBER)
    starts = np.cumsum(counts) - counts
    jets = np.column_stack([random.normal(size=(counts.sum(), 2)), np.full(counts.sum(), 7.0)]).astype("f4")
    pixels, weights = random.integers(0, 6, counts.sum()).astype("i4"), random.random(counts.sum())
    channel = Channel(pixels, weights, starts, counts, ("e", "eta", "phi"))
    return InputValues(
        {
            "event": Rows(random.normal(size=(NUMBER, 2)).astype("f4"), ("met", "ht")),
            "jets": ObjectRows(jets, starts, counts, Objects(3), ("pt", "eta")),
            "calo": Rows(random.normal(size=(NUMBER, 2, 3, 1)).astype("f4"), ("calo",)),
            "cells": ImageRows([channel], (2, 3), np.dtype("f4")),
        },
        NUMBER,
    )


def columns_of(read: InputValues) -> InputColumns:
    groups = [InputGroup("event", ("met", "ht")), JETS]
    groups += [InputGroup(name, ("calo",), image=Image()) for name in ("calo", "cells")]
    return InputColumns.of(read, [*groups, InputGroup("made_of_jets", ())])


def test_columns_are_what_was_read() -> None:
    read = made_up()
    columns = columns_of(read)
    assert list(columns.columns) == ["met", "ht", "pt", "eta", "calo", "cells"]
    assert columns.vectors == {"jets": ("pt", "eta"), "calo": ("calo",), "cells": ("cells",)}
    assert columns.wholes == {"jets": ["pt", "eta"], "event": ["met", "ht"]}
    again = columns.read_again(columns.columns, NUMBER).batch()
    for name, values in read.batch().items():
        np.testing.assert_array_equal(again[name], values)


@pytest.mark.parametrize("group", ["event", "jets", "calo", "cells"])
def test_a_whole_group_of_other_events(group: str) -> None:
    read = made_up()
    columns = columns_of(read)
    donors = np.random.default_rng(1).permutation(NUMBER)
    own = columns.wholes.get(group, [group])
    changed = columns.columns | {name: columns.columns[name][donors] for name in own}
    found = columns.read_again(changed, NUMBER).batch()
    for name, values in read.batch().items():
        is_changed = name in (group, f"{group}_length")
        np.testing.assert_array_equal(found[name], values[donors] if is_changed else values)


def test_objects_beyond_the_length_are_cut_away() -> None:
    """As when they are read: the constant column and the first three stay."""
    read = made_up()
    columns = columns_of(read)
    lists = columns.columns
    longer = {name: [[1.0, 2.0, 3.0, 4.0]] for name in ("pt", "eta")}
    import awkward as ak

    given = {name: ak.Array(values) for name, values in longer.items()}
    batch = columns.read_again({**{name: lists[name][:1] for name in lists if name not in given}, **given}, 1).batch()
    np.testing.assert_array_equal(batch["jets"], [[[1, 1, 7], [2, 2, 7], [3, 3, 7]]])
    assert batch["jets_length"] == [3]


def test_collections_are_taken_from_different_events() -> None:
    """Leptons of one event, jets of another; the column of the collection and zeros of all of one stay."""
    sources = (ObjectSource(("a", "b", None)),)
    kinds = tuple(ObjectCollection(name, sources) for name in ("lepton", "jet"))
    group = InputGroup("objects", ("pt", "btag", "type"), objects=Objects(4), collections=kinds)
    values = np.array([[50, 0, 0], [30, 2, 1], [60, 5, 1], [70, 1, 1], [20, 3, 1]], "f4")
    rows = ObjectRows(values, np.array([0, 2]), np.array([2, 3]), Objects(4), ("pt", "btag", "type"))
    columns = InputColumns.of(InputValues({"objects": rows}, 2), [group])
    assert columns.vectors == {"lepton": ("lepton.pt",), "jet": ("jet.pt", "jet.btag")}
    assert columns.wholes == {"jet": ["jet.pt", "jet.btag"], "objects": ["lepton.pt", "jet.pt", "jet.btag"]}
    swapped = columns.columns | {name: columns.columns[name][np.array([1, 0])] for name in columns.vectors["jet"]}
    batch = columns.read_again(swapped, 2).batch()
    expected = [[[50, 0, 0], [60, 5, 1], [70, 1, 1], [20, 3, 1]], [[30, 2, 1], *[[0, 0, 0]] * 3]]
    np.testing.assert_array_equal(batch["objects"], expected)
    named = named_objects(group, rows.take(slice(None)), rows.counts)
    assert named.names == ["lepton", "jet 1", "jet 2", "jet 3"]
    np.testing.assert_array_equal(named.slots, [[0, 1, -1, -1], [-1, 0, 1, 2]])


def test_distributions_of_objects() -> None:
    """Weighted means of all jets, of the second jets and of their number; nothing is outside without being counted."""
    read = made_up()
    random = np.random.default_rng(2)
    truth, weights = random.integers(0, 2, NUMBER), random.choice([2.0, -1.0, 1.0], NUMBER)
    nothing = np.empty((NUMBER, 0), "f4")
    events = TestedEvents(["a", "b"], {}, truth, weights, truth, [], nothing, {}, {})
    read.groups["jets"].values[0, 0] = 1e6  # type: ignore[index, union-attr]
    numbers, found = summaries_of_objects(events, columns_of(read))
    assert list(found) == ["jets"]
    batch = read.batch()
    jets, length = batch["jets"].astype("f8"), batch["jets_length"]
    is_there = np.arange(3) < length[:, None]
    assert len(found["jets"].by_place) == 3
    for index, name in enumerate(events.classes):
        own = truth == index
        w = weights[own]
        number = numbers.distributions["number of jets"][name]
        assert number.mean[0] == pytest.approx(w @ length[own] / w.sum())  # type: ignore[index]
        for summary, chosen in [(found["jets"].pooled, is_there), (found["jets"].by_place[1], is_there & [0, 1, 0])]:
            each = (w[:, None] * chosen[own]).ravel()
            eta = summary.distributions["eta"][name]
            assert eta.events == chosen[own].sum()
            assert eta.mean[0] == pytest.approx(each @ jets[own, :, 1].ravel() / each.sum())  # type: ignore[index]
            shares = summary.distributions["pt"][name].fractions
            total = shares.bins.sum() + shares.underflow.value + shares.overflow.value  # type: ignore[union-attr]
            assert total == pytest.approx(1)
            assert summary.binnings is not None
            np.testing.assert_array_equal(summary.binnings["pt"].edges, found["jets"].pooled.binnings["pt"].edges)
    owner_class = events.classes[truth[np.flatnonzero(length)[0]]]
    assert found["jets"].pooled.distributions["pt"][owner_class].maximum == 1e6
    assert found["jets"].pooled.binnings["pt"].edges[-1] < 100  # type: ignore[index]
