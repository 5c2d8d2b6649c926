"""Networks in lwtnn's JSON formats, read as liblwtnn reads them."""

from ntupleml.lwtnn.network import Network
from ntupleml.lwtnn.reading import read_network

__all__ = ["Network", "read_network"]
