"""Densities and stacks of a score: sums by hand, NumPy's densities, and uncertainties by toys."""

from __future__ import annotations

import numpy as np
import pytest

from ntupleml.metrics import Histogram, Measurement, Undefined, as_plain, histogram
from ntupleml.metrics.score_distributions import Density, density, score_edges, score_stack, sum_of_weights
from ntupleml.metrics.two_samples import TwoSampleTest


def defined(result: Density | Undefined) -> Density:
    assert isinstance(result, Density), result
    return result


def test_a_density_is_numpys() -> None:
    random = np.random.default_rng(1)
    values, weights = random.random(3000), random.normal(1, 1, 3000)
    edges = np.array([0.0, 0.1, 0.4, 1.0])
    found = defined(density(histogram(values, weights, edges)))
    expected = np.histogram(values, edges, weights=weights, density=True)[0]
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)
    assert found.values @ np.diff(edges) == pytest.approx(1)
    assert as_plain(found)["edges"] == [0.0, 0.1, 0.4, 1.0]


def test_what_is_outside_of_the_bins_counts_in_the_normalisation() -> None:
    found = defined(density(histogram(np.array([0.5, 0.5, 3.0, -1.0]), None, [0, 1, 2])))
    assert found.values.tolist() == [0.5, 0.0]


@pytest.mark.parametrize("negative", [0.0, 0.1])
def test_uncertainties_of_a_density_are_the_spread_of_toys(negative: float) -> None:
    random = np.random.default_rng(2)
    edges = np.array([0.0, 0.2, 0.9, 1.0])
    drawn, uncertainties = [], []
    for _ in range(600):
        number = random.poisson(400)
        weights = random.exponential(size=number) * np.where(random.random(number) < negative, -1, 1)
        found = defined(density(histogram(random.random(number), weights, edges)))
        drawn.append(found.values)
        uncertainties.append(found.uncertainties)
    np.testing.assert_allclose(np.std(drawn, axis=0), np.mean(uncertainties, axis=0), rtol=0.12)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ([], "no events with a weight"),
        ([0.0], "no events with a weight"),
        ([1.0, -1.0], "sum of weights is zero"),
        ([1.0, -2.0], "sum of weights is negative"),
    ],
)
def test_a_density_says_why_there_is_none(weights: list[float], reason: str) -> None:
    assert density(histogram(np.full(len(weights), 0.5), np.array(weights), [0, 1])) == Undefined(reason)


def test_edges_take_their_range_from_the_scores() -> None:
    empty = np.zeros(0, "f4")
    assert score_edges([empty], 2).tolist() == [0, 0.5, 1]
    assert score_edges([np.array([0.2, 0.3]), empty], 2).tolist() == [0, 0.5, 1]
    assert score_edges([np.array([-3.0]), np.array([1.0])], 2).tolist() == [-3, -1, 1]
    assert score_edges([np.array([2.0])], 2).tolist() == [1, 2, 3]
    assert (np.diff(score_edges([np.array([1e30], "f4")])) > 0).all()
    # Softmax in single precision may exceed 1 by its rounding.
    edges = score_edges([np.array([0.5, 1.0000001], "f4")])
    assert edges[0] == 0
    assert edges[-1] == np.float32(1.0000001)


EDGES = np.array([0.0, 0.5, 1.0])
CLASSES = {
    "signal": Histogram(EDGES, np.array([1.0, 3.0]), np.array([0.5, 1.0])),
    "background": Histogram(EDGES, np.array([7.0, -3.0]), np.array([3.5, 4.0])),
}


def test_data_over_the_sum_of_the_classes_by_hand() -> None:
    """Sums 8 ± 2 and 0 ± √5, data 12 and 5 events."""
    stack = score_stack(CLASSES, Histogram(EDGES, np.array([12.0, 5.0]), np.array([12.0, 5.0])))
    assert stack.total.sums.tolist() == [8, 0]
    assert stack.ratio_known.tolist() == [True, False]
    assert stack.ratio[0] == 1.5
    assert stack.ratio_uncertainties[0] == pytest.approx(np.sqrt(12) / 8)
    assert stack.band[0] == pytest.approx(2 / 8)
    # 17 / 8, with variances 17 and 9
    assert stack.normalisation == pytest.approx(Measurement(2.125, np.sqrt(17 + 2.125**2 * 9) / 8))
    content = as_plain(stack)
    assert content["data_over_simulation"][0]["value"] == 1.5
    assert content["data_over_simulation"][1] == "undefined: the sum of weights of the simulation is not positive"
    assert content["data"]["sums_of_weights"] == [12, 5]
    assert content["total"]["sums_of_weights"] == [8, 0]
    assert content["shape"].startswith("undefined: fewer than two bins")


@pytest.mark.parametrize(
    ("data", "scale"), [(15.0, 1.0), (17.0, 2.125), (4.5, 1.0), (3.0, 0.375), (0.0, 1.0), (-20.0, 1.0)]
)
def test_a_simulation_of_arbitrary_normalisation_is_scaled(data: float, scale: float) -> None:
    """The sum of the classes is 8."""
    stack = score_stack(CLASSES, Histogram(EDGES, np.array([data, 0.0]), np.array([abs(data), 0.0])))
    assert stack.scale == pytest.approx(scale)
    assert stack.ratio[0] == data / 8


def test_shapes_of_data_and_simulation_are_tested() -> None:
    random = np.random.default_rng(3)
    edges = np.linspace(0, 1, 11)
    simulation = {"a": histogram(random.random(5000), random.exponential(size=5000), edges)}
    alike = score_stack(simulation, histogram(random.random(800), None, edges)).shape
    other = score_stack(simulation, histogram(random.random(800) ** 2, None, edges)).shape
    assert isinstance(alike, TwoSampleTest)
    assert isinstance(other, TwoSampleTest)
    assert alike.p_value > 0.001 > 1e-6 > other.p_value


def test_no_data_and_no_simulation() -> None:
    stack = score_stack(CLASSES, Undefined("no tree 'data' in fold0.root"))
    assert as_plain(stack)["data"] == "undefined: no tree 'data' in fold0.root"
    assert "normalisation" not in as_plain(stack)
    empty = {"a": histogram(np.zeros(0), None, EDGES)}
    stack = score_stack(empty, histogram(np.array([0.7]), None, EDGES))
    assert stack.normalisation == Undefined("simulation: no events with a weight")
    assert not stack.ratio_known.any()


def test_sums_include_what_is_outside_of_the_bins() -> None:
    found = sum_of_weights(histogram(np.array([-1.0, 0.2, 3.0]), np.array([1.0, 2.0, -2.0]), EDGES))
    assert found == Measurement(1.0, 3.0)
