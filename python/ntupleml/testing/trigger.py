"""An anomaly trigger in the tested events: its thresholds, and what it and all others accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.trigger_rates import RateScan, RateThreshold, rate_scan
from ntupleml.metrics.trigger_regions import SCHEMES, TriggerBits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TriggerConfig
    from ntupleml.metrics.trigger_regions import Scheme
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Key of the first level beside the schemes of the second.
L1 = "l1"


class Trigger(NamedTuple):
    """An anomaly trigger, and the events that it decides on."""

    config: TriggerConfig
    events: TestedEvents
    #: Shape (n_events,). Whether the event is of the background.
    is_background: NDArray[np.bool_]
    #: The other classes.
    signals: tuple[str, ...]
    #: Column of the scores that decides.
    output: int
    #: Shape (n_events,). Score of the anomaly trigger of L1, and what other triggers accept.
    l1_scores: NDArray[np.float32]
    l1: NDArray[np.bool_]
    hlt: NDArray[np.bool_]

    @property
    def classes(self) -> tuple[str, ...]:
        """The background, then the signals."""
        return self.config.background, *self.signals

    def of_class(self, name: str) -> NDArray[np.bool_]:
        """Whether the events are of a class."""
        chosen: NDArray[np.bool_] = self.events.truth == self.events.classes.index(name)
        return chosen

    def hlt_scores(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Score that decides, shape (n_events,), from the scores of a model."""
        formula = self.config.hlt.score
        return self.events.values_of(formula) if formula is not None else scores[:, self.output]


class Level(NamedTuple):
    """One decision of the anomaly trigger: all its thresholds, and the one in use."""

    scan: RateScan
    threshold: RateThreshold


class Decisions(NamedTuple):
    """What the anomaly trigger decides with one model's scores."""

    #: Shape (n_events,).
    hlt_scores: NDArray[Any]
    #: By `L1` and scheme.
    levels: dict[str, Level | Undefined]
    #: By scheme, of those that have a threshold.
    bits: dict[Scheme, TriggerBits]

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The numbers that scores are compared with; None where nothing is accepted."""
        return {
            name: None if isinstance(level, Undefined) else level.threshold.threshold
            for name, level in self.levels.items()
        }


def has_trigger(material: Material) -> bool:
    """Whether the testing config describes an anomaly trigger."""
    return material.testing.trigger is not None


def trigger_of(material: Material) -> Trigger:
    """The trigger of the testing config, with the events.

    Raises
    ------
    NtuplemlError
        Where there is none, for a class or an output that is none, and where a decision of other triggers is NaN.
    """
    config, where = named_trigger(material)
    classes = material.classes
    outputs = material.preparation.reading.outputs or classes
    if config.score is not None and config.score not in outputs:
        raise NtuplemlError(f"{where}: score: no score '{config.score}'{did_you_mean(config.score, outputs)}")
    events = material.events
    decided = []
    for key, formula in (("l1", config.l1.triggered), ("hlt", config.hlt.triggered)):
        values = events.values_of(formula)
        if bad := int(np.count_nonzero(np.isnan(values))):
            raise NtuplemlError(
                f"{where}: {key}: triggered: '{formula}' is NaN in {bad} of {len(events)} events; give a formula that "
                "is 0 or 1 for each"
            )
        decided.append(values != 0)
    signals = tuple(name for name in classes if name != config.background)
    return Trigger(
        config,
        events,
        events.truth == classes.index(config.background),
        signals,
        _output(config, outputs, classes),
        events.values_of(config.l1.score),
        *decided,
    )


def named_trigger(material: Material) -> tuple[TriggerConfig, str]:
    """The block of the testing config, and what messages call it."""
    where = f"{material.preparation.testing_path}: trigger"
    config = material.testing.trigger
    if config is None:
        raise NtuplemlError(
            f"{where}: no anomaly trigger is described; give its background, and score, triggered, input_rate and "
            "target_rate of l1 and hlt"
        )
    if config.background not in material.classes:
        hint = did_you_mean(config.background, material.classes)
        raise NtuplemlError(f"{where}: background: no class '{config.background}'{hint}")
    return config, where


def _output(config: TriggerConfig, outputs: Sequence[str], classes: Sequence[str]) -> int:
    if config.score is not None:
        return list(outputs).index(config.score)
    if list(outputs) != list(classes):
        return 0
    return next((index for index, name in enumerate(classes) if name != config.background), 0)


def decisions(trigger: Trigger, scores: NDArray[Any]) -> Decisions:
    """Thresholds from the background, and what they say of all events.

    Parameters
    ----------
    scores : array, shape (n_events, n_outputs)
        Of a model, or of a member of an ensemble.
    """
    config, hlt_scores = trigger.config, trigger.hlt_scores(scores)
    found = Decisions(hlt_scores, {}, {})
    l1 = _level(trigger, trigger.l1_scores, trigger.l1, trigger.is_background, config.l1)
    found.levels[L1] = l1
    for scheme in SCHEMES:
        found.levels[scheme] = l1
        if isinstance(l1, Undefined):
            continue
        l1_anomalous = l1.threshold.accepts(trigger.l1_scores)
        bits = TriggerBits(trigger.l1, trigger.hlt, l1_anomalous, np.zeros(len(hlt_scores), np.bool_))
        input_rate = l1.threshold.total_rate.value if scheme == "l1Seeded" else config.hlt.input_rate
        seeds = trigger.is_background & bits.seeds(scheme)
        level = _level(trigger, hlt_scores, trigger.hlt, seeds, config.hlt, input_rate)
        found.levels[scheme] = level
        if isinstance(level, Level):
            found.bits[scheme] = bits._replace(hlt_anomalous=level.threshold.accepts(hlt_scores))
    return found


def _level(
    trigger: Trigger,
    scores: NDArray[Any],
    already: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    config: Any,
    input_rate: float | None = None,
) -> Level | Undefined:
    rows = np.flatnonzero(chosen)
    rate = config.input_rate if input_rate is None else input_rate
    scan = rate_scan(scores[rows], already[rows], trigger.events.weights[rows], rate)
    return scan if isinstance(scan, Undefined) else Level(scan, scan.threshold(config.target_rate))


class OfModel(NamedTuple):
    """One of several models that score the pooled events: its own threshold, and its rates at the pooled one."""

    own: RateThreshold | Undefined
    pooled: RateThreshold | Undefined


def thresholds_of_models(trigger: Trigger, found: Decisions) -> dict[str, dict[int, OfModel]]:
    """By scheme and model, where there are several models; events and seeds are those of the pooled L1 threshold."""
    models = np.unique(trigger.events.models)
    results: dict[str, dict[int, OfModel]] = {}
    for scheme, bits in found.bits.items() if len(models) > 1 else ():
        level = found.levels[scheme]
        assert isinstance(level, Level)
        for model in models.tolist():
            chosen = trigger.is_background & bits.seeds(scheme) & (trigger.events.models == model)
            rate = level.threshold.input_rate
            own = _level(trigger, found.hlt_scores, trigger.hlt, chosen, trigger.config.hlt, rate)
            results.setdefault(scheme, {})[model] = _of_model(own, level.threshold)
    return results


def _of_model(own: Level | Undefined, pooled: RateThreshold) -> OfModel:
    if isinstance(own, Undefined):
        return OfModel(own, own)
    if pooled.threshold is None:
        return OfModel(own.threshold, Undefined("no threshold"))
    return OfModel(own.threshold, own.scan.at(pooled.threshold, pooled.target_rate))
