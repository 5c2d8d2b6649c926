"""Fold files read for training: branches, friends, missing inputs, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import TrainingConfig
from ntupleml.datasets.loading import class_trees, fold_files, load_events
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, reading

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def write(path: Path, **trees: dict[str, NDArray[Any]]) -> None:
    with new_tree_file(path, overwrite=True) as file:
        for name, columns in trees.items():
            file.tree(name, {branch: values.dtype for branch, values in columns.items()}).extend(columns)


def values(events: int = 4, start: float = 0.0) -> dict[str, NDArray[Any]]:
    x = np.arange(start, start + events, dtype=np.float32)
    return {"x": x, "n": np.arange(events, dtype=np.int64), "w": np.linspace(-1, 1, events)}


def config(tmp_path: Path, **keys: Any) -> TrainingConfig:
    content = {
        "datasets": [str(tmp_path / "fold0.root"), str(tmp_path / "fold1.root")],
        "output_path": "out",
        "classes": ["sig", "bkg"],
        "event_weights": "w",
        "variables": ["x", "n"],
    }
    return TrainingConfig.model_validate({**content, **keys})


def load(config: TrainingConfig) -> Any:
    return load_events(config, class_trees(config, fold_files(config, 0, conditional=False)))


def matrix(config: TrainingConfig) -> NDArray[Any]:
    found: NDArray[Any] = load(config).inputs.batch()["variables"]
    return found


def test_columns_are_those_of_the_variables_in_order(tmp_path: Path) -> None:
    write(tmp_path / "fold0.root", bkg=values(2, 10.0), sig=values(3))
    events = load(config(tmp_path, variables=["n", "x"]))
    inputs = events.inputs.batch()["variables"]
    np.testing.assert_array_equal(inputs, [[0, 0], [1, 1], [2, 2], [0, 10], [1, 11]])
    np.testing.assert_array_equal(events.weights, [-1, 0, 1, -1, 1])
    np.testing.assert_array_equal(events.trees, [0, 0, 0, 1, 1])
    assert inputs.dtype == np.float32


def test_without_event_weights_each_event_counts_one(tmp_path: Path) -> None:
    write(tmp_path / "fold0.root", bkg=values(2), sig=values(3))
    assert (load(config(tmp_path, event_weights=None)).weights == 1).all()


def test_friends_in_the_same_file(tmp_path: Path) -> None:
    """Trees whose names begin with `{class}_friend`, as htt-ml reads them."""
    friends = {f"{name}_friend0": {"z": np.array([7.0, 8.0])} for name in ("sig", "bkg")}
    write(tmp_path / "fold0.root", sig=values(2), bkg=values(2), **friends)
    np.testing.assert_array_equal(matrix(config(tmp_path, variables=["x", "z"])), [[0, 7], [1, 8], [0, 7], [1, 8]])


def test_formula_as_a_variable(tmp_path: Path) -> None:
    write(tmp_path / "fold0.root", sig=values(2), bkg=values(2))
    np.testing.assert_array_equal(matrix(config(tmp_path, variables=["x+2*n"]))[:, 0], [0, 3, 0, 3])


@pytest.mark.parametrize("others", [[], ["n"]])
def test_variables_that_need_no_branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: list[str]) -> None:
    """The entry number counts through the chunks; a constant has as many values as there are events."""
    monkeypatch.setattr(reading, "ENTRIES_PER_CHUNK", 2)
    write(tmp_path / "fold0.root", sig=values(3), bkg=values(5))
    inputs = matrix(config(tmp_path, event_weights=None, variables=["Entry$%3", "2**-1", "Entry$", *others]))
    entries = [0, 1, 2, 0, 1, 2, 3, 4]
    np.testing.assert_array_equal(inputs[:, 0], [0, 1, 2, 0, 1, 2, 0, 1])
    np.testing.assert_array_equal(inputs[:, 1], 8 * [0.5])
    np.testing.assert_array_equal(inputs[:, 2:], np.transpose([entries] * (1 + len(others))))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_missing_inputs_are_refused_or_replaced(tmp_path: Path, bad: float) -> None:
    columns = values(4)
    columns["x"][1:3] = bad
    write(tmp_path / "fold0.root", sig=values(4), bkg=columns)
    with pytest.raises(NtuplemlError, match=r"class 'bkg': NaN or infinite input: branch 'x' in 2 of 4 events"):
        load(config(tmp_path))
    replaced = matrix(config(tmp_path, missing={"value": -10.0}))
    np.testing.assert_array_equal(replaced[4:, 0], [0, -10, -10, 3])


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    columns = values(4)
    columns["w"][0] = np.nan
    write(tmp_path / "fold0.root", sig=columns, bkg=values(4))
    with pytest.raises(NtuplemlError, match=r"class 'sig': NaN or infinite weight: branch 'w' in 1 of 4 events"):
        load(config(tmp_path))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"variables": ["x", "nn"]}, "no branch 'nn'"),
        ({"event_weights": "weight"}, "event_weights: no branch 'weight'"),
        ({"classes": ["sig", "bgk"]}, "no tree 'bgk'.*nearest: 'bkg'"),
        ({"datasets": ["nowhere.root", "b.root"]}, "nowhere.root"),
    ],
)
def test_what_is_not_there(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    write(tmp_path / "fold0.root", sig=values(), bkg=values())
    with pytest.raises(NtuplemlError, match=message):
        load(config(tmp_path, **keys))


def test_class_without_events(tmp_path: Path) -> None:
    write(tmp_path / "fold0.root", sig=values(), bkg=values(0))
    with pytest.raises(NtuplemlError, match=r"fold0.root: class 'bkg': its tree has no events"):
        load(config(tmp_path))


def test_wrong_fold(tmp_path: Path) -> None:
    with pytest.raises(NtuplemlError, match="fold 2: there are 2 fold files, so folds 0 to 1"):
        fold_files(config(tmp_path), 2, conditional=False)
    assert [file.fold for file in fold_files(config(tmp_path), 1, conditional=False)] == [1]
