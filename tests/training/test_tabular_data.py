"""Events as arrays: the split of Keras, the weights, conditions, missing inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.training.tabular_data import load_tabular_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.training.tabular_data import TabularData


def tabular_data(config: TrainingConfig, fold: int, conditional: bool = False) -> TabularData:
    return load_tabular_data(config, class_trees(config, fold_files(config, fold, conditional)))


def stacked(classes: list[dict[str, NDArray[Any]]]) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.int64]]:
    """Inputs, event weights and class of the events of some classes, one after the other."""
    inputs = np.concatenate([np.column_stack([part[name] for name in "xyn"]) for part in classes]).astype(np.float32)
    weights = np.concatenate([part["weight"] for part in classes])
    return inputs, weights, np.repeat(np.arange(len(classes)), [len(part["x"]) for part in classes])


def test_the_events_are_those_of_scikit_learns_split(make_config: Any, columns: Callable[..., Any]) -> None:
    config = make_config(class_weights={"sig": 3.0, "bkg": 0.5}, global_weight_scale=10.0, train_test_split=0.6)
    data = tabular_data(config, 1)
    inputs, weights, classes = stacked([columns(1, 0, 300), columns(1, 1, 500)])
    training, validation = train_test_split(np.arange(800), test_size=0.4, random_state=7)
    factors = weights * np.array([3.0, 0.5])[classes] * 10
    for part, rows in ((data.training, training), (data.validation, validation)):
        np.testing.assert_array_equal(part.inputs, inputs[rows])
        np.testing.assert_array_equal(part.classes, classes[rows])
        np.testing.assert_allclose(part.weights, factors[rows], rtol=1e-12)
        assert np.shares_memory(part.inputs, data.inputs)
    assert (data.num_training, data.num_validation) == (480, 320)
    assert data.inputs.dtype == np.float32
    assert [content.entries for content in data.contents] == [300, 500]
    assert data.contents[1].sum_of_weights == pytest.approx(weights[300:].sum())
    assert data.conditions == []


def test_three_folds_train_on_two_files(make_config: Any) -> None:
    data = tabular_data(make_config(num_folds=3), 0)
    assert [tree.file.fold for tree in data.trees] == [0, 0, 2, 2]
    assert len(data.weights) == 1600


def test_conditions_are_one_hot_inputs(
    make_config: Any, tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Any]
) -> None:
    conditions = {}
    for era, number in (("2016", 100), ("2017", 200)):
        paths = [str(tmp_path / f"{fold}_{era}.root") for fold in (0, 1)]
        for path in paths:
            fold_file(path, {name: columns(int(era), index, number) for index, name in enumerate(("sig", "bkg"))})
        conditions[era] = {"datasets": paths, "class_weights": {"sig": float(era), "bkg": 1.0}}
    data = tabular_data(make_config(conditions=conditions), 0, conditional=True)
    assert data.conditions == ["2016", "2017"]
    assert data.inputs.shape == (600, 5)
    assert data.inputs.dtype == np.float32
    assert data.inputs[:, 3:].sum(axis=0).tolist() == [200, 400]
    signal = data.classes == 0
    factor = np.where(data.inputs[signal, 3] == 1, 2016, 2017)
    assert np.abs(data.weights[signal] / factor).max() < 1.5
    assert np.abs(data.weights[signal] / factor).min() >= 0.5


def test_missing_inputs_are_replaced_or_refused(
    make_config: Any, tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Any]
) -> None:
    content = {name: columns(0, index, 50) for index, name in enumerate(("sig", "bkg"))}
    content["bkg"]["x"][:3] = [np.nan, np.inf, -np.inf]
    config = make_config(missing={"value": -9.0})
    fold_file(tmp_path / "fold0.root", content)
    data = tabular_data(config, 0)
    assert np.count_nonzero(data.inputs[:, 0] == -9) == 3
    with pytest.raises(NtuplemlError, match="'x' in 3 of 50 events"):
        tabular_data(config.model_copy(update={"missing": None}), 0)


def test_a_class_of_which_nothing_trains_is_refused(
    make_config: Any, tmp_path: Path, fold_file: Callable[..., None], columns: Callable[..., Any]
) -> None:
    seed = next(seed for seed in range(100) if 0 in train_test_split(range(4), test_size=0.25, random_state=seed)[1])
    config = make_config(seed=seed)
    fold_file(tmp_path / "fold0.root", {"sig": columns(0, 0, 1), "bkg": columns(0, 1, 3)})
    with pytest.raises(NtuplemlError, match=r"fold0\.root: class 'sig': none of its events is in the training part"):
        tabular_data(config, 0)
