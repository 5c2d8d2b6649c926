"""The network of TMVA's PyKeras as ONNX nodes, to stand behind the transformations of its weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.artifacts import read_keras_file
from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.keras_network import network_nodes

if TYPE_CHECKING:
    from ntupleml.onnx_models.graph import GraphBuilder
    from ntupleml.tmva.networks import PyKeras


def pykeras_nodes(
    graph: GraphBuilder, value: str, pykeras: PyKeras, num_inputs: int, dtype: type[np.generic] = np.float32
) -> str:
    """Append a Keras network, which computes in float32 as in TMVA.

    Parameters
    ----------
    graph : GraphBuilder
    value : str
        Transformed variables, (events, n_inputs), of type `dtype`.
    pykeras : PyKeras
        Network and number of outputs. With one output of the method and several of the network (classification), it
        is the first, as in MethodPyKeras: the probability of the signal.
    num_inputs : int
    dtype : type
        float32 or float64.

    Returns
    -------
    str
        Name of the outputs, (events, n_outputs), of type `dtype`.

    Raises
    ------
    NtuplemlError
        If the Keras file is not safe to load (`ntupleml.artifacts.read_keras_file`) or its network has other
        numbers of inputs or outputs.
    """
    file = read_keras_file(pykeras.file)
    found_inputs, found_outputs = file.network.num_inputs, file.network.num_outputs
    if found_inputs != num_inputs or (found_outputs != pykeras.num_outputs and pykeras.num_outputs != 1):
        raise NtuplemlError(
            f"{pykeras.file}: a network of {found_inputs} inputs and {found_outputs} outputs, but the method has "
            f"{num_inputs} variables and {pykeras.num_outputs} outputs; it belongs to another weights file"
        )
    outputs = network_nodes(graph, [graph.cast(value, np.float32)], file)
    if found_outputs > pykeras.num_outputs:
        outputs = graph.add("Gather", outputs, graph.constant([0], np.int64), axis=1)
    return graph.cast(outputs, dtype)
