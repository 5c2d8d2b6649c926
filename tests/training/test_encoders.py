"""Every encoder from plain data to ONNX: built, trained, saved, read safely, exported, at any number of objects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import file_of_model, load_keras_model, read_keras_file
from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import Image, InputGroup, Objects
from ntupleml.features.making import FeatureMaker
from ntupleml.models import ENCODERS, GroupShape, Network, build_model
from ntupleml.onnx_models.graph_forms import NEWEST_OPSET, OLDEST_OPSET, with_opset
from ntupleml.onnx_models.keras_network import keras_to_onnx
from ntupleml.onnx_models.sessions import check_against_keras, new_session
from ntupleml.preprocessing import fit_scaler
from ntupleml.training.compiled_epoch import Block, EpochRunner

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    Batch = dict[str, NDArray[Any]]

LONGEST = 6
LENGTHS = np.array([0, 1, 3, LONGEST, 2, 0, 5, LONGEST])
OBJECTS, FIXED = GroupShape("objects", (None, 4)), GroupShape("objects", (LONGEST, 4))
IMAGE = GroupShape("image", (7, 6, 2))
#: Group and settings of its encoder, by what is special.
CASES: dict[str, tuple[GroupShape, dict[str, Any]]] = {
    "convolution": (IMAGE, {"filters": [3, 2], "kernel": 3, "pool": 2, "hidden": [5]}),
    "convolution, even kernel": (IMAGE, {"filters": [3], "kernel": 2, "pool": 1, "hidden": []}),
    "deep_set": (OBJECTS, {"hidden": [8, 5], "pool": ["sum", "mean", "max"]}),
    "deep_set, tanh": (OBJECTS, {"hidden": [5], "pool": ["max"], "activation": "tanh"}),
    "dense": (FIXED, {"hidden": [6]}),
    "dense, image": (IMAGE, {"hidden": [5, 4]}),
    "dense_convolution": (IMAGE, {"growth": 2, "kernel": 3, "layers": 2, "average": 3, "hidden": [5]}),
    "edge_convolution": (OBJECTS, {"neighbours": 2, "hidden": [[5, 4], [6]]}),
    "edge_convolution, more neighbours than objects": (
        OBJECTS,
        {"neighbours": 9, "hidden": [[4], [4, 4]], "dynamic": False, "aggregation": "max", "pool": ["sum"]},
    ),
    "graph_attention": (OBJECTS, {"layers": 2, "width": 6, "heads": 2}),
    "graph_attention, radius": (OBJECTS, {"layers": 1, "width": 3, "heads": 3, "radius": 2.0, "pairs": ["kt"]}),
    "graph_convolution": (OBJECTS, {"hidden": [5, 5]}),
    "graph_convolution, radius": (OBJECTS, {"hidden": [6], "radius": 2.0, "activation": "tanh"}),
    "hourglass": (IMAGE, {"filters": 3, "kernel": 3, "pool": [[1, 2], [7, 1]], "average": 1, "hidden": []}),
    "hourglass, no skips": (IMAGE, {"filters": 2, "kernel": 3, "pool": [[7, 3]], "skips": False, "reflected": True}),
    "lorentz_interaction": (OBJECTS, {"layers": 2, "width": 5}),
    "particle_transformer": (OBJECTS, {"layers": 1, "width": 6, "heads": 2, "pair_hidden": [4], "class_layers": 1}),
    "particle_transformer, norm after": (
        OBJECTS,
        {"layers": 2, "width": 4, "heads": 1, "pairs": ["psi_product", "cos_delta_phi"], "norm": "post"},
    ),
    "periodic_convolution": (IMAGE, {"filters": [3, 2], "kernel": [5, 3], "average": 2, "hidden": [5]}),
    "periodic_convolution, reflected": (IMAGE, {"filters": [3], "kernel": 3, "reflected": True, "constant": 0.5}),
    "recurrent": (OBJECTS, {"units": 5}),
    "recurrent, gru": (OBJECTS, {"cell": "gru", "units": 5, "filters": [4]}),
    "recurrent, convolution": (OBJECTS, {"filters": [4, 3], "kernel": 3, "units": 5}),
    "recurrent, all slots": (FIXED, {"filters": [4, 3], "units": 5, "masked": False, "last_dropout": True}),
    "recurrent, all slots of convolutions": (
        FIXED,
        {
            "filters": [4, 3],
            "kernel": 3,
            "units": 5,
            "cell": "gru",
            "layers": 2,
            "masked": False,
            "first_dropout": False,
        },
    ),
    "recurrent, several": (OBJECTS, {"filters": [4], "units": 5, "layers": 3, "first_dropout": False}),
    "residual": (FIXED, {"hidden": [8, 8, 5], "layers": 1}),
    "residual, attention": (
        FIXED,
        {"hidden": [12, 12], "attention": {"heads": 2, "tokens": 3, "after": 1, "hidden": 5}},
    ),
    "residual, image": (IMAGE, {"hidden": [6, 6]}),
    "residual_convolution": (IMAGE, {"filters": 3, "kernel": 3, "blocks": 1, "average": 4, "hidden": [5]}),
    "set_transformer": (OBJECTS, {"layers": 1, "width": 6, "heads": 2, "induced": 3}),
    "set_transformer, seeds": (
        OBJECTS,
        {"layers": 1, "width": 6, "heads": 3, "induced": 2, "seeds": 3, "norm": "pre", "hidden": 5},
    ),
    "transformer": (OBJECTS, {"layers": 2, "width": 8, "heads": 2}),
    "transformer, class token": (OBJECTS, {"layers": 1, "width": 6, "heads": 2, "pool": "class_token"}),
    "transformer, norm after": (OBJECTS, {"layers": 1, "width": 6, "heads": 3, "hidden": 5, "norm": "post"}),
    "weighted_sum": (OBJECTS, {"hidden": [5]}),
    "weighted_sum, biases": (OBJECTS, {"hidden": [5, 4], "bias": True, "activation": "tanh"}),
}
NUMBERS = GroupShape("numbers", (3,))
COLUMNS = ("pt", "eta", "phi", "mass")
#: Encoders whose scores do not depend on the order of the objects.
SYMMETRIC = [
    case for case in CASES if case.startswith(("deep", "edge", "graph", "lorentz", "part", "set", "trans", "weigh"))
]


def shapes_of(case: str) -> dict[str, GroupShape]:
    return {"event": NUMBERS, "jets": CASES[case][0]}


def build(case: str, seed: int = 3, num_outputs: int = 3, **options: Any) -> Any:
    settings = {"type": case.partition(",")[0], **CASES[case][1]}
    network = Network(hidden=(6,), activation="relu", encoders={"jets": settings}, **options)
    return build_model(network, shapes_of(case), num_outputs, seed)


def needs_vectors(case: str) -> bool:
    return ENCODERS[case.partition(",")[0]].needs_vectors


def groups_of(case: str) -> list[InputGroup]:
    group = CASES[case][0]
    objects = Objects(group.shape[0]) if group.kind == "objects" else None
    image = Image() if group.kind == "image" else None
    names = COLUMNS[: group.shape[-1]]
    return [InputGroup("event", ("x", "y", "z")), InputGroup("jets", names, objects=objects, image=image)]


def raw_batch(case: str, lengths: NDArray[np.int64], steps: int = LONGEST) -> Batch:
    """Raw inputs; each event depends on its place alone, and what is beyond its objects is no zero."""
    batch: Batch = {"event": np.random.default_rng(1).normal(5, 2, (len(lengths), 3)).astype(np.float32)}
    group = CASES[case][0]
    if group.kind == "image":
        size = (len(lengths), *group.shape)
        return {**batch, "jets": np.random.default_rng(2).exponential(2, size).astype(np.float32)}
    jets = np.random.default_rng(2).normal(3, 2, (max(len(lengths), 1), LONGEST + 3, 4)).astype(np.float32)
    if needs_vectors(case):  # pt, eta, phi, mass
        jets = np.abs(jets) * np.float32([30, 1, 1, 3]) - np.float32([0, 2, 3, 0])
    return {**batch, "jets": jets[: len(lengths), :steps], "jets_length": lengths.astype(np.int64)}


def scalers_of(case: str) -> dict[str, Any]:
    batch = raw_batch(case, LENGTHS)
    jets = batch["jets"][mask_of(batch) > 0] if "jets_length" in batch else batch["jets"].reshape(-1, 2)
    return {"event": fit_scaler("standard_scaler", batch["event"]), "jets": fit_scaler("robust_scaler", jets)}


def mask_of(batch: Batch) -> NDArray[np.float32]:
    steps = np.arange(batch["jets"].shape[1])
    return (steps < batch["jets_length"][:, np.newaxis]).astype(np.float32)


def scaled(case: str, batch: Batch) -> Batch:
    """What the network gets: scaled by scikit-learn, zero where no object is."""
    scalers = scalers_of(case)
    result = {"event": scalers["event"].transform(batch["event"]).astype(np.float32)}
    jets = batch["jets"]
    flat = scalers["jets"].transform(jets.reshape(-1, jets.shape[-1]).astype(np.float64))
    result["jets"] = flat.reshape(jets.shape).astype(np.float32)
    if "jets_length" in batch:
        result["jets_mask"] = mask_of(batch)
        result["jets"] *= result["jets_mask"][..., np.newaxis]
    if needs_vectors(case):
        result["jets_vectors"] = jets * result["jets_mask"][..., np.newaxis]
    return result


def with_random_weights(model: Any) -> Any:
    random = np.random.default_rng(5)
    model.set_weights(
        [
            random.uniform(0.3, 0.9, one.shape) * random.choice([-1, 1], one.shape) ** (one.ndim > 1)
            for one in model.get_weights()
        ]
    )
    return model


def export(case: str, path: Path, **options: Any) -> onnx.ModelProto:
    outputs = options.pop("outputs", ["one", "two", "three"])
    makers = {"jets": FeatureMaker(COLUMNS, COLUMNS)} if needs_vectors(case) else {}
    return keras_to_onnx(read_keras_file(path), scalers_of(case), groups_of(case), outputs, makers=makers, **options)


def run(graph: onnx.ModelProto, batch: Batch) -> NDArray[np.float32]:
    (scores,) = new_session(graph.SerializeToString()).run(["scores"], batch)
    return np.asarray(scores)


@pytest.mark.parametrize(
    ("case", "norm"),
    [(case, norm) for case in CASES for norm in ((None,) if "," in case else (None, "batch", "layer"))],
)
def test_from_plain_data_to_onnx(case: str, norm: str | None, tmp_path: Path) -> None:
    """The ONNX file gets raw events of any number of objects and gives what Keras gives for scaled, padded ones."""
    model = with_random_weights(build(case, norm=norm, dropout=0.2))
    model.save(tmp_path / "network.keras")
    graph = export(case, tmp_path / "network.keras")
    batch = raw_batch(case, LENGTHS)
    expected = np.asarray(model(scaled(case, batch), training=False))
    np.testing.assert_allclose(run(graph, batch), expected, atol=1e-5)
    read = load_keras_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(read(scaled(case, batch)), expected)
    assert run(graph, {name: values[:0] for name, values in batch.items()}).shape == (0, 3)
    if CASES[case][0].kind == "image":
        return
    for steps in (0, 1, 2, 4, LONGEST + 2):
        cut = raw_batch(case, np.minimum(LENGTHS, steps), steps)
        padded = raw_batch(case, np.minimum(LENGTHS, steps))
        np.testing.assert_allclose(run(graph, cut), model(scaled(case, padded), training=False), atol=1e-5)
        empty = {name: values[:0] for name, values in cut.items()}
        assert run(graph, empty).shape == (0, 3)


def test_every_encoder_is_tested() -> None:
    assert {case.partition(",")[0] for case in CASES} == set(ENCODERS)


@pytest.mark.parametrize("case", CASES)
def test_the_seed_decides_all_first_weights(case: str) -> None:
    first, again, other = (build(case, seed).get_weights() for seed in (7, 7, 8))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, two)
        assert set(np.unique(one)) <= {0, 1} or not (one == three).all()  # biases begin at 0 or 1


@pytest.mark.parametrize(
    "case",
    [
        *("convolution", "deep_set", "edge_convolution, more neighbours than objects"),
        *("hourglass", "recurrent, convolution", "recurrent, several", "residual, attention"),
    ],
)
def test_epochs_are_those_of_keras(case: str) -> None:
    """Compiled with XLA or without, as the layers say."""
    lengths = np.resize(LENGTHS, 70)
    inputs = scaled(case, raw_batch(case, lengths))
    random = np.random.default_rng(4)
    targets = np.eye(3, dtype=np.float32)[random.integers(0, 3, len(lengths))]
    weights = random.uniform(-0.2, 1.5, len(lengths)).astype(np.float32)
    orders = [random.permutation(len(lengths)).astype(np.int32) for _ in range(2)]
    ours, theirs = (build(case, norm="batch", optimizer="sgd") for _ in range(2))
    runner = EpochRunner(ours, 16)
    for order in orders:
        found = runner.train([Block(inputs, targets, order, weights[order])])
        chosen = {name: values[order] for name, values in inputs.items()}
        fitted = theirs.fit(
            chosen, targets[order], sample_weight=weights[order], batch_size=16, shuffle=False, verbose=0
        )
        assert found == pytest.approx({name: values[0] for name, values in fitted.history.items()}, rel=1e-4)
    for one, two in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=2e-5)
    block = Block(inputs, targets, np.arange(len(lengths), dtype=np.int32), weights)
    expected = theirs.evaluate(inputs, targets, sample_weight=weights, return_dict=True, verbose=0, batch_size=70)
    assert runner.evaluate([block]) == pytest.approx(expected, rel=1e-3)
    image = CASES[case][0] is IMAGE or "recurrent, convolution" in case
    assert runner.compiled == ("graph" if image else "xla")


@pytest.mark.parametrize("case", ENCODERS)
def test_the_same_seed_gives_the_same_bits(case: str) -> None:
    """Of two trainings with dropout; of three kinds of layers, each is compiled by itself."""
    lengths = np.resize(LENGTHS, 32)
    inputs = scaled(case, raw_batch(case, lengths))
    targets = np.eye(3, dtype=np.float32)[np.arange(32) % 3]
    block = Block(inputs, targets, np.arange(32, dtype=np.int32)[::-1].copy(), np.ones(32, np.float32))
    models = [build(case, dropout=0.3) for _ in range(2)]
    runner = EpochRunner(models[0], 16)
    first = runner.train([block])
    trained = models[0].get_weights()
    if case in ("convolution", "recurrent", "transformer"):
        runner = EpochRunner(models[1], 16)
    else:
        runner.serve(models[1])
    assert runner.train([block]) == first
    for one, two, before in zip(trained, models[1].get_weights(), build(case).get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
        assert np.isfinite(one).all()
        assert one.size < 3 or not (one == before).all()


@pytest.mark.parametrize("opset", [OLDEST_OPSET, 15, NEWEST_OPSET])
@pytest.mark.parametrize(
    "case", ["convolution", "deep_set", "recurrent, gru", "set_transformer", "transformer, class token"]
)
def test_operator_sets(case: str, opset: int, tmp_path: Path) -> None:
    """Networks on objects have a form from 15 on; before, one line says so."""
    with_random_weights(build(case)).save(tmp_path / "network.keras")
    graph = export(case, tmp_path / "network.keras")
    if opset < 15 and case != "convolution":
        with pytest.raises(NtuplemlError, match=f"^network: has no form in operator set {opset} .* nearer to 17$"):
            with_opset(graph, opset, "network")
        return
    batch = raw_batch(case, LENGTHS)
    np.testing.assert_allclose(run(with_opset(graph, opset), batch), run(graph, batch), atol=1e-6)


@pytest.mark.parametrize("case", ["convolution", "deep_set"])
@pytest.mark.parametrize("loss", ["mean_squared_error", "huber"])
def test_weighted_losses_of_values(loss: str, case: str) -> None:
    """The mean over the events of weight × loss, in the epochs compiled with XLA and without."""
    lengths = np.resize(LENGTHS, 40)
    inputs = scaled(case, raw_batch(case, lengths))
    random = np.random.default_rng(6)
    targets = random.normal(0, 2, (40, 2)).astype(np.float32)
    weights = random.uniform(-0.3, 2, 40).astype(np.float32)
    model = build(case, num_outputs=2, output="linear", loss=loss, optimizer="sgd", learning_rate=1e-30)
    away = np.abs(np.asarray(model(inputs)) - targets).astype(np.float64)
    assert away.min() < 1 < away.max()
    each = away**2 if loss == "mean_squared_error" else np.where(away < 1, away**2 / 2, away - 0.5)
    expected = (weights * each.mean(axis=1)).mean()
    runner = EpochRunner(model, 20)
    block = Block(inputs, targets, np.arange(40, dtype=np.int32), weights)
    assert runner.evaluate([block])["loss"] == pytest.approx(expected, rel=1e-4)
    assert runner.train([block])["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("case", SYMMETRIC)
def test_the_order_of_objects_does_not_count(case: str) -> None:
    model, batch = with_random_weights(build(case)), scaled(case, raw_batch(case, np.full(4, LONGEST)))
    turned = {name: values[:, ::-1] if name.startswith("jets") else values for name, values in batch.items()}
    np.testing.assert_allclose(model(batch), model(turned), atol=1e-5)


def attention_of_numpy(queries: Any, keys: Any, values: Any, mask: Any, bias: Any, heads: int) -> Any:
    """Attention event by event, query by query, head by head, over the objects that are there."""
    rows, number, width = queries.shape
    size = width // heads
    result = np.zeros(queries.shape)
    for row, query, head in np.ndindex(rows, number, heads):
        part = slice(head * size, (head + 1) * size)
        there = mask[row] > 0
        fit = keys[row, there, part] @ queries[row, query, part] / np.sqrt(size) + bias[row, query, there, head]
        if there.any():
            shares = np.exp(fit - fit.max())
            result[row, query, part] = shares @ values[row, there, part] / shares.sum()
    return result


@pytest.mark.parametrize("form", ["all filled", "mask", "bias", "with themselves"])
def test_cross_attention_is_its_formula(form: str) -> None:
    import keras
    from onnx import TensorProto, helper

    from ntupleml.models.layers import CrossAttention
    from ntupleml.onnx_models.graph import IR_VERSION, OPSET, GraphBuilder
    from ntupleml.onnx_models.keras_network import network_nodes

    rows, number, length, width, heads = 4, 3, 5, 6, 2
    random = np.random.default_rng(9)
    queries, keys, values = (random.normal(size=(rows, n, width)) for n in (number, length, length))
    mask, bias = np.ones((rows, length)), np.zeros((rows, number, length, heads))
    given = [queries, np.concatenate([keys, values], axis=2)]
    if form != "all filled":
        mask = (np.arange(length) < np.array([[0], [1], [3], [5]])).astype(float)
        given.append(mask)
    if form == "bias":
        bias = random.normal(size=bias.shape)
        given.append(bias)
    if form == "with themselves":
        own = [random.normal(size=queries.shape) for _ in range(2)]
        given[0] = np.concatenate([queries, *own], axis=2)
        keys, values = (np.concatenate(pair, axis=1) for pair in zip(own, (keys, values), strict=True))
        mask = np.concatenate([np.ones((rows, number)), mask], axis=1)
        bias = np.zeros((rows, number, number + length, heads))
    expected = attention_of_numpy(queries, keys, values, mask, bias, heads).reshape(rows, -1)
    inputs = [keras.Input(one.shape[1:], name=f"input_{place}") for place, one in enumerate(given)]
    model = keras.Model(inputs, keras.layers.Flatten()(CrossAttention(heads)(inputs)))
    found = model([one.astype(np.float32) for one in given])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    graph, file = GraphBuilder(), file_of_model(model)
    output = network_nodes(graph, file.network.input_names, file)
    types = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *one.shape[1:]])
        for name, one in zip(file.network.input_names, given, strict=True)
    ]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    written = helper.make_model(
        helper.make_graph(graph.nodes, "attention", types, outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    batch = {f"input_{place}": one.astype(np.float32) for place, one in enumerate(given)}
    (scores,) = new_session(written.SerializeToString()).run(None, batch)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_values_get_their_units_back(tmp_path: Path) -> None:
    model = with_random_weights(build("deep_set", num_outputs=2, output="linear", loss="huber"))
    model.save(tmp_path / "network.keras")
    target = TargetRecord(kind="values", values={"met_x": "x", "met_y": "y"}, mean=[10.0, -3.0], scale=[5.0, 0.1])
    graph = export("deep_set", tmp_path / "network.keras", outputs=["met_x", "met_y"], target=target)
    batch = raw_batch("deep_set", LENGTHS)
    expected = np.asarray(model(scaled("deep_set", batch))) * [5.0, 0.1] + [10.0, -3.0]
    np.testing.assert_allclose(run(graph, batch), expected, rtol=1e-5, atol=2e-5)
    assert check_against_keras(graph, model, scalers_of("deep_set"), batch, target=target) < 1e-4
    description = json.loads(new_session(graph.SerializeToString()).get_modelmeta().custom_metadata_map["ntupleml"])
    assert (description["target"], description["sequences"], description["images"]) == ("values", ["jets"], [])
    assert description["variables"] == {"event": ["x", "y", "z"], "jets": list(COLUMNS)}


@pytest.mark.parametrize("groups", [["event"], ["jets"], ["event", "jets"]])
def test_the_reconstruction_error_counts_what_is_there(groups: list[str], tmp_path: Path) -> None:
    sizes = {"event": 3, "jets": 4 * LONGEST}
    model = build(
        "dense", num_outputs=sum(sizes[name] for name in groups), output="linear", loss="masked_mean_squared_error"
    )
    with_random_weights(model).save(tmp_path / "network.keras")
    target = TargetRecord(kind="reconstruction", groups=groups)
    graph = export("dense", tmp_path / "network.keras", outputs=["reconstruction_error"], target=target)
    batch = raw_batch("dense", LENGTHS)
    inputs = scaled("dense", batch)
    given = np.asarray(model(inputs))
    expected = []
    for row, length in enumerate(LENGTHS):
        event, jets = inputs["event"][row], inputs["jets"][row, :length].ravel()
        found_event, found_jets = given[row, :3], given[row, -4 * LONGEST :][: 4 * length]
        squares = [(event - found_event) ** 2] if "event" in groups else []
        squares += [(jets - found_jets) ** 2] if "jets" in groups else []
        squares = np.concatenate(squares)
        expected.append([squares.mean() if len(squares) else 0.0])
    np.testing.assert_allclose(run(graph, batch), expected, rtol=1e-5, atol=2e-5)
    assert check_against_keras(graph, model, scalers_of("dense"), batch, target=target) < 1e-4
    from ntupleml.models.reconstruction import MaskedSquaredError, reconstruction_target

    wanted = reconstruction_target(inputs, groups)
    np.testing.assert_allclose(MaskedSquaredError(reduction=None)(wanted, given), np.ravel(expected), rtol=1e-5)
    weights = np.linspace(-1, 2, len(LENGTHS)).astype(np.float32)
    weighted = MaskedSquaredError()(wanted, given, sample_weight=weights)
    np.testing.assert_allclose(weighted, (np.ravel(expected) * weights).sum() / len(weights), rtol=1e-5)
