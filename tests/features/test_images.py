"""Missing transverse energy of images against geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.features.images import missing_energy_of

TURN = 2 * math.pi


def rotated(vector: np.ndarray, angle: float) -> np.ndarray:
    x, y = vector
    return np.array([x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(-50, 50))
def test_a_rolled_image_turns_the_vector_as_far(seed: int, phi: int, bins: int) -> None:
    image = np.random.default_rng(seed).normal(0, 10, (3, phi))
    expected = rotated(missing_energy_of(image), bins * TURN / phi)
    np.testing.assert_allclose(missing_energy_of(np.roll(image, bins, axis=1)), expected, atol=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_reflection_in_eta_changes_nothing(seed: int) -> None:
    images = np.random.default_rng(seed).exponential(1, (2, 5, 8))
    np.testing.assert_allclose(missing_energy_of(images[:, ::-1]), missing_energy_of(images), rtol=1e-12)


@pytest.mark.parametrize("column", range(64))
def test_one_pixel_points_away_from_its_centre(column: int) -> None:
    image = np.zeros((50, 64), np.float32)
    image[7, column] = 50
    angle = -math.pi + (column + 0.5) * TURN / 64
    np.testing.assert_allclose(missing_energy_of(image), [-50 * math.cos(angle), -50 * math.sin(angle)], atol=1e-12)


def test_an_even_image_has_none() -> None:
    assert np.abs(missing_energy_of(np.full((50, 64), 3.7))).max() < 1e-10
