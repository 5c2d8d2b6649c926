"""Scores that must not depend on formulas: the penalty against NumPy, a step by its formula, what trainings reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ntupleml.artifacts import load_keras_model, model_files
from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.distance_correlation import Distances, distances
from ntupleml.metrics.distance_correlation import distance_correlation as unbiased
from ntupleml.models import Network, build_model, matrix
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.data import MemoryData
from ntupleml.training.decorrelated_model import DecorrelatedModel, distance_correlation
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def by_hand(first: NDArray[Any], second: NDArray[Any], weights: NDArray[Any]) -> float:
    """From doubly centred matrices, in double precision."""
    shares = weights / weights.sum()
    both = np.outer(shares, shares)

    def centred(values: NDArray[Any]) -> NDArray[Any]:
        distance = abs(values[:, None] - values[None])
        row = distance @ shares
        return distance - row[:, None] - row[None] + shares @ row

    one, other = centred(first), centred(second)
    size = np.sqrt((both * one * one).sum() * (both * other * other).sum())
    return float((both * one * other).sum() / size)


def found(first: NDArray[Any], second: NDArray[Any], weights: NDArray[Any]) -> float:
    return float(distance_correlation(*(tf.constant(one, tf.float32) for one in (first, second, weights))))


@given(st.integers(0, 1000), st.sampled_from([3, 20, 150]), st.floats(0, 1), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_penalty_is_its_formula(seed: int, number: int, share: float, negative: bool) -> None:
    random = np.random.default_rng(seed)
    first = random.normal(size=number)
    second = 100 * (share * first + (1 - share) * random.exponential(size=number))
    weights = random.uniform(0.1, 2, number) * np.where(random.random(number) < 0.05 * negative, -1, 1)
    assert found(first, second, weights) == pytest.approx(by_hand(first, second, weights), abs=2e-4)


def test_the_penalty_is_the_metric_of_many_events() -> None:
    """The metric is without bias, which is about 1/n; equal quantities give 1, weights act as repeated rows."""
    random = np.random.default_rng(4)
    first = random.normal(size=1500)
    for share in (0.0, 0.3, 1.0):
        second = share * first**2 + random.normal(size=1500)
        weights = random.uniform(0.5, 1.5, 1500)
        both = [distances(one, weights) for one in (first, second)]
        assert isinstance(both[0], Distances)
        assert isinstance(both[1], Distances)
        assert found(first, second, weights) == pytest.approx(unbiased(*both).squared.value, abs=5 / 1500)
    assert found(first, -3 * first, np.ones(1500)) == pytest.approx(1, abs=1e-5)
    some, twice = first[:40], np.repeat(first[:40], 2)
    other = some + random.normal(size=40)
    assert found(some, other, np.full(40, 2.0)) == pytest.approx(
        found(twice, np.repeat(other, 2), np.ones(80)), abs=1e-5
    )


@pytest.mark.parametrize("weights", [np.ones(5), np.zeros(5)], ids=["equal scores", "no weights"])
def test_nothing_to_compare_gives_0_and_no_slope(weights: NDArray[Any]) -> None:
    scores = tf.Variable(np.ones(5, "f4"))
    with tf.GradientTape() as tape:
        penalty = distance_correlation(scores, tf.range(5.0), tf.constant(weights, tf.float32))
    assert float(penalty) == 0
    np.testing.assert_array_equal(tape.gradient(penalty, scores), np.zeros(5))


def test_a_step_is_its_formula() -> None:
    """w − η ∇(L + α Σ dCorr) with dCorr of rows that count alone; L and the metrics are those of the network."""
    network = build_model(
        Network(hidden=(5,), activation="tanh", l2=0.01, optimizer="sgd", learning_rate=0.1), matrix(3), 2, 3
    )
    model = DecorrelatedModel(network, lambda _, scores: scores[:, 1:], 2, 3.0)
    random = np.random.default_rng(1)
    inputs, numbers = random.normal(size=(40, 3)).astype("f4"), random.normal(size=(40, 2)).astype("f4")
    learnt, counts = np.eye(2)[random.integers(0, 2, 40)].astype("f4"), random.integers(0, 2, 40).astype("f4")
    weights = random.uniform(0.1, 1, 40).astype("f4")
    variables = list(network.trainable_variables)
    with tf.GradientTape() as tape:
        scores = network(inputs)
        entropy = -tf.reduce_sum(learnt * tf.math.log(scores), axis=1)
        loss = tf.reduce_mean(weights * entropy) + 0.01 * tf.reduce_sum(network.layers[0].kernel ** 2)
        rows = np.flatnonzero(counts)
        taken = (tf.gather(scores[:, 1], rows), weights[rows])
        penalty = tf.add_n([distance_correlation(taken[0], numbers[rows, one], taken[1]) for one in range(2)])
        total = loss + 3 * penalty
    expected = [variable - 0.1 * one for variable, one in zip(variables, tape.gradient(total, variables), strict=True)]
    results = model.train_step((inputs, np.column_stack([learnt, numbers, counts]), weights))
    for variable, wanted in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable, wanted, rtol=1e-4, atol=1e-6)
    assert float(results["loss"]) == pytest.approx(float(total), rel=1e-5)
    assert float(results["distance_correlation"]) == pytest.approx(float(penalty), rel=1e-5)
    assert set(results) == {"loss", "accuracy", "distance_correlation"}


def rows_of(seed: int, number: int = 400) -> dict[str, NDArray[Any]]:
    """The error of `wide` is what `size` says; nothing else depends on it."""
    random = np.random.default_rng(seed)
    size = random.exponential(1.0, number)
    return {
        "wide": (size * random.choice([-1, 1], number)).astype("f4"),
        "other": random.normal(size=number).astype("f4"),
        "size": size,
        "holes": np.where(random.random(number) < 0.5, np.nan, size),
        "weight": random.uniform(0.5, 1.5, number),
    }


@pytest.fixture
def make(tmp_path: Path, fold_file: Callable[..., None]) -> Callable[..., TrainingConfig]:
    for fold in range(2):
        fold_file(tmp_path / f"fold{fold}.root", {"bkg": rows_of(fold), "sig": rows_of(fold + 10)})

    def made(**keys: Any) -> TrainingConfig:
        model = {"hidden": [6], "activation": "tanh", "batch_size": 100, "epochs": 3, **keys.pop("model", {})}
        content: dict[str, Any] = {
            "datasets": [str(tmp_path / f"fold{fold}.root") for fold in range(2)],
            "output_path": str(tmp_path / "out"),
            "classes": ["bkg"],
            "event_weights": "weight",
            "variables": ["wide", "other"],
            "target": {"reconstruction": "all"},
            "seed": 5,
            "model": model,
            "decorrelation": {"of": "size"},
        }
        return TrainingConfig.model_validate({**content, **keys})

    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile epochs without XLA, which takes seconds."""
    monkeypatch.setattr("ntupleml.training.compiled_epoch.is_slow_in_xla", lambda _: True)


def test_scores_of_a_reconstruction_forget_a_formula(make: Callable[..., TrainingConfig]) -> None:
    """What is left in the validation is less than half of that without, and the record says it."""
    model = {"hidden": [6], "latent": {"size": 1, "activation": "linear"}, "epochs": 25, "learning_rate": 0.01}
    left = []
    for strength in (0.0, 10.0):
        config = make(model=model, decorrelation={"of": ["size"], "strength": strength})
        (record,) = train_keras(config, [0], TrainingOptions(overwrite=True))
        history = record.history["val_distance_correlation"]
        assert record.best_epoch is not None
        left.append(history[record.best_epoch - 1])
        assert record.decorrelation == {
            "of": ["size"],
            "strength": strength,
            "scores": ["reconstruction_error"],
            "classes": ["bkg"],
            "val_distance_correlation": left[-1],
        }
        assert record.epochs_compiled == "xla"
    # of the files: rows that validate, in one batch
    network = load_keras_model(model_files(config.output_path, 0).model)
    (block,) = loaded(config, MemoryData).validation_blocks()
    given, targets = np.asarray(network(block.inputs), "f8"), np.asarray(block.targets, "f8")
    errors = ((given[:, :2] - targets[:, :2]) ** 2).mean(axis=1)
    assert left[1] == pytest.approx(by_hand(errors, targets[:, 4], block.weights.astype("f8")), rel=1e-3)
    assert left[1] < 0.5 * left[0]


def loaded(config: TrainingConfig, kind: type[MemoryData | StreamedData]) -> MemoryData | StreamedData:
    return kind(config, class_trees(config, fold_files(config, 0, False)), 0, balanced=False, randomized=False)


@pytest.mark.parametrize("kind", [MemoryData, StreamedData])
def test_targets_have_the_formulas_of_rows_that_count(make: Callable[..., TrainingConfig], kind: Any) -> None:
    """Scaled by mean and width of the rows that train; others may have NaN there, and stand as zeros."""
    config = make(
        target=None,
        classes=["bkg", "sig"],
        decorrelation={"of": ["size", "size*wide"], "classes": ["bkg"], "scores": ["sig"]},
    )
    data = loaded(config, kind)
    parts = list(data.training_blocks(1))
    targets = np.concatenate([np.asarray(part.targets)[part.order] for part in parts])
    inputs = np.concatenate([np.asarray(part.inputs)[part.order] for part in parts])
    scaler = data.preparation.scalers["variables"]
    wide = inputs[:, 0] * scaler.scale_[0] + scaler.mean_[0]
    counted = targets[:, -1] == 1
    np.testing.assert_array_equal(counted, targets[:, 0] == 1)
    for values, raw in ((targets[:, 2], abs(wide)), (targets[:, 3], abs(wide) * wide)):
        chosen = raw[counted]
        np.testing.assert_allclose(values[counted], (chosen - chosen.mean()) / chosen.std(), rtol=1e-3, atol=1e-3)
        assert (values[~counted] == 0).all()


@pytest.mark.usefixtures("quick")
def test_going_on_gives_the_same_bits(make: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """2 + 2 epochs are 4, with dropout; NaN of a class that does not count is no error."""
    config = make(
        target=None,
        classes=["sig", "bkg"],
        decorrelation={"of": ["size"], "classes": ["bkg"], "scores": ["sig"]},
        model={"dropout": 0.2, "epochs": 4},
    )
    (whole,) = train_keras(config.model_copy(update={"output_path": str(tmp_path / "whole")}), [0])
    shorter = config.model.model_copy(update={"epochs": 2})
    train_keras(config.model_copy(update={"model": shorter}), [0])
    (record,) = train_keras(config, [0], TrainingOptions(continue_training=True))
    for name in whole.history.keys() - {"seconds"}:
        assert record.history[name] == whole.history[name], name
    assert {"distance_correlation", "val_accuracy"} <= whole.history.keys()
    other = make(model={"epochs": 5}, decorrelation={"of": ["size"], "strength": 3})
    with pytest.raises(NtuplemlError, match=r"--continue: .* was .* and is .* now"):
        train_keras(other, [0], TrainingOptions(continue_training=True))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"decorrelation": {"of": ["size"], "scores": ["kl"]}}, "decorrelation.scores: no score 'kl'"),
        (
            {"decorrelation": {"of": ["size"], "classes": ["bgk"]}},
            "decorrelation.classes: no class 'bgk'; nearest: 'bkg'",
        ),
        ({"decorrelation": {"of": []}}, "at least 1"),
        (
            {"classes": ["bkg", "sig"], "target": None, "adversary": {"against": ["size"]}},
            "adversary and decorrelation stand side by side",
        ),
    ],
)
def test_configs_that_are_refused(make: Callable[..., TrainingConfig], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as error:
        make(**keys)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"decorrelation": {"of": ["holes"]}}, "decorrelation.of: 'holes' is NaN or infinite in "),
        ({"decorrelation": {"of": ["0*size+3"]}}, "decorrelation.of: '0*size+3' is 3 in all rows, so no score depends"),
        ({"decorrelation": {"of": ["sise"]}}, "no branch 'sise'"),
        ({"model": {"batch_size": 300}}, "decorrelation: all pairs of a batch are compared, and a batch has 300 rows;"),
    ],
)
def test_trainings_that_are_refused(
    make: Callable[..., TrainingConfig], keys: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ntupleml.training.decorrelation.LARGEST_BATCH", 200)
    with pytest.raises(NtuplemlError) as error:
        train_keras(make(**keys), [0])
    assert message in str(error.value)
