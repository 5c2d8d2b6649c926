"""The split against scikit-learn, and the split of streamed events."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ntupleml.errors import NtuplemlError
from ntupleml.training.splitting import split_events, uniform_by_entry


def test_split_is_that_of_scikit_learn() -> None:
    expected = train_test_split(np.arange(1003), test_size=0.25, random_state=42)
    split = split_events(1003, 0.75, 42)
    assert (split.training == expected[0]).all()
    assert (split.validation == expected[1]).all()


def test_a_part_without_events_is_refused() -> None:
    with pytest.raises(NtuplemlError, match="train_test_split"):
        split_events(3, 0.1, 1)


def test_numbers_by_entry_are_uniform_and_independent_of_the_chunks() -> None:
    entries = np.arange(100_000)
    numbers = uniform_by_entry(entries, 1, 0)
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    assert (np.abs(counts - 5000) < 5 * np.sqrt(5000)).all()
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 5 / np.sqrt(len(entries))
    assert abs(np.corrcoef(numbers, uniform_by_entry(entries, 1, 1))[0, 1]) < 5 / np.sqrt(len(entries))
    parts = [uniform_by_entry(part, 1, 0) for part in np.split(entries, [17, 5000])]
    assert (np.concatenate(parts) == numbers).all()
