"""Networks: htt-ml's by name, others as the config writes them, and the builder that makes Keras models of both."""

from ntupleml.models.building import build_model, compile_model, matrix
from ntupleml.models.choosing import groups_with_vectors, network_of
from ntupleml.models.encoders import ENCODERS
from ntupleml.models.networks import GroupShape, ImageOutput, Network, ValueUnits
from ntupleml.models.registries import ACTIVATIONS, LOSSES, OPTIMIZERS, TARGET_LOSSES
from ntupleml.models.zoo import ZOO

__all__ = [
    "ACTIVATIONS",
    "ENCODERS",
    "LOSSES",
    "OPTIMIZERS",
    "TARGET_LOSSES",
    "ZOO",
    "GroupShape",
    "ImageOutput",
    "Network",
    "ValueUnits",
    "build_model",
    "compile_model",
    "groups_with_vectors",
    "matrix",
    "network_of",
]
