"""Images that do not fit into memory: every event once, mixed over files and chunks, by the seed, in bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.ntuples import new_tree_file
from ntupleml.training.streaming import StreamedData

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENTS, SHAPE, BASKET = 5_000, (20, 20), 100
#: Bytes that are held at a time, and those of all images of a training.
BUFFER, ALL = 300_000, 2 * EVENTS * 4 * SHAPE[0] * SHAPE[1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """Three folds; all pixels of an image are the number of its event, which counts through the files."""
    folder = tmp_path_factory.mktemp("streamed")
    for fold in range(3):
        with new_tree_file(folder / f"fold{fold}.root") as file:
            tree = file.tree("all", {"number": np.dtype("f4"), "image": np.dtype(("f4", SHAPE))})
            for start in range(fold * EVENTS, (fold + 1) * EVENTS, BASKET):
                numbers = np.arange(start, start + BASKET, dtype="f4")
                tree.extend({"number": numbers, "image": np.broadcast_to(numbers[:, None, None], (BASKET, *SHAPE))})
                tree.flush()  # a basket is unpacked as a whole
    return TrainingConfig.model_validate(
        {
            "datasets": [str(folder / f"fold{fold}.root") for fold in range(3)],
            "output_path": str(folder),
            "classes": ["all"],
            "inputs": {"image": {"image": "image", "preprocessing": "identity"}},
            "target": {"values": ["number"]},
            "stream": True,
            "train_test_split": 0.9,
            "model": {"hidden": [2], "batch_size": 50},
        }
    )


def streamed(config: TrainingConfig) -> StreamedData:
    trees = class_trees(config, fold_files(config, 0, conditional=False))
    return StreamedData(config, trees, 0, balanced=False, randomized=False, buffer_bytes=BUFFER)


def numbers(data: StreamedData, epoch: int) -> list[NDArray[Any]]:
    """Events of each block, in the order of use."""
    return [np.asarray(block.inputs)[block.order, 0, 0, 0] for block in data.training_blocks(epoch)]


def test_every_event_comes_once_in_an_order_of_the_seed(config: TrainingConfig) -> None:
    data = streamed(config)
    first, again, second = (np.concatenate(numbers(data, epoch)) for epoch in (1, 1, 2))
    assert len(first) == len(np.unique(first)) == data.num_training
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(np.sort(first), np.sort(second))
    assert (first != second).mean() > 0.9
    other = np.concatenate(numbers(streamed(config.model_copy(update={"seed": 8, "data_seed": config.seed})), 1))
    assert (first != other).mean() > 0.9


def test_blocks_are_mixed_over_files_and_chunks(config: TrainingConfig) -> None:
    blocks = numbers(streamed(config), 1)
    assert len(blocks) > 10
    for block in blocks:
        assert 0.2 < (block < EVENTS).mean() < 0.8  # of the first and the third file
    widths = [np.ptp(block % EVENTS) for block in blocks]
    one_chunk = EVENTS / len(blocks)
    assert np.median(widths) > 3 * one_chunk


def test_memory_does_not_grow_with_the_files(config: TrainingConfig) -> None:
    data = streamed(config)
    tracemalloc.start()
    for _ in data.training_blocks(1):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < ALL / 3
