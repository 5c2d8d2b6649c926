"""The reweight block of the training config: events that train get the distribution that is wanted of formulas."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ntupleml.config.schema import ClassNames, Formula, Name, Schema, as_list, distinct

#: Bins of a formula where the config does not say.
_BINS = 20
#: Bins of all formulas together, which bounds the memory.
_MOST_BINS = 1_000_000

_Formulas = Annotated[
    list[Formula],
    Field(min_length=1),
    AfterValidator(distinct),
    BeforeValidator(as_list, json_schema_input_type=Formula | list[Formula]),
]
_Range = Annotated[list[float], Field(min_length=2, max_length=2)]
_Bins = Annotated[int, Field(ge=2, le=10_000)]


class WantedConfig(Schema):
    """A distribution that is wanted, one of the keys."""

    #: Class whose distribution is wanted.
    class_: Name | None = Field(default=None, alias="class")
    #: Function of `x`, the value of the formula, e.g. `exp(-x / 50)`; of several formulas, of `x1`, `x2`, ….
    formula: Formula | None = None

    @model_validator(mode="after")
    def _one(self) -> WantedConfig:
        if (self.class_ is None) == (self.formula is None):
            raise ValueError("give either class (a name) or formula (a function of x), or flat in place of the block")
        return self


class BoostedConfig(Schema):
    """Settings of boosted reweighting."""

    #: Always `boosted`.
    type: Literal["boosted"] = "boosted"
    #: Number of trees.
    trees: int = Field(default=40, ge=1, le=10_000)
    #: Cuts between the root of a tree and a leaf.
    depth: int = Field(default=3, ge=1, le=10)
    #: Share of the logarithm of the ratio in a leaf by which the weights change.
    learning_rate: float = Field(default=0.2, gt=0, le=1)
    #: Smallest effective number of rows of each of the two samples in a leaf.
    least: float = Field(default=200.0, ge=1)
    #: Share of the rows, drawn anew for each tree, that it is built from.
    subsample: float = Field(default=1.0, gt=0, le=1)


def _flat(value: Any) -> Any:
    if isinstance(value, str):
        if value != "flat":
            raise ValueError(f"found '{value}', but flat is needed, or a block with class or formula")
        return {"formula": "1"}
    return value


def _boosted(value: Any) -> Any:
    if isinstance(value, dict) or value == "boosted":
        return {"type": "boosted"} if value == "boosted" else value
    if value not in ("histogram", "spline"):
        raise ValueError(f"found {value!r}, but histogram, spline or boosted is needed, or a block with type: boosted")
    return value


def _one_or_several(value: Any) -> Any:
    """One range for one formula as a list of ranges, whatever else as it is."""
    if isinstance(value, list) and value and not any(isinstance(one, list) for one in value):
        return [value]
    return value


class ReweightConfig(Schema):
    """How events are weighted so that formulas get a distribution."""

    #: Of the fold files, one value per row; or a list of formulas, whose common distribution is changed.
    formula: _Formulas
    #: ``flat``, or a block.
    to: Annotated[WantedConfig, BeforeValidator(_flat, json_schema_input_type=Literal["flat"] | WantedConfig)] = (
        WantedConfig(formula="1")
    )
    #: Values of the formula between which it holds, for several formulas a list of such pairs; rows beyond get the
    #: factor of the end that is nearest. Not for `boosted`, which needs none.
    range: (
        Annotated[
            list[_Range],
            BeforeValidator(_one_or_several, json_schema_input_type=_Range | list[_Range]),
        ]
        | None
    ) = None
    #: Number of bins of the range, 20 by default; for several formulas one number, or a list.
    bins: _Bins | list[_Bins] | None = None
    #: How the factors follow from those of the bins: straight lines between their centres, or a smoothing spline (for
    #: one formula); both of the logarithms. `boosted`, or a block with this `type`: by boosted trees, without bins.
    method: Annotated[
        Literal["histogram", "spline"] | BoostedConfig,
        BeforeValidator(_boosted, json_schema_input_type=Literal["histogram", "spline", "boosted"] | BoostedConfig),
    ] = "histogram"
    #: Largest factor, where the mean is 1.
    largest: float = Field(default=10.0, gt=1)
    #: Leave rows out at random in place of weighting them.
    resample: bool = False
    #: Classes whose rows are weighted; by default all.
    of: ClassNames | None = None
    #: Whether these get the distribution as one sample, not each by itself; by default where the classes are not what
    #: is learnt.
    together: bool | None = None

    @property
    def numbers_of_bins(self) -> tuple[int, ...]:
        """Number of bins of each formula."""
        bins = _BINS if self.bins is None else self.bins
        return tuple(bins) if isinstance(bins, list) else (bins,) * len(self.formula)

    @model_validator(mode="after")
    def _fits(self) -> ReweightConfig:
        if isinstance(self.method, BoostedConfig):
            if self.to.class_ is None:
                raise ValueError("to: boosted reweighting learns from the rows of a class; give to: {class: NAME}")
            for key in ("range", "bins"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: boosted reweighting has no bins; leave it out")
            return self
        if self.range is None:
            raise ValueError("range: missing; give the values of the formula between which it holds, e.g. [0, 100]")
        for key, number in (("range", len(self.range)), ("bins", len(self.numbers_of_bins))):
            if number != len(self.formula):
                raise ValueError(
                    f"{key}: {number} given, but there are {len(self.formula)} formulas; give one for each"
                )
        for low, high in self.range:
            if not low < high:
                raise ValueError(f"range: {low} is not below {high}")
        total = 1
        for number in self.numbers_of_bins:
            total *= number
        if total > _MOST_BINS:
            raise ValueError(f"bins: {total:,} in all, but at most {_MOST_BINS:,} are possible; give fewer")
        if self.method == "spline" and len(self.formula) > 1:
            raise ValueError("method: a spline is for one formula; take histogram or boosted")
        return self
