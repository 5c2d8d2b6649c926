"""How stable an ensemble is: what each of its members reaches, and how far they disagree event by event."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.class_rocs import BACKGROUND_EFFICIENCIES, ClassRocs, class_rocs
from ntupleml.metrics.measurement import no_sum_of_weights
from ntupleml.metrics.members import (
    OverMembers,
    SpreadProfile,
    over_members,
    spread_edges,
    spread_of,
    spread_profile,
)
from ntupleml.metrics.number_texts import count_text
from ntupleml.metrics.regression import residuals
from ntupleml.plots.members import draw_spread, members_picture
from ntupleml.plots.pictures import Picture, Table
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

_INTRODUCTION = (
    "Each member of an ensemble is a training with another seed. The standard deviation of a result over the members "
    "is what a single training with another seed would change; the ensemble, which is the mean of their scores, "
    "changes less. All results are of the same events, each scored by members that never saw it."
)
#: Share of the events that have a smaller reconstruction error than the quantile that is shown.
_SHARE = 0.99

Value = float | Measurement | Undefined


class Quantity(NamedTuple):
    """One quantity of all members and of the ensemble, by class or value."""

    members: dict[str, OverMembers]
    ensemble: dict[str, Value]


class Stability(NamedTuple):
    """What is known of one ensemble."""

    #: By the names of the pictures.
    quantities: dict[str, Quantity]
    #: By output, then by class.
    spread: dict[str, dict[str, SpreadProfile | Undefined]]


class _Kind(NamedTuple):
    """A picture of a quantity: what its axis is called, and its numbers from scores (n_events, n_outputs)."""

    quantity: str
    of_scores: Callable[[NDArray[Any]], dict[str, Value]]


def has_ensemble(material: Material) -> bool:
    """Whether a method is an ensemble."""
    if material.found is None:
        return bool(material.events.members)
    return any(model.record.num_members > 1 for some in material.found.trained.values() for model in some)


def stability_of_members(material: Material) -> Answer:
    """Box plots of what the members reach, and their spread against the score, of every method that is an ensemble."""
    outputs = _outputs(material)
    material.announce([*_names(material.target, outputs), *(f"stability_spread_{one}" for one in outputs)])
    if not has_ensemble(material):
        names = material.methods if material.found is None else material.found.methods
        raise NtuplemlError(
            f"{', '.join(names)}: no ensemble; train one with ensemble: {{seeds: 5}} in the training config"
        )
    events = material.events
    methods = [name for name in material.methods if name in events.members]
    kinds = _kinds(material.target, events)
    found = {method: _stability(events, method, kinds, outputs) for method in methods}
    pictures = {method: _pictures(method, one, kinds, events) for method, one in found.items()}
    verdicts = {method: _verdict(one) for method, one in found.items()} if material.target == "classes" else {}
    return Answer.by_method(
        pictures,
        _INTRODUCTION,
        numbers=found,
        question="Does the seed matter?",
        verdicts=verdicts,
        only_first_open=True,
        remarks=[f"{method}: {verdict.text}" for method, verdict in verdicts.items()],
    )


def _outputs(material: Material) -> list[str]:
    if material.found is not None:
        return list(material.found.training.outputs)
    return material.events.outputs or material.events.classes


def _names(target: str, outputs: list[str]) -> list[str]:
    if target == "classes":
        return ["stability_auc", *(f"stability_efficiency_{level:g}" for level in BACKGROUND_EFFICIENCIES)]
    if target == "values":
        return [f"stability_{name}" for name in outputs]
    return [f"stability_{name}{kind}" for name in outputs for kind in ("_mean", "_tail")]


def _kinds(target: str, events: TestedEvents) -> dict[str, _Kind]:
    """Quantities of a target, by the names of their pictures."""
    outputs = events.outputs or events.classes
    if target == "classes":
        made = [_Kind("Area under the ROC curve", partial(_areas, events))]
        for level in BACKGROUND_EFFICIENCIES:
            text = f"Efficiency where {level:.0%} of all others pass"
            made.append(_Kind(text, partial(_efficiencies, events, level)))
    elif target == "values":
        made = [_Kind(f"Residual of {name}", partial(_widths, events, index)) for index, name in enumerate(outputs)]
    else:
        made = []
        for index, name in enumerate(outputs):
            made.append(_Kind(f"Mean {name}", partial(_means, events, index)))
            made.append(_Kind(f"{name}, {_SHARE:.0%} are below", partial(_quantiles, events, index)))
    return dict(zip(_names(target, outputs), made, strict=True))


def _rocs(events: TestedEvents, scores: NDArray[Any]) -> ClassRocs:
    return class_rocs(scores, events.truth, events.weights, events.classes, pairs=False)


def _areas(events: TestedEvents, scores: NDArray[Any]) -> dict[str, Value]:
    found = _rocs(events, scores).against_rest
    return {name: one if isinstance(one, Undefined) else one.auc for name, one in found.items()}


def _efficiencies(events: TestedEvents, level: float, scores: NDArray[Any]) -> dict[str, Value]:
    found = _rocs(events, scores).against_rest
    return {name: one if isinstance(one, Undefined) else one.efficiencies[level] for name, one in found.items()}


def _widths(events: TestedEvents, index: int, scores: NDArray[Any]) -> dict[str, Value]:
    """Root of the mean squared residual, and half of the range of the central 68 %."""
    truth, weights = events.target[:, index], events.weights
    known = np.isfinite(truth)
    differences, weights = (scores[known, index] - truth[known]).astype(np.float64), weights[known]
    if undefined := no_sum_of_weights(weights):
        return {"RMS": undefined, "Central 68 %": undefined}
    square = float(weights @ np.square(differences)) / float(weights.sum())
    root: Value = math.sqrt(square) if square >= 0 else Undefined("negative weights make the mean square negative")
    return {"RMS": root, "Central 68 %": residuals(differences, weights).central_width}


def _of_classes(events: TestedEvents, values: NDArray[Any], number: Callable[..., Value]) -> dict[str, Value]:
    chosen = {name: np.flatnonzero(events.truth == index) for index, name in enumerate(events.classes)}
    return {
        name: no_sum_of_weights(events.weights[rows]) or number(values[rows].astype(np.float64), events.weights[rows])
        for name, rows in chosen.items()
    }


def _means(events: TestedEvents, index: int, scores: NDArray[Any]) -> dict[str, Value]:
    return _of_classes(events, scores[:, index], lambda values, weights: residuals(values, weights).bias)


def _quantiles(events: TestedEvents, index: int, scores: NDArray[Any]) -> dict[str, Value]:
    return _of_classes(events, scores[:, index], lambda values, _: float(np.quantile(values, _SHARE)))


def _stability(events: TestedEvents, method: str, kinds: Mapping[str, _Kind], outputs: list[str]) -> Stability:
    members, scores = events.members[method], events.scores[method]
    quantities = {}
    for name, kind in kinds.items():
        whole = kind.of_scores(scores)
        each = [kind.of_scores(members[:, index]) for index in range(members.shape[1])]
        quantities[name] = Quantity({key: over_members([one[key] for one in each]) for key in whole}, whole)
    spread = spread_of(members)
    profiles = {output: _profiles(events, scores[:, index], spread[:, index]) for index, output in enumerate(outputs)}
    return Stability(quantities, profiles)


def _profiles(
    events: TestedEvents, scores: NDArray[Any], spread: NDArray[np.float64]
) -> dict[str, SpreadProfile | Undefined]:
    edges = spread_edges(scores)
    if isinstance(edges, Undefined):
        return dict.fromkeys(events.classes, edges)
    rows = {name: np.flatnonzero(events.truth == index) for index, name in enumerate(events.classes)}
    return {
        name: spread_profile(scores[some], spread[some], events.weights[some], edges) for name, some in rows.items()
    }


def _pictures(method: str, found: Stability, kinds: Mapping[str, _Kind], events: TestedEvents) -> list[Picture]:
    number = events.members[method].shape[1]
    of_events = f"of {method}, an ensemble of {number}: {count_text(len(events))} tested events."
    pictures = [
        members_picture(
            name,
            f"{kinds[name].quantity} {of_events}",
            one.members,
            kinds[name].quantity,
            column="Class" if set(one.members) == {*events.classes} else "Quantity",
            ensemble=one.ensemble,
        )
        for name, one in found.quantities.items()
    ]
    return [*pictures, *(_spread_picture(output, of_events, one) for output, one in found.spread.items())]


def _spread_picture(output: str, of_events: str, found: Mapping[str, SpreadProfile | Undefined]) -> Picture:
    rows = tuple(
        (name, 0, one, "–", "–") if isinstance(one, Undefined) else (name, one.entries, one.mean, one.median, one.high)
        for name, one in found.items()
    )
    return Picture(
        f"stability_spread_{output}",
        f"Mean standard deviation of the members' scores of '{output}' in bins of their mean, {of_events} Bars: one "
        "standard deviation of the mean. The outermost bins hold what lies beyond them.",
        partial(draw_spread, found, output),
        {"output": output, "classes": as_plain(found)},
        (Table(("Class", "Events", "Mean spread", "Median", "95 % are below"), rows),),
    )


def _verdict(found: Stability) -> Verdict:
    """Whether seeds change the area of a class by more than its statistical uncertainty."""
    areas = found.quantities["stability_auc"]
    known = [
        (one.measurement.uncertainty, whole.uncertainty, name)
        for name, one in areas.members.items()
        if isinstance(one.measurement, Measurement) and isinstance(whole := areas.ensemble[name], Measurement)
    ]
    if not known:
        return Verdict("unknown", "no area under a ROC curve is known")
    of_seeds, of_events, name = max(known, key=lambda one: one[0] / max(one[1], 1e-300))
    text = (
        f"the area of '{name}' differs by {of_seeds:.2g} from seed to seed; its statistical uncertainty is "
        f"{of_events:.2g}"
    )
    if of_seeds > of_events:
        return Verdict("attention", text, "The seed of the training matters.")
    return Verdict("good", text, "The seed of the training hardly matters.")
