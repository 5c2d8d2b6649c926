"""What steps are made of: events that are read when the first step asks for them, and what several steps share."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ntupleml.config import TestingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.metrics.class_rocs import ClassRocs, class_rocs
from ntupleml.targets import COMPONENTS
from ntupleml.testing.blinding import blinded_events
from ntupleml.testing.control_sample import control_sample
from ntupleml.testing.preparation import Preparation, recorded_data, tested_events
from ntupleml.testing.signals import signals_of
from ntupleml.testing.tested_events import TestedEvents, shares_of_classes
from ntupleml.testing.training_part import training_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.metrics import Measurement

log = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Key of what is of the events of all models together.
POOLED = "all"
#: Distinguishes the random numbers of the sampling from those of other purposes.
_SAMPLING_STREAM = 13


def _announce_nothing(_names: Iterable[str]) -> None:
    """Nothing is written."""


@dataclass(eq=False)
class Material:
    """Events and results that several steps use."""

    #: None where there are nothing but events.
    found: Preparation | None
    #: A step tells it which files it will write, by name (and ending of what is no picture), before it computes
    #: anything.
    announce: Callable[[Iterable[str]], None] = field(default=_announce_nothing)
    #: Whether the report is made: several classes are panels of one picture, and all methods share the same events.
    for_page: bool = False

    @classmethod
    def of(cls, subject: Preparation | TestedEvents) -> Material:
        """Material of events that are to be read, or are there already."""
        if isinstance(subject, Preparation):
            return cls(subject)
        material = cls(None)
        material.events = subject
        return material

    @property
    def preparation(self) -> Preparation:
        """What was decided before events were read.

        Raises
        ------
        NtuplemlError
            Where there is nothing but events.
        """
        if self.found is None:
            raise NtuplemlError("this step needs the trained models, not their scores alone; give it a preparation")
        return self.found

    @property
    def testing(self) -> TestingConfig:
        """The testing config, or its defaults."""
        return TestingConfig() if self.found is None else self.found.testing

    @property
    def target(self) -> str:
        """What the models have learnt, a target of a training config."""
        if self.found is not None:
            return self.found.training.target_kind
        if not self.events.outputs:
            return "classes"
        if not len(self.events.target):
            return "reconstruction"
        return "image" if self.events.outputs[: len(COMPONENTS)] == [*COMPONENTS] else "values"

    @property
    def classes(self) -> list[str]:
        """Names of the classes, before any events are read."""
        return self.events.classes if self.found is None else list(self.found.reading.classes)

    @property
    def signals(self) -> list[str]:
        """Classes that are signals; none where nothing says so."""
        return signals_of(self.testing, self.classes)

    @property
    def inputs(self) -> list[str]:
        """Inputs of the training config, or all that events have."""
        return self.events.variables if self.found is None else list(self.found.reading.variables)

    @property
    def variables(self) -> list[str]:
        """Inputs and spectators, without what only some steps need."""
        return list(dict.fromkeys([*self.inputs, *self.testing.spectators]))

    @property
    def class_weights(self) -> tuple[dict[str, float], bool]:
        """Class weights of the training, and whether the weights of the events have them already."""
        if self.found is None:
            return {}, False
        return self.found.training.class_weights_of(self.found.condition), bool(self.found.reading.factors)

    @cached_property
    def events(self) -> TestedEvents:
        """Held-out events with the scores of all methods."""
        return tested_events(self.preparation)

    @cached_property
    def _recorded(self) -> TestedEvents | Undefined:
        """All recorded data, the blinded ones too."""
        if self.found is None:
            return Undefined("no recorded data were read")
        return self.tried(lambda: recorded_data(self.preparation), "recorded data")

    @property
    def data(self) -> TestedEvents | Undefined:
        """Recorded data, without those that the main method's scores blind."""
        return self.data_of(self.methods[0])

    def data_of(self, method: str) -> TestedEvents | Undefined:
        """Recorded data with scores of a method, without those that its scores blind; see `ntupleml.testing.blinding`.

        Undefined, with the reason, where there are none.
        """
        data = self._recorded
        if isinstance(data, Undefined):
            return data
        if method not in data.scores:
            return Undefined(data.left_out.get(method, "no scores"))
        hidden = self.blinded(data, method)
        return data if hidden is None else data.chosen(np.flatnonzero(~hidden))

    def blinded(self, events: TestedEvents, method: str) -> NDArray[np.bool_] | None:
        """Which events lie where data are not looked at, by the scores of a method; None where nothing is blinded."""
        formula = self.testing.blind
        where = "testing config" if self.found is None else self.found.testing_path
        return None if formula is None else blinded_events(events, method, formula, f"{where}: blind")

    @cached_property
    def control(self) -> TestedEvents | Undefined:
        """Held-out rows of a control sample, the names of the scores as `outputs`: simulation (0) and data (1)."""
        if self.found is None:
            return Undefined("no control sample was read")
        return self.tried(lambda: control_sample(self.preparation), "the control sample")

    @cached_property
    def _training_parts(self) -> dict[str, TestedEvents | Undefined]:
        return {}

    def training_part(self, method: str) -> TestedEvents | Undefined:
        """Sample of the events that the models of a method were fitted on."""
        if self.found is None:
            return Undefined("the events of the training were not read")
        if method not in self._training_parts:
            what = f"{method}: the events that it was fitted on"
            tested = self.__dict__.get("events")
            self._training_parts[method] = self.tried(
                lambda: training_part(self.preparation, method, tested=tested), what
            )
        return self._training_parts[method]

    def tried(self, make: Callable[[], Result], what: str) -> Result | Undefined:
        """What a function gives; where methods may be left out, the reason in place of its error."""
        return attempt(make, what) if self.preparation.tolerant else make()

    @cached_property
    def rocs(self) -> dict[str, dict[str, ClassRocs]]:
        """ROC curves by method, then by model (index as text) and `POOLED`; pairs of classes only for the latter."""
        return {name: self._rocs(name) for name in self.events.scores}

    def _rocs(self, method: str) -> dict[str, ClassRocs]:
        events, scores = self.events, self.events.scores[method]
        found = {POOLED: class_rocs(scores, events.truth, events.weights, events.classes)}
        models = [] if self.found is None or len(self.found.models) == 1 else self.found.models
        for model in models:
            chosen = np.flatnonzero(events.models == model)
            found[str(model)] = class_rocs(
                scores[chosen], events.truth[chosen], events.weights[chosen], events.classes, pairs=False
            )
        return found

    @property
    def methods(self) -> list[str]:
        """Methods that have scores, the main one first: the testing config's, else the network, else the first."""
        main = self.testing.method or "keras"
        return sorted(self.events.scores, key=lambda name: name != main)

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.testing.seed

    def areas(self, method: str) -> dict[int, dict[str, Measurement | Undefined]]:
        """Areas against the rest by model and class."""
        models = [0] if self.found is None else self.found.models
        of_models = {model: self.rocs[method][str(model) if len(models) > 1 else POOLED] for model in models}
        return {
            model: {name: one if isinstance(one, Undefined) else one.auc for name, one in found.against_rest.items()}
            for model, found in of_models.items()
        }

    def records(self, method: str) -> list[TrainingRecord]:
        """Records of a method's models, none for an external model."""
        return [model.record for model in self.preparation.trained.get(method, [])]

    def at_most(self, number: int) -> Material:
        """The same with no more than about so many events: a sample of those that are read, else fewer are read."""
        found = self.found
        if found is not None:
            reading = replace(found.reading, max_events=min(found.reading.max_events, number))
            found = replace(found, reading=reading)
        fewer = Material(found, self.announce, self.for_page)
        if "events" in self.__dict__:
            fewer.events = sample(self.events, number, self.seed)
        return fewer


def attempt(make: Callable[[], Result], what: str) -> Result | Undefined:
    """What a step makes, or the reason why it cannot; errors of the program are raised."""
    try:
        return make()
    except NtuplemlError as error:
        log.warning("%s: left out of the report: %s", what, error)
        return Undefined(str(error))


def sample(events: TestedEvents, most: int, seed: int) -> TestedEvents:
    """About `most` events, as evenly from the classes as their numbers allow, and weighted up."""
    numbers = np.bincount(events.truth, minlength=len(events.classes))
    shares = np.array(shares_of_classes(numbers.tolist(), most))
    if (shares == 1).all():
        return events
    random = np.random.default_rng([seed, _SAMPLING_STREAM])
    kept = np.flatnonzero(random.random(len(events)) < shares[events.truth])
    chosen = events.chosen(kept)
    taken = {name: float(share) for name, share in zip(events.classes, shares, strict=True) if share < 1}
    sampled = {name: events.sampled.get(name, 1.0) * taken.get(name, 1.0) for name in {**events.sampled, **taken}}
    return replace(chosen, weights=chosen.weights / shares[chosen.truth], sampled=sampled)
