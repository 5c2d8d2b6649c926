"""Forests as ONNX graphs against the definition of a forest, one event and one node at a time."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax

from ntupleml.forests import FIRST_OBLIQUE, LEAF, Forest, PreselectionCut
from ntupleml.onnx_models.forest import forest_to_onnx

FLOATS = st.floats(-(2.0**127), 2.0**127, width=32)


def forest_of(trees: list[Any], num_inputs: int, directions: list[list[float]] | None = None, **more: Any) -> Forest:
    """A forest of nested tuples: (feature, cut, left, right), or a number for a leaf."""
    roots, features, cuts, left, right, values = [], [], [], [], [], []

    def add(tree: Any) -> int:
        index = len(features)
        is_leaf = not isinstance(tree, tuple)
        features.append(LEAF if is_leaf else tree[0])
        cuts.append(0 if is_leaf else tree[1])
        values.append(tree if is_leaf else 0)
        left.append(-1)
        right.append(-1)
        if not is_leaf:
            left[index], right[index] = add(tree[2]), add(tree[3])
        return index

    roots = [add(tree) for tree in trees]
    return Forest(
        num_inputs=num_inputs,
        num_outputs=more.pop("num_outputs", 1),
        roots=np.array(roots, dtype=np.int64),
        tree_outputs=np.array(more.pop("tree_outputs", [0] * len(trees)), dtype=np.int64),
        features=np.array(features, dtype=np.int32),
        cuts=np.array(cuts, dtype=np.float32),
        left=np.array(left, dtype=np.int32),
        right=np.array(right, dtype=np.int32),
        values=np.array(values, dtype=np.float64),
        directions=np.array(directions or np.zeros((0, 0)), dtype=np.float64),
        **more,
    )


def names(count: int) -> list[str]:
    return [f"n{index}" for index in range(count)]


def run(forest: Forest, rows: Any, dtype: type = np.float64, **more: Any) -> np.ndarray:
    outputs = more.pop("output_names", names(forest.num_outputs))
    variables = names(forest.num_inputs - len(more.get("conditions", ())))
    model = forest_to_onnx(forest, variables, outputs, kind="forest", classes=outputs, dtype=dtype, **more)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(["scores"], {"variables": np.asarray(rows, dtype=dtype)})[0]
    assert result.dtype == dtype
    return result


def sums(forest: Forest, rows: np.ndarray) -> np.ndarray:
    """Sums of the leaves by walking down every tree."""
    result = np.zeros((len(rows), forest.num_outputs))
    for event, row in enumerate(rows.astype(np.float32).astype(np.float64)):
        for tree, root in enumerate(forest.roots):
            node = root
            while forest.features[node] != LEAF:
                feature, cut = forest.features[node], float(forest.cuts[node])
                if feature <= FIRST_OBLIQUE:
                    direction = forest.directions[FIRST_OBLIQUE - feature]
                    value = direction[-1]
                    for factor, x in zip(direction[:-1], row, strict=True):
                        value += factor * x
                    goes_right = value > cut
                elif np.isnan(row[feature]) and len(forest.missing_right):
                    goes_right = forest.missing_right[node]
                else:
                    goes_right = row[feature] >= cut
                node = forest.right[node] if goes_right else forest.left[node]
            result[event, forest.tree_outputs[tree]] += forest.values[node]
    return result


@given(cut=FLOATS, beside=FLOATS)
@settings(deadline=None, max_examples=50)
def test_events_on_a_cut_go_right_and_their_neighbours_where_they_belong(cut: float, beside: float) -> None:
    forest = forest_of([(0, cut, -1.0, 1.0)], 1)
    edge = np.float32(cut)
    rows = np.array(
        [[edge], [np.nextafter(edge, np.float32(np.inf))], [np.nextafter(edge, np.float32(-np.inf))], [beside]]
    )
    expected = np.where(rows[:, 0].astype(np.float32) >= edge, 1.0, -1.0)
    np.testing.assert_array_equal(run(forest, rows)[:, 0], expected)
    np.testing.assert_array_equal(run(forest, rows, np.float32)[:, 0], expected)


def test_inputs_of_a_float64_graph_are_rounded_to_the_float32_that_the_cut_is() -> None:
    forest = forest_of([(0, 0.1, -1.0, 1.0)], 1)
    assert float(np.float32(0.1)) > 0.1
    assert run(forest, [[0.1]])[0, 0] == 1.0


#: ONNX Runtime leaves out the addition of a constant that is 0 as a float32, such as 1e-50.
FACTORS = st.floats(-5, 5).filter(lambda factor: factor == 0 or abs(factor) > 1e-30)


@given(
    factors=st.tuples(*[FACTORS] * 3),
    row=st.tuples(*[st.floats(-5, 5, width=32)] * 2),
)
@settings(deadline=None, max_examples=60)
def test_oblique_cuts_are_strict_to_the_last_bit(factors: tuple[float, ...], row: tuple[float, ...]) -> None:
    """Where the combination is a float32 itself, the event lies exactly on the cut: it goes left."""
    value = factors[2] + factors[0] * row[0]
    value = value + factors[1] * row[1]
    for cut in {np.float32(value), np.nextafter(np.float32(value), np.float32(-9)), np.float32(row[0])}:
        forest = forest_of([(FIRST_OBLIQUE, cut, -1.0, 1.0)], 2, directions=[list(factors)])
        assert run(forest, [row])[0, 0] == (1.0 if value > float(cut) else -1.0)


def test_an_event_exactly_on_an_oblique_cut_goes_left() -> None:
    forest = forest_of([(FIRST_OBLIQUE - 1, 1.5, -1.0, 1.0)], 2, directions=[[9, 9, 9], [0.5, 0.25, 0.25]])
    found = run(forest, [[2, 1], [2, np.nextafter(np.float32(1), np.float32(2))]])
    np.testing.assert_array_equal(found[:, 0], [-1, 1])


def test_nan_goes_left_and_infinity_to_its_side() -> None:
    forest = forest_of([(0, 0.0, -1.0, 1.0), (FIRST_OBLIQUE, 0.0, -10.0, 10.0)], 2, directions=[[1, 1, 0]])
    rows = [[np.nan, 0], [np.inf, 0], [-np.inf, 0], [np.inf, -np.inf]]
    np.testing.assert_array_equal(run(forest, rows)[:, 0], [-11, 11, -11, -9])


@pytest.mark.parametrize("link", ["identity", "tanh", "sigmoid", "softmax"])
def test_links_divisor_and_offsets(link: str) -> None:
    random = np.random.default_rng(3)
    trees = [(int(index % 2), float(random.normal()), *random.normal(size=2)) for index in range(12)]
    outputs = 3 if link == "softmax" else 1
    forest = forest_of(
        [*trees, 0.25],  # a tree of one leaf
        2,
        num_outputs=outputs,
        tree_outputs=[index % outputs for index in range(13)],
        link=link,
        divisor=1.7,
        offsets=random.normal(size=outputs),
    )
    rows = random.normal(size=(200, 2)).astype(np.float32)
    total = (sums(forest, rows) + forest.offsets) / 1.7
    expected = {
        "identity": lambda: total,
        "tanh": lambda: np.tanh(total),
        "sigmoid": lambda: expit(total),
        "softmax": lambda: softmax(total, axis=1),
    }[link]()
    np.testing.assert_allclose(run(forest, rows), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(run(forest, rows, np.float32), expected, rtol=2e-7, atol=6e-8)


def test_thousands_of_leaves_add_up_without_loss() -> None:
    """In float32 this sum would be wrong by far more than the last digit."""
    trees = [(0, 0.0, 1e-4, 0.1)] * 10_000
    forest = forest_of([1e4, *trees], 1)
    np.testing.assert_allclose(run(forest, [[-1.0], [1.0]])[:, 0], [10_001, 11_000], rtol=1e-12)
    np.testing.assert_array_equal(run(forest, [[-1.0], [1.0]], np.float32)[:, 0], np.float32([10_001, 11_000]))


def test_the_first_preselection_cut_that_holds_decides() -> None:
    """0.3 is no float32: the float beside it lies above, and the comparison is in double."""
    cuts = (
        PreselectionCut(0, False, 0.3, -1.0),
        PreselectionCut(0, False, 0.5, 1.0),
        PreselectionCut(1, True, 0.7, 5.0),
    )
    forest = forest_of([0.25], 2, preselection=cuts)
    rows = np.array([[0.2, 9], [0.4, 9], [0.6, 9], [0.6, 0], [0.3, 0], [0.5, 0]], dtype=np.float32)
    assert float(np.float32(0.3)) > 0.3
    np.testing.assert_array_equal(run(forest, rows)[:, 0], [-1, 1, 5, 0.25, 1, 0.25])


def test_the_weighted_median_is_a_mean_around_it() -> None:
    """Three of seven trees weigh more than half when sorted: window of 7 // 6 = 1 tree around them."""
    forest = forest_of(
        [7.0, 1.0, (0, 0.0, 3.0, 3.5), 4.0, 2.0, 6.0, 5.0],
        1,
        link="weighted_median",
        tree_weights=np.array([1.0, 1.0, 4.0, 1.0, 1.0, 1.0, 0.5]),
    )
    # sorted: 1 2 3 4 5 6 7; weights 1 1 4 …: half of 9.5 is exceeded by the third: mean of the 2nd to the 4th less one
    np.testing.assert_allclose(run(forest, [[-1.0]])[:, 0], np.mean([2.0, 3.0, 4.0]))
    np.testing.assert_allclose(run(forest, [[1.0]])[:, 0], np.mean([2.0, 3.5, 4.0]))


def test_missing_values_are_replaced_first() -> None:
    forest = forest_of([(0, 0.0, -1.0, 1.0)], 1)
    rows = [[np.nan], [np.inf], [-np.inf], [-5.0]]
    np.testing.assert_array_equal(run(forest, rows, missing=2.0)[:, 0], [1, 1, 1, -1])
    np.testing.assert_array_equal(run(forest, rows, np.float32, missing=-2.0)[:, 0], [-1, -1, -1, -1])


def test_one_probability_becomes_two_scores() -> None:
    forest = forest_of([(0, 0.0, -1.0, 1.0)], 1, link="sigmoid")
    found = run(forest, [[-1.0], [1.0]], output_names=["background", "signal"])
    np.testing.assert_allclose(found, [[expit(1), expit(-1)], [expit(-1), expit(1)]], rtol=1e-14)


def test_the_description_tells_what_the_model_is() -> None:
    forest = forest_of([(1, 0.0, -1.0, 1.0)], 3)
    model = forest_to_onnx(
        forest, ["a", "b"], ["s"], kind="xgboost", classes=["s"], missing=-9.0, conditions=["era"], record_hash="abc"
    )
    (text,) = [item.value for item in model.metadata_props if item.key == "ntupleml"]
    assert json.loads(text) == {
        "variables": {"variables": ["a", "b", "era"]},
        "outputs": ["scores"],
        "classes": ["s"],
        "kind": "xgboost",
        "conditions": ["era"],
        "missing": -9.0,
        "record_hash": "abc",
    }


def test_names_must_fit() -> None:
    forest = forest_of([(0, 0.0, -1.0, 1.0)], 2)
    with pytest.raises(ValueError, match="a forest of 2 inputs, but 1 names"):
        forest_to_onnx(forest, ["a"], ["s"], kind="forest", classes=["s"])
    with pytest.raises(ValueError, match="a forest of 1 outputs, but 2 names"):
        forest_to_onnx(forest, ["a", "b"], ["s", "t"], kind="forest", classes=["s", "t"])


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_random_forests_of_random_shapes(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    grid = random.normal(size=5).astype(np.float32)

    def tree(depth: int) -> Any:
        if depth == 0 or random.random() < 0.3:
            return float(random.normal())
        feature = int(random.choice([0, 1, 2, FIRST_OBLIQUE, FIRST_OBLIQUE - 1]))
        return (feature, float(random.choice(grid)), tree(depth - 1), tree(depth - 1))

    num_trees = int(random.integers(1, 6))
    outputs = int(random.integers(1, 4))
    trees = [tree(int(random.integers(0, 6))) for _ in range(num_trees)]
    forest = forest_of(
        trees,
        3,
        directions=random.normal(size=(2, 4)).tolist(),
        num_outputs=outputs,
        tree_outputs=random.integers(0, outputs, num_trees),
    )
    forest = replace(forest, missing_right=random.random(len(forest.features)) < 0.5)
    rows = random.choice([*grid, np.nan], (30, 3))
    np.testing.assert_allclose(run(forest, rows), sums(forest, rows), rtol=1e-12, atol=1e-14)
    # nodes that belong to no tree are left out
    spare = replace(
        forest,
        features=np.append(forest.features, np.int32(0)),
        cuts=np.append(forest.cuts, np.float32(0)),
        left=np.append(forest.left, np.int32(0)),
        right=np.append(forest.right, np.int32(0)),
        values=np.append(forest.values, 0.0),
        missing_right=np.append(forest.missing_right, True),
    )
    np.testing.assert_array_equal(run(spare, rows), run(forest, rows))


def test_the_operator_is_written_so_that_old_versions_of_onnx_runtime_read_it() -> None:
    """Up to 1.22 a root with a leaf and a node of the same number below it was taken for a leaf (issue 24679 there)."""
    stump, short = (0, 0.5, 1.0, 2.0), (1, 0.0, 3.0, (0, 0.0, 4.0, 5.0))
    for trees in ([short], [stump, short], [short, stump, short], [6.0, short], [short, 6.0, 7.0], [short] * 30):
        forest = forest_of(trees, 2)
        model = forest_to_onnx(forest, ["a", "b"], ["s"], kind="forest", classes=["s"])
        (node,) = [node for node in model.graph.node if node.op_type == "TreeEnsemble"]
        lists = {item.name: np.array(item.ints) for item in node.attribute if len(item.ints)}
        roots = lists["tree_roots"]
        ids = [lists[f"nodes_{side}nodeids"] for side in ("true", "false")]
        leafs = [lists[f"nodes_{side}leafs"] == 1 for side in ("true", "false")]
        assert not (ids[0][roots] == ids[1][roots]).any()
        used = np.concatenate([number[leaf] for number, leaf in zip(ids, leafs, strict=True)])
        assert len(np.unique(used)) == len(used)
        rows = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
        np.testing.assert_allclose(run(forest, rows), sums(forest, rows), rtol=1e-14)
