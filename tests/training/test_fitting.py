"""What a config says of the fit: settings of losses, clipping, weight decay, and classes that weigh the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ntupleml.config import ModelConfig, TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.models import Network, build_model, matrix, network_of
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.compiled_epoch import Block, EpochRunner
from ntupleml.training.data import MemoryData
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

EVENTS = 40


def block() -> Block:
    """Events in one batch, with weights of both signs."""
    random = np.random.default_rng(1)
    inputs = random.normal(size=(EVENTS, 3)).astype(np.float32)
    targets = np.eye(3, dtype=np.float32)[random.integers(0, 3, EVENTS)]
    weights = random.uniform(-0.5, 3.0, EVENTS).astype(np.float32)
    return Block(inputs, targets, np.arange(EVENTS, dtype=np.int32), weights)


def network(**keys: Any) -> Network:
    return network_of(ModelConfig.model_validate({"hidden": [5], "activation": "tanh", **keys}))


def after_one_step(**keys: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights before and after a step of gradient descent with the learning rate 0.5."""
    model = build_model(network(optimizer="sgd", learning_rate=0.5, **keys), matrix(3), 3, seed=4)
    before = flat(model)
    EpochRunner(model, EVENTS).train([block()])
    return before, flat(model)


def flat(model: Any) -> NDArray[np.float64]:
    return np.concatenate([weights.astype(np.float64).ravel() for weights in model.get_weights()])


def test_clipping_by_the_norm() -> None:
    before, after = after_one_step()
    gradient = (before - after) / 0.5
    norm = np.linalg.norm(gradient)
    assert norm > 0.1  # else nothing would be clipped
    before, after = after_one_step(clip_norm=0.01)
    np.testing.assert_allclose((before - after) / 0.5, gradient * 0.01 / norm, rtol=1e-3, atol=2e-6)
    assert np.linalg.norm(before - after) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_clipping_of_values() -> None:
    before, after = after_one_step()
    gradient = (before - after) / 0.5
    assert (np.abs(gradient) > 0.01).any()
    assert (np.abs(gradient) < 0.01).any()
    before, after = after_one_step(clip_value=0.01)
    np.testing.assert_allclose((before - after) / 0.5, gradient.clip(-0.01, 0.01), rtol=1e-3, atol=2e-6)


def test_weight_decay() -> None:
    """Decoupled: weights shrink by learning rate × decay, beside the step along the gradient."""
    before, plain = after_one_step()
    _, decayed = after_one_step(weight_decay=0.1)
    np.testing.assert_allclose(decayed, plain - 0.5 * 0.1 * before, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop"])
def test_weight_decay_of_other_optimisers(optimizer: str) -> None:
    with_decay, without = (
        build_model(network(optimizer=optimizer, learning_rate=0.5, weight_decay=decay), matrix(3), 3, seed=4)
        for decay in (0.1, 0.0)
    )
    before = flat(without)
    for model in (with_decay, without):
        EpochRunner(model, EVENTS).train([block()])
    np.testing.assert_allclose(flat(with_decay), flat(without) - 0.5 * 0.1 * before, rtol=1e-4, atol=1e-6)


def cross_entropy(targets: NDArray[Any], scores: NDArray[Any], smoothing: float = 0.0) -> NDArray[Any]:
    smooth = targets * (1 - smoothing) + smoothing / targets.shape[1]
    result: NDArray[Any] = -(smooth * np.log(scores)).sum(axis=1)
    return result


def focal(targets: NDArray[Any], scores: NDArray[Any], gamma: float, alpha: float) -> NDArray[Any]:
    result: NDArray[Any] = -(alpha * (1 - scores) ** gamma * targets * np.log(scores)).sum(axis=1)
    return result


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("categorical_crossentropy", cross_entropy),
        ({"type": "categorical_crossentropy", "label_smoothing": 0.2}, lambda y, p: cross_entropy(y, p, 0.2)),
        ("categorical_focal_crossentropy", lambda y, p: focal(y, p, 2.0, 0.25)),
        ({"type": "categorical_focal_crossentropy", "gamma": 1.5, "alpha": 1.0}, lambda y, p: focal(y, p, 1.5, 1.0)),
    ],
)
def test_losses_with_their_settings(loss: Any, expected: Callable[..., NDArray[Any]]) -> None:
    """The mean over the events, each times its weight."""
    model, events = build_model(network(loss=loss), matrix(3), 3, seed=4), block()
    scores = np.asarray(model(events.inputs), np.float64)
    wanted = np.mean(events.weights * expected(events.targets.astype(np.float64), scores))
    assert EpochRunner(model, EVENTS).evaluate([events])["loss"] == pytest.approx(wanted, rel=1e-4)


def test_the_width_of_huber() -> None:
    found = network_of(
        ModelConfig.model_validate({"hidden": [5], "loss": {"type": "huber", "delta": 0.5}}), target="values"
    )
    model, events = build_model(found, matrix(3), 3, seed=4), block()
    difference = np.abs(np.asarray(model(events.inputs), np.float64) - events.targets)
    values = np.where(difference < 0.5, difference**2 / 2, 0.5 * (difference - 0.25))
    wanted = np.mean(events.weights * values.mean(axis=1))
    assert EpochRunner(model, EVENTS).evaluate([events])["loss"] == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"loss": "focal"}, "model.loss: no loss 'focal'"),
        ({"loss": {"type": "mean_squared_error", "gamma": 1.0}}, "model.loss: unknown key 'gamma'"),
        ({"loss": {"type": "huber", "delta": 0.0}}, "model.loss.delta: found 0.0, but greater than 0 is needed"),
        (
            {"loss": {"type": "categorical_crossentropy", "smoothing": 0.1}},
            "model.loss: unknown key 'smoothing'; nearest: 'label_smoothing'",
        ),
    ],
)
def test_losses_that_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        network(**keys)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"clip_norm": 1.0, "clip_value": 1.0}, "clip_norm and clip_value stand side by side"),
        ({"name": "example", "hidden": None, "clip_norm": 1.0}, "is a network of the zoo, so clip_norm cannot be set"),
    ],
)
def test_keys_that_exclude_each_other(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig.model_validate({"hidden": [3]} | {key: value for key, value in keys.items() if key != "hidden"})


@pytest.fixture
def balanced(make_config: Callable[..., TrainingConfig]) -> TrainingConfig:
    """Three classes of 300, 500 and 700 events."""
    return make_config(classes=("sig", "bkg", "tt"), class_weights="balanced", model={"epochs": 1})


def training_sums(config: TrainingConfig, columns: Callable[..., Any]) -> NDArray[np.float64]:
    """Sums of the weights that train, by the division of scikit-learn."""
    weights = np.concatenate([columns(0, index, 300 + 200 * index)["weight"] for index in range(3)])
    classes = np.repeat([0, 1, 2], [300, 500, 700])
    training, _ = train_test_split(
        np.arange(1500), train_size=config.train_test_split, random_state=config.seed, shuffle=True
    )
    return np.bincount(classes[training], weights[training])


@pytest.mark.parametrize("stream", [False, True])
def test_balanced_classes_weigh_the_same(stream: bool, balanced: TrainingConfig) -> None:
    """Together as much as the events weigh, each class a third; events that validate have the same factors."""
    config = balanced.model_copy(update={"stream": stream, "global_weight_scale": 2.0})
    trees = class_trees(config, fold_files(config, 0, False))
    data: Any = (StreamedData if stream else MemoryData)(config, trees, 0, balanced=False, randomized=False)
    plain: Any = (StreamedData if stream else MemoryData)(
        config.model_copy(update={"class_weights": None}), trees, 0, balanced=False, randomized=False
    )

    def sums(blocks: Any) -> NDArray[np.float64]:
        return sum(np.asarray(one.targets)[one.order].T @ one.weights.astype(np.float64) for one in blocks)

    found, before = sums(data.training_blocks(1)), sums(plain.training_blocks(1))
    np.testing.assert_allclose(found, before.sum() / 3, rtol=1e-5)
    factors = [data.config.class_weights_of(None)[name] for name in config.classes]
    np.testing.assert_allclose(factors, before.sum() / 3 / before, rtol=1e-5)
    np.testing.assert_allclose(sums(data.validation_blocks()), sums(plain.validation_blocks()) * factors, rtol=1e-5)


def test_the_record_has_the_balanced_weights(balanced: TrainingConfig, columns: Callable[..., Any]) -> None:
    """Of networks and of trees; a training goes on by the word of the config."""
    config = balanced.model_copy(update={"boosted_trees": BDT.boosted_trees})
    sums = training_sums(config, columns)
    for record in (train_keras(config, [0])[0], train_boosted_trees(config, [0])[0]):
        weights = record.config["class_weights"]
        assert [weights[name] for name in config.classes] == pytest.approx(list(sums.sum() / 3 / sums))
    train_keras(config, [0], TrainingOptions(continue_training=True))


BDT = TrainingConfig.model_validate(
    {
        "datasets": ["0.root", "1.root"],
        "output_path": "out",
        "classes": ["a", "b"],
        "variables": ["x"],
        "boosted_trees": [{"name": "bdt", "rounds": 2}],
    }
)


@pytest.mark.parametrize("train", [train_keras, train_boosted_trees])
def test_a_negative_sum_cannot_be_balanced(
    train: Any,
    balanced: TrainingConfig,
    tmp_path: Path,
    fold_file: Callable[..., None],
    columns: Callable[..., dict[str, Any]],
) -> None:
    tables = {name: columns(0, index, 300) for index, name in enumerate(balanced.classes)}
    tables["tt"]["weight"] = np.where(np.arange(300) % 3, -1.0, 1.0)
    fold_file(tmp_path / "fold0.root", tables)
    message = r"fold0.root: class 'tt': the weights of its events that train sum to -\d+; class_weights: balanced needs"
    with pytest.raises(NtuplemlError, match=message):
        train(balanced.model_copy(update={"boosted_trees": BDT.boosted_trees}), [0])


def test_other_words_are_no_class_weights(make_config: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(ValueError, match="found 'equal', but a weight for each class is needed, or 'balanced'"):
        make_config(class_weights="equal")
    with pytest.raises(NtuplemlError, match="class_weights: 'balanced' has its numbers from a training"):
        make_config(class_weights="balanced").class_weights_of(None)
