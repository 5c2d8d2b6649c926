"""Systematic variations of the tested events: other weights, other trees, other fold files."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, model_validator

from ntupleml.config.schema import FilePaths, Formula, Name, Schema


class ShiftConfig(Schema):
    """What one direction of a variation changes."""

    #: Formula by which event weights are multiplied, e.g. `w_pu_up / w_pu`.
    weight: Formula | None = None
    #: Fold files with the shifted events, in the order of the folds; by default those of the training.
    datasets: FilePaths | None = None
    #: Trees with the shifted events; `{class}` stands for the class, e.g. `{class}_JES_up`.
    tree: Name | None = None

    @model_validator(mode="after")
    def _shifts_something(self) -> ShiftConfig:
        is_sample = self.datasets is not None or self.tree is not None
        if is_sample == (self.weight is not None):
            raise ValueError("give either weight, a formula, or shifted events by datasets, tree or both")
        if self.tree is not None and "{class}" not in self.tree:
            raise ValueError(f"tree: '{self.tree}' is the same for all classes; put {{class}} into it")
        return self


def _weight_alone(value: Any) -> Any:
    """Let a formula stand for the block."""
    return {"weight": value} if isinstance(value, str) else value


Shift = Annotated[ShiftConfig, BeforeValidator(_weight_alone, json_schema_input_type=Any)]


class SystematicConfig(Schema):
    """A source of systematic uncertainty."""

    #: Upward variation: a formula of the weight, or a block.
    up: Shift
    #: Downward variation; where there is none, the upward one is mirrored.
    down: Shift | None = None

    @property
    def shifts(self) -> dict[str, ShiftConfig]:
        """Variations by their direction."""
        return {"up": self.up, **({} if self.down is None else {"down": self.down})}
