"""Blocks of several configs: how figures look, what jobs of a batch system ask for, how ONNX files are applied."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ntupleml.config.schema import ClassName, FilePath, Name, Names, Schema, TextKeys, distinct


class PlotConfig(Schema):
    """Style and labels of figures."""

    #: Look of an experiment, from mplhep; `plain` is htt-ml's.
    style: Literal["plain", "CMS", "ATLAS", "LHCb", "ALICE", "DUNE"] = "plain"
    #: Text after the experiment's name, e.g. "Simulation Preliminary".
    label: str = ""
    #: Integrated luminosity in fb⁻¹.
    lumi: float | None = Field(default=None, gt=0)
    #: Centre-of-mass energy in TeV.
    com: float | None = Field(default=None, gt=0)
    #: Text to show for a class instead of its name; matplotlib's mathtext works.
    class_labels: dict[str, str] = {}
    #: Text to show for a variable instead of its formula, e.g. `Sum$(Jet_pt): "$H_T$ [GeV]"`; `define` of the training
    #: config gives names and labels at once.
    variable_labels: dict[str, str] = {}

    @field_validator("label")
    @classmethod
    def _can_be_drawn(cls, text: str) -> str:
        check_formulas(text)
        return text

    @field_validator("class_labels", "variable_labels")
    @classmethod
    def _all_can_be_drawn(cls, labels: dict[str, str]) -> dict[str, str]:
        for name, text in labels.items():
            check_formulas(text, f"{name}: ")
        return labels


def check_formulas(text: str, name: str = "") -> None:
    """Check the formulas between dollar signs of a text, before hours of work end in a picture that cannot be drawn.

    Parameters
    ----------
    name : str
        Put in front of the message.

    Raises
    ------
    ValueError
        Saying where matplotlib's mathtext cannot read it.
    """
    if text.count("$") < 2:  # matplotlib, which takes half a second to import, would draw it as it is
        return
    from matplotlib.cbook import is_math_text
    from matplotlib.mathtext import MathTextParser

    if not is_math_text(text):
        return
    try:
        MathTextParser("path").parse(text)
    except ValueError as error:
        reason = str(error).strip().splitlines()[-1].partition(": ")[2]
        raise ValueError(f"{name}'{text}' is no formula that matplotlib can draw: {reason}") from None


_SIZE = re.compile(r"\d+(\.\d+)? ?[kMGT]i?B")


def _size(text: str) -> str:
    if not _SIZE.fullmatch(text):
        raise ValueError(f"'{text}' is not a size: give a number and a unit, e.g. '2 GB'")
    return text


#: An amount of memory or disk, e.g. `2 GB`.
Size = Annotated[Name, AfterValidator(_size)]


class ClusterConfig(Schema):
    """Schema of the block `cluster:`."""

    #: Jobs that `--htcondor` or `--slurm` asks for, each one worker; `--workers` on the command line goes first.
    jobs: int = Field(default=10, ge=1)
    #: Cores per job. A worker computes one file at a time on one core.
    cores: int = Field(default=1, ge=1)
    #: Memory of a job, e.g. `2 GB`.
    memory: Size = "2 GB"
    #: Disk of a job, e.g. `4 GB`.
    disk: Size = "4 GB"
    #: Folder for the logs of the jobs; on a file system that the batch system can write to.
    log_directory: FilePath | None = None
    #: More lines of HTCondor's submit file, e.g. `+JobFlavour: '"longlunch"'`; more options of Slurm, e.g. `gres:
    #: gpu:1`.
    job_extra: dict[Name, str] = {}
    #: Partition of Slurm.
    queue: Name | None = None
    #: Account of Slurm.
    account: Name | None = None
    #: Longest time of a job of Slurm, e.g. `02:00:00`.
    walltime: Name | None = None
    #: How often a file is tried again after an error that is not one of the input, e.g. of the network.
    retries: int = Field(default=1, ge=0)


class OnnxInputConfig(Schema):
    """One input of the graph."""

    #: Branches or formulas, in order. A text or a list in place of the block is this key.
    variables: Names
    #: For vectors of objects (jets, tracks): number of objects that the array has; fewer are padded, more are cut away.
    #: Left out for an array whose length may vary: as many as the event that has most.
    length: int | None = Field(default=None, ge=1, le=100_000)
    #: What stands where there is no object.
    padding: float = 0.0
    #: Variable by which the objects are sorted, the largest first; else they keep the order of the ntuple.
    sort: Name | None = None
    #: Sort the smallest first.
    ascending: bool = False
    #: The array is events × variables × objects, not events × objects × variables.
    transposed: bool = False
    #: Another input of the graph, which takes the number of objects of each event.
    lengths: Name | None = None
    #: Another input of the graph, which takes 1 where there is an object and 0 where there is none: events × objects.
    mask: Name | None = None


def _as_block(value: Any) -> Any:
    """A text or a list of texts in place of a block: the variables."""
    if isinstance(value, str):
        return {"variables": [value]}
    return {"variables": value} if isinstance(value, list) else value


class OnnxConfig(Schema):
    """How an ONNX classifier is applied; what ntupleml wrote itself needs none of this."""

    #: By the graph's names of its inputs.
    inputs: (
        Annotated[
            dict[
                Name,
                Annotated[
                    OnnxInputConfig,
                    BeforeValidator(_as_block, json_schema_input_type=str | list[str] | OnnxInputConfig),
                ],
            ],
            TextKeys,
        ]
        | None
    ) = None
    #: Name or position of the output that has the scores, where there are several.
    output: Name | Annotated[int, Field(ge=0)] | None = None
    #: Names of the scores, in the order of the output's columns; by default those of the training config.
    classes: Annotated[list[ClassName], Field(min_length=1)] | None = None
    #: What is done to the output, where it is not a probability yet.
    apply: Literal["softmax", "sigmoid"] | None = None
    #: Inputs that are NaN or infinite: an error, given to the model as they are, or replaced by a value.
    missing: Literal["refused", "passed"] | float = "refused"
    #: Input of the graph that takes the event number.
    event: Name | None = None

    @model_validator(mode="after")
    def _consistent(self) -> OnnxConfig:
        distinct(list(self.classes or []))
        if self.apply == "softmax" and self.classes is not None and len(self.classes) < 2:
            raise ValueError("apply: softmax of one class is always 1; use sigmoid, or name all classes")
        return self
