"""What searches for settings have found, from the results beside the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.testing.steps import Answer, Group
from ntupleml.tuning.pictures import pictures_of
from ntupleml.tuning.results import read_result, study_results

if TYPE_CHECKING:
    from ntupleml.testing.material import Material

_INTRODUCTION = (
    "Settings were searched by trials: each is a training that is judged on the validation part of its own events, "
    "never on the fold that its model is held out from. The value of the best of many trials is a little too good."
)


def has_searches(material: Material) -> bool:
    """Whether settings of these models were searched."""
    return material.found is not None and bool(study_results(material.found.training.output_path))


def searches(material: Material) -> Answer:
    """A group for each method whose settings were searched."""
    groups = []
    folder = material.preparation.training.output_path
    if not (paths := study_results(folder)):
        raise NtuplemlError(f"{folder}: no settings were searched; training/tune.py does it")
    for path in paths:
        result = read_result(path)
        pictures = tuple(one._replace(name=f"tuning_{one.name}") for one in pictures_of(result))
        groups.append(Group(result.method, (), (), pictures, result.method))
    return Answer(_INTRODUCTION, tuple(groups))
