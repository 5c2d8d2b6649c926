"""TMVA's weights files: reading every kind that we can evaluate, and writing forests as such files."""

from ntupleml.tmva.method import TmvaMethod, Variable
from ntupleml.tmva.reading import read_weights

__all__ = ["TmvaMethod", "Variable", "read_weights"]
