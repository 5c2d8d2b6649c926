"""Transformations as files hold them: which variables, which class, which targets."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.tmva.method import Cumulative, Linear, Normalize, Rearrange
from ntupleml.tmva.transformations import read_target_transformation, read_transformations
from ntupleml.tmva.xml_file import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def selection(places: Sequence[str], outputs: Sequence[str] | None = None) -> str:
    """A `Selection` of variables (v0, …), targets (t0, …) and spectators (s0, …)."""

    def listed(tag: str, names: Sequence[str]) -> str:
        kinds = {"v": "Variable", "t": "Target", "s": "Spectator"}
        items = "".join(f'<{tag} Type="{kinds[name[0]]}" Label="{name}" Expression="e_{name}"/>' for name in names)
        return f'<{tag} N{tag}s="{len(names)}">{items}</{tag}>'

    return f"<Selection>{listed('Input', places)}{listed('Output', outputs or places)}</Selection>"


def normalize(places: Sequence[str], *classes: Sequence[tuple[float, float]], outputs: Sequence[str] = ()) -> str:
    blocks = ""
    for number, ranges in enumerate(classes):
        items = "".join(f'<Range Index="{i}" Min="{a}" Max="{b}"/>' for i, (a, b) in enumerate(ranges))
        blocks += f'<Class ClassIndex="{number}"><Ranges>{items}</Ranges></Class>'
    return f'<Transform Name="Normalize">{selection(places, outputs)}{blocks}</Transform>'


def gauss(places: Sequence[str], *, flat: bool = False, classes: int = 1) -> str:
    """Cumulative distributions whose last class ends at 1, the others at 0.5."""
    blocks = ""
    for number in range(len(places)):
        pdfs = ""
        for index in range(classes):
            end = 1.0 if index == classes - 1 else 0.5
            pdfs += (
                f'<CumulativePDF_cls{index}><PDF MinNSmooth="0" MaxNSmooth="0" InterpolMethod="1" KDE_type="0" '
                'KDE_iter="1" KDE_border="1" KDE_finefactor="0"><Histogram Name="h" NBins="4" XMin="-1" XMax="1" '
                f'HasEquidistantBins="1">0.1 0.3 {end * 0.4} {end}</Histogram></PDF></CumulativePDF_cls{index}>'
            )
        blocks += f'<Variable VarIndex="{number}">{pdfs}</Variable>'
    kind = "Flat" if flat else "Gauss"
    return f'<Transform Name="Gauss" FlatOrGauss="{kind}">{selection(places)}{blocks}</Transform>'


def matrix(size: int, first: int = 1) -> str:
    return " ".join(str(first + number) for number in range(size * size))


def file_of(*transforms: str, num_variables: int = 3, num_targets: int = 0) -> ElementTree.Element:
    def group(name: str, item: str, letter: str, count: int) -> str:
        items = "".join(f'<{item} Label="{letter}{i}" Expression="e_{letter}{i}"/>' for i in range(count))
        return f"<{name}>{items}</{name}>"

    return ElementTree.fromstring(
        f"<MethodSetup>{group('Variables', 'Variable', 'v', num_variables)}{group('Spectators', 'Spectator', 's', 1)}"
        f"{group('Targets', 'Target', 't', num_targets)}"
        f'<Transformations NTransformations="{len(transforms)}">{"".join(transforms)}</Transformations></MethodSetup>'
    )


def test_last_numbers_are_those_of_all_classes() -> None:
    text = normalize(["v0", "v1"], [(0, 1), (2, 3)], [(4, 5), (6, 7)], [(0, 5), (2, 7)])
    (one,) = read_transformations(Node(file_of(text), "x.xml"), 3)
    assert isinstance(one, Normalize)
    assert (one.inputs, one.outputs) == ((0, 1), (0, 1))
    assert (one.minimum.tolist(), one.maximum.tolist()) == ([0, 2], [5, 7])


@pytest.mark.parametrize(("number", "minimum"), [(0, [0, 2]), (1, [4, 6]), (2, [0, 2]), (7, [0, 2])])
def test_numbers_of_one_class(number: int, minimum: list[float]) -> None:
    text = normalize(["v0", "v1"], [(0, 1), (2, 3)], [(4, 5), (6, 7)], [(0, 5), (2, 7)])
    (one,) = read_transformations(Node(file_of(text), "x.xml"), 3, number)
    assert isinstance(one, Normalize)
    assert one.minimum.tolist() == minimum


def test_variables_are_found_by_label_or_expression() -> None:
    text = normalize(["v2", "v0"], [(0, 1), (2, 3)]).replace('Label="v2"', 'Label="other"')
    (one,) = read_transformations(Node(file_of(text), "x.xml"), 3)
    assert one.inputs == (2, 0)


def test_decorrelation_and_principal_components() -> None:
    """TMVA multiplies a vector with the matrix, and projects on the columns of the eigenvectors."""
    decorrelation = (
        f'<Transform Name="Decorrelation">{selection(["v0", "v2"])}<Matrix Rows="2" Columns="2">0 0 0 0</Matrix>'
        f'<Matrix Rows="2" Columns="2">{matrix(2)}</Matrix></Transform>'
    )
    components = (
        f'<Transform Name="PCA">{selection(["v1", "v2"])}<Statistics Class="Signal" ClassIndex="0" NRows="2">9 9'
        '</Statistics><Statistics Class="Combined" ClassIndex="1" NRows="2">5 6</Statistics>'
        '<Eigenvectors ClassIndex="0" NRows="2" NCols="2">9 9 9 9</Eigenvectors>'
        f'<Eigenvectors ClassIndex="1" NRows="2" NCols="2">{matrix(2, 10)}</Eigenvectors></Transform>'
    )
    first, second = read_transformations(Node(file_of(decorrelation, components), "x.xml"), 3)
    assert isinstance(first, Linear)
    assert isinstance(second, Linear)
    assert (first.inputs, first.mean.tolist(), first.matrix.tolist()) == ((0, 2), [0, 0], [[1, 2], [3, 4]])
    assert (second.inputs, second.mean.tolist()) == ((1, 2), [5, 6])
    assert second.matrix.tolist() == [[10, 12], [11, 13]]


def test_gauss_and_uniform_have_fine_histograms() -> None:
    first, second = read_transformations(
        Node(file_of(gauss(["v1"], classes=3), gauss(["v0", "v2"], flat=True)), "x.xml"), 3
    )
    assert isinstance(first, Cumulative)
    assert isinstance(second, Cumulative)
    assert (first.gaussian, second.gaussian) == (True, False)
    assert [histogram.contents.size for histogram in second.histograms] == [10_000, 10_000]
    # the last class; straight lines between the bin centres −0.75, −0.25, 0.25 and 0.75
    centres = -1 + (np.arange(10_000) + 0.5) / 5000
    inside = np.abs(centres) < 0.75
    expected = np.interp(centres, [-0.75, -0.25, 0.25, 0.75], [0.1, 0.3, 0.4, 1])
    np.testing.assert_allclose(first.histograms[0].contents[inside], expected[inside], rtol=1e-6)


def test_rearranged_variables() -> None:
    text = f'<Transform Name="Rearrange">{selection(["v2", "v0", "v1"], ["v0", "v1", "v2"])}</Transform>'
    assert read_transformations(Node(file_of(text), "x.xml"), 3) == (Rearrange((2, 0, 1), (0, 1, 2)),)
    swapped = normalize(["v2", "v0"], [(0, 1), (2, 3)], outputs=["v0", "v2"])
    (one,) = read_transformations(Node(file_of(swapped), "x.xml"), 3)
    assert (one.inputs, one.outputs) == ((2, 0), (0, 2))


def test_targets_and_spectators_are_no_variables() -> None:
    text = normalize(["v0", "t0", "s0"], [(0, 1), (-4, 4), (5, 6)])
    root = file_of(text, normalize(["t0"], [(0, 9)]), num_targets=1)
    (one,) = read_transformations(Node(root, "x.xml"), 3)
    assert (one.inputs, one.outputs) == ((0,), (0,))
    target = read_target_transformation(Node(root, "x.xml"), 3, 1)
    assert isinstance(target, Normalize)
    # the first one alone: Reader undoes the others, but then starts again from the method's answer
    assert (target.inputs, target.minimum.tolist(), target.maximum.tolist()) == ((0,), [-4], [4])


def test_no_target_is_transformed() -> None:
    root = file_of(normalize(["v0"], [(0, 1)]), num_targets=1)
    assert read_target_transformation(Node(root, "x.xml"), 3, 1) is None


def test_gauss_of_targets() -> None:
    target = read_target_transformation(Node(file_of(gauss(["v0", "t1"]), num_targets=2), "x.xml"), 3, 2)
    assert isinstance(target, Cumulative)
    assert (target.inputs, len(target.histograms)) == ((1,), 1)


def test_normalization_of_old_files() -> None:
    """Before TMVA 4.1.0 there was no Selection."""
    text = (
        '<Transform Name="Normalize" NVariables="2" NTargets="1"><Class ClassIndex="0"><Variables>'
        '<Variable VarIndex="0" Min="0" Max="1"/><Variable VarIndex="1" Min="2" Max="3"/></Variables>'
        '<Targets><Target TargetIndex="0" Min="4" Max="5"/></Targets></Class></Transform>'
    )
    root = file_of(text, num_variables=2, num_targets=1)
    (one,) = read_transformations(Node(root, "x.xml"), 2)
    target = read_target_transformation(Node(root, "x.xml"), 2, 1)
    assert isinstance(one, Normalize)
    assert isinstance(target, Normalize)
    assert (one.inputs, one.minimum.tolist(), target.maximum.tolist()) == ((0, 1), [0, 2], [5])
    with pytest.raises(NtuplemlError, match="NVariables is not the file's 3"):
        read_transformations(Node(file_of(text), "x.xml"), 3)


def test_other_transformations_of_old_files() -> None:
    """Before TMVA 4.1.0 they took all variables."""
    text = '<Transform Name="Decorrelation"><Matrix Rows="2" Columns="2">1 2 3 4</Matrix></Transform>'
    (one,) = read_transformations(Node(file_of(text, num_variables=2), "x.xml"), 2)
    assert isinstance(one, Linear)
    assert (one.inputs, one.outputs, one.matrix.tolist()) == ((0, 1), (0, 1), [[1, 2], [3, 4]])
    with pytest.raises(NtuplemlError, match="Matrix is 2 × 2, where 3 × 3 is needed"):
        read_transformations(Node(file_of(text), "x.xml"), 3)


def test_file_of_tmva(weights_file: Callable[[str], Path]) -> None:
    """D_… and then N of three classes: numbers read off the file's last Matrix and Class."""
    root = ElementTree.parse(weights_file("mc_mlp_perclass_tr")).getroot()
    first, second = read_transformations(Node(root, "x.xml"), 5)
    assert isinstance(first, Linear)
    assert isinstance(second, Normalize)
    assert first.matrix[0, 0] == 9.393963451581243e-01
    assert first.matrix[0, 1] == -6.465644313496914e-02
    assert second.minimum[0] == -3.9668667316436768
    assert second.maximum[4] == 10.495684623718262


GOOD = normalize(["v0", "v1"], [(0, 1), (2, 3)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<Transform Name="Normalise"/>', "unknown transformation 'Normalise'; nearest: 'Normalize'"),
        ("<Transform/>", "Transform has no attribute Name"),
        ('<Transform Name="PCA"/>', "has no Statistics"),
        (GOOD.replace('NInputs="2"', 'NInputs="3"'), "Input has 2 Input, but the file says that there are 3"),
        (GOOD.replace('"v1"', '"v7"').replace("e_v1", "e"), "selects variable 'v7', which the file does not have"),
        (GOOD.replace('"Variable"', '"Variables"', 1), "unknown type 'Variables'; nearest: 'Variable'"),
        (GOOD.replace('"v1"', '"v0"').replace("e_v1", "e_v0"), "Selection repeats a variable"),
        (GOOD.replace('Index="1" Min', 'Index="0" Min'), "2 ranges for 2 selected values"),
        (GOOD.replace('<Range Index="1" Min="2" Max="3"/>', ""), "1 ranges for 2 selected values"),
        (GOOD.replace('Max="3"', 'Max="wide"'), "Range Max is 'wide', not a number"),
        (GOOD.replace('Max="3"', 'Max="nan"'), "Range Max is 'nan', not finite"),
        (GOOD.replace('ClassIndex="0"', 'ClassIndex="1"'), "ClassIndex of its Class do not run from 0"),
        (f'<Transform Name="Normalize">{selection(["v0"])}</Transform>', "has no Class"),
        (f'<Transform Name="Decorrelation">{selection(["v0"])}</Transform>', "has no Matrix"),
        (
            f'<Transform Name="Decorrelation">{selection(["v0", "v1"])}<Matrix Rows="3" Columns="3">1</Matrix>'
            "</Transform>",
            "Matrix is 3 × 3, where 2 × 2 is needed",
        ),
        (
            f'<Transform Name="Decorrelation">{selection(["v0", "v1"])}<Matrix Rows="2" Columns="2">1 2 3</Matrix>'
            "</Transform>",
            "Matrix has 3 numbers, where 4 are needed",
        ),
        (
            f'<Transform Name="PCA">{selection(["v0"])}<Statistics ClassIndex="0" NRows="1">1</Statistics></Transform>',
            "1 Statistics but 0 Eigenvectors",
        ),
        (
            f'<Transform Name="PCA">{selection(["v0"])}<Statistics ClassIndex="0" NRows="2">1 2</Statistics>'
            '<Eigenvectors ClassIndex="0" NRows="1" NCols="1">1</Eigenvectors></Transform>',
            "Statistics are of 2 values, but 1 are selected",
        ),
        (
            f'<Transform Name="Decorrelation">{selection(["v0", "t0"])}<Matrix Rows="2" Columns="2">1 2 3 4</Matrix>'
            "</Transform>",
            "mixes variables with targets",
        ),
        (
            f'<Transform Name="Rearrange">{selection(["v0", "s0"], ["s0", "v0"])}</Transform>',
            "moves values between variables, targets and spectators",
        ),
        (gauss(["v0"]).replace(' FlatOrGauss="Gauss"', ""), "no attribute FlatOrGauss"),
        (gauss(["v0"]).replace('VarIndex="0"', 'VarIndex="1"'), "VarIndex do not run from 0 to 0"),
        (gauss(["v0"]).replace("CumulativePDF", "PDF"), "has no CumulativePDF"),
        (gauss(["v0"]).replace('InterpolMethod="1"', 'InterpolMethod="0"'), "distributions are not interpolated"),
    ],
)
def test_damage_is_one_line(text: str, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as caught:
        read_transformations(Node(file_of(text, num_targets=1), "x.xml"), 3)
    assert str(caught.value).startswith("x.xml: ")
    assert "\n" not in str(caught.value)


def test_more_transformations_announced_than_there_are() -> None:
    root = file_of(GOOD)
    root.find("Transformations").set("NTransformations", "2")  # type: ignore[union-attr]
    with pytest.raises(NtuplemlError, match="has 1 Transform, but the file says that there are 2"):
        read_transformations(Node(root, "x.xml"), 3)


def test_decorrelated_targets_cannot_be_undone() -> None:
    text = f'<Transform Name="Decorrelation">{selection(["t0"])}<Matrix Rows="1" Columns="1">1</Matrix></Transform>'
    root = file_of(text, num_targets=1)
    assert read_transformations(Node(root, "x.xml"), 3) == ()
    with pytest.raises(NtuplemlError, match="transforms targets, which TMVA cannot undo"):
        read_target_transformation(Node(root, "x.xml"), 3, 1)
