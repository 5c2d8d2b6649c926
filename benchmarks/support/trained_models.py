"""Models that the stages make for a benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from support.measuring import cost_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT = Path(__file__).resolve().parents[2]


def trained_models(folder: Path, contents: Mapping[str, Any]) -> list[Path]:
    """Write the configs `dataset`, `training` and others, run these two stages, and return where the configs are."""
    configs = [folder / f"{stage}.yaml" for stage in contents]
    for path, content in zip(configs, contents.values(), strict=True):
        path.write_text(yaml.safe_dump(content))
    cost_of([sys.executable, PROJECT / "dataset" / "create_training_dataset.py", configs[0]])
    cost_of([sys.executable, PROJECT / "training" / "keras_training.py", configs[1], "all"])
    return configs
