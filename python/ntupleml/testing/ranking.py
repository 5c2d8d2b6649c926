"""Which inputs matter: the gain of trees from the records, permutation importance and Taylor coefficients."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined
from ntupleml.plots.importance import draw_importance, importance_label
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.material import attempt
from ntupleml.testing.permutation import permutation_importances
from ntupleml.testing.steps import Answer, Group
from ntupleml.testing.taylor import read_taylor_ranking, taylor_rankings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

#: Terms of a Taylor ranking that are shown.
_MOST_TERMS = 30


def rankings_of_inputs(
    material: Material,
    *,
    taylor: bool = False,
    permutation: bool = False,
) -> Answer:
    """Rankings by all means that are there, or are asked for."""
    groups = [
        *_gains(material),
        *(permutation_importances(material).groups if permutation else _stored_permutation(material)),
        *(_computed_taylor(material) if taylor else _stored_taylor(material)),
    ]
    introduction = "Inputs that are correlated share what they are worth."
    if not groups:
        introduction = (
            "Nothing is known of the inputs' ranking: no method has trees, and neither "
            "testing/permutation_importance.py nor testing/keras_taylor_ranking.py has run; give --permutation or "
            "--taylor to compute it here."
        )
    return Answer(introduction, tuple(groups))


def _gains(material: Material) -> list[Group]:
    groups = []
    for method in material.methods:
        pictures = gain_pictures(material.records(method))
        if pictures:
            measure = material.records(method)[0].network.get("importance", "gain of its trees")
            groups.append(Group(f"{method}: {measure}", (), (), tuple(pictures), method))
    return groups


def gain_pictures(records: Sequence[TrainingRecord]) -> list[Picture]:
    """Share of each variable in the gain of all cuts, or in what the record says, mean of the models."""
    known = [record.importance for record in records if record.importance]
    if not known:
        return []
    names = list(dict.fromkeys(name for one in known for name in one))
    shares = {name: [one.get(name, 0.0) for one in known] for name in names}
    mean = {name: float(np.mean(values)) for name, values in shares.items()}
    ranked = sorted(names, key=lambda name: -mean[name])
    models = [f"Model {record.fold}" for record in records if record.importance]
    rows: tuple[tuple[Cell, ...], ...] = tuple((name, mean[name], *shares[name]) for name in ranked)
    measure = records[0].network.get("importance")
    what = measure or "gain of all cuts"
    caption = f"{records[0].method}: share of each variable in the {what}, mean of {len(known)} models."
    numbers = {"gain": {name: mean[name] for name in ranked}}
    table = Table(("Variable", "Mean", *models), rows)
    return [
        Picture("gain", caption, partial(draw_importance, mean, label=importance_label(measure)), numbers, (table,))
    ]


def _computed_taylor(material: Material) -> Sequence[Group]:
    made = attempt(lambda: taylor_rankings(material).groups, "Taylor ranking")
    return [Group("Taylor coefficients", (f"Not made: {made.reason}",))] if isinstance(made, Undefined) else made


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
    """The ranking that testing/permutation_importance.py wrote."""
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
