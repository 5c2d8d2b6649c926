"""Running ONNX graphs, the one way in which it is done here, and comparing them to the Keras networks behind them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.preprocessing.groups import as_argument, network_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Largest difference between ONNX and Keras, in units of the largest score, before the graph counts as wrong.
TOLERANCE = 1e-4
#: Events per call where scores are only compared.
_BATCH_SIZE = 10_000


def new_session(content: bytes | str, threads: int = 1) -> Any:
    """Session of ONNX Runtime for a file or its path; what it raises for a damaged one has no common class."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # warnings about the hardware say nothing to a user
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def graph_scores(graph: onnx.ModelProto, rows: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """Scores of a graph with one input and one output, in batches.

    Parameters
    ----------
    rows : array of the graph's type, shape (n_events, n_inputs)

    Returns
    -------
    array, shape (n_events, n_scores)
    """
    session = new_session(graph.SerializeToString())
    (tensor,) = session.get_inputs()
    # One call at least, which says how many scores there are.
    starts = range(0, max(len(rows), 1), _BATCH_SIZE)
    rows = np.ascontiguousarray(rows)
    return np.concatenate([session.run(None, {tensor.name: rows[start : start + _BATCH_SIZE]})[0] for start in starts])


def check_against_keras(
    onnx_model: onnx.ModelProto,
    model: Any,
    scalers: Any,
    batch: NDArray[np.float32] | Mapping[str, NDArray[Any]],
    *,
    missing: float | None = None,
    target: TargetRecord | None = None,
) -> float:
    """Largest absolute difference of any score between an ONNX graph and its source; usually below 1e-6.

    Values count in units of their standard deviations in the training, so that each is compared, whatever its size.

    Parameters
    ----------
    onnx_model : onnx.ModelProto
        What `keras_to_onnx` returned.
    scalers : mapping of str to scikit-learn scaler, or a scaler
        By the names of the groups; one where the batch is a matrix.
    batch : mapping of str to array, or array of float32, shape (n_events, n_variables + n_conditions)
        Raw inputs of real events, as the graph takes them; conditions last.
    missing : float, optional
        Value that replaces NaN and infinite variables.
    target : TargetRecord, optional
        What the network learnt, by default classes.

    Raises
    ------
    NtuplemlError
        If the difference is above 1e-4 of the largest score, or either gives a score that is not finite.
    """
    if isinstance(batch, np.ndarray):
        batch, scalers = {"variables": batch}, {"variables": scalers}
    arrays = {name: np.ascontiguousarray(values) for name, values in batch.items()}
    number = len(next(iter(arrays.values())))
    session = new_session(onnx_model.SerializeToString())
    target = target or TargetRecord()
    differences, sizes = np.zeros(1), np.zeros(1)
    for start in range(0, number, _BATCH_SIZE):
        part = {name: values[start : start + _BATCH_SIZE] for name, values in arrays.items()}
        expected = scores_of_batch(model, scalers, part, missing, target)
        (found,) = session.run(None, part)
        if not (np.isfinite(expected).all() and np.isfinite(found).all()):
            raise NtuplemlError("a score of the trained network is not finite; the training has diverged")
        differences = np.maximum(differences, np.abs(found - expected).max(axis=0) / target.units)
        sizes = np.maximum(sizes, np.abs(expected).max(axis=0) / target.units)
    difference = float(differences.max())
    # of scores of classes some may be tiny beside the others, but a value is compared for itself
    allowed = TOLERANCE * (np.maximum(sizes, 1) if target.kind == "values" else sizes.max())
    if (differences > allowed).any():
        raise NtuplemlError(
            f"the ONNX graph differs from the Keras network by up to {difference:.2g} on {number} events; more than "
            f"{TOLERANCE:g} of the largest score means that this network cannot be converted; please report it"
        )
    log.info("ONNX and Keras agree within %.2g on %d events", difference, number)
    return difference


def keras_scores(
    model: Any, scaler: Any, rows: NDArray[np.float32], *, missing: float | None = None
) -> NDArray[np.float32]:
    """Scores as Keras and scikit-learn compute them, preprocessing in float64.

    Parameters
    ----------
    rows : array of float32, shape (n_events, n_variables + n_conditions)

    Returns
    -------
    array of float32, shape (n_events, n_classes)
    """
    return scores_of_batch(model, {"variables": scaler}, {"variables": rows}, missing, TargetRecord())


def scores_of_batch(
    model: Any,
    scalers: Mapping[str, Any],
    batch: Mapping[str, NDArray[Any]],
    missing: float | None,
    target: TargetRecord,
) -> NDArray[np.float32]:
    """Scores of a batch."""
    inputs = network_inputs(batch, scalers, missing)
    scores = np.asarray(model(as_argument(inputs), training=False), dtype=np.float32)
    if target.kind == "values":
        mean, scale = (np.asarray(numbers, np.float32) for numbers in (target.mean, target.scale))
        return np.asarray(scores * scale + mean)
    if target.kind == "reconstruction":
        from ntupleml.models.reconstruction import MaskedSquaredError, reconstruction_target

        wanted = reconstruction_target(inputs, target.groups)
        return np.asarray(MaskedSquaredError(reduction=None)(wanted, scores))[:, np.newaxis]
    return np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores
