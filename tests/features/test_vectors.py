"""Features of four-vectors, from the energy and from the mass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats

from ntupleml.features.arrays import NUMPY
from ntupleml.features.making import FeatureMaker
from ntupleml.features.vectors import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

#: pt, eta, phi, mass: plain, massless, heavy, at rest, forward, φ at ±π.
VECTORS = np.array(
    [
        [50.0, 1.2, 0.7, 4.8],
        [30.0, -2.1, -2.5, 0.0],
        [10.0, 0.3, 1.5, 125.0],
        [0.0, 0.0, 0.0, 91.0],
        [5.0, 4.9, 3.0, 0.14],
        [80.0, 0.0, math.pi, 1.0],
        [80.0, -0.5, -math.pi, 1.0],
    ]
)


def by_hand(name: str, pt: float, eta: float, phi: float, mass: float) -> float:
    px, py, pz = pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta)
    energy = math.sqrt(px * px + py * py + pz * pz + mass * mass)
    values = {
        "pt": pt, "eta": eta, "phi": phi, "mass": mass, "px": px, "py": py, "pz": pz, "energy": energy,
        "p": math.hypot(px, py, pz), "theta": math.atan2(pt, pz), "transverse_mass": math.hypot(pt, mass),
        "rapidity": math.atanh(pz / energy),
    }  # fmt: skip
    if name.startswith("log_"):
        return math.log(max(values[name[4:]], 1e-30))
    return math.asinh(values[name[6:]]) if name.startswith("asinh_") else values[name]


@pytest.mark.parametrize("fourth", ["mass", "energy"])
@pytest.mark.parametrize("name", [*FEATURES, "log_pt", "log_energy", "asinh_pz"])
def test_each_feature_is_what_its_definition_gives(
    name: str, fourth: str, in_onnx: Callable[..., NDArray[Any]]
) -> None:
    raw = VECTORS.copy()
    if fourth == "energy":
        raw[:, 3] = [by_hand("energy", *vector) for vector in VECTORS]
    maker = FeatureMaker(("pt", "eta", "phi", fourth), (name,))
    expected = [[by_hand(name, *vector)] for vector in VECTORS]
    # a mass from the energy has the digits that E − p leaves
    atol = 1e-6 if fourth == "energy" and name in ("mass", "transverse_mass", "rapidity") else 1e-13
    np.testing.assert_allclose(maker.make(NUMPY, raw), expected, rtol=1e-12, atol=atol)
    rounded = raw.astype(np.float32).astype(np.float64)
    graph = in_onnx(lambda a, x: maker.make(a, x), rounded, np.float64)
    np.testing.assert_allclose(graph, maker.make(NUMPY, rounded), rtol=1e-6, atol=1e-6)


def test_an_energy_below_the_momentum_gives_no_mass() -> None:
    raw = np.array([[50.0, 1.0, 0.0, 50 * math.cosh(1.0) * (1 - 1e-6)]])
    maker = FeatureMaker(("pt", "eta", "phi", "energy"), ("mass",))
    assert maker.make(NUMPY, raw).tolist() == [[0.0]]


@given(floats(0.1, 1e4), floats(-5, 5), floats(-math.pi, math.pi), floats(0, 1e3), floats(-2, 2))
def test_mass_and_transverse_momentum_stay_in_boosts_along_the_beam(
    pt: float, eta: float, phi: float, mass: float, boost: float
) -> None:
    maker = FeatureMaker(("pt", "eta", "phi", "mass"), ("px", "py", "pz", "energy", "rapidity"))
    px, py, pz, energy, rapidity = maker.make(NUMPY, np.array([pt, eta, phi, mass]))
    moved_pz = math.sinh(boost) * energy + math.cosh(boost) * pz
    moved = np.array([pt, math.asinh(moved_pz / math.hypot(px, py)), phi, mass])
    again = maker.make(NUMPY, moved)
    assert again[2] == pytest.approx(moved_pz, rel=1e-9, abs=1e-9)
    assert again[4] == pytest.approx(rapidity + boost, rel=1e-9, abs=1e-9)


@given(floats(1e-3, 1e4), floats(-8, 8), floats(-math.pi, math.pi), floats(0, 1e4))
def test_four_vectors_from_energy_or_mass(pt: float, eta: float, phi: float, mass: float) -> None:
    """The squared mass has the digits that E² − p² leaves; nothing is NaN where rounding makes E smaller than p."""
    energy = math.hypot(pt * math.cosh(eta), mass)
    of_mass = FeatureMaker(("pt", "eta", "phi", "mass"), ()).vectors(NUMPY, np.array([pt, eta, phi, mass]))
    assert of_mass.tolist() == [pt, eta, phi, mass]
    for number in (np.float64, np.float32):
        raw = np.array([pt, eta, phi, energy], number)
        found = FeatureMaker(("pt", "eta", "phi", "energy"), ()).vectors(NUMPY, raw.astype(np.float64))
        rounding = np.finfo(number).eps * (20 + 10 * abs(eta))
        assert abs(found[3] ** 2 - mass**2) <= rounding * energy**2


def test_columns_of_the_user_one_hot_and_type(in_onnx: Callable[..., NDArray[Any]]) -> None:
    maker = FeatureMaker(
        ("pt", "eta", "phi", "mass", "btag", "type"), ("btag", "type", "is_met"), {"btag": (1, 4)}, ("jet", "met")
    )
    raw = np.array([[20.0, 0, 0, 0, 4, 0], [20.0, 0, 0, 0, 0, 1]])
    assert maker.columns == ["btag_1", "btag_4", "is_jet", "is_met", "is_met"]
    expected = [[0, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    np.testing.assert_array_equal(maker.make(NUMPY, raw), expected)
    found = in_onnx(lambda a, x: maker.make(a, x), raw, np.float64)
    np.testing.assert_array_equal(found, expected)
