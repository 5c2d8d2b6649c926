"""Losses of images and values against NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.errors import NtuplemlError
from ntupleml.models.networks import ImageOutput, Network
from ntupleml.models.registries import LOSS_SETTINGS, chosen_block, loss_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BINS, VALUES = (4, 6), 2
RANGE = (-np.pi, np.pi)
RANDOM = np.random.default_rng(4)
TRUTH, FOUND = RANDOM.normal(0, 20, (2, 7, BINS[0] * BINS[1] + VALUES)).astype(np.float32)
UNITS = {"etmiss": 30.0, "image": 15.0, "values": 1.0}
STORED = Path(__file__).resolve().parents[1] / "data" / "etmiss" / "etmiss.npz"


def loss(name: str, **settings: Any) -> NDArray[Any]:
    """Loss of each row."""
    network = Network(hidden=(), activation="relu", loss=name, loss_settings=settings)
    found = loss_of(network, ImageOutput(BINS, RANGE, UNITS))
    found.reduction = None
    return np.asarray(found(TRUTH, FOUND))


def differences(term: str) -> NDArray[Any]:
    both = (FOUND - TRUTH).astype(float)
    images, values = both[:, : BINS[0] * BINS[1]].reshape(-1, *BINS), both[:, BINS[0] * BINS[1] :]
    phi = -np.pi + (np.arange(BINS[1]) + 0.5) * 2 * np.pi / BINS[1]
    components = -np.stack([np.einsum("nep,p->n", images, one(phi)) for one in (np.cos, np.sin)], axis=1)
    return {"etmiss": components, "image": images.reshape(len(both), -1), "values": values}[term]


COSTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "squared": np.square,
    "absolute": np.abs,
    "huber": lambda x: np.where(abs(x) <= 10, x**2 / 2, 10 * (abs(x) - 5)),
    "quantile": lambda x: np.where(x < 0, -0.9 * x, 0.1 * x),
}


@pytest.mark.parametrize("difference", COSTS)
def test_terms(difference: str) -> None:
    settings = {"difference": difference, "delta": 10.0, "quantile": 0.9}
    cost = COSTS[difference]
    np.testing.assert_allclose(loss("etmiss", **settings), cost(differences("etmiss")).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(loss("image", **settings), cost(differences("image")).mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize("shares", [{}, {"etmiss": 0.5, "image": 0.0, "values": 3.0}])
def test_mixed_losses_count_in_units(shares: dict[str, float]) -> None:
    terms = {name: np.square(differences(name) / UNITS[name]) for name in UNITS}
    terms = {name: one.sum(axis=1) if name == "etmiss" else one.mean(axis=1) for name, one in terms.items()}
    expected = sum(shares.get(name, 1.0) * one for name, one in terms.items())
    np.testing.assert_allclose(loss("mixed", **shares), expected, rtol=1e-5)


def test_softkiller_on_the_stored_images() -> None:
    """907.65, where the sum of all differences, squared, would be 128,336.7."""
    with np.load(STORED) as file:
        truth, found = (file[f"image_{name}"].reshape(40, -1) for name in ("truth_nm_barcode", "SK"))
    network = Network(hidden=(), activation="relu", loss="etmiss")
    result = float(loss_of(network, ImageOutput((50, 64), RANGE))(truth, found))
    assert result == pytest.approx(907.6503862877878, rel=1e-6)
    assert np.square((found - truth).sum(axis=1, dtype=float)).mean() == pytest.approx(128_336.7, rel=1e-6)


def test_a_quantile_is_what_the_quantile_loss_is_smallest_for() -> None:
    network = Network(hidden=(), activation="relu", loss="quantile", loss_settings={"quantile": 0.8}, output="linear")
    truth = np.random.default_rng(1).exponential(1, (20_001, 1)).astype(np.float32)
    constants = np.linspace(0.5, 3, 251)
    found = [float(loss_of(network)(truth, np.full_like(truth, one))) for one in constants]
    assert constants[np.argmin(found)] == pytest.approx(np.quantile(truth, 0.8), abs=0.02)


def test_sample_weights_act() -> None:
    weights = np.linspace(0, 3, len(TRUTH)).astype(np.float32)
    network = Network(hidden=(), activation="relu", loss="etmiss")
    found = float(loss_of(network, ImageOutput(BINS, RANGE))(TRUTH, FOUND, sample_weight=weights))
    assert found == pytest.approx((np.square(differences("etmiss")).sum(axis=1) * weights).mean(), rel=1e-5)


def test_losses_are_written_and_read() -> None:
    import keras

    network = Network(hidden=(), activation="relu", loss="mixed", loss_settings={"values": 2.0, "difference": "huber"})
    one = loss_of(network, ImageOutput(BINS, RANGE, UNITS))
    again = keras.losses.deserialize(keras.losses.serialize(one))
    assert again.get_config() == one.get_config()
    assert float(again(TRUTH, FOUND)) == float(one(TRUTH, FOUND))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"type": "mixed", "etmiss": 0, "image": 0, "values": 0}, "all shares are 0"),
        ({"type": "mixed", "pixels": 1}, "pixels"),
        ({"type": "etmiss", "difference": "cubed"}, "cubed"),
        ({"type": "quantile", "quantile": 1}, "quantile"),
        ({"type": "etmis"}, "nearest: 'etmiss'"),
    ],
)
def test_wrong_settings(block: dict[str, Any], message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        chosen_block(block, LOSS_SETTINGS, "loss", "model.loss")
