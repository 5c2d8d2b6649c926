"""Which events train a model and which validate it, reproducible from the seed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: What the numbers of `uniform_by_entry` are drawn for: the split where events are streamed, the rows that are used,
#: the parameters of other classes than the signal, and rows that stay where a formula gets another distribution.
SPLIT_STREAM = 0
CHOICE_STREAM = 31
HYPOTHESIS_STREAM = 32
RESAMPLING_STREAM = 33


class Split(NamedTuple):
    """Indices of the training and of the validation events."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]


def split_events(num_events: int, training_share: float, seed: int) -> Split:
    """Split events at random, exactly as scikit-learn's `train_test_split` does for the same seed.

    Raises
    ------
    NtuplemlError
        If one of the two parts would be empty.
    """
    num_validation = int(np.ceil((1 - training_share) * num_events))
    if num_events - num_validation < 1:
        raise NtuplemlError(
            f"train_test_split: {training_share} of {num_events} events leaves none to train on; raise it"
        )
    # Its import takes longer than many a training, so that its `ShuffleSplit` is written out here.
    order = np.random.RandomState(seed).permutation(num_events)
    return Split(order[num_validation:], order[:num_validation])


def stream_of_tree(seed: int, fold: int, condition: str | None, name: str, purpose: int) -> tuple[int, ...]:
    """Stream of the random numbers of the tree of a class in a fold file, whichever model asks."""
    return (seed, fold, zlib.crc32(f"{condition} {name}".encode()), purpose)


def uniform_by_entry(entries: NDArray[np.int64], *stream: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), one per entry, that depend on nothing but the entry's number and the stream.

    So a split needs no list of all events, and is the same in each pass over a file.

    Parameters
    ----------
    entries : array of int, shape (n_events,)
        Entry numbers in a tree.
    *stream : int
        Seed, index of the tree, and what the numbers are for.
    """
    return (hash_of(entries, *stream) >> np.uint64(11)).astype(np.float64) / 2.0**53


def hash_of(numbers: NDArray[np.int64], *stream: int) -> NDArray[np.uint64]:
    """Numbers of 64 bits that look random: different ones for different numbers, and for each stream.

    Notes
    -----
    The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), which can be undone.
    """
    start = np.random.SeedSequence(stream).generate_state(1, np.uint64)
    bits = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + start
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
