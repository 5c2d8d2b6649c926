"""The reweight block of the training config: events that train get the distribution that is wanted of a formula."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntupleml.config.schema import ClassNames, Formula, Name, Schema


class WantedConfig(Schema):
    """A distribution that is wanted, one of the keys."""

    #: Class whose distribution is wanted.
    class_: Name | None = Field(default=None, alias="class")
    #: Function of `x`, the value of the formula, e.g. `exp(-x / 50)`.
    formula: Formula | None = None

    @model_validator(mode="after")
    def _one(self) -> WantedConfig:
        if (self.class_ is None) == (self.formula is None):
            raise ValueError("give either class (a name) or formula (a function of x), or flat in place of the block")
        return self


def _flat(value: Any) -> Any:
    if isinstance(value, str):
        if value != "flat":
            raise ValueError(f"found '{value}', but flat is needed, or a block with class or formula")
        return {"formula": "1"}
    return value


class ReweightConfig(Schema):
    """How events are weighted so that a formula gets a distribution."""

    #: Of the fold files, one value per row.
    formula: Formula
    #: ``flat``, or a block.
    to: Annotated[WantedConfig, BeforeValidator(_flat, json_schema_input_type=Literal["flat"] | WantedConfig)] = (
        WantedConfig(formula="1")
    )
    #: Values of the formula between which it holds; rows beyond get the factor of the end that is nearest.
    range: Annotated[list[float], Field(min_length=2, max_length=2)]
    #: Number of bins of the range.
    bins: int = Field(default=20, ge=2, le=10_000)
    #: How the factors follow from those of the bins: straight lines between their centres, or a smoothing spline; both
    #: of the logarithms.
    method: Literal["histogram", "spline"] = "histogram"
    #: Largest factor, where the mean is 1.
    largest: float = Field(default=10.0, gt=1)
    #: Leave rows out at random in place of weighting them.
    resample: bool = False
    #: Classes whose rows are weighted; by default all.
    of: ClassNames | None = None
    #: Whether these get the distribution as one sample, not each by itself; by default where the classes are not what
    #: is learnt.
    together: bool | None = None

    @model_validator(mode="after")
    def _ascending(self) -> ReweightConfig:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range: {self.range[0]} is not below {self.range[1]}")
        return self
