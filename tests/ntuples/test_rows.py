"""Rows that are objects: what a plain loop over events and objects finds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import pytest
import uproot

from ntupleml.config import MatchConfig, RowsConfig
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples.rows import rows_of

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.ntuples.reading import Chunk

Event = dict[str, Any]
JETS, TRACKS = ("Jet_pt", "Jet_eta", "Jet_phi", "Jet_hits"), ("Track_pt", "Track_eta", "Track_phi", "Track_jetIdx")
LLPS = ("LLP_pt", "LLP_eta", "LLP_phi")


def make_events(number: int, seed: int = 0) -> list[Event]:
    """Jets (none in some events), tracks, of which some belong to no jet, and LLPs; directions on both sides of φ = ±π.

    Of a list, numbers may be equal, and so may the directions of two jets or of two LLPs.
    """
    generator = np.random.default_rng(seed)
    events = []
    for event in range(number):
        jets, tracks, llps = (int(generator.integers(0, most)) for most in (5, 8, 4))
        one: Event = {"event": 1000 + event, "met": float(generator.normal())}
        for names, length in ((JETS[:3], jets), (TRACKS[:3], tracks), (LLPS, llps)):
            for name in names:
                spread = math.pi if name.endswith("phi") else 1.5
                one[name] = generator.uniform(-spread, spread, length).tolist()
            one[names[0]] = [round(2 * value) / 2 for value in one[names[0]]]
            for name in names[1:] if generator.random() < 0.3 else []:
                one[name] = one[name][:-1] + one[name][:1] if names != TRACKS[:3] else one[name]
        one["Jet_hits"] = generator.integers(0, 100, jets).tolist()
        one["Track_jetIdx"] = generator.integers(-2, jets, tracks).tolist() if jets else [-1] * tracks
        owners = [generator.integers(-1, jets, generator.integers(0, 4)).tolist() for _ in range(tracks)]
        one["ownersOfTracks"] = owners if jets else [[]] * tracks
        one["Muon_pt"] = [1.0] * (event % 2)
        events.append(one)
    return events


def type_of(name: str) -> str:
    return "i8" if name.endswith(("event", "hits", "Idx", "index")) else "f8"


def write(path: Path, events: list[Event], **changes: Any) -> Path:
    columns = {name: [event[name] for event in events] for name in events[0] if name != "ownersOfTracks"} | changes
    types = {name: f"vector of {type_of(name)}" if "_" in name else type_of(name) for name in columns}
    with new_tree_file(path) as file:
        tree = file.tree("t", types)
        for start in range(0, len(events), 50):
            parts = {name: column[start : start + 50] for name, column in columns.items()}
            tree.extend({n: ak.Array(part) if "_" in n else np.array(part) for n, part in parts.items()})
            tree.flush()
    return path


WRITE_WITH_ROOT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np, ROOT
events = json.load(sys.stdin)
file = ROOT.TFile(sys.argv[1], "RECREATE")
tree = ROOT.TTree("t", "")
values = {}
for name in events[0]:
    if name == "ownersOfTracks":
        values[name] = ROOT.std.vector("std::vector<int>")()
    elif "_" in name:
        values[name] = ROOT.std.vector("long" if name.endswith(("hits", "Idx")) else "double")()
    else:
        values[name] = np.zeros(1, "i8" if name == "event" else "f8")
    leaves = [] if name == "ownersOfTracks" or "_" in name else [f"{name}/{'L' if name == 'event' else 'D'}"]
    tree.Branch(name, values[name], *leaves)
for event in events:
    for name, value in event.items():
        if name == "ownersOfTracks":
            values[name].clear()
            for one in value:
                inner = ROOT.std.vector("int")()
                for owner in one:
                    inner.push_back(owner)
                values[name].push_back(inner)
        elif "_" in name:
            values[name].clear()
            for one in value:
                values[name].push_back(one)
        else:
            values[name][0] = value
    tree.Fill()
tree.Write()
file.Close()
"""


def write_nested(path: Path, events: list[Event]) -> Path:
    """The same with lists of lists, in the format that the path's ending tells: `root` is a TTree, by ROOT."""
    if path.suffix == ".root":
        command = [sys.executable, "-c", WRITE_WITH_ROOT, str(path)]
        subprocess.run(command, input=json.dumps(events), text=True, check=True, capture_output=True, timeout=120)
        return path
    columns = {name: ak.Array([event[name] for event in events]) for name in events[0]}
    columns["ownersOfTracks"] = ak.values_astype(columns["ownersOfTracks"], np.int32)
    if path.suffix == ".parquet":
        ak.to_parquet(ak.Array(columns), path, row_group_size=64)
    else:
        with uproot.recreate(path) as file:
            file["t"] = columns
    return path


def close(event: Event, one: str, place: int, other: str, other_place: int) -> float:
    phi = event[f"{one}_phi"][place] - event[f"{other}_phi"][other_place]
    phi = (phi + math.pi) % (2 * math.pi) - math.pi
    return math.hypot(event[f"{one}_eta"][place] - event[f"{other}_eta"][other_place], phi)


def members_by_loops(event: Event, jet: int, members: Event) -> Event:
    """Lists of the tracks of a jet."""
    tracks = []
    for track in range(len(event["Track_pt"])):
        if "radius" in members:
            belongs = close(event, "Jet", jet, "Track", track) <= members["radius"]
        else:
            owners = event[members["index"]][track]
            belongs = jet in owners if isinstance(owners, list) else jet == owners
        if belongs and ("selection" not in members or event["Track_pt"][track] < event["Jet_pt"][jet] + event["met"]):
            tracks.append(track)
    if "sort" in members:
        sign = 1 if members.get("ascending") else -1
        tracks.sort(key=lambda track: sign * event["Track_pt"][track])
    tracks = tracks[: members.get("length")]
    lists = {name: [event[name][track] for track in tracks] for name in TRACKS}
    for name, angle in (("Track_eta", "Jet_eta"), ("Track_phi", "Jet_phi")) if "relative" in members else ():
        other = event[angle][jet] if members["relative"] == "row" else next(iter(lists[name]), 0)
        lists[name] = [value - other for value in lists[name]]
        if name == "Track_phi":
            lists[name] = [math.remainder(value, 2 * math.pi) for value in lists[name]]
    return lists


def matches_by_loops(event: Event, jets: list[int], match: Event | None) -> list[tuple[int, int | None]]:
    """Jets and the LLP that each is matched to."""
    if match is None:
        return [(jet, None) for jet in jets]
    llps = [
        llp for llp in range(len(event["LLP_pt"])) if "selection" not in match or event["LLP_pt"][llp] > event["met"]
    ]
    radius = match.get("radius", math.inf)
    from_row = match.get("nearest_to", "row") == "row"
    found: list[tuple[float, int, int]] = []
    for seeker in jets if from_row else llps:
        pairs = [(jet, llp) for jet in jets for llp in llps if seeker == (jet if from_row else llp)]
        distances = [(close(event, "Jet", jet, "LLP", llp), jet, llp) for jet, llp in pairs]
        if distances:
            nearest = min(distances, key=lambda one: one[0])  # the first of equal ones
            found += [nearest] if nearest[0] <= radius else []
    if from_row or match.get("repeated"):
        return [(jet, llp) for _, jet, llp in found]
    best = {jet: min((one for one in found if one[1] == jet), key=lambda one: one[0]) for _, jet, _ in found}
    return [(jet, best[jet][2]) for jet in jets if jet in best]


def by_loops(events: list[Event], members: Event | None = None, match: Event | None = None, **keys: Any) -> Event:
    found: Event = {name: [] for name in ("event", "met", "Entry$", "Jet_index", *JETS)}
    found |= {name: [] for name in (*(TRACKS if members else ()), *(LLPS if match else ()))}
    for entry, event in enumerate(events):
        jets = [
            jet
            for jet, pt in enumerate(event["Jet_pt"])
            if not keys.get("selection") or (pt > -0.5 and event["met"] < 1)
        ]
        if "sort" in keys:
            jets.sort(key=lambda jet: (1 if keys.get("ascending") else -1) * event["Jet_pt"][jet])
        for jet, llp in matches_by_loops(event, jets, match):
            row = {**event, "Entry$": entry, "Jet_index": jet, **{name: event[name][jet] for name in JETS}}
            row |= members_by_loops(event, jet, members) if members else {}
            row |= {name: event[name][llp] for name in LLPS} if llp is not None else {}
            for name in found:
                found[name].append(row[name])
    return found


def of_tracks(**keys: Any) -> Event:
    return {"members": {"Track": {"index": "Track_jetIdx", **keys}}}


def config(**keys: Any) -> RowsConfig:
    return RowsConfig.model_validate({"objects": "Jet", **keys})


SELECTION = "Jet_pt > -0.5 && met < 1"
ALL_KEYS = {"selection": "Track_pt < Jet_pt + met", "sort": "Track_pt", "length": 2}


def check(path: Path, expected: Event, step: int | None, rows: Event, match: Event | None = None) -> list[Chunk]:
    """Read the rows and compare them; members are called Track."""
    matched = None if match is None else MatchConfig.model_validate({"objects": "LLP", **match})
    with open_ntuple(path, "t") as ntuple:
        chunks = list(rows_of(ntuple, config(**rows), match=matched).chunks(list(expected), step))
    assert len(expected["met"]) > 40
    for name, values in expected.items():
        found = ak.concatenate([chunk.columns[name] for chunk in chunks])
        if isinstance(values[0], list):
            assert ak.num(found).to_list() == [len(one) for one in values], name
            found, values = ak.flatten(found), [one for some in values for one in some]
        np.testing.assert_allclose(found, values, rtol=0, atol=1e-13, err_msg=name)
    assert [chunk.num_rows for chunk in chunks] == [len(chunk.columns["met"]) for chunk in chunks]
    return chunks


@pytest.mark.parametrize("step", [None, 64, 7, 1])
@pytest.mark.parametrize("of", [{"index": "Track_jetIdx"}, {"radius": 0.9}])
def test_rows_are_those_of_a_loop(of: Event, step: int | None, tmp_path: Path) -> None:
    events = make_events(200)
    rows = {"selection": SELECTION, "members": {"Track": of}}
    path = write(tmp_path / "a.root", events)
    expected = by_loops(events, of, selection=SELECTION)
    chunks = check(path, expected, step, rows)
    with open_ntuple(path, "t") as ntuple:
        view = rows_of(ntuple, config(**rows))
        kinds = {name: view.branches[name].kind for name in view.main_branches if not name.startswith("n")}
    assert chunks[0].columns["Jet_index"].dtype == np.int32
    assert kinds == {
        **dict.fromkeys(["event", "met", "Jet_index", *JETS], "scalar"),
        **dict.fromkeys(TRACKS, "vector"),
    }
    entries = np.concatenate([chunk.entries for chunk in chunks])
    assert entries.tolist() == expected["Entry$"]


@pytest.mark.parametrize("ending", ["root", "rntuple", "parquet"])
def test_members_of_several_rows(ending: str, tmp_path: Path) -> None:
    """An index may be a list for each member, under any name; a list that says a row twice counts once."""
    events = make_events(200, seed=1)
    members = {"index": "ownersOfTracks"}
    path = write_nested(tmp_path / f"a.{ending}", events)
    check(path, by_loops(events, members), 33, {"members": {"Track": members}})
    with open_ntuple(path, "t") as ntuple:
        assert "ownersOfTracks" not in rows_of(ntuple, config()).main_branches


@pytest.mark.parametrize("relative", ["row", "leading", None])
@pytest.mark.parametrize("order", [{"sort": "Jet_pt"}, {"sort": "-Jet_pt", "ascending": True}, {}])
@pytest.mark.parametrize("of", [{"index": "ownersOfTracks"}, {"index": "Track_jetIdx"}, {"radius": 1.2}])
def test_members_are_selected_sorted_cut_and_relative(
    of: Event, order: Event, relative: str | None, tmp_path: Path
) -> None:
    """The selection of members may use branches of the row and of the event."""
    events = make_events(200, seed=2)
    members = {**of, **ALL_KEYS, **({"relative": relative} if relative else {})}
    rows = {"selection": SELECTION, **order, "members": {"Track": members}}
    expected = by_loops(events, members, selection=SELECTION, **({"sort": ""} if order else {}))
    check(write_nested(tmp_path / "a.rntuple", events), expected, 50, rows)


@pytest.mark.parametrize("radius", [{"radius": 1.5}, {}])
@pytest.mark.parametrize("selection", [{"selection": "LLP_pt > met"}, {}])
@pytest.mark.parametrize("mode", [{}, {"nearest_to": "match"}, {"nearest_to": "match", "repeated": True}])
def test_rows_are_matched(mode: Event, selection: Event, radius: Event, tmp_path: Path) -> None:
    """Of equally near ones the first counts, in the order of the rows; members follow their row."""
    events = make_events(300, seed=3)
    match = mode | selection | radius
    members = {"index": "Track_jetIdx", "sort": "Track_pt", "ascending": True}
    expected = by_loops(events, members, match, selection=SELECTION, sort="Jet_pt")
    rows = {"selection": SELECTION, "sort": "Jet_pt", "members": {"Track": members}}
    check(write(tmp_path / "a.root", events), expected, 41, rows, match)


def test_scores_go_back_to_the_objects_of_the_events(tmp_path: Path) -> None:
    events = make_events(100)
    with open_ntuple(write(tmp_path / "a.root", events), "t") as ntuple:
        chunks = list(rows_of(ntuple, config(selection=SELECTION)).chunks(["Jet_pt"], 30))
    lists = [chunk.objects.per_event(chunk.columns["Jet_pt"], -9) for chunk in chunks if chunk.objects is not None]
    assert ak.concatenate(lists).to_list() == [
        [pt if pt > -0.5 and event["met"] < 1 else -9 for pt in event["Jet_pt"]] for event in events
    ]


def test_an_event_without_objects_and_a_file_without_events(tmp_path: Path) -> None:
    members = {"Track": {"index": "Track_jetIdx", "sort": "Track_pt", "relative": "leading"}}
    for number in (1, 0):
        with new_tree_file(tmp_path / f"{number}.root") as file:
            types = {name: f"vector of {type_of(name)}" for name in (*JETS, *TRACKS, *LLPS)}
            file.tree("t", types).extend(dict.fromkeys(types, ak.Array([[1], []])[1 : 1 + number]))
        with open_ntuple(tmp_path / f"{number}.root", "t") as ntuple:
            view = rows_of(ntuple, config(sort="Jet_pt", members=members), match=MatchConfig(objects="LLP"))
            chunks = list(view.chunks(["Jet_pt", "Track_pt", "Track_phi"]))
        assert [(chunk.num_rows, len(chunk.columns["Track_pt"])) for chunk in chunks] == [(0, 0)] * number


def test_collections_of_other_files(tmp_path: Path) -> None:
    """Fields of a collection of an RNTuple, and datasets of one shape: `Jet.pt` is `Jet_pt`; images of jets."""
    events = make_events(60)
    fields = {
        one: ak.zip({name.partition("_")[2]: [event[name] for event in events] for name in names})
        for one, names in (("Jet", JETS), ("Track", TRACKS))
    }
    with uproot.recreate(tmp_path / "a.root") as file:
        file["t"] = {**fields, "met": np.array([event["met"] for event in events])}
    members = {"index": "Track_jetIdx", "relative": "row"}
    expected = by_loops(events, members)
    with open_ntuple(tmp_path / "a.root", "t") as ntuple:
        (chunk,) = rows_of(ntuple, config(members={"Track": members})).chunks(["Jet.pt", "Jet_eta", "met", "Track.phi"])
    for name, other in (("Jet.pt", "Jet_pt"), ("Jet_eta", "Jet_eta"), ("met", "met")):
        assert chunk.columns[name].tolist() == expected[other]
    np.testing.assert_allclose(
        ak.flatten(chunk.columns["Track.phi"]), np.concatenate(expected["Track_phi"]), atol=1e-13
    )
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
        ({"sort": "Jet_p"}, {}, "rows.sort: column 1: no branch 'Jet_p' in "),
        ({**of_tracks(), "sort": "Track_pt"}, {}, 'rows.sort: "Track_pt" has one value for each element of '),
        (
            {"members": {"Track": {"index": "Track_pt"}}},
            {},
            "rows.members.Track.index: branch 'Track_pt' of tree 't' of PATH is of type double[]; an index is a list "
            "of integers for each event, or a list of such lists",
        ),
        (
            of_tracks(relative={"eta": "Track_jetIdx"}),
            {},
            "rows.members.Track.relative: branch 'Track_jetIdx' of tree 't' of PATH is of type int64_t[]; η and φ are "
            "floating-point numbers",
        ),
        (
            of_tracks(relative={"phi": ["Track_phi", "Jet_phi"]}),
            {},
            "rows.members.Track.relative: branch 'Jet_phi' of tree 't' of PATH is no list of the collection 'Track'",
        ),
        (of_tracks(relative={"eta": "Track_et"}), {}, "rows.members.Track.relative: no branch 'Track_et' in tree "),
        (of_tracks(selection="Track_p > 2"), {}, "rows.members.Track.selection: column 1: no branch 'Track_p' in "),
        (
            {"members": {**of_tracks()["members"], "LLP": {"radius": 1, "sort": "LLP_pt * Sum$(Track_pt)"}}},
            {},
            "rows.members.LLP.sort: branch 'Track_pt' is of the collection 'Track'; a formula of 'LLP' may use "
            "branches of 'LLP' and 'Jet', and of the event",
        ),
        ({"match": {"objects": "Muon"}}, {}, "processes.a.match: no branch 'Muon_eta' in tree 't' of PATH"),
        ({"match": {"objects": "LPL"}}, {}, "processes.a.match.objects: no lists 'LPL_…' or 'LPL.…' in tree 't' of"),
        ({"match": {"objects": "Jet"}}, {}, "processes.a.match.objects: 'Jet' is rows or members already"),
        (
            {"match": {"objects": "LLP", "selection": "Jet_index > 1"}},
            {},
            "processes.a.match.selection: branch 'Jet_index' is of the collection 'Jet'; a formula of 'LLP' may use",
        ),
        (
            {"match": {"objects": "LLP"}, "selection": "LLP_pt > 1"},
            {},
            "rows.selection: branch 'LLP_pt' is of the collection 'LLP'; a formula of 'Jet' may use branches of",
        ),
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
    lists = {**{name: [1.0] for name in (*JETS, *LLPS)}, **{name: [0.0, 0.0] for name in TRACKS}}
    events = [event | lists for _ in range(3)]
    events[0] |= {name: [1.0, 2.0] for name in JETS}
    events[1] |= {name: [0] for name in TRACKS}
    path = write(tmp_path / "a.root", events, **changes)
    names = ["Jet_pt", "Jet_eta", *(["Track_pt"] if keys.get("members") else [])]
    match = None if "match" not in keys else MatchConfig.model_validate(keys["match"])
    rows = config(**{key: value for key, value in keys.items() if key != "match"})
    with pytest.raises(NtuplemlError) as caught, open_ntuple(path, "t") as ntuple:
        list(rows_of(ntuple, rows, "rows", match, "processes.a.match").chunks(names, 2))
    assert expected.replace("PATH", str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        (
            [[0], [0, 2]],
            "entry 1: branch 'ownersOfTracks' is 2, but there are 2 objects of 'Jet'; an index counts from 0",
        ),
        (
            [[0]],
            "entry 1: 'Track_pt' has 2 values, but 'ownersOfTracks' has 1; branches of the collection 'Track' need",
        ),
    ],
)
def test_a_bad_list_of_lists_is_one_line(owners: list[list[int]], expected: str, tmp_path: Path) -> None:
    event = {"Jet_pt": [1.0, 2.0], "Track_pt": [3.0, 4.0], "ownersOfTracks": [[0], [1, 0]]}
    path = write_nested(tmp_path / "a.rntuple", [event, event | {"ownersOfTracks": owners}])
    rows = config(members={"Track": {"index": "ownersOfTracks"}})
    with pytest.raises(NtuplemlError) as caught, open_ntuple(path, "t") as ntuple:
        list(rows_of(ntuple, rows).chunks(["Track_pt"]))
    assert str(caught.value).startswith(f"tree 't' of {path}: {expected}")


def test_the_longest_name_of_a_collection_counts(tmp_path: Path) -> None:
    event = {"Jet_pt": [1.0, 2.0], "Jet_sub_pt": [1.0, 2.0, 3.0], "Jet_sub_jetIdx": [1, 1, -1]}
    write(tmp_path / "a.root", [event])
    with open_ntuple(tmp_path / "a.root", "t") as ntuple:
        view = rows_of(ntuple, config(members={"Jet_sub": {"index": "Jet_sub_jetIdx"}}))
        (chunk,) = view.chunks(["Jet_pt", "Jet_sub_pt"])
    assert ak.to_list(chunk.columns["Jet_sub_pt"]) == [[], [1.0, 2.0]]
