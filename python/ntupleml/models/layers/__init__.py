"""Layers of our own, by subject. They take objects and their mask, or images. Importing this imports Keras."""

from ntupleml.models.layers.attention import CrossAttention, LearntVectors, SelfAttention
from ntupleml.models.layers.images import PeriodicPadding, ReflectedConv2D
from ntupleml.models.layers.latent import LatentDraw
from ntupleml.models.layers.neighbours import NeighbourPooling, Neighbours, NeighbourSums
from ntupleml.models.layers.objects import PACKAGE, MaskedPooling
from ntupleml.models.layers.pairs import (
    Adjacency,
    MaskedBatchNormalization,
    PairAttention,
    PairFeatures,
    PairSums,
    Propagation,
)
from ntupleml.models.layers.slots import SlotSteps
from ntupleml.models.layers.vectors import VectorFeatures

__all__ = [
    "PACKAGE",
    "Adjacency",
    "CrossAttention",
    "LatentDraw",
    "LearntVectors",
    "MaskedBatchNormalization",
    "MaskedPooling",
    "NeighbourPooling",
    "NeighbourSums",
    "Neighbours",
    "PairAttention",
    "PairFeatures",
    "PairSums",
    "PeriodicPadding",
    "Propagation",
    "ReflectedConv2D",
    "SelfAttention",
    "SlotSteps",
    "VectorFeatures",
]
