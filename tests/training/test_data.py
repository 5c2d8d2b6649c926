"""Events in memory and streamed: split, scaling, weights, conditions; numbers recomputed from the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.training.data import MemoryData
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig

Columns = dict[str, "NDArray[Any]"]


def trees_of(config: TrainingConfig, fold: int = 0, conditional: bool = False) -> Any:
    return class_trees(config, fold_files(config, fold, conditional))


def memory(config: TrainingConfig, fold: int = 0, *, conditional: bool = False, **options: bool) -> MemoryData:
    arguments = {"balanced": conditional, "randomized": False, **options}
    return MemoryData(config, trees_of(config, fold, conditional), fold, **arguments)


def streamed(
    config: TrainingConfig, fold: int = 0, *, conditional: bool = False, buffer_bytes: int = 10_000, **options: bool
) -> StreamedData:
    arguments = {"balanced": conditional, "randomized": False, **options}
    trees = trees_of(config, fold, conditional)
    return StreamedData(config, trees, fold, buffer_bytes=buffer_bytes, **arguments)


def used(blocks: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Inputs, targets and weights in the order of use."""
    parts = [(np.asarray(b.inputs)[b.order], np.asarray(b.targets)[b.order], b.weights) for b in blocks]
    inputs, targets, weights = (np.concatenate(values) for values in zip(*parts, strict=True))
    return inputs, targets, weights


def test_inputs_weights_and_scaler(make_config: Callable[..., TrainingConfig], columns: Callable[..., Columns]) -> None:
    config = make_config(class_weights={"sig": 3.0, "bkg": 0.5}, global_weight_scale=2.0)
    sig, bkg = columns(0, 0, 300), columns(0, 1, 500)
    raw = np.column_stack([np.concatenate([sig[name], bkg[name]]) for name in "xyn"]).astype(np.float32)
    weights = np.concatenate([sig["weight"] * 6.0, bkg["weight"] * 1.0])
    train, validate = train_test_split(np.arange(800), test_size=0.25, random_state=7)
    scaler = StandardScaler().fit(raw[train].astype(np.float64))
    data = memory(config)
    np.testing.assert_allclose(data.preparation.scalers["variables"].mean_, scaler.mean_)
    inputs, targets, found_weights = used(data.validation_blocks())
    np.testing.assert_allclose(inputs, scaler.transform(raw[validate].astype(np.float64)), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(targets[:, 0], validate < 300)
    np.testing.assert_allclose(found_weights, weights[validate], rtol=1e-6)
    inputs, _, found_weights = used(data.training_blocks(1))
    expected = np.column_stack([scaler.transform(raw[train].astype(np.float64)), weights[train]])
    found = np.column_stack([inputs, found_weights])
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], rtol=1e-4, atol=1e-4)
    content = data.contents[0]
    assert content.entries == 300
    assert content.sum_of_weights == pytest.approx(sig["weight"].sum())
    assert content.uncertainty == pytest.approx(np.sqrt((sig["weight"] ** 2).sum()))
    assert content.negative_share == (sig["weight"] < 0).mean()


def test_orders_are_reproducible_and_differ_between_epochs(make_config: Callable[..., TrainingConfig]) -> None:
    data = memory(make_config())
    first, again, second = (data.training_blocks(epoch)[0].order for epoch in (1, 1, 2))
    assert (first == again).all()
    assert (first != second).any()


def test_weighted_preprocessing(make_config: Callable[..., TrainingConfig], columns: Callable[..., Columns]) -> None:
    config = make_config(weighted_preprocessing=True)
    sig, bkg = columns(0, 0, 300), columns(0, 1, 500)
    x, weights = (np.concatenate([sig[name], bkg[name]]) for name in ("x", "weight"))
    train, _ = train_test_split(np.arange(800), test_size=0.25, random_state=7)
    data = memory(config)
    assert data.preparation.scalers["variables"].mean_[0] == pytest.approx(
        np.average(x[train].astype(float), weights=weights[train])
    )


def test_three_folds_train_on_two(make_config: Callable[..., TrainingConfig], columns: Callable[..., Columns]) -> None:
    """Model 1 of 3 is held out from fold 2 and trained on folds 0 and 1."""
    data = memory(make_config(num_folds=3), fold=1)
    expected = [columns(fold, index, 300 + 200 * index)["weight"].sum() for fold in (0, 1) for index in (0, 1)]
    assert [content.sum_of_weights for content in data.contents] == pytest.approx(expected)


@pytest.mark.parametrize("load", [memory, streamed])
def test_balanced_training_and_validation(make_config: Callable[..., TrainingConfig], load: Callable[..., Any]) -> None:
    config = make_config(
        class_weights={"sig": 100.0, "bkg": 1.0}, model={"eventsPerClassAndBatch": 30, "steps_per_epoch": 11}
    )
    data = load(config, balanced=True)
    assert (data.batching.size, data.batching.steps) == (60, 11)
    _, targets, weights = used(data.training_blocks(1))
    assert targets.shape == (11 * 60, 2)
    assert (targets.reshape(11, 60, 2).sum(axis=1) == 30).all()
    for index in (0, 1):
        sums = np.where(targets[:, index] == 1, weights, 0).reshape(11, 60).sum(axis=1)
        np.testing.assert_allclose(sums, 30, rtol=1e-3)
    _, targets, weights = used(data.validation_blocks())
    sums = [weights[targets[:, index] == 1].sum() for index in (0, 1)]
    np.testing.assert_allclose(sums, data.num_validation / 2, rtol=1e-3)


@pytest.fixture
def eras(tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Columns]) -> dict[str, Any]:
    """Fold files of two eras, in htt-ml's keys."""
    keys: dict[str, Any] = {"datasets": None}
    for era in (2016, 2017):
        keys[f"datasets_{era}"] = [str(tmp_path / f"fold{fold}_{era}.root") for fold in (0, 1)]
        for fold, path in enumerate(keys[f"datasets_{era}"]):
            trees = {name: columns(era + fold, index, 400) for index, name in enumerate(("ggh_x", "w"))}
            fold_file(path, trees)
    return keys


@pytest.mark.parametrize("load", [memory, streamed])
def test_conditions(make_config: Callable[..., TrainingConfig], eras: dict[str, Any], load: Callable[..., Any]) -> None:
    """One-hot inputs at the end, unscaled; balanced over class and condition; steps times the number of conditions."""
    config = make_config(classes=("ggh_x", "w"), **eras, model={"eventsPerClassAndBatch": 10, "steps_per_epoch": 6})
    data = load(config, conditional=True)
    assert (data.batching.size, data.batching.steps) == (40, 12)
    inputs, targets, _ = used(data.training_blocks(1))
    assert inputs.shape == (12 * 40, 5)
    batches = np.column_stack([targets, inputs[:, 3:]]).reshape(12, 40, 4)
    for class_index in (0, 1):
        for era in (2, 3):
            assert (batches[:, :, class_index] * batches[:, :, era]).sum() == 12 * 10
    assert data.check_batch["variables"].shape[1] == 5
    inputs, _, _ = used(data.validation_blocks())
    assert (inputs[:, 3:].sum(axis=1) == 1).all()


@pytest.mark.parametrize("load", [memory, streamed])
def test_randomised_conditions(
    make_config: Callable[..., TrainingConfig], eras: dict[str, Any], load: Callable[..., Any]
) -> None:
    """The condition of class ggh_x is drawn: half of its 2016 events show 2017. The other class keeps its own."""
    config = make_config(classes=("ggh_x", "w"), **eras, variables=["x"])
    true, shown = (load(config, conditional=True, randomized=flag) for flag in (False, True))
    (inputs, targets, _), (own, _, _) = used(shown.validation_blocks()), used(true.validation_blocks())
    changed = inputs[:, 1] != own[:, 1]
    background = targets[:, 1] == 1
    assert not changed[background].any()
    count = np.count_nonzero(~background)
    assert abs(changed.sum() - count / 2) < 5 * np.sqrt(count / 4)


def test_randomisation_without_such_classes_is_refused(
    make_config: Callable[..., TrainingConfig], eras: dict[str, Any]
) -> None:
    config = make_config(classes=("ggh_x", "w"), **eras, randomize_classes=["vbf"])
    with pytest.raises(NtuplemlError, match="no class begins with one of randomize_classes: vbf"):
        memory(config, conditional=True, randomized=True)


def test_streamed_events_are_all_events_once(
    make_config: Callable[..., TrainingConfig], columns: Callable[..., Columns]
) -> None:
    config = make_config(class_weights={"sig": 3.0, "bkg": 0.5}, preprocessing="identity")
    data = streamed(config)
    assert data._num_chunks > 3
    sig, bkg = columns(0, 0, 300), columns(0, 1, 500)
    expected = np.column_stack(
        [
            np.concatenate([sig["x"], bkg["x"]]),
            np.repeat([1, 0], [300, 500]),
            np.concatenate([3 * sig["weight"], 0.5 * bkg["weight"]]),
        ]
    )
    training, validation = used(data.training_blocks(1)), used(data.validation_blocks())
    assert (len(training[0]), len(validation[0])) == (data.num_training, data.num_validation)
    assert data.num_training + data.num_validation == 800
    assert abs(data.num_training - 600) < 5 * np.sqrt(800 * 0.25 * 0.75)
    found = np.concatenate(
        [np.column_stack([part[0][:, 0], part[1][:, 0], part[2]]) for part in (training, validation)]
    )
    np.testing.assert_allclose(found[np.argsort(found[:, 0])], expected[np.argsort(expected[:, 0])], rtol=1e-6)


def test_streamed_blocks_have_one_shape_but_for_the_last(make_config: Callable[..., TrainingConfig]) -> None:
    data = streamed(make_config())
    sizes = [len(block.order) for block in data.training_blocks(1)]
    assert len(set(sizes[:-1])) == 1
    assert sizes[0] % 64 == 0
    assert sizes == [len(block.order) for block in data.training_blocks(2)]
    first, again, second = (used(data.training_blocks(epoch))[0] for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_streamed_batches_mix_the_classes(make_config: Callable[..., TrainingConfig]) -> None:
    """Each block of the epoch has the classes in proportion 3:5, within five standard deviations."""
    data = streamed(make_config())
    for block in data.training_blocks(1):
        size = len(block.order)
        assert abs(block.targets[:, 0].sum() - size * 0.375) < 5 * np.sqrt(size * 0.375 * 0.625)


def test_all_events_in_a_batch_cannot_be_streamed(make_config: Callable[..., TrainingConfig]) -> None:
    with pytest.raises(NtuplemlError, match="a batch of all events cannot be streamed"):
        streamed(make_config(model={"batch_size": -1}))


def test_negative_batch_size_means_all_events(make_config: Callable[..., TrainingConfig]) -> None:
    assert memory(make_config(model={"batch_size": -1})).batching.size == 600
    assert memory(make_config(model={"eventsPerClassAndBatch": 20})).batching.size == 40
    assert memory(make_config(model={"eventsPerClassAndBatch": -1})).batching.size == 600
