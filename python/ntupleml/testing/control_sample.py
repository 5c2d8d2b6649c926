"""Held-out rows of a control sample, simulation and data, scored like tested events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.config import ControlConfig
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Undefined
from ntupleml.metrics.class_scales import scaled_weights
from ntupleml.metrics.sliced_distances import slice_names, slices_of
from ntupleml.testing.tested_events import read_tested_events

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.config import SlicesConfig
    from ntupleml.testing.events import HeldOutSample
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents


class NamedControl(NamedTuple):
    """A control sample and the config and key that name it, for messages."""

    config: ControlConfig
    where: str
    #: Its own, else those of the testing config.
    slices: SlicesConfig | None


class Slices(NamedTuple):
    """In which slice each event is, and what the slices are called."""

    #: Shape (n_events,). None where all events are one slice.
    of_event: NDArray[np.intp] | None
    names: tuple[str, ...]

    @classmethod
    def of(cls, events: TestedEvents, config: SlicesConfig | None) -> Slices:
        """Slices of events whose variable was read."""
        if config is None:
            return cls(None, ("",))
        of_event = slices_of(events.values_of(config.variable), config.edges)
        return cls(of_event, slice_names(config.variable, config.edges))


def named_control(preparation: Preparation) -> NamedControl | None:
    """The control sample of the testing config, else that of the training's adversary, if there is one."""
    training, testing = preparation.training, preparation.testing
    if testing.control is not None:
        named = testing.control, f"{preparation.testing_path}: control"
    elif training.adversary is not None and isinstance(training.adversary.against, ControlConfig):
        named = training.adversary.against, f"{preparation.training_path}: adversary: against"
    else:
        return None
    return NamedControl(*named, named[0].slices or testing.slices)


def control_sample(preparation: Preparation) -> TestedEvents | Undefined:
    """Rows of the folds that the models never saw: class 0 is simulation, class 1 is data.

    Raises
    ------
    NtuplemlError
        For files, trees and branches that are missing, and where one of the two has no rows or no weights.
    """
    named = named_control(preparation)
    if named is None:
        return Undefined("neither the testing config nor an adversary of the training names a control sample")
    config, reading = named.config, preparation.reading
    own_weights = config.event_weights
    variables = [] if named.slices is None else [named.slices.variable]
    events = read_tested_events(
        [_sample(sample, named) for sample in preparation.samples],
        preparation.sources,
        replace(
            reading,
            classes=list(config.classes),
            outputs=reading.outputs or reading.classes,
            values=[],
            spectators=[name for name in variables if name not in reading.variables],
            weight_branch=own_weights or reading.weight_branch,
            weight_key=f"{named.where}: event_weights" if own_weights else reading.weight_key,
            factors={},
            keys=dict.fromkeys(variables, "slices: variable"),
        ),
        tolerant=preparation.tolerant,
    )
    simulation, data = config.classes
    weights = scaled_weights(events.weights, events.truth, events.classes, {simulation: data, data: data})
    if isinstance(weights, Undefined):
        raise NtuplemlError(f"{named.where}: classes: {weights.reason}; both need rows with weights")
    return replace(events, weights=weights) if config.rescale else events


def _sample(sample: HeldOutSample, named: NamedControl) -> HeldOutSample:
    """The fold file that has the trees of the control sample."""
    datasets: Sequence[str] | None = named.config.datasets
    if datasets is None:
        return sample
    where = f"{named.where}: datasets"
    if sample.fold >= len(datasets):
        raise NtuplemlError(
            f"{where}: fold {sample.fold} is wanted, but there are {len(datasets)} files; list all folds"
        )
    return sample._replace(path=datasets[sample.fold], where=f"{where}[{sample.fold}]")
