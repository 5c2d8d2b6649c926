"""Sessions of ONNX Runtime, and the comparison of ONNX graphs with their Keras networks."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.features.images import missing_energy_of
from ntupleml.imports import import_onnxruntime
from ntupleml.preprocessing.groups import as_argument, network_inputs
from ntupleml.targets import MEASURED

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

    from ntupleml.features.makers import Makers

log = logging.getLogger(__name__)

#: Largest difference between ONNX and Keras, in units of the largest score, before the graph counts as wrong.
TOLERANCE = 1e-4
#: Events per call where scores are only compared.
_BATCH_SIZE = 10_000


def new_session(content: bytes | str, threads: int = 1) -> Any:
    """Session of ONNX Runtime for a file or its path; what it raises for a damaged one has no common class."""
    onnxruntime = import_onnxruntime()
    return onnxruntime.InferenceSession(content, session_options(threads), providers=["CPUExecutionProvider"])


def session_options(threads: int) -> Any:
    """Options of a session of ONNX Runtime."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors are raised, too; warnings about the hardware say nothing to a user
    return options


def graph_scores(graph: onnx.ModelProto, rows: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """Scores of a graph with one input and one output, in batches.

    Parameters
    ----------
    rows : array of the graph's type, shape (n_events, n_inputs)

    Returns
    -------
    array, shape (n_events, n_scores)
    """
    (name,) = (tensor.name for tensor in graph.graph.input)
    return batch_scores(graph, {name: rows})


def batch_scores(graph: onnx.ModelProto, batch: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Scores of a graph with one output, in batches."""
    session = new_session(graph.SerializeToString())
    arrays = {name: np.ascontiguousarray(values) for name, values in batch.items()}
    number = len(next(iter(arrays.values())))
    # One call at least, which says how many scores there are.
    parts = [
        session.run(None, {name: values[start : start + _BATCH_SIZE] for name, values in arrays.items()})[0]
        for start in range(0, max(number, 1), _BATCH_SIZE)
    ]
    return np.concatenate(parts)


def check_against_keras(
    onnx_model: onnx.ModelProto,
    model: Any,
    scalers: Any,
    batch: NDArray[np.float32] | Mapping[str, NDArray[Any]],
    *,
    missing: float | None = None,
    target: TargetRecord | None = None,
    makers: Makers | None = None,
) -> float:
    """Largest difference of any score between an ONNX graph and its source; usually below 1e-6.

    Values count in units of their standard deviations in the training, so that each is compared, whatever its size. Of
    scores above one it is the relative difference.

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
    makers : mapping of str to maker, optional
        What makes features of raw columns, see `ntupleml.events.groups.makers_of`.

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
    difference, differences, sizes = 0.0, np.zeros(1), np.zeros(1)
    for start in range(0, number, _BATCH_SIZE):
        part = {name: values[start : start + _BATCH_SIZE] for name, values in arrays.items()}
        expected = scores_of_batch(model, scalers, part, missing, target, makers)
        (found,) = session.run(["scores"], part)
        if not (np.isfinite(expected).all() and np.isfinite(found).all()):
            raise NtuplemlError("a score of the trained network is not finite; the training has diverged")
        away = np.abs(found - expected)
        difference = max(difference, float((away / np.maximum(target.units, np.abs(expected))).max(initial=0)))
        differences = np.maximum(differences, away.max(axis=0) / target.units)
        sizes = np.maximum(sizes, np.abs(expected).max(axis=0) / target.units)
    # of scores of classes some may be tiny beside the others, but a value is compared for itself
    allowed = TOLERANCE * (np.maximum(sizes, 1) if target.kind in MEASURED else sizes.max())
    if (differences > allowed).any():
        raise NtuplemlError(
            f"the ONNX graph differs from the Keras network by up to {differences.max():.2g} on {number} events; more "
            f"than {TOLERANCE:g} of the largest score means that this network cannot be converted; please report it"
        )
    log.info("ONNX and Keras agree within %.2g on %d events", difference, number)
    return difference


def scores_of_batch(
    model: Any,
    scalers: Mapping[str, Any],
    batch: Mapping[str, NDArray[Any]],
    missing: float | None,
    target: TargetRecord,
    makers: Makers | None = None,
) -> NDArray[np.float32]:
    """Scores of a batch as Keras and scikit-learn compute them, preprocessing in float64."""
    taken = {tensor.name for tensor in model.inputs}
    vectors = [name for name in scalers if f"{name}_vectors" in taken]
    inputs = network_inputs(batch, scalers, missing, makers, vectors)
    scores = np.asarray(model(as_argument(inputs), training=False), dtype=np.float32)
    if target.kind in MEASURED:
        pixels = 0 if target.image is None else math.prod(target.image.bins)
        mean, scale = (np.asarray(numbers, np.float32) for numbers in (target.mean, target.scale))
        values = scores[:, pixels:] * scale + mean
        if target.image is None:
            return np.asarray(values)
        images = scores[:, :pixels].reshape(-1, *target.image.bins)
        components = missing_energy_of(images, target.image.source.phi_range)
        return np.hstack([components.astype(np.float32), values])
    if target.kind == "reconstruction":
        from ntupleml.models.reconstruction import reconstruction_scores, reconstruction_target

        wanted = reconstruction_target(inputs, target.groups, target.slots)
        return reconstruction_scores(wanted, scores, target)
    return np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores
