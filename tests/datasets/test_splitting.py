"""The split against scikit-learn, and the split of streamed events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from ntupleml.datasets.splitting import split_events, uniform_by_entry
from ntupleml.errors import NtuplemlError


@given(num_events=st.integers(2, 3000), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
def test_split_is_that_of_scikit_learn(num_events: int, share: float, seed: int) -> None:
    assume(num_events - np.ceil((1 - share) * num_events) >= 1)
    training, validation = train_test_split(np.arange(num_events), test_size=1 - share, random_state=seed)
    split = split_events(num_events, share, seed)
    assert split.training.tolist() == training.tolist()
    assert split.validation.tolist() == validation.tolist()


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
