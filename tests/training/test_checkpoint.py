"""Checkpoints: the state of a training comes back, and another training's is refused."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.models import Network, build_model, matrix
from ntupleml.training.checkpoint import Progress, load_checkpoint, save_checkpoint, training_identity
from ntupleml.training.stopping import Stopping

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = Network(hidden=(4,), activation="relu", dropout=0.5, norm="batch")
CONFIG: dict[str, Any] = {
    "datasets": ["a.root", "b.root"],
    "output_path": "out",
    "classes": ["s", "b"],
    "variables": ["x", "y"],
    "model": {"hidden": [4], "epochs": 3},
}


def identity(**changes: Any) -> dict[str, Any]:
    config = TrainingConfig.model_validate({**CONFIG, **changes})
    return training_identity(config.model_dump(mode="json"), [{"uuid": "1", "fold": 0}], {"--conditional": False})


def trained(seed: int) -> Any:
    model = build_model(NETWORK, matrix(2), 2, seed)
    inputs = np.random.default_rng(1).normal(size=(20, 2)).astype(np.float32)
    model.fit(inputs, np.eye(2, dtype=np.float32)[(inputs[:, 0] > 0).astype(int)], verbose=0)
    return model


def test_everything_comes_back(tmp_path: Path) -> None:
    """After loading, another epoch gives the same weights: optimiser and dropout states are there."""
    path = tmp_path / "c.npz"
    first, second = trained(1), build_model(NETWORK, matrix(2), 2, 2)
    progress = Progress(3, {"loss": [3.0, 2.0, 1.0]}, Stopping(1.0, 3, 0, 1.0, 0), first.get_weights())
    save_checkpoint(path, first, progress, identity())
    second.optimizer.build(second.trainable_variables)
    loaded = load_checkpoint(path, second, identity())
    assert (loaded.epoch, loaded.history, loaded.stopping) == (3, progress.history, progress.stopping)
    for one, two in zip(loaded.best_weights, progress.best_weights, strict=True):
        np.testing.assert_array_equal(one, two)
    inputs = np.random.default_rng(2).normal(size=(40, 2)).astype(np.float32)
    for model in (first, second):
        model.fit(inputs, np.eye(2, dtype=np.float32)[np.arange(40) % 2], shuffle=False, verbose=0)
    for one, two in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variables": ["x", "z"]}, r'variables was \["x", "y"\] and is \["x", "z"\] now'),
        ({"classes": ["b", "s"]}, "classes was"),
        ({"model": {"hidden": [5], "epochs": 3}}, r"model.hidden was \[4\] and is \[5\] now"),
        ({"seed": 2}, "seed was 1234 and is 2 now"),
        ({"train_test_split": 0.5, "seed": 2}, "seed was .*; also train_test_split"),
    ],
)
def test_another_training_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    model = trained(1)
    save_checkpoint(tmp_path / "c.npz", model, Progress(), identity())
    with pytest.raises(NtuplemlError, match=message):
        load_checkpoint(tmp_path / "c.npz", model, identity(**changes))


def test_a_checkpoint_of_a_version_with_fewer_keys(tmp_path: Path) -> None:
    """What it does not know is off: it goes on, unless it is on now."""
    model, old = trained(1), identity()
    for key in ("selections", "equal_numbers", "parameters", "adversary", "model.settings", "model.keep_epochs"):
        del old[key]
    save_checkpoint(tmp_path / "c.npz", model, Progress(epoch=2), old)
    assert load_checkpoint(tmp_path / "c.npz", model, identity()).epoch == 2
    with pytest.raises(NtuplemlError, match="equal_numbers was null and is true now"):
        load_checkpoint(tmp_path / "c.npz", model, identity(equal_numbers=True))


def test_epochs_and_places_may_change(tmp_path: Path) -> None:
    model = trained(1)
    save_checkpoint(tmp_path / "c.npz", model, Progress(epoch=2), identity())
    changed = identity(
        model={"hidden": [4], "epochs": 30, "early_stopping": 5}, output_path="elsewhere", datasets=["c.root", "d.root"]
    )
    assert load_checkpoint(tmp_path / "c.npz", model, changed).epoch == 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY nonsense"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(NtuplemlError, match="not the checkpoint of a training"):
        load_checkpoint(tmp_path / "c.npz", trained(1), identity())


def test_arrays_that_the_file_does_not_hold_take_no_memory(tmp_path: Path) -> None:
    """A head that claims 800 TB, and zeros that were compressed."""
    np.savez(tmp_path / "claimed.npz", state=np.zeros(1))
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10**14,)})
    with zipfile.ZipFile(tmp_path / "claimed.npz", "w") as archive:
        archive.writestr("state.npy", head.getvalue())
    np.savez_compressed(tmp_path / "zeros.npz", state=np.zeros(10_000_000))
    for name, reason in (("claimed.npz", "but 0 bytes"), ("zeros.npz", "it unpacks to more than it holds")):
        with pytest.raises(NtuplemlError, match=f"not the checkpoint of a training .*{reason}"):
            load_checkpoint(tmp_path / name, trained(1), identity())


def test_a_pickle_inside_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", state=np.array({"epoch": 1}, dtype=object))
    with pytest.raises(NtuplemlError, match="not the checkpoint of a training"):
        load_checkpoint(tmp_path / "c.npz", trained(1), identity())


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", trained(1), Progress(), identity())
    other = build_model(Network(hidden=(6,), activation="relu", dropout=0.5, norm="batch"), matrix(2), 2, 1)
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(NtuplemlError, match="weights of another network"):
        load_checkpoint(tmp_path / "c.npz", other, identity())
