"""Small ntuples and configs for the tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest
import uproot

from ntupleml.config import DatasetConfig

if TYPE_CHECKING:
    from pathlib import Path


class WriteNtuple(Protocol):
    """Write a TTree (or several) to a file in the test's folder."""

    def __call__(self, name: str, tree: str = "ntuple", **columns: Any) -> Path: ...


class MakeConfig(Protocol):
    """A dataset config whose inputs and outputs are in the test's folder."""

    def __call__(self, **keys: Any) -> DatasetConfig: ...


@pytest.fixture
def write_ntuple(tmp_path: Path) -> WriteNtuple:
    def write(name: str, tree: str = "ntuple", **columns: Any) -> Path:
        path = tmp_path / "ntuples" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        types = {key: getattr(column, "dtype", None) or column.type for key, column in columns.items()}
        with uproot.recreate(path) as file:
            file.mktree(tree, types).extend(columns)
        return path

    return write


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    def make(**keys: Any) -> DatasetConfig:
        content = {
            "output_path": str(tmp_path / "output"),
            "output_filename": "dataset.root",
            "base_path": str(tmp_path / "ntuples"),
            "tree_path": "ntuple",
            "event_branch": "event",
            "training_weight_branch": "training_weight",
            **keys,
        }
        return DatasetConfig.model_validate({key: value for key, value in content.items() if value is not None})

    return make


@pytest.fixture
def signal(write_ntuple: WriteNtuple) -> Path:
    """A thousand events: event numbers from 10^12 + 1 on, x from 0 to 1, weights of which a tenth is negative."""
    number = np.arange(1000)
    return write_ntuple(
        "signal.root",
        event=10**12 + 1 + number,
        x=(number / 1000).astype("f4"),
        n=(number % 7).astype("i4"),
        w=np.where(number % 10 == 0, -0.5, 1.5),
    )
