"""Layers on pairs and on neighbours against loops over objects, and what the safe reader refuses of them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import read_keras_file
from ntupleml.artifacts.keras_layers import LAYERS, OWN
from ntupleml.errors import NtuplemlError
from ntupleml.features.arrays import NUMPY
from ntupleml.features.pairs import pair_features
from ntupleml.models import GroupShape, Network, build_model
from ntupleml.models.encoders import encoder_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROWS, LENGTH, WIDTH = 4, 5, 6
RANDOM = np.random.default_rng(1)
MASK = (np.arange(LENGTH) < np.array([[0], [1], [3], [LENGTH]])).astype(np.float32)
VALUES = RANDOM.normal(size=(ROWS, LENGTH, WIDTH)).astype(np.float32) * MASK[..., np.newaxis]
VECTORS = RANDOM.uniform([1, -2, -np.pi, 0], [50, 2, np.pi, 5], (ROWS, LENGTH, 4)).astype(np.float32)
VECTORS *= MASK[..., np.newaxis]
EXISTING = [(row, i) for row in range(ROWS) for i in range(LENGTH) if MASK[row, i]]


def layer(name: str, **settings: Any) -> Any:
    from ntupleml.models import layers

    return getattr(layers, name)(**settings)


def delta_r(row: int, i: int, j: int) -> float:
    (_, eta, phi, _), (_, other_eta, other_phi, _) = VECTORS[row, i].astype(float), VECTORS[row, j].astype(float)
    return float(np.hypot(eta - other_eta, np.angle(np.exp(1j * (phi - other_phi)))))


def links(radius: float) -> NDArray[np.float32]:
    found = np.zeros((ROWS, LENGTH, LENGTH), np.float32)
    for row, i in EXISTING:
        for j in range(LENGTH):
            found[row, i, j] = MASK[row, j] and delta_r(row, i, j) < radius
    return found


def test_features_of_pairs_are_those_of_numpy_and_zero_without_objects() -> None:
    names = ["log_kt", "psi_product", "z"]
    found = np.asarray(layer("PairFeatures", features=names)([VECTORS, MASK]))
    expected = pair_features(NUMPY, VECTORS.astype(float), names)
    expected *= (MASK[:, :, None] * MASK[:, None])[..., None]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_links_within_a_radius() -> None:
    np.testing.assert_array_equal(layer("Adjacency", radius=2.0)([VECTORS, MASK]), links(2.0))
    np.testing.assert_array_equal(layer("Adjacency")([VECTORS, MASK]), links(100.0))
    assert 0 < links(2.0).sum() < links(100.0).sum()


def test_propagation_divides_by_both_numbers_of_links() -> None:
    linked = links(2.0)
    number = linked.sum(axis=-1)
    expected = np.zeros_like(VALUES)
    for row, i in EXISTING:
        for j in range(LENGTH):
            if linked[row, i, j]:
                expected[row, i] += VALUES[row, j] / np.sqrt(number[row, i] * number[row, j])
    np.testing.assert_allclose(layer("Propagation")([VALUES, linked]), expected, atol=1e-6)


def test_attention_by_scores_of_pairs() -> None:
    linked, heads = links(2.0), 2
    scores = RANDOM.normal(size=(ROWS, LENGTH, LENGTH, heads)).astype(np.float32)
    found = np.asarray(layer("PairAttention")([VALUES, scores, linked]))
    for row, i in EXISTING:
        for head in range(heads):
            part = slice(head * WIDTH // heads, (head + 1) * WIDTH // heads)
            shares = np.exp(scores[row, i, :, head]) * linked[row, i]
            expected = shares @ VALUES[row, :, part] / shares.sum()
            np.testing.assert_allclose(found[row, i, part], expected, atol=1e-5)


@pytest.mark.parametrize("neighbours", [1, 2, 7])
@pytest.mark.parametrize("angular", [False, True])
def test_nearest_neighbours(angular: bool, neighbours: int) -> None:
    given = VECTORS if angular else VALUES
    places = np.asarray(layer("Neighbours", neighbours=neighbours, angular=angular)([given, MASK]))
    for row, i in EXISTING:
        others = [j for j in range(LENGTH) if MASK[row, j] and j != i]
        others.sort(
            key=lambda j: delta_r(row, i, j) if angular else float(np.linalg.norm(VALUES[row, i] - VALUES[row, j]))
        )
        expected = (others + [-1] * neighbours)[:neighbours]
        assert places[row, i].tolist() == expected
    assert (places[0] == -1).all()


def test_of_equally_near_objects_the_first_counts() -> None:
    values = np.zeros((1, 4, 2), np.float32)
    places = np.asarray(layer("Neighbours", neighbours=2)([values, np.ones((1, 4), np.float32)]))
    assert places[0].tolist() == [[1, 2], [0, 2], [0, 1], [0, 1]]


def test_sums_and_pools_over_neighbours() -> None:
    other = RANDOM.normal(size=VALUES.shape).astype(np.float32)
    places = np.asarray(layer("Neighbours", neighbours=3)([VALUES, MASK]))
    edges = np.asarray(layer("NeighbourSums")([VALUES, other, places]))
    assert edges.shape == (ROWS, LENGTH, 3, WIDTH)
    pooled = np.asarray(layer("NeighbourPooling", modes=["mean", "max"])([edges, places]))
    for row, i in EXISTING:
        found = [int(j) for j in places[row, i] if j >= 0]
        sums = np.array([VALUES[row, i] + other[row, j] for j in found]).reshape(-1, WIDTH)
        np.testing.assert_allclose(edges[row, i, : len(found)], sums, atol=1e-6)
        expected = [sums.mean(axis=0), sums.max(axis=0)] if found else [np.zeros(WIDTH)] * 2
        np.testing.assert_allclose(pooled[row, i], np.concatenate(expected), atol=1e-6)


@pytest.mark.parametrize("pairs", [False, True])
def test_normalisation_sees_only_what_is_there(pairs: bool) -> None:
    """In training by mean and variance of the batch; momentum 0 keeps just these for later."""
    normalise = layer("MaskedBatchNormalization", momentum=0.0, epsilon=0.0)
    values = RANDOM.normal(3, 2, (ROWS, LENGTH, LENGTH, 2) if pairs else (ROWS, LENGTH, 2)).astype(np.float32)
    there = (MASK[:, :, None] * MASK[:, None] if pairs else MASK) > 0
    found = np.asarray(normalise([values, MASK], training=True))[there]
    expected = (values[there] - values[there].mean(axis=0)) / values[there].std(axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(np.asarray(normalise([values, MASK]))[there], expected, atol=1e-4)


def test_a_radius_cuts_the_graph() -> None:
    """Far objects change an object's neighbours' scores only within the radius."""
    network = Network(
        hidden=(), activation="relu", encoders={"jets": {"type": "graph_convolution", "radius": 1.0, "pool": ["sum"]}}
    )
    model = build_model(network, {"jets": GroupShape("objects", (None, WIDTH))}, 2, seed=1)
    hidden = model.layers[-1].input

    import keras

    pooled = keras.Model(model.inputs, hidden)
    values = RANDOM.normal(size=(3, 2, WIDTH)).astype(np.float32)
    values[1, 1] = values[2, 0] = 0
    values[2], values[1, 0], values[2, 0] = values[0], values[0, 0], values[0, 0]
    far = np.float32([[10, 0, 0, 0], [10, 3, 0, 0]])
    vectors = np.stack([far, far, far * [1, 0, 1, 1]]).astype(np.float32)
    mask = np.float32([[1, 1], [1, 0], [1, 1]])
    alone = np.asarray(pooled({"jets": values[:1, 1:], "jets_mask": mask[:1, :1], "jets_vectors": vectors[:1, 1:]}))
    both, first, near = np.asarray(pooled({"jets": values, "jets_mask": mask, "jets_vectors": vectors}))
    np.testing.assert_allclose(both, first + alone[0], atol=1e-5)
    assert np.abs(near - both).max() > 1e-3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "particle_transformer", "heads": 3}, "w: heads: 3 heads do not divide the width, 64"),
        ({"type": "graph_attention", "heads": 5}, "w: heads: 5 heads do not divide the width, 64"),
        (
            {"type": "particle_transformer", "pairs": ["log_delta_rr"]},
            "pairs.*no feature of pairs 'log_delta_rr'; nearest: 'log_delta_r'",
        ),
        ({"type": "graph_convolution", "radius": 0}, "w.radius: .*greater than 0"),
        ({"type": "edge_convolution", "neighbours": 0}, "w.neighbours: .*1"),
        ({"type": "edge_convolution", "hidden": [[]]}, "w.hidden"),
        ({"type": "lorentz_interaction", "pairs": []}, "w.pairs"),
        ({"type": "lorentz_interaction", "widht": 3}, "w.*widht"),
    ],
)
def test_what_a_config_may_not_say(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message) as error:
        encoder_of(settings, "objects", "w")
    assert "\n" not in str(error.value)


#: What is changed in a file: class of the layer, a setting and its value.
CRAFTED = [
    ("PairFeatures", "features", ["log_delta_rr"]),
    ("PairFeatures", "features", "log_kt"),
    ("PairFeatures", "features", ["kt"] * 101),
    ("PairFeatures", "features", [["kt"]]),
    ("PairFeatures", "features", []),
    ("Adjacency", "radius", -1.0),
    ("Adjacency", "radius", "1"),
    ("Neighbours", "neighbours", 10**6),
    ("Neighbours", "neighbours", 2.0),
    ("Neighbours", "angular", 1),
    ("MaskedBatchNormalization", "axis", 0),
    ("MaskedBatchNormalization", "momentum", 10),
    ("NeighbourPooling", "modes", ["median"]),
    ("NeighbourSums", "function", "os.system"),
    ("VectorFeatures", "features", ["px", "pw"]),
    ("VectorFeatures", "features", [["px"]]),
    ("VectorFeatures", "features", []),
    ("VectorFeatures", "features", "px"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of networks by the classes of the layers in them."""
    found = {}
    folder = tmp_path_factory.mktemp("pairs")
    for kind in ("edge_convolution", "graph_attention", "weighted_sum"):
        network = Network(hidden=(), activation="relu", encoders={"jets": {"type": kind}}, norm="batch")
        model = build_model(network, {"jets": GroupShape("objects", (None, 4))}, 2, seed=1)
        path = folder / f"{kind}.keras"
        model.save(path)
        found |= {type(one).__name__: path for one in model.layers}
    return found


@pytest.mark.parametrize(("kind", "key", "value"), CRAFTED)
def test_settings_in_a_file_are_bounded(
    files: dict[str, Path], tmp_path: Path, kind: str, key: str, value: Any
) -> None:
    read_keras_file(files[kind])
    crafted = tmp_path / "crafted.keras"
    with zipfile.ZipFile(files[kind]) as archive, zipfile.ZipFile(crafted, "w") as other:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                for one in config["config"]["layers"]:
                    if one["class_name"] == kind:
                        one["config"][key] = value
                content = json.dumps(config).encode()
            other.writestr(name, content)
    with pytest.raises(NtuplemlError, match=rf"crafted.keras: refused: .*{kind}") as error:
        read_keras_file(crafted)
    assert "\n" not in str(error.value)


N, A = (None, 4), (None,)
#: Shapes that do not fit, by the class of the layer.
MISFITS: list[tuple[str, list[Any]]] = [
    ("PairFeatures", [(None, 3), A]),
    ("PairFeatures", [N]),
    ("Adjacency", [N, (5,)]),
    ("Propagation", [N, (None, 5)]),
    ("PairSums", [N]),
    ("PairSums", [N, (None, 5)]),
    ("PairSums", [N, N, (None, None, 5)]),
    ("PairAttention", [N, (None, None, 3), (None, None)]),
    ("PairAttention", [N, (None, None, 2), (None, 5)]),
    ("PairAttention", [N, N, N]),
    ("Neighbours", [(None, 3), A]),
    ("NeighbourSums", [N, (None, 3), (None, 2)]),
    ("NeighbourSums", [N, N]),
    ("NeighbourPooling", [N, A]),
    ("MaskedPooling", [(None, 2, 4), (None, 3)]),
    ("VectorFeatures", [(None, 3), A]),
    ("VectorFeatures", [N]),
    ("MaskedBatchNormalization", [(None, 2, 4), A]),
    ("MaskedBatchNormalization", [N, N]),
]


@pytest.mark.parametrize(("kind", "shapes"), MISFITS)
def test_shapes_that_do_not_fit(kind: str, shapes: list[Any]) -> None:
    settings = {"features": ["kt"], "neighbours": 2, "angular": True, "modes": ["mean"]}
    with pytest.raises(ValueError, match=r"^(it gets .* needed|its .*heads)"):
        LAYERS[OWN + kind].shapes(settings, shapes)
