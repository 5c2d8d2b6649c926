"""The layer of steps in networks of users: its file is read without risk, and is the same network."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.artifacts import load_keras_model, read_keras_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SLOTS = {"jets": 2, "electrons": 2, "met": 1}
STEPS: list[Any] = ["delta_phi", "overlap_removal", "met", {"thresholds": {"jets": 20.0}}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    import keras

    from ntupleml.models.layers import SlotSteps

    slots = keras.Input((5, 3), name="hlt")
    values = keras.layers.Flatten()(SlotSteps(SLOTS, STEPS, name="steps")(slots))
    keras.Model(slots, keras.layers.Dense(3)(values)).save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_a_file_is_read_and_loaded(path: Path) -> None:
    import keras

    raw = np.random.default_rng(1).normal(30, 20, (50, 5, 3)).astype(np.float32)
    raw[0, 4, 2] = np.nan
    found = load_keras_model(read_keras_file(path))(raw)
    np.testing.assert_array_equal(found, keras.saving.load_model(path)(raw))
    assert np.isfinite(found).all()


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    layer = next(one for one in config["config"]["layers"] if one["config"]["name"] == "steps")
    change(layer["config"])
    members["config.json"] = json.dumps(config).encode()
    other = path.with_name("changed.keras")
    with zipfile.ZipFile(other, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return other


@pytest.mark.parametrize(
    "change",
    [
        {"slots": [["jets", 10**6]]},
        {"slots": [["jets", 4]]},
        {"slots": {"jets": 5}},
        {"steps": ["__import__"]},
        {"steps": [{"step": "no such step"}]},
        {"steps": [{"step": "scale_pt", "type": "standard"}]},
        {"steps": [{"step": "thresholds", "pt": {"muons": 3.0}}]},
        {"more": 1},
    ],
)
def test_files_of_strangers_are_refused(path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(NtuplemlError, match="steps"):
        read_keras_file(changed(path, lambda settings: settings.update(change)))


@pytest.mark.parametrize(
    ("steps", "message"),
    [(["delta_fi"], "no step 'delta_fi'"), (["powers_of_two"], "is fitted"), ([{"met": {"type": "x"}}], "no type 'x'")],
)
def test_wrong_steps(steps: list[Any], message: str) -> None:
    from ntupleml.models.layers import SlotSteps

    with pytest.raises(ValueError, match=message):
        SlotSteps(SLOTS, steps)
