"""Fisher and LD as files hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.discriminants import read_fisher, read_ld
from ntupleml.tmva.method import MethodSetup
from ntupleml.tmva.xml_file import Node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FISHER = (
    '<MethodSetup><Weights NCoeff="3"><Coefficient Index="0" Value="-0.5"/><Coefficient Index="2" Value="3"/>'
    '<Coefficient Index="1" Value="2.5e-1"/></Weights></MethodSetup>'
)
LD = (
    '<MethodSetup><Weights NOut="2" NCoeff="2"><Coefficient IndexOut="0" IndexCoeff="0" Value="1"/>'
    '<Coefficient IndexOut="0" IndexCoeff="1" Value="2"/><Coefficient IndexOut="1" IndexCoeff="0" Value="3"/>'
    '<Coefficient IndexOut="1" IndexCoeff="1" Value="4"/></Weights></MethodSetup>'
)


def setup(root: ElementTree.Element, num_inputs: int, num_outputs: int = 1) -> MethodSetup:
    return MethodSetup(Node(root, "x.xml"), "Classification", num_inputs, num_outputs)


def test_fisher() -> None:
    """Coefficients go by their index, not by their order."""
    fisher = read_fisher(setup(ElementTree.fromstring(FISHER), 2))
    assert (fisher.offset.tolist(), fisher.coefficients.tolist()) == ([-0.5], [[0.25, 3]])
    assert not fisher.float32_sum


def test_ld_of_two_targets() -> None:
    ld = read_ld(setup(ElementTree.fromstring(LD), 1, 2))
    assert (ld.offset.tolist(), ld.coefficients.tolist()) == ([1, 3], [[2], [4]])
    assert ld.float32_sum


def test_files_of_tmva(weights_file: Callable[[str], Path]) -> None:
    fisher = read_fisher(setup(ElementTree.parse(weights_file("bin_fisher_none")).getroot(), 5))
    assert fisher.offset[0] == 5.2247405672104241e-01
    assert fisher.coefficients[0, 4] == -9.0377209161924155e-02
    ld = read_ld(setup(ElementTree.parse(weights_file("bin_ld")).getroot(), 5, 1))
    assert ld.offset[0] == 1.5132818491306427e-01
    assert ld.coefficients[0, 0] == 1.4953832076992743e-01


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (FISHER.replace('NCoeff="3"', 'NCoeff="4"'), "it has 4 coefficients, where 2 of variables"),
        (FISHER.replace('<Coefficient Index="2" Value="3"/>', ""), "has 2 Coefficient, but the file says"),
        (FISHER.replace('Index="2"', 'Index="1"'), "a Coefficient is there twice"),
        (FISHER.replace('Index="2"', 'Index="3"'), "Coefficient Index is '3'; an integer from 0 to 2"),
        (FISHER.replace('Value="3"', 'Value="much"'), "Coefficient Value is 'much', not a number"),
        (FISHER.replace('Value="3"', 'Value="inf"'), "Coefficient Value is 'inf', not finite"),
        (FISHER.replace("Weights", "Weight"), "no Weights in MethodSetup"),
    ],
)
def test_damaged_fisher_is_one_line(text: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as caught:
        read_fisher(setup(ElementTree.fromstring(text), 2))
    assert str(caught.value).startswith("x.xml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LD.replace('NOut="2"', 'NOut="1"'), "LD has 1 outputs, where 2 are needed"),
        (LD.replace('IndexOut="1" IndexCoeff="0"', 'IndexOut="0" IndexCoeff="0"'), "there twice"),
        (LD.replace('IndexOut="1"', 'IndexOut="2"'), "IndexOut is '2'; an integer from 0 to 1"),
    ],
)
def test_damaged_ld_is_one_line(text: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        read_ld(setup(ElementTree.fromstring(text), 1, 2))
