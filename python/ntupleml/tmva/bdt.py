"""Boosted decision trees of TMVA: the `Weights` of a MethodBDT as a forest, for every kind of boosting.

The formulas are those of TMVA's MethodBDT (GetMvaValue, GetMulticlassValues, GetRegressionValues), DecisionTree
(CheckEvent) and DecisionTreeNode (GoesRight).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import one_line
from ntupleml.forests import FIRST_OBLIQUE, LEAF, Forest, PreselectionCut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.tmva.method import MethodSetup
    from ntupleml.tmva.xml_file import Node

#: TMVA's kinds of boosting that say how the trees are put together; the default first.
BOOST_TYPES = ("AdaBoost", "RealAdaBoost", "AdaCost", "Bagging", "Grad", "AdaBoostR2", "RegBoost")
#: The number of a regression tree among TMVA's types of analysis: its leaves answer with their response.
_REGRESSION_TREE = 1
#: Far beyond what is trained; TMVA and ONNX Runtime go down a tree by recursion.
_DEEPEST = 1_000
_FLOAT32_MAX = float(np.finfo(np.float32).max)


class _LeafRule(NamedTuple):
    """Which of a leaf's numbers is its answer."""

    response: bool
    yes_no: bool


@dataclass
class _Nodes:
    """The arrays of a forest while it grows."""

    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    cuts: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    directions: list[list[float]] = field(default_factory=list)

    def add(self, feature: int, cut: float, value: float) -> int:
        """Append a node and return its number."""
        self.features.append(feature)
        self.cuts.append(cut)
        self.values.append(value)
        self.left.append(-1)
        self.right.append(-1)
        return len(self.features) - 1


def read_bdt(setup: MethodSetup) -> Forest:
    """Forest of the `Weights` of a MethodBDT."""
    root, analysis, num_variables, num_outputs = setup
    if analysis == "Regression" and num_outputs > 1:
        raise root.error(f"a BDT answers for one target, but the file has {num_outputs}")
    weights = setup.weights
    boost = setup.choice("BoostType", BOOST_TYPES)
    trees = weights.children("BinaryTree", weights.integer("NTrees", minimum=1))
    kind = "TreeType" if "TreeType" in weights.element.attrib else "AnalysisType"  # before and since TMVA 4.1.0
    rule = _LeafRule(
        response=weights.integer(kind) == _REGRESSION_TREE,
        # EvaluateMVA alone asks for the type of a leaf, and not with gradient boosting
        yes_no=analysis == "Classification" and boost != "Grad" and setup.flag("UseYesNoLeaf", True),
    )
    nodes = _Nodes()
    trees = [tree.at(f"tree {index}") for index, tree in enumerate(trees)]
    for tree in trees:
        _add_tree(nodes, tree, rule, num_variables)
    tree_weights = np.array([_float32(tree, "boostWeight") for tree in trees])
    forest = _forest(nodes, num_variables)
    if analysis == "Multiclass":
        return _multiclass(forest, num_outputs, root)
    if analysis == "Regression":
        return _regression(forest, tree_weights, boost, root)
    preselection = _preselection(weights, num_variables) if setup.flag("DoPreselection", False) else ()
    if boost == "Grad":
        return replace(forest, link="tanh", preselection=preselection)
    return _average(forest, tree_weights, preselection)


def _add_tree(nodes: _Nodes, tree: Node, rule: _LeafRule, num_variables: int) -> None:
    if tree.get("type", "DecisionTree") != "DecisionTree":
        raise tree.error(f"of type '{one_line(tree.get('type'), 40)}'; only DecisionTree is read")
    (root,) = tree.children("Node", 1)
    nodes.roots.append(_add_node(nodes, root, rule, num_variables))
    waiting = [(root, nodes.roots[-1], 1)]
    while waiting:  # no recursion: nesting in a file must not exhaust the stack
        node, index, depth = waiting.pop()
        if nodes.features[index] == LEAF:
            continue  # pruned trees keep what lies below their leaves
        if depth > _DEEPEST:
            raise tree.error(f"deeper than {_DEEPEST} nodes; the file is damaged")
        # cType 0 turns the comparison round, which is the same as exchanging the sides
        sides = ("l", "r") if node.integer("cType", maximum=1) == 1 else ("r", "l")
        daughters = [_daughter(node, side) for side in sides]
        left, right = (_add_node(nodes, daughter, rule, num_variables) for daughter in daughters)
        nodes.left[index], nodes.right[index] = left, right
        waiting += [(daughters[1], right, depth + 1), (daughters[0], left, depth + 1)]


def _daughter(node: Node, side: str) -> Node:
    found = [one for one in node.children("Node") if one.get("pos") == side]
    if len(found) != 1:
        raise node.error(f'an inner node has {len(found)} nodes with pos="{side}" below it, not one')
    return found[0]


def _add_node(nodes: _Nodes, node: Node, rule: _LeafRule, num_variables: int) -> int:
    if (node_type := node.integer("nType", minimum=-1000)) != 0:
        return nodes.add(LEAF, 0.0, _leaf_value(node, node_type, rule))
    cut = _float32(node, "Cut")
    num_coefficients = node.integer("NCoef", maximum=num_variables + 1, default=0)
    if num_coefficients == 0:
        return nodes.add(node.integer("IVar", maximum=num_variables - 1), cut, 0.0)
    coefficients = [node.number(f"fC{index}") for index in range(num_coefficients)]
    padding = [0.0] * (num_variables + 1 - num_coefficients)
    nodes.directions.append([*coefficients[:-1], *padding, coefficients[-1]])
    return nodes.add(FIRST_OBLIQUE - (len(nodes.directions) - 1), cut, 0.0)


def _leaf_value(node: Node, node_type: int, rule: _LeafRule) -> float:
    if rule.response:
        return _float32(node, "res")
    if rule.yes_no:
        return float(node_type)
    if "purity" in node.element.attrib:
        return _float32(node, "purity")
    # before TMVA 4.1: events of signal and background
    signal, background = np.float32(_float32(node, "nS")), np.float32(_float32(node, "nB"))
    if signal + background == 0:
        raise node.error("a leaf without events (nS and nB are 0)")
    return float(signal / (signal + background))


def _float32(node: Node, name: str) -> float:
    """Number rounded to float32, as TMVA stores it."""
    value = node.number(name)
    if abs(value) > _FLOAT32_MAX:
        raise node.error(f"{node.tag} {name} is {value:g}, too large for the float that TMVA makes of it")
    return float(np.float32(value))


def _forest(nodes: _Nodes, num_variables: int) -> Forest:
    return Forest(
        num_inputs=num_variables,
        num_outputs=1,
        roots=np.array(nodes.roots, dtype=np.int64),
        tree_outputs=np.zeros(len(nodes.roots), dtype=np.int64),
        features=np.array(nodes.features, dtype=np.int32),
        cuts=np.array(nodes.cuts, dtype=np.float32),
        left=np.array(nodes.left, dtype=np.int32),
        right=np.array(nodes.right, dtype=np.int32),
        values=np.array(nodes.values, dtype=np.float64),
        directions=np.array(nodes.directions, dtype=np.float64).reshape(-1, num_variables + 1),
    )


def _multiclass(forest: Forest, num_classes: int, root: Node) -> Forest:
    """Tree i adds to class i mod K, whatever the weights of the trees."""
    if forest.num_trees % num_classes:
        raise root.error(f"{forest.num_trees} trees cannot be shared by {num_classes} classes; the file is damaged")
    outputs = np.arange(forest.num_trees) % num_classes
    return replace(forest, num_outputs=num_classes, tree_outputs=outputs, link="softmax")


def _regression(forest: Forest, tree_weights: NDArray[np.float64], boost: str, root: Node) -> Forest:
    if boost == "Grad":  # the weight of the first tree is the median of the targets
        return replace(forest, offsets=tree_weights[:1])
    if boost != "AdaBoostR2":
        return _average(forest, tree_weights)
    if (tree_weights < 0).any() or tree_weights.sum() <= 0:
        raise root.error("the boostWeights of an AdaBoostR2 must not be negative, nor all zero")
    return replace(forest, tree_weights=tree_weights, link="weighted_median")


def _average(
    forest: Forest, tree_weights: NDArray[np.float64], preselection: tuple[PreselectionCut, ...] = ()
) -> Forest:
    """Mean of the trees' answers by their weights; 0 where the weights add up to nothing, as TMVA has it."""
    norm = float(sum(tree_weights))  # one after the other, as TMVA does
    sizes = np.diff(np.append(forest.roots, len(forest.features)))
    if norm <= np.finfo(np.float64).eps:
        return replace(forest, values=np.zeros_like(forest.values), preselection=preselection)
    values = forest.values * np.repeat(tree_weights, sizes)
    return replace(forest, values=values, divisor=norm, preselection=preselection)


def _preselection(weights: Node, num_variables: int) -> tuple[PreselectionCut, ...]:
    """Cuts that decide alone. TMVA goes through all of them and the last that holds wins, so they are turned round."""
    cuts = []
    for feature in range(num_variables):
        for side, kind in product(("Low", "High"), ("Bkg", "Sig")):
            name = f"Preselection{side}{kind}Var{feature}"
            if weights.integer(name, maximum=1):
                value = weights.number(f"{name}Value")
                cuts.append(PreselectionCut(feature, side == "High", value, 1.0 if kind == "Sig" else -1.0))
    return tuple(reversed(cuts))
