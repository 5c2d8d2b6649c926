"""The files of models that a config lists, htt-ml's names included, and the record that goes with each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts.files import KERAS, PREPROCESSING, TMVA_JOB, Method, TrainedModel, model_files, sha256_of_file
from ntupleml.artifacts.record import TrainingRecord, read_record
from ntupleml.artifacts.record import record_hash as hash_of_record
from ntupleml.config.loading import file_of
from ntupleml.errors import NtuplemlError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: htt-ml's files: `fold0_keras_model.h5`, or with the name of the network after it.
_HTT_ML_MODEL = re.compile(r"fold(\d+)_keras_model(_\w+)?\.(h5|hdf5)")
_HTT_ML_PREPROCESSING = re.compile(r"fold(\d+)_keras_preprocessing(_\w+)?\.pickle")
#: Names of records; those of TMVA's methods lie beside the weights.
_RECORD = re.compile(rf"fold\d+_(?P<name>.+)_training\.json|{TMVA_JOB}_(?P<tmva>.+)\.json")
_RECORDS = ("fold*_training.json", f"{TMVA_JOB}_*.json")
_XML, _ONNX = ".xml", ".onnx"
#: Endings of files that are models: Keras, XGBoost, a forest, LightGBM, TMVA's weights; or the graph of any of them.
_MODELS = (".keras", ".json", ".npz", ".txt", _XML, _ONNX)
_SCRIPTS = {
    "keras": "keras_training.py",
    "boosted_trees": "bdt_training.py",
    "scikit_learn": "sklearn_training.py",
    "tmva": "TMVA_training.py",
}


class Listed(NamedTuple):
    """A file as a config lists it: its text, config and key for messages, and where it may be, best place first."""

    text: str
    where: str
    places: list[Path]


def training_command(training_config: str, fold: int, method: Method = KERAS) -> str:
    """Command that trains the model of a fold."""
    return f"'python training/{_SCRIPTS[method.kind]} {file_of(training_config)} {fold}'"


def find_model(listed: Listed, fold: int, training_config: str, method: Method = KERAS) -> TrainedModel | Path:
    """Files and record of a listed model, or the path of TMVA weights that no record goes with.

    Where a file of htt-ml is listed but not there (a network as `.h5`, or as TMVA's PyKeras has it), the file that
    our training wrote in its place is taken.

    Parameters
    ----------
    fold : int
        Index of the model that should be there, for the command that makes it.
    training_config : str
        The same.
    method : Method, optional
        The same.
    """
    for place in listed.places:
        if place.exists():
            return _model_at(place, listed)
        replacement = _written_instead(place)
        if replacement is not None:
            return replacement
    last = listed.places[-1]
    if last.suffix == _XML:
        method = method if method.kind == "tmva" else Method("tmva", "", "kBDT")
    existing = sorted(path.name for path in last.parent.glob(f"*{last.suffix or '.keras'}"))
    raise NtuplemlError(
        f"{listed.where}: no file '{last}'{did_you_mean(last.name, existing)}; "
        f"{training_command(training_config, fold, method)} makes the model of fold {fold}"
    )


def _written_instead(place: Path) -> TrainedModel | None:
    """What our training wrote where htt-ml's, or a training without an ensemble, has a file of this name."""
    match = _HTT_ML_MODEL.fullmatch(place.name)
    if match:
        found = model_files(place.parent, int(match[1])).record
        return _found(found, read_record(found)) if found.exists() else None
    own = place.with_name(f"{place.stem.removesuffix('_model')}_training.json")  # of an ensemble the ONNX file alone
    if _RECORD.fullmatch(own.name) and own.exists() and (record := read_record(own)).ensemble is not None:
        return _found(own, record)
    if place.name.endswith(".weights.xml"):
        path = place.with_name(place.name.removesuffix(".weights.xml") + ".json")
        return _found(path, read_record(path)) if _RECORD.fullmatch(path.name) and path.exists() else None
    return None


def _model_at(path: Path, listed: Listed) -> TrainedModel | Path:
    if path.suffix in (".h5", ".hdf5"):
        raise NtuplemlError(
            f"{listed.where}: '{path}' is not a .keras file; Keras models in HDF5 are not read, since loading one can "
            "run code in it; train anew, or leave the key out to use the models that the training wrote"
        )
    if path.suffix not in _MODELS:
        raise NtuplemlError(
            f"{listed.where}: '{path}' is not a model that is known here: the names of models end in "
            f"{', '.join(_MODELS)}; leave the key out to use those that the training wrote"
        )
    found = find_by_checksum(path)
    if found is not None:
        return found
    if path.suffix == _XML:
        return path
    raise NtuplemlError(
        f"{listed.where}: no record of a training (fold*_training.json) beside '{path}' goes with it, so nobody "
        "knows which events it saw; keep the files of a training together, or train again"
    )


def find_by_checksum(path: Path) -> TrainedModel | None:
    """The trained model that a file belongs to, by the checksums in the records beside it; None where there is none.

    Raises
    ------
    NtuplemlError
        If a record beside it is damaged.
    """
    checksum = sha256_of_file(path)
    for candidate, record in _records(path.parent):
        if checksum in record.sha256.values():
            found = _found(candidate, record)
            key = "onnx" if path.suffix == _ONNX else "model"
            return found._replace(files=found.files._replace(**{key: path}))
    return None


def find_by_record_hash(record_hash: str, folders: Sequence[Path]) -> TrainedModel | None:
    """Trained model with this record hash (exports carry it), or None if no folder has it.

    Raises
    ------
    NtuplemlError
        If a record there is damaged.
    """
    for folder in folders:
        for candidate, record in _records(folder):
            if hash_of_record(record) == record_hash:
                return _found(candidate, record)
    return None


def _records(folder: Path) -> Iterator[tuple[Path, TrainingRecord]]:
    for pattern in _RECORDS:
        for path in sorted(folder.glob(pattern)):
            if not path.name.endswith(PREPROCESSING):
                yield path, read_record(path)


def _found(record_path: Path, record: TrainingRecord) -> TrainedModel:
    """All files of a training, by the place and name of its record."""
    method = _method_of(record_path, record)
    output_path = record_path.parent
    files = model_files(output_path, record.fold, method).inside(output_path)
    return TrainedModel(files.of_record(record), record, method)


def _method_of(record_path: Path, record: TrainingRecord) -> Method:
    match = _RECORD.fullmatch(record_path.name)
    assert match is not None, "records are looked for by these names"
    if match["tmva"] is not None:
        return Method("tmva", match["tmva"], "kPyKeras" if record.engine == "keras" else "kBDT")
    if match["name"] == KERAS.name:
        return KERAS
    if record.engine == "scikit_learn":
        return Method("scikit_learn", match["name"], str(record.network.get("type", "")))
    return Method("boosted_trees", match["name"], record.engine)


def find_preprocessing(listed: Listed, model: TrainedModel, models: Sequence[TrainedModel]) -> tuple[int, Path]:
    """Index of the model that a listed scaler belongs to, and the file."""
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


def _owner(path: Path, listed: Listed, models: Sequence[TrainedModel]) -> int:
    """First model whose record names the scaler's checksum; without checksums, the one whose file it is."""
    checksum = sha256_of_file(path)
    for model in models:
        if checksum in model.record.sha256.values():
            return model.record.fold
    for model in models:
        scaler = model.files.preprocessing
        if not model.record.sha256 and scaler is not None and path.resolve() in _forms(scaler):
            return model.record.fold
    raise NtuplemlError(
        f"{listed.where}: '{path}' is not the scaler of any of the listed models; their records name other checksums"
    )


def _forms(scaler: Path) -> list[Path]:
    """A scaler as JSON and as a pickle."""
    return [scaler.with_suffix(ending).resolve() for ending in (".json", ".pickle")]
