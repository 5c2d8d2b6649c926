"""Networks in frugally-deep's JSON: written from Keras files, read back as plain data, evaluated with NumPy."""

from ntupleml.frugally_deep.evaluation import evaluate
from ntupleml.frugally_deep.export import keras_to_frugally_deep
from ntupleml.frugally_deep.reading import read_frugally_deep

__all__ = ["evaluate", "keras_to_frugally_deep", "read_frugally_deep"]
