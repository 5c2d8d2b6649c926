"""What the sections of the report are made of: the events, read once for all methods, and what several sections use."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.metrics.class_rocs import ClassRocs, class_rocs
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.testing.preparation import recorded_data, tested_events

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.metrics import Measurement
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Key of what is of the events of all models together.
POOLED = "all"


@dataclass(frozen=True, eq=False)
class Material:
    """Events and results that several sections use.

    Attributes
    ----------
    preparation : Preparation
    events : TestedEvents
        Held-out events with the scores of all methods.
    data : TestedEvents or Undefined
        Recorded data.
    training_parts : dict of str to TestedEvents or Undefined
        Sample of the events that the models were fitted on, by method.
    rocs : dict of str to dict of str to ClassRocs
        By method, then by model (its index as text) and `POOLED`; pairs of classes only for the latter.
    """

    preparation: Preparation
    events: TestedEvents
    data: TestedEvents | Undefined
    training_parts: dict[str, TestedEvents | Undefined]
    rocs: dict[str, dict[str, ClassRocs]]

    @property
    def methods(self) -> list[str]:
        """Methods that have scores, the main one first: the testing config's, else the network, else the first."""
        names = list(self.events.scores)
        main = self.preparation.testing.method or "keras"
        return sorted(names, key=lambda name: name != main)

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.preparation.testing.seed

    def areas(self, method: str) -> dict[int, dict[str, Measurement | Undefined]]:
        """Areas against the rest by model and class."""
        models = self.preparation.models
        of_models = {model: self.rocs[method][str(model) if len(models) > 1 else POOLED] for model in models}
        return {
            model: {name: one if isinstance(one, Undefined) else one.auc for name, one in found.against_rest.items()}
            for model, found in of_models.items()
        }

    def records(self, method: str) -> list[TrainingRecord]:
        """Records of a method's models, none for an external model."""
        return [model.record for model in self.preparation.trained.get(method, [])]


@files_kept_open()
def gather(preparation: Preparation) -> Material:
    """Read and score all events, and compute what several sections use.

    Raises
    ------
    NtuplemlError
        If no method can score the events, or the fold files cannot be read.
    """
    events = tested_events(preparation)
    if not events.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in events.left_out.items())
        raise NtuplemlError(f"{preparation.training_path}: no method is left that can be tested: {reasons}")
    log.info("%d events scored by %s", len(events), ", ".join(events.scores))
    return Material(
        preparation,
        events,
        attempt(lambda: recorded_data(preparation), "recorded data"),
        {name: _training_part(preparation, name) for name in events.scores},
        {name: _rocs(events, name, preparation.models) for name in events.scores},
    )


def _rocs(events: TestedEvents, method: str, models: Sequence[int]) -> dict[str, ClassRocs]:
    scores = events.scores[method]
    found = {POOLED: class_rocs(scores, events.truth, events.weights, events.classes)}
    if len(models) == 1:
        return found
    for model in models:
        chosen = np.flatnonzero(events.models == model)
        found[str(model)] = class_rocs(
            scores[chosen], events.truth[chosen], events.weights[chosen], events.classes, pairs=False
        )
    return found


def _training_part(preparation: Preparation, method: str) -> TestedEvents | Undefined:
    from ntupleml.testing.training_sample import training_part

    return attempt(lambda: training_part(preparation, method), f"{method}: the events that it was fitted on")


def attempt(make: Callable[[], Result], what: str) -> Result | Undefined:
    """What a step makes, or the reason why it cannot; errors of the program are raised."""
    try:
        return make()
    except NtuplemlError as error:
        log.warning("%s: left out of the report: %s", what, error)
        return Undefined(str(error))
