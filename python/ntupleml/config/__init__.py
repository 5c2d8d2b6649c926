"""The YAML files of the four stages as typed objects, and the messages for what is wrong in them."""

from ntupleml.config.application import ApplicationConfig
from ntupleml.config.blocks import ClusterConfig, OnnxConfig, OnnxInputConfig, PlotConfig
from ntupleml.config.dataset import DatasetConfig, ProcessConfig
from ntupleml.config.inputs import (
    ImageConfig,
    MembersConfig,
    NumbersConfig,
    ObjectsConfig,
    RowsConfig,
    TargetConfig,
)
from ntupleml.config.loading import ConfigSource, load_config
from ntupleml.config.testing import ExternalModelConfig, SignificanceConfig, TestingConfig
from ntupleml.config.training import (
    BoostedTreesConfig,
    ConditionConfig,
    MissingConfig,
    ModelConfig,
    TmvaConfig,
    TmvaMethodConfig,
    TrainingConfig,
)

__all__ = [
    "ApplicationConfig",
    "BoostedTreesConfig",
    "ClusterConfig",
    "ConditionConfig",
    "ConfigSource",
    "DatasetConfig",
    "ExternalModelConfig",
    "ImageConfig",
    "MembersConfig",
    "MissingConfig",
    "ModelConfig",
    "NumbersConfig",
    "ObjectsConfig",
    "OnnxConfig",
    "OnnxInputConfig",
    "PlotConfig",
    "ProcessConfig",
    "RowsConfig",
    "SignificanceConfig",
    "TargetConfig",
    "TestingConfig",
    "TmvaConfig",
    "TmvaMethodConfig",
    "TrainingConfig",
    "load_config",
]
