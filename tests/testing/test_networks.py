"""Looking into networks: attention, what the last layer takes, and the loss around the trained weights."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA

from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup, Objects
from ntupleml.metrics.attention import AttentionPart, attention_map
from ntupleml.metrics.embedding import neighbourhoods, principal_components
from ntupleml.metrics.loss_landscape import filter_directions, loss_landscape
from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.onnx_models.contract import GraphInput, contract_model
from ntupleml.onnx_models.graph import GraphBuilder
from ntupleml.onnx_models.inner_values import (
    Attention,
    attention_values,
    before_last_layer,
    in_batches,
    inner_values,
    weights_as_inputs,
)
from ntupleml.onnx_models.sessions import new_session
from ntupleml.testing.attention import named_objects, on_axes
from ntupleml.testing.material import Material
from ntupleml.testing.networks import network_of
from ntupleml.testing.preparation import prepare
from ntupleml.testing.registry import STEPS

if TYPE_CHECKING:
    import onnx

WIDTH = 4


def network(seed: int = 1) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Attention of jets to one another, their sum beside numbers, a dense layer, and classes."""
    random = np.random.default_rng(seed)
    weights = {name: random.normal(size=size).astype("f4") for name, size in (("q", (2, WIDTH)), ("k", (2, WIDTH)))}
    weights |= {"hidden": random.normal(size=(4, 3)).astype("f4"), "out": random.normal(size=(3, 2)).astype("f4")}
    graph = GraphBuilder()
    of_heads = []
    for name in ("q", "k"):
        projected = graph.add("MatMul", "jets", graph.constant(weights[name], np.float32))
        parts = graph.add("Reshape", projected, graph.constant([0, 0, 2, WIDTH // 2], np.int64))
        of_heads.append(graph.add("Transpose", parts, perm=[0, 2, 1, 3]))
    fit = graph.add("MatMul", of_heads[0], graph.add("Transpose", of_heads[1], perm=[0, 1, 3, 2]))
    values = graph.add("Unsqueeze", "jets", graph.constant([1], np.int64))
    seen = graph.add("MatMul", graph.add("Softmax", fit, axis=-1), values)
    pooled = graph.add("ReduceMean", seen, axes=[1, 2], keepdims=0)
    joined = graph.add("Concat", "event", pooled, axis=1)
    bias = graph.constant([0.1, 0.2, 0.3], np.float32)
    hidden = graph.add("Relu", graph.add("Gemm", joined, graph.constant(weights["hidden"], np.float32), bias))
    graph.add("Softmax", graph.add("Gemm", hidden, graph.constant(weights["out"], np.float32)), output="scores", axis=1)
    inputs = {"event": GraphInput(["x", "y"]), "jets": GraphInput(["pt", "eta"], sequence=True)}
    return contract_model(graph, inputs, {"scores": ["a", "b"]}, classes=["a", "b"], kind="keras"), weights


def batch(number: int = 1100) -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    event, jets = random.normal(size=(number, 2)).astype("f4"), random.normal(size=(number, 3, 2)).astype("f4")
    return {"event": event, "jets": jets, "jets_length": np.full(number, 3)}


def test_attention_inside_a_graph() -> None:
    """Softmax of q·k of each head by NumPy; the scores of the classes are no attention."""
    graph, weights = network()
    (value,) = attention_values(graph)
    assert (value.inputs, value.is_masked, value.has_queries_of_inputs) == (("jets",), False, True)
    given = batch()
    found = np.concatenate([one[value.name] for one in inner_values(graph, [value.name], given)])
    queries, keys = (
        (given["jets"] @ weights[name]).reshape(-1, 3, 2, WIDTH // 2).transpose(0, 2, 1, 3) for name in ("q", "k")
    )
    np.testing.assert_allclose(found, softmax(queries @ keys.transpose(0, 1, 3, 2), axis=-1), atol=2e-6)


def test_what_the_last_layer_takes() -> None:
    graph, weights = network()
    name = before_last_layer(graph)
    assert name is not None
    given = batch()
    hidden, scores = (
        np.concatenate([one[key] for one in inner_values(graph, [name, "scores"], given)]) for key in (name, "scores")
    )
    assert hidden.shape == (1100, 3)
    np.testing.assert_allclose(softmax(hidden @ weights["out"], axis=1), scores, atol=1e-6)


def test_weights_become_inputs() -> None:
    """All four matrices, no bias; with other weights the scores are those of the other network."""
    graph, weights = network(1)
    opened, found = weights_as_inputs(graph)
    assert sorted(one.values.shape for one in found.values()) == [(2, 4), (2, 4), (3, 2), (4, 3)]
    other, other_weights = network(5)
    names = {
        name: key for name, one in found.items() for key, own in weights.items() if np.array_equal(one.values, own)
    }
    changed = {name: other_weights[key] for name, key in names.items()}
    given = batch()
    scores = [one["scores"] for one in in_batches(new_session(opened.SerializeToString()), ["scores"], given, changed)]
    expected = [one["scores"] for one in inner_values(other, ["scores"], given)]
    np.testing.assert_allclose(np.concatenate(scores), np.concatenate(expected), atol=1e-6)


def test_mean_attention_by_hand() -> None:
    """Two objects; the second event has the first alone, in another slot. Weights 3, 2 and −1."""
    attention = np.zeros((3, 1, 2, 2), "f4")
    attention[:, 0, 0, 0], attention[:, 0, 1, 1], attention[0, 0, 0, 1] = (0.2, 0.6, 0.4), (0.5, 0.9, 0.7), 0.8
    slots = np.array([[0, 1], [1, -1], [0, 1]])
    weights = np.array([3.0, 2.0, -1.0])
    found = attention_map(
        [AttentionPart(attention[rows], slots[rows], slots[rows], weights[rows]) for rows in ([0], [1, 2])]
    )
    mean = (3 * 0.2 + 2 * 0.9 - 0.4) / 4
    assert found.means[0, 0, 0] == pytest.approx(mean)
    spread = np.sqrt(9 * (0.2 - mean) ** 2 + 4 * (0.9 - mean) ** 2 + (0.4 - mean) ** 2) / 4
    assert found.uncertainties[0, 0, 0] == pytest.approx(spread)
    assert found.means[0, 0, 1] == pytest.approx(3 * 0.8 / 2)
    np.testing.assert_array_equal(found.events, [[3, 2], [2, 2]])
    nothing = attention_map([AttentionPart(attention[1:2], slots[1:2], slots[1:2], weights[1:2])])
    assert np.isnan(nothing.means[0, 0, 1])


JETS, LEARNT = ["jets 1", "jets 2"], ["learnt 1", "learnt 2", "learnt 3"]


@pytest.mark.parametrize(
    ("numbers", "is_masked", "of_inputs", "names"),
    [
        ((3, 3), True, True, (JETS, JETS)),
        ((3, 3), True, False, (LEARNT, JETS)),  # as many induced points as there are slots look at objects
        ((3, 3), False, True, (JETS, LEARNT)),  # and are looked at
        ((2, 3), True, False, (LEARNT[:2], JETS)),
        ((1, 4), True, False, (LEARNT[:1], [*LEARNT[:1], *JETS])),
    ],
)
def test_names_along_the_axes(
    numbers: tuple[int, int], is_masked: bool, of_inputs: bool, names: tuple[list[str], list[str]]
) -> None:
    group = InputGroup("jets", ("pt",), objects=Objects(3))
    objects = named_objects(group, np.zeros((2, 3, 1), "f4"), np.array([2, 1]))
    np.testing.assert_array_equal(objects.slots, [[0, 1], [0, -1]])
    value = Attention("softmax", ("jets",), is_masked, of_inputs)
    queries, keys = on_axes(objects, 3, value, numbers, masks=True)
    assert (queries.names, keys.names) == names
    if numbers == (1, 4):
        np.testing.assert_array_equal(keys.slots, [[0, 1, 2], [0, 1, -1]])


def test_principal_components_equal_scikit_learn() -> None:
    rows = np.random.default_rng(3).normal(size=(200, 5)) @ np.diag([3, 2, 1, 0.1, 0.01])
    found = principal_components(rows)
    assert not isinstance(found, Undefined)
    reference = PCA().fit(rows)
    np.testing.assert_allclose(found.shares, reference.explained_variance_ratio_, atol=1e-12)
    np.testing.assert_allclose(np.abs(found.points), np.abs(reference.transform(rows)[:, :2]), atol=1e-9)
    assert found.needed == 3
    assert principal_components(np.ones((5, 2))) == Undefined("all events have the same values")
    assert principal_components(np.ones((1, 2))) == Undefined("fewer than two events")


def test_neighbours_stay_neighbours() -> None:
    """Of four clouds far from one another, nearly all nearest neighbours are of the same cloud."""
    rows, truth = make_blobs(120, 6, centers=4, cluster_std=0.1, random_state=1)
    points = neighbourhoods(rows, 1)
    assert not isinstance(points, Undefined)
    distances = np.square(points[:, None] - points[None]).sum(axis=2) + np.diag(np.full(120, np.inf))
    assert (truth[distances.argmin(axis=1)] == truth).mean() > 0.95


def test_directions_are_as_large_as_the_weights() -> None:
    random = np.random.default_rng(7)
    weights = {"dense": (random.normal(size=(5, 3)).astype("f4"), -1), "filters": (random.random((4, 2, 3), "f4"), 0)}
    first, second = filter_directions(weights, 5)
    for name, (values, axis) in weights.items():
        others = tuple(one for one in range(values.ndim) if one != axis % values.ndim)
        for direction in (first, second):
            sizes = [np.sqrt(np.square(one).sum(axis=others)) for one in (direction[name], values)]
            np.testing.assert_allclose(*sizes, rtol=1e-5)
        assert not np.allclose(first[name], second[name])
        np.testing.assert_array_equal(filter_directions(weights, 5)[0][name], first[name])


def test_a_bowl() -> None:
    """Loss of each event c + (a − m)² + 4 b²: in its middle a good verdict, with the middle elsewhere not."""
    own = np.random.default_rng(1).normal(1, 0.1, 400)
    weights = np.random.default_rng(2).choice([2.0, -0.5], 400)
    found = loss_landscape(lambda a, b: own + a**2 + 4 * b**2, weights, 5)
    assert not isinstance(found, Undefined)
    np.testing.assert_allclose(found.steps, [-1, -0.5, 0, 0.5, 1])
    mean = float(weights @ own / weights.sum())
    expected = mean + np.square(found.steps)[:, None] + 4 * np.square(found.steps)[None]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-12)
    assert found.trained.value == pytest.approx(mean)
    assert (found.place, found.smallest, found.verdict.level) == ((0.0, 0.0), Measurement(0.0, 0.0), "good")
    moved = loss_landscape(lambda a, b: own * (1 + (a - 0.5) ** 2 + 4 * b**2), weights, 5)
    assert not isinstance(moved, Undefined)
    assert moved.place == (0.5, 0.0)
    assert moved.smallest.value == pytest.approx(-0.25 * mean)
    assert moved.verdict.level == "attention"
    assert loss_landscape(lambda _a, _b: own, -np.ones(400), 5) == Undefined("sum of weights is negative")


def test_steps_of_a_small_analysis(analysis: Any) -> None:
    """A network of two numbers and one layer: it takes the numbers themselves, and its loss is that of the scores."""
    analysis.write_configs()
    preparation = prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "0")
    embedding = STEPS["embedding"](preparation).pictures["embedding"]
    assert embedding.numbers["width"] == 2
    landscape = STEPS["loss-landscape"](preparation, points=3)
    (found,) = landscape.numbers.values()
    events = network_of(Material(preparation), 1_000).events
    losses = -np.log(events.scores["keras"][np.arange(len(events)), events.truth].astype("f8"))
    assert found.trained.value == pytest.approx(events.weights @ losses / events.weights.sum(), rel=1e-5)
    assert landscape.figure().axes
    with pytest.raises(NtuplemlError, match=r"^keras: the network of model 0 has no attention"):
        STEPS["attention"](preparation)
    with pytest.raises(NtuplemlError, match=r"^xgboost: no network, whose layers could be looked into"):
        STEPS["embedding"](replace(preparation, methods=["xgboost"]))
