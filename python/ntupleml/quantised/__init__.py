"""Quantised networks: evaluated exactly, in whole numbers as hardware does it, and what they cost there."""

from ntupleml.quantised.fixed_point import Fixed, Quantiser
from ntupleml.quantised.forms import unrounded, up_to, without_softmax
from ntupleml.quantised.network import evaluate, is_quantised
from ntupleml.quantised.resources import LayerResources, resources_of

__all__ = [
    "Fixed",
    "LayerResources",
    "Quantiser",
    "evaluate",
    "is_quantised",
    "resources_of",
    "unrounded",
    "up_to",
    "without_softmax",
]
