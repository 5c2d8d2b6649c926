"""Likelihoods as files hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.discriminants import read_likelihood
from ntupleml.tmva.method import MethodSetup, Normalize
from ntupleml.tmva.xml_file import Node

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def descriptor(variable: int, number: int, contents: str = "1 3 4 2", method: int = 0) -> str:
    return (
        f'<PDFDescriptor VarIndex="{variable}" ClassIndex="{number}"><PDF Name="p" MinNSmooth="0" MaxNSmooth="0" '
        f'InterpolMethod="{method}" KDE_type="1" KDE_iter="1" KDE_border="1" KDE_finefactor="1"><Histogram Name="h" '
        f'NBins="4" XMin="0" XMax="2" HasEquidistantBins="1">{contents}</Histogram></PDF></PDFDescriptor>'
    )


def setup(root: ElementTree.Element, num_inputs: int, num_outputs: int = 1) -> MethodSetup:
    return MethodSetup(Node(root, "x.xml"), "Classification", num_inputs, num_outputs)


def file_of(
    *descriptors: str,
    num_variables: int = 1,
    classes: tuple[str, ...] = ("Signal", "Background"),
    output: str = "True",
    kind: str = "F",
) -> ElementTree.Element:
    listed = "".join(f'<Class Name="{name}" Index="{index}"/>' for index, name in enumerate(classes))
    places = '<Input NInputs="1"><Input Type="Variable" Label="v0" Expression="v0"/></Input>'
    ranges = "".join(
        f'<Class ClassIndex="{index}"><Ranges><Range Index="0" Min="{index}" Max="9"/></Ranges></Class>'
        for index in range(3)
    )
    return ElementTree.fromstring(
        f'<MethodSetup><Options><Option name="TransformOutput">{output}</Option></Options>'
        f'<Variables><Variable Label="v0" Expression="v0" Type="{kind}"/></Variables><Classes>{listed}</Classes>'
        '<Transformations NTransformations="1"><Transform Name="Normalize">'
        f"<Selection>{places}{places.replace('Input', 'Output')}</Selection>{ranges}</Transform></Transformations>"
        f'<Weights NVariables="{num_variables}" NClasses="2">{"".join(descriptors)}</Weights></MethodSetup>'
    )


def test_densities_are_normalized() -> None:
    likelihood = read_likelihood(setup(file_of(descriptor(0, 0), descriptor(0, 1, "5 5 0 0")), 1))
    (signal,), (background,) = likelihood.signal, likelihood.background
    assert signal.histogram.contents == pytest.approx([0.2, 0.6, 0.8, 0.4])
    assert background.histogram.contents == pytest.approx([1, 1, 0, 0])
    assert (signal.histogram.low, signal.histogram.high, signal.interpolated) == (0, 2, False)
    assert likelihood.transform_output


@pytest.mark.parametrize(("kind", "interpolated"), [("F", True), ("I", True), ("N", False)])
def test_densities_of_discrete_variables_are_not_interpolated(kind: str, interpolated: bool) -> None:
    """TMVA's `MethodLikelihood::GetMvaValue` reads a bin's content where the signal's spline or the type says so."""
    root = file_of(descriptor(0, 0, method=1), descriptor(0, 1, method=0), kind=kind)
    likelihood = read_likelihood(setup(root, 1))
    assert [density.interpolated for density in (*likelihood.signal, *likelihood.background)] == [interpolated] * 2


@pytest.mark.parametrize(
    ("classes", "minima"),
    [(("Signal", "Background"), [0, 1]), (("Background", "Signal"), [1, 0]), (("S", "B"), [0, 1])],
)
def test_each_class_has_its_transformation(classes: tuple[str, ...], minima: list[float]) -> None:
    likelihood = read_likelihood(setup(file_of(descriptor(0, 0), descriptor(0, 1), classes=classes), 1))
    found = [chain[0].minimum[0] for chain in likelihood.transformations if isinstance(chain[0], Normalize)]
    assert found == minima


def test_background_is_read_as_the_signal_is() -> None:
    likelihood = read_likelihood(setup(file_of(descriptor(0, 0), descriptor(0, 1, method=1)), 1))
    assert not likelihood.background[0].interpolated
    assert likelihood.background[0].histogram.contents.size == 10_000


@pytest.mark.parametrize(("text", "transform"), [("False", False), ("1", True), ("0", False)])
def test_transformed_output(text: str, transform: bool) -> None:
    root = file_of(descriptor(0, 0), descriptor(0, 1), output=text)
    assert read_likelihood(setup(root, 1)).transform_output == transform


def test_file_of_tmva(weights_file: Callable[[str], Path]) -> None:
    likelihood = read_likelihood(setup(ElementTree.parse(weights_file("bin_likelihood")).getroot(), 5))
    assert len(likelihood.signal) == len(likelihood.background) == 5
    for density in likelihood.signal + likelihood.background:
        low, high, contents = density.histogram
        assert contents.sum() * (high - low) / contents.size == pytest.approx(1, rel=1e-6)
    assert likelihood.signal[4].histogram[:2] == (0, 16)
    assert likelihood.transformations == ((), ())


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (file_of(descriptor(0, 0), descriptor(0, 1), num_variables=2), "densities of 2 variables, where 1 are needed"),
        (file_of(descriptor(0, 0)), "has 1 PDFDescriptor, but the file says that there are 2"),
        (file_of(descriptor(0, 1), descriptor(0, 0)), "PDFDescriptors are not in order"),
        (file_of(descriptor(0, 0), descriptor(0, 1, "1 2 3")), "density 1 of variable 0: Histogram has 3 numbers"),
        (file_of(descriptor(0, 0), descriptor(0, 1), output="maybe"), "TransformOutput is 'maybe'"),
    ],
)
def test_damage_is_one_line(root: ElementTree.Element, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as caught:
        read_likelihood(setup(root, 1))
    assert str(caught.value).startswith("x.xml: ")
    assert "\n" not in str(caught.value)
