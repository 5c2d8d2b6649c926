"""Real Keras files, and ways to put something else into them."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


Members = dict[str, bytes]


@pytest.fixture(scope="session")
def keras_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `sequential.keras` (trained a step) and `functional.keras` (one output, a skip connection)."""
    import keras
    import numpy as np

    folder = tmp_path_factory.mktemp("keras")
    layers = keras.layers
    sequential = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(8, activation="tanh", kernel_regularizer=keras.regularizers.L2(1e-5)),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(2, activation="softmax", kernel_initializer="glorot_normal"),
        ]
    )
    sequential.compile(loss="categorical_crossentropy", optimizer="adam", weighted_metrics=["mean_squared_error"])
    sequential.train_on_batch(np.ones((4, 3)), np.eye(2)[[0, 1, 0, 1]])
    sequential.save(folder / "sequential.keras")

    inputs = keras.Input((3,))
    hidden = layers.Concatenate()([inputs, layers.Dense(4, activation="relu")(inputs)])
    functional = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    functional.compile(
        loss=keras.losses.binary_crossentropy, optimizer=keras.optimizers.Nadam(schedule), metrics=[keras.metrics.AUC()]
    )
    functional.save(folder / "functional.keras")
    return folder


@pytest.fixture
def craft(keras_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write `crafted.keras`: the sequential network with its config (parsed) or members changed by a function."""

    def write(
        config: Callable[[dict[str, Any]], Any] | None = None, members: Callable[[Members], Any] | None = None
    ) -> Path:
        with zipfile.ZipFile(keras_folder / "sequential.keras") as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        if config is not None:
            parsed = json.loads(content["config.json"])
            config(parsed)
            content["config.json"] = json.dumps(parsed).encode()
        if members is not None:
            members(content)
        path = tmp_path / "crafted.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path

    return write


@pytest.fixture
def craft_weights(craft: Callable[..., Path]) -> Callable[..., Path]:
    """Write `crafted.keras` with the weights file (h5py) changed by a function."""
    import h5py

    def write(change: Callable[[h5py.File], Any]) -> Path:
        def change_member(content: Members) -> None:
            stream = io.BytesIO(content["model.weights.h5"])
            with h5py.File(stream, "r+") as file:
                change(file)
            content["model.weights.h5"] = stream.getvalue()

        return craft(members=change_member)

    return write
