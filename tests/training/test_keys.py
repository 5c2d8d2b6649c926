"""Trainings that keep the keys of their rows, and trainings that leave the rows of others out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from ntupleml.artifacts import read_record
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.datasets.trained_keys import read_keys
from ntupleml.errors import NtuplemlError
from ntupleml.scoring.training_rows import training_trees
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.boosted_trees import train_boosted_trees
from ntupleml.training.tabular_data import load_tabular_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.config import TrainingConfig

    MakeConfig = Callable[..., TrainingConfig]

TREES = {"boosted_trees": [{"name": "bdt", "rounds": 2}], "keys": ["run", "event"]}


@pytest.fixture
def with_keys(make_config: MakeConfig, fold_file: Callable[..., None]) -> MakeConfig:
    """Fold files of three folds whose rows have a run and an event number: `with_keys(**keys of the config)`."""

    def make(**keys: Any) -> TrainingConfig:
        config = make_config(num_folds=3, **keys)
        for fold, path in enumerate(config.datasets or []):
            with uproot.open(path) as file:
                trees = {name: file[name].arrays(library="np") for name in ("sig", "bkg")}
            for index, columns in enumerate(trees.values()):
                events = np.arange(len(columns["x"]), dtype="u8") + np.uint64(2**62)
                columns |= {"run": np.full(len(events), 10 * fold + index, "i4"), "event": events}
            fold_file(Path(path), trees)
        return config

    return make


def keys_of(path: Path) -> set[tuple[int, ...]]:
    record = read_record(path)
    assert record.keys is not None
    parts = list(read_keys(path.parent, record.keys))
    return {tuple(map(int, key)) for part in parts for key in zip(*part, strict=True)}


def test_keys_of_the_rows_that_train_and_validate(with_keys: MakeConfig, tmp_path: Path) -> None:
    """Those of the folds but the one held out that pass the selection, for each method."""
    config = with_keys(**TREES, selections={"bkg": "event % 2 == 0"})
    (record,) = train_boosted_trees(config, [0])
    expected = {(10 * fold, 2**62 + event) for fold in (0, 2) for event in range(300)}
    expected |= {(10 * fold + 1, 2**62 + event) for fold in (0, 2) for event in range(0, 500, 2)}
    assert keys_of(tmp_path / "out" / "fold0_bdt_training.json") == expected
    assert record.keys is not None
    assert record.split is not None
    assert record.keys.rows == record.split.training + record.split.validation
    assert record.keys.file == "fold0_bdt_keys.h5"


def test_a_network_keeps_them(with_keys: MakeConfig, tmp_path: Path) -> None:
    train_keras(with_keys(keys=["event"], model={"epochs": 1}), [0])
    keys = keys_of(tmp_path / "out" / "fold0_keras_training.json")
    assert len(keys) == 500, "events of both classes count from the same number"


def test_a_new_training_replaces_them(with_keys: MakeConfig, tmp_path: Path) -> None:
    config = with_keys(**TREES)
    train_boosted_trees(config, [0])
    with pytest.raises(NtuplemlError, match="exists already; give --overwrite"):
        train_boosted_trees(config, [0])
    train_boosted_trees(config.model_copy(update={"keys": None}), [0], TrainingOptions(overwrite=True))
    assert read_record(tmp_path / "out" / "fold0_bdt_training.json").keys is None
    assert not (tmp_path / "out" / "fold0_bdt_keys.h5").exists()


def test_rows_of_another_training_are_left_out(
    with_keys: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = with_keys(**TREES, selections={"bkg": "event % 2 == 0", "sig": "run < 20"})
    train_boosted_trees(config, [0])  # fold 0 and 2
    caplog.set_level("INFO", "ntupleml")
    second = config.model_copy(
        update={
            "selections": {},
            "exclude_trained_by": [str(tmp_path / "out" / "fold0_bdt_training.json")],
            "output_path": str(tmp_path / "second"),
        }
    )
    trees = class_trees(second, fold_files(second, 1, conditional=False))  # fold 0 and 1
    assert [(tree.name, tree.file.fold, tree.num_entries) for tree in trees] == [
        ("sig", 0, 0),
        ("bkg", 0, 250),
        ("sig", 1, 300),
        ("bkg", 1, 500),
    ]
    assert any("exclude_trained_by: 300 of 600 rows of" in line for line in caplog.messages)
    (record,) = train_boosted_trees(second, [1])
    assert [one.left_out for dataset in record.datasets for one in dataset.classes.values()] == [300, 250, 0, 0]
    found = keys_of(tmp_path / "second" / "fold1_bdt_training.json")
    assert not found & keys_of(tmp_path / "out" / "fold0_bdt_training.json")
    assert len(found) == 1050
    # the testing stage finds the rows of the training again
    again = training_trees(second.model_copy(update={"exclude_trained_by": []}), record)
    assert isinstance(again, list)
    assert [tree.num_entries for tree in again] == [0, 250, 300, 500]
    data = load_tabular_data(second, trees)
    assert data.num_training + data.num_validation == 1050


def test_all_rows_left_out_is_an_error(with_keys: MakeConfig, tmp_path: Path) -> None:
    config = with_keys(**TREES)
    train_boosted_trees(config, [0, 1, 2])
    second = config.model_copy(update={"exclude_trained_by": [str(tmp_path / "out")]})
    message = "class 'sig': exclude_trained_by: none of its 600 rows are others than those trainings saw; leave one out"
    with pytest.raises(NtuplemlError, match=message):
        class_trees(second, fold_files(second, 0, conditional=False))


def test_columns_that_the_fold_files_lack(make_config: MakeConfig, with_keys: MakeConfig, tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match=r"keys: no branch 'run' .*; the fold files have it where the dataset"):
        train_boosted_trees(make_config(**TREES), [0])
    assert not (tmp_path / "out").exists()
    train_boosted_trees(with_keys(**TREES), [0])
    config = make_config(exclude_trained_by=[str(tmp_path / "out")])
    with pytest.raises(NtuplemlError, match=r"exclude_trained_by: no branch 'run' .*; exclude_trained_by finds rows"):
        class_trees(config, fold_files(config, 0, conditional=False))
