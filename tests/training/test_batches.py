"""Order and weights of the events in an epoch, against the formula w' = w n / sum of the w drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntupleml.errors import NtuplemlError
from ntupleml.training.batches import (
    balanced_weights,
    draw_balanced,
    group_events,
    recommended_steps,
    shuffled,
)


def test_shuffled_has_each_event_once_with_its_weight() -> None:
    weights = np.arange(1000, dtype=np.float32)
    drawn = shuffled(np.random.default_rng(1), weights)
    assert sorted(drawn.order) == list(range(1000))
    assert (drawn.weights == drawn.order).all()
    assert (drawn.order != np.arange(1000)).sum() > 900
    again = shuffled(np.random.default_rng(1), weights)
    assert (again.order == drawn.order).all()


def test_groups_are_classes_and_within_them_conditions() -> None:
    classes, conditions = np.array([1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 1])
    groups = group_events(classes, conditions, ["ggh", "w"], ["2016", "2017"])
    assert [group.name for group in groups] == [
        "class 'ggh' in '2016'",
        "class 'ggh' in '2017'",
        "class 'w' in '2016'",
        "class 'w' in '2017'",
    ]
    assert [group.events.tolist() for group in groups] == [[1], [3], [0], [2, 4]]


@given(
    seed=st.integers(0, 1000), per_group=st.integers(1, 20), steps=st.integers(1, 5), negative=st.sampled_from([0, 0.1])
)
def test_balanced_batches(seed: int, per_group: int, steps: int, negative: float) -> None:
    """In each batch each group has n events whose weights sum to n, in proportion to their event weights."""
    generator = np.random.default_rng(seed)
    classes = np.repeat([0, 1, 2], [5, 50, 500])
    weights = generator.uniform(0.5, 2, len(classes)) * (1 - 2 * (generator.random(len(classes)) < negative))
    weights[:5] = 1.0
    groups = group_events(classes, np.zeros_like(classes), ["a", "b", "c"], [])
    drawn = draw_balanced(generator, groups, weights, per_group, steps)
    order = drawn.order.reshape(steps, 3, per_group)
    new = drawn.weights.reshape(steps, 3, per_group)
    assert (classes[order] == np.array([0, 1, 2])[:, None]).all()
    np.testing.assert_allclose(new.sum(axis=2), per_group, rtol=1e-3)
    expected = weights[order] * per_group / weights[order].sum(axis=2, keepdims=True)
    np.testing.assert_allclose(new, expected, rtol=1e-5)


def test_events_are_drawn_uniformly_with_replacement() -> None:
    groups = group_events(np.zeros(10, dtype=int), np.zeros(10, dtype=int), ["a"], [])
    drawn = draw_balanced(np.random.default_rng(1), groups, np.ones(10), 100, 1000)
    counts = np.bincount(drawn.order, minlength=10)
    assert (np.abs(counts - 10_000) < 5 * np.sqrt(10_000)).all()


def test_batches_whose_weights_cancel_are_drawn_again() -> None:
    """Two events of weight 1 and -1: pairs of both cancel, pairs of the negative one sum below zero."""
    groups = group_events(np.zeros(2, dtype=int), np.zeros(2, dtype=int), ["a"], [])
    drawn = draw_balanced(np.random.default_rng(1), groups, np.array([1.0, -1.0]), 2, 100)
    assert (drawn.order == 0).all()
    assert (drawn.weights == 1).all()


def test_negative_class_is_refused() -> None:
    groups = group_events(np.zeros(3, dtype=int), np.zeros(3, dtype=int), ["w"], [])
    with pytest.raises(NtuplemlError, match=r"class 'w': the weights of 4 events .* no positive sum"):
        draw_balanced(np.random.default_rng(1), groups, np.array([-1.0, -2.0, 0.0]), 4, 2)


def test_balanced_validation_weights() -> None:
    """Each group's weights sum to the same, and all weights to the number of events."""
    classes = np.array([0, 0, 1, 1, 1])
    weights = np.array([1.0, 3.0, -1.0, 2.0, 1.0])
    groups = group_events(classes, np.zeros(5, dtype=int), ["a", "b", "empty"], [])
    balanced = balanced_weights(groups, weights)
    np.testing.assert_allclose(balanced, [0.625, 1.875, -1.25, 2.5, 1.25])


def test_recommended_steps_are_those_of_htt_ml() -> None:
    """int(smallest class / n) + 1."""
    assert recommended_steps([1000, 250], 100) == 3
    assert recommended_steps([1000, 50], 100) == 1
