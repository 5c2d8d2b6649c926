"""What predicted values are compared with, and what they are shown against."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ntupleml.config.schema import Formula, MethodName, Name, Names, Schema, TextKeys
from ntupleml.config.trigger import VariableConfig  # noqa: TC001  # pydantic evaluates it


class RegressionConfig(Schema):
    """Further questions about values that are learnt."""

    #: Pairs of outputs that are the x and y components of a vector, by a name for files.
    vectors: Annotated[
        dict[MethodName, Annotated[Names, Field(min_length=2, max_length=2)]],
        TextKeys,
    ] = {}
    #: Simple estimators of the same values: a formula of the fold files for each output, by their names or in their
    #: order; of two formulas the components of the vector, where there is one.
    references: Annotated[dict[MethodName, list[Formula] | dict[Name, Formula]], TextKeys] = {}
    #: What is shown against, by what names of files have. The truth needs not be named.
    variables: Annotated[dict[MethodName, VariableConfig], TextKeys] = {}
    #: By the names of values and vectors: what the prediction has to exceed.
    thresholds: Annotated[dict[MethodName, Annotated[list[float], Field(min_length=1)]], TextKeys] = {}

    @model_validator(mode="after")
    def _consistent(self) -> RegressionConfig:
        if "truth" in self.variables:
            raise ValueError("variables: 'truth' is shown anyway; choose another name")
        for name, formulas in self.references.items():
            if not formulas:
                raise ValueError(f"references: {name}: no formulas; give one for each output")
        return self

    @property
    def formulas(self) -> dict[str, Formula]:
        """What is read beside the inputs, by the key that names it."""
        found = {f"variables: {name}: formula": one.formula for name, one in self.variables.items()}
        for name, formulas in self.references.items():
            listed = formulas.values() if isinstance(formulas, dict) else formulas
            found |= {f"references: {name}: {formula}": formula for formula in listed}
        return found
