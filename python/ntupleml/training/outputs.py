"""Everything that the training of a fold leaves behind: model, preprocessing, ONNX file, record, figures."""

from __future__ import annotations

import logging
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import (
    KERAS,
    OnnxCheck,
    TrainingRecord,
    file_of_model,
    model_files,
    read_keras_file,
    record_hash,
    sha256_of_file,
    write_record,
)
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ntupleml.artifacts import Method, ModelFiles
    from ntupleml.config import PlotConfig, TrainingConfig

log = logging.getLogger(__name__)

#: Distributions whose versions the record keeps.
_LIBRARIES = (
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "xgboost-cpu",
    "xgboost",
    "numpy",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "uproot",
)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a training depends on, of those that are installed."""
    import platform
    from importlib.metadata import PackageNotFoundError

    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def check_export(model: Any, scaler: Any, config: TrainingConfig, conditions: Sequence[str], where: str) -> None:
    """Refuse a network that could be trained but not be written, before it is trained.

    Parameters
    ----------
    model : keras.Model
    scaler : scikit-learn scaler
    config : TrainingConfig
    conditions : sequence of str
    where : str
        What the network is, for messages.

    Raises
    ------
    NtuplemlError
        Naming the layer and the reason.
    """
    from ntupleml.onnx_models.keras_network import keras_to_onnx
    from ntupleml.onnx_models.sessions import new_session

    graph = keras_to_onnx(
        file_of_model(model, where),
        scaler,
        config.variables,
        config.classes,
        missing=config.missing.value if config.missing else None,
        conditions=conditions,
    )
    try:
        new_session(graph.SerializeToString())
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise NtuplemlError(f"{where}: ONNX Runtime cannot load it: {one_line(error)}; please report it") from error


def write_outputs(
    model: Any,
    scaler: Any,
    record: TrainingRecord,
    check_rows: NDArray[np.float32],
    output_path: str,
    plot: PlotConfig,
    method: Method = KERAS,
) -> TrainingRecord:
    """Write all files of a trained model: beside their places first, and put there when all are complete.

    An earlier training stays as it is if anything fails before, and the trained network is kept under a name of its
    own. A kill between two renames leaves files of which the checksums in the record tell that they are not of one
    training.

    Parameters
    ----------
    model : keras.Model
    scaler : scikit-learn scaler
    record : TrainingRecord
        Without checksums and ONNX check.
    check_rows : array of float32, shape (n_events, n_inputs)
        Raw inputs of real events, on which the ONNX file is compared with Keras.
    output_path : str
    plot : PlotConfig
    method : Method, optional
        Whose files are written; by default those of the config's network.

    Returns
    -------
    TrainingRecord
        The record as written.

    Raises
    ------
    NtuplemlError
        If a file cannot be written, or the ONNX file does not give the scores of the Keras model.
    """
    kept = unexported_path(output_path, record.fold, method)
    try:
        complete = _write_outputs(model, scaler, record, check_rows, output_path, plot, method)
    except Exception:
        _keep_network(model, kept, method)
        raise
    kept.unlink(missing_ok=True)
    return complete


def unexported_path(output_path: str, fold: int, method: Method = KERAS) -> Path:
    """Where a trained network is kept of which not all files could be written.

    Examples
    --------
    >>> unexported_path("example", 1).as_posix()
    'example/fold1_keras_model_unexported.keras'
    """
    model = model_files(output_path, fold, method).model
    return model.with_stem(f"{model.stem}_unexported")


def _keep_network(model: Any, path: Path, method: Method) -> None:
    go_on = "; --continue writes the files without training again" if method == KERAS else ""
    try:
        with replace_file(path, overwrite=True) as temporary:
            model.save(temporary)
    except (NtuplemlError, OSError) as error:
        log.error("the trained network cannot be kept as %s: %s; its checkpoint stays%s", path, error, go_on)
        return
    log.error("the files of the training could not be written; the trained network is kept: %s%s", path, go_on)


def _write_outputs(
    model: Any,
    scaler: Any,
    record: TrainingRecord,
    check_rows: NDArray[np.float32],
    output_path: str,
    plot: PlotConfig,
    method: Method,
) -> TrainingRecord:
    from ntupleml.onnx_models.comparison import check_against_keras
    from ntupleml.onnx_models.files import write_onnx
    from ntupleml.onnx_models.keras_network import keras_to_onnx
    from ntupleml.preprocessing import write_preprocessing

    files = model_files(output_path, record.fold, method)
    assert files.preprocessing is not None
    files.model.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files.model.parent, prefix=f".fold{record.fold}-") as folder:
        # all files of a model but its log lie in one folder
        written = files.inside(folder)
        assert written.preprocessing is not None
        write_preprocessing(written.preprocessing, scaler)
        with replace_file(written.model) as temporary:
            model.save(temporary)
        onnx_model = keras_to_onnx(
            read_keras_file(written.model, "the trained network"),
            scaler,
            record.variables,
            record.classes,
            missing=record.missing,
            conditions=record.conditions,
            record_hash=record_hash(record),
        )
        difference = check_against_keras(onnx_model, model, scaler, check_rows, missing=record.missing)
        write_onnx(written.onnx, onnx_model)
        models = (written.model, written.preprocessing, written.onnx)
        complete = record.model_copy(
            update={
                "onnx_check": OnnxCheck(events=len(check_rows), largest_difference=difference),
                "sha256": {path.name: sha256_of_file(path) for path in models},
            }
        )
        write_record(written.record, complete)
        _draw_loss(written, complete, plot)
        for path in Path(folder).iterdir():
            path.replace(files.model.parent / path.name)
    log.info("written: %s, with preprocessing, ONNX file, record and figures of the loss", files.model)
    return complete


def _draw_loss(files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
    from ntupleml.plots.style import plot_style, save_figure
    from ntupleml.plots.training import draw_loss

    with plot_style(plot):
        figure = draw_loss(record.history, record.best_epoch, plot)
        save_figure(figure, files.loss_png.with_suffix(""))
