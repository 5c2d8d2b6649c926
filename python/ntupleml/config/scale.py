"""Luminosity and cross section of a process, by which simulated events count as many as are expected."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, Field

from ntupleml.config.schema import Name, Schema, TreePath


class SumConfig(Schema):
    """A sum over all rows of another tree of the same files, such as one with an entry per job of the generation."""

    #: The tree, with its folders, e.g. `Runs`.
    tree: TreePath
    #: Branch or formula that is summed up, e.g. `genEventSumw`.
    formula: Name


def _positive(value: float | str | SumConfig) -> float | str | SumConfig:
    if isinstance(value, int | float) and not 0 < value < math.inf:
        raise ValueError(f"{value} is not a positive number")
    return value


class ScaleConfig(Schema):
    """Factor of the weights: luminosity × cross section / sum of weights of all generated events."""

    #: Integrated luminosity, in the inverse of the unit of the cross section, e.g. 59.7 in fb⁻¹ with one in fb.
    luminosity: float = Field(gt=0)
    #: Cross section, times branching ratio and filter efficiency.
    cross_section: float = Field(gt=0)
    #: Sum of the weights of all generated events, before any cut: a number; a branch or formula that is summed over
    #: all events of the input files; or a block with another tree of these files.
    sum_of_weights: Annotated[float | Name | SumConfig, AfterValidator(_positive)]
