"""What predicted values are compared with, and what they are shown against."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from ntupleml.config.inputs import ImageConfig
from ntupleml.config.schema import Formula, MethodName, Name, Names, Schema, TextKeys
from ntupleml.config.trigger import VariableConfig  # noqa: TC001  # pydantic evaluates it


class ImageReference(ImageConfig):
    """A simple estimator of a vector: the missing transverse energy of an image of one channel."""

    #: The vector; by default the only one.
    vector: Name | None = None

    @model_validator(mode="after")
    def _as_it_is(self) -> ImageReference:
        if len(self.image) > 1:
            raise ValueError(f"image: {len(self.image)} columns; an estimator is an image of one")
        if self.preprocessing is not None:
            raise ValueError("preprocessing: the image is taken as it is; leave it out")
        return self


def _kind_of_reference(value: Any) -> str:
    """An image, by its key; formulas by output, or in order."""
    if isinstance(value, ImageReference) or (isinstance(value, dict) and "image" in value):
        return "[image]"
    return "[outputs]" if isinstance(value, dict) else "[formulas]"


#: The brackets keep the tags out of messages.
_Reference = Annotated[
    Annotated[ImageReference, Tag("[image]")]
    | Annotated[dict[Name, Formula], Tag("[outputs]")]
    | Annotated[list[Formula], Tag("[formulas]")],
    Discriminator(_kind_of_reference),
]


class RegressionConfig(Schema):
    """Further questions about values that are learnt."""

    #: Pairs of outputs that are the x and y components of a vector, by a name for files. By default those whose names
    #: differ in a last x and y.
    vectors: Annotated[dict[MethodName, Annotated[Names, Field(min_length=2, max_length=2)]], TextKeys] | None = None
    #: Simple estimators of the same values: a formula of the fold files for each output, by their names or in their
    #: order; of two formulas the components of the vector, where there is one. Or `image`: its missing transverse
    #: energy.
    references: Annotated[dict[MethodName, _Reference], TextKeys] = {}
    #: What is shown against, by what names of files have. The truth needs not be named.
    variables: Annotated[dict[MethodName, VariableConfig], TextKeys] = {}
    #: By the names of values and vectors: what the prediction has to exceed.
    thresholds: Annotated[dict[MethodName, Annotated[list[float], Field(min_length=1)]], TextKeys] = {}

    @model_validator(mode="after")
    def _consistent(self) -> RegressionConfig:
        if "truth" in self.variables:
            raise ValueError("variables: 'truth' is shown anyway; choose another name")
        for name, formulas in self.references.items():
            if not isinstance(formulas, ImageReference) and not formulas:
                raise ValueError(f"references: {name}: no formulas; give one for each output")
        return self

    @property
    def formulas(self) -> dict[str, Formula]:
        """What is read beside the inputs, by the key that names it."""
        found = {f"variables: {name}: formula": one.formula for name, one in self.variables.items()}
        for name, formulas in self.references.items():
            if isinstance(formulas, ImageReference):
                continue
            listed = formulas.values() if isinstance(formulas, dict) else formulas
            found |= {f"references: {name}: {formula}": formula for formula in listed}
        return found

    @property
    def images(self) -> dict[str, ImageReference]:
        """References that are images."""
        return {name: one for name, one in self.references.items() if isinstance(one, ImageReference)}
