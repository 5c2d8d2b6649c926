"""Boosted discriminants as files hold them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.discriminants import read_boost
from ntupleml.tmva.method import MethodSetup
from ntupleml.tmva.xml_file import Node


def member(index: int, value: float, kind: str = "Fisher") -> str:
    if kind == "LD":
        weights = (
            f'<Weights NOut="1" NCoeff="2"><Coefficient IndexOut="0" IndexCoeff="0" Value="{value}"/>'
            f'<Coefficient IndexOut="0" IndexCoeff="1" Value="{10 * value}"/></Weights>'
        )
    else:
        weights = (
            f'<Weights NCoeff="2"><Coefficient Index="0" Value="{value}"/>'
            f'<Coefficient Index="1" Value="{10 * value}"/></Weights>'
        )
    return (
        f'<Method Index="{index}" Weight="{value / 2}" MethodSigCut="{value / 4}" MethodSigCutOrientation="-1" '
        f'MethodTypeName="{kind}" MethodName="M ({index})" JobName="Boost" Options="Fisher" '
        f'UseMainMethodTransformation="false">{weights}</Method>'
    )


def setup(root: ElementTree.Element, num_inputs: int, num_outputs: int = 1) -> MethodSetup:
    return MethodSetup(Node(root, "x.xml"), "Classification", num_inputs, num_outputs)


def file_of(*members: str, transform: str = "", count: int | None = None) -> ElementTree.Element:
    option = f'<Option name="Boost_Transform" modified="Yes">{transform}</Option>' if transform else ""
    number = len(members) if count is None else count
    return ElementTree.fromstring(
        f'<MethodSetup><Options>{option}</Options><Weights NMethods="{number}">{"".join(members)}</Weights>'
        "</MethodSetup>"
    )


@pytest.mark.parametrize("kind", ["Fisher", "LD"])
def test_members(kind: str) -> None:
    boosted = read_boost(setup(file_of(member(0, 1.0, kind), member(1, -3.0, kind), transform="log"), 1))
    assert [item.offset.tolist() for item in boosted.members] == [[1], [-3]]
    assert [item.coefficients.tolist() for item in boosted.members] == [[[10]], [[-30]]]
    assert [item.float32_sum for item in boosted.members] == [kind == "LD"] * 2
    assert (boosted.weights.tolist(), boosted.cuts.tolist()) == ([0.5, -1.5], [0.25, -0.75])
    assert (boosted.orientations.tolist(), boosted.transform) == ([-1, -1], "log")


def test_default_transform() -> None:
    assert read_boost(setup(file_of(member(0, 1.0)), 1)).transform == "step"


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (file_of(count=0), "NMethods is '0'; an integer at least 1"),
        (file_of(member(0, 1.0), count=2), "has 1 Method, but the file says that there are 2"),
        (file_of(member(0, 1.0, "BDT")), "boosted method 0: it is a 'BDT'; only boosted Fisher and LD are read"),
        (file_of(member(0, 1.0), member(1, 1.0, "LD")), "of different kinds"),
        (file_of(member(0, 1.0), member(1, -1.0)), "add up to 0"),
        (file_of(member(0, 1.0), transform="steps"), "unknown Boost_Transform 'steps'; nearest: 'step'"),
        (file_of(member(0, 1.0).replace("MethodSigCut=", "Cut=")), "boosted method 0: Method has no attribute"),
        (file_of(member(0, 1.0).replace('Weight="0.5"', 'Weight="x"')), "Method Weight is 'x', not a number"),
    ],
)
def test_damage_is_one_line(root: ElementTree.Element, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as caught:
        read_boost(setup(root, 1))
    assert str(caught.value).startswith("x.xml: ")
    assert "\n" not in str(caught.value)
