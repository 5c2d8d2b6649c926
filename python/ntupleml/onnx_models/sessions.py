"""Running ONNX graphs: the one way in which sessions of ONNX Runtime are opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

#: Events per call where scores are only compared.
_BATCH_SIZE = 10_000


def new_session(content: bytes | str, threads: int = 1) -> Any:
    """Session of ONNX Runtime for a graph; what it raises for a damaged one has no common class.

    Parameters
    ----------
    content : bytes or str
        The ONNX file, or its path.
    """
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
