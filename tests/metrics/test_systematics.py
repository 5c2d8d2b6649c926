"""Changes by systematic variations: values by their definitions, uncertainties by bootstrap with Poisson weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.metrics import Undefined
from ntupleml.metrics.systematics import (
    Band,
    Change,
    ClassScores,
    Shape,
    ShapeChange,
    area_change,
    band_of,
    efficiency_change,
    shape_change,
    shape_of,
    yield_change,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBER, REPLICAS = 400, 3000
EDGES = np.linspace(0, 1, 6)


def events(seed: int = 1) -> tuple[ClassScores, ClassScores]:
    """Nominal events, and the same with weights that follow the score."""
    random = np.random.default_rng(seed)
    is_class = random.random(NUMBER) < 0.5
    scores = np.where(is_class, random.beta(3, 2, NUMBER), random.beta(2, 3, NUMBER))
    weights = random.exponential(size=NUMBER)
    shifted = weights * (1 + 0.4 * (scores - 0.4)) * random.uniform(0.9, 1.1, NUMBER)
    return ClassScores(scores, weights, is_class), ClassScores(scores, shifted, is_class)


def others(seed: int = 2) -> ClassScores:
    return events(seed)[1]


def replicas(seed: int, number: int = NUMBER) -> NDArray[np.float64]:
    return np.random.default_rng(seed).poisson(1, (REPLICAS, number)).astype("f8")


def areas(one: ClassScores, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """By all pairs of events."""
    signal, background = one.is_class, ~one.is_class
    wins = (one.scores[signal][:, np.newaxis] > one.scores[background]).astype("f8")
    above, below = counts[:, signal] * one.weights[signal], counts[:, background] * one.weights[background]
    return np.einsum("ri,ij,rj->r", above, wins, below, optimize=True) / above.sum(axis=1) / below.sum(axis=1)


def shares(one: ClassScores, chosen: NDArray[np.bool_], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return (counts[:, chosen] * one.weights[chosen]).sum(axis=1) / (counts * one.weights).sum(axis=1)


def known(result: Any) -> Any:
    assert not isinstance(result, Undefined)
    return result


@pytest.mark.parametrize("paired", [True, False])
def test_area(paired: bool) -> None:
    nominal, shifted = events()
    if not paired:
        shifted = others()
    found: Change = known(area_change(nominal, shifted, paired=paired))
    one = np.ones((1, NUMBER))
    assert found.nominal == pytest.approx(areas(nominal, one)[0], abs=1e-12)
    assert found.difference.value == pytest.approx(areas(shifted, one)[0] - areas(nominal, one)[0], abs=1e-12)
    counts = replicas(3)
    spread = np.std(areas(shifted, counts if paired else replicas(4)) - areas(nominal, counts))
    assert found.difference.uncertainty == pytest.approx(spread, rel=0.08)
    if paired:  # far less than of two samples
        assert found.difference.uncertainty < 0.3 * known(area_change(nominal, others(), paired=False))[2].uncertainty


@pytest.mark.parametrize("paired", [True, False])
def test_efficiency_and_yield(paired: bool) -> None:
    nominal, shifted = events()
    if not paired:
        shifted = others()
    counts, again = replicas(5), replicas(6)
    again = counts if paired else again
    found: Change = known(efficiency_change(nominal, shifted, 0.6, paired=paired))
    one = np.ones((1, NUMBER))
    before, after = (shares(each, each.scores >= 0.6, one)[0] for each in (nominal, shifted))
    assert (found.nominal, found.shifted) == pytest.approx((before, after), abs=1e-12)
    spread = np.std(shares(shifted, shifted.scores >= 0.6, again) - shares(nominal, nominal.scores >= 0.6, counts))
    assert found.difference.uncertainty == pytest.approx(spread, rel=0.08)
    found = known(yield_change(nominal, shifted, paired=paired))
    ratios = (again * shifted.weights).sum(axis=1) / (counts * nominal.weights).sum(axis=1)
    assert found.shifted == pytest.approx(shifted.weights.sum() / nominal.weights.sum())
    assert found.difference.uncertainty == pytest.approx(np.std(ratios), rel=0.08)


@pytest.mark.parametrize("paired", [True, False])
def test_shape(paired: bool) -> None:
    nominal, shifted = events()
    if not paired:
        shifted = others()
    counts, again = replicas(7), replicas(8)
    again = counts if paired else again
    found: ShapeChange = known(shape_change(nominal, shifted, EDGES, paired=paired))
    shape: Shape = known(shape_of(nominal, EDGES))
    for low, high, share, spread, ratio, uncertainty in zip(
        EDGES[:-1], EDGES[1:], shape.shares, shape.uncertainties, found.ratio, found.uncertainties, strict=True
    ):
        inside = [(one.scores >= low) & (one.scores < high) for one in (nominal, shifted)]
        of_nominal, of_shifted = shares(nominal, inside[0], counts), shares(shifted, inside[1], again)
        assert share == pytest.approx(nominal.weights[inside[0]].sum() / nominal.weights.sum())
        assert spread == pytest.approx(np.std(of_nominal), rel=0.08)
        expected = shifted.weights[inside[1]].sum() / shifted.weights.sum() / share
        assert ratio == pytest.approx(expected)
        if inside[0].sum() > 20:
            assert uncertainty == pytest.approx(np.std(of_shifted / of_nominal), rel=0.15)


def test_what_changes_nothing_has_no_uncertainty() -> None:
    """A factor for all events cancels in all but the sum of weights."""
    nominal, _ = events()
    doubled = nominal._replace(weights=2 * nominal.weights)
    for found in (area_change(nominal, doubled, paired=True), efficiency_change(nominal, doubled, 0.5, paired=True)):
        assert known(found).difference == pytest.approx((0, 0), abs=1e-14)
    shape = known(shape_change(nominal, doubled, EDGES, paired=True))
    np.testing.assert_allclose(shape.ratio, 1)
    np.testing.assert_allclose(shape.uncertainties, 0, atol=1e-7)
    assert known(yield_change(nominal, doubled, paired=True)).difference == pytest.approx((1, 0), abs=1e-12)


def test_a_class_without_weight_is_undefined() -> None:
    nominal, _ = events()
    nothing = nominal._replace(weights=np.zeros(NUMBER))
    for found in (
        area_change(nominal, nothing, paired=True),
        efficiency_change(nothing, nominal, 0.5, paired=True),
        yield_change(nothing, nominal, paired=True),
        shape_change(nominal, nothing, EDGES, paired=True),
    ):
        assert isinstance(found, Undefined)


def test_the_band_adds_sources_in_quadrature() -> None:
    """Both directions of one source may go the same way; a single one is mirrored."""

    def shape(*ratio: float) -> ShapeChange:
        return ShapeChange(np.array(ratio), np.zeros(len(ratio)))

    found: Band = band_of([{"up": shape(1.03, 1.03), "down": shape(0.98, 1.01)}, {"up": shape(1.04, 0.96)}])
    np.testing.assert_allclose(found.up, [0.05, 0.05])
    np.testing.assert_allclose(found.down, [np.hypot(0.02, 0.04), 0.04])


def test_the_last_bin_holds_its_upper_edge() -> None:
    one = ClassScores(np.array([0.0, 0.2, 1.0, 1.5]), np.ones(4), np.ones(4, np.bool_))
    np.testing.assert_allclose(known(shape_of(one, EDGES)).shares, [0.25, 0.25, 0, 0, 0.25])
