"""Everything that training a method of TMVA leaves behind: weights file, ONNX file, record."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import OnnxCheck, TrainingRecord, model_files, record_hash, sha256_of_file, write_record
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.artifacts import Method, ModelFiles
    from ntupleml.config import TrainingConfig
    from ntupleml.forests import Forest

log = logging.getLogger(__name__)

#: Largest difference between the files and their source before they count as wrong.
TOLERANCE = 1e-5


class TrainedMethods(NamedTuple):
    """What becomes of methods that are trained together.

    Attributes
    ----------
    records : list of TrainingRecord
        Of those that are in place.
    failures : list of str
        A line for each of the others.
    """

    records: list[TrainingRecord]
    failures: list[str]


def refuse_existing(config: TrainingConfig, fold: int, method: Method, overwrite: bool) -> None:
    """Refuse before the work what would be in the way after it.

    Raises
    ------
    NtuplemlError
        If a file of the method exists and is not to be overwritten.
    """
    files = model_files(config.output_path, fold, method)
    existing = [path for path in (files.model, files.onnx, files.record) if path.exists()]
    if existing and not overwrite:
        raise NtuplemlError(f"{existing[0]}: exists already; give --overwrite to train anew")


def write_forest_method(
    config: TrainingConfig,
    method: Method,
    forest: Forest,
    record: TrainingRecord,
    rows: NDArray[np.float32],
    expected: NDArray[np.float64],
    *,
    minima: NDArray[np.float32],
    maxima: NDArray[np.float32],
    options: Mapping[str, str],
    training_time: float,
    where: str,
) -> TrainingRecord:
    """Write a forest as TMVA's weights file and as ONNX file, check both, and put them in place with the record.

    Parameters
    ----------
    config : TrainingConfig
    method : Method
    forest : Forest
    record : TrainingRecord
        Without checksums and ONNX check.
    rows : array of float32, shape (n_events, n_variables)
        Inputs of real events.
    expected : array of float64, shape (n_events, n_outputs)
        What the library that trained the forest answers for them.
    minima, maxima : array, shape (n_variables,)
        Of the training events.
    options : mapping of str to str
        Options of TMVA as set.
    training_time : float
        In seconds.
    where : str
        Config and method, for messages.

    Returns
    -------
    TrainingRecord
        The record as written.

    Raises
    ------
    NtuplemlError
        If a file does not give the expected answers.
    """
    from ntupleml.onnx_models.files import write_onnx
    from ntupleml.onnx_models.sessions import graph_scores
    from ntupleml.onnx_models.tmva_method import tmva_to_onnx
    from ntupleml.tmva.reading import read_weights
    from ntupleml.tmva.writing import write_weights

    files = model_files(config.output_path, record.fold, method)
    files.model.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.model.parent, prefix=f".{method.name}-") as folder:
        written = files.inside(folder)
        write_weights(
            written.model,
            forest,
            method_name=method.name,
            classes=config.classes,
            variables=config.variables,
            minima=minima,
            maxima=maxima,
            options=options,
            num_training_events=0 if record.split is None else record.split.training,
            training_time=training_time,
            missing=record.missing,
            where=str(files.model),
        )
        # Made from the file as read again, the graph tells whether both are right.
        graph = tmva_to_onnx(
            read_weights(written.model),
            variables=record.variables,
            missing=record.missing,
            record_hash=record_hash(record),
        )
        write_onnx(written.onnx, graph)
        complete = finish_record(
            record, written, check_difference("weights and ONNX file", graph_scores(graph, rows), expected, where)
        )
        _put_in_place(Path(folder), files)
    log.info("written: %s, with ONNX file and record", files.model)
    return complete


def finish_record(record: TrainingRecord, written: ModelFiles, check: OnnxCheck | None) -> TrainingRecord:
    """Write the record beside the files that it describes, with their checksums, and return it."""
    complete = record.model_copy(
        update={
            "onnx_check": check,
            "sha256": {path.name: sha256_of_file(path) for path in (written.model, written.onnx) if path.exists()},
        }
    )
    write_record(written.record, complete)
    return complete


def _put_in_place(folder: Path, files: ModelFiles) -> None:
    for path in sorted(folder.iterdir()):
        path.replace(files.model.parent / path.name)


def check_difference(what: str, found: NDArray[Any], expected: NDArray[np.float64], where: str) -> OnnxCheck:
    """Compare the answers of a file that was written with those of its source.

    Raises
    ------
    NtuplemlError
        If they differ by more than `TOLERANCE`.
    """
    difference = float(np.abs(found - expected).max(initial=0.0))
    if not difference <= TOLERANCE:
        raise NtuplemlError(
            f"{where}: the {what} differs from the trained method by up to {difference:.2g} on {len(found)} events, "
            f"more than {TOLERANCE:g}; please report it"
        )
    log.info("%s and trained method agree within %.2g on %d events", what, difference, len(found))
    return OnnxCheck(events=len(found), largest_difference=difference)
