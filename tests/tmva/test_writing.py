"""Weights files as we write them: attribute by attribute like those of a real TMVA, and read again."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.forests import Forest
from ntupleml.forests.kernel import evaluate
from ntupleml.tmva.reading import read_weights
from ntupleml.tmva.writing import internal_name, write_weights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

VARIABLES = ["x", "sum := x + y"]


def stumps(values: list[tuple[float, float]], outputs: list[int], link: str = "softmax", **others: object) -> Forest:
    """A forest of trees with one cut each: x ≥ i/4 for tree i."""
    count = len(values)
    return Forest(
        num_inputs=2,
        num_outputs=max(outputs) + 1,
        roots=np.arange(0, 3 * count, 3),
        tree_outputs=np.array(outputs),
        features=np.array([0, -1, -1] * count, dtype=np.int32),
        cuts=np.ravel([[index / 4, 0, 0] for index in range(count)]).astype(np.float32),
        left=np.ravel([[3 * index + 1, -1, -1] for index in range(count)]).astype(np.int32),
        right=np.ravel([[3 * index + 2, -1, -1] for index in range(count)]).astype(np.int32),
        values=np.ravel([[0.0, *pair] for pair in values]),
        link=link,  # type: ignore[arg-type]
        **others,  # type: ignore[arg-type]
    )


def write(path: Path, forest: Forest, classes: tuple[str, ...] = ("sig", "bkg"), **others: object) -> Path:
    write_weights(
        path,
        forest,
        method_name="BDT",
        classes=classes,
        variables=VARIABLES,
        minima=[-1, -2],
        maxima=[1, 2],
        **others,  # type: ignore[arg-type]
    )
    return path


def rows(number: int = 500) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    inputs = generator.uniform(-1, 2, (number, 2)).astype(np.float32)
    inputs[:4, 0] = [0, 0.25, 0.5, np.nextafter(np.float32(0.25), np.float32(0))]
    return inputs


def softmax(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(sums)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_a_softmax_of_three_classes_is_read_again(tmp_path: Path) -> None:
    values = [(0.1, -0.2), (0.3, 0.4), (-0.5, 0.6), (0.7, -0.8), (0.9, 1.0), (-1.1, 1.2)]
    forest = stumps(values, [0, 1, 2, 0, 1, 2])
    method = read_weights(write(tmp_path / "w.xml", forest, ("A", "B", "C"), num_training_events=7))
    assert (method.kind, method.name, method.analysis) == ("BDT", "BDT", "Multiclass")
    assert method.classes == ("A", "B", "C")
    assert [(each.label, each.expression) for each in method.variables] == [("x", "x"), ("sum", "x+y")]
    assert [(each.minimum, each.maximum) for each in method.variables] == [(-1, 1), (-2, 2)]
    x = rows()[:, 0]
    sums = np.zeros((len(x), 3))
    for index, (below, above) in enumerate(values):
        sums[:, index % 3] += np.where(x >= index / 4, above, below)
    np.testing.assert_allclose(evaluate(method.body, rows()), softmax(sums), atol=1e-7)  # type: ignore[arg-type]


def test_trees_in_any_order_of_outputs_are_put_into_rounds(tmp_path: Path) -> None:
    """TMVA takes tree i for class i mod K; classes with fewer trees get trees that add nothing."""
    values = [(0.1, -0.2), (0.3, 0.4), (-0.5, 0.6)]
    path = write(tmp_path / "w.xml", stumps(values, [1, 1, 0]))
    roots = [tree.find("Node") for tree in ET.parse(path).getroot().iter("BinaryTree")]
    assert [float(root.get("Cut") or 0) for root in roots if root is not None] == [0.5, 0.0, 0.0, 0.25]
    assert [int(root.get("nType") or 0) for root in roots if root is not None] == [0, 0, -99, 0]
    x = rows()[:, 0]
    sums = np.stack(
        [np.where(x >= 0.5, 0.6, -0.5), np.where(x >= 0, -0.2, 0.1) + np.where(x >= 0.25, 0.4, 0.3)], axis=1
    )
    np.testing.assert_allclose(evaluate(read_weights(path).body, rows()), softmax(sums), atol=1e-7)  # type: ignore[arg-type]


def test_offsets_and_divisor_go_into_the_leaves(tmp_path: Path) -> None:
    forest = stumps([(1.0, -2.0), (3.0, 4.0)], [0, 1], offsets=np.array([0.5, -1.5]), divisor=2.0)
    x = rows()[:, 0]
    sums = np.stack([np.where(x >= 0, -2.0, 1.0) + 0.5, np.where(x >= 0.25, 4.0, 3.0) - 1.5], axis=1) / 2
    found = evaluate(read_weights(write(tmp_path / "w.xml", forest)).body, rows())  # type: ignore[arg-type]
    np.testing.assert_allclose(found, softmax(sums), atol=1e-7)


def test_a_sigmoid_becomes_two_classes_and_is_the_probability_of_the_second(tmp_path: Path) -> None:
    method = read_weights(write(tmp_path / "w.xml", stumps([(1.0, -2.0)], [0], "sigmoid")))
    assert method.analysis == "Multiclass"
    second = 1 / (1 + np.exp(-np.where(rows()[:, 0] >= 0, -2.0, 1.0)))
    found = evaluate(method.body, rows())  # type: ignore[arg-type]
    np.testing.assert_allclose(found, np.stack([1 - second, second], axis=1), atol=1e-7)


def test_binary_gradient_boosting(tmp_path: Path) -> None:
    method = read_weights(write(tmp_path / "w.xml", stumps([(1.0, -2.0), (0.5, 0.25)], [0, 0], "tanh")))
    assert method.analysis == "Classification"
    x = rows()[:, :1]
    sums = np.where(x >= 0, -2.0, 1.0) + np.where(x >= 0.25, 0.25, 0.5)
    np.testing.assert_allclose(evaluate(method.body, rows()), np.tanh(sums), atol=1e-7)  # type: ignore[arg-type]


def test_votes_become_adaboost(tmp_path: Path) -> None:
    forest = stumps([(0.75, -0.75), (-0.25, 0.25)], [0, 0], "identity", divisor=1.0)
    path = write(tmp_path / "w.xml", forest, options={"BoostType": "AdaBoost"})
    weights = [float(tree.get("boostWeight") or 0) for tree in ET.parse(path).getroot().iter("BinaryTree")]
    assert weights == [0.75, 0.25]
    x = rows()[:, :1]
    expected = np.where(x >= 0, -0.75, 0.75) + np.where(x >= 0.25, 0.25, -0.25)
    np.testing.assert_allclose(evaluate(read_weights(path).body, rows()), expected, atol=1e-7)  # type: ignore[arg-type]


def test_a_line_says_that_nan_goes_left_in_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    write(tmp_path / "left.xml", stumps([(0.5, -0.5)], [0], link="tanh"))
    assert caplog.text == ""
    right = np.array([True, False, False])
    write(tmp_path / "right.xml", stumps([(0.5, -0.5)], [0], link="tanh", missing_right=right))
    assert "right.xml: does not say where NaN goes, as no file of TMVA does" in caplog.text


def layout(root: ET.Element) -> dict[str, set[tuple[str, ...]]]:
    """Names of the attributes of each kind of element."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for element in root.iter():
        found.setdefault(element.tag, set()).add(tuple(element.attrib))
    return found


@pytest.mark.parametrize(
    ("case", "forest", "classes"),
    [
        ("modern_mc_bdtg_50_nobag", stumps([(0.1, 0.2)] * 3, [0, 1, 2]), ("A", "B", "C")),
        ("bin_ada_default", stumps([(1.0, -1.0)], [0], "identity"), ("Signal", "Background")),
        ("bin_bdtg", stumps([(1.0, -1.0)], [0], "tanh"), ("Signal", "Background")),
    ],
)
def test_the_layout_is_that_of_a_real_tmva(
    tmp_path: Path, project: Path, case: str, forest: Forest, classes: tuple[str, ...]
) -> None:
    with gzip.open(project / "tests" / "data" / "tmva" / case / "weights.xml.gz") as file:
        real = ET.parse(file).getroot()
    ours = ET.parse(write(tmp_path / "w.xml", forest, classes)).getroot()
    assert layout(ours) == layout(real)
    assert [child.tag for child in ours] == [child.tag for child in real]
    names = [option.get("name") for option in real.iter("Option")]
    assert [option.get("name") for option in ours.iter("Option")] == names
    for tag, name in (("Weights", "AnalysisType"), ("BinaryTree", "type"), ("Spectators", "NSpec")):
        assert [each.get(name) for each in ours.iter(tag)][:1] == [each.get(name) for each in real.iter(tag)][:1]
    assert {each.get("nType") for each in ours.iter("Node")} <= {each.get("nType") for each in real.iter("Node")}
    releases = [{info.get("name"): info.get("value") for info in root.iter("Info")} for root in (ours, real)]
    assert releases[0]["TMVA Release"] == releases[1]["TMVA Release"]
    assert releases[0]["AnalysisType"] == releases[1]["AnalysisType"]
    assert re.fullmatch(r"\d+\.\d+/\d+ \[\d+\]", releases[0]["ROOT Release"] or "")


def test_defaults_of_the_options_are_those_of_a_real_tmva(tmp_path: Path, project: Path) -> None:
    with gzip.open(project / "tests" / "data" / "tmva" / "bin_ada_default" / "weights.xml.gz") as file:
        real = {each.get("name"): each.text for each in ET.parse(file).getroot().iter("Option")}
    forest = stumps([(1.0, -1.0)], [0], "identity")
    path = write(tmp_path / "w.xml", forest, options={"H": "False", "V": "False", "Shrinkage": "0.10"})
    options = list(ET.parse(path).getroot().iter("Option"))
    assert {each.get("name"): each.text for each in options} == {**real, "Shrinkage": "1.000000e-01"}
    assert [each.get("name") for each in options if each.get("modified") == "Yes"] == ["V", "H", "Shrinkage"]


def test_names_with_markup_are_escaped(tmp_path: Path) -> None:
    path = tmp_path / "w.xml"
    write_weights(
        path,
        stumps([(0.1, 0.2)] * 2, [0, 1]),
        method_name="BDT",
        classes=["a<b", 'q"&'],
        variables=["x<1 && y>2", "y"],
        minima=[0, 0],
        maxima=[1, 1],
    )
    method = read_weights(path)
    assert method.classes == ("a<b", 'q"&')
    assert method.variables[0].expression == "x<1&&y>2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x+y", "x_P_y"), ("TMath::Abs(x)", "TMath_Abs_x_"), ("log(1+c)", "log_1_P_c_"), ("a*a", "a_T_a")],
)
def test_internal_names_are_those_of_tmva(text: str, expected: str) -> None:
    """As they stand in the files of a real TMVA in tests/data/tmva."""
    assert internal_name(text) == expected


@pytest.mark.parametrize(
    ("forest", "reason"),
    [
        (stumps([(1.0, np.inf)], [0], "tanh"), "not finite"),
        (stumps([(1.0, -0.5)], [0], "identity"), "the leaves of a tree differ in size"),
        (stumps([(1.0, -1.0)], [0], "identity", divisor=3.0), "not a weighted mean of votes"),
        (stumps([(1.0, -1.0)], [0], "weighted_median", tree_weights=np.ones(1)), "AdaBoost.R2"),
        (stumps([(1.0, -1.0)] * 2, [0, 1], "identity"), "2 outputs with the link 'identity'"),
    ],
)
def test_what_tmva_cannot_hold_is_refused(tmp_path: Path, forest: Forest, reason: str) -> None:
    with pytest.raises(NtuplemlError, match=reason):
        write(tmp_path / "w.xml", forest)
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "w.xml"
    path.write_text("mine")
    forest = stumps([(1.0, -1.0)], [0], "tanh")
    with pytest.raises(NtuplemlError, match="exists already"):
        write(path, forest)
    assert path.read_text() == "mine"
    write(path, forest, overwrite=True)
    assert read_weights(path).kind == "BDT"
