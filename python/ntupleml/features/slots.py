"""Steps of preprocessing of slots, a fixed number of objects of each type: formulas on slots × events, by name.

Events stand along the last axis, so that each operation runs over long rows. Masks are numbers, 1 or 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ntupleml.features.arrays import Array, Arrays

    Settings = Mapping[str, Any]

#: Numbers of an object.
COLUMNS = ("pt", "eta", "phi")
#: pT of an object that is unknown.
UNKNOWN = -999.0
#: Missing energy that is exactly 0 becomes this, so that it counts as an object.
LEAST_MET = 0.001
#: Larger numbers are infinite in single precision.
_LARGEST = float(np.finfo(np.float32).max)
#: Rules of the overlap removal in their order: which type is removed, near which; each has a radius of its own.
OVERLAP_RULES = (
    ("muons", "electrons"),
    ("photons", "electrons"),
    ("photons", "muons"),
    ("jets", "electrons"),
    ("electrons", "jets"),
    ("jets", "muons"),
    ("muons", "jets"),
    ("photons", "jets"),
)


class SlotTypes(NamedTuple):
    """Types of objects in their order, and how many slots each has."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def total(self) -> int:
        """All slots."""
        return sum(self.numbers)

    def places(self, name: str) -> list[int]:
        """Slots of a type."""
        index = self.names.index(name)
        start = sum(self.numbers[:index])
        return list(range(start, start + self.numbers[index]))

    def of_each(self, values: Mapping[str, float], default: float) -> Array:
        """A number of each type's as one of each slot, shape (slots, 1)."""
        numbers = [values.get(name, default) for name in self.names]
        return np.repeat(np.array(numbers, np.float32), self.numbers)[:, np.newaxis]


class SlotEvents:
    """Events while steps act on them: arrays of slots × events. What is removed has pT 0."""

    def __init__(self, arrays: Arrays, types: SlotTypes, pt: Array, eta: Array, phi: Array) -> None:
        self.arrays, self.types = arrays, types
        self.pt, self.eta, self.phi = pt, eta, phi

    def exists(self, pt: Array) -> Array:
        """1 where pT is not 0."""
        return 1.0 - self.arrays.indicator(self.arrays.equal(pt, 0.0))

    def keep(self, mask: Array) -> None:
        """Leave only objects where the mask is 1; what is not finite stays so, and is for `met`."""
        self.pt, self.eta, self.phi = self.pt * mask, self.eta * mask, self.phi * mask

    def squares_of_delta_r(self, first: Sequence[int], second: Sequence[int]) -> Array:
        """Δη² + Δφ² of pairs of slots, pairs × events; angles are at most 3π apart."""
        a = self.arrays
        deta = a.take(self.eta, first) - a.take(self.eta, second)
        dphi = a.abs(a.take(self.phi, first) - a.take(self.phi, second))
        dphi = a.minimum(dphi, a.abs(dphi - 2 * math.pi))
        return deta * deta + dphi * dphi


def wrapped(arrays: Arrays, angle: Array) -> Array:
    """An angle in [0, 2π): the remainder of a division by 2π, as floor division of floats has it."""
    rest = angle - 2 * math.pi * arrays.floor(angle / (2 * math.pi))
    # the quotient may be rounded up to a whole number
    return rest + 2 * math.pi * arrays.indicator(rest < 0.0)


def _known(events: SlotEvents, left: Sequence[str]) -> None:
    """Objects with a number that is not finite, or of which pT is -999, are none; some types are left as they are."""
    a = events.arrays
    known = _is_known(a, events.pt, events.eta, events.phi)
    if left:
        known = a.maximum(known, events.types.of_each(dict.fromkeys(left, 1.0), 0.0))
    is_known = known > 0.5
    events.pt, events.eta, events.phi = (a.where(is_known, one, 0.0) for one in (events.pt, events.eta, events.phi))


def _is_known(a: Arrays, pt: Array, eta: Array, phi: Array) -> Array:
    known = 1.0 - a.indicator(a.equal(pt, UNKNOWN))
    for one in (pt, eta, phi):
        known = known * a.indicator(a.abs(one) <= _LARGEST)
    return known


def _delta_phi(events: SlotEvents, settings: Settings) -> None:
    a = events.arrays
    first = events.types.places(settings.get("to") or events.types.names[0])[:1]
    relative = wrapped(a, events.phi - a.take(events.phi, first) + math.pi) - math.pi
    events.phi = a.where(a.equal(events.pt, 0.0), 0.0, relative)


def overlap_rules(types: SlotTypes, settings: Settings) -> list[tuple[str, str, float]]:
    """Rules of an overlap removal that act on these types: removed, near, radius."""
    rules = [(one, other, float(settings[f"{one}_near_{other}"])) for one, other in OVERLAP_RULES]
    return [rule for rule in rules if rule[0] in types.names and rule[1] in types.names and rule[2] > 0]


def _overlap_removal(events: SlotEvents, settings: Settings) -> None:
    a, types, rules = events.arrays, events.types, overlap_rules(events.types, settings)
    of_rules = [[(one, other) for one in types.places(rule[0]) for other in types.places(rule[1])] for rule in rules]
    rows = {pair: row for row, pair in enumerate(dict.fromkeys(_ordered(pair) for some in of_rules for pair in some))}
    squares = events.squares_of_delta_r(*zip(*rows, strict=True))
    wanted = [rows[_ordered(pair)] for some in of_rules for pair in some]
    sizes = [len(some) for some in of_rules]
    radii = np.repeat(np.array([rule[2] for rule in rules], np.float32), sizes)[:, np.newaxis]
    near_of_rules = a.split(a.indicator(a.take(squares, wanted) < radii * radii), sizes)
    alive = dict(zip(types.names, a.split(events.exists(events.pt), types.numbers), strict=True))
    others = {name: alive[name] * 0.0 + 1.0 for name in alive if all(name not in rule[:2] for rule in rules)}
    for (removed, other, _), near in zip(rules, near_of_rules, strict=True):
        number, others_number = len(types.places(removed)), len(types.places(other))
        counted = near * a.take(alive[other], list(range(others_number)) * number)
        each = np.kron(np.eye(number, dtype=np.float32), np.ones((1, others_number), np.float32))
        alive[removed] = alive[removed] * a.indicator(a.combine(each, counted) < 0.5)
    events.keep(a.join(list((alive | others).values())))


def _ordered(pair: tuple[int, int]) -> tuple[int, int]:
    return min(pair), max(pair)


def _duplicate_removal(events: SlotEvents, settings: Settings) -> None:
    a, types = events.arrays, events.types
    later = [(second, first) for name in types.names for first, second in combinations(types.places(name), 2)]
    if not later:
        return
    second, first = zip(*later, strict=True)
    is_near = events.squares_of_delta_r(first, second) < settings["radius"] ** 2
    counted = a.indicator(is_near) * a.take(events.exists(events.pt), first)
    of_each = (np.arange(types.total)[:, np.newaxis] == np.array(second)).astype(np.float32)
    events.keep(a.indicator(a.combine(of_each, counted) < 0.5))


def _met(events: SlotEvents, settings: Settings) -> None:
    a, types, name = events.arrays, events.types, settings["type"]
    (place,) = types.places(name)
    pt, eta, phi = (a.take(one, [place]) for one in (events.pt, events.eta, events.phi))
    is_zero, known = a.indicator(a.equal(pt, 0.0)), _is_known(a, pt, eta, phi)
    is_known, is_object = known > 0.5, known * (1.0 - is_zero) > 0.5
    changed = (
        a.where(is_known, pt + LEAST_MET * is_zero, 0.0),
        a.where(is_object, eta, 0.0),
        a.where(is_object, phi, 0.0),
    )
    before, after = list(range(place)), list(range(place + 1, types.total))

    def placed(values: Array, own: Array) -> Array:
        parts = [a.take(values, some) for some in (before, after) if some]
        parts.insert(1 if before else 0, own)
        return a.join(parts) if len(parts) > 1 else own

    events.pt, events.eta, events.phi = (
        placed(values, own) for values, own in zip((events.pt, events.eta, events.phi), changed, strict=True)
    )


def _thresholds(events: SlotEvents, settings: Settings) -> None:
    least = events.types.of_each(settings["pt"], -_LARGEST)
    events.keep(1.0 - events.arrays.indicator(events.pt < least))


def _scale_pt(events: SlotEvents, settings: Settings) -> None:
    """By a factor, or per event; what is fitted is a scaler."""
    if settings["type"] == "global_division":
        events.pt = events.pt * settings["factor"]
    elif settings["type"] == "per_event":
        total = events.arrays.expand(events.arrays.sum(events.pt, -2), -2)
        events.pt = events.pt * 10.0 / (total + 1e-6)


def _hardware_units(events: SlotEvents, settings: Settings) -> None:
    a, steps = events.arrays, settings["phi"]
    factors = events.types.of_each(settings["pt_of"], settings["pt"])
    if settings["back"]:
        events.pt, events.eta = events.pt / factors, events.eta / settings["eta"]
        turned = events.phi - steps * a.floor((events.phi + steps / 2) / steps)
        events.phi = turned * (2 * math.pi / steps)
        return
    events.pt, events.eta = events.pt * factors, events.eta * settings["eta"]
    phi = a.round(wrapped(a, events.phi) * steps / (2 * math.pi))
    events.phi = phi - steps * a.floor(phi / steps)


def _nothing(_events: SlotEvents, _settings: Settings) -> None:
    """What acts on the finished numbers: given exponents, and scalers."""


#: Functions by the names of the steps.
STEPS: dict[str, Callable[[SlotEvents, Settings], None]] = {
    "delta_phi": _delta_phi,
    "overlap_removal": _overlap_removal,
    "duplicate_removal": _duplicate_removal,
    "met": _met,
    "thresholds": _thresholds,
    "scale_pt": _scale_pt,
    "hardware_units": _hardware_units,
    "powers_of_two": _nothing,
}


@dataclass(frozen=True)
class SlotMaker:
    """Makes the numbers that a network gets of raw slots; plain data."""

    types: SlotTypes
    #: Blocks of settings, each with its name as ``step``.
    steps: tuple[Settings, ...] = ()
    #: For each type, which of pT, η and φ its objects have; by default all.
    has: tuple[tuple[bool, ...], ...] = ()
    #: Whether the numbers stand side by side.
    flat: bool = True
    #: Whether nothing at all is done to the numbers.
    raw: bool = False

    @property
    def _taken(self) -> list[int]:
        """Places in pT, then η, then φ of all slots, in the order of the finished numbers: object by object."""
        has = self.has if self.flat and self.has else ((True,) * 3,) * len(self.types.names)
        of_slots = [one for one, number in zip(has, self.types.numbers, strict=True) for _ in range(number)]
        total = self.types.total
        return [axis * total + slot for slot, one in enumerate(of_slots) for axis in range(3) if one[axis]]

    @property
    def number(self) -> int:
        """How many numbers are made of an event, and scaled."""
        return len(self._taken)

    @property
    def type_columns(self) -> list[str]:
        """Names of what says the type of an object."""
        return [] if self.flat or len(self.types.names) == 1 else [f"is_{name}" for name in self.types.names]

    @property
    def columns(self) -> list[str]:
        """Names of the flat numbers, or of those of an object."""
        if not self.flat:
            return [*COLUMNS, *self.type_columns]
        slots = [
            f"{name}_{slot}"
            for name, number in zip(self.types.names, self.types.numbers, strict=True)
            for slot in range(number)
        ]
        return [f"{slots[place % self.types.total]}_{COLUMNS[place // self.types.total]}" for place in self._taken]

    @property
    def fitted(self) -> str | None:
        """What events have to tell: a kind of `scale_pt`, or `powers_of_two`; None for nothing."""
        last = self.steps[-1] if self.steps else {}
        if last.get("step") == "scale_pt" and str(last["type"]).startswith("standard"):
            return str(last["type"])
        is_fitted = last.get("step") == "powers_of_two" and last["exponents"] is None
        return "powers_of_two" if is_fitted else None

    @property
    def keeps_zeros(self) -> bool:
        """Whether the scaler leaves 0 as it is."""
        return self.fitted == "standard_nonzero"

    @property
    def type_of_slots(self) -> Array:
        """1 where a slot is of a type, shape (slots, types); without columns where nothing says it."""
        return np.repeat(np.eye(len(self.types.names), dtype=np.float32), self.types.numbers, axis=0)[
            :, : len(self.type_columns)
        ]

    @property
    def is_pt(self) -> Array:
        """Which of the flat numbers are pT."""
        return np.array(self._taken) < self.types.total

    def events(self, arrays: Arrays, raw: Array) -> SlotEvents:
        """Slots after the steps.

        Parameters
        ----------
        raw : array, shape (events, 3 × slots)
            pT, η and φ of each slot, one slot after the other.
        """
        rows, total = arrays.transposed(raw), self.types.total
        pt, eta, phi = (arrays.take(rows, range(axis, 3 * total, 3)) for axis in range(3))
        events = SlotEvents(arrays, self.types, pt, eta, phi)
        if not self.raw:
            _known(events, [str(step["type"]) for step in self.steps if step["step"] == "met"])
        for step in self.steps:
            STEPS[step["step"]](events, step)
        return events

    def numbers(self, events: SlotEvents) -> Array:
        """Numbers of slots, object by object, before they are scaled by what events tell; events × number."""
        arrays = events.arrays
        made = arrays.take(arrays.join([events.pt, events.eta, events.phi]), self._taken)
        for step in self.steps:
            if step["step"] == "powers_of_two" and step["exponents"] is not None:
                made = made * np.exp2(-np.array(step["exponents"], np.float32))[:, np.newaxis]
        return arrays.transposed(made)

    def filled(self, events: SlotEvents) -> Array:
        """1 where an object is, else 0; events × slots."""
        return events.arrays.transposed(events.exists(events.pt))
