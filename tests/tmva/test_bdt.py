"""BDTs against TMVA's formulas, written down once more here, one event and one tree at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import onnxruntime
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.forests import FIRST_OBLIQUE, LEAF, Forest
from ntupleml.onnx_models.tmva_method import tmva_to_onnx
from ntupleml.tmva.reading import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GRID = [np.float32(value) for value in (-1.5, -0.1, 0.0, 0.3, 0.7, 2.0)]


def leaf(pos: str, response: float, extra: str = "") -> str:
    return f'<Node pos="{pos}" IVar="-1" Cut="0" cType="1" res="{response}" {extra}nType="-99"/>'


def one_tree(node: str, kind: str = 'AnalysisType="1"') -> str:
    return f'<Weights NTrees="1" {kind}><BinaryTree boostWeight="1">{node}</BinaryTree></Weights>'


def random_node(random: np.random.Generator, depth: int, num_variables: int, pos: str = "s") -> str:
    """A tree of all that a node can be: cuts of both types, oblique ones, pruned nodes, unequal depths."""
    leaf = depth == 0 or random.random() < 0.2
    oblique = random.random() < 0.3
    coefficients = random.normal(size=num_variables + 1) * (random.random(num_variables + 1) < 0.7) if oblique else []
    attributes = {
        "pos": pos,
        "depth": 0,
        "NCoef": len(coefficients),
        **{f"fC{index}": f"{value:.16e}" for index, value in enumerate(coefficients)},
        "IVar": -1 if leaf else random.integers(num_variables),
        "Cut": f"{float(random.choice(GRID)):.16e}",
        "cType": random.integers(2),
        "res": f"{random.normal():.16e}",
        "rms": "0",
        "purity": f"{random.random():.16e}",
        "nType": random.choice([-1, 1]) if leaf else 0,
    }
    below = ""
    if not leaf or (depth and random.random() < 0.3):  # pruned: nodes below a leaf, which TMVA never visits
        sides = ["l", "r"] if random.random() < 0.5 else ["r", "l"]
        below = "".join(random_node(random, depth - 1, num_variables, side) for side in sides)
    text = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f"<Node {text}>{below}</Node>"


def random_weights(random: np.random.Generator, num_trees: int, kind: int, extra: str = "") -> str:
    trees = "".join(
        f'<BinaryTree type="DecisionTree" boostWeight="{random.random():.16e}" itree="{index}">'
        f"{random_node(random, int(random.integers(0, 5)), 2)}</BinaryTree>"
        for index in range(num_trees)
    )
    return f'<Weights NTrees="{num_trees}" AnalysisType="{kind}"{extra}>{trees}</Weights>'


def leaf_of(node: ElementTree.Element, event: np.ndarray) -> ElementTree.Element:
    while int(node.attrib["nType"]) == 0:
        cut = float(np.float32(node.attrib["Cut"]))
        count = int(node.get("NCoef", "0"))
        if count:
            fisher = float(node.attrib[f"fC{count - 1}"])
            for index in range(count - 1):
                fisher += float(node.attrib[f"fC{index}"]) * float(event[index])
            right = fisher > cut
        else:
            right = float(event[int(node.attrib["IVar"])]) >= cut
        if node.attrib["cType"] == "0":
            right = not right
        (node,) = [other for other in node if other.attrib["pos"] == ("r" if right else "l")]
    return node


def number(element: ElementTree.Element, name: str) -> float:
    return float(np.float32(element.attrib[name]))


def answer(leaf: ElementTree.Element, regression_tree: bool, yes_no: bool) -> float:
    if regression_tree:
        return number(leaf, "res")
    return float(leaf.attrib["nType"]) if yes_no else number(leaf, "purity")


def answers(path: Path, events: np.ndarray, yes_no: bool) -> tuple[np.ndarray, np.ndarray]:
    """Answer of each tree to each event, and the weights of the trees."""
    weights = ElementTree.parse(path).getroot().find("Weights")
    assert weights is not None
    regression_tree = (weights.get("AnalysisType") or weights.get("TreeType")) == "1"
    rows = [[answer(leaf_of(tree[0], event), regression_tree, yes_no) for tree in weights] for event in events]
    return np.array(rows), np.array([number(tree, "boostWeight") for tree in weights])


def scores(path: Path, events: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    model = tmva_to_onnx(read_weights(path), dtype)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"variables": events.astype(dtype)})[0]
    return result


@pytest.fixture
def events() -> np.ndarray:
    """Events on the cuts, one number beside them, and elsewhere."""
    random = np.random.default_rng(1)
    grid = np.array(GRID)
    choices = np.concatenate([grid, np.nextafter(grid, np.float32(9)), np.nextafter(grid, np.float32(-9))])
    return np.concatenate([random.choice(choices, (150, 2)), random.normal(size=(50, 2))]).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_gradient_boosting(seed: int, made_up_bdt: Callable[..., Path], events: np.ndarray) -> None:
    path = made_up_bdt(random_weights(np.random.default_rng(seed), 9, 1))
    trees, _ = answers(path, events, yes_no=False)
    expected = [2 / (1 + math.exp(-2 * sum(row))) - 1 for row in trees]
    np.testing.assert_allclose(scores(path, events)[:, 0], expected, rtol=0, atol=1e-15)
    np.testing.assert_allclose(scores(path, events, np.float32)[:, 0], expected, rtol=1e-7)


@pytest.mark.parametrize("boost", ["AdaBoost", "RealAdaBoost", "AdaCost", "Bagging"])
@pytest.mark.parametrize("yes_no", [True, False, None])
def test_weighted_votes(boost: str, yes_no: bool | None, made_up_bdt: Callable[..., Path], events: np.ndarray) -> None:
    options = {} if yes_no is None else {"UseYesNoLeaf": str(yes_no)}
    path = made_up_bdt(random_weights(np.random.default_rng(8), 7, 0), boost=boost, **options)
    trees, weights = answers(path, events, yes_no=yes_no is not False)
    expected = trees @ weights / weights.sum()
    np.testing.assert_allclose(scores(path, events)[:, 0], expected, rtol=1e-14, atol=1e-15)


def test_votes_without_weight_are_zero(made_up_bdt: Callable[..., Path], events: np.ndarray) -> None:
    tree = '<BinaryTree boostWeight="0"><Node IVar="-1" Cut="0" cType="1" purity="1" nType="1"/></BinaryTree>'
    path = made_up_bdt(f'<Weights NTrees="1" AnalysisType="0">{tree}</Weights>', boost="AdaBoost")
    np.testing.assert_array_equal(scores(path, events), 0)


def test_several_classes(made_up_bdt: Callable[..., Path], events: np.ndarray) -> None:
    path = made_up_bdt(random_weights(np.random.default_rng(3), 12, 1), analysis="Multiclass", num_classes=3)
    trees, _ = answers(path, events, yes_no=False)
    sums = np.stack([trees[:, index::3].sum(axis=1) for index in range(3)], axis=1)
    expected = [
        [1 / (1 + sum(math.exp(row[j] - row[k]) for j in range(3) if j != k)) for k in range(3)] for row in sums
    ]
    np.testing.assert_allclose(scores(path, events), expected, rtol=1e-14)


def test_regression_by_gradient_boosting(made_up_bdt: Callable[..., Path], events: np.ndarray) -> None:
    path = made_up_bdt(random_weights(np.random.default_rng(4), 6, 1), analysis="Regression")
    trees, weights = answers(path, events, yes_no=False)
    np.testing.assert_allclose(scores(path, events)[:, 0], trees.sum(axis=1) + weights[0], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("num_trees", [1, 2, 5, 6, 7, 13, 30])
def test_regression_by_the_weighted_median(
    num_trees: int, made_up_bdt: Callable[..., Path], events: np.ndarray
) -> None:
    weights_text = random_weights(np.random.default_rng(num_trees), num_trees, 1)
    path = made_up_bdt(weights_text, analysis="Regression", boost="AdaBoostR2")
    trees, weights = answers(path, events, yes_no=False)
    expected = []
    for row in trees:
        order = np.argsort(row, kind="stable")
        total, count = 0.0, 0
        while total <= weights.sum() / 2:
            total += weights[order[count]]
            count += 1
        first = max(0, int(count - num_trees // 6 - 0.5))
        last = min(num_trees, int(count + num_trees // 6 + 0.5))
        expected.append(row[order[first:last]].mean())
    np.testing.assert_allclose(scores(path, events)[:, 0], expected, rtol=1e-14)


def test_regression_by_bagging_is_a_mean(made_up_bdt: Callable[..., Path], events: np.ndarray) -> None:
    path = made_up_bdt(random_weights(np.random.default_rng(5), 6, 1), analysis="Regression", boost="Bagging")
    trees, weights = answers(path, events, yes_no=False)
    np.testing.assert_allclose(scores(path, events)[:, 0], trees @ weights / weights.sum(), rtol=1e-13, atol=1e-14)


def preselection_attributes(cuts: dict[str, float]) -> str:
    names = [
        f"Preselection{side}{kind}Var{index}" for index in (0, 1) for side in ("Low", "High") for kind in ("Bkg", "Sig")
    ]
    return "".join(f' {name}="{int(name in cuts)}" {name}Value="{cuts.get(name, 0.0):.16e}"' for name in names)


@pytest.mark.parametrize("boost", ["AdaBoost", "Grad"])
def test_the_last_preselection_cut_that_holds_wins(
    boost: str, made_up_bdt: Callable[..., Path], events: np.ndarray
) -> None:
    """0.3 as a double is no float: events on the float beside it must fall where TMVA's comparison puts them."""
    cuts = {"PreselectionLowBkgVar0": 0.3, "PreselectionHighSigVar0": 0.7, "PreselectionLowSigVar1": -0.1}
    random = np.random.default_rng(6)
    weights = random_weights(random, 3, int(boost == "Grad"), preselection_attributes(cuts))
    path = made_up_bdt(weights, boost=boost, DoPreselection="True")
    without = scores(made_up_bdt(weights, boost=boost, DoPreselection="False"), events)[:, 0]
    path = made_up_bdt(weights, boost=boost, DoPreselection="True")
    expected = []
    for event, score in zip(events.astype(np.float64), without, strict=True):
        result = score
        if event[0] < 0.3:
            result = -1
        if event[0] > 0.7:
            result = 1
        if event[1] < -0.1:
            result = 1
        expected.append(result)
    found = scores(path, events)[:, 0]
    np.testing.assert_array_equal(found, expected)
    assert {-1.0, 1.0} < set(found)


def test_attributes_of_old_versions(made_up_bdt: Callable[..., Path]) -> None:
    """Before 4.1: TreeType, no NCoef, the events of a leaf instead of its purity."""
    node = '<Node pos="{}" IVar="{}" Cut="0.5" cType="1" nS="{}" nB="2" nType="{}">{}</Node>'
    below = node.format("l", -1, 1, -1, "") + node.format("r", -1, 6, 1, "")
    weights = one_tree(node.format("s", 1, 0, 0, below), 'TreeType="0"')
    path = made_up_bdt(weights, boost="AdaBoost", UseYesNoLeaf="False")
    found = scores(path, np.array([[0, 0.4], [0, 0.5]]))
    np.testing.assert_array_equal(found[:, 0], [np.float32(1) / np.float32(3), 0.75])


def test_the_forest_is_what_the_file_says(made_up_bdt: Callable[..., Path]) -> None:
    below = leaf("l", 0.1) + leaf("r", 2)
    node = f'<Node pos="s" NCoef="2" fC0="1.5" fC1="-3" IVar="2" Cut="0.1" cType="0" res="0" nType="0">{below}</Node>'
    path = made_up_bdt(one_tree(node))
    forest = read_weights(path).body
    assert isinstance(forest, Forest)
    assert forest.features.tolist() == [FIRST_OBLIQUE, LEAF, LEAF]
    assert forest.cuts[0] == np.float32(0.1)
    assert forest.directions.tolist() == [[1.5, 0.0, -3.0]]
    # the cut's type exchanges the sides
    assert forest.values[[forest.left[0], forest.right[0]]].tolist() == [2.0, float(np.float32(0.1))]
    assert forest.link == "tanh"


ROOT = '<Node pos="s" IVar="1" Cut="0.5" cType="1" res="0" nType="0">'
GOOD = f"{ROOT}{leaf('l', 1)}{leaf('r', 2)}</Node>"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('Cut="0.5"', 'Cut="nan"', "Cut is 'nan', not finite"),
        ('Cut="0.5"', 'Cut="-inf"', "Cut is '-inf', not finite"),
        ('Cut="0.5"', 'Cut="1e39"', "too large for the float"),
        ('Cut="0.5"', 'Cut="half"', "Cut is 'half', not a number"),
        ('Cut="0.5"', "", "Node has no attribute Cut"),
        ('IVar="1"', 'IVar="2"', "IVar is '2'; an integer from 0 to 1 is needed"),
        ('IVar="1"', 'IVar="-1"', "IVar is '-1'; an integer from 0 to 1 is needed"),
        ('IVar="1"', 'IVar="1" NCoef="4"', "NCoef is '4'; an integer from 0 to 3 is needed"),
        ('IVar="1"', 'IVar="1" NCoef="3" fC0="1" fC1="1"', "Node has no attribute fC2"),
        ('cType="1" res="0"', 'cType="2" res="0"', "cType is '2'; an integer from 0 to 1"),
        ('pos="r"', 'pos="l"', 'an inner node has 2 nodes with pos="l" below it, not one'),
        ('pos="r"', 'pos="x"', 'an inner node has 0 nodes with pos="r" below it, not one'),
        ('res="2"', 'res="NaN"', "res is 'NaN', not finite"),
        ('res="2"', "", "Node has no attribute res"),
        ('nType="-99"/></Node>', "/></Node>", "Node has no attribute nType"),
        ("BinaryTree boostWeight", 'BinaryTree type="BinarySearchTree" boostWeight', "of type 'BinarySearchTree'"),
        ('boostWeight="1"', "", "BinaryTree has no attribute boostWeight"),
        ('NTrees="1"', 'NTrees="0"', "NTrees is '0'; an integer at least 1 is needed"),
        ('NTrees="1"', 'NTrees="2"', "Weights has 1 BinaryTree, but the file says that there are 2"),
        ('NTrees="1"', 'NTrees="4294967296"', "Weights has 1 BinaryTree, but the file says that there are 4294967296"),
        (' AnalysisType="1"', "", "Weights has no attribute AnalysisType"),
        (GOOD, "", "BinaryTree has 0 Node, but the file says that there are 1"),
        (GOOD, GOOD + GOOD, "BinaryTree has 2 Node, but the file says that there are 1"),
    ],
)
def test_impossible_trees_are_refused_in_one_line(
    old: str, new: str, reason: str, made_up_bdt: Callable[..., Path]
) -> None:
    text = one_tree(GOOD)
    assert old in text
    path = made_up_bdt(text.replace(old, new, 1))
    with pytest.raises(NtuplemlError) as caught:
        read_weights(path)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_contradicting_options_and_counts_are_refused(made_up_bdt: Callable[..., Path]) -> None:
    weights = random_weights(np.random.default_rng(0), 4, 1)
    with pytest.raises(NtuplemlError, match="4 trees cannot be shared by 3 classes"):
        read_weights(made_up_bdt(weights, analysis="Multiclass", num_classes=3))
    with pytest.raises(NtuplemlError, match="unknown BoostType 'Gard'; nearest: 'Grad'"):
        read_weights(made_up_bdt(weights, boost="Gard"))
    with pytest.raises(NtuplemlError, match="option UseYesNoLeaf is 'perhaps'; True or False is needed"):
        read_weights(made_up_bdt(weights, boost="AdaBoost", UseYesNoLeaf="perhaps"))
    with pytest.raises(NtuplemlError, match="Weights has no attribute PreselectionLowBkgVar0"):
        read_weights(made_up_bdt(weights, DoPreselection="True"))
    negative = weights.replace('boostWeight="', 'boostWeight="-')
    with pytest.raises(NtuplemlError, match="boostWeights of an AdaBoostR2 must not be negative"):
        read_weights(made_up_bdt(negative, analysis="Regression", boost="AdaBoostR2"))


@pytest.mark.parametrize("depth", [1_100, 100_000])
def test_a_tree_without_bottom_does_not_end_python(depth: int, made_up_bdt: Callable[..., Path]) -> None:
    inner = '<Node pos="r" IVar="0" Cut="0.5" cType="1" res="0" nType="0">' + leaf("l", 1)
    tree = inner * depth + leaf("r", 1) + "</Node>" * depth
    with pytest.raises(NtuplemlError, match="tree 0: deeper than 1000 nodes"):
        read_weights(made_up_bdt(one_tree(tree)))


def test_a_tree_as_deep_as_is_allowed_is_evaluated(made_up_bdt: Callable[..., Path]) -> None:
    depth = 1000
    inner = "".join(
        f'<Node pos="r" IVar="0" Cut="{index}" cType="1" res="0" nType="0">{leaf("l", index / 1000)}'
        for index in range(depth)
    )
    tree = inner + leaf("r", 5) + "</Node>" * depth
    found = scores(made_up_bdt(one_tree(tree)), np.array([[-1.0, 0], [499.5, 0], [998.0, 0], [999.0, 0]]))
    sums = [0.0, float(np.float32(0.5)), float(np.float32(0.999)), 5.0]
    np.testing.assert_allclose(found[:, 0], np.tanh(sums), rtol=1e-12)
