"""Networks as files hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.method import MethodSetup
from ntupleml.tmva.networks import read_mlp
from ntupleml.tmva.xml_file import Node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ntupleml.tmva.method import Analysis

#: Two inputs, three neurons, one output.
LAYERS = (
    '<Layer Index="0" NNeurons="3"><Neuron NSynapses="3">1 2 3</Neuron><Neuron NSynapses="3">4 5 6</Neuron>'
    '<Neuron NSynapses="3">7 8 9</Neuron></Layer>'
    '<Layer Index="1" NNeurons="4"><Neuron NSynapses="1">0.1</Neuron><Neuron NSynapses="1">0.2</Neuron>'
    '<Neuron NSynapses="1">0.3</Neuron><Neuron NSynapses="1">0.4</Neuron></Layer>'
    '<Layer Index="2" NNeurons="1"><Neuron NSynapses="0"/></Layer>'
)


def setup(text: str, num_inputs: int, num_outputs: int, analysis: Analysis = "Classification") -> MethodSetup:
    return MethodSetup(Node(ElementTree.fromstring(text), "x.xml"), analysis, num_inputs, num_outputs)


def file_of(layers: str = LAYERS, *, num_layers: int = 3, release: str = "4.2.1 [262657]", **options: str) -> str:
    texts = "".join(f'<Option name="{name}" modified="Yes">{value}</Option>' for name, value in options.items())
    return (
        f'<MethodSetup><GeneralInfo><Info name="TMVA Release" value="{release}"/></GeneralInfo>'
        f'<Options>{texts}</Options><Weights><Layout NLayers="{num_layers}">{layers}</Layout></Weights></MethodSetup>'
    )


def test_weights_by_layer() -> None:
    network = read_mlp(setup(file_of(EstimatorType="CE"), 2, 1))
    assert [weights.tolist() for weights in network.weights] == [
        [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
        [[np.float32(0.1)], [np.float32(0.2)], [np.float32(0.3)], [np.float32(0.4)]],
    ]
    assert all(weights.dtype == np.float32 for weights in network.weights)
    assert (network.neuron, network.neuron_input, network.output) == ("sigmoid", "sum", "sigmoid")


def test_layers_of_old_files_are_in_the_weights_themselves() -> None:
    text = file_of().replace("<Layout", "<W").replace("</Layout>", "</W>")
    text = text.replace("<Weights><W", "<Weights").replace("</W></Weights>", "</Weights>")
    network = read_mlp(setup(text, 2, 1, "Regression"))
    assert network.weights[0].shape == (3, 3)
    assert network.output == "linear"


@pytest.mark.parametrize("neuron", ["sigmoid", "tanh", "ReLU", "radial", "linear"])
@pytest.mark.parametrize("neuron_input", ["sum", "sqsum", "abssum"])
def test_kinds_of_neurons(neuron: str, neuron_input: str) -> None:
    text = file_of(NeuronType=neuron, NeuronInputType=neuron_input)
    network = read_mlp(setup(text, 2, 1))
    assert (network.neuron, network.neuron_input) == (neuron, neuron_input)


@pytest.mark.parametrize(
    ("release", "exact"), [("4.2.1 [262657]", False), ("4.2.0 [262656]", True), ("4.1.3 [262403]", True)]
)
def test_tanh_is_exact_before_4_2_1(release: str, exact: bool) -> None:
    text = file_of(release=release, NeuronType="tanh")
    assert read_mlp(setup(text, 2, 1)).exact_tanh == exact


@pytest.mark.parametrize(
    ("analysis", "estimator", "output"),
    [
        ("Classification", "CE", "sigmoid"),
        ("Classification", "MSE", "linear"),
        ("Multiclass", "MSE", "softmax"),
        ("Regression", "MSE", "linear"),
    ],
)
def test_output_follows_the_estimator_of_the_file(analysis: Analysis, estimator: str, output: str) -> None:
    """`MethodANNBase::BuildNetwork` goes by the option: Reader reads options, but never processes them."""
    text = file_of(EstimatorType=estimator)
    assert read_mlp(setup(text, 2, 1, analysis)).output == output


def test_files_older_than_the_estimator_have_linear_outputs() -> None:
    """TMVA's default where a file, as those before 4.1, names no estimator."""
    network = read_mlp(setup(file_of(release="4.0.7 [262151]"), 2, 1))
    assert network.output == "linear"


def test_cross_entropy_of_several_classes_is_refused() -> None:
    with pytest.raises(NtuplemlError, match="EstimatorType is CE, which a Multiclass network never has"):
        read_mlp(setup(file_of(EstimatorType="CE"), 2, 1, "Multiclass"))


def test_file_of_tmva(weights_file: Callable[[str], Path]) -> None:
    text = weights_file("mc_mlp_perclass_tr").read_text()
    network = read_mlp(setup(text, 5, 3, "Multiclass"))
    assert [weights.shape for weights in network.weights] == [(6, 5), (6, 3)]
    assert network.weights[0][0, 1] == np.float32(1.8966922961221819e-01)
    assert network.weights[1][5, 2] == np.float32(4.9351020419866076e-01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (file_of(num_layers=4), "has 3 Layer, but the file says that there are 4"),
        (file_of(LAYERS.replace('Index="1"', 'Index="2"')), "layers are not in order"),
        (file_of(LAYERS.replace(">4 5 6<", ">4 5<")), "layer 0: Neuron has 2 numbers, where 3 are needed"),
        (file_of(LAYERS.replace(">4 5 6<", ">4 5 six<")), "layer 0: Neuron is 'six', not a number"),
        (file_of(LAYERS.replace(">4 5 6<", ">4 5 inf<")), "layer 0: Neuron is 'inf', not finite"),
        (file_of(LAYERS.replace('NSynapses="3"', 'NSynapses="2"')), "a neuron has 2 synapses, where 3 lead on"),
        (file_of(LAYERS.replace('NNeurons="4"', 'NNeurons="5"')), "a neuron has 3 synapses, where 4 lead on"),
        (file_of(LAYERS.replace('<Neuron NSynapses="0"/>', "")), "has 0 Neuron, but the file says that there are 1"),
        (
            file_of(
                '<Layer Index="0" NNeurons="1"><Neuron NSynapses="1">1</Neuron></Layer>'
                '<Layer Index="1" NNeurons="1"><Neuron NSynapses="0"/></Layer>',
                num_layers=2,
            ),
            "layer 0: it, or the next layer, has no neuron beside the bias",
        ),
        (file_of(NeuronType="tahn"), "unknown NeuronType 'tahn'; nearest: 'tanh'"),
        (file_of(NeuronInputType="sumsq"), "unknown NeuronInputType 'sumsq'; nearest"),
        (file_of().replace("Weights>", "Waits>"), "no Weights in MethodSetup, where one is needed; nearest: 'Waits'"),
    ],
)
def test_damage_is_one_line(text: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as caught:
        read_mlp(setup(text, 2, 1))
    assert str(caught.value).startswith("x.xml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 1), (2, 2)])
def test_network_must_fit_the_variables_and_outputs(inputs: int, outputs: int) -> None:
    with pytest.raises(NtuplemlError, match=f"2 inputs and 1 outputs, where {inputs} and {outputs} are needed"):
        read_mlp(setup(file_of(), inputs, outputs, "Multiclass"))
