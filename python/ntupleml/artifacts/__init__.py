"""A trained model on disk and the record of how it came to be: paths, records, choice by fold, safe loading."""

from ntupleml.artifacts.files import KERAS, TMVA_JOB, Method, ModelFiles, TrainedModel, model_files, sha256_of_file
from ntupleml.artifacts.foreign_weights import read_foreign_weights
from ntupleml.artifacts.keras_files import KerasFile, file_of_model, load_keras_model, read_keras_file
from ntupleml.artifacts.listed_files import find_by_checksum, find_by_record_hash
from ntupleml.artifacts.members import member_models, members_path, require_single
from ntupleml.artifacts.methods import (
    default_method_name,
    find_method,
    listed_methods,
    methods_by_fold,
    methods_of,
)
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
from ntupleml.artifacts.trained_models import models_by_fold
from ntupleml.preprocessing import load_preprocessing

__all__ = [
    "KERAS",
    "TMVA_JOB",
    "ClassContent",
    "DatasetRecord",
    "KerasFile",
    "Method",
    "ModelFiles",
    "OnnxCheck",
    "SplitSizes",
    "TrainedModel",
    "TrainingRecord",
    "default_method_name",
    "file_of_model",
    "find_by_checksum",
    "find_by_record_hash",
    "find_method",
    "listed_methods",
    "load_keras_model",
    "load_preprocessing",
    "member_models",
    "members_path",
    "methods_by_fold",
    "methods_of",
    "model_files",
    "models_by_fold",
    "read_foreign_weights",
    "read_keras_file",
    "read_record",
    "record_hash",
    "require_single",
    "sha256_of_file",
    "write_record",
]
