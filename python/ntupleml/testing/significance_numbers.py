"""The steps that write only numbers: AMS of what is predicted to be each class, and the performance of one cut."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.confusion import confusion_matrix, predicted_class
from ntupleml.metrics.measurement import Measurement, Undefined, as_plain, no_sum_of_weights
from ntupleml.metrics.significance import Yields, approximate_median_significance
from ntupleml.metrics.significance_cut import cut_performance, no_usable_scores
from ntupleml.plots.pictures import write_numbers
from ntupleml.plots.significance import measurement_text
from ntupleml.plots.style import figure_paths
from ntupleml.testing.preparation import tested_events
from ntupleml.testing.significance import FORMULA_NAMES

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.metrics.significance_cut import CutPerformance
    from ntupleml.testing.preparation import Preparation
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
    events : TestedEvents
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


def ams_score_file(preparation: Preparation, *, b_reg: float | None = None, overwrite: bool = False) -> Path:
    """Write the AMS of each class, and log it.

    Parameters
    ----------
    preparation : Preparation
        Of one method.
    b_reg : float, optional
        Regularisation; by default that of the testing config.
    overwrite : bool, default: False

    Returns
    -------
    Path
        The YAML file.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten (before anything is computed), and whatever reading raises.
    """
    path = _yaml_path(preparation, "ams_score", overwrite)
    b_reg = preparation.testing.significance.b_reg if b_reg is None else b_reg
    events = tested_events(preparation)
    results = ams_scores(events, next(iter(events.scores)), b_reg)
    content: dict[str, Any] = {"b_reg": b_reg, "events": len(events), "classes": {}}
    for name, numbers in results.items():
        log.info("class '%s': AMS %s (S %s, B %s, b_reg %g)", name, *map(_text, numbers.values()), b_reg)
        content["classes"][name] = {key: as_plain(number) for key, number in numbers.items()}
    return write_numbers(content, path, overwrite=overwrite)


def performance_file(preparation: Preparation, class_name: str, cut: float, *, overwrite: bool = False) -> Path:
    """Write yields, efficiencies, purity and significances of the events with a score above a cut, and log them.

    Parameters
    ----------
    preparation : Preparation
        Of one method.
    class_name : str
        The signal, whose score is cut on.
    cut : float
        Events with a larger score are selected.
    overwrite : bool, default: False

    Returns
    -------
    Path
        The YAML file.

    Raises
    ------
    NtuplemlError
        For an unknown class (with the nearest names), if the file exists and must not be overwritten (before anything
        is computed), and whatever reading raises.
    """
    classes = preparation.training.classes
    if class_name not in classes:
        near = did_you_mean(class_name, classes)
        raise NtuplemlError(f"TARGET_CLASS: {preparation.training_path} has no class '{class_name}'{near}")
    path = _yaml_path(preparation, f"performance_{class_name}", overwrite)
    events = tested_events(preparation)
    config = preparation.testing.significance
    index = events.classes.index(class_name)
    result = cut_performance(
        next(iter(events.scores.values()))[:, index],
        events.truth == index,
        events.weights,
        cut,
        b_reg=config.b_reg,
        background_uncertainty=config.background_uncertainty,
    )
    options = {"b_reg": config.b_reg, "background_uncertainty": config.background_uncertainty}
    content: dict[str, Any] = {"class": class_name, "cut": cut, "events": len(events), **options}
    if isinstance(result, Undefined):
        log.warning("class '%s': %s", class_name, result)
        return write_numbers({**content, "performance": str(result)}, path, overwrite=overwrite)
    _report(class_name, result)
    return write_numbers({**content, **result.to_dict()}, path, overwrite=overwrite)


def _yaml_path(preparation: Preparation, name: str, overwrite: bool) -> Path:
    """Path of the numbers, checked before anything is computed."""
    path = figure_paths(preparation.stem(name), ["yaml"])[0]
    if path.exists() and not overwrite:
        raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    return path


def _report(class_name: str, result: CutPerformance) -> None:
    lowest, highest = result.score_range
    if not lowest <= result.cut <= highest:
        log.warning(
            "CUT: %g is outside the range of the scores of '%s', %.6g to %.6g", result.cut, class_name, lowest, highest
        )
    log.info("score of '%s' above %g: %d signal and %d background events", class_name, result.cut, *result.entries)
    for name, number in result.numbers().items():
        log.info("  %s: %s", _PERFORMANCE_NAMES[name], _text(number))


def _text(number: Measurement | Undefined) -> str:
    return str(number) if isinstance(number, Undefined) else measurement_text(number)
