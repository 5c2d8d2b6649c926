"""Rows that are objects: what a plain loop over events and objects finds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from ntupleml.config import RowsConfig
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple, rows
from ntupleml.ntuples.rows import rows_of

if TYPE_CHECKING:
    from pathlib import Path

Event = dict[str, Any]
JETS, TRACKS = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_hits"), ("Track_pt", "Track_eta", "Track_phi", "Track_jetIdx")


def make_events(number: int, seed: int = 0) -> list[Event]:
    """Jets (none in some events) and tracks, of which some belong to no jet; directions on both sides of φ = ±π."""
    generator = np.random.default_rng(seed)
    events = []
    for event in range(number):
        jets, tracks = generator.integers(0, 4), generator.integers(0, 6)
        one: Event = {"event": 1000 + event, "met": float(generator.normal())}
        for names, length in ((JETS[:3], jets), (TRACKS[:3], tracks)):
            for name in names:
                spread = math.pi if name.endswith("phi") else 1.5
                one[name] = generator.uniform(-spread, spread, length).tolist()
        one["Jet_hits"] = generator.integers(0, 100, jets).tolist()
        one["Track_jetIdx"] = generator.integers(-2, jets, tracks).tolist() if jets else [-1] * int(tracks)
        one["Muon_pt"] = [1.0] * (event % 2)
        events.append(one)
    return events


def write(path: Path, events: list[Event], **changes: Any) -> Path:
    columns = {name: [event[name] for event in events] for name in events[0]} | changes
    types = {name: "i8" if name.endswith(("event", "hits", "Idx", "index")) else "f8" for name in columns}
    types |= {name: f"vector of {types[name]}" for name in columns if "_" in name}
    with new_tree_file(path) as file:
        tree = file.tree("t", types)
        for start in range(0, len(events), 50):
            parts = {name: column[start : start + 50] for name, column in columns.items()}
            tree.extend({n: ak.Array(part) if "_" in n else np.array(part) for n, part in parts.items()})
            tree.flush()
    return path


def close(event: Event, jet: int, track: int) -> float:
    phi = event["Jet_phi"][jet] - event["Track_phi"][track]
    phi = (phi + math.pi) % (2 * math.pi) - math.pi
    return math.hypot(event["Jet_eta"][jet] - event["Track_eta"][track], phi)


def by_loops(events: list[Event], radius: float | None, selected: bool = True) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in ("event", "met", "Entry$", "Jet_index", *JETS, *TRACKS)}
    for entry, event in enumerate(events):
        for jet in range(len(event["Jet_pt"])):
            if selected and not (event["Jet_pt"][jet] > -0.5 and event["met"] < 1):
                continue
            tracks = [
                track
                for track in range(len(event["Track_pt"]))
                if (event["Track_jetIdx"][track] == jet if radius is None else close(event, jet, track) <= radius)
            ]
            for name in found:
                if name in JETS:
                    found[name].append(event[name][jet])
                elif name in TRACKS:
                    found[name].append([event[name][track] for track in tracks])
                else:
                    found[name].append({"Entry$": entry, "Jet_index": jet}.get(name, event.get(name)))
    return found


def config(**keys: Any) -> RowsConfig:
    return RowsConfig.model_validate({"objects": "Jet", **keys})


SELECTION = "Jet_pt > -0.5 && met < 1"


@pytest.mark.parametrize("step", [None, 64, 7, 1])
@pytest.mark.parametrize("radius", [None, 0.9])
def test_rows_are_those_of_a_loop(
    radius: float | None, step: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_PAIRS", 50)
    events = make_events(200)
    members = {"Track": {"index": "Track_jetIdx"} if radius is None else {"radius": radius}}
    expected = by_loops(events, radius)
    with open_ntuple(write(tmp_path / "a.root", events), "t") as ntuple:
        view = rows_of(ntuple, config(selection=SELECTION, members=members))
        kinds = {name: view.branches[name].kind for name in view.main_branches if not name.startswith("n")}
        chunks = list(view.chunks(list(expected), step))
    found = {name: ak.to_list(ak.concatenate([chunk.columns[name] for chunk in chunks])) for name in expected}
    assert found == expected
    assert len(expected["met"]) > 100
    assert chunks[0].columns["Jet_index"].dtype == np.int32
    assert kinds == {
        **dict.fromkeys(["event", "met", "Jet_index", *JETS], "scalar"),
        **dict.fromkeys(TRACKS, "vector"),
    }
    entries = np.concatenate([chunk.entries for chunk in chunks])
    assert entries.tolist() == expected["Entry$"]
    assert [chunk.num_rows for chunk in chunks] == [len(chunk.columns["met"]) for chunk in chunks]


def test_scores_go_back_to_the_objects_of_the_events(tmp_path: Path) -> None:
    events = make_events(100)
    with open_ntuple(write(tmp_path / "a.root", events), "t") as ntuple:
        chunks = list(rows_of(ntuple, config(selection=SELECTION)).chunks(["Jet_pt"], 30))
    lists = [chunk.objects.per_event(chunk.columns["Jet_pt"], -9) for chunk in chunks if chunk.objects is not None]
    assert ak.concatenate(lists).to_list() == [
        [pt if pt > -0.5 and event["met"] < 1 else -9 for pt in event["Jet_pt"]] for event in events
    ]


def test_an_event_without_objects_and_a_file_without_events(tmp_path: Path) -> None:
    for number in (1, 0):
        with new_tree_file(tmp_path / f"{number}.root") as file:
            tree = file.tree("t", dict.fromkeys(["Jet_pt", "Track_pt", "Track_jetIdx"], "vector of i4"))
            tree.extend(dict.fromkeys(tree.branch_types, ak.Array([[1], []])[1 : 1 + number]))
        with open_ntuple(tmp_path / f"{number}.root", "t") as ntuple:
            view = rows_of(ntuple, config(members={"Track": {"index": "Track_jetIdx"}}))
            chunks = list(view.chunks(["Jet_pt", "Track_pt"]))
        assert [(chunk.num_rows, len(chunk.columns["Track_pt"])) for chunk in chunks] == [(0, 0)] * number


def test_collections_of_other_files(tmp_path: Path) -> None:
    """Fields of a collection of an RNTuple, and datasets of one shape: `Jet.pt` is `Jet_pt`; images of jets."""
    events = make_events(60)
    jets = ak.zip({"pt": [event["Jet_pt"] for event in events], "eta": [event["Jet_eta"] for event in events]})
    with uproot.recreate(tmp_path / "a.root") as file:
        file["t"] = {"Jet": jets, "met": np.array([event["met"] for event in events])}
    expected = by_loops(events, None, selected=False)
    with open_ntuple(tmp_path / "a.root", "t") as ntuple:
        (chunk,) = rows_of(ntuple, config()).chunks(["Jet.pt", "Jet_eta", "met"])
    for name, other in (("Jet.pt", "Jet_pt"), ("Jet_eta", "Jet_eta"), ("met", "met")):
        assert chunk.columns[name].tolist() == expected[other]
    image = np.arange(3 * 2 * 4 * 5, dtype="f4").reshape(3, 2, 4, 5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["Jet_image"], file["Jet_pt"], file["calo"] = image, np.arange(6.0).reshape(3, 2), image[:, 0]
    with open_ntuple(tmp_path / "a.h5", "") as ntuple:
        view = rows_of(ntuple, config(selection="Jet_pt != 2"))
        assert {name: view.branches[name].shape for name in view.main_branches} == {
            "Jet_image": (4, 5),
            "Jet_pt": (),
            "calo": (4, 5),
            "Jet_index": (),
        }
        (chunk,) = view.chunks(["Jet_image", "Jet_pt", "calo"])
    assert chunk.columns["Jet_pt"].tolist() == [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(chunk.columns["Jet_image"], image.reshape(6, 4, 5)[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(chunk.columns["calo"], image[[0, 0, 1, 2, 2], 0])


@pytest.mark.parametrize(
    ("keys", "changes", "expected"),
    [
        ({"objects": "Jets"}, {}, "rows.objects: no lists 'Jets_…' or 'Jets.…' in tree 't' of PATH; nearest: 'Jet'"),
        (
            {"members": {"Track": {"index": "Track_jetIndex"}}},
            {},
            "rows.members.Track: no branch 'Track_jetIndex' in tree 't' of PATH; nearest: 'Track_jetIdx'",
        ),
        (
            {"members": {"Track": {"index": "Jet_hits"}}},
            {},
            "rows.members.Track: branch 'Jet_hits' of tree 't' of PATH is no list of the collection 'Track'",
        ),
        ({"members": {"Muon": {"radius": 0.4}}}, {}, "rows.members.Muon: no branch 'Muon_eta' in tree 't' of PATH"),
        ({"members": {"Jet": {"radius": 0.4}}}, {}, "rows.members.Jet: these are the rows themselves"),
        (
            {"selection": "Muon_pt > 1"},
            {},
            "branch 'Muon_pt' of tree 't' of PATH cannot be read: it is a list per event",
        ),
        ({"selection": "Jet_p > 1"}, {}, "rows.selection: column 1: no branch 'Jet_p' in "),
        ({}, {"Jet_index": [[0]] * 3}, "rows.objects: tree 't' of PATH has a branch 'Jet_index' already"),
        (
            {},
            {"Jet_eta": [[0.5, 1.0], [0.5], [0.5, 0.6]]},
            "tree 't' of PATH: entry 2: 'Jet_pt' has 1 values, but 'Jet_eta' has 2",
        ),
        (
            {"members": {"Track": {"index": "Track_jetIdx"}}},
            {"Track_jetIdx": [[1, -1], [0], [0, 1]]},
            "tree 't' of PATH: entry 2: branch 'Track_jetIdx' is 1, but there are 1 objects of 'Jet'",
        ),
    ],
)
def test_bad_input_is_one_line(keys: dict[str, Any], changes: dict[str, Any], expected: str, tmp_path: Path) -> None:
    event: Event = {"event": 1, "met": 0.0, "Muon_pt": [1.0]}
    lists = {**{name: [1.0] for name in JETS}, **{name: [0.0, 0.0] for name in TRACKS}}
    events = [event | lists for _ in range(3)]
    events[0] |= {name: [1.0, 2.0] for name in JETS}
    events[1] |= {name: [0] for name in TRACKS}
    path = write(tmp_path / "a.root", events, **changes)
    names = ["Jet_pt", "Jet_eta", *(["Track_pt"] if keys.get("members") else [])]
    with pytest.raises(NtuplemlError) as caught, open_ntuple(path, "t") as ntuple:
        list(rows_of(ntuple, config(**keys)).chunks(names, 2))
    assert expected.replace("PATH", str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_longest_name_of_a_collection_counts(tmp_path: Path) -> None:
    event = {"Jet_pt": [1.0, 2.0], "Jet_sub_pt": [1.0, 2.0, 3.0], "Jet_sub_jetIdx": [1, 1, -1]}
    write(tmp_path / "a.root", [event])
    with open_ntuple(tmp_path / "a.root", "t") as ntuple:
        view = rows_of(ntuple, config(members={"Jet_sub": {"index": "Jet_sub_jetIdx"}}))
        (chunk,) = view.chunks(["Jet_pt", "Jet_sub_pt"])
    assert ak.to_list(chunk.columns["Jet_sub_pt"]) == [[], [1.0, 2.0]]
