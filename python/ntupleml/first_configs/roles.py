"""What the branches of ntuples are for, told from their names, types and first values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.sources import as_numpy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ntupleml.ntuples.reading import Ntuple

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
    """What branches are proposed for.

    Attributes
    ----------
    event : str or None
        Branch of event numbers.
    weight : str or None
        Branch of event weights; None where there is none, or several of which none is called as usual.
    weights : list of str
        All branches that look like weights.
    variables : list of str
        Inputs: branches and formulas of objects.
    more : list of str
        What could be inputs as well.
    left_out : dict of str to list of str
        Branches that are not proposed, by the reason.
    """

    event: str | None = None
    weight: str | None = None
    weights: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    more: list[str] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


def roles_of_branches(trees: Sequence[tuple[str, str]]) -> Roles:
    """Tell what the branches are for that all trees have.

    Parameters
    ----------
    trees : sequence of (str, str)
        File and tree of each process.

    Raises
    ------
    NtuplemlError
        If a file or a tree cannot be read.
    """
    common = _common_branches(trees)
    with open_ntuple(*trees[0]) as ntuple:
        scalars = [name for name in common if ntuple.branches[name].kind == "scalar"]
        values = _first_values(ntuple, scalars)
        vectors = [name for name in common if ntuple.branches[name].kind == "vector"]
    roles = Roles(event=_event_branch(values))
    for name, column in values.items():
        reason = None if name == roles.event else _why_left_out(name, column, roles)
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


def _first_values(ntuple: Ntuple, names: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    """First values of branches; a branch that cannot be read is left out."""
    values: dict[str, np.ndarray[Any, Any]] = {}
    for start in range(0, len(names), _AT_A_TIME):
        some = names[start : start + _AT_A_TIME]
        for chunk in ntuple.chunks(some, FIRST_ENTRIES):
            values |= {name: as_numpy(chunk.columns[name]) for name in some}
            break
    return values


def _event_branch(values: dict[str, np.ndarray[Any, Any]]) -> str | None:
    """Branch of whole numbers that is called as event numbers are, and differs from event to event."""
    for wanted in _EVENT_NAMES:
        for name, column in values.items():
            if _plain(name) == wanted and column.dtype.kind in "iu" and len(np.unique(column)) * 2 > len(column):
                return name
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _why_left_out(name: str, column: np.ndarray[Any, Any], roles: Roles) -> str | None:
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
    if column.dtype.kind == "f" and not np.isfinite(column).all():
        return "NaN or infinite in some events; to use them, say `missing: {value: -10}` in training.yaml"
    if len(np.unique(column)) < 2:
        return "the same in all events that were looked at"
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
        if f"n{collection}" not in scalars:
            found.append(f"Length$({names[0]})")
        found += [f"Alt$({name}[{index}], -10)" for index in range(_OBJECTS) for name in names]
    return found
