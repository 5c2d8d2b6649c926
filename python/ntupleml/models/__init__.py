"""Networks: htt-ml's by name, others as the config writes them, and the builder that makes Keras models of both."""

from ntupleml.models.building import build_model
from ntupleml.models.choosing import network_of
from ntupleml.models.networks import Network
from ntupleml.models.registries import ACTIVATIONS, LOSSES, OPTIMIZERS
from ntupleml.models.zoo import ZOO

__all__ = ["ACTIVATIONS", "LOSSES", "OPTIMIZERS", "ZOO", "Network", "build_model", "network_of"]
