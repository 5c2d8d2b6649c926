"""The block `onnx` of the application config: how the inputs of an ONNX file are filled, and which output scores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ntupleml.config.schema import ClassName, Name, Names, Schema, TextKeys, distinct


class OnnxInputConfig(Schema):
    """One input of the graph.

    Attributes
    ----------
    variables : list of str
        Branches or formulas, in order. A text or a list in place of the block is this key.
    length : int, optional
        For vectors of objects (jets, tracks): number of objects that the array has; fewer are padded, more are cut
        away. Left out for an array whose length may vary: as many as the event that has most.
    padding : float
        What stands where there is no object.
    sort : str, optional
        Variable by which the objects are sorted, the largest first; else they keep the order of the ntuple.
    ascending : bool
        Sort the smallest first.
    transposed : bool
        The array is events × variables × objects, not events × objects × variables.
    lengths : str, optional
        Another input of the graph, which takes the number of objects of each event.
    mask : str, optional
        Another input of the graph, which takes 1 where there is an object and 0 where there is none: events × objects.
    """

    variables: Names
    length: int | None = Field(default=None, ge=1, le=100_000)
    padding: float = 0.0
    sort: Name | None = None
    ascending: bool = False
    transposed: bool = False
    lengths: Name | None = None
    mask: Name | None = None


def _as_block(value: Any) -> Any:
    """A text or a list of texts in place of a block: the variables."""
    if isinstance(value, str):
        return {"variables": [value]}
    return {"variables": value} if isinstance(value, list) else value


class OnnxConfig(Schema):
    """How an ONNX classifier is applied; what ntupleml wrote itself needs none of this.

    Attributes
    ----------
    inputs : dict of OnnxInputConfig, optional
        By the graph's names of its inputs.
    output : str or int, optional
        Name or position of the output that has the scores, where there are several.
    classes : list of str, optional
        Names of the scores, in the order of the output's columns; by default those of the training config.
    apply : {"softmax", "sigmoid"}, optional
        What is done to the output, where it is not a probability yet.
    missing : {"refused", "passed"} or float
        Inputs that are NaN or infinite: an error, given to the model as they are, or replaced by a value.
    event : str, optional
        Input of the graph that takes the event number.
    """

    inputs: Annotated[dict[Name, Annotated[OnnxInputConfig, BeforeValidator(_as_block)]], TextKeys] | None = None
    output: Name | Annotated[int, Field(ge=0)] | None = None
    classes: Annotated[list[ClassName], Field(min_length=1)] | None = None
    apply: Literal["softmax", "sigmoid"] | None = None
    missing: Literal["refused", "passed"] | float = "refused"
    event: Name | None = None

    @model_validator(mode="after")
    def _consistent(self) -> OnnxConfig:
        distinct(list(self.classes or []))
        if self.apply == "softmax" and self.classes is not None and len(self.classes) < 2:
            raise ValueError("apply: softmax of one class is always 1; use sigmoid, or name all classes")
        return self
