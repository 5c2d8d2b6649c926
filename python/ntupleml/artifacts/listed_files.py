"""The files of models that a config lists, htt-ml's names included, and the record that goes with each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ntupleml.artifacts.files import ModelFiles, model_files, sha256_of_file
from ntupleml.artifacts.record import TrainingRecord, read_record
from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: htt-ml's files: `fold0_keras_model.h5`, or with the name of the network after it.
_HTT_ML_MODEL = re.compile(r"fold(\d+)_keras_model(_\w+)?\.(h5|hdf5)")
_HTT_ML_PREPROCESSING = re.compile(r"fold(\d+)_keras_preprocessing(_\w+)?\.pickle")


class Listed(NamedTuple):
    """A file as a config lists it: its text, config and key for messages, and where it may be, best place first."""

    text: str
    where: str
    places: list[Path]


class _Model(Protocol):
    @property
    def files(self) -> ModelFiles: ...
    @property
    def record(self) -> TrainingRecord: ...


def training_command(training_config: str, fold: int) -> str:
    """Command that trains the model of a fold."""
    return f"'python training/keras_training.py {training_config} {fold}'"


def find_model(listed: Listed, fold: int, training_config: str) -> tuple[ModelFiles, TrainingRecord]:
    """Files and record of a listed model.

    Where htt-ml's `.h5` file is listed but not there, the file that our training wrote for that fold is taken.

    Parameters
    ----------
    listed : Listed
    fold : int
        Index of the model that should be there, for the command that makes it.
    training_config : str
        The same.

    Raises
    ------
    NtuplemlError
        If it is a model of TMVA or in HDF5, is not there, or no record goes with it.
    """
    if listed.text.endswith(".xml"):
        raise NtuplemlError(
            f"{listed.where}: '{listed.text}' is a method of TMVA, but this script applies Keras models; list files "
            "such as fold0_keras_model.keras, or leave the key out to use those that the training wrote"
        )
    for place in listed.places:
        if place.exists():
            return _model_at(place, listed)
        match = _HTT_ML_MODEL.fullmatch(place.name)
        files = model_files(place.parent, int(match[1])) if match else None
        if files is not None and files.record.exists():
            return files, read_record(files.record)
    existing = sorted(path.name for path in listed.places[-1].parent.glob("*.keras"))
    raise NtuplemlError(
        f"{listed.where}: no file '{listed.places[-1]}'{did_you_mean(listed.places[-1].name, existing)}; "
        f"{training_command(training_config, fold)} makes the model of fold {fold}"
    )


def _model_at(path: Path, listed: Listed) -> tuple[ModelFiles, TrainingRecord]:
    if path.suffix not in (".keras", ".onnx"):
        raise NtuplemlError(
            f"{listed.where}: '{path}' is not a .keras file; Keras models in HDF5 are not read, since loading one can "
            "run code in it; train anew, or leave the key out to use the models that the training wrote"
        )
    checksum = sha256_of_file(path)
    for candidate in sorted(path.parent.glob("fold*_keras_training.json")):
        record = read_record(candidate)
        if checksum in record.sha256.values():
            files = model_files(path.parent, record.fold)
            return (files._replace(model=path) if path.suffix == ".keras" else files._replace(onnx=path)), record
    raise NtuplemlError(
        f"{listed.where}: no record of a training (fold*_keras_training.json) beside '{path}' goes with it, so nobody "
        "knows which events it saw; keep the files of a training together, or train again"
    )


def find_preprocessing(listed: Listed, model: _Model, models: Sequence[_Model]) -> tuple[int, Path]:
    """Index of the model that a listed scaler belongs to, and the file.

    Raises
    ------
    NtuplemlError
        If there is no such file, or it belongs to none of the models.
    """
    for place in listed.places:
        if place.exists():
            return _owner(place, listed, [model, *models]), place
        match = _HTT_ML_PREPROCESSING.fullmatch(place.name)
        if match:
            for candidate in models:
                scaler = candidate.files.preprocessing
                if candidate.record.fold == int(match[1]) and scaler is not None and scaler.exists():
                    return candidate.record.fold, scaler
    raise NtuplemlError(
        f"{listed.where}: no file '{listed.places[-1]}'; leave the key out to use what the training wrote"
    )


def _owner(path: Path, listed: Listed, models: Sequence[_Model]) -> int:
    """First model whose record names the scaler's checksum; without checksums, the one whose file it is."""
    checksum = sha256_of_file(path)
    for model in models:
        if checksum in model.record.sha256.values():
            return model.record.fold
    for model in models:
        scaler = model.files.preprocessing
        if not model.record.sha256 and scaler is not None and scaler.resolve() == path.resolve():
            return model.record.fold
    raise NtuplemlError(
        f"{listed.where}: '{path}' is not the scaler of any of the listed models; their records name other checksums"
    )
