"""Networks in lwtnn's JSON formats: read as liblwtnn reads them, and written from Keras models."""

from ntupleml.lwtnn.export import keras_to_lwtnn
from ntupleml.lwtnn.network import Network
from ntupleml.lwtnn.reading import read_network

__all__ = ["Network", "keras_to_lwtnn", "read_network"]
