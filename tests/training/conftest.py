"""Small fold files: two or three classes of Gaussians, with weights of both signs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import TrainingConfig
from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray


def class_columns(seed: int, number: int, events: int) -> dict[str, NDArray[Any]]:
    """Events of a class: the classes' means lie apart in x, and 5 % of the weights are negative."""
    generator = np.random.default_rng([seed, number])
    return {
        "x": generator.normal(number, 1, events).astype(np.float32),
        "y": generator.normal(10 * number, 10, events),
        "n": generator.integers(0, 5, events).astype(np.int32),
        "weight": generator.uniform(0.5, 1.5, events) * np.where(generator.random(events) < 0.05, -1, 1),
    }


def write_fold_file(path: Path, columns: dict[str, dict[str, NDArray[Any]]]) -> None:
    """One tree per class."""
    with new_tree_file(path, overwrite=True) as file:
        for name, values in columns.items():
            file.tree(name, {branch: array.dtype for branch, array in values.items()}).extend(values)


@pytest.fixture(scope="module", autouse=True)
def _files_without_pictures() -> Iterator[None]:
    """Rendering takes a tenth of a small training; what pictures show is tested in tests/plots."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("matplotlib.figure.Figure.savefig", lambda _, file, **__: file.write(b"a picture"))
        yield


@pytest.fixture(scope="session")
def fold_file() -> Callable[..., None]:
    """Write a fold file: `fold_file(path, {class: columns})`."""
    return write_fold_file


@pytest.fixture(scope="session")
def columns() -> Callable[[int, int, int], dict[str, NDArray[Any]]]:
    """Columns of a class: `columns(seed, class_index, events)`."""
    return class_columns


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., TrainingConfig]:
    """A training config with its fold files: `make_config(model={...}, num_folds=2, **keys)`."""

    def make(num_folds: int = 2, classes: tuple[str, ...] = ("sig", "bkg"), **keys: Any) -> TrainingConfig:
        for fold in range(num_folds):
            write_fold_file(
                tmp_path / f"fold{fold}.root",
                {name: class_columns(fold, index, 300 + 200 * index) for index, name in enumerate(classes)},
            )
        content: dict[str, Any] = {
            "datasets": [str(tmp_path / f"fold{fold}.root") for fold in range(num_folds)],
            "output_path": str(tmp_path / "out"),
            "classes": list(classes),
            "event_weights": "weight",
            "variables": ["x", "y", "n"],
            "seed": 7,
            "model": {"hidden": [8], "activation": "tanh", "dropout": 0.1, "epochs": 6, "batch_size": 64},
        }
        given = keys.pop("model", {})
        model = given if "name" in given else {**content["model"], **given}
        return TrainingConfig.model_validate({**content, **keys, "model": model})

    return make
