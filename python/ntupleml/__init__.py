"""From ROOT ntuples to trained classifiers and back: k-fold datasets, training, testing, application."""

__version__ = "0.1.0"
