"""Numbers made from the objects of an event, against plain loops over the objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import eval_legendre

from ntupleml.features.arrays import NUMPY
from ntupleml.features.combinations import COMBINATIONS
from ntupleml.features.event_numbers import CombinationMaker

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

RAW = ("pt", "eta", "phi", "mass", "type")


def some_events() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Events of any number of objects; the first three have none, one and two, the fourth two at one place."""
    random = np.random.default_rng(7)
    shape = (60, 7)
    objects = np.stack(
        [
            random.exponential(60, shape) + 5,
            random.normal(0, 1.2, shape),
            random.uniform(-math.pi, math.pi, shape),
            random.exponential(10, shape) * (random.random(shape) < 0.8),
            random.integers(0, 3, shape),
        ],
        axis=-1,
    ).astype(np.float32)
    numbers = random.integers(2, 8, 60)
    numbers[:4] = 0, 1, 2, 2
    objects[3, 1] = objects[3, 0]
    filled = np.arange(7) < numbers[:, np.newaxis]
    objects[~filled] = 0
    return objects.astype(np.float64), filled


def of_one_event(name: str, objects: NDArray[np.float64]) -> float:
    """A combination by its definition; objects as pt, eta, phi, mass."""
    vectors = [
        np.array([pt * math.cos(phi), pt * math.sin(phi), pt * math.sinh(eta), math.hypot(pt * math.cosh(eta), mass)])
        for pt, eta, phi, mass in objects[:, :4]
    ]
    if name == "number":
        return len(vectors)
    if not vectors:
        return 0.0
    total, energy = sum(vectors), sum(vector[3] for vector in vectors)
    p = [math.sqrt(vector[:3] @ vector[:3]) for vector in vectors]
    if name == "ht":
        return sum(objects[:, 0])
    if name == "pt":
        return math.hypot(total[0], total[1])
    if name == "mass":
        return math.sqrt(max(total[3] ** 2 - total[:3] @ total[:3], 0.0))
    if name == "centrality":
        return sum(objects[:, 0]) / energy
    if name in ("sphericity", "aplanarity"):
        tensor = sum(np.outer(vector[:3], vector[:3]) for vector in vectors) / sum(one**2 for one in p)
        smallest, middle, _ = np.linalg.eigvalsh(tensor)
        return 1.5 * (smallest + middle) if name == "sphericity" else 1.5 * smallest
    if name == "transverse_sphericity":
        low, high = np.linalg.eigvalsh(sum(np.outer(vector[:2], vector[:2]) for vector in vectors))
        return 2 * low / (low + high)
    if name.startswith("fox_wolfram_"):
        units = np.array([vector[:3] / size for vector, size in zip(vectors, p, strict=True)])
        cosines = units @ units.T
        return float(np.sum(np.outer(p, p) * eval_legendre(int(name[-1]), cosines))) / energy**2
    pairs = []
    for i in range(len(vectors)):
        for j in range(i):
            angle = math.remainder(objects[i, 2] - objects[j, 2], 2 * math.pi)
            sum_ = vectors[i] + vectors[j]
            mass = math.sqrt(max(sum_[3] ** 2 - sum_[:3] @ sum_[:3], 0.0))
            pairs.append((math.hypot(objects[i, 1] - objects[j, 1], angle), mass))
    if not pairs:
        return 0.0
    return {
        "delta_r_nearest_pair": min(pairs)[0],
        "mass_nearest_pair": min(pairs)[1],
        "mass_largest_pair": max(mass for _, mass in pairs),
        "mean_delta_r": float(np.mean([distance for distance, _ in pairs])),
    }[name]


@pytest.mark.parametrize("types", [(), (0, 2)])
@pytest.mark.parametrize("name", COMBINATIONS)
def test_each_combination_is_what_its_definition_gives(name: str, types: tuple[int, ...]) -> None:
    objects, filled = some_events()
    maker = CombinationMaker("objects", RAW, (name,), types)
    chosen = filled & (np.isin(objects[..., 4], types) if types else True)
    expected = [[of_one_event(name, event[some])] for event, some in zip(objects, chosen, strict=True)]
    # masses are differences of large numbers in the plain formula; eigenvalues come from a cosine near 1
    atol = 1e-5 if name.startswith("mass") else 1e-7 if name in ("sphericity", "aplanarity") else 1e-12
    np.testing.assert_allclose(maker.make(NUMPY, objects, filled), expected, rtol=1e-9, atol=atol)


def test_the_graph_computes_the_same(in_onnx: Callable[..., NDArray[Any]]) -> None:
    objects, filled = some_events()
    maker = CombinationMaker("objects", RAW, tuple(COMBINATIONS), (0, 1))
    found = in_onnx(lambda a, x: maker.make(a, x, a.column(x, 0) > 0.0), objects, np.float64)
    np.testing.assert_allclose(found, maker.make(NUMPY, objects, filled), rtol=1e-6, atol=1e-6)


def test_known_shapes() -> None:
    """Two back-to-back jets have no sphericity, six along the axes have all of it."""
    pair = np.array([[[50, 0.3, 1, 0, 0], [50, -0.3, 1 - math.pi, 0, 0]]])
    names = ("sphericity", "aplanarity", "fox_wolfram_1", "fox_wolfram_2", "mass", "pt")
    maker = CombinationMaker("objects", RAW, names)
    found = maker.make(NUMPY, pair, np.ones((1, 2), np.bool_))
    np.testing.assert_allclose(found, [[0, 0, 0, 1, 100 * math.cosh(0.3), 0]], atol=1e-7)
    far = 12.0  # so far forward that it is the axis, of the same momentum
    axes = [[30, 0, angle, 0, 0] for angle in (0, math.pi / 2, math.pi, -math.pi / 2)]
    axes += [[30 / math.cosh(far), sign * far, 0, 0, 0] for sign in (1, -1)]
    found = maker.make(NUMPY, np.array([axes]), np.ones((1, 6), np.bool_))
    np.testing.assert_allclose(found[0, :4], [1, 0.5, 0, 0], atol=2e-5)
