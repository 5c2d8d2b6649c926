"""Keras models on disk: loaded only after everything in the file has been checked."""

from __future__ import annotations

import json
import logging
import warnings
import zipfile
from pathlib import Path
from typing import Any

from ntupleml.artifacts.keras_config import check_network_config
from ntupleml.artifacts.keras_weights import check_weights
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.tensorflow_import import import_tensorflow

log = logging.getLogger(__name__)

_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"
#: Members of a Keras file and the bytes that each may have at most.
_MEMBERS = {_CONFIG: 10_000_000, "metadata.json": 100_000, _WEIGHTS: 8_000_000_000}
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def load_keras_model(path: str | Path, *, compiled: bool = True) -> Any:
    """Load a Keras model after `check_keras_file` has found nothing wrong. Imports TensorFlow.

    Parameters
    ----------
    path : path
        A ``.keras`` file.
    compiled : bool, default: True
        Whether to restore loss and optimizer with its state, to go on training.

    Returns
    -------
    keras.Model
        Called once, as Keras wants it before an export.

    Raises
    ------
    NtuplemlError
        If there is no such file, it is not what it claims to be, or it does not have one matrix as input.
    """
    check_keras_file(path)
    import_tensorflow()
    import keras
    import numpy as np

    try:
        with warnings.catch_warnings():
            # A network that was saved before its first training step has an optimizer without a state.
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            model = keras.saving.load_model(path, compile=compiled, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers raise for a wrong description
        raise NtuplemlError(f"{path}: Keras cannot load it: {one_line(error)}") from error
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or not isinstance(shape[1], int):
        raise NtuplemlError(f"{path}: its input has the shape {shape}; one matrix, events × variables, is needed")
    model(np.zeros((1, shape[1]), dtype=np.float32))
    return model


def check_keras_file(path: str | Path) -> None:
    """Refuse a Keras file that could run code, read other files or fill the memory when loaded.

    Looked at are the zip (only the members that a network needs, each once, bounded in size), the description of the
    network (`check_network_config`) and the weights (`check_weights`). Keras is not imported.

    Raises
    ------
    NtuplemlError
        Saying what is wrong, on one line.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; a training makes it") from None
    if start == _HDF5_SIGNATURE or Path(path).suffix in (".h5", ".hdf5"):
        raise NtuplemlError(
            f"{path}: a Keras model in HDF5, which is not read: loading one can run code in it; where you trust it, "
            "convert it with keras.models.load_model('old.h5', compile=False).save('new.keras'), or train anew"
        )
    if Path(path).suffix != ".keras":
        raise NtuplemlError(f"{path}: not the file of a Keras 3 model, whose name ends in .keras")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, str(path))
            config = json.loads(archive.read(_CONFIG))
            weights = archive.read(_WEIGHTS)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        # RuntimeError also covers encrypted members, and JSON nested without end.
        raise NtuplemlError(f"{path}: not a Keras 3 model, or damaged: {one_line(error)}") from error
    check_network_config(config, str(path))
    check_weights(weights, str(path))


def _check_members(archive: zipfile.ZipFile, where: str) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    for member in members:
        limit = _MEMBERS.get(member.filename)
        if limit is None or names.count(member.filename) > 1:
            raise NtuplemlError(
                f"{where}: refused: its member '{one_line(member.filename, 80)}' does not belong into the file of a "
                f"plain network, which has {', '.join(_MEMBERS)}, each once"
            )
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
            raise NtuplemlError(
                f"{where}: refused: its member '{member.filename}' is compressed, which Keras never does, or too large"
            )
    for name in (_CONFIG, _WEIGHTS):
        if name not in names:
            raise NtuplemlError(f"{where}: not a Keras 3 model: it has no {name}")
