"""The zoo against the table of htt-ml's networks, networks of the config, and help with misspelt names."""

from __future__ import annotations

from typing import Any

import pytest

from ntupleml.config import ModelConfig, TrainingConfig
from ntupleml.config.inputs import NumbersConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import ACTIVATIONS, LOSSES, OPTIMIZERS, ZOO, GroupShape, build_model, matrix, network_of

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
}


def layers_of(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def test_the_zoo_has_exactly_these_networks() -> None:
    assert set(ZOO) == set(TABLE)


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


def test_details_of_the_zoo() -> None:
    dropout_tanh = build_model(ZOO["smhtt_dropout_tanh"], matrix(5), 3, seed=1)
    assert float(dropout_tanh.optimizer.learning_rate) == pytest.approx(1e-4)
    assert float(layers_of(dropout_tanh, "Dense")[-1].kernel_regularizer.l2) == pytest.approx(1e-5)
    initialisers = [type(layer.kernel_initializer).__name__ for layer in layers_of(dropout_tanh, "Dense")]
    assert initialisers == ["GlorotNormal", "GlorotNormal", "GlorotUniform"]
    dropout = build_model(ZOO["smhtt_dropout"], matrix(5), 3, seed=1)
    assert type(dropout.layers[0].kernel_initializer).__name__ == "GlorotUniform"


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
        ({"hidden": [3], "loss": "crossentropy"}, "t.yaml: model.loss: no loss 'crossentropy'; nearest: "),
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
