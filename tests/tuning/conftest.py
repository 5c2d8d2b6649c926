"""A small training whose settings are searched: two classes of Gaussians in two fold files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ntupleml.ntuples import new_tree_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Of the boosted trees `xgb`.
SPACE = {
    "boosted_trees.xgb.options.max_depth": [1, 4],
    "boosted_trees.xgb.options.learning_rate": {"range": [0.05, 0.5], "log": True},
}


def write_fold(path: Path, seed: int) -> None:
    with new_tree_file(path, overwrite=True) as file:
        for number, name in enumerate(("sig", "bkg")):
            random = np.random.default_rng([seed, number])
            columns = {
                "x": random.normal(number, 1, 400),
                "y": random.normal(0, 1 + number, 400),
                "weight": random.uniform(0.5, 1.5, 400) * np.where(random.random(400) < 0.05, -1, 1),
            }
            file.tree(name, {branch: values.dtype for branch, values in columns.items()}).extend(columns)


@pytest.fixture
def make_config(tmp_path: Path) -> Callable[..., Path]:
    """Path of a config: `make_config(tune={...}, **keys)`."""

    def make(tune: dict[str, Any] | None = None, name: str = "training", **keys: Any) -> Path:
        for fold in range(2):
            if not (tmp_path / f"fold{fold}.root").exists():
                write_fold(tmp_path / f"fold{fold}.root", fold)
        content = {
            "datasets": [str(tmp_path / f"fold{fold}.root") for fold in range(2)],
            "output_path": str(tmp_path / name),
            "classes": ["sig", "bkg"],
            "event_weights": "weight",
            "variables": ["x", "y"],
            "seed": 7,
            "model": {"hidden": [8], "epochs": 3, "batch_size": 100},
            "boosted_trees": [
                {"name": "xgb", "rounds": 8, "options": {"max_depth": 2}},
                {"name": "hist", "type": "hist_gradient_boosting", "rounds": 8},
            ],
            "tune": {"trials": 4, **SPACE} if tune is None else tune,
            **keys,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text("# A training.\n" + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return make
