"""Where the files of a trained model are, and their checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple


class ModelFiles(NamedTuple):
    """Paths of everything that the training of one fold writes.

    Attributes
    ----------
    model : Path
        The Keras model, ``fold{f}_keras_model.keras``.
    preprocessing : Path
        The scikit-learn scaler, ``fold{f}_keras_preprocessing.pickle``.
    onnx : Path
        Preprocessing and network as one graph, ``fold{f}_keras_model.onnx``.
    record : Path
        How the model came to be, ``fold{f}_keras_training.json``.
    loss_png, loss_pdf : Path
        The loss curves.
    log : Path
        The log of the training, ``training{f}.log``.
    """

    model: Path
    preprocessing: Path
    onnx: Path
    record: Path
    loss_png: Path
    loss_pdf: Path
    log: Path


def model_files(output_path: str | Path, fold: int) -> ModelFiles:
    """Paths of the files of one fold's model.

    Parameters
    ----------
    output_path : path
        ``output_path`` of the training config.
    fold : int
        Index of the model.

    Examples
    --------
    >>> model_files("example", 1).onnx.as_posix()
    'example/fold1_keras_model.onnx'
    """
    folder = Path(output_path)
    return ModelFiles(
        model=folder / f"fold{fold}_keras_model.keras",
        preprocessing=folder / f"fold{fold}_keras_preprocessing.pickle",
        onnx=folder / f"fold{fold}_keras_model.onnx",
        record=folder / f"fold{fold}_keras_training.json",
        loss_png=folder / f"fold{fold}_loss.png",
        loss_pdf=folder / f"fold{fold}_loss.pdf",
        log=folder / f"training{fold}.log",
    )


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 checksum of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
