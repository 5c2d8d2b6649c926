"""Permutation importance: what a classifier loses where a variable's values are those of other events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights
from ntupleml.metrics.roc import RocCurve, SortedEvents, curve_of_sorted, falling_order, influences_of_sorted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

#: By how much the scores of an event may differ from 1 in sum, or leave the range from 0 to 1, to be probabilities.
_TOLERANCE = 1e-3
#: Probabilities below this count as this, as in scikit-learn's `log_loss` for float32.
_SMALLEST_PROBABILITY = float(np.finfo(np.float32).eps)

_Result = Measurement | Undefined


class Quality(NamedTuple):
    """How good a classifier is; or by how much less good."""

    #: Area under the ROC curve of each class against the rest; as an importance its decrease.
    auc: dict[str, Measurement | Undefined]
    #: Mean of the areas, weighted with the sums of weights of the classes; as an importance its decrease.
    average_auc: Measurement | Undefined
    #: −Σ w ln p / Σ w, p being the score of the true class; as an importance its increase.
    log_loss: Measurement | Undefined


@dataclass(frozen=True)
class PermutationImportance:
    """What each variable is worth to a classifier."""

    classes: list[str]
    #: Number of events, and how often each variable was shuffled.
    entries: int
    repeats: int
    #: With all variables as they are.
    reference: Quality
    #: By variable (or group of them): the decrease of the areas and the increase of the log loss.
    importances: dict[str, Quality]

    def ranking(self) -> list[str]:
        """Variables, the most important first: by the average area; where that is undefined, by the log loss."""
        return sorted(self.importances, key=lambda name: -_worth(self.importances[name]))

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        ranked = {name: self.importances[name] for name in self.ranking()}
        return {
            "entries": self.entries,
            "repeats": self.repeats,
            "reference": self.reference,
            "permutation_importance": {
                name: {"average_auc": one.average_auc, "log_loss": one.log_loss} for name, one in ranked.items()
            },
            **{
                f"permutation_importance_{label}": {name: one.auc[label] for name, one in ranked.items()}
                for label in self.classes
            },
        }


def _worth(importance: Quality) -> float:
    for result in (importance.average_auc, importance.log_loss):
        if isinstance(result, Measurement):
            return result.value
    return -math.inf


class _Numbers(NamedTuple):
    """Areas by class, their average and the log loss, and what each event adds to their fluctuation."""

    values: list[float | Undefined]
    influences: NDArray[np.float64]


def permutation_importance(
    scores: NDArray[Any],
    truth: NDArray[np.integer[Any]],
    weights: NDArray[np.float64],
    classes: Sequence[str],
    shuffled: Mapping[str, Callable[[NDArray[np.int64]], NDArray[Any]]],
    *,
    repeats: int = 5,
    seed: int = 0,
    strata: Mapping[str, NDArray[np.integer[Any]]] | None = None,
) -> PermutationImportance:
    """Permutation importance of variables for a classifier of any kind.

    Parameters
    ----------
    scores : array, shape (n_events, n_classes)
    truth : array of int, shape (n_events,)
        True class.
    weights : array of float64, shape (n_events,)
        Event weights; negative ones count as they are.
    shuffled : mapping of str to callable
        By variable, or group of variables: from the positions of other events, int64 of shape (n_events,), to the
        scores where the variable's value of each event is that of the other event.
    repeats : int, default: 5
        How often each is shuffled, at least 2.
    strata : mapping of str to array of int, shape (n_events,), optional
        By variable: values are exchanged only between events of the same number.

    Returns
    -------
    PermutationImportance
        Areas are undefined where a ROC curve is, the log loss where the scores are not probabilities or the sum of
        weights is not positive.

    Notes
    -----
    Breiman, Machine Learning 45 (2001) 5; Fisher, Rudin, Dominici, arXiv:1801.01489 (model reliance, as a difference).
    The importance is the mean over the repeats. All events are shuffled with each other, whatever their weights.

    The uncertainty has two parts. That of the permutations is the standard deviation of the repeats / √repeats. For
    that of the events, each area is the mean of a function of two events, of which the second gives the value of the
    variable; an event adds to the fluctuation of the difference both as the one that is scored and as the one that
    gives its value (Hoeffding, Ann. Math. Statist. 19 (1948) 293). Both are the changes of its influences on the area
    (see `auc_influences`) by the permutation, averaged over the repeats; what the averages of few repeats add to the
    sum of squares, their variance, is subtracted. A variable that does not change the scores has exactly 0 ± 0.
    """
    if repeats < 2:
        raise ValueError(f"{repeats} repeats; at least 2 are needed for an uncertainty")
    weights = np.asarray(weights, dtype=np.float64)
    reference = _numbers(scores, truth, weights, classes)
    importances = {}
    for index, (name, score) in enumerate(shuffled.items()):
        random = np.random.default_rng([seed, index])
        key = np.zeros(len(truth), np.int64) if strata is None or name not in strata else strata[name]
        changes = _Changes(reference)
        for _ in range(repeats):
            donors = shuffled_events(key, random)
            changed = score(donors)
            same = np.array_equal(changed, scores)
            changes.add(reference if same else _numbers(changed, truth, weights, classes), donors)
        importances[name] = _quality(changes.results(), classes, sign=-1)
    uncertainties = np.sqrt(np.square(reference.influences).sum(axis=1))
    own: list[_Result] = [
        value if isinstance(value, Undefined) else Measurement(value, float(uncertainty))
        for value, uncertainty in zip(reference.values, uncertainties, strict=True)
    ]
    return PermutationImportance(list(classes), len(truth), repeats, _quality(own, classes), importances)


def shuffled_events(strata: NDArray[np.integer[Any]], random: np.random.Generator) -> NDArray[np.int64]:
    """Positions of events in random order, each in the place of one with the same number.

    Examples
    --------
    >>> order = shuffled_events(np.array([0, 1, 0, 1, 0]), np.random.default_rng(1))
    >>> sorted(order[[0, 2, 4]].tolist()), sorted(order[[1, 3]].tolist())
    ([0, 2, 4], [1, 3])
    """
    if not len(strata) or (strata == strata[0]).all():
        return random.permutation(len(strata))  # much faster than sorting
    order = np.empty(len(strata), np.int64)
    order[np.argsort(strata, kind="stable")] = np.lexsort((random.random(len(strata)), strata))
    return order


class _Changes:
    """Changes of the numbers by the permutations of one variable."""

    def __init__(self, reference: _Numbers) -> None:
        self._reference = reference
        self._values: list[list[float | Undefined]] = []
        self._sums = np.zeros_like(reference.influences)
        self._squares = np.zeros_like(reference.influences)

    def add(self, changed: _Numbers, donors: NDArray[np.int64]) -> None:
        """Take the numbers of one permutation, in which event i has the value of event `donors[i]`."""
        self._values.append(changed.values)
        if changed is self._reference:
            return
        change = changed.influences - self._reference.influences
        as_donors = np.empty_like(change)
        as_donors[:, donors] = change
        change += as_donors
        self._sums += change
        self._squares += np.square(change)

    def results(self) -> list[_Result]:
        """Mean changes, those of the log loss too as new − old."""
        repeats = len(self._values)
        means = self._sums / repeats
        spreads = (self._squares - repeats * np.square(means)) / (repeats - 1)
        of_events = (np.square(means) - spreads / repeats).sum(axis=1)
        results: list[_Result] = []
        for index, old in enumerate(self._reference.values):
            values = [numbers[index] for numbers in self._values]
            undefined = next((value for value in (old, *values) if isinstance(value, Undefined)), None)
            if undefined is not None or isinstance(old, Undefined):
                results.append(undefined or Undefined("unknown"))
                continue
            changes = np.array(values, dtype=np.float64) - old
            variance = max(float(of_events[index]), 0.0) + float(changes.var(ddof=1)) / repeats
            results.append(Measurement(float(changes.mean()), math.sqrt(variance)))
        return results


def _quality(results: Sequence[_Result], classes: Sequence[str], sign: int = 1) -> Quality:
    """Results in the order of `_Numbers`; with `sign` −1 changes of areas become decreases."""
    signed = [one if isinstance(one, Undefined) else Measurement(sign * one.value, one.uncertainty) for one in results]
    return Quality(dict(zip(classes, signed, strict=False)), signed[-2], results[-1])


def _numbers(
    scores: NDArray[Any], truth: NDArray[np.integer[Any]], weights: NDArray[np.float64], classes: Sequence[str]
) -> _Numbers:
    influences = np.zeros((len(classes) + 2, len(truth)))
    values: list[float | Undefined] = []
    for index in range(len(classes)):
        order = falling_order(scores[:, index])
        events = SortedEvents(scores[order, index], truth[order] == index, weights[order])
        curve = curve_of_sorted(events)
        if isinstance(curve, RocCurve):
            influences[index, order] = influences_of_sorted(curve, events)
        values.append(curve.auc.value if isinstance(curve, RocCurve) else curve)
    average = _average(values, truth, weights, classes)
    if isinstance(average, Undefined):
        values.append(average)
    else:
        influences[-2] = average[1] @ influences[:-2]
        values.append(average[0])
    loss = _log_loss(scores, truth, weights)
    if isinstance(loss, Undefined):
        values.append(loss)
    else:
        influences[-1] = loss[1]
        values.append(loss[0])
    return _Numbers(values, influences)


def _average(
    values: Iterable[float | Undefined],
    truth: NDArray[np.integer[Any]],
    weights: NDArray[np.float64],
    classes: Sequence[str],
) -> tuple[float, NDArray[np.float64]] | Undefined:
    """Mean of the areas and the shares of the classes, which are taken as known."""
    areas = []
    for name, value in zip(classes, values, strict=True):
        if isinstance(value, Undefined):
            return Undefined(f"class '{name}': {value.reason}")
        areas.append(value)
    sums = np.bincount(truth, weights, minlength=len(classes))
    shares = sums / sums.sum()
    return float(shares @ np.array(areas)), shares


def _log_loss(
    scores: NDArray[Any], truth: NDArray[np.integer[Any]], weights: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]] | Undefined:
    """Log loss and what each event adds to its fluctuation."""
    if undefined := no_sum_of_weights(weights):
        return undefined
    sums = scores.sum(axis=1, dtype=np.float64)
    if not (scores.min() >= -_TOLERANCE and np.abs(sums - 1).max() <= _TOLERANCE):
        return Undefined("the scores are not probabilities, which are positive and 1 in sum")
    losses = log_losses(scores, truth)
    total = float(weights.sum())
    value = float(weights @ losses) / total
    return value, weights * (losses - value) / total


def log_losses(scores: NDArray[Any], truth: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """−ln p of each event, p being the score of its true class, at least 1.2·10⁻⁷."""
    probabilities = scores[np.arange(len(truth)), truth].astype(np.float64)
    losses: NDArray[np.float64] = -np.log(np.clip(probabilities, _SMALLEST_PROBABILITY, 1.0))
    return losses
