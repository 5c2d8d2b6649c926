"""The steps that write only numbers: AMS of what is predicted to be each class, and the performance of one cut."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.confusion import confusion_matrix, predicted_class
from ntupleml.metrics.measurement import Measurement, Undefined, as_plain, no_sum_of_weights
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.metrics.significance import Yields, approximate_median_significance
from ntupleml.metrics.significance_cut import cut_performance, no_usable_scores
from ntupleml.plots.pictures import Picture
from ntupleml.testing.significance import FORMULA_NAMES
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from ntupleml.metrics.significance_cut import CutPerformance
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

_PERFORMANCE_NAMES = {
    "signal": "signal S",
    "background": "background B",
    "signal_efficiency": "signal efficiency",
    "background_efficiency": "background efficiency",
    "purity": "purity S/(S+B)",
    **FORMULA_NAMES,
}


def ams_scores(events: TestedEvents, method: str, b_reg: float) -> dict[str, dict[str, Measurement | Undefined]]:
    """Approximate median significance of each class in what is predicted to be this class.

    Parameters
    ----------
    method : str
        Whose scores: an event is predicted to be of the class with the largest one.
    b_reg : float
        Regularisation.

    Returns
    -------
    dict of str to dict
        By class: ``ams``, and the sums of weights ``signal`` (of the class) and ``background`` (of all others).
    """
    size = len(events.classes)
    unusable = no_usable_scores(events.scores[method].sum(axis=1))
    matrix = confusion_matrix(events.truth, predicted_class(events.scores[method]), events.weights, size)
    results: dict[str, dict[str, Measurement | Undefined]] = {}
    for index, name in enumerate(events.classes):
        others = np.arange(size) != index
        yields = Yields(
            float(matrix.sums[index, index]),
            float(matrix.squares[index, index]),
            float(matrix.sums[others, index].sum()),
            float(matrix.squares[others, index].sum()),
        )
        undefined = unusable or no_sum_of_weights(events.weights[events.truth == index], f"'{name}'")
        results[name] = {
            "ams": undefined or approximate_median_significance(yields, b_reg),
            "signal": Measurement(yields.signal, yields.signal_variance**0.5),
            "background": Measurement(yields.background, yields.background_variance**0.5),
        }
    return results


def ams_of_classes(material: Material, *, b_reg: float | None = None) -> Answer:
    """The AMS of each class, in the events that are predicted to be of this class."""
    material.announce(["ams_score.yaml"])
    b_reg = material.testing.significance.b_reg if b_reg is None else b_reg
    (method, *_) = material.methods
    results = ams_scores(material.events, method, b_reg)
    content: dict[str, Any] = {"b_reg": b_reg, "events": len(material.events), "classes": {}}
    remarks = []
    for name, numbers in results.items():
        ams, signal, background = map(_text, numbers.values())
        remarks.append(f"class '{name}': AMS {ams} (S {signal}, B {background}, b_reg {b_reg:g})")
        content["classes"][name] = {key: as_plain(number) for key, number in numbers.items()}
    picture = Picture("ams_score", "", None, content)
    return Answer("", (Group("", pictures=(picture,)),), numbers=results, remarks=tuple(remarks))


def performance_of_cut(
    material: Material,
    *,
    target_class: str,
    cut: float,
) -> Answer:
    """Yields, efficiencies, purity and significances of the events with a score above a cut."""
    if target_class not in material.classes:
        near = did_you_mean(target_class, material.classes)
        raise NtuplemlError(f"TARGET_CLASS: {material.preparation.training_path} has no class '{target_class}'{near}")
    material.announce([f"performance_{target_class}.yaml"])
    events, config = material.events, material.testing.significance
    index = events.classes.index(target_class)
    result = cut_performance(
        next(iter(events.scores.values()))[:, index],
        events.truth == index,
        events.weights,
        cut,
        b_reg=config.b_reg,
        background_uncertainty=config.background_uncertainty,
    )
    options = {"b_reg": config.b_reg, "background_uncertainty": config.background_uncertainty}
    content: dict[str, Any] = {"class": target_class, "cut": cut, "events": len(events), **options}
    if isinstance(result, Undefined):
        log.warning("class '%s': %s", target_class, result)
        content["performance"] = str(result)
        remarks: list[str] = []
    else:
        content |= as_plain(result)
        remarks = _lines(target_class, result)
    picture = Picture(f"performance_{target_class}", "", None, content)
    return Answer("", (Group("", pictures=(picture,)),), numbers=result, remarks=tuple(remarks))


def _lines(class_name: str, result: CutPerformance) -> list[str]:
    lowest, highest = result.score_range
    if not lowest <= result.cut <= highest:
        log.warning(
            "CUT: %g is outside the range of the scores of '%s', %.6g to %.6g", result.cut, class_name, lowest, highest
        )
    signal, background = result.entries
    head = f"score of '{class_name}' above {result.cut:g}: {signal} signal and {background} background events"
    return [head, *(f"  {_PERFORMANCE_NAMES[name]}: {_text(number)}" for name, number in result.numbers().items())]


def _text(number: Measurement | Undefined) -> str:
    return str(number) if isinstance(number, Undefined) else measurement_text(number)
