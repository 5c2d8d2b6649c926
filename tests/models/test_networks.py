"""The zoo against the table of htt-ml's networks, networks of the config, and help with misspelt names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ntupleml.config import ModelConfig, TrainingConfig
from ntupleml.config.inputs import NumbersConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import ACTIVATIONS, LOSSES, OPTIMIZERS, ZOO, GroupShape, build_model, matrix, network_of
from ntupleml.models.zoo import ADJUSTABLE, network_of_zoo

# name: hidden, activation, l2 of hidden layers, dropout, loss, optimiser, as htt-ml's keras_models.py has them
TABLE: dict[str, tuple[tuple[int, ...], str, float, float, str, str]] = {
    "example": ((10,), "relu", 0, 0, "CategoricalCrossentropy", "Adam"),
    "smhtt_simple": ((100,), "tanh", 0, 0, "MeanSquaredError", "Nadam"),
    "smhtt_mt": ((300, 300, 300), "tanh", 1e-4, 0, "MeanSquaredError", "Nadam"),
    "smhtt_et": ((1000,), "tanh", 1e-4, 0, "MeanSquaredError", "Nadam"),
    "smhtt_tt": ((200, 200, 200), "tanh", 1e-4, 0, "MeanSquaredError", "Nadam"),
    "smhtt_legacy": ((300, 300, 300), "relu", 1e-4, 0, "MeanSquaredError", "Adam"),
    "smhtt_dropout": ((200, 200), "relu", 0, 0.5, "MeanSquaredError", "Nadam"),
    "smhtt_dropout_tanh": ((200, 200), "tanh", 1e-5, 0.3, "CategoricalCrossentropy", "Adam"),
    "smhtt_dropout_tanh_large": ((512, 512, 512, 512), "tanh", 1e-5, 0.3, "CategoricalCrossentropy", "Adam"),
    "nn1": ((128, 64, 32), "relu", 0, 0, "CategoricalCrossentropy", "Adam"),
    "nn2": ((128, 64, 32), "leaky_relu", 0, 0.2, "CategoricalCrossentropy", "Adam"),
}
# name: widths, parts of the residual networks' attention and numbers in their dense layers after it
NORMALISED: dict[str, tuple[list[int], int, int]] = {
    "nn3": ([256, 128, 64, 32, 16], 0, 0),
    "nn4": ([512, 512, 256, 128, 64, 32], 0, 0),
    "nn5": ([512, 512, 256, 128, 64, 32], 16, 64),
    "nn6": ([512, 512, 256, 128, 64, 32], 16, 128),
}


def layers_of(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def test_the_zoo_has_exactly_these_networks() -> None:
    assert set(ZOO) == {*TABLE, *NORMALISED, "hlt_autoencoder_small", *ADJUSTABLE}


@pytest.mark.parametrize("name", TABLE)
def test_network_of_the_zoo(name: str) -> None:
    """Widths, activations, regularisation, dropout, loss and optimiser, read back from the Keras model."""
    hidden, activation, l2, dropout, loss, optimizer = TABLE[name]
    model = build_model(network_of(ModelConfig(name=name)), matrix(5), 3, seed=1)
    *dense, scores = layers_of(model, "Dense")
    assert tuple(layer.units for layer in dense) == hidden
    assert {layer.activation.__name__ for layer in dense} == {activation}
    regularisers = [layer.kernel_regularizer for layer in dense]
    assert [float(one.l2) if one else 0.0 for one in regularisers] == pytest.approx([l2] * len(hidden))
    assert [layer.rate for layer in layers_of(model, "Dropout")] == [dropout] * (len(hidden) if dropout else 0)
    assert type(model.loss).__name__ == loss
    assert type(model.optimizer).__name__ == optimizer
    assert (scores.units, scores.activation.__name__) == (3, "softmax")
    assert model.input_shape == (None, 5)


@pytest.mark.parametrize("name", NORMALISED)
def test_networks_with_batch_normalisation(name: str) -> None:
    """Each weight is counted: of dense layers with their normalisation, of attention in parts, of its two norms."""
    widths, tokens, hidden = NORMALISED[name]
    model = build_model(network_of(ModelConfig(name=name)), matrix(5), 3, seed=1)
    expected = sum((before + 1 + 4) * after for before, after in zip([5, *widths], widths, strict=False))
    expected += (widths[-1] + 1) * 3
    if tokens:
        size = widths[1] // tokens
        expected += 4 * (size + 1) * size + (size + 1) * hidden + (hidden + 1) * size + 2 * 2 * size
    assert model.count_params() == expected
    assert len(layers_of(model, "BatchNormalization")) == len(layers_of(model, "Dropout")) - bool(tokens) == len(widths)
    assert len(layers_of(model, "Add")) == (1 if name != "nn3" else 0) + 2 * bool(tokens)
    assert [layer.heads for layer in layers_of(model, "CrossAttention")] == {"nn5": [1], "nn6": [8]}.get(name, [])


CALRATIO = {
    "clus": GroupShape("objects", (30, 12)),
    "track": GroupShape("objects", (20, 10)),
    "MSeg": GroupShape("objects", (30, 6)),
    "jet": GroupShape("numbers", (3,)),
}


def _lists_of_calratio(filters: dict[str, list[int]], units: dict[str, int], layers: int) -> int:
    """Weights of convolutions of kernel 1 and of LSTMs, each with a bias for its four gates."""
    number = 0
    for name, widths in filters.items():
        before = CALRATIO[name].shape[1] or 0
        for width in widths:
            number, before = number + (before + 1) * width, width
        for _ in range(layers):
            number, before = number + 4 * (before + units[name] + 1) * units[name], units[name]
    return number


@pytest.mark.parametrize("layers", [1, 3])
def test_calratio_with_the_settings_of_the_original(layers: int) -> None:
    """Each weight is counted, by default 60,067; where dropout and regularisation act, and what trains it."""
    filters = {"clus": [64, 32, 32, 16], "track": [8, 8], "MSeg": [32, 16, 8]}
    units = {"clus": 10, "track": 7, "MSeg": 5}
    settings = {"filters_cnn_track": [8, 8], "nodes_track_lstm": 7, "layers_list": layers, "hidden_layer_fraction": 0.3}
    settings |= {"reg_values": 1e-3, "dropout_array": 0.4, "lr_values": 2e-4}
    model = build_model(network_of_zoo("calratio", settings, "model"), CALRATIO, 3, seed=1)
    expected = _lists_of_calratio(filters, units, layers) + (25 + 1) * 153 + (153 + 1) * 19 + (19 + 1) * 3
    assert model.count_params() == expected
    assert build_model(ZOO["calratio"], CALRATIO, 3, seed=1).count_params() == 60_067
    dropouts = layers_of(model, "Dropout")
    after = [layer.input._keras_history.operation.name for layer in dropouts]
    assert {layer.rate for layer in dropouts} == {0.4}
    last = "lstm" if layers == 1 else f"lstm_{layers}"
    of_lists = [f"{name}.hidden_{n}" for name, widths in filters.items() for n in range(2, len(widths) + 1)]
    assert sorted(after) == sorted([*of_lists, *(f"{name}.{last}" for name in filters), "hidden_1", "hidden_2"])
    *others, scores = [layer for layer in model.layers if layer.weights]
    penalties = [[layer.kernel_regularizer.l1, layer.kernel_regularizer.l2] for layer in others]
    np.testing.assert_allclose(penalties, 1e-3)
    assert scores.kernel_regularizer is None
    assert (type(model.optimizer).__name__, type(model.loss).__name__) == ("Nadam", "CategoricalCrossentropy")
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-4)


def test_slots_without_objects_are_read_as_zeros_where_nothing_is_masked() -> None:
    """What the mask says does not count."""
    model = build_model(ZOO["calratio"], CALRATIO, 3, seed=1)
    random = np.random.default_rng(1)
    batch = {name: random.normal(size=(4, *group.shape)).astype(np.float32) for name, group in CALRATIO.items()}
    masks = {f"{name}_mask": np.ones((4, CALRATIO[name].shape[0]), np.float32) for name in ("clus", "track", "MSeg")}
    scores = np.asarray(model({**batch, **masks}))
    masks["clus_mask"] = np.zeros_like(masks["clus_mask"])
    np.testing.assert_array_equal(model({**batch, **masks}), scores)
    batch["clus"] = batch["clus"] * (np.arange(30) < 7)[:, np.newaxis]
    assert np.abs(np.asarray(model({**batch, **masks})) - scores).max() > 1e-3


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"name": "calratio", "settings": {"filters_cnn_tracks": [4]}},
            "unknown key 'filters_cnn_tracks'; nearest: 'f",
        ),
        ({"name": "calratio", "settings": {"layers_list": 0}}, "^model.settings.layers_list: "),
        ({"name": "calratio"}, "^model.name: 'calratio': no group of inputs 'clus'"),
        (
            {"name": "nn1", "settings": {"layers_list": 1}},
            "^model.settings: 'nn1' has none; leave them out, or take one of calr",
        ),
    ],
)
def test_settings_that_a_network_has_not(model: dict[str, Any], message: str) -> None:
    config = config_with(model, inputs=GROUPS)
    with pytest.raises(NtuplemlError, match=message):
        network_of(config.model, groups=config.groups)


def test_settings_need_a_name() -> None:
    with pytest.raises(ValueError, match="settings are those of a network of the zoo, but name is not given; name one"):
        ModelConfig(hidden=[3], settings={"layers_list": 1})


def test_a_network_of_the_zoo_takes_each_group() -> None:
    groups = {**GROUPS, "jets": {**GROUPS["jets"], "length": 3}}
    config = config_with({"name": "nn4"}, inputs=groups)
    network = network_of(config.model, groups=config.groups)
    assert {name: settings["type"] for name, settings in network.encoders.items()} == dict.fromkeys(groups, "residual")


def test_normalisation_is_of_the_batch_or_of_the_layer() -> None:
    assert network_of(ModelConfig(hidden=[3], batch_norm=True)).norm == "batch"
    assert network_of(ModelConfig(hidden=[3], norm="layer")).norm == "layer"
    with pytest.raises(ValueError, match="batch_norm: true is norm: batch, but norm is layer"):
        ModelConfig(hidden=[3], batch_norm=True, norm="layer")


def test_details_of_the_zoo() -> None:
    dropout_tanh = build_model(ZOO["smhtt_dropout_tanh"], matrix(5), 3, seed=1)
    assert float(dropout_tanh.optimizer.learning_rate) == pytest.approx(1e-4)
    assert float(layers_of(dropout_tanh, "Dense")[-1].kernel_regularizer.l2) == pytest.approx(1e-5)
    initialisers = [type(layer.kernel_initializer).__name__ for layer in layers_of(dropout_tanh, "Dense")]
    assert initialisers == ["GlorotNormal", "GlorotNormal", "GlorotUniform"]
    dropout = build_model(ZOO["smhtt_dropout"], matrix(5), 3, seed=1)
    assert type(dropout.layers[0].kernel_initializer).__name__ == "GlorotUniform"


def test_networks_of_the_zoo_take_another_learning_rate() -> None:
    for name in ("smhtt_dropout_tanh", "nn4", "nn2"):
        assert network_of(ModelConfig(name=name, learning_rate=0.02)).learning_rate == 0.02
        assert network_of(ModelConfig(name=name)).learning_rate == ZOO[name].learning_rate


def test_network_of_the_config() -> None:
    config = ModelConfig(
        hidden=[20, 10],
        activation="elu",
        dropout=0.2,
        l2=1e-3,
        batch_norm=True,
        loss="categorical_focal_crossentropy",
        optimizer="rmsprop",
        learning_rate=0.01,
    )
    model = build_model(network_of(config), matrix(4), 2, seed=1)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Dense", "BatchNormalization", "Activation", "Dropout"] * 2 + ["Dense"]
    assert type(model.loss).__name__ == "CategoricalFocalCrossentropy"
    assert type(model.optimizer).__name__ == "RMSprop"
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert model.layers[0].activation.__name__ == "linear"


def test_the_seed_decides_the_first_weights() -> None:
    network = ZOO["smhtt_tt"]
    first, again, other = (build_model(network, matrix(3), 2, seed).get_weights() for seed in (5, 5, 6))
    assert all((one == two).all() for one, two in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()
    assert not (first[2] == first[4]).all()  # two layers of the same shape


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"name": "smhtt_tanh_dropout"},
            "t.yaml: model.name: no network 'smhtt_tanh_dropout'; nearest: 'smhtt_",
        ),
        ({"hidden": [3], "activation": "rellu"}, "t.yaml: model.activation: no activation 'rellu'; nearest: 'relu'"),
        (
            {"hidden": [3], "loss": "crossentropy"},
            "t.yaml: model.loss: no loss 'crossentropy'; it is called 'categorical_crossentropy'",
        ),
        ({"hidden": [3], "optimizer": "Adam"}, "t.yaml: model.optimizer: no optimiser 'Adam'; nearest: 'adam'"),
    ],
)
def test_misspelt_names(model: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError) as error:
        network_of(ModelConfig(**model), "t.yaml: model")
    assert str(error.value).startswith(message)


GROUPS: dict[str, Any] = {
    "event": {"numbers": ["met"]},
    "jets": {"objects": ["Jet_pt", "Jet_eta"]},
    "calo": {"image": ["cells"]},
}


def config_with(model: dict[str, Any], **more: Any) -> TrainingConfig:
    common = {"datasets": ["a.root", "b.root"], "output_path": "out", "classes": ["a", "b"], "inputs": GROUPS}
    return TrainingConfig.model_validate({**common, "model": model, **more})


def test_groups_get_encoders_and_all_their_settings() -> None:
    config = config_with({"hidden": [5], "encoders": {"jets": {"hidden": [7], "pool": ["sum"]}}})
    network = network_of(config.model, groups=config.groups)
    assert set(network.encoders) == {"jets", "calo"}
    assert network.encoders["jets"] == {"type": "deep_set", "activation": None, "hidden": [7], "pool": ["sum"]}
    assert network.encoders["calo"]["type"] == "convolution"
    model = build_model(
        network,
        {
            "event": GroupShape("numbers", (1,)),
            "jets": GroupShape("objects", (None, 2)),
            "calo": GroupShape("image", (6, 4, 1)),
        },
        2,
        seed=1,
    )
    assert set(model.input) == {"event", "jets", "jets_mask", "calo"}
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize(
    ("target", "loss", "expected", "output"),
    [
        ("classes", None, "categorical_crossentropy", "softmax"),
        ("values", None, "mean_squared_error", "linear"),
        ("values", "huber", "huber", "linear"),
        ("reconstruction", None, "masked_mean_squared_error", "linear"),
    ],
)
def test_the_target_decides_loss_and_output(target: Any, loss: str | None, expected: str, output: str) -> None:
    config = ModelConfig.model_validate({"hidden": [5], **({"loss": loss} if loss else {})})
    network = network_of(config, target=target)
    assert (network.loss, network.output) == (expected, output)
    assert network_of(ModelConfig(name="smhtt_dropout_tanh"), target="values").loss == "mean_squared_error"


@pytest.mark.parametrize(
    ("encoders", "message"),
    [
        ({"jets": {"type": "deepset"}}, ".encoders.jets.type: no encoder 'deepset'; nearest: 'deep_set'"),
        ({"jets": {"hiden": [3]}}, ".encoders.jets: unknown key 'hiden'; nearest: 'hidden'"),
        ({"jets": {"hidden": [3, 0]}}, ".encoders.jets.hidden[1]: found 0, but greater than or equal to 1 is needed"),
        ({"jets": {"hidden": "3"}}, ".encoders.jets.hidden: found '3', but a valid list is needed"),
        ({"jets": {"pool": ["maximum"]}}, ".encoders.jets.pool[0]: found 'maximum', but 'sum', 'mean' or 'max' is"),
        ({"jets": {"activation": "rellu"}}, ".encoders.jets.activation: no activation 'rellu'; nearest: 'relu'"),
        ({"jets": {"type": "transformer", "width": 10, "heads": 4}}, ".encoders.jets: heads: 4 heads do not divide"),
        ({"jets": {"type": "convolution"}}, ".encoders.jets.type: 'convolution' is for image, but the group is of the"),
        (
            {"jets": {"type": "transformer", "pool": "token"}},
            ".encoders.jets.pool: found 'token', but 'mean' or 'class_token' is",
        ),
        ({"jets": {"type": "set_transformer", "induced": 0}}, ".encoders.jets.induced: found 0, but greater than or"),
        (
            {"event": {"type": "residual", "attention": {"tokens": 1}}},
            ".encoders.event.attention.tokens: found 1, but greater than or equal to 2 is",
        ),
        (
            {"event": {"type": "residual", "attention": {"after": 4}}},
            ".encoders.event: attention: after block 4, but there are 3",
        ),
        (
            {"event": {"type": "residual", "attention": {"tokens": 7}}},
            ".encoders.event: attention: 7 tokens do not divide the width of block 2, 128",
        ),
        (
            {"event": {"type": "residual", "attention": {"heads": 3}}},
            ".encoders.event: attention: 3 heads do not divide a token of 8 numbers",
        ),
        ({"event": {"type": "recurrent"}}, ".encoders.event.type: 'recurrent' is for objects, but the group is of the"),
    ],
)
def test_settings_of_encoders_that_do_not_fit(encoders: dict[str, Any], message: str) -> None:
    config = config_with({"hidden": [5], "encoders": encoders})
    with pytest.raises(NtuplemlError) as error:
        network_of(config.model, "t.yaml: model", config.groups)
    assert str(error.value).startswith(f"t.yaml: model{message}")
    assert "\n" not in str(error.value)


def test_names_and_losses_that_do_not_fit() -> None:
    with pytest.raises(NtuplemlError, match=r"inputs\.jets_mask: the model has something else of this name"):
        network_of(
            ModelConfig(hidden=[3]),
            groups={**config_with({"hidden": [3]}).groups, "jets_mask": NumbersConfig(numbers="x")},
        )
    with pytest.raises(
        NtuplemlError, match=r"model\.loss: 'binary_crossentropy' is no loss where the target is values"
    ):
        network_of(ModelConfig(hidden=[3], loss="binary_crossentropy"), target="values")
    network = network_of(
        ModelConfig(encoders={"jets": {"type": "dense"}}), groups={"jets": config_with({}).groups["jets"]}
    )
    with pytest.raises(NtuplemlError, match=r"takes a fixed number of objects; give inputs\.jets\.length"):
        build_model(network, {"jets": GroupShape("objects", (None, 2))}, 2, seed=1)


def test_everything_in_the_registries_exists_in_keras() -> None:
    import keras

    for name in ACTIVATIONS.values():
        assert keras.activations.get(name).__name__ == name
    for make_loss in LOSSES.values():
        assert isinstance(make_loss(), keras.losses.Loss)
    for make_optimizer in OPTIMIZERS.values():
        optimizer = make_optimizer(learning_rate=0.5)
        assert isinstance(optimizer, keras.optimizers.Optimizer)
        assert float(optimizer.learning_rate) == 0.5
