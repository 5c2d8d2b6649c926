"""The application config: which models score, and how the new branches and files are called."""

from __future__ import annotations

from ntupleml.config.cluster import ClusterConfig
from ntupleml.config.onnx import OnnxConfig
from ntupleml.config.schema import FilePath, FilePaths, Name, Names, Schema


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
    cluster: ClusterConfig = ClusterConfig()
    weights: Names | None = None
    variable_exports: Names | None = None
    architecture_exports: Names | None = None
    onnx: OnnxConfig = OnnxConfig()
