"""The adversary: what the scores of a network must not tell, and how it is trained not to."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from ntupleml.config.schema import ClassNames, FilePaths, Formula, Name, Names, Schema


class SlicesConfig(Schema):
    """Slices of a formula, such as a pT, in which samples are compared."""

    #: Formula of one number per row.
    variable: Formula
    #: Inner edges: below the first, between them, and above the last. A row on an edge is in the slice above it.
    edges: Annotated[list[float], Field(min_length=1)]

    @field_validator("edges")
    @classmethod
    def _ascending(cls, edges: list[float]) -> list[float]:
        for low, high in pairwise(edges):
            if not low < high:
                raise ValueError(f"{low} is not below {high}; give ascending edges")
        return edges


class ControlConfig(Schema):
    """A control sample: simulation and data whose scores are to be distributed alike."""

    #: Two trees of the fold files: simulation, then data.
    classes: Annotated[ClassNames, Field(min_length=2, max_length=2)]
    #: Fold files with these trees, fold by fold; by default those of the training.
    datasets: FilePaths | None = None
    #: Branch of event weights; by default that of the training.
    event_weights: Name | None = None
    #: Scale the weights of the simulation so that both sums are the same; else they are used as they are.
    rescale: bool = True
    #: Slices in which the Kolmogorov-Smirnov distances are computed, epoch by epoch, and summed; by default all rows
    #: are one.
    slices: SlicesConfig | None = None


def _control_or_formulas(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class AdversaryConfig(Schema):
    """A second network that reads the scores; the first is trained so that it learns nothing from them."""

    #: A control sample, or formulas (nuisances, such as a mass) of which the scores must not depend.
    against: Annotated[
        Annotated[ControlConfig, Tag("[control]")] | Annotated[Names, Tag("[formulas]")],
        Discriminator(lambda value: "[formulas]" if isinstance(value, list) else "[control]"),
        BeforeValidator(_control_or_formulas, json_schema_input_type=str | Names | ControlConfig),
    ]
    #: With formulas: classes whose rows count; by default all.
    of: Names | None = None
    #: With formulas: number of bins, with the same sum of weights of a class each, that the adversary tells apart.
    bins: int = Field(default=8, ge=2, le=1000)
    #: Factor λ of the adversary's loss; by default 5 against a control sample, 1 against formulas.
    weight: float | None = Field(default=None, ge=0, validation_alias=AliasChoices("weight", "adversary_weight"))
    #: ``reversal``: one step, in which the gradient of the adversary reaches the network with −λ. ``alternating``:
    #: `steps` steps of the adversary, then one of the network with the loss of the classes − λ · that of the adversary.
    method: Literal["reversal", "alternating"] = "reversal"
    #: Epochs over which λ rises from 0 to `weight`.
    ramp: int = Field(default=10, ge=0)
    #: Steps of the adversary for each step of the network, with ``alternating``.
    steps: int = Field(default=2, ge=1, le=100)
    #: Widths of the adversary's hidden layers, each normalised over the batch before it.
    hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)] = [32, 32]
    #: Activation of the adversary's hidden layers.
    activation: Name = "tanh"
    #: Learning rate of the adversary; by default that of the network.
    learning_rate: float | None = Field(default=None, gt=0)
    #: Largest sum of the Kolmogorov-Smirnov distances (of the score in which it is largest) that an epoch may have to
    #: count as the best; where no epoch reaches it, the one that comes nearest is taken.
    ks_limit: float | None = Field(default=None, gt=0)

    @property
    def strength(self) -> float:
        """Factor λ of the adversary's loss."""
        if self.weight is not None:
            return self.weight
        return 5.0 if isinstance(self.against, ControlConfig) else 1.0

    @model_validator(mode="after")
    def _consistent(self) -> AdversaryConfig:
        if isinstance(self.against, ControlConfig):
            for key in ("of", "bins"):
                if key in self.model_fields_set:
                    raise ValueError(f"{key}: is for formulas; a control sample has its two classes")
        elif self.ks_limit is not None:
            raise ValueError("ks_limit: is for a control sample; formulas have no Kolmogorov-Smirnov distance")
        if self.method == "reversal" and "steps" in self.model_fields_set:
            raise ValueError("steps: is for method: alternating")
        return self
