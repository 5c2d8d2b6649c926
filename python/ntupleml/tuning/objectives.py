"""What trials are judged by: numbers of the testing stage, here of the events that validate a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics import Undefined, predicted_class
from ntupleml.metrics.brier import brier_score, multiclass_brier_score, weighted_mean
from ntupleml.metrics.calibration import calibration
from ntupleml.metrics.class_rocs import class_rocs
from ntupleml.metrics.regression import residuals
from ntupleml.metrics.roc import roc_against_rest
from ntupleml.metrics.significance_scan import scan_significance
from ntupleml.targets import ALL_TARGETS, MEASURED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig


class Validated(NamedTuple):
    """The events that validated the training of a model, with its scores."""

    record: TrainingRecord
    #: Shape (n_events, n_outputs).
    scores: NDArray[np.float32]
    #: Shape (n_events,). Index of the true class, and event weights as in testing: without class weights.
    truth: NDArray[np.int64]
    weights: NDArray[np.float64]
    #: Shape (n_events, n_values). Truth where values are learnt.
    values: NDArray[np.float32]


class _Kind(NamedTuple):
    #: Of the events and the index of a class or value; None for all together.
    number: Callable[[Validated, int | None], Any]
    maximise: bool
    targets: tuple[str, ...] = ("classes",)
    #: Whether it is a number of all classes (values), of one, or either.
    of: tuple[bool, bool] = (True, False)


class Objective(NamedTuple):
    """What trials are judged by."""

    name: str
    number: Callable[[Validated], float | Undefined]
    maximise: bool


def _of_class(events: Validated, index: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
    return np.ascontiguousarray(events.scores[:, index]), events.truth == index, events.weights


def _area(events: Validated, index: int | None) -> Any:
    if index is not None:
        curve = roc_against_rest(events.scores, events.truth, index, events.weights)
        return curve if isinstance(curve, Undefined) else curve.auc
    names = [str(number) for number in range(events.scores.shape[1])]
    return class_rocs(events.scores, events.truth, events.weights, names, pairs=False).average_auc


def _brier(events: Validated, index: int | None) -> Any:
    if index is not None:
        return brier_score(*_of_class(events, index))
    return multiclass_brier_score(events.scores, events.truth, events.weights)


def _accuracy(events: Validated, _index: int | None) -> Any:
    right = predicted_class(events.scores) == events.truth
    return weighted_mean(right.astype(np.float64), events.weights)


def _calibration_error(events: Validated, index: int | None) -> Any:
    assert index is not None
    found = calibration(*_of_class(events, index))
    return found if isinstance(found, Undefined) else found.error.value


def _significance(events: Validated, index: int | None) -> Any:
    assert index is not None
    found = scan_significance(*_of_class(events, index), num_replicas=2)
    best = found if isinstance(found, Undefined) else found.best["asimov"]
    return best if isinstance(best, Undefined) else best.significance


def _residuals(part: str) -> Callable[[Validated, int | None], Any]:
    def number(events: Validated, index: int | None) -> Any:
        assert index is not None
        differences = events.scores[:, index].astype(np.float64) - events.values[:, index]
        found = getattr(residuals(differences, events.weights), part)
        return abs(found.value) if part == "bias" else found

    return number


def _loss(events: Validated, _index: int | None) -> Any:
    """The validation loss of the model that is kept."""
    losses = events.record.history["val_loss"]
    return losses[(events.record.best_epoch or len(losses)) - 1]


#: By name; those of one class or value are called e.g. `roc auc of signal`.
OBJECTIVES: dict[str, _Kind] = {
    "accuracy": _Kind(_accuracy, True),
    "bias": _Kind(_residuals("bias"), False, MEASURED, (False, True)),
    "brier score": _Kind(_brier, False, of=(True, True)),
    "calibration error": _Kind(_calibration_error, False, of=(False, True)),
    "central width": _Kind(_residuals("central_width"), False, MEASURED, (False, True)),
    "loss": _Kind(_loss, False, ALL_TARGETS),
    "resolution": _Kind(_residuals("resolution"), False, MEASURED, (False, True)),
    "roc auc": _Kind(_area, True, of=(True, True)),
    "significance": _Kind(_significance, True, of=(False, True)),
}


def objective_of(config: TrainingConfig, where: str) -> Objective:
    """The objective of a config by its name; by default the area under the ROC curves, else the loss.

    Raises
    ------
    NtuplemlError
        If there is none of this name for what is learnt.
    """
    assert config.tune is not None
    target = config.target_kind
    name = config.tune.objective or ("roc auc" if target == "classes" else "loss")
    known = [one for kind in OBJECTIVES for one in _names(kind, config)]
    if name not in known:
        raise NtuplemlError(f"{where}: tune.objective: no metric '{name}' of {target}{did_you_mean(name, known)}")
    plain, _, of = name.partition(" of ")
    index = config.outputs.index(of) if of else None
    kind = OBJECTIVES[plain]

    def number(events: Validated) -> float | Undefined:
        found = kind.number(events, index)
        return found if isinstance(found, float | Undefined) else float(found.value)

    return Objective(name, number, kind.maximise)


def _names(name: str, config: TrainingConfig) -> list[str]:
    """All forms of a name that a config can use."""
    kind = OBJECTIVES[name]
    if config.target_kind not in kind.targets:
        return []
    return [name] * kind.of[0] + [f"{name} of {one}" for one in config.outputs if kind.of[1]]
