"""Training against an adversary: steps by formula, what it reaches, going on, the best epoch, what is refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from ntupleml.artifacts import load_keras_model, model_files, read_record
from ntupleml.config import TrainingConfig
from ntupleml.config.adversary import AdversaryConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.datasets.splitting import split_events
from ntupleml.errors import NtuplemlError
from ntupleml.metrics.two_samples import TwoSampleTest, kolmogorov_smirnov
from ntupleml.models import Network, build_model, matrix
from ntupleml.preprocessing import load_preprocessing
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.adversarial_model import SMALLEST_SCORE, AdversarialModel
from ntupleml.training.adversary import Adversarial
from ntupleml.training.compiled_epoch import Block, EpochRunner
from ntupleml.training.control import ControlSample, WithControl, both_inputs, control_trees
from ntupleml.training.data import MemoryData
from ntupleml.training.kept_epochs import best_epochs, epochs_path, read_epochs
from ntupleml.training.stopping import Stopping
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]

CONTROL = {"classes": ["sim", "data"], "slices": {"variable": "pt", "edges": [1.0]}}
SHIFT = 1.5


def rows(seed: int, kind: int, number: int, *, shift: float = 0.0) -> Columns:
    """`x` tells the two kinds apart; `d` less so, and is shifted in the data."""
    random = np.random.default_rng([seed, kind])
    return {
        "x": random.normal(2 * kind, 1, number).astype("f4"),
        "d": random.normal(0.4 * kind + shift, 1, number),
        "pt": random.exponential(1.0, number),
        "weight": random.uniform(0.5, 1.5, number) * np.where(random.random(number) < 0.05, -1, 1),
    }


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compile epochs without XLA, which takes seconds; that both are the same is a matter of another test."""
    monkeypatch.setattr("ntupleml.training.compiled_epoch.is_slow_in_xla", lambda _: True)


@pytest.fixture
def make(tmp_path: Path, fold_file: Callable[..., None]) -> Callable[..., TrainingConfig]:
    """A training config with its fold files, of which those of the control sample may be others."""

    def made(adversary: dict[str, Any] | None, number: int = 400, **keys: Any) -> TrainingConfig:
        for fold in range(2):
            sample = {"sim": rows(fold + 10, 0, number), "data": rows(fold + 20, 0, number, shift=SHIFT)}
            sample |= keys.get("samples", {})
            classes = {"bkg": rows(fold, 0, number), "sig": rows(fold, 1, number)}
            fold_file(tmp_path / f"fold{fold}.root", classes | {name: one for name, one in sample.items() if one})
        keys.pop("samples", None)
        model = {"hidden": [8], "activation": "tanh", "epochs": 4, "batch_size": 100, **keys.pop("model", {})}
        content = {
            "datasets": [str(tmp_path / f"fold{fold}.root") for fold in range(2)],
            "output_path": str(tmp_path / "out"),
            "classes": ["bkg", "sig"],
            "event_weights": "weight",
            "variables": ["x", "d"],
            "seed": 5,
            "model": model,
        }
        if adversary is not None:
            content["adversary"] = {"ramp": 1, "hidden": [4], **adversary}
        return TrainingConfig.model_validate({**content, **keys})

    return made


def loaded(config: TrainingConfig, kind: type[MemoryData | StreamedData] = MemoryData) -> MemoryData | StreamedData:
    trees = class_trees(config, fold_files(config, 0, False))
    return kind(config, trees, 0, balanced=False, randomized=False)


# The steps of the model


def model_of(
    method: Literal["reversal", "alternating"], *, halves: bool, heads: tuple[int, ...] = (2,), **settings: Any
) -> AdversarialModel:
    network = build_model(
        Network(hidden=(5,), activation="tanh", l2=0.01, optimizer="sgd", learning_rate=0.1), matrix(3), 2, 3
    )
    config = AdversaryConfig(against=["m"], method=method, weight=3, hidden=[4], **settings)
    model = AdversarialModel(network, heads, config, 7, halves=halves)
    model.factor.assign(3.0)
    return model


def batch(number: int, *, halves: bool) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    random = np.random.default_rng(1)
    inputs = random.normal(size=(number, 3)).astype("f4")
    learnt, told = (np.eye(2)[random.integers(0, 2, number)] for _ in range(2))
    factor, learns = np.full(number, 0.5), np.ones(number)
    if halves:
        half = number // 2
        learnt[half:], told[:half], learns[half:], factor[half:] = 0, 0, 0, 1
    targets = np.column_stack([learnt, told, factor, learns]).astype("f4")
    return inputs, targets, random.uniform(-0.1, 1, number).astype("f4")


def losses(model: AdversarialModel, data: Any, *, trains: bool, halves: bool) -> tuple[Any, Any]:
    """By their formulas: means of weighted cross-entropies, of the network with its regularisation."""
    inputs, targets, weights = data
    scores = model.network(inputs)
    half = len(inputs) // 2 if halves else 0
    of_network = slice(None, half) if halves else slice(None)
    entropy = -tf.reduce_sum(targets[of_network, :2] * tf.math.log(scores[of_network]), axis=1)
    kernel = model.network.layers[0].kernel
    loss = tf.reduce_mean(weights[of_network] * entropy) + 0.01 * tf.reduce_sum(kernel**2)
    logits = model.adversary(tf.math.log(scores[half:] + SMALLEST_SCORE), training=trains)
    chances = tf.nn.log_softmax(logits)
    factor = targets[half:, 4]
    of_adversary = tf.reduce_mean(weights[half:] * factor * -tf.reduce_sum(targets[half:, 2:4] * chances, axis=1))
    return loss, of_adversary


@pytest.mark.parametrize("halves", [True, False])
def test_a_step_with_reversal_is_its_formula(halves: bool) -> None:
    """w − η (∇L − λ ∇A) for the network, w − η ∇A for the adversary."""
    model, data = model_of("reversal", halves=halves), batch(40, halves=halves)
    network, adversary = model.network.trainable_variables, model.adversary.trainable_variables
    with tf.GradientTape(persistent=True) as tape:
        loss, of_adversary = losses(model, data, trains=True, halves=halves)
    pulls, pushes = tape.gradient(loss, network), tape.gradient(of_adversary, network)
    wanted = [w - 0.1 * (pull - 3 * push) for w, pull, push in zip(network, pulls, pushes, strict=True)]
    told = [w - 0.1 * g for w, g in zip(adversary, tape.gradient(of_adversary, adversary), strict=True)]
    model = model_of("reversal", halves=halves)
    metrics = model.train_step(tuple(map(tf.constant, data)))
    for found, expected in zip(model.network.trainable_variables, wanted, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for found, expected in zip(model.adversary.trainable_variables, told, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert float(metrics["loss"]) == pytest.approx(float(loss), rel=1e-5)


def test_an_alternating_step_is_its_formula() -> None:
    """Two steps of the adversary at its own rate, then w − η ∇(L − λ A) of the network; BN of the adversary rests."""
    data = batch(40, halves=True)
    model = model_of("alternating", halves=True, learning_rate=0.02)
    for _ in range(2):
        with tf.GradientTape() as tape:
            _, of_adversary = losses(model, data, trains=True, halves=True)
        adversary = model.adversary.trainable_variables
        for weight, gradient in zip(adversary, tape.gradient(of_adversary, adversary), strict=True):
            weight.assign(weight - 0.02 * gradient)
    with tf.GradientTape() as tape:
        loss, of_adversary = losses(model, data, trains=False, halves=True)
        total = loss - 3 * of_adversary
    network = model.network.trainable_variables
    wanted = [w - 0.1 * g for w, g in zip(network, tape.gradient(total, network), strict=True)]
    found = model_of("alternating", halves=True, learning_rate=0.02)
    found.train_step(tuple(map(tf.constant, data)))
    for one, expected in zip(found.network.trainable_variables, wanted, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-6)
    for one, expected in zip(found.adversary.variables, model.adversary.variables, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-6)


@pytest.mark.usefixtures("quick")
def test_metrics_are_weighted_means_whatever_the_batches() -> None:
    """Two heads: the adversary's loss is the sum of their cross-entropies, its accuracy their mean."""
    inputs, targets, weights = batch(60, halves=True)
    random = np.random.default_rng(2)
    second = np.eye(3)[random.integers(0, 3, 60)] * targets[:, 2:4].sum(axis=1, keepdims=True)
    targets = np.column_stack([targets[:, :4], second, targets[:, 4:]]).astype("f4")
    model = model_of("reversal", halves=True, heads=(2, 3))
    order = np.arange(60, dtype=np.int32)
    runner = EpochRunner(model, 20)
    parts = [Block(inputs, targets, order[some], weights[some]) for some in (slice(0, 45), slice(45, 60))]
    metrics = runner.evaluate(parts)
    scores = np.asarray(model.network(inputs))
    logits = np.asarray(model.adversary(np.log(scores + SMALLEST_SCORE)))
    chances = [np.exp(one) / np.exp(one).sum(axis=1, keepdims=True) for one in (logits[:, :2], logits[:, 2:])]
    told, w = [targets[:, 2:4], targets[:, 4:7]], weights[30:].astype(float)
    entropies = sum(-(one * np.log(chance)).sum(axis=1) for one, chance in zip(told, chances, strict=True))
    assert metrics["adversary_loss"] == pytest.approx(float(w @ entropies[30:] / w.sum()), rel=1e-4)
    right = np.mean([one.argmax(1) == chance.argmax(1) for one, chance in zip(told, chances, strict=True)], axis=0)
    assert metrics["adversary_accuracy"] == pytest.approx(float(w @ right[30:] / w.sum()), rel=1e-4)
    w = weights[:30].astype(float)
    assert metrics["accuracy"] == pytest.approx(
        float(w @ (scores[:30].argmax(1) == targets[:30, :2].argmax(1)) / w.sum()), rel=1e-4
    )
    entropy = -(targets[:30, :2] * np.log(scores[:30])).sum(axis=1)
    penalty = 0.01 * float(np.sum(np.asarray(model.network.layers[0].kernel) ** 2))
    assert metrics["loss"] == pytest.approx(float(np.mean(w * entropy)) + penalty, rel=1e-4)


# What it trains on


def test_batches_have_as_many_rows_of_the_control_sample(make: Callable[..., TrainingConfig]) -> None:
    """Also where events are streamed; weights of both samples have the same sum, each row comes once a round."""
    config = make({"against": CONTROL}, samples={"sim": rows(3, 0, 90), "data": rows(4, 0, 30, shift=SHIFT)})
    for kind in (MemoryData, StreamedData):
        data = loaded(config, kind)
        sample = ControlSample(config, control_trees(config, 0), data.preparation)
        both = WithControl(data, sample, 0)
        blocks = list(both.training_blocks(1))
        targets = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
        weights = np.concatenate([block.weights for block in blocks])
        learns = np.concatenate([one[:, -1] for one in np.split(targets, range(200, len(targets), 200))])
        for number, one in enumerate(np.split(learns, range(200, len(learns), 200))):
            half = len(one) // 2
            assert one[:half].all(), number
            assert not one[half:].any(), number
        is_control = targets[:, -1] == 0
        assert np.count_nonzero(is_control) == data.num_training
        first = np.flatnonzero(is_control)[: len(sample.training.weights)]  # the first round has each row once
        of_data = targets[first, 3] == 1
        assert weights[first][of_data].sum() == pytest.approx(45, rel=1e-4)
        assert weights[first][~of_data].sum() == pytest.approx(45, rel=1e-4)
        # Raw values come back from the scaled ones, so each row has its own targets.
        inputs = np.concatenate([np.asarray(block.inputs)[block.order] for block in blocks])
        scaler = data.preparation.scalers["variables"]
        raw = scaler.inverse_transform(inputs[first].astype(float))
        for sought, kind_of in ((of_data, 4), (~of_data, 3)):
            expected = rows(kind_of, 0, 30 if kind_of == 4 else 90, shift=SHIFT if kind_of == 4 else 0.0)["x"]
            assert np.isclose(raw[sought, :1], expected[np.newaxis], atol=1e-4).any(axis=1).all()
        validation = list(both.validation_blocks())
        assert len(validation[-1].order) == 30
        assert sum(len(block.order) for block in validation[:-1]) == data.num_validation


def test_bins_of_a_nuisance_weigh_the_same(make: Callable[..., TrainingConfig]) -> None:
    """Among the rows of each class that train; rows of others do not count; a row weighs 1 on average."""
    bkg = {**rows(0, 0, 2000), "pt": rows(0, 0, 2000)["pt"] + 7}
    adversary = {"against": ["pt*2"], "of": ["bkg", "sig"], "bins": 4}
    classes, weights = ["bkg", "sig", "sim"], {"bkg": 5.0, "sig": 2.0, "sim": 1.0}
    config = make(adversary, classes=classes, class_weights=weights, number=2000, samples={"bkg": bkg})
    for kind in (MemoryData, StreamedData):
        data = loaded(config, kind)
        nuisances = data.preparation.nuisances
        assert nuisances is not None
        assert nuisances.heads == [4]
        blocks = list(data.training_blocks(1))
        targets = np.concatenate([np.asarray(block.targets)[block.order] for block in blocks])
        adversary_weights = np.concatenate([block.weights for block in blocks]) * targets[:, -2]
        told = targets[:, 3:7]
        assert (targets[:, -1] == 1).all()
        for index, factor in enumerate((5, 2)):
            one = rows(0, index, 2000)
            order = np.argsort(pt := 2 * (one["pt"] + (7 if index == 0 else 0)))
            share = np.interp(nuisances.edges[0][index], pt[order], np.cumsum(np.abs(one["weight"][order])))
            assert share / np.abs(one["weight"]).sum() == pytest.approx([0.25, 0.5, 0.75], abs=0.02)
            of_class = targets[:, index] == 1
            assert (told[of_class].sum(axis=1) == 1).all()
            by_bin = np.abs(adversary_weights[of_class]) @ told[of_class]
            assert by_bin / by_bin.mean() == pytest.approx(np.ones(4), abs=0.02)
            weighed = np.abs(adversary_weights[of_class]).mean() / np.abs(one["weight"]).mean() / factor
            assert weighed == pytest.approx(nuisances.factor, rel=0.02)
        assert adversary_weights[targets[:, 2] == 0].mean() == pytest.approx(1, rel=1e-3)
        assert not told[targets[:, 2] == 1].any()
        assert nuisances.ignorance == pytest.approx(np.log(4))


def test_rows_with_more_objects_are_padded() -> None:
    """Values and masks of one row with two slots and of one with three; numbers stay as they are."""
    first = {"jets": np.ones((1, 2, 1), "f4"), "jets_mask": np.ones((1, 2), "f4"), "event": np.ones((1, 4), "f4")}
    second = {"jets": np.full((1, 3, 1), 2, "f4"), "jets_mask": np.ones((1, 3), "f4"), "event": np.zeros((1, 4), "f4")}
    both = both_inputs(first, second)
    np.testing.assert_array_equal(both["jets"][..., 0], [[1, 1, 0], [2, 2, 2]])
    np.testing.assert_array_equal(both["jets_mask"], [[1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(both["event"], [[1] * 4, [0] * 4])


def test_the_control_sample_gets_hypotheses_of_the_signal(
    make: Callable[..., TrainingConfig], tmp_path: Path, fold_file: Callable[..., None]
) -> None:
    """Where parameters are inputs, and its trees are in files of their own, without the signal."""
    paths = [tmp_path / f"control{fold}.root" for fold in range(2)]
    for path in paths:
        fold_file(path, {"sim": rows(3, 0, 90), "data": rows(4, 0, 90)})
    signal = {**rows(0, 1, 400), "mass": np.repeat([100.0, 200.0], 200)}
    config = make(
        {"against": {**CONTROL, "datasets": [str(path) for path in paths]}},
        samples={"sig": signal},
        variables=["x", "mass"],
        parameters={"names": ["mass"], "of": ["sig"]},
    )
    data = loaded(config)
    sample = ControlSample(config, control_trees(config, 0, data.trees[0].hypotheses), data.preparation)
    raw = data.preparation.scalers["variables"].inverse_transform(np.asarray(sample.training.inputs, float))
    assert set(np.round(raw[:, 1])) == {100, 200}


# Whole trainings


def scored(config: TrainingConfig, *samples: Columns) -> list[NDArray[Any]]:
    """Scores of model 0, by its Keras file and its scaler."""
    files = model_files(config.output_path, 0)
    assert files.preprocessing is not None
    model, scaler = load_keras_model(files.model), load_preprocessing(files.preprocessing)
    return [np.asarray(model(scaler.transform(np.column_stack([one["x"], one["d"]])))) for one in samples]


@pytest.mark.usefixtures("quick")
def test_the_scores_of_simulation_and_data_agree(make: Callable[..., TrainingConfig]) -> None:
    """Of rows that no training saw: the distance falls to half and less, and the AUC by less than 0.01."""
    distances, areas = {}, {}
    for name, adversary in (("without", None), ("with", {"against": CONTROL, "ramp": 5, "hidden": [24, 12]})):
        config = make(adversary, 3000, model={"epochs": 20, "learning_rate": 0.005, "batch_size": 200})
        train_keras(config, [0], TrainingOptions(overwrite=True))
        sim, data, bkg, sig = scored(
            config, rows(31, 0, 5000), rows(32, 0, 5000, shift=SHIFT), rows(33, 0, 5000), rows(33, 1, 5000)
        )
        found = kolmogorov_smirnov(sim[:, 0], None, data[:, 0], None)
        assert isinstance(found, TwoSampleTest)
        distances[name] = found.statistic
        areas[name] = roc_auc_score(np.repeat([0, 1], 5000), np.concatenate([bkg, sig])[:, 1])
    assert distances["without"] > 0.1
    assert distances["with"] < distances["without"] / 2
    assert abs(areas["with"] - areas["without"]) < 0.01
    # The files hold the network alone: 2·8 + 8 + 8·2 + 2 weights.
    assert load_keras_model(model_files(config.output_path, 0).model).count_params() == 42


@pytest.mark.usefixtures("quick")
def test_distances_of_each_epoch(make: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """Those of the last are of the scores of the rows that validate, summed over the slices. Figures if asked for."""
    config = make({"against": CONTROL}, 300, model={"save_best_only": False, "epochs": 2})
    figures = [tmp_path / "out" / f"fold0_{name}.png" for name in ("loss", "adversary")]
    seen = []
    options = TrainingOptions(epoch_figures=True, followers=(lambda _: seen.append([one.exists() for one in figures]),))
    (record,) = train_keras(config, [0], options)
    assert seen[:2] == [[False, False], [True, True]]
    columns = {name: np.concatenate([rows(10, 0, 300)[name], rows(20, 0, 300, shift=SHIFT)[name]]) for name in "xd"}
    pt, weight = (np.concatenate([rows(seed, 0, 300)[name] for seed in (10, 20)]) for name in ("pt", "weight"))
    chosen = split_events(600, config.train_test_split, config.seed).validation
    (scores,) = scored(config, columns)
    is_data = np.arange(600) >= 300
    for index, name in enumerate(("bkg", "sig")):
        expected = 0.0
        for inside in (pt < 1, pt >= 1):
            parts = [chosen[inside[chosen] & (is_data[chosen] == one)] for one in (False, True)]
            found = kolmogorov_smirnov(*(array for part in parts for array in (scores[part, index], weight[part])))
            assert isinstance(found, TwoSampleTest)
            expected += found.statistic
        assert record.history[f"ks_{name}"][-1] == pytest.approx(expected, abs=1e-6)
    assert record.history["ks"][-1] == pytest.approx(record.history["ks_bkg"][-1] + record.history["ks_sig"][-1])
    assert record.adversary["split"] == {"training": 450, "validation": 150}
    assert record.adversary["datasets"][0]["classes"]["sim"]["entries"] == 300
    assert read_record(model_files(config.output_path, 0).record) == record


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("adversary", [{"against": CONTROL, "method": "alternating"}, {"against": ["pt", "pt*x"]}])
def test_going_on_gives_the_same_bits(
    make: Callable[..., TrainingConfig], adversary: dict[str, Any], tmp_path: Path
) -> None:
    """2 + 2 epochs are 4, with dropout and a schedule of the rate; and the best epochs are kept."""
    model = {"dropout": 0.2, "schedule": {"type": "steps", "after": {3: 0.01}}, "keep_epochs": True}
    config = make(adversary, model=model)
    (whole,) = train_keras(config.model_copy(update={"output_path": str(tmp_path / "whole")}), [0])
    shorter = config.model.model_copy(update={"epochs": 2})
    train_keras(config.model_copy(update={"model": shorter}), [0])
    (record,) = train_keras(config, [0], TrainingOptions(continue_training=True))
    for name in whole.history.keys() - {"seconds"}:
        assert record.history[name] == whole.history[name], name
    assert record.epochs == 4
    kept = read_epochs(epochs_path(model_files(config.output_path, 0).model))
    best = best_epochs(record.history)
    assert kept.keys() == {epoch for epochs in best.values() for epoch in epochs}
    assert ("K-S sum" in best) == ("ks" in record.history)
    assert record.best_epoch in kept or record.best_epoch not in best["main loss"]


# The best epoch, and what is refused


def standings(config: TrainingConfig, epochs: list[tuple[float, float, float]]) -> int:
    """Best epoch by validation losses of network and adversary, and the K-S sum of the score in which it is largest."""
    data = loaded(config)
    network = build_model(Network(hidden=(3,), activation="tanh"), matrix(2), 2, 1)
    mode, stopping = Adversarial(network, data, 0), Stopping()
    for epoch, (loss, adversary_loss, distance) in enumerate(epochs, start=1):
        metrics = {"val_loss": loss, "val_adversary_loss": adversary_loss, "ks_bkg": distance, "ks_sig": distance / 2}
        stopping.observe(epoch, loss, None, None, mode.standing(epoch, metrics))
    return stopping.best_epoch


@pytest.mark.parametrize(
    ("adversary", "epochs", "best"),
    [
        ({"ks_limit": 0.2}, [(0.1, 0.5, 0.1), (0.5, 0.6, 0.19), (0.4, 0.6, 0.2), (0.3, 0.6, 0.21)], 3),
        ({"ks_limit": 0.2}, [(0.1, 0.5, 0.1), (0.5, 0.6, 0.3), (0.4, 0.6, 0.25), (0.3, 0.6, 0.26)], 3),
        ({"ks_limit": 0.2}, [(0.1, 0.5, 0.1), (0.5, 0.6, 0.3), (0.9, 0.6, 0.1), (0.3, 0.6, 0.26)], 3),
        # ln 2 - 0.6 = 0.0931, - 0.65 = 0.0431; more than ln 2 counts as ln 2
        ({"weight": 10}, [(0.1, 0.5, 0.1), (0.5, 0.6, 0.3), (0.9, 0.65, 0.3), (1.5, 0.8, 0.1)], 3),
        ({"weight": 1}, [(0.1, 0.5, 0.1), (0.5, 0.6, 0.3), (0.9, 0.65, 0.3), (1.5, 0.8, 0.1)], 2),
        ({"ramp": 3}, [(0.1, 0.7, 0.1), (0.2, 0.7, 0.1), (0.3, 0.7, 0.1), (0.4, 0.7, 0.3)], 4),
    ],
)
def test_the_best_epoch(
    make: Callable[..., TrainingConfig], adversary: dict[str, Any], epochs: list[Any], best: int
) -> None:
    assert standings(make({"against": CONTROL, **adversary}, 60), epochs) == best


EMPTY: Columns = {name: array[:0] for name, array in rows(0, 0, 1).items()}
ZERO = {**rows(4, 0, 60), "weight": np.zeros(60)}
NO_PT = {**rows(4, 0, 60), "pt": np.full(60, np.nan)}
HIGH = {**rows(4, 0, 60), "pt": np.full(60, 5.0)}


@pytest.mark.parametrize(
    ("adversary", "keys", "message"),
    [
        ({"against": CONTROL}, {"samples": {"data": {}}}, r"adversary.against: .*fold0.root: .*'data'"),
        ({"against": CONTROL}, {"samples": {"data": EMPTY}}, r"adversary.against: .*class 'data': its tree has no"),
        ({"against": CONTROL}, {"samples": {"data": ZERO}}, r"'data', branch 'weight': the weights .* train sum to 0"),
        (
            {"against": {**CONTROL, "event_weights": "wieght"}},
            {},
            r"adversary.against: event_weights: no branch 'wieght' in tree 'sim' .*nearest: 'weight'",
        ),
        (
            {"against": {**CONTROL, "slices": {"variable": "ptt", "edges": [1]}}},
            {},
            r"adversary.against: .*'ptt'.*nearest: 'pt'",
        ),
        ({"against": ["mass"]}, {}, r"adversary.against.*'mass'"),
        ({"against": ["pt*0"]}, {}, r"'pt\*0' is 0 in nearly all rows of a class"),
        (
            {"against": ["pt"]},
            {"samples": {"bkg": NO_PT}},
            r"class 'bkg': adversary.against: 'pt' is NaN or infinite in 60 of 60",
        ),
        ({"against": ["pt"], "ramp": 4}, {}, r"adversary.ramp: λ rises over 4 epochs, but the training has 4"),
        ({"against": ["pt"], "activation": "tnah"}, {}, r"adversary.activation: no activation 'tnah'.*'tanh'"),
    ],
)
def test_what_is_refused(
    make: Callable[..., TrainingConfig], adversary: dict[str, Any], keys: dict[str, Any], message: str
) -> None:
    config = make(adversary, 60, **keys)
    with pytest.raises(NtuplemlError, match=message) as error:
        train_keras(config, [0])
    assert "\n" not in str(error.value)
    assert not model_files(config.output_path, 0).model.exists()


def test_trees_of_the_control_sample_are_checked_before_events_are_read(make: Callable[..., TrainingConfig]) -> None:
    config = make({"against": {**CONTROL, "classes": ["sim", "dta"]}}, 60)
    with pytest.raises(NtuplemlError, match=r"^adversary.against: classes: .*fold0.root: no tree 'dta'.*'data'"):
        train_keras(config, [0])
    log = model_files(config.output_path, 0).log
    assert log is not None
    assert not log.exists()


@pytest.mark.parametrize(
    ("adversary", "message"),
    [
        ({"against": {"classes": ["sim", "data", "bkg"]}}, r"adversary.against.*\n.*at most 2 items"),
        ({"against": {"classes": ["sim", "sim"]}}, "named twice: 'sim'"),
        ({"against": ["pt"], "of": ["bgk"]}, r"adversary.of: no class 'bgk'.*'bkg'"),
        ({"against": ["pt"], "ks_limit": 0.1}, "ks_limit: is for a control sample"),
        ({"against": CONTROL, "bins": 3}, "bins: is for formulas"),
        ({"against": {**CONTROL, "datasets": ["a.root"]}}, r"adversary.against.datasets: one fold file"),
    ],
)
def test_configs_that_are_refused(make: Callable[..., TrainingConfig], adversary: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(adversary, 10)


def test_an_empty_slice_is_said_and_does_not_count(
    make: Callable[..., TrainingConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = make({"against": CONTROL}, 400, samples={"data": HIGH})
    data = loaded(config)
    with caplog.at_level(logging.WARNING, logger="ntupleml"):
        sample = ControlSample(config, control_trees(config, 0), data.preparation)
    assert "rows that validate in pt < 1: 'data': no events; the sum is that of the other slices" in caplog.text
    random = np.random.default_rng(1).random((len(sample.validation.weights), 1))
    part = sample.validation
    chosen = [np.flatnonzero((part.slices == 1) & (part.is_data == one)) for one in (False, True)]
    found = kolmogorov_smirnov(*(array for rows in chosen for array in (random[rows, 0], part.weights[rows])))
    assert isinstance(found, TwoSampleTest)
    assert sample.distances(random).sums == pytest.approx((found.statistic,))
    config = make({"against": CONTROL}, 60, samples={"data": HIGH, "sim": {**HIGH, "pt": np.full(60, 0.5)}})
    with pytest.raises(NtuplemlError, match=r"no Kolmogorov-Smirnov distance .* the control sample needs more rows"):
        ControlSample(config, control_trees(config, 0), data.preparation)
