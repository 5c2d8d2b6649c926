"""Config of an anomaly trigger of two levels: other triggers, rates, variables of the pictures."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator

from ntupleml.config.schema import ClassName, Formula, MethodName, Name, Schema, TextKeys

Rate = Annotated[float, Field(gt=0)]


class L1Config(Schema):
    """The anomaly trigger of the first level."""

    #: Formula of its score.
    score: Formula
    #: Formula that is not zero where the other triggers of this level accept an event.
    triggered: Formula
    #: Rate in Hz of all events.
    input_rate: Rate
    #: Rate in Hz that the pure rate is below.
    target_rate: Rate


class HltConfig(Schema):
    """The anomaly trigger of the second level: the tested model."""

    #: Formula in place of the score of the tested model.
    score: Formula | None = None
    #: Formula that is not zero where the other triggers of this level accept an event.
    triggered: Formula
    #: Rate in Hz of all events that the first level accepts.
    input_rate: Rate
    #: Rate in Hz that the pure rate is below.
    target_rate: Rate


class VariableConfig(Schema):
    """What an efficiency is shown against."""

    #: Formula of one number per row.
    formula: Formula
    #: Edges of the bins, each with its lower edge; rows beyond them are left out. By default even bins of all rows.
    edges: Annotated[list[float], Field(min_length=2)] | None = None
    #: Label of the axis, with the unit; by default the formula.
    label: Name | None = None

    @field_validator("edges")
    @classmethod
    def _ascending(cls, edges: list[float] | None) -> list[float] | None:
        for low, high in pairwise(edges or []):
            if not low < high:
                raise ValueError(f"{low} is not below {high}; give ascending edges")
        return edges


class TriggerConfig(Schema):
    """An anomaly trigger of two levels, beside triggers that are there already."""

    #: Class of recorded or simulated events whose rate counts; the others are signals.
    background: ClassName
    #: Class or output of the tested model whose score decides; by default the first output, of classes the first
    #: that is not the background.
    score: Name | None = None
    #: The first level.
    l1: L1Config
    #: The second level.
    hlt: HltConfig
    #: What efficiencies are shown against, by what names of files have.
    variables: Annotated[dict[MethodName, VariableConfig], TextKeys] = {}

    @property
    def formulas(self) -> dict[str, Formula]:
        """What is read beside the inputs, by the key that names it."""
        found = {"l1: score": self.l1.score, "l1: triggered": self.l1.triggered, "hlt: triggered": self.hlt.triggered}
        if self.hlt.score is not None:
            found["hlt: score"] = self.hlt.score
        return found | {f"variables: {name}: formula": one.formula for name, one in self.variables.items()}
