"""The application config: which models score, and how the new branches and files are called."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ntupleml.config.cluster import ClusterConfig
from ntupleml.config.onnx import OnnxConfig
from ntupleml.config.schema import FilePath, FilePaths, Formula, Name, Names, Schema

#: Largest number that a branch of 32 bits holds.
_LARGEST = 3.4e38


class ApplicationConfig(Schema):
    """Schema of the application config.

    Attributes
    ----------
    classifiers, preprocessing : list of str, optional
        Files of the models; element j scores the events of fold j, so for two folds the lists are crossed. By
        default those that the training wrote.
    method : str, optional
        Name of the training config's method that scores: of `boosted_trees` or `tmva: methods`, or `keras`. By
        default what the script is for.
    branch_prefix : str
        New branches are `{prefix}{class}`, `{prefix}max_score` and `{prefix}max_index`.
    output_directory : str, optional
        Folder of the friend files.
    condition : str, optional
        Condition (e.g. era) of the ntuples, for models trained with conditions.
    selection : str, optional
        Formula; events that fail it are not scored and get `default_score`. By default all events are scored.
    missing_inputs : {"refused", "default"}
        What becomes of events with an input that is NaN, infinite or not there: an error, or they get
        `default_score`.
    default_score : float, optional
        Score of events that are not scored, for every class; `max_index` is −1 for them. Goes with `selection` or
        `missing_inputs: default`.
    cluster : ClusterConfig
        What the jobs of a batch system ask for, with `--htcondor`.
    weights, variable_exports, architecture_exports : list of str, optional
        Names of the files of htt-ml's export for lwtnn.
    onnx : OnnxConfig
        How ONNX files of other programs are applied.
    """

    classifiers: FilePaths | None = None
    preprocessing: FilePaths | None = None
    method: Name | None = None
    branch_prefix: str = "ml_score_"
    output_directory: FilePath | None = None
    condition: Name | None = None
    selection: Formula | None = None
    missing_inputs: Literal["refused", "default"] = "refused"
    default_score: float | None = Field(default=None, ge=-_LARGEST, le=_LARGEST)
    cluster: ClusterConfig = ClusterConfig()
    weights: Names | None = None
    variable_exports: Names | None = None
    architecture_exports: Names | None = None
    onnx: OnnxConfig = OnnxConfig()

    @model_validator(mode="after")
    def _default_for_what_is_not_scored(self) -> ApplicationConfig:
        leaves_out = self.selection is not None or self.missing_inputs == "default"
        if leaves_out and self.default_score is None:
            key = "missing_inputs" if self.selection is None else "selection"
            raise ValueError(f"{key}: needs a score for the events that are left out; add e.g. default_score: -1")
        return self
