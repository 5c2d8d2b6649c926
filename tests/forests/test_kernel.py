from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntupleml.forests import FIRST_OBLIQUE, LEAF, Forest, PreselectionCut
from ntupleml.forests.kernel import evaluate, prepare


def stump(cut: float, feature: int = 0, num_inputs: int = 1, **others) -> Forest:
    """−1 on the left, +1 on the right."""
    return Forest(
        num_inputs=num_inputs,
        num_outputs=1,
        roots=np.array([0]),
        tree_outputs=np.array([0]),
        features=np.array([feature, LEAF, LEAF], dtype=np.int32),
        cuts=np.array([cut, 0, 0], dtype=np.float32),
        left=np.array([1, -1, -1], dtype=np.int32),
        right=np.array([2, -1, -1], dtype=np.int32),
        values=np.array([0.0, -1.0, 1.0]),
        **others,
    )


def constants(*values: float, **others) -> Forest:
    """Trees of one leaf each, all for the same output unless told."""
    others = {"num_outputs": 1, "tree_outputs": np.zeros(len(values), dtype=np.int64), **others}
    return Forest(
        num_inputs=1,
        roots=np.arange(len(values)),
        features=np.full(len(values), LEAF, dtype=np.int32),
        cuts=np.zeros(len(values), dtype=np.float32),
        left=np.full(len(values), -1, dtype=np.int32),
        right=np.full(len(values), -1, dtype=np.int32),
        values=np.array(values),
        **others,
    )


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, np.newaxis]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    depth=st.integers(0, 8),
    unbalanced=st.sampled_from([0.0, 0.1, 0.4]),
    leaf_type=st.sampled_from([np.float32, np.float64]),
    num_outputs=st.integers(1, 4),
    num_oblique=st.sampled_from([0, 2]),
    missing_right=st.sampled_from([0.0, 0.5]),
    num_events=st.integers(1, 40),
)
def test_sums_are_those_of_the_definition(
    make_forest,
    make_matrix,
    answers,
    seed,
    depth,
    unbalanced,
    leaf_type,
    num_outputs,
    num_oblique,
    missing_right,
    num_events,
):
    """To the last bit, as both add the trees in double and in their order."""
    generator = np.random.default_rng(seed)
    forest = make_forest(
        generator,
        depth=depth,
        unbalanced=unbalanced,
        leaf_type=leaf_type,
        num_outputs=num_outputs,
        num_oblique=num_oblique,
        missing_right=missing_right,
        offsets=generator.normal(size=num_outputs),
        divisor=1.7,
    )
    matrix = make_matrix(generator, num_events, forest.num_inputs)
    np.testing.assert_array_equal(evaluate(forest, matrix), answers(forest, matrix))


@pytest.mark.parametrize("depth", [10, 11])
@pytest.mark.parametrize("leaf_type", [np.float32, np.float64])
def test_large_trees_are_walked(make_forest, make_matrix, answers, depth, leaf_type):
    generator = np.random.default_rng(depth)
    forest = make_forest(
        generator, num_trees=2, depth=depth, unbalanced=0.01, leaf_type=leaf_type, num_inputs=5, missing_right=0.5
    )
    matrix = make_matrix(generator, 300, 5)
    assert set(prepare(forest).kinds) == {5}
    np.testing.assert_array_equal(evaluate(forest, matrix), answers(forest, matrix))


def test_a_tree_that_is_one_long_branch():
    """Cuts at 0, 1, …, 499, each with a leaf of that number on the left."""
    levels = 500
    inner, leaves = np.arange(levels), levels + np.arange(levels + 1)
    forest = Forest(
        num_inputs=1,
        num_outputs=1,
        roots=np.array([0]),
        tree_outputs=np.array([0]),
        features=np.concatenate([np.zeros(levels), np.full(levels + 1, LEAF)]).astype(np.int32),
        cuts=np.concatenate([inner, np.zeros(levels + 1)]).astype(np.float32),
        left=np.concatenate([leaves[:-1], np.full(levels + 1, -1)]).astype(np.int32),
        right=np.concatenate([inner[1:], [leaves[-1]], np.full(levels + 1, -1)]).astype(np.int32),
        values=np.concatenate([np.zeros(levels), np.arange(levels + 1)]),
    )
    matrix = column(-3.0, 0.0, 0.5, 1.0, 250.25, 498.5, 499.0, 1e9)
    assert evaluate(forest, matrix).ravel().tolist() == [0, 1, 1, 2, 251, 499, 500, 500]


def test_on_the_cut_is_right_and_nan_is_left():
    cut = np.float32(0.1)
    below = np.nextafter(cut, np.float32(-1))
    found = evaluate(stump(0.1), column(cut, below, np.nan, np.inf, -np.inf, -0.0))
    assert found.ravel().tolist() == [1, -1, -1, 1, -1, -1]
    assert evaluate(stump(0.0), column(-0.0)).item() == 1


def test_nan_goes_right_where_the_node_says_so():
    """Also at a cut at infinity, and only NaN; whether or not other events of the block have one."""
    right = np.array([True, False, False])
    for cut, value, expected in [(0.1, 0.0, -1), (np.inf, 1e38, -1), (-np.inf, -1e38, 1)]:
        forest = stump(cut, missing_right=right)
        assert evaluate(forest, column(np.nan, value, np.nan)).ravel().tolist() == [1, expected, 1]
        assert evaluate(forest, column(value)).item() == expected


def test_an_oblique_cut_is_right_only_beyond_it():
    """x0 − 2 x1 + 0.5 > 1, in double: the sum of the last event is 1 + 2⁻⁴⁰, which float32 cannot tell from 1."""
    forest = stump(1.0, FIRST_OBLIQUE, 2, directions=np.array([[1.0, -2.0, 0.5]]))
    matrix = np.array([[0.5, 0.0], [0.75, 0.0], [2.5, 1.0], [0.5, -(2.0**-41)]], dtype=np.float32)
    assert evaluate(forest, matrix).ravel().tolist() == [-1, 1, -1, 1]


@pytest.mark.parametrize("link", ["tanh", "sigmoid", "softmax", "identity"])
def test_links(make_forest, make_matrix, answers, link):
    generator = np.random.default_rng(5)
    outputs = 9 if link == "softmax" else 1
    forest = make_forest(generator, num_outputs=outputs, num_trees=27, link=link, offsets=np.linspace(-1, 1, outputs))
    matrix = make_matrix(generator, 500, forest.num_inputs)
    np.testing.assert_allclose(evaluate(forest, matrix), answers(forest, matrix), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("size", [1e3, 1e300])
def test_links_of_huge_sums(size):
    events = column(0.0)
    assert evaluate(constants(size, link="tanh"), events).item() == 1
    assert evaluate(constants(-size, link="tanh"), events).item() == -1
    assert evaluate(constants(-size, link="sigmoid"), events).item() == 0
    assert evaluate(constants(size, link="sigmoid"), events).item() == 1
    two = {"num_outputs": 2, "tree_outputs": np.array([0, 1])}
    assert evaluate(constants(size, -size, link="softmax", **two), events).tolist() == [[1, 0]]


def test_first_preselection_cut_that_holds_decides():
    cuts = (
        PreselectionCut(feature=1, above=False, value=0.0, response=-1.0),
        PreselectionCut(feature=1, above=True, value=2.0, response=3.0),
        PreselectionCut(feature=0, above=True, value=0.5, response=7.0),
    )
    forest = dataclasses.replace(constants(0.25), num_inputs=2, preselection=cuts)
    matrix = np.array([[0, -1], [0, 0], [0, 2], [0, 2.5], [1, 2.5], [1, 1], [0.5, 1]], dtype=np.float32)
    assert evaluate(forest, matrix).ravel().tolist() == [-1, 0.25, 0.25, 3, 3, 7, 0.25]


def tmva_median(responses: list[float], weights: list[float]) -> float:
    """TMVA's weighted median of trees, event by event: sort, go to half of the weight, average n // 6 on both sides."""
    ordered = sorted(zip(responses, weights, strict=True), key=lambda pair: pair[0])
    total = 0.0
    for weight in weights:
        total += weight
    reached, median = 0.0, 0
    while reached <= total / 2:
        reached += ordered[median][1]
        median += 1
    width = len(ordered) // 6
    averaged = [response for response, _ in ordered[max(0, median - width - 1) : min(len(ordered), median + width)]]
    total_response = 0.0
    for response in averaged:
        total_response += response
    return total_response / len(averaged)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), num_trees=st.integers(1, 40))
def test_weighted_median(make_forest, make_matrix, leaf, seed, num_trees):
    generator = np.random.default_rng(seed)
    weights = generator.uniform(0.1, 2, num_trees)
    forest = make_forest(generator, num_trees=num_trees, link="weighted_median", tree_weights=weights)
    matrix = make_matrix(generator, 20, forest.num_inputs)
    expected = [
        tmva_median([leaf(forest, tree, event) for tree in range(num_trees)], weights.tolist()) for event in matrix
    ]
    assert evaluate(forest, matrix).ravel().tolist() == expected


@pytest.mark.parametrize("num_events", [0, 1, 255, 256, 257, 16_385, 20_000])
@pytest.mark.parametrize("link", ["softmax", "tanh"])
def test_answers_do_not_depend_on_the_other_events(make_forest, make_matrix, num_events, link):
    generator = np.random.default_rng(2)
    forest = make_forest(generator, num_trees=30, num_outputs=10, link=link, depth=4, unbalanced=0.1)
    matrix = make_matrix(generator, 20_000, forest.num_inputs)
    together = evaluate(forest, matrix)[:num_events]
    found = evaluate(forest, matrix[:num_events])
    assert found.shape == (num_events, 10)
    np.testing.assert_array_equal(found, together)
    if num_events:
        np.testing.assert_array_equal(evaluate(forest, matrix[num_events - 1 : num_events]), together[-1:])


def test_answers_do_not_depend_on_the_threads(make_forest, make_matrix):
    generator = np.random.default_rng(3)
    prepared = prepare(make_forest(generator, num_outputs=3, link="softmax"))
    matrix = make_matrix(generator, 70_000, 3)
    np.testing.assert_array_equal(evaluate(prepared, matrix, threads=3), evaluate(prepared, matrix))


def test_layout_of_the_matrix_is_free(make_forest, make_matrix):
    generator = np.random.default_rng(4)
    forest = make_forest(generator)
    wide = make_matrix(generator, 1000, 9)
    expected = evaluate(forest, np.ascontiguousarray(wide[::2, 1:9:3]))
    frozen = wide[::2, 1:9:3].copy()
    frozen.flags.writeable = False
    for matrix in (wide[::2, 1:9:3], np.asfortranarray(wide[::2, 1:9:3]), frozen):
        before = matrix.copy()
        np.testing.assert_array_equal(evaluate(forest, matrix), expected)
        np.testing.assert_array_equal(matrix, before)


@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 2), np.float32), np.zeros(3, np.float32), np.zeros((3, 1)), np.zeros((3, 1), ">f4")]
)
def test_other_matrices_are_refused(matrix):
    with pytest.raises(ValueError, match=r"\(n_events, 1\) float32 needed"):
        evaluate(stump(0.0), matrix)


def test_the_room_is_imported_without_numba():
    code = "import sys, ntupleml.forests, ntupleml.forests.kernel; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_equal_values_keep_the_order_of_the_trees_in_the_median():
    """The weights that are summed up to the half of all are those of the first trees among equal ones."""
    generator = np.random.default_rng(6)
    for _ in range(20):
        values = generator.integers(0, 3, 60).astype(float)
        weights = generator.uniform(0.1, 5, 60)
        forest = constants(*values, link="weighted_median", tree_weights=weights)
        assert evaluate(forest, column(0.0)).item() == tmva_median(values.tolist(), weights.tolist())
