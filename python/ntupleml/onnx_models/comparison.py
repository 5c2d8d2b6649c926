"""An ONNX graph against the Keras network it was made from, on real events."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.sessions import new_session

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

#: Largest difference between ONNX and Keras, in units of the largest score, before the graph counts as wrong.
TOLERANCE = 1e-4
_BATCH_SIZE = 10_000


def check_against_keras(
    onnx_model: onnx.ModelProto,
    model: Any,
    scaler: Any,
    rows: NDArray[np.float32],
    *,
    missing: float | None = None,
) -> float:
    """Largest absolute difference of any score between an ONNX graph and its source; usually below 1e-6.

    Parameters
    ----------
    onnx_model : onnx.ModelProto
        What `keras_to_onnx` returned.
    rows : array of float32, shape (n_events, n_variables + n_conditions)
        Raw inputs of real events, conditions last.
    missing : float, optional
        Value that replaces NaN and infinite variables.

    Raises
    ------
    NtuplemlError
        If the difference is above 1e-4 of the largest score, or either gives a score that is not finite.
    """
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    session = new_session(onnx_model.SerializeToString())
    difference = 0.0
    largest = 0.0
    for start in range(0, len(rows), _BATCH_SIZE):
        batch = rows[start : start + _BATCH_SIZE]
        expected = keras_scores(model, scaler, batch, missing=missing)
        (found,) = session.run(None, {"variables": batch})
        if not (np.isfinite(expected).all() and np.isfinite(found).all()):
            raise NtuplemlError("a score of the trained network is not finite; the training has diverged")
        difference = max(difference, float(np.abs(found - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    if difference > TOLERANCE * largest:
        raise NtuplemlError(
            f"the ONNX graph differs from the Keras network by up to {difference:.2g} on {len(rows)} events; more than "
            f"{TOLERANCE:g} of the largest score means that this network cannot be converted; please report it"
        )
    log.info("ONNX and Keras agree within %.2g on %d events", difference, len(rows))
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
    num_variables = scaler.n_features_in_
    raw = rows[:, :num_variables].astype(np.float64)
    if missing is not None:
        raw[~np.isfinite(raw)] = np.float32(missing)
    prepared = np.concatenate([scaler.transform(raw).astype(np.float32), rows[:, num_variables:]], axis=1)
    scores = np.asarray(model(prepared, training=False), dtype=np.float32)
    return np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores
