"""Images that are turned and mirrored while training, with the image that is learnt and the values of a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError

from ntupleml.config import TrainingConfig
from ntupleml.targets import TARGET_IMAGE
from ntupleml.training.augmentation import Augmentation, turned_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

EVENTS, ETA, PHI = 60, 6, 16
CENTRES = (np.arange(PHI) + 0.5) * 2 * np.pi / PHI - np.pi
CONTENT: dict[str, Any] = {
    "datasets": ["0.root", "1.root"],
    "output_path": "out",
    "classes": ["jets"],
    "inputs": {"calo": {"image": ["cluster", "SK"]}},
    "target": {"image": "truth", "values": {"met_x": "mx", "met_y": "my"}},
    "model": {"name": "unet"},
    "augmentation": {"phi_rotation": True, "eta_reflection": True, "vectors": [["met_x", "met_y"]]},
}


def config(**keys: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({**CONTENT, **keys})


def missing_energy(images: NDArray[Any]) -> NDArray[Any]:
    """Components of the first channel, shape (events, 2)."""
    sums = images[..., 0].astype("f8").sum(axis=1)
    return np.stack([-sums @ np.cos(CENTRES), -sums @ np.sin(CENTRES)], axis=1)


def test_inputs_target_and_vector_turn_together() -> None:
    random = np.random.default_rng(3)
    truth = random.exponential(1, (EVENTS, ETA, PHI, 1)).astype("f4")
    batch = {"calo": np.concatenate([truth, 2 * truth], axis=3), TARGET_IMAGE: truth}
    values = missing_energy(truth).astype("f4")
    augmentation = Augmentation.of(config(), 0)
    assert augmentation is not None
    found, turned = augmentation.events(batch, values, augmentation.generator(1))
    np.testing.assert_array_equal(found["calo"][..., :1], found[TARGET_IMAGE])
    np.testing.assert_array_equal(found["calo"][..., 1], 2 * found["calo"][..., 0])
    np.testing.assert_allclose(turned, missing_energy(found[TARGET_IMAGE]), atol=1e-4)
    np.testing.assert_allclose(np.hypot(*turned.T), np.hypot(*values.T), rtol=1e-5)
    angles = np.angle((turned[:, 0] + 1j * turned[:, 1]) / (values[:, 0] + 1j * values[:, 1]))
    steps = angles * PHI / (2 * np.pi)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert len(np.unique(np.round(steps))) > 10
    # each ring of η keeps its energy, or is that of the other side
    rings, before = found[TARGET_IMAGE].sum(axis=(2, 3)), truth.sum(axis=(2, 3))
    same, mirrored = (np.isclose(rings, one, rtol=1e-5).all(axis=1) for one in (before, before[:, ::-1]))
    assert (same ^ mirrored).all()
    assert 15 < mirrored.sum() < 45
    again, _ = augmentation.events(batch, values, augmentation.generator(1))
    np.testing.assert_array_equal(again["calo"], found["calo"])
    np.testing.assert_array_equal(batch["calo"][..., :1], truth)


def test_vectors_are_known_by_their_last_letter() -> None:
    """They turn without being named, unless the list is empty."""
    random = np.random.default_rng(4)
    images, values = random.random((EVENTS, ETA, PHI, 2), "f4"), random.normal(size=(EVENTS, 3)).astype("f4")
    values[:, 2] = 30
    target = {"image": "truth", "values": {"met_x": "mx", "met_y": "my", "pileup": "mu"}}
    found = []
    for given in ({"vectors": [["met_x", "met_y"]]}, {}, {"vectors": []}):
        one = Augmentation.of(config(target=target, augmentation={"phi_rotation": True, **given}), 0)
        assert one is not None
        found.append(one.events({"calo": images}, values, one.generator(1))[1])
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - values)[:, :2].max() > 0.1
    np.testing.assert_array_equal(found[0][:, 2], values[:, 2])
    np.testing.assert_array_equal(found[2], values)


def test_turned_by_a_bin_and_mirrored() -> None:
    images = np.arange(12, dtype="f4").reshape(2, 2, 3, 1)
    found = turned_images(images, np.array([1, -1]), np.array([False, True]))
    assert found[..., 0].tolist() == [[[2, 0, 1], [5, 3, 4]], [[10, 11, 9], [7, 8, 6]]]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"augmentation": {"translation": {"phi": 0.1}}}, "augmentation.translation: inputs.calo is an image"),
        ({"augmentation": {"phi_rotation": True, "vectors": [["met_x", "met_z"]]}}, "no value 'met_z' is learnt; near"),
        (
            {"inputs": {"calo": {"image": "e", "eta": "a", "phi": "b", "bins": [2, 3], "eta_range": [0, 2]}}},
            "augmentation.eta_reflection: inputs.calo: eta_range is not symmetric, so it has no mirror",
        ),
        (
            {
                "inputs": {
                    "calo": {
                        "image": "e",
                        "eta": "a",
                        "phi": "b",
                        "bins": [2, 3],
                        "eta_range": [-2, 2],
                        "phi_range": [0, 3],
                    }
                }
            },
            "augmentation.phi_rotation: inputs.calo: phi_range is no whole turn, so it cannot be turned",
        ),
    ],
)
def test_what_cannot_be_changed_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        config(**keys)
    assert message in str(raised.value)
