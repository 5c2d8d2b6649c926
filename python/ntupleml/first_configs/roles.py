"""What the branches of ntuples are for, told from their names, types and first values."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.sources import as_numpy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Entries of a tree that are looked at.
FIRST_ENTRIES = 20_000
#: Variables that are proposed at most; the others are named in a comment.
MOST_VARIABLES = 40
#: Objects of a collection whose properties become variables.
_OBJECTS = 2
_AT_A_TIME = 100

_EVENT_NAMES = ("event", "eventnumber", "eventid", "eventnr", "evt", "evtnumber", "evtnum", "evtid", "evtnr")
_WEIGHT_NAMES = (
    *("weight", "weights", "eventweight", "evtweight", "totalweight", "weighttotal"),
    *("genweight", "mcweight", "mceventweight", "generatorweight", "wgt"),
)
_BOOKKEEPING = re.compile(
    r"(?i)^(.*_)?(run|runnumber|randomrunnumber|lumi|lumiblock|luminosityblock|ls|bx|bcid|bunchcrossing|orbit\w*|"
    r"dsid|channelnumber|mcchannelnumber|era|year|entry|index|\w*idx\w*|rndm|random\w*)$"
)
_TRIGGERS = re.compile(r"(?i)^(hlt|l1|flag|trig\w*|pass\w*)_?")
_TRUTH = re.compile(
    r"(?i)(^|[_.])n?(gen|truth|true|mc|lhe|hepmc|pileup|label|target|class|is_?sig\w*|is_?bkg\w*)|truth|label|"
    r"(?-i:[a-z]Gen(?=[A-Z]))"
)
_KINEMATIC = re.compile(r"(?i)^(.+?)[_.](pt|et|e|energy|eta|m|mass)$")


@dataclass
class Roles:
    """What branches are proposed for."""

    #: Branch of event numbers.
    event: str | None = None
    #: Branch of event weights; None where there is none, or several of which none is called as usual.
    weight: str | None = None
    #: All branches that look like weights.
    weights: list[str] = field(default_factory=list)
    #: Inputs: branches and formulas of objects.
    variables: list[str] = field(default_factory=list)
    #: What could be inputs as well.
    more: list[str] = field(default_factory=list)
    #: Branches that are not proposed, by the reason.
    left_out: dict[str, list[str]] = field(default_factory=dict)


def roles_of_branches(trees: Sequence[tuple[str, str]]) -> Roles:
    """Tell what the branches are for that all trees (file and tree of each process) have."""
    common = _common_branches(trees)
    with open_ntuple(*trees[0]) as ntuple:
        scalars = [name for name in common if ntuple.branches[name].kind == "scalar"]
        vectors = [name for name in common if ntuple.branches[name].kind == "vector"]
    seen = _what_all_trees_show(trees, scalars)
    roles = Roles(event=_event_branch(seen))
    for name, values in seen.items():
        reason = None if name == roles.event else _why_left_out(name, values, roles)
        if reason is not None:
            roles.left_out.setdefault(reason, []).append(name)
        elif name != roles.event and name not in roles.weights:
            roles.variables.append(name)
    roles.weight = _chosen_weight(roles.weights)
    roles.variables += _of_objects(vectors, scalars)
    roles.more = roles.variables[MOST_VARIABLES:]
    roles.variables = roles.variables[:MOST_VARIABLES]
    return roles


def _common_branches(trees: Sequence[tuple[str, str]]) -> list[str]:
    """Branches of numbers that each tree has once, in the order of the first."""
    common: list[str] | None = None
    for path, tree in trees:
        with open_ntuple(path, tree) as ntuple:
            usable = {
                name
                for name in ntuple.main_branches
                if ntuple.branches[name].kind != "other" and name not in ntuple.duplicates
            }
            common = [name for name in (ntuple.main_branches if common is None else common) if name in usable]
    return common or []


class _Seen(NamedTuple):
    """What the first values of a branch show: whether they could be event numbers, are all finite, and differ."""

    event_numbers: bool
    finite: bool
    varies: bool


def _what_all_trees_show(trees: Sequence[tuple[str, str]], names: Sequence[str]) -> dict[str, _Seen]:
    """What holds of the first values of each branch in every tree that has entries."""
    seen: dict[str, _Seen] = {}
    for path, tree in trees:
        with open_ntuple(path, tree) as ntuple:
            for start in range(0, len(names), _AT_A_TIME):
                some = names[start : start + _AT_A_TIME]
                for chunk in itertools.islice(ntuple.chunks(some, FIRST_ENTRIES), 1):
                    for name in some:
                        values = _look_at(name, as_numpy(chunk.columns[name]))
                        seen[name] = _Seen(*map(all, zip(values, seen.get(name, values), strict=True)))
    return {name: seen[name] for name in names if name in seen}


def _look_at(name: str, column: np.ndarray[Any, Any]) -> _Seen:
    could_be = _plain(name) in _EVENT_NAMES and column.dtype.kind in "iu" and column.max() <= np.iinfo(np.int64).max
    return _Seen(
        event_numbers=bool(could_be) and len(np.unique(column)) * 2 > len(column),
        finite=column.dtype.kind != "f" or bool(np.isfinite(column).all()),
        varies=bool((column != column[0]).any()),
    )


def _event_branch(seen: dict[str, _Seen]) -> str | None:
    """Branch of whole numbers that is called as event numbers are, and differs from event to event."""
    for wanted in _EVENT_NAMES:
        for name, values in seen.items():
            if _plain(name) == wanted and values.event_numbers:
                return name
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _why_left_out(name: str, values: _Seen, roles: Roles) -> str | None:
    """Reason why a branch is no input; None where it can be one. Weights are noted."""
    if _BOOKKEEPING.match(name) or _plain(name) in _EVENT_NAMES:
        return "bookkeeping"
    if "weight" in name.lower() or _plain(name) in _WEIGHT_NAMES:
        roles.weights.append(name)
        return None
    if _TRUTH.search(name):
        return "called like simulated truth, which data do not have"
    if _TRIGGERS.match(name):
        return "triggers and flags"
    if not values.finite:
        return "NaN or infinite in some events; to use them, say `missing: {value: -10}` in training.yaml"
    if not values.varies:
        return "the same in all events of a process that were looked at"
    return None


def _chosen_weight(weights: Sequence[str]) -> str | None:
    for wanted in _WEIGHT_NAMES:
        for name in weights:
            if _plain(name) == wanted:
                return name
    return weights[0] if len(weights) == 1 else None


def _of_objects(vectors: Iterable[str], scalars: Sequence[str]) -> list[str]:
    """Number of objects of each collection, and properties of the first ones; -10 where there is none."""
    found: list[str] = []
    collections: dict[str, list[str]] = {}
    for name in vectors:
        match = _KINEMATIC.match(name)
        if match and not _TRUTH.search(name) and not _TRIGGERS.match(name):
            collections.setdefault(match[1], []).append(name)
    for collection, names in collections.items():
        if not {f"n{collection}", *(f"n{name}" for name in names)} & set(scalars):
            found.append(f"Length$({names[0]})")
        found += [f"Alt$({name}[{index}], -10)" for index in range(_OBJECTS) for name in names]
    return found
