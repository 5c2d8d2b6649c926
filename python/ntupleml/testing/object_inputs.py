"""The objects that models take: how many there are, and their variables, of all objects and of the first ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions.instances import starts_of
from ntupleml.testing.input_columns import Images, InputColumns, columns_of_objects, labels_of_objects
from ntupleml.testing.input_summary import summary_of_rows
from ntupleml.testing.inputs import IN_ONE_PICTURE, inputs_pictures
from ntupleml.testing.method_inputs import read_groups
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.metrics.input_binning import Binning
    from ntupleml.metrics.inputs import InputSummary
    from ntupleml.plots.pictures import Picture
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Events that are read unless more are asked for, and places (first, second, …) that have pictures of their own.
_MOST_EVENTS, _PLACES = 100_000, 4
_ORDINALS = ("first", "second", "third", "fourth")
_NO_METHOD = ""
_INTRODUCTION = (
    "Objects of the tested events as the models take them: selected, sorted and cut, with the weights of their events, "
    "each class normalised to 1. All and single places have the same ranges. Uncertainties take objects of the same "
    "event for independent."
)


class ObjectSummaries(NamedTuple):
    """What a collection of objects looks like."""

    #: Of all objects.
    pooled: InputSummary
    #: Of the first, second, … object of each event that has so many; none where no event has two.
    by_place: list[InputSummary]


def takes_objects(material: Material) -> bool:
    """Whether models of the training take objects."""
    return material.found is not None and bool(_methods(material))


def object_inputs(material: Material) -> Answer:
    """Numbers of objects, and the distributions and correlations of their variables."""
    preparation, methods = material.preparation, _methods(material)
    if not methods:
        raise NtuplemlError(
            f"{preparation.training_path}: inputs: no group of objects, whose variables could be shown; numbers per "
            "event are shown by dataset/validate_inputs.py"
        )
    material.announce(_names(_groups(material, methods[0])))
    asked = None if material.for_page else preparation.asked_events
    read = read_groups(material.at_most(asked or _MOST_EVENTS).preparation, methods[0], scored=False)
    if read.values is None:
        raise NtuplemlError(f"{preparation.training_path}: datasets: no events in the fold files that are tested")
    numbers, found = summaries_of_objects(read.events, InputColumns.of(read.values, read.groups))
    groups = [Group("Numbers of objects", (), (), tuple(_panels(numbers, "numbers", "events")), _NO_METHOD)]
    for name, one in found.items():
        pictures = _renamed(inputs_pictures(one.pooled, in_panels=True, unit="objects"), name)
        if len(one.pooled.variables) == 1:
            pictures = [picture for picture in pictures if "correlations" not in picture.name]
        for number, summary in enumerate(one.by_place, start=1):
            panels = _panels(summary, f"{name}_place{number}", "objects")
            pictures += [
                one._replace(caption=f"The {_ORDINALS[number - 1]} of {name}. {one.caption}") for one in panels
            ]
        groups.append(Group(name, (), (), tuple(pictures), _NO_METHOD, is_open=len(groups) == 1))
    return Answer(_INTRODUCTION, tuple(groups), numbers={"numbers": numbers, **found})


def summaries_of_objects(
    events: TestedEvents, columns: InputColumns
) -> tuple[InputSummary, dict[str, ObjectSummaries]]:
    """Numbers of objects per event, and what the objects look like, by group or collection."""
    import awkward as ak

    counts: dict[str, NDArray[np.int64]] = {}
    found: dict[str, ObjectSummaries] = {}
    for name, own in columns.vectors.items():
        if isinstance(columns.columns[own[0]], Images):
            continue
        number = counts[name] = np.asarray(ak.num(columns.columns[own[0]]), np.int64)
        values = np.stack([np.asarray(ak.flatten(columns.columns[one]), np.float32) for one in own], axis=1)
        owners = np.repeat(np.arange(len(events)), number)
        places = np.arange(len(owners)) - starts_of(number)[owners]
        variables = [one.removeprefix(f"{name}.") for one in own]

        def summed(chosen: NDArray[np.bool_], binnings: Mapping[str, Binning] | None = None) -> InputSummary:
            of_events = owners[chosen]  # noqa: B023  (called before the next turn)
            truth, weights = events.truth[of_events], events.weights[of_events]
            return summary_of_rows(values[chosen], truth, weights, events, variables, binnings)  # noqa: B023

        pooled = summed(np.ones(len(owners), np.bool_))
        several = min(int(number.max(initial=0)), _PLACES) if number.max(initial=0) > 1 else 0
        found[name] = ObjectSummaries(pooled, [summed(places == place, pooled.binnings) for place in range(several)])
    numbers = np.stack([one.astype(np.float32) for one in counts.values()], axis=1)
    variables = [f"number of {name}" for name in counts]
    return summary_of_rows(numbers, events.truth, events.weights, events, variables), found


def _methods(material: Material) -> list[str]:
    """Methods that take objects, those of the training config first."""
    return [
        name
        for name in (*material.preparation.trained, *material.preparation.methods)
        if any(group.objects is not None for group in _groups(material, name))
    ]


def _groups(material: Material, method: str) -> list[InputGroup]:
    sources = material.preparation.sources[material.preparation.models[0]]
    return next((source.groups for source in sources if source.method == method), [])


def _panels(summary: InputSummary, name: str, unit: str) -> list[Picture]:
    """Distributions alone."""
    pictures = inputs_pictures(summary, in_panels=True, unit=unit)
    return _renamed([one for one in pictures if one.name.removeprefix("inputs_").isdigit()], name)


def _renamed(pictures: Sequence[Picture], name: str) -> list[Picture]:
    return [one._replace(name=f"objects_{name}_{one.name.removeprefix('inputs_')}") for one in pictures]


def _names(groups: Sequence[InputGroup]) -> Iterator[str]:
    """All pictures that there may be."""
    labels = labels_of_objects(groups)
    numbers = {name: len(columns_of_objects(one)) for one in groups for name in labels.get(one.name, [])}
    for name, number in {"numbers": len(numbers), **numbers}.items():
        yield from (f"objects_{name}_{one}" for one in ("separation", "correlations", "correlations_difference"))
        for part in range(1, -(-number // IN_ONE_PICTURE) + 1):
            yield f"objects_{name}_{part}"
            yield from (f"objects_{name}_place{place}_{part}" for place in range(1, _PLACES + 1))
