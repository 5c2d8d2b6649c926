"""Which inputs matter: the gain of trees from the records, permutation importance and Taylor coefficients."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.importance import draw_importance
from ntupleml.plots.pictures import Picture, Table
from ntupleml.reports.material import attempt
from ntupleml.reports.page import Group, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.plots.pictures import Cell
    from ntupleml.reports.material import Material
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: Events of which a permutation importance is computed.
_PERMUTED_EVENTS = 100_000
#: Distinguishes the random numbers of this sampling from those of other purposes.
_SAMPLING_STREAM = 13
#: Terms of a Taylor ranking that are shown.
_MOST_TERMS = 30


def section(material: Material, taylor: bool, permutation: bool) -> Section:
    """Rankings by all means that are there, or are asked for."""
    groups = [
        *_gains(material),
        *(_computed_permutation(material) if permutation else _stored_permutation(material)),
        *(_computed_taylor(material) if taylor else _stored_taylor(material)),
    ]
    introduction = "Inputs that are correlated share what they are worth."
    if not groups:
        introduction = (
            "Nothing is known of the inputs' ranking: no method has trees, and neither "
            "testing/permutation_importance.py nor testing/keras_taylor_ranking.py has run; give --permutation or "
            "--taylor to compute it here."
        )
    return Section("ranking", "Ranking", introduction, tuple(groups))


def _gains(material: Material) -> list[Group]:
    groups = []
    for method in material.methods:
        pictures = gain_pictures(material.records(method))
        if pictures:
            groups.append(Group(f"{method}: gain of its trees", (), (), tuple(pictures), method))
    return groups


def gain_pictures(records: Sequence[TrainingRecord]) -> list[Picture]:
    """Share of each variable in the gain of all cuts, mean of the models."""
    known = [record.importance for record in records if record.importance]
    if not known:
        return []
    names = list(dict.fromkeys(name for one in known for name in one))
    shares = {name: [one.get(name, 0.0) for one in known] for name in names}
    mean = {name: float(np.mean(values)) for name, values in shares.items()}
    ranked = sorted(names, key=lambda name: -mean[name])
    models = [f"Model {record.fold}" for record in records if record.importance]
    rows: tuple[tuple[Cell, ...], ...] = tuple((name, mean[name], *shares[name]) for name in ranked)
    caption = f"{records[0].method}: share of each variable in the gain of all cuts, mean of {len(known)} models."
    numbers = {"gain": {name: mean[name] for name in ranked}}
    return [Picture("gain", caption, partial(_draw_gain, mean), numbers, (Table(("Variable", "Mean", *models), rows),))]


def _draw_gain(mean: dict[str, float], plot: Any) -> Any:
    return draw_importance(mean, plot)


def _computed_permutation(material: Material) -> list[Group]:
    from ntupleml.testing.permutation import permutation_pictures

    events = sample(material.events, _PERMUTED_EVENTS, material.seed)
    groups = []
    for method in material.methods:
        title = f"{method}: permutation importance"
        make = partial(permutation_pictures, events, material.preparation, method)
        groups.append(_group(title, method, make))
    return groups


def _computed_taylor(material: Material) -> list[Group]:
    from ntupleml.testing.taylor import differentiable_method, taylor_pictures

    method = attempt(lambda: differentiable_method(material.preparation), "Taylor ranking")
    if isinstance(method, Undefined):
        return [Group("Taylor coefficients", (f"Not made: {method.reason}",))]
    make = partial(taylor_pictures, material.preparation, material.events, method=method)
    return [_group(f"{method}: Taylor coefficients", method, make)]


def _group(title: str, method: str, make: Callable[[], list[Picture]]) -> Group:
    made = attempt(make, title)
    if isinstance(made, Undefined):
        return Group(title, (f"Not made: {made.reason}",))
    return Group(title, (), (), tuple(made), method)


def _stem(material: Material, method: str, name: str) -> Path:
    """Where a step of the testing stage writes a result of one method."""
    return replace(material.preparation, methods=[method]).stem(name)


def _stored_permutation(material: Material) -> list[Group]:
    groups = []
    for method in material.methods:
        path = Path(f"{_stem(material, method, 'permutation_importance')}.yaml")
        if path.exists():
            table = attempt(partial(read_permutation, path), str(path))
            groups.append(_stored(f"{method}: permutation importance", path, table))
    return groups


def _stored_taylor(material: Material) -> list[Group]:
    from ntupleml.testing.taylor_files import read_taylor_ranking

    groups = []
    for method in material.methods:
        path = Path(f"{_stem(material, method, 'taylor_ranking')}.yaml")
        if path.exists():
            terms = attempt(partial(read_taylor_ranking, path), str(path))
            if isinstance(terms, Undefined):
                groups.append(_stored(f"{method}: Taylor coefficients", path, terms))
                continue
            rows = tuple((rank, term.label, term.coefficient) for rank, term in enumerate(terms[:_MOST_TERMS]))
            title = f"The first {len(rows)} of {len(terms)} terms" if len(terms) > len(rows) else ""
            table = Table(("Rank", "Term", "⟨t⟩"), rows, title)
            groups.append(_stored(f"{method}: Taylor coefficients", path, table))
    return groups


def _stored(title: str, path: Path, table: Table | Undefined) -> Group:
    if isinstance(table, Undefined):
        return Group(title, (f"Not read: {table.reason}",))
    return Group(title, (f"As {path} has it.",), (table,))


def read_permutation(path: Path) -> Table:
    """The ranking that testing/permutation_importance.py wrote.

    Raises
    ------
    NtuplemlError
        If the file is something else.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - a safe one
        rows = tuple(
            (str(name), _cell(one["average_auc"]), _cell(one["log_loss"]))
            for name, one in content["permutation_importance"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        raise NtuplemlError(f"{path}: not written by testing/permutation_importance.py; run that again") from None
    return Table(("Shuffled", "Decrease of the average AUC", "Increase of the log loss"), rows)


def _cell(number: dict[str, float] | str) -> Cell:
    if isinstance(number, str):
        return Undefined(number.removeprefix("undefined: "))
    return Measurement(float(number["value"]), float(number["uncertainty"]))


def sample(events: TestedEvents, most: int, seed: int) -> TestedEvents:
    """About `most` events, as evenly from the classes as their numbers allow, and weighted up."""
    numbers = np.bincount(events.truth, minlength=len(events.classes))
    shares, left = np.ones(len(numbers)), most
    for position, index in enumerate(np.argsort(numbers, kind="stable")):
        room = max(left // (len(numbers) - position), 1)
        shares[index] = min(1.0, room / numbers[index]) if numbers[index] else 1.0
        left -= min(int(numbers[index]), room)
    if (shares == 1).all():
        return events
    random = np.random.default_rng([seed, _SAMPLING_STREAM])
    kept = np.flatnonzero(random.random(len(events)) < shares[events.truth])
    chosen = events.chosen(kept)
    taken = {name: float(share) for name, share in zip(events.classes, shares, strict=True) if share < 1}
    sampled = {name: events.sampled.get(name, 1.0) * taken.get(name, 1.0) for name in {**events.sampled, **taken}}
    return replace(chosen, weights=chosen.weights / shares[chosen.truth], sampled=sampled)
