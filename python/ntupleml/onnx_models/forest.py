"""A forest of decision trees as ONNX operators, and as a whole model.

Everything between the inputs, rounded to float32, and the scores is computed in double: a cut then falls as in the
library that trained it, and thousands of leaves add up without loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import helper, numpy_helper

from ntupleml.forests.forest import FIRST_OBLIQUE, LEAF, trees_of_nodes
from ntupleml.onnx_models.contract import INPUT, ML_DOMAIN, OUTPUT, GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.forests import Forest

#: Operator set of trees whose sums are double; ONNX Runtime reads it since version 1.21.
FOREST_ML_OPSET = 5
#: Comparison of a node, in the numbers of the operator: x ≥ cut, which is false for NaN unless the node says otherwise.
_BRANCH_GTE = 2


def forest_to_onnx(
    forest: Forest,
    variables: Sequence[str],
    output_names: Sequence[str],
    *,
    kind: str,
    classes: Sequence[str],
    dtype: type[np.generic] = np.float32,
    missing: float | None = None,
    conditions: Sequence[str] = (),
    record_hash: str = "",
    description: Mapping[str, Any] | None = None,
) -> onnx.ModelProto:
    """Convert a forest to a model of its own.

    Parameters
    ----------
    forest : Forest
        Of as many inputs as there are variables and conditions.
    variables : sequence of str
        Names of the raw variables.
    output_names : sequence of str
        Names of the scores. Two of them for a forest of one output with the link ``sigmoid``, p, are (1 − p, p), as
        for networks: p is the probability of the second class.
    kind : str
        What the forest was made from: ``"xgboost"``, ``"forest"``, …
    dtype : type, default: float32
        Of inputs and scores: float32 or float64.
    missing : float, optional
        Value that replaces NaN and infinite inputs.
    conditions : sequence of str
        Names of inputs that follow the variables.
    record_hash : str
        Hash of the training's record, for the metadata.
    description : mapping of str, optional
        More for the metadata.

    Raises
    ------
    ValueError
        If the numbers of inputs or outputs do not fit the names.
    """
    names = [*variables, *conditions]
    if len(names) != forest.num_inputs:
        raise ValueError(f"a forest of {forest.num_inputs} inputs, but {len(names)} names")
    graph = GraphBuilder()
    value = INPUT if missing is None else graph.filled(INPUT, missing, dtype)
    scores = forest_nodes(graph, value, forest, dtype)
    if forest.num_outputs == 1 and len(output_names) == 2 and forest.link == "sigmoid":
        other = graph.add("Sub", graph.constant(1.0, dtype), scores)
        scores = graph.add("Concat", other, scores, axis=1)
    elif forest.num_outputs != len(output_names):
        raise ValueError(f"a forest of {forest.num_outputs} outputs, but {len(output_names)} names")
    graph.add("Identity", scores, output=OUTPUT)
    return contract_model(
        graph,
        {INPUT: GraphInput(names)},
        {OUTPUT: list(output_names)},
        classes=classes,
        kind=kind,
        dtype=dtype,
        ml_opset=FOREST_ML_OPSET,
        description={
            "conditions": list(conditions),
            "missing": missing,
            "record_hash": record_hash,
            **(description or {}),
        },
        doc="Scores of boosted decision trees from the raw variables.",
    )


def forest_nodes(graph: GraphBuilder, value: str, forest: Forest, dtype: type[np.generic] = np.float32) -> str:
    """Append a forest with its link and preselection; its inputs may be of another type than its result."""
    columns = graph.cast(graph.cast(value, np.float32), np.float64)
    compared = columns
    if len(forest.directions):
        compared = graph.add("Concat", columns, _combinations(graph, columns, forest), axis=1)
    result = _linked(graph, _trees(graph, compared, forest), forest)
    result = _preselected(graph, columns, result, forest)
    return graph.cast(result, dtype)


def _combinations(graph: GraphBuilder, columns: str, forest: Forest) -> str:
    """The linear combinations of oblique cuts, added up one input after the other as TMVA does, to the last bit."""
    total = graph.constant(forest.directions[None, :, -1])
    for feature in range(forest.num_inputs):
        column = graph.add("Gather", columns, graph.constant([feature], np.int64), axis=1)
        product = graph.add("Mul", column, graph.constant(forest.directions[None, :, feature]))
        total = graph.add("Add", total, product)
    return total


class _Structure(NamedTuple):
    """The nodes that can be reached: inner ones and leaves, numbered by the operator's two counts."""

    #: Numbers in the forest of the inner nodes and of the leaves.
    inner: NDArray[np.int64]
    leaves: NDArray[np.int64]
    #: Shape (n_nodes,). Position of each node among those of its sort.
    position: NDArray[np.int64]
    #: Shape (n_nodes,). Tree that each node belongs to.
    tree: NDArray[np.int64]


def _structure(forest: Forest) -> _Structure:
    tree = trees_of_nodes(forest)
    reached = tree >= 0
    is_leaf = forest.features == LEAF
    inner, leaves = np.flatnonzero(reached & ~is_leaf), np.flatnonzero(reached & is_leaf)
    position = np.empty(len(tree), dtype=np.int64)
    position[inner], position[leaves] = np.arange(len(inner)), np.arange(len(leaves))
    return _Structure(inner, leaves, position, tree)


def _trees(graph: GraphBuilder, compared: str, forest: Forest) -> str:
    """Sums of the leaves per output; for the weighted median, the outputs of the single trees."""
    nodes = _structure(forest)
    is_leaf = forest.features == LEAF
    features, cuts = _compared(forest, nodes.inner)
    right, left = forest.right[nodes.inner], forest.left[nodes.inner]
    # A tree that is a leaf becomes a node with that leaf on both sides, twice: ONNX Runtime 1.22 mixes it up as one.
    bare = np.flatnonzero(is_leaf[forest.roots])
    features, cuts = np.append(features, np.zeros_like(bare)), np.append(cuts, np.zeros(len(bare)))
    right, left = np.append(right, forest.roots[bare]), np.append(left, forest.roots[bare])
    roots = nodes.position[forest.roots]
    roots[bare] = len(nodes.inner) + np.arange(len(bare))

    leaves = np.append(nodes.leaves, forest.roots[bare])
    right_ids, left_ids = nodes.position[right], nodes.position[left]
    left_ids[len(nodes.inner) :] = len(nodes.leaves) + np.arange(len(bare))
    shift = _leaf_shift(right_ids[roots], left_ids[roots], is_leaf[right[roots]], is_leaf[left[roots]])
    leaves = np.append(np.repeat(leaves[:1], shift), leaves)
    single = forest.link == "weighted_median"
    targets = nodes.tree[leaves] if single else forest.tree_outputs[nodes.tree[leaves]]
    return graph.add(
        "TreeEnsemble",
        compared,
        domain=ML_DOMAIN,
        n_targets=forest.num_trees if single else forest.num_outputs,
        tree_roots=roots.tolist(),
        nodes_featureids=features.tolist(),
        nodes_splits=numpy_helper.from_array(cuts, "splits"),
        nodes_modes=numpy_helper.from_array(np.full(len(cuts), _BRANCH_GTE, dtype=np.uint8), "modes"),
        **_missing_values(forest, nodes.inner, len(bare)),
        nodes_truenodeids=(right_ids + shift * is_leaf[right]).tolist(),
        nodes_trueleafs=is_leaf[right].astype(np.int64).tolist(),
        nodes_falsenodeids=(left_ids + shift * is_leaf[left]).tolist(),
        nodes_falseleafs=is_leaf[left].astype(np.int64).tolist(),
        leaf_targetids=targets.tolist(),
        leaf_weights=numpy_helper.from_array(forest.values[leaves].astype(np.float64), "leaves"),
    )


def _missing_values(forest: Forest, inner: NDArray[np.int64], num_bare: int) -> dict[str, Any]:
    """Attribute that says where NaN goes to the right; none where it does nowhere."""
    if not len(forest.missing_right):
        return {}
    right = forest.missing_right[inner] & (forest.features[inner] >= 0)
    return {"nodes_missing_value_tracks_true": [*right.astype(np.int64).tolist(), *[0] * num_bare]}


def _leaf_shift(
    right: NDArray[np.int64], left: NDArray[np.int64], right_leaf: NDArray[np.bool_], left_leaf: NDArray[np.bool_]
) -> int:
    """Number of unused leaves to put first, so that no root has a leaf and a node of the same number below it.

    ONNX Runtime up to 1.22 takes such a root for a tree of one leaf (microsoft/onnxruntime#24679).
    """
    mixed = right_leaf != left_leaf
    differences = np.where(right_leaf, left - right, right - left)[mixed]
    free = np.setdiff1d(np.arange(len(differences) + 1), differences)
    return int(free[0])


def _compared(forest: Forest, inner: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Columns and cuts of the inner nodes: x > cut of oblique ones is x ≥ the next double."""
    features = forest.features[inner].astype(np.int64)
    cuts = forest.cuts[inner].astype(np.float64)
    oblique = features <= FIRST_OBLIQUE
    cuts = np.where(oblique, np.nextafter(cuts, np.inf), cuts)
    return np.where(oblique, forest.num_inputs + FIRST_OBLIQUE - features, features), cuts


def _linked(graph: GraphBuilder, sums: str, forest: Forest) -> str:
    if forest.link == "weighted_median":
        sums = _weighted_median(graph, sums, forest)
    if forest.offsets.any():
        sums = graph.add("Add", sums, graph.constant(forest.offsets[None, :]))
    if forest.divisor != 1:
        sums = graph.add("Div", sums, graph.constant(forest.divisor))
    if forest.link == "softmax":
        return graph.add("Softmax", sums, axis=1)
    if forest.link == "sigmoid":
        return _logistic(graph, sums, -1.0)
    if forest.link == "tanh":
        doubled = graph.add("Mul", graph.constant(2.0), _logistic(graph, sums, -2.0))
        return graph.add("Sub", doubled, graph.constant(1.0))
    return sums


def _logistic(graph: GraphBuilder, sums: str, factor: float) -> str:
    """1 / (1 + exp(factor · s))."""
    exponential = graph.add("Exp", graph.add("Mul", graph.constant(factor), sums))
    return graph.add("Div", graph.constant(1.0), graph.add("Add", graph.constant(1.0), exponential))


def _weighted_median(graph: GraphBuilder, answers: str, forest: Forest) -> str:
    """TMVA's AdaBoost.R2: mean of the trees' answers in a window around their weighted median.

    The answers are sorted; t of them are needed for more than half of all weights. With n trees the window reaches
    from t − ⌊n/6⌋ − 1 to before t + ⌊n/6⌋, within 0 and n (MethodBDT::GetRegressionValues).
    """
    num_trees = forest.num_trees
    count = graph.constant([num_trees], np.int64)
    # Equal answers stay in the order of the trees, as in TMVA's sorting.
    ordered, order = f"ordered_{len(graph.nodes)}", f"order_{len(graph.nodes)}"
    graph.nodes.append(helper.make_node("TopK", [answers, count], [ordered, order], axis=1, largest=0, sorted=1))
    weights = graph.add("Gather", graph.constant(forest.tree_weights), order)
    cumulative = graph.add("CumSum", weights, graph.constant(1, np.int64))
    half = float(sum(forest.tree_weights)) / 2
    beyond = graph.cast(graph.add("Greater", cumulative, graph.constant(half)), np.int32)
    needed = graph.add("Add", graph.add("ArgMax", beyond, axis=1), graph.constant(1, np.int64))
    places = graph.constant(np.arange(num_trees)[None, :], np.int64)
    first = graph.add("Sub", needed, graph.constant(num_trees // 6 + 1, np.int64))
    after = graph.add("Add", needed, graph.constant(num_trees // 6, np.int64))
    inside = graph.add("And", graph.add("GreaterOrEqual", places, first), graph.add("Less", places, after))
    share = graph.cast(inside, np.float64)
    total = graph.add("ReduceSum", graph.add("Mul", ordered, share), graph.constant([1], np.int64))
    return graph.add("Div", total, graph.add("ReduceSum", share, graph.constant([1], np.int64)))


def _preselected(graph: GraphBuilder, columns: str, result: str, forest: Forest) -> str:
    for cut in reversed(forest.preselection):  # the first that holds has the last word
        column = graph.add("Gather", columns, graph.constant([cut.feature], np.int64), axis=1)
        beyond = graph.add("Greater" if cut.above else "Less", column, graph.constant(cut.value))
        result = graph.add("Where", beyond, graph.constant(cut.response), result)
    return result
