"""A network of Keras 2 or QKeras as ONNX: what it takes in, its outputs or the anomaly score of them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.onnx_models.contract import INPUT, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.keras_network import network_nodes
from ntupleml.onnx_models.layer_parts import constant, summed

if TYPE_CHECKING:
    import onnx

    from ntupleml.artifacts import KerasFile

#: What the scores of such a file can be.
OUTPUTS, LATENT_NORM = "outputs", "latent_norm"


def keras2_to_onnx(file: KerasFile, score: str = OUTPUTS) -> onnx.ModelProto:
    """Convert a network that takes one matrix and whose inputs nobody has scaled.

    Parameters
    ----------
    file : KerasFile
        What `read_keras2_file` gives.
    score : {"outputs", "latent_norm"}
        The numbers of the last layer, or the mean of their squares, the score of an encoder of a variational
        autoencoder.

    Returns
    -------
    onnx.ModelProto
        Input ``variables``, float32, in the order of the network, called ``{input}_0``, ``{input}_1``, …; output
        ``scores``: ``{last layer}_0``, … or ``latent_norm``.
    """
    if score not in (OUTPUTS, LATENT_NORM):
        raise NtuplemlError(f"{file.network.where}: no score '{score}'; {OUTPUTS} and {LATENT_NORM} are there")
    network = file.network
    variables = [f"{network.input_names[0]}_{number}" for number in range(network.num_inputs)]
    graph = GraphBuilder(prefix="network/")
    given = network_nodes(graph, [INPUT], file)
    names = [f"{network.last.layer.names[-1]}_{number}" for number in range(network.num_outputs)]
    if score == LATENT_NORM:
        squares = graph.add("Mul", given, given)
        total = summed(graph, squares, 1)
        graph.add("Div", total, constant(graph, network.num_outputs), output=OUTPUT)
        names = [LATENT_NORM]
    else:
        graph.add("Identity", given, output=OUTPUT)
    return contract_model(
        graph,
        {INPUT: GraphInput(variables)},
        {OUTPUT: names},
        classes=names,
        kind="keras2",
        doc="A network of Keras 2, as it was trained: its inputs are scaled by who gives them.",
    )
