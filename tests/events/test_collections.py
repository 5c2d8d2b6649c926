"""Several collections become one list of objects: against loops over the objects of each event in plain Python."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ntupleml.config.inputs import InputsConfig
from ntupleml.config.loading import first_problem
from ntupleml.config.training import TrainingConfig
from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.events.evaluation import read_inputs
from ntupleml.events.groups import described, groups_of, numbers_of_columns
from ntupleml.events.values import joined

if TYPE_CHECKING:
    from ntupleml.config.inputs import GroupConfig

LEPTONS = [
    {"pt": "el_pt", "eta": "el_eta", "phi": "el_phi", "energy": "el_e", "selection": "el_pt > 10", "length": 1},
    {"pt": "mu_pt", "eta": "mu_eta", "phi": "mu_phi", "energy": "mu_e", "length": 2},
]
JETS = {"pt": "jet_pt", "eta": "jet_eta", "phi": "jet_phi", "energy": "jet_e", "btag": "2*jet_b + 1"}
MET = {"pt": "met", "phi": "met_phi", "quality": "4"}
_KEYS = ("pt", "eta", "phi", "e", "b")
_NUMBER = st.one_of(st.sampled_from([0.0, 10.0, 20.0]), st.floats(0, 100, width=32))
_OBJECTS = st.lists(st.tuples(*[_NUMBER] * 5), max_size=5)
_EVENT = st.tuples(_OBJECTS, _OBJECTS, _OBJECTS, st.tuples(_NUMBER, _NUMBER))


def inputs_of(**groups: Any) -> dict[str, GroupConfig]:
    return TypeAdapter(InputsConfig).validate_python(groups)


def columns_of(events: list[Any]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for index, name in enumerate(("el", "mu", "jet")):
        counts = np.array([len(event[index]) for event in events], np.int64)
        flat = np.array([one for event in events for one in event[index]], np.float32).reshape(-1, 5)
        columns |= {f"{name}_{key}": ak.unflatten(flat[:, i], counts) for i, key in enumerate(_KEYS)}
    columns["met"], columns["met_phi"] = np.array([event[3] for event in events], np.float32).reshape(-1, 2).T
    return columns


def expected_objects(event: Any, sort: bool, length: int | None, total: int | None) -> list[list[float]]:
    """Objects of one event as rows of pt, eta, phi, energy, btag, quality, type."""
    electrons, muons, jets, (met, met_phi) = event
    leptons = [one for one in electrons if one[0] > 10][:1] or muons[:2]
    if sort:
        jets = sorted(jets, key=lambda one: -one[0])
    found = [[*one[:4], 0, 0, 0] for one in leptons]
    found += [[*one[:4], 2 * one[4] + 1, 0, 1] for one in jets[:length]]
    found += [[met, 0, met_phi, met, 0, 4, 2]] if met != 0 else []
    return found[:total]


@settings(deadline=None, max_examples=60)
@given(
    events=st.lists(_EVENT, min_size=1, max_size=8),
    sort=st.booleans(),
    length=st.one_of(st.none(), st.integers(1, 4)),
    total=st.one_of(st.none(), st.integers(1, 4)),
    data=st.data(),
)
def test_objects_are_those_of_a_plain_loop(
    events: list[Any], sort: bool, length: int | None, total: int | None, data: st.DataObject
) -> None:
    """The first kind of lepton that is there, sorted and cut jets, and the missing energy where it is not zero."""
    jets = {**JETS, **({"sort": "jet_pt"} if sort else {}), **({"length": length} if length else {})}
    group = {"collections": {"lepton": LEPTONS, "jet": jets, "met": MET}} | ({"length": total} if total else {})
    (described_group,) = groups = groups_of(inputs_of(objects=group))
    assert described_group.variables == ("pt", "eta", "phi", "energy", "btag", "quality", "type")
    assert groups_of(inputs_of(**described(groups))) == groups
    columns = columns_of(events)
    border = data.draw(st.integers(0, len(events)))
    halves = [
        read_inputs(groups, {name: column[part] for name, column in columns.items()}, number, "in.root")
        for part, number in ((slice(border), border), (slice(border, None), len(events) - border))
    ]
    wanted = [expected_objects(event, sort, length, total) for event in events]
    cut = sum(len(event[2]) - length for event in events if length and len(event[2]) > length)
    for values in (read_inputs(groups, columns, len(events), "in.root"), joined(halves)):
        batch = values.batch()
        assert batch["objects_length"].tolist() == list(map(len, wanted))
        padded = np.zeros_like(batch["objects"])
        for row, objects in zip(padded, wanted, strict=True):
            row[: len(objects)] = np.array(objects).reshape(-1, 7)
        np.testing.assert_allclose(batch["objects"], padded, rtol=1e-6)
        assert values.groups["objects"].cut.get("jet", 0) == cut  # type: ignore[union-attr]


SLOTS = {"pt": "jet_pt_{i}", "eta": "jet_eta_{i}", "phi": "0.5", "mass": "jet_m_{i}", "slots": [2, 4]}
FLAT = {
    "jet_pt": [[5.0, 0.0, 7.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]],
    "jet_eta": [[0.5, 9.0, -0.5], [9.0, 9.0, 9.0], [1.0, 2.0, 3.0]],
    "jet_m": [[1.0, 9.0, 2.0], [9.0, 9.0, 9.0], [1.0, 2.0, 3.0]],
}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, [[5, 7], [], [1, 2, 3]]),
        ({"sort": "jet_pt_{i}", "length": 2}, [[7, 5], [], [3, 2]]),
        ({"selection": "jet_eta_{i} > 1 || jet_m_{i} == 2"}, [[7], [], [2, 3]]),
    ],
)
def test_slots_of_a_flat_table(changes: dict[str, Any], wanted: list[list[float]]) -> None:
    """A slot with pt 0 holds no object; one collection alone has no type."""
    columns = {f"{name}_{i + 2}": np.array(rows)[:, i] for name, rows in FLAT.items() for i in range(3)}
    groups = groups_of(inputs_of(jets={"collections": {"jet": {**SLOTS, **changes}}}))
    batch = read_inputs(groups, columns, 3, "in.root").batch()
    assert batch["jets_length"].tolist() == list(map(len, wanted))
    for row, pt, objects in zip(batch["jets"], FLAT["jet_pt"], wanted, strict=True):
        np.testing.assert_array_equal(row[: len(objects), 0], objects)
        event = FLAT["jet_pt"].index(pt)
        slots = [pt.index(one) for one in objects]
        for key, index in (("jet_eta", 1), ("jet_m", 3)):
            np.testing.assert_array_equal(row[: len(objects), index], [FLAT[key][event][slot] for slot in slots])
        np.testing.assert_array_equal(row[: len(objects), 2], 0.5)
        np.testing.assert_array_equal(row[len(objects) :], 0)


def test_the_energy_that_a_collection_lacks_is_that_of_mass_zero() -> None:
    photon = {"pt": "pt", "eta": "eta", "phi": "phi"}
    columns = {name: ak.Array([[float(index + 1)], []]) for index, name in enumerate(("pt", "eta", "phi", "e"))}
    both = {"collections": {"jet": {**photon, "energy": "e"}, "photon": photon}}
    batch = read_inputs(groups_of(inputs_of(all=both)), columns, 2, "in.root").batch()
    np.testing.assert_allclose(batch["all"][0, :, 3], [4, math.cosh(2)], rtol=1e-6)


def test_values_that_are_missing_are_counted_or_replaced() -> None:
    group = inputs_of(met={"collections": {"met": {"pt": "met", "phi": "phi"}}})
    columns = {"met": np.array([1.0, np.nan, 0.0]), "phi": np.array([np.inf, 2.0, np.nan])}
    values = read_inputs(groups_of(group), columns, 3, "in.root")
    assert [(one.variable, one.number, one.total) for one in values.groups["met"].missing()] == [
        ("pt", 1, 2),
        ("phi", 1, 2),
    ]
    with pytest.raises(MissingInputError, match=r"variable 'phi' is NaN or infinite in 1 of 2"):
        read_inputs(groups_of(group), columns, 3, "in.root", finite=["phi"])
    replaced = read_inputs(groups_of(group, -9.0), columns, 3, "in.root").batch()["met"]
    np.testing.assert_array_equal(replaced[:, 0, :3], [[1, 0, -9], [-9, 0, 2], [0, 0, 0]])


def test_columns_that_a_network_gets() -> None:
    """Of objects the features, of combinations their number."""
    group = {
        "collections": {"jet": JETS, "met": MET},
        "features": ["px", "log_energy", "btag", "is_met", "type"],
        "one_hot": {"btag": [1, 2, 3]},
    }
    groups = inputs_of(n=["x"], all=group, shapes={"of": "all", "collections": ["jet"], "combinations": ["ht"]})
    assert numbers_of_columns(groups) == {"n": 1, "all": 1 + 1 + 3 + 1 + 2, "shapes": 1}
    assert [one.name for one in groups_of(groups)] == ["n", "all"]


def test_slots_of_lists_are_refused() -> None:
    columns = {"a": ak.Array([[1.0], []])}
    group = groups_of(inputs_of(jets={"collections": {"jet": {"pt": "a*{i}", "phi": "0", "slots": [1, 2]}}}))
    with pytest.raises(NtuplemlError, match=r"'a\*1' has several values per event; slots are for"):
        read_inputs(group, columns, 2, "in.root")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"collections.jet.selction": "pt > 1"}, r"jet: 'selction' is no key; nearest: 'selection'"),
        ({"collections.jet.log_x": "x"}, r"jet: 'log_x' is a feature that is computed"),
        ({"collections.jet.mass": "m"}, r"jet: energy and mass stand side by side"),
        ({"collections.met.mass": "m"}, "some give the energy and others the mass"),
        ({"collections.jet.pt": "pt_{i}"}, r"jet: pt: 'pt_\{i\}' has \{i\}, but slots is not given"),
        ({"collections.jet.slots": [1, 3]}, r"jet: slots: \{i\} is missing in pt: 'jet_pt'"),
        ({"collections.jet.slots": [3, 1], "collections.jet.pt": "pt_{i}"}, "slots: 3 is not below 1"),
        ({"collections.jet.phi": None}, r"jet\.phi"),
        ({"features": ["px", "pseudorapidty"]}, "features: no feature 'pseudorapidty'; nearest: 'rapidity'"),
        ({"features": ["log_ptt"]}, "features: no feature 'log_ptt'; nearest: 'log_pt'"),
        (
            {"collections.jet": [dict(JETS), {"pt": "a", "phi": "b", "sorte": "c"}]},
            r"jet\[1\]: 'sorte' is no key; nearest: 'sort'",
        ),
        ({"features": ["is_jets"]}, r"no feature 'is_jets'; nearest: 'is_jet'"),
        ({"one_hot": {"btga": [1]}}, r"one_hot: no column 'btga' in the collections; nearest: 'btag'"),
        ({"one_hot": {"btag": [1]}, "features": ["px"]}, "one_hot: 'btag' is not among the features"),
        ({"collections": {}}, "collections: holds nothing"),
        ({"numbers": ["x"]}, "numbers and collections stand side by side"),
        ({"shapes": {"of": "object", "combinations": ["ht"]}}, r"shapes.of: no group 'object'; nearest: 'objects'"),
        ({"shapes": {"of": "event", "combinations": ["ht"]}}, "shapes.of: 'event' has no collections"),
        ({"shapes": {"of": "objects", "combinations": ["htt"]}}, r"no combination 'htt'; nearest: 'ht'"),
        (
            {"shapes": {"of": "objects", "combinations": ["ht"], "collections": ["jets"]}},
            r"shapes.collections: no collection 'jets' in objects; nearest: 'jet'",
        ),
        ({"objects_vectors": ["x"]}, "'objects_vectors' is what the four-vectors of 'objects' is called"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change: dict[str, Any], message: str) -> None:
    group: dict[str, Any] = {"collections": {"jet": dict(JETS), "met": dict(MET)}}
    groups: dict[str, Any] = {"event": ["x"], "objects": group}
    for path, value in change.items():
        *parents, key = path.split(".")
        place = groups if key.startswith(("shapes", "objects_")) else group
        for parent in parents:
            place = place[parent]
        place[key] = value
    with pytest.raises(ValidationError) as error:
        TrainingConfig.model_validate(
            {"datasets": ["a", "b"], "output_path": "o", "classes": ["a", "b"], "inputs": groups}
        )
    said = first_problem(error.value, TrainingConfig)
    assert re.search(message, said) is not None, said
    assert said.startswith("inputs")
    assert "\n" not in said
