"""The scalers of the inputs: fitting them, with weights where asked, and their files, read without running code."""

from ntupleml.preprocessing.missing import count_missing, fill_missing, refuse_missing
from ntupleml.preprocessing.scaler_files import load_preprocessing, load_scalers, write_preprocessing
from ntupleml.preprocessing.scalers import SCALERS, Scaler, fit_scaler

__all__ = [
    "SCALERS",
    "Scaler",
    "count_missing",
    "fill_missing",
    "fit_scaler",
    "load_preprocessing",
    "load_scalers",
    "refuse_missing",
    "write_preprocessing",
]
