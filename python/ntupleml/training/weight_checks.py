"""Sums of the event weights of a training, and whether something can be learnt from them: one rule for all engines."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import ClassContent
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree

log = logging.getLogger(__name__)

_FLOAT32 = np.finfo(np.float32)
_LOWER_SPLIT = (
    "a positive sum is needed; lower train_test_split, so that more events validate, or fix the weight_string of the "
    "dataset config"
)


class WeightSums:
    """Sums over the event weights of a class tree, taken chunk by chunk.

    Attributes
    ----------
    entries, negative : int
        Number of events, and of those with a negative weight.
    total, squares : float
        Σw and Σw².
    largest : float
        Largest |w|.
    has_positive : bool
        Whether any weight is positive.
    """

    def __init__(self) -> None:
        self.entries = self.negative = 0
        self.total = self.squares = self.largest = 0.0
        self.has_positive = False

    def add(self, weights: NDArray[np.float64]) -> None:
        """Count some events."""
        self.entries += len(weights)
        self.negative += int(np.count_nonzero(weights < 0))
        with np.errstate(over="ignore"):  # weights whose sums are infinite are refused by what follows
            self.total += float(weights.sum())
            self.squares += float(np.square(weights).sum())
        self.largest = max(self.largest, float(np.abs(weights).max(initial=0.0)))
        self.has_positive = self.has_positive or bool((weights > 0).any())

    def content(self) -> ClassContent:
        """Number, sum of weights, its uncertainty √Σw² and share of the events with negative weights."""
        from ntupleml.artifacts import ClassContent

        return ClassContent(
            entries=self.entries,
            sum_of_weights=self.total,
            uncertainty=float(np.sqrt(self.squares)),
            negative_share=self.negative / max(self.entries, 1),
        )


class SplitSums(NamedTuple):
    """Sums of event weights of one class: all, training and validation events."""

    all: WeightSums
    training: WeightSums
    validation: WeightSums

    @classmethod
    def empty(cls) -> SplitSums:
        """Of no events yet."""
        return cls(WeightSums(), WeightSums(), WeightSums())

    def add(self, weights: NDArray[np.float64], trains: NDArray[np.bool_]) -> None:
        """Count some events, of which some train."""
        self.all.add(weights)
        self.training.add(weights[trains])
        self.validation.add(weights[~trains])


def split_sums(
    weights: NDArray[np.float64], trees: NDArray[np.int64], training: NDArray[np.int64], num_trees: int
) -> list[SplitSums]:
    """Sums for each class tree, of events in memory.

    Parameters
    ----------
    weights : array of float, shape (n_events,)
        Event weights, without class weights.
    trees : array of int, shape (n_events,)
        Index of the class tree that each event is from.
    training : array of int
        Indices of the events that train.
    """
    trains = np.zeros(len(weights), np.bool_)
    trains[training] = True
    sums = [SplitSums.empty() for _ in range(num_trees)]
    for index, one in enumerate(sums):
        rows = trees == index
        one.add(weights[rows], trains[rows])
    return sums


def check_weights(
    config: TrainingConfig,
    trees: Sequence[ClassTree],
    sums: Sequence[SplitSums],
    *,
    balanced: bool = False,
    treated: bool = False,
) -> None:
    """Refuse a training of which a class has no weight to be learnt from.

    Parameters
    ----------
    sums : sequence of SplitSums
        Of each tree.
    balanced : bool
        Batches are balanced: class weights play no part, and each class needs its weight in each condition.
    treated : bool
        Negative weights of the events that train will be treated, so that any positive weight is enough here.

    Raises
    ------
    NtuplemlError
        Naming file, class and sum: for a class without events that train, whose weights are zero or too small or too
        large for 32-bit floats (which all libraries compute in), or whose sum of weights is not positive among the
        events that train or, where it has any, among those that validate.
    """
    validating = 0.0
    groups: dict[tuple[str, str | None], list[int]] = {}
    for index, tree in enumerate(trees):
        groups.setdefault((tree.name, tree.file.condition if balanced else None), []).append(index)
    for members in groups.values():
        first = trees[members[0]]
        others = f" and {len(members) - 1} more" if len(members) > 1 else ""
        where = f"{first.file.path}{others}: class '{first.name}'"
        factors = [1.0 if balanced else weight_factor(config, trees[index]) for index in members]
        training = _Part([sums[index].training for index in members], factors, not balanced)
        validation = _Part([sums[index].validation for index in members], factors, not balanced)
        if not training.entries:
            raise NtuplemlError(f"{where}: none of its events is in the training part; it needs more events")
        if config.event_weights is not None:
            where += f": branch '{config.event_weights}'"
        if training.is_useless or not (training.has_positive if treated else training.total > 0):
            raise NtuplemlError(f"{where}: the weights of its {_number(training, 'train')}; {_remedy(training)}")
        # What a treatment of negative weights makes of a class on which they prevail is judged by the treatment.
        is_negative = treated and not training.total > 0 and validation.has_positive
        if validation.entries and (validation.is_useless or not (is_negative or validation.total > 0)):
            raise NtuplemlError(f"{where}: the weights of its {_number(validation, 'validate')}; {_LOWER_SPLIT}")
        validating += validation.total
    if not validating > 0:
        raise NtuplemlError(f"{trees[0].file.path}: all weights that validate sum to {validating:.6g}; {_LOWER_SPLIT}")


def with_balanced_classes(
    config: TrainingConfig, trees: Sequence[ClassTree], sums: Sequence[SplitSums]
) -> TrainingConfig:
    """The config with numbers in place of class weights that come from the events that train.

    With sums of weights W_c of the events of K classes that train, and their sum W, ``balanced`` gives class c the
    weight W / (K W_c): all classes weigh the same, and together as much as before. A class that names class b, of the
    weight w_b, gets w_b W_b / W_c. In each condition (era) by itself.

    Raises
    ------
    NtuplemlError
        Naming file, class and sum where this is not positive.
    """
    found: dict[str | None, dict[str, float]] = {}
    for condition in dict.fromkeys(tree.file.condition for tree in trees):
        given = config.given_class_weights(condition)
        if given is None or not config.has_balanced_classes(condition):
            continue
        totals: dict[str, float] = {}
        for tree, one in zip(trees, sums, strict=True):
            if tree.file.condition == condition and one.training.entries:
                totals[tree.name] = totals.get(tree.name, 0.0) + one.training.total
        if isinstance(given, str):
            needed, how = set(totals), f"class_weights: {given}"
        else:
            pairs = {name: other for name, other in given.items() if isinstance(other, str)}
            needed, how = {*pairs, *pairs.values()}, f"class_weights: {', '.join(map(': '.join, pairs.items()))}"
        bad = [tree for tree in trees if tree.name in needed and not totals.get(tree.name, 1.0) > 0]
        if bad:
            name = bad[0].name
            raise NtuplemlError(
                f"{bad[0].file.path}: class '{name}': the weights of its events that train sum to {totals[name]:.6g}; "
                f"{how} needs a positive sum; fix weight_string or cut_string of the dataset config"
            )
        found[condition] = {name: _class_weight(name, given, totals) for name in config.classes}
        shown = ", ".join(f"{name} {weight:.6g}" for name, weight in found[condition].items())
        kind = "balanced class weights" if isinstance(given, str) else "class weights"
        log.info("%s%s: %s", kind, "" if condition is None else f" of {condition}", shown)
    return config.with_class_weights(found) if found else config


def _class_weight(name: str, given: Mapping[str, float | str] | str, totals: Mapping[str, float]) -> float:
    """Number of a class by the sums of weights that train; 1 where there are none, which is refused later."""
    if isinstance(given, str):
        return sum(totals.values()) / len(totals) / totals[name] if name in totals else 1.0
    weight = given[name]
    if not isinstance(weight, str):
        return weight
    return float(given[weight]) * totals[weight] / totals[name] if {name, weight} <= totals.keys() else 1.0


def weight_factor(config: TrainingConfig, tree: ClassTree) -> float:
    """Factor of the event weights of a tree: class weight × global scale."""
    return config.class_weights_of(tree.file.condition)[tree.name] * config.global_weight_scale


class _Part:
    """The events of one class that train, or that validate, with the factors of their weights, tree by tree."""

    def __init__(self, sums: Sequence[WeightSums], factors: Sequence[float], as_float32: bool) -> None:
        pairs = list(zip(sums, factors, strict=True))
        self.entries = sum(one.entries for one in sums)
        self.largest_unscaled = max(one.largest for one in sums)
        self.largest_factor = max(factors)
        self.total = sum(one.total * factor for one, factor in pairs)
        self.has_positive = any(one.has_positive and factor > 0 for one, factor in pairs)
        largest = max(one.largest * abs(factor) for one, factor in pairs)
        self.is_infinite = not np.isfinite(self.total) or (as_float32 and largest > float(_FLOAT32.max))
        self.is_zero = largest < (float(_FLOAT32.tiny) if as_float32 else np.nextafter(0.0, 1.0))

    @property
    def is_useless(self) -> bool:
        """Whether all weights are zero, or some infinite, as the libraries see them."""
        return self.is_infinite or self.is_zero


def _number(part: _Part, verb: str) -> str:
    events = f"{part.entries:,} events that {verb}" if part.entries > 1 else f"one event that {verb}s"
    return f"{events} sum to {part.total:.6g}"


def _remedy(part: _Part) -> str:
    """What to do about events that cannot train a class."""
    if part.is_infinite:
        return "32-bit floats cannot hold them; fix the weight_string of the dataset config"
    if part.largest_factor <= 0:
        return "class_weights has to be positive (to leave a class out, take it out of classes)"
    if part.largest_unscaled == 0:
        return "all are zero; fix the weight_string of the dataset config"
    if part.is_zero:
        return "they are zero as 32-bit floats; raise global_weight_scale so that their mean is near 1"
    return (
        "a positive sum is needed, but negative weights prevail; fix weight_string or cut_string of the dataset config"
    )
