"""A trained model on disk and the record of how it came to be: paths, records, choice by fold, safe loading."""

from ntupleml.artifacts.files import KERAS, TMVA_JOB, Method, ModelFiles, model_files, sha256_of_file
from ntupleml.artifacts.keras_files import check_keras_file, load_keras_model
from ntupleml.artifacts.methods import find_method, methods_of
from ntupleml.artifacts.record import (
    ClassContent,
    DatasetRecord,
    OnnxCheck,
    SplitSizes,
    TrainingRecord,
    read_record,
    record_hash,
    write_record,
)
from ntupleml.artifacts.trained_models import TrainedModel, models_by_fold
from ntupleml.preprocessing import load_preprocessing

__all__ = [
    "KERAS",
    "TMVA_JOB",
    "ClassContent",
    "DatasetRecord",
    "Method",
    "ModelFiles",
    "OnnxCheck",
    "SplitSizes",
    "TrainedModel",
    "TrainingRecord",
    "check_keras_file",
    "find_method",
    "load_keras_model",
    "load_preprocessing",
    "methods_of",
    "model_files",
    "models_by_fold",
    "read_record",
    "record_hash",
    "sha256_of_file",
    "write_record",
]
