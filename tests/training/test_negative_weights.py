"""Negative weights: TMVA's treatments, against their definitions written out here."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers

from ntupleml.errors import NtuplemlError
from ntupleml.training.negative_weights import find_treatment, treat_negative_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORING = ("IgnoreNegWeightsInTraining", "NoNegWeightsInTraining")
KEEPING = ("Pray", "InverseBoostNegWeights")


def events(seed: int, number: int = 200, share: float = 0.2) -> tuple[NDArray, NDArray, NDArray]:
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(number, 3)).astype(np.float32)
    inputs[:, 2] += inputs[:, 0]
    weights = generator.uniform(0.5, 2, number) * np.where(generator.random(number) < share, -1, 1)
    return weights, np.arange(number) % 2, inputs


def paired_by_hand(weights: NDArray, inputs: NDArray) -> NDArray:
    """One class: as TMVA describes it, event by event and pair by pair."""
    result = weights.copy()
    total = weights.sum()
    mean = (weights[:, None] * inputs).sum(axis=0) / total
    second = (weights[:, None, None] * inputs[:, :, None] * inputs[:, None, :]).sum(axis=0) / total
    inverse = np.linalg.inv(second - np.outer(mean, mean))
    for taker in np.flatnonzero(weights < 0):
        while result[taker] < 0:
            difference = inputs - inputs[taker]
            distance = np.einsum("ni,ij,nj->n", difference, inverse, difference)
            distance[result <= 0] = np.inf
            donor = int(np.argmin(distance))
            remaining = result[donor] + result[taker]
            result[donor], result[taker] = max(remaining, 0), min(remaining, 0)
    return result


@pytest.mark.parametrize("name", IGNORING)
def test_ignored_events_get_no_weight(name: str) -> None:
    weights, classes, inputs = events(1)
    expected = weights.copy()
    expected[expected < 0] = 0
    np.testing.assert_array_equal(treat_negative_weights(name, weights, classes, inputs, "here"), expected)


@pytest.mark.parametrize("name", KEEPING)
def test_other_treatments_leave_the_weights_to_the_training(name: str) -> None:
    weights, classes, inputs = events(2)
    treated = treat_negative_weights(name, weights, classes, inputs, "here")
    np.testing.assert_array_equal(treated, weights)
    assert treated is not weights


@pytest.mark.parametrize(("seed", "share"), [(3, 0.2), (4, 0.3), (5, 0.02)])
def test_pairs_are_those_of_the_nearest_events_of_the_class(seed: int, share: float) -> None:
    weights, classes, inputs = events(seed, share=share)
    treated = treat_negative_weights("PairNegWeightsGlobal", weights, classes, inputs, "here")
    for index in (0, 1):
        rows = classes == index
        expected = paired_by_hand(weights[rows], inputs[rows].astype(np.float64))
        np.testing.assert_allclose(treated[rows], expected, atol=1e-12)


def test_a_large_negative_weight_takes_from_many_events() -> None:
    """More than are looked up at first."""
    inputs = np.arange(60, dtype=np.float32)[:, None]
    weights = np.ones(60)
    weights[0] = -40.5
    treated = treat_negative_weights("PairNegWeightsGlobal", weights, np.zeros(60, dtype=int), inputs, "here")
    np.testing.assert_allclose(treated, [0.0] * 41 + [0.5] + [1.0] * 18, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=integers(0, 10_000))
def test_pairing_keeps_the_sum_of_each_class_and_leaves_nothing_negative(seed: int) -> None:
    weights, classes, inputs = events(seed, number=80, share=0.3)
    if min(weights[classes == 0].sum(), weights[classes == 1].sum()) <= 0:
        return
    treated = treat_negative_weights("PairNegWeightsGlobal", weights, classes, inputs, "here")
    assert (treated >= 0).all()
    for index in (0, 1):
        assert treated[classes == index].sum() == pytest.approx(weights[classes == index].sum())


def test_variables_that_depend_on_one_another_can_be_paired() -> None:
    weights, classes, inputs = events(6)
    inputs = np.concatenate([inputs, inputs[:, :1], np.ones((len(inputs), 1), dtype=np.float32)], axis=1)
    treated = treat_negative_weights("PairNegWeightsGlobal", weights, classes, inputs, "here")
    assert (treated >= 0).all()
    assert treated.sum() == pytest.approx(weights.sum())


def test_the_share_is_told_for_each_class_that_has_negative_weights(caplog: pytest.LogCaptureFixture) -> None:
    weights = np.array([1.0, 1.0, 1.0, -1.0, 2.0, 2.0])
    classes = np.array([0, 0, 0, 0, 1, 1])
    inputs = np.zeros((6, 1), dtype=np.float32)
    with caplog.at_level(logging.INFO, logger="ntupleml"):
        treat_negative_weights("Pray", weights, classes, inputs, "t.yaml: BDT", ["sig", "bkg"])
    assert caplog.messages == [
        "t.yaml: BDT: class 'sig': 25.00 % of the events have negative weights, 0.25 of the sum of |weights|: Pray"
    ]


def test_names_are_read_in_any_case_and_others_are_refused() -> None:
    assert find_treatment("pairnegweightsglobal", "here") == "PairNegWeightsGlobal"
    with pytest.raises(NtuplemlError, match=r"here: no treatment 'Prey' of negative weights; nearest: 'Pray'"):
        find_treatment("Prey", "here")


@pytest.mark.parametrize("name", ["Pray", "PairNegWeightsGlobal"])
def test_a_class_whose_negative_weights_prevail_is_refused(name: str) -> None:
    weights = np.array([1.0, -2.0, 1.0, 1.0])
    classes = np.array([0, 0, 1, 1])
    inputs = np.arange(4, dtype=np.float32)[:, None]
    with pytest.raises(NtuplemlError, match=r"class 'sig': .*sum of weights is -1"):
        treat_negative_weights(name, weights, classes, inputs, "here", ["sig", "bkg"])
