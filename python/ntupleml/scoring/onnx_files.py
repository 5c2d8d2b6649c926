"""The ONNX file of a trained model: checked against the record, or made from the Keras model where it is not there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import (
    OnnxCheck,
    TrainingRecord,
    load_keras_model,
    load_preprocessing,
    model_files,
    record_hash,
    sha256_of_file,
    write_record,
)
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel

log = logging.getLogger(__name__)

_NUM_CHECKED = 10_000


def onnx_graph(model: TrainedModel) -> bytes:
    """Content of a model's ONNX file, made and written first where there is none.

    Raises
    ------
    NtuplemlError
        If the file's checksum is not the recorded one, or there is neither an ONNX file nor a Keras model.
    """
    path = model.files.onnx
    if not path.exists():
        return _make(model)
    checksum = model.record.sha256.get(_name(model.record))
    if checksum is not None and sha256_of_file(path) != checksum:
        raise NtuplemlError(
            f"{path}: not the file that the training wrote: its checksum differs from that in {model.files.record}; "
            "delete it, and it is made anew from the Keras model"
        )
    return path.read_bytes()


def _name(record: TrainingRecord) -> str:
    return model_files("", record.fold).onnx.name


def _make(model: TrainedModel) -> bytes:
    """Convert the Keras model, and keep the result beside it where that is possible."""
    from ntupleml.onnx_models.comparison import check_against_keras
    from ntupleml.onnx_models.keras_network import keras_to_onnx

    files, record = model
    for path in (files.model, files.preprocessing):
        if path is None or not path.exists():
            raise NtuplemlError(f"{files.onnx}: no such file, nor '{path}' to make it from; train again")
    assert files.preprocessing is not None
    log.info("%s is not there; making it from %s", files.onnx, files.model)
    scaler = load_preprocessing(files.preprocessing, len(record.variables))
    network = load_keras_model(files.model, compiled=False)
    graph = keras_to_onnx(
        network,
        scaler,
        record.variables,
        record.classes,
        missing=record.missing,
        conditions=record.conditions,
        record_hash=record_hash(record),
    )
    rows = _typical_rows(scaler, record)
    check = OnnxCheck(
        events=len(rows),
        largest_difference=check_against_keras(graph, network, scaler, rows, missing=record.missing),
    )
    _keep(model, graph, check)
    content: bytes = graph.SerializeToString()
    return content


def _typical_rows(scaler: Any, record: TrainingRecord) -> NDArray[np.float32]:
    """Inputs that the scaler maps to a normal distribution: no events are at hand when only scores are wanted."""
    random = np.random.default_rng(record.seed)
    raw = scaler.inverse_transform(random.normal(size=(_NUM_CHECKED, len(record.variables))))
    drawn = random.integers(0, max(len(record.conditions), 1), _NUM_CHECKED)
    one_hot = np.eye(len(record.conditions))[drawn] if record.conditions else np.empty((_NUM_CHECKED, 0))
    return np.concatenate([raw, one_hot], axis=1).astype(np.float32)


def _keep(model: TrainedModel, graph: onnx.ModelProto, check: OnnxCheck) -> None:
    """Write the ONNX file, and its checksum into the record.

    The record loses its old checksum first: a kill in between leaves a pair that is still good.
    """
    from ntupleml.onnx_models.files import write_onnx

    files, record = model
    name = _name(record)
    others = {key: value for key, value in record.sha256.items() if key != name}
    try:
        if name in record.sha256:
            write_record(files.record, record.model_copy(update={"sha256": others}), overwrite=True)
        write_onnx(files.onnx, graph, overwrite=True)
        update = {"sha256": {**others, name: sha256_of_file(files.onnx)}, "onnx_check": check}
        write_record(files.record, record.model_copy(update=update), overwrite=True)
    except NtuplemlError as error:
        log.warning("the ONNX file is used but not kept: %s", error)
