"""Steps of slots against plain loops over objects, in NumPy, Keras and ONNX."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ntupleml.config.slots import SlotsGroupConfig
from ntupleml.features.arrays import NUMPY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.features.slots import SlotMaker

    Object = list[float]
    Event = dict[str, list[Object]]

SLOTS = {"jets": 3, "electrons": 2, "muons": 2, "photons": 2, "met": 1}
#: Removed, near, radius: in this order.
RULES = [
    ("muons", "electrons", 0.2),
    ("photons", "electrons", 0.4),
    ("photons", "muons", 0.4),
    ("jets", "electrons", 0.2),
    ("electrons", "jets", 0.4),
    ("jets", "muons", 0.2),
    ("muons", "jets", 0.4),
    ("photons", "jets", 0.4),
]
THRESHOLDS = {"jets": 50.0, "electrons": 30.0, "photons": 20.0}


def maker_of(*steps: Any, **changes: Any) -> SlotMaker:
    return SlotsGroupConfig.model_validate({"slots": SLOTS, "column": "x", "steps": list(steps), **changes}).maker


def delta_r(one: Object, other: Object) -> float:
    return math.hypot(one[1] - other[1], math.remainder(one[2] - other[2], 2 * math.pi))


def close(value: float, *limits: float) -> bool:
    return any(abs(value - limit) < 1e-4 for limit in limits)


def clear(event: Event) -> bool:
    """Whether no distance is so near to a radius that single precision could see it otherwise."""
    objects = [one for name in event if name != "met" for one in event[name]]
    return not any(close(delta_r(one, other), 0.05, 0.2, 0.4) for one in objects for other in objects)


def overlap_removed(event: Event) -> Event:
    event = {name: [list(one) for one in objects] for name, objects in event.items()}
    for removed, near, radius in RULES:
        for one in event[removed]:
            if one[0] and any(other[0] and delta_r(one, other) < radius for other in event[near]):
                one[:] = [0, 0, 0]
    for name, objects in event.items():
        for one in objects:
            if one[0] == 0 and name != "met":
                one[:] = [0, 0, 0]
    return event


def duplicates_removed(event: Event) -> Event:
    """Of two, the later."""
    return {
        name: [
            [0, 0, 0] if any(other[0] and delta_r(one, other) < 0.05 for other in objects[:place]) else one
            for place, one in enumerate(objects)
        ]
        for name, objects in event.items()
    }


def relative(event: Event) -> Event:
    first = event["jets"][0][2]

    def turned(one: Object) -> Object:
        angle = math.remainder(one[2] - first, 2 * math.pi)
        return [one[0], one[1], 0 if one[0] == 0 else angle]

    return {name: [turned(one) for one in objects] for name, objects in event.items()}


def above(event: Event) -> Event:
    return {
        name: [[0, 0, 0] if one[0] < THRESHOLDS.get(name, 0) else one for one in objects]
        for name, objects in event.items()
    }


def per_event(event: Event) -> Event:
    total = sum(one[0] for objects in event.values() for one in objects)
    return {name: [[one[0] * 10 / (total + 1e-6), *one[1:]] for one in objects] for name, objects in event.items()}


def hardware(event: Event) -> Event:
    def units(name: str, one: Object) -> Object:
        factor = 10_000 if name == "muons" else 10
        return [one[0] * factor, one[1] * 40, round((one[2] % (2 * math.pi)) * 128 / (2 * math.pi)) % 128]

    return {name: [units(name, one) for one in objects] for name, objects in event.items()}


STEPS: dict[str, tuple[Any, Callable[[Event], Event]]] = {
    "overlap_removal": ("overlap_removal", overlap_removed),
    "duplicate_removal": ("duplicate_removal", duplicates_removed),
    "delta_phi": ("delta_phi", relative),
    "thresholds": ({"thresholds": THRESHOLDS}, above),
    "per_event": ({"scale_pt": "per_event"}, per_event),
    "hardware_units": ("hardware_units", hardware),
}

single = partial(st.floats, width=32, allow_nan=False)
an_object = st.tuples(
    st.one_of(st.just(0.0), single(1, 200)), single(-1, 1), st.one_of(single(-0.5, 0.5), single(-3.125, 3.125))
)
an_event = st.fixed_dictionaries(
    {name: st.lists(an_object.map(list), min_size=number, max_size=number) for name, number in SLOTS.items()}
)


def as_raw(events: list[Event]) -> NDArray[np.float32]:
    return np.array([[one for name in SLOTS for one in event[name]] for event in events], np.float32).reshape(
        len(events), -1
    )


def as_events(raw: NDArray[np.float32]) -> list[Event]:
    """The numbers as single precision has them."""
    found = []
    for row in raw.reshape(len(raw), -1, 3).astype(float).tolist():
        objects = iter(row)
        found.append({name: [next(objects) for _ in range(number)] for name, number in SLOTS.items()})
    return found


def numbers(maker: SlotMaker, arrays: Any, raw: Any) -> Any:
    return maker.numbers(maker.events(arrays, raw))


@pytest.mark.parametrize("name", STEPS)
@given(events=st.lists(an_event, min_size=1, max_size=8))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
def test_a_step_does_what_a_loop_over_objects_does(name: str, events: list[Event]) -> None:
    step, reference = STEPS[name]
    raw = as_raw(events)
    events = as_events(raw)
    assume(all(map(clear, events)))
    if name == "hardware_units":  # halves of a step may be rounded either way
        phis = [one[2] % (2 * math.pi) * 64 / math.pi for event in events for some in event.values() for one in some]
        assume(not any(close(phi % 1, 0.5) for phi in phis))
    found = numbers(maker_of(step), NUMPY, raw)
    expected = as_raw([reference(event) for event in events])
    if name == "delta_phi":  # π and -π are the same angle
        found, expected = (np.where(np.abs(np.abs(one) - math.pi) < 1e-5, math.pi, one) for one in (found, expected))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@pytest.fixture(scope="module")
def events() -> NDArray[np.float32]:
    """Events with near objects, empty slots, and numbers that are unknown."""
    random = np.random.default_rng(4)
    raw = np.zeros((400, 10, 3), np.float32)
    raw[..., 0] = random.exponential(50, raw.shape[:2]) * (random.random(raw.shape[:2]) < 0.8)
    raw[..., 1:] = random.normal(0, 0.3, (*raw.shape[:2], 2))
    raw[:50, :, 2] += math.pi
    raw[0, 9], raw[1, 9], raw[2, 9] = (-999, 0, 0), (20, 0, np.nan), (0, 0, np.nan)
    raw[3, 0], raw[4, 4], raw[5, 2, 1], raw[6, 9, 0] = (np.nan, 1, 1), (-999, 1, 1), np.inf, np.nan
    return raw.reshape(len(raw), -1)


ALL = [
    [
        "delta_phi",
        "overlap_removal",
        "duplicate_removal",
        "met",
        {"thresholds": {"jets": 30}},
        {"scale_pt": "per_event"},
    ],
    ["met", {"delta_phi": {"to": "muons"}}, {"scale_pt": {"type": "global_division", "factor": 0.1}}],
    ["hardware_units", {"powers_of_two": {"exponents": [*range(-15, 15)]}}],
    ["hardware_units", {"hardware_units": {"back": True}}],
    [
        {"overlap_removal": {"photons_near_jets": 0.0, "muons_near_electrons": 1.0}},
        {"duplicate_removal": {"radius": 0.5}},
    ],
]


@pytest.mark.parametrize("steps", ALL, ids=lambda steps: str(steps[0]))
def test_the_graph_and_keras_compute_the_same(
    steps: list[Any], events: NDArray[np.float32], in_onnx: Callable[..., NDArray[Any]]
) -> None:
    from ntupleml.models.layers import SlotSteps

    maker = maker_of(*steps)
    with np.errstate(invalid="ignore"):
        expected = numbers(maker, NUMPY, events)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(in_onnx(partial(numbers, maker), events, np.float32), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.asarray(SlotSteps(SLOTS, steps)(events)), expected, rtol=1e-6, atol=1e-6)


def test_what_is_unknown(events: NDArray[np.float32]) -> None:
    """Missing energy has its rule; any other object with a number that is none is no object, whatever the steps."""
    plain = numbers(maker_of(), NUMPY, events).reshape(-1, 10, 3)
    assert not plain[[0, 1, 2, 3, 4, 5, 6], [9, 9, 9, 0, 4, 2, 9]].any()
    by_rule = numbers(maker_of("met"), NUMPY, events).reshape(-1, 10, 3)[:, 9]
    assert not by_rule[[0, 1, 2, 6]].any()
    zero = np.zeros((1, 30), np.float32)
    assert numbers(maker_of("met"), NUMPY, zero)[0, -3:].tolist() == [np.float32(0.001), 0, 0]
    after = numbers(maker_of("delta_phi", "met"), NUMPY, events).reshape(-1, 10, 3)[2, 9]
    assert after.tolist() == [np.float32(0.001), 0, 0]  # without pT it has no angle that could be unknown
    raw = numbers(maker_of(raw=True), NUMPY, events)
    np.testing.assert_array_equal(raw, events)


def test_what_a_network_gets() -> None:
    maker = maker_of()
    assert maker.number == 30
    assert maker.columns[:4] == ["jets_0_pt", "jets_0_eta", "jets_0_phi", "jets_1_pt"]
    objects = maker_of(flat=False)
    assert objects.columns == ["pt", "eta", "phi", *(f"is_{name}" for name in SLOTS)]
    assert objects.type_of_slots.argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4]
    met = {"objects": ["met", None, "met_phi"], "number": 1}
    alone = SlotsGroupConfig.model_validate({"slots": {"jets": {"column": "j", "number": 1}, "met": met}}).maker
    assert alone.columns == ["jets_0_pt", "jets_0_eta", "jets_0_phi", "met_0_pt", "met_0_phi"]
    raw = np.arange(6, dtype=np.float32)[np.newaxis]
    assert numbers(alone, NUMPY, raw).tolist() == [[0, 1, 2, 3, 5]]
    assert alone.filled(alone.events(NUMPY, raw)).tolist() == [[0, 1]]


def test_hardware_units_and_back(events: NDArray[np.float32]) -> None:
    """pT and η come back, φ to half a step of 2π/128, in [-π, π)."""
    maker = maker_of("hardware_units", {"hardware_units": {"back": True}})
    given = numbers(maker_of(), NUMPY, events).reshape(-1, 3)
    found = numbers(maker, NUMPY, events).reshape(-1, 3)
    np.testing.assert_allclose(found[:, :2], given[:, :2], rtol=1e-6)
    turns = np.abs(np.remainder(found[:, 2] - given[:, 2] + math.pi, 2 * math.pi) - math.pi)
    assert turns.max() <= math.pi / 128 + 1e-5
    assert found[:, 2].min() >= -math.pi - 1e-6
    assert found[:, 2].max() < math.pi
