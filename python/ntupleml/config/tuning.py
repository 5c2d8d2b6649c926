"""The block `tune:` of a training config: keys to search, number of trials, their criterion."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntupleml.config.schema import MethodName, Name, Schema, TextKeys


class SearchedConfig(Schema):
    """Values that a key may take: a range of numbers, or choices.

    In place of the block, a list of two numbers is the range and any other list the choices.
    """

    #: Smallest and largest value; whole numbers where both are written so.
    range: Annotated[list[int | float], Field(min_length=2, max_length=2)] | None = None
    #: Draw the logarithm evenly, not the value.
    log: bool = False
    #: Values, one of which is taken.
    choices: Annotated[list[Any], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> SearchedConfig:
        if (self.range is None) == (self.choices is None):
            raise ValueError("give either a range, [smallest, largest], or choices")
        if self.choices is not None and self.log:
            raise ValueError("log is for a range, not for choices")
        if self.range is not None:
            low, high = self.range
            if low >= high:
                raise ValueError(f"the range ends at {high}, not above its beginning {low}")
            if self.log and low <= 0:
                raise ValueError(f"log needs a range of positive numbers, but it begins at {low}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the range is of whole numbers."""
        return self.range is not None and all(isinstance(end, int) for end in self.range)


def _as_block(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    numbers = [one for one in value if isinstance(one, int | float) and not isinstance(one, bool)]
    return {"range": value} if len(numbers) == len(value) == 2 else {"choices": value}


class TuneConfig(Schema):
    """Schema of the block `tune:`.

    Attributes
    ----------
    space : dict of SearchedConfig
        By the dotted key of the training config, e.g. `model.dropout` or `boosted_trees.NAME.options.max_depth`. What
        stands in the block beside its own keys belongs here, too.
    objective : str
        By the names that `ntupleml.tuning.objectives` lists.
    """

    space: Annotated[
        dict[
            Name,
            Annotated[SearchedConfig, BeforeValidator(_as_block, json_schema_input_type=list[Any] | SearchedConfig)],
        ],
        TextKeys,
        Field(min_length=1),
    ]
    #: The network, `keras`, or an entry of `boosted_trees`; by default the one whose keys are searched.
    method: MethodName | None = None
    objective: Name = "roc auc"
    #: Number of trials, those of earlier runs included.
    trials: int = Field(default=20, ge=1)
    #: How networks that promise little are given up after some epochs.
    pruner: Literal["median", "hyperband", "none"] = "median"

    @model_validator(mode="before")
    @classmethod
    def _others_are_searched(cls, data: Any) -> Any:
        """Let `tune: {model.dropout: [0.0, 0.5]}` stand for `tune: {space: {model.dropout: [0.0, 0.5]}}`."""
        if not isinstance(data, dict):
            return data
        searched = {
            key: value
            for key, value in data.items()
            if key not in cls.model_fields and isinstance(value, list | dict | SearchedConfig)
        }
        space = data.get("space") or {}
        if not searched or not isinstance(space, dict):
            return data
        return {key: value for key, value in data.items() if key not in searched} | {"space": space | searched}
