"""An exported network against the Keras model that it was made from, through our own reading of lwtnn's files."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import scratch_folder
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ntupleml.onnx_models.lwtnn import Replaced

log = logging.getLogger(__name__)

#: Largest difference, in units of the largest score where that is above one, before an export counts as wrong.
TOLERANCE = 1e-5


def largest_difference(
    content: Mapping[str, Any],
    model: Any,
    scalers: Any,
    batch: NDArray[np.float32] | Mapping[str, NDArray[Any]],
    *,
    missing: float | None = None,
) -> float:
    """Largest absolute difference between the scores of an exported network and those of Keras.

    Where it is above the tolerance, both are compared in double precision, as liblwtnn computes: networks of large
    numbers (raw variables in MeV) may lose more in Keras' single precision than the export is allowed to.

    Parameters
    ----------
    content : dict
        A network of one output, as `keras_to_lwtnn` gives it.
    scalers : mapping of str to scikit-learn scaler, or a scaler
        By the names of the groups; one where the batch is a matrix.
    batch : mapping of str to array, or array of float32, shape (n_events, n_variables + n_conditions)
        Raw inputs, conditions last.
    missing : float, optional
        Value that replaces NaN and infinite variables.

    Raises
    ------
    NtuplemlError
        If the difference is above 1e-5 (of the largest score, where that is above one), or a score is not finite.
    """
    from ntupleml.artifacts.record import TargetRecord
    from ntupleml.onnx_models.sessions import scores_of_batch

    if isinstance(batch, np.ndarray):
        batch, scalers = {"variables": batch}, {"variables": scalers}
    number = len(next(iter(batch.values())))
    found = lwtnn_scores(content, batch, "nan" if missing is None else "nan_and_infinities")
    expected = scores_of_batch(model, scalers, batch, missing, TargetRecord())
    difference = _difference(found, expected)
    allowed = TOLERANCE * max(1.0, float(np.abs(expected).max()))
    if difference <= allowed:
        return difference
    exact = _difference(found, _keras_in_double(model, scalers, batch, missing))
    if exact > allowed:
        raise NtuplemlError(
            f"the exported network differs from Keras by up to {difference:.2g} on {number} events ({exact:.2g} in "
            f"double precision), more than {allowed:g}; please report it"
        )
    log.warning(
        "scores in single precision, as Keras and ONNX give them, are up to %.2g from those in double precision, as "
        "lwtnn gives them (where Keras computes in double precision: %.2g); standard_scaler would fix it",
        difference,
        exact,
    )
    return difference


def _difference(found: NDArray[np.float64], expected: NDArray[Any]) -> float:
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise NtuplemlError("a score of the trained network is not finite; the training has diverged")
    return float(np.abs(found - expected).max())


def _keras_in_double(
    model: Any, scalers: Mapping[str, Any], batch: Mapping[str, NDArray[Any]], missing: float | None
) -> NDArray[np.float64]:
    """Scores of a copy of the model that computes in double precision throughout."""
    import keras

    from ntupleml.preprocessing.groups import as_argument

    prepared: dict[str, NDArray[np.float64]] = {}
    for name, scaler in scalers.items():
        number = scaler.n_features_in_
        raw = batch[name].astype(np.float64)
        if missing is not None:
            raw[..., :number][~np.isfinite(raw[..., :number])] = np.float32(missing)
        raw[..., :number] = scaler.transform(raw[..., :number].reshape(-1, number)).reshape(*raw.shape[:-1], number)
        if f"{name}_length" in batch:
            filled = np.arange(raw.shape[1]) < batch[f"{name}_length"][:, np.newaxis]
            raw[~filled] = 0
            prepared[f"{name}_mask"] = filled.astype(np.float64)
        prepared[name] = raw
    copy = _in_double(model)
    tensors = {name: keras.ops.convert_to_tensor(values, dtype="float64") for name, values in prepared.items()}
    scores = np.asarray(copy(as_argument(tensors), training=False))
    return np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores


def _in_double(model: Any) -> Any:
    """Copy of a model of which each part, inputs included, takes and gives double precision.

    The weights go through a file, from which each layer also makes what it derives from them, such as the mean that
    `Normalization` subtracts.
    """
    import keras

    content = json.loads(model.to_json().replace('"float32"', '"float64"'))
    copy = keras.models.model_from_json(json.dumps({**content, "compile_config": None}))
    with scratch_folder() as folder:
        path = folder / "model.weights.h5"
        model.save_weights(path)
        copy.load_weights(path)
    return copy


def lwtnn_scores(
    content: Mapping[str, Any], batch: Mapping[str, NDArray[Any]], replaced: Replaced
) -> NDArray[np.float64]:
    """Scores of an exported network of one output, in double precision as liblwtnn computes."""
    from ntupleml.onnx_models.lwtnn import lwtnn_to_onnx
    from ntupleml.onnx_models.sessions import batch_scores

    with scratch_folder() as folder, _quiet():
        path = folder / "network.json"
        path.write_text(as_text(content), encoding="utf-8")
        graph = lwtnn_to_onnx(path, np.float64, replaced=replaced)
    exact = {name: values.astype(np.float64) if values.dtype.kind == "f" else values for name, values in batch.items()}
    return batch_scores(graph, exact)


def as_text(content: Mapping[str, Any]) -> str:
    """JSON that boost's property tree reads: each number with all its digits, none that is not finite."""
    return json.dumps(content, allow_nan=False, indent=None, separators=(", ", ": ")) + "\n"


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide that a temporary file is read and converted."""
    loggers = {name: logging.getLogger(name).level for name in ("ntupleml.lwtnn.reading", "ntupleml.onnx_models.lwtnn")}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in loggers.items():
            logging.getLogger(name).setLevel(level)
