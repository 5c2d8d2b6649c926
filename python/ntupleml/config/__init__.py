"""The YAML files of the four stages as typed objects, and the messages for what is wrong in them."""

from ntupleml.config.abcd import AbcdConfig
from ntupleml.config.adversary import AdversaryConfig, ControlConfig, SlicesConfig
from ntupleml.config.application import AcceptConfig, ApplicationConfig, BeforeConfig
from ntupleml.config.augmentation import AugmentationConfig
from ntupleml.config.blocks import ClusterConfig, OnnxConfig, OnnxInputConfig, PlotConfig
from ntupleml.config.conversion import ConversionConfig, SlotsConfig
from ntupleml.config.dataset import DatasetConfig, ProcessConfig
from ntupleml.config.four_vectors import CollectionConfig, CollectionsConfig, CombinationsConfig
from ntupleml.config.images import ImagesConfig
from ntupleml.config.inputs import ImageConfig, NumbersConfig, ObjectsConfig, TargetConfig
from ntupleml.config.loading import ConfigSource, load_config
from ntupleml.config.methods import BoostedTreesConfig, TmvaConfig, TmvaMethodConfig
from ntupleml.config.model import ModelConfig
from ntupleml.config.parameters import ParametersConfig
from ntupleml.config.regression import RegressionConfig
from ntupleml.config.rows import MatchConfig, MembersConfig, RelativeConfig, RowsConfig
from ntupleml.config.search import SearchConfig
from ntupleml.config.slots import SlotsGroupConfig, SlotTypeConfig
from ntupleml.config.testing import ExternalModelConfig, SignificanceConfig, TestingConfig
from ntupleml.config.training import ConditionConfig, MissingConfig, TrainingConfig
from ntupleml.config.trigger import TriggerConfig, VariableConfig
from ntupleml.config.tuning import SearchedConfig, TuneConfig

__all__ = [
    "AbcdConfig",
    "AcceptConfig",
    "AdversaryConfig",
    "ApplicationConfig",
    "AugmentationConfig",
    "BeforeConfig",
    "BoostedTreesConfig",
    "ClusterConfig",
    "CollectionConfig",
    "CollectionsConfig",
    "CombinationsConfig",
    "ConditionConfig",
    "ConfigSource",
    "ControlConfig",
    "ConversionConfig",
    "DatasetConfig",
    "ExternalModelConfig",
    "ImageConfig",
    "ImagesConfig",
    "MatchConfig",
    "MembersConfig",
    "MissingConfig",
    "ModelConfig",
    "NumbersConfig",
    "ObjectsConfig",
    "OnnxConfig",
    "OnnxInputConfig",
    "ParametersConfig",
    "PlotConfig",
    "ProcessConfig",
    "RegressionConfig",
    "RelativeConfig",
    "RowsConfig",
    "SearchConfig",
    "SearchedConfig",
    "SignificanceConfig",
    "SlicesConfig",
    "SlotTypeConfig",
    "SlotsConfig",
    "SlotsGroupConfig",
    "TargetConfig",
    "TestingConfig",
    "TmvaConfig",
    "TmvaMethodConfig",
    "TrainingConfig",
    "TriggerConfig",
    "TuneConfig",
    "VariableConfig",
    "load_config",
]
