from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntupleml.forests import PreselectionCut
from ntupleml.forests.checks import forest_fault, levels
from ntupleml.forests.kernel import evaluate


@pytest.fixture
def forest(make_forest):
    return make_forest(np.random.default_rng(1), num_trees=3, num_outputs=2, depth=2)


def changed(array, index, value):
    copy = array.copy()
    copy[index] = value
    return copy


def root_and_child(forest):
    root = forest.roots[0]
    return root, forest.left[root]


FAULTS = {
    "roots outside": (lambda f: {"roots": changed(f.roots, 0, 99_999)}, "'roots' goes from"),
    "output outside": (lambda f: {"tree_outputs": f.tree_outputs + 2}, "'tree_outputs' goes from"),
    "feature outside": (lambda f: {"features": changed(f.features, f.roots[0], 3)}, "'features' goes from"),
    "no such direction": (lambda f: {"features": changed(f.features, f.roots[0], -2)}, "'features' goes from"),
    "child outside": (lambda f: {"left": changed(f.left, f.roots[0], len(f.left))}, "'left' names nodes"),
    "child missing": (lambda f: {"right": changed(f.right, f.roots[0], -1)}, "'right' names nodes"),
    "cycle": (lambda f: {"left": changed(f.left, root_and_child(f)[1], f.roots[0])}, "in more than one way"),
    "same root twice": (lambda f: {"roots": np.repeat(f.roots[:1], 3)}, "in more than one way"),
    "two parents": (lambda f: {"right": changed(f.right, f.roots[0], f.left[f.roots[0]])}, "in more than one way"),
    "lengths": (lambda f: {"cuts": f.cuts[1:]}, "'cuts' has the shape"),
    "offsets": (lambda f: {"offsets": np.zeros(3)}, "'offsets' has the shape"),
    "directions": (lambda f: {"directions": np.zeros((1, 3))}, "'directions' has the shape"),
    "weights": (lambda f: {"tree_weights": np.zeros(3)}, "'tree_weights' has the shape"),
    "no trees": (lambda f: {"roots": f.roots[:0], "tree_outputs": f.tree_outputs[:0]}, "at least one each"),
    "no inputs": (lambda f: {"num_inputs": 0}, "at least one each"),
    "value": (lambda f: {"values": changed(f.values, 0, np.nan)}, "'values' has values that are NaN or infinite"),
    "cut": (lambda f: {"cuts": changed(f.cuts, 0, np.nan)}, "'cuts' has values that are NaN"),
    "divisor": (lambda f: {"divisor": 0.0}, "the divisor is 0.0"),
    "link": (lambda f: {"link": "logit"}, "the link 'logit' is none of identity, tanh"),
    "median": (lambda f: {"link": "weighted_median", "tree_weights": np.ones(3)}, "one output, not 2"),
    "preselection": (lambda f: {"preselection": (PreselectionCut(3, True, 0.0, 0.0),)}, "asks for input 3"),
    "NaN": (lambda f: {"preselection": (PreselectionCut(0, True, np.nan, 0.0),)}, "a value that is NaN"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(forest, name):
    change, message = FAULTS[name]
    assert forest_fault(forest) is None
    faulty = dataclasses.replace(forest, **change(forest))
    assert message in str(forest_fault(faulty))
    with pytest.raises(ValueError, match="no valid forest"):
        evaluate(faulty, np.zeros((1, 3), dtype=np.float32))


def test_infinite_cuts_are_possible(forest):
    assert forest_fault(dataclasses.replace(forest, cuts=np.full_like(forest.cuts, np.inf))) is None


def test_levels_hold_each_node_once(make_forest):
    forest = make_forest(np.random.default_rng(1), num_trees=3, depth=4, unbalanced=0.2)
    found = levels(forest)
    assert found[0].tolist() == forest.roots.tolist()
    assert sorted(np.concatenate(found)) == list(range(len(forest.features)))
