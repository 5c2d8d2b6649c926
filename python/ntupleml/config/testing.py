"""The testing config: which models are tested, with which weights, and how the figures look."""

from __future__ import annotations

from ntupleml.config.plot import PlotConfig
from ntupleml.config.schema import FilePaths, Name, Schema


class TestingConfig(Schema):
    """Schema of the testing config.

    Attributes
    ----------
    model, preprocessing : list of str, optional
        Files of each fold's model, in the order of the folds, relative to the training's `output_path`; by default
        those that the training wrote.
    method : str, optional
        Name of the training config's method that is tested: of `boosted_trees` or `tmva: methods`, or `keras`. By
        default what the script is for.
    weight_branch : str, optional
        Branch of event weights; by default the training's `event_weights`.
    plot : PlotConfig
    output_prefix : str
        Key of htt-ml that nothing reads.
    """

    __test__ = False  # the name begins with "Test", but pytest has nothing to collect here

    model: FilePaths | None = None
    preprocessing: FilePaths | None = None
    method: Name | None = None
    weight_branch: Name | None = None
    plot: PlotConfig = PlotConfig()
    output_prefix: str = ""
