"""The application config: which models score, and how the new branches and files are called."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ntupleml.config.blocks import ClusterConfig, OnnxConfig
from ntupleml.config.schema import FilePath, FilePaths, Formula, Name, Names, Schema

#: Largest number that a branch of 32 bits holds.
_LARGEST = 3.4e38


class ApplicationConfig(Schema):
    """Schema of the application config."""

    #: Files of the models; element j scores the events of fold j, so for two folds the lists are crossed. By default
    #: those that the training wrote.
    classifiers: FilePaths | None = None
    preprocessing: FilePaths | None = None
    #: Name of the training config's method that scores: of `boosted_trees` or `tmva: methods`, or `keras`. By default
    #: what the script is for.
    method: Name | None = None
    #: New branches are `{prefix}{class}`, `{prefix}max_score` and `{prefix}max_index`.
    branch_prefix: str = "ml_score_"
    #: Folder of the friend files.
    output_directory: FilePath | None = None
    #: Condition (e.g. era) of the ntuples, for models trained with conditions.
    condition: Name | None = None
    #: Formula; events that fail it are not scored and get `default_score`. By default all events are scored.
    selection: Formula | None = None
    #: What becomes of events with an input that is NaN, infinite or not there: an error, or they get `default_score`.
    missing_inputs: Literal["refused", "default"] = "refused"
    #: Score of events that are not scored, for every class; `max_index` is −1 for them. Goes with `selection` or
    #: `missing_inputs: default`.
    default_score: float | None = Field(default=None, ge=-_LARGEST, le=_LARGEST)
    #: What the jobs of a batch system ask for, with `--htcondor`.
    cluster: ClusterConfig = ClusterConfig()
    #: Names of the files of htt-ml's export for lwtnn.
    weights: Names | None = None
    variable_exports: Names | None = None
    architecture_exports: Names | None = None
    #: How ONNX files of other programs are applied.
    onnx: OnnxConfig = OnnxConfig()

    @model_validator(mode="after")
    def _default_for_what_is_not_scored(self) -> ApplicationConfig:
        leaves_out = self.selection is not None or self.missing_inputs == "default"
        if leaves_out and self.default_score is None:
            key = "missing_inputs" if self.selection is None else "selection"
            raise ValueError(f"{key}: needs a score for the events that are left out; add e.g. default_score: -1")
        return self
