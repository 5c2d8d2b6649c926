"""Features of pairs: against four-vectors in exact arithmetic, at the ends of φ, in NumPy, ONNX and Keras."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import helper
from onnxruntime import InferenceSession

from ntupleml.features.arrays import NUMPY, NumpyLike
from ntupleml.features.pairs import BEGINNINGS, PAIR_FEATURES, known_pair_feature, pair_features, pair_table
from ntupleml.onnx_models.arrays import OnnxArrays
from ntupleml.onnx_models.graph import IR_VERSION, OPSET, GraphBuilder

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOGARITHMS = [f"log_{name}" for name in ("delta_r", "kt", "mass2", "z")]


def objects(number: int, seed: int = 1) -> NDArray[np.float64]:
    """pt, η, φ, mass of objects; every fifth is massless."""
    random = np.random.default_rng(seed)
    result = np.stack(
        [
            random.exponential(60, number) + 1,
            random.uniform(-3, 3, number),
            random.uniform(-np.pi, np.pi, number),
            random.exponential(10, number),
        ],
        axis=-1,
    )
    result[::5, 3] = 0
    return result


def feature(name: str, one: Any, two: Any) -> float:
    """Of two objects."""
    return float(pair_features(NUMPY, np.array([one, two], np.float64), [name])[0, 1, 0])


def exact_cosine(x: Decimal, terms: int = 40) -> Decimal:
    """Cosine as the sum of its series."""
    total = term = Decimal(1)
    for number in range(1, terms):
        term *= -x * x / ((2 * number - 1) * (2 * number))
        total += term
    return total


def exact_mass2(one: Any, two: Any) -> float:
    """E² − p² with 60 digits: E₁E₂ − pz₁pz₂ − pT₁pT₂ cos Δφ, twice, plus the squared masses."""
    with localcontext() as context:
        context.prec = 60
        (pt1, eta1, phi1, m1), (pt2, eta2, phi2, m2) = ([Decimal(float(x)) for x in each] for each in (one, two))
        z1, z2 = (pt * (eta.exp() - (-eta).exp()) / 2 for pt, eta in ((pt1, eta1), (pt2, eta2)))
        e1, e2 = ((pt * pt + z * z + m * m).sqrt() for pt, z, m in ((pt1, z1, m1), (pt2, z2, m2)))
        product = e1 * e2 - z1 * z2 - pt1 * pt2 * exact_cosine(phi1 - phi2)
        return float(m1 * m1 + m2 * m2 + 2 * product)


def test_masses_have_all_digits() -> None:
    """For general and nearly collinear objects, massive and massless."""
    one = objects(40)
    near = one + np.random.default_rng(2).normal(0, 1e-6, one.shape) * [0, 1, 1, 0]
    for others in (objects(40, 3), near):
        for first, second in zip(one, others, strict=True):
            expected = exact_mass2(first, second)
            assert feature("mass2", first, second) == pytest.approx(expected, rel=1e-12)
            assert feature("mass", first, second) == pytest.approx(np.sqrt(expected), rel=1e-12)


@pytest.mark.parametrize("eta", [0.0, 1e-7, 0.3, 4.0])
def test_back_to_back_and_massless(eta: float) -> None:
    """m² = 4 pT₁ pT₂ (sinh²(Δη/2) + sin²(Δφ/2))."""
    one, two = [40.0, eta / 2, 0.5, 0.0], [30.0, -eta / 2, 0.5 - np.pi, 0.0]
    expected = 4 * 40 * 30 * (np.sinh(eta / 2) ** 2 + 1)
    assert feature("mass2", one, two) == pytest.approx(expected, rel=1e-14)
    assert feature("pt", one, two) == pytest.approx(10, rel=1e-12)
    assert feature("phi", one, two) == pytest.approx(0.5, rel=1e-12)


def test_sums_of_four_vectors() -> None:
    """From the sums of px, py, pz and E."""
    one, two = objects(50), objects(50, 3)
    pt, eta, phi, mass = np.stack([one, two], axis=-1).transpose(1, 0, 2)
    px, py, pz = pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    px, py, pz, energy = (each.sum(axis=1) for each in (px, py, pz, energy))
    expected = {
        "pt": np.hypot(px, py),
        "eta": np.arctanh(pz / np.sqrt(px**2 + py**2 + pz**2)),
        "phi": np.arctan2(py, px),
        "energy": energy,
        "mass": np.sqrt(energy**2 - px**2 - py**2 - pz**2),
        "delta_r": np.hypot(eta[:, 0] - eta[:, 1], np.angle(np.exp(1j * (phi[:, 0] - phi[:, 1])))),
    }
    for name, values in expected.items():
        np.testing.assert_allclose([feature(name, *each) for each in zip(one, two, strict=True)], values, rtol=1e-9)


def test_scales_and_functions() -> None:
    one, two = [40.0, 1.0, 0.5, 5.0], [10.0, 0.0, 0.5, 3.0]
    assert feature("delta_eta", two, one) == -1
    assert feature("kt", one, two) == 10
    assert feature("z", one, two) == 0.2
    assert feature("log_z", one, two) == np.log(0.2)
    assert feature("log_delta_phi", one, two) == np.log(1e-8)
    assert feature("psi_delta_eta", two, one) == -np.log(2)
    assert feature("cos_delta_r", one, two) == np.cos(1)
    assert feature("sin_delta_eta", two, one) == np.sin(-1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (np.pi, -np.pi, 0.0),
        (np.pi, 0.0, np.pi),
        (0.0, np.pi, np.pi),
        (0.0, np.nextafter(np.pi, 0), -np.nextafter(np.pi, 0)),
        (np.pi / 2, -np.pi / 2, np.pi),
        (3.0, -3.0, 6 - 2 * np.pi),
        (-3.0, 3.0, 2 * np.pi - 6),
        (6.0, 0.5, 5.5 - 2 * np.pi),
        (0.5, 6.0, 2 * np.pi - 5.5),
        (20.0, 0.0, 20 - 6 * np.pi),
    ],
)
def test_angles_are_wrapped(first: float, second: float, expected: float) -> None:
    found = feature("delta_phi", [1, 0, first, 0], [1, 0, second, 0])
    assert found == pytest.approx(expected, abs=4e-15)
    assert -np.pi < found <= np.pi


def test_angles_next_to_the_ends_stay_in_range() -> None:
    ends = [np.nextafter(end, end + side) for end in (np.pi, -np.pi) for side in (-1, 1)]
    for end in [*ends, np.pi, -np.pi]:
        assert -np.pi < feature("delta_phi", [1, 0, end, 0], [1, 0, 0, 0]) <= np.pi


def in_onnx(vectors: NDArray[Any], names: list[str], dtype: type[np.generic]) -> NDArray[Any]:
    graph = GraphBuilder(prefix="g/")
    arrays = OnnxArrays(graph, dtype)
    result = pair_features(arrays, arrays.value("vectors"), names)
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [
        [helper.make_tensor_value_info(name, number, [None] * axes)]
        for name, axes in (("vectors", 3), (result.name, 4))
    ]
    model = helper.make_model(
        helper.make_graph(graph.nodes, "test", *ends, initializer=graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    found: NDArray[Any] = InferenceSession(model.SerializeToString()).run(None, {"vectors": vectors.astype(dtype)})[0]
    return found


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2e-6), (np.float64, 1e-12)])
def test_onnx_and_keras_compute_what_numpy_does(dtype: type[np.generic], limit: float) -> None:
    """Padding, an object twice and nearly collinear ones included; the azimuth of ONNX has single precision."""
    from keras import ops

    vectors = objects(30).astype(dtype).reshape(5, 6, 4)
    vectors[0, 4:] = 0
    vectors[1, 1] = vectors[1, 0]
    vectors[2, 1] = vectors[2, 0] + np.array([0, 1e-4, 1e-4, 0], dtype)
    names = [name for name in PAIR_FEATURES if name not in ("phi", "eta")] + LOGARITHMS + ["psi_product", "cos_kt"]
    expected = pair_features(NUMPY, vectors.astype(np.float64), names)
    assert np.isfinite(expected).all()
    # of angles the difference is rounded as the angles are
    slack = np.array([limit if name.startswith(("delta", "cos", "log")) else 0 for name in names])
    slack[names.index("cos_kt")] *= 300
    for found in (in_onnx(vectors, names, dtype), np.asarray(pair_features(NumpyLike(ops), vectors, names))):
        assert found.dtype == dtype
        assert (np.abs(found - expected) <= limit * np.abs(expected) + slack).all(), names
    np.testing.assert_allclose(
        in_onnx(vectors, ["phi"], dtype), pair_features(NUMPY, vectors.astype(np.float64), ["phi"]), atol=2e-6
    )


@pytest.mark.parametrize("radius", [None, 1.5])
def test_table_of_pairs(radius: float | None) -> None:
    """By event, first and second object, as loops find them; in more events than are computed at once."""
    random = np.random.default_rng(4)
    vectors = objects(3000 * 5).reshape(3000, 5, 4)
    mask = random.random((3000, 5)) < 0.7
    table = pair_table(vectors, mask, ["delta_r", "log_mass2"], radius)
    features = pair_features(NUMPY, vectors, ["delta_r", "log_mass2"])
    expected = [
        (event, i, j)
        for event in range(3000)
        for i in range(5)
        for j in range(i + 1, 5)
        if mask[event, i] and mask[event, j] and (radius is None or features[event, i, j, 0] < radius)
    ]
    assert list(zip(table.event.tolist(), table.first.tolist(), table.second.tolist(), strict=True)) == expected
    np.testing.assert_allclose(table.features, features[table.event, table.first, table.second], rtol=1e-13)


@pytest.mark.parametrize("shape", [(0, 5, 4), (3, 0, 4), (3, 1, 4)])
def test_no_pairs(shape: tuple[int, int, int]) -> None:
    table = pair_table(np.ones(shape, np.float32), np.ones(shape[:2], bool), ["mass", "kt"])
    assert table.features.shape == (0, 2)
    assert table.features.dtype == np.float32
    assert len(table.event) == len(table.first) == len(table.second) == 0


@pytest.mark.parametrize(
    ("name", "nearest"), [("delta_rr", "'delta_r'"), ("log_masss", "'log_mass'"), ("lg_kt", "'log_kt'"), ("", "")]
)
def test_unknown_features(name: str, nearest: str) -> None:
    with pytest.raises(ValueError, match=f"^no feature of pairs '{name}'.*{nearest}"):
        known_pair_feature(name)


def test_known_features() -> None:
    for name in [*PAIR_FEATURES, *(f"{start}_{one}" for start in BEGINNINGS for one in PAIR_FEATURES)]:
        assert known_pair_feature(name) == name
