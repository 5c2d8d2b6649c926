"""The application config: which models score, and how the new branches and files are called."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ntupleml.config.blocks import ClusterConfig, OnnxConfig
from ntupleml.config.schema import (
    BranchName,
    ConfigOrPath,
    FilePath,
    FilePaths,
    Formula,
    Name,
    Names,
    OneOrMoreFiles,
    Schema,
    TextKeys,
)

#: Largest number that a branch of 32 bits holds.
_LARGEST = 3.4e38


def _as_block(value: Any) -> Any:
    """A number in place of a block: the threshold."""
    return {"threshold": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class AcceptConfig(Schema):
    """When a row is accepted: where its score is at least a threshold."""

    #: The threshold; null accepts nothing.
    threshold: float | None = None
    #: In its place: file with `thresholds` by name, such as the step `trigger-rates` writes.
    file: FilePath | None = None
    #: Which of them.
    scheme: Name | None = None
    #: The score that is compared, where there are several. Of reconstructions, by default the first.
    output: Name | None = None

    @model_validator(mode="after")
    def _one_threshold(self) -> AcceptConfig:
        has_threshold = "threshold" in self.model_fields_set
        if has_threshold == (self.file is not None):
            both = "threshold and file stand side by side; use one of them"
            raise ValueError(both if has_threshold else "no threshold; give a number, or file and scheme")
        if (self.file is None) != (self.scheme is None):
            raise ValueError("file and scheme go together; the scheme says which threshold of the file is meant")
        return self


class ScoringConfig(Schema):
    """Which models score which rows."""

    #: Files of the models; element j scores the events of fold j, so for two folds the lists are crossed. By default
    #: those that the training wrote.
    classifiers: FilePaths | None = None
    #: Files of their scalers, in the same order; by default those that the training wrote.
    preprocessing: FilePaths | None = None
    #: Name of the training config's method that scores: of `boosted_trees` or `tmva: methods`, or `keras`. By default
    #: what the script is for.
    method: Name | None = None
    #: A further branch `{prefix}accept`: 1 where the score is at least the threshold, 0 elsewhere and in rows that are
    #: not scored. A number in place of the block is the threshold.
    accept: Annotated[
        AcceptConfig | None, BeforeValidator(_as_block, json_schema_input_type=float | AcceptConfig | None)
    ] = None
    #: Further branches `{prefix}{score}_spread`: standard deviation of the score over the members of ensembles.
    spread: bool = False
    #: A further branch `{prefix}image` of fixed shape (η, φ), where the models have learnt an image.
    image: bool = False
    #: Condition (e.g. era) of the ntuples, for models trained with conditions.
    condition: Name | None = None
    #: Formula; events that fail it are not scored and get `default_score`. By default all events are scored.
    selection: Formula | None = None
    #: What becomes of events with an input that is NaN, infinite or not there: an error, or they get `default_score`.
    missing_inputs: Literal["refused", "default"] = "refused"
    #: Records of models, or `output_path` of trainings, that kept keys: rows that they saw get `default_score`.
    exclude_trained_by: OneOrMoreFiles = []
    #: Score of events that are not scored, for every class; `max_index` is −1 for them. Goes with `selection`,
    #: `missing_inputs: default` or `exclude_trained_by`.
    default_score: float | None = Field(default=None, ge=-_LARGEST, le=_LARGEST)
    #: How ONNX files of other programs are applied.
    onnx: OnnxConfig = OnnxConfig()

    @model_validator(mode="after")
    def _default_for_what_is_not_scored(self) -> Self:
        keys = {
            "selection": self.selection is not None,
            "missing_inputs": self.missing_inputs == "default",
            "exclude_trained_by": bool(self.exclude_trained_by),
        }
        key = next((key for key, leaves_out in keys.items() if leaves_out), None)
        if key is not None and self.default_score is None:
            raise ValueError(f"{key}: needs a score for the events that are left out; add e.g. default_score: -1")
        return self


class BeforeConfig(ScoringConfig):
    """Models that score before others, whose `selection` and inputs may use the branches of these."""

    #: Training config of the models; left out for `classifiers` of other programs (`.onnx`, or lwtnn's `.json`).
    training: ConfigOrPath = None
    #: Dataset config of that training; by default the one that the command is given.
    dataset: ConfigOrPath = None
    #: By default the name of the entry and an underscore.
    branch_prefix: str | None = None

    def application(self, name: str, where: str) -> ApplicationConfig:
        """The application config of these models alone."""
        keys = {key: getattr(self, key) for key in self.model_fields_set & ScoringConfig.model_fields.keys()}
        prefix = f"{name}_" if self.branch_prefix is None else self.branch_prefix
        config = ApplicationConfig(branch_prefix=prefix, **keys)
        vars(config)["where"] = where
        return config


class ApplicationConfig(ScoringConfig):
    """Schema of the application config."""

    #: New branches are `{prefix}{class}`, `{prefix}max_score` and `{prefix}max_index`.
    branch_prefix: str = "ml_score_"
    #: Models by name that score first, in this order.
    before: Annotated[dict[BranchName, BeforeConfig], TextKeys] = {}
    #: Folder of the friend files.
    output_directory: FilePath | None = None
    #: Format of the friend files.
    friend_format: Literal["root", "hdf5", "parquet"] = "root"
    #: Numbers that stand for branches of these names in all ntuples, such as the masses that a training had as
    #: `parameters`.
    parameters: dict[Name, float] = {}
    #: What the jobs of a batch system ask for, with `--htcondor`.
    cluster: ClusterConfig = ClusterConfig()
    #: Weights files that htt-ml's export for lwtnn writes, in the order of `classifiers`.
    weights: Names | None = None
    #: Variable files that htt-ml's export for lwtnn writes, in the order of `classifiers`.
    variable_exports: Names | None = None
    #: Architecture files that htt-ml's export for lwtnn writes, in the order of `classifiers`.
    architecture_exports: Names | None = None
