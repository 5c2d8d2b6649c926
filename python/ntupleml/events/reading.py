"""Events as the training reads them: inputs, weights and event numbers, chunk by chunk. All stages read by this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import read_inputs
from ntupleml.events.groups import branches_of_groups, key_of
from ntupleml.folds import event_numbers, fold_of_events

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues
    from ntupleml.ntuples import Chunk, Ntuple


@dataclass(frozen=True)
class EventChunk:
    """Rows of an open ntuple that follow one another, or those of them that were chosen."""

    #: First entry of the chunk, and one past the last.
    start: int
    stop: int
    #: Shape (n_rows,). Positions, among the rows of the chunk, of those that were chosen.
    rows: NDArray[np.int64]
    #: All branches that were read.
    columns: dict[str, Any]
    #: `inputs.batch()` has the arrays that a model takes, `inputs.batch(rows)` those of some rows.
    inputs: InputValues
    #: Shape (n_rows,). 1 where no branch has them.
    weights: NDArray[np.float64]
    #: Shape (n_rows,). Event numbers; entry numbers where no branch has them. Rows of one event have the same.
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.rows)

    def folds(self, num_folds: int) -> NDArray[np.int64]:
        """Fold of each row."""
        return fold_of_events(self.numbers, num_folds)


def branches_to_read(
    ntuple: Ntuple,
    groups: Sequence[InputGroup],
    *,
    weights: str | None = None,
    event_branch: str | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """Branches that `read_events` reads, checked to be there.

    Parameters
    ----------
    weights, event_branch, more
        As for `read_events`.

    Raises
    ------
    NtuplemlError
        For a branch that is missing (with the nearest names) or holds no numbers.
    """
    needed = branches_of_groups(groups, ntuple.branches, _where(ntuple))
    for group in groups:
        ntuple.require(branches_of_groups([group], ntuple.branches, ""), key_of(group.name))
    if weights is not None:
        ntuple.require([weights], "event_weights")
        needed.append(weights)
    if event_branch is not None:
        ntuple.require([event_branch], "event_branch")
        needed += [event_branch, *ntuple.copies_in_friends(event_branch)]
    ntuple.require(more)
    return list(dict.fromkeys([*needed, *more]))


def read_events(
    ntuple: Ntuple,
    groups: Sequence[InputGroup],
    *,
    weights: str | None = None,
    event_branch: str | None = None,
    more: Sequence[str] = (),
    choose: Callable[[Chunk], NDArray[np.intp] | None] | None = None,
    finite: Collection[str] = (),
    entries_per_chunk: int | None = None,
    where: str | None = None,
) -> Iterator[EventChunk]:
    """Read the events of an open ntuple from the first to the last, a bounded number at a time.

    Parameters
    ----------
    groups : sequence of InputGroup
        What the model takes, see `ntupleml.events.groups.groups_of`.
    weights : str, optional
        Branch of event weights.
    event_branch : str, optional
        Branch of event numbers.
    more : sequence of str
        Further branches, which `EventChunk.columns` has.
    choose : callable, optional
        Positions of the rows of a chunk that are wanted, None for all: a selection, or a sample. The others are not
        looked at.
    finite : collection of str
        Variables that must not be NaN or infinite, unless their group says what replaces that.
    entries_per_chunk : int, optional
        By default as many as `Ntuple.chunks` finds good.
    where : str, optional
        File and tree or class, for messages about values.

    Raises
    ------
    NtuplemlError
        As `branches_to_read` and `ntupleml.events.evaluation.read_group`; for weights of several values per event,
        event numbers that are no integers, and friends that hold other events.
    """
    place = where or _where(ntuple)
    branches = branches_to_read(ntuple, groups, weights=weights, event_branch=event_branch, more=more)
    copies = ntuple.copies_in_friends(event_branch) if event_branch is not None else []
    for chunk in ntuple.chunks(branches, entries_per_chunk):
        columns = chunk.columns
        rows = None if choose is None else choose(chunk)
        if rows is not None:
            columns = {name: values[rows] for name, values in columns.items()}
        else:
            rows = np.arange(chunk.num_rows)
        entries = chunk.entries[rows]
        numbers = entries
        if event_branch is not None:
            numbers = event_numbers(columns[event_branch], f"{place}: branch '{event_branch}'")
            for copy in copies:
                require_same_events(numbers, columns[copy], entries, copy, place)
        yield EventChunk(
            chunk.start,
            chunk.stop,
            rows,
            columns,
            read_inputs(groups, columns, len(rows), place, finite=finite, entries=entries),
            np.ones(len(rows)) if weights is None else _weights(columns, weights, place),
            numbers,
        )


def _where(ntuple: Ntuple) -> str:
    return f"{ntuple.path}: tree '{ntuple.tree_path}'"


def _weights(columns: Mapping[str, Any], name: str, where: str) -> NDArray[np.float64]:
    values = columns[name]
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise NtuplemlError(f"{where}: weight branch '{name}' has several values per event; one is needed")
    return values.astype(np.float64)


def require_same_events(
    numbers: NDArray[np.int64], values: NDArray[Any], entries: NDArray[np.int64], copy: str, where: str
) -> None:
    """Refuse a friend whose event numbers are others; `entries` are the entry numbers, for the message."""
    of_friend = event_numbers(values, f"{where}: branch '{copy}'")
    different = np.flatnonzero(numbers != of_friend)
    if len(different):
        first = int(different[0])
        raise NtuplemlError(
            f"{where}: entry {entries[first]} is event {numbers[first]}, but {of_friend[first]} in the friend "
            f"'{copy.split('.')[0]}'; the friend was made from another file, make it anew"
        )
