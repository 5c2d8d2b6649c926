from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntupleml.forests import Forest, PreselectionCut
from ntupleml.forests.forest import forest_fault, levels
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
    "missing": (lambda f: {"missing_right": np.zeros(3, dtype=bool)}, "'missing_right' has the shape"),
    "many inputs": (lambda f: {"num_inputs": 10**12}, "at most 100000 inputs are possible"),
    "many outputs": (lambda f: {"num_outputs": 4}, "an output for each of the 3 trees"),
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


def chain(length: int) -> Forest:
    """A tree that is one long branch to the right."""
    inner, leaves = np.arange(length), length + np.arange(length + 1)
    end = np.full(length + 1, -1)
    return Forest(
        num_inputs=1,
        num_outputs=1,
        roots=np.array([0]),
        tree_outputs=np.array([0]),
        features=np.concatenate([np.zeros(length), end]).astype(np.int32),
        cuts=np.zeros(2 * length + 1, dtype=np.float32),
        left=np.concatenate([leaves[:-1], end]).astype(np.int32),
        right=np.concatenate([inner[1:], [leaves[-1]], end]).astype(np.int32),
        values=np.zeros(2 * length + 1),
    )


def test_trees_that_no_engine_goes_down_are_refused():
    """ONNX Runtime goes down by recursion: 200,000 levels end the process."""
    assert forest_fault(chain(1000)) is None
    assert forest_fault(chain(1001)) == "a tree is deeper than 1000 nodes"


def test_levels_hold_each_node_once(make_forest):
    forest = make_forest(np.random.default_rng(1), num_trees=3, depth=4, unbalanced=0.2)
    found = levels(forest)
    assert found[0].tolist() == forest.roots.tolist()
    assert sorted(np.concatenate(found)) == list(range(len(forest.features)))
