"""Events as the training reads them: inputs, weights and event numbers, chunk by chunk. All stages read by this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import read_inputs
from ntupleml.events.fold_numbers import fold_numbers
from ntupleml.events.groups import branches_of_groups, key_of
from ntupleml.folds import BY_ENTRY, fold_of_events, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues
    from ntupleml.folds import FoldRule
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
    #: Shape (n_rows,). Event numbers, or hashes, or entry numbers: what decides the fold. Rows of one event have the
    #: same.
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
    fold_rule: FoldRule | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """Branches that `read_events` reads, checked to be there.

    Parameters
    ----------
    weights, fold_rule, more
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
    if fold_rule is not None:
        ntuple.require(fold_rule.branches, fold_rule.key)
        needed += branches_of_events(ntuple, fold_rule)
    ntuple.require(more)
    return list(dict.fromkeys([*needed, *more]))


def read_events(
    ntuple: Ntuple,
    groups: Sequence[InputGroup],
    *,
    weights: str | None = None,
    fold_rule: FoldRule | None = None,
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
    fold_rule : FoldRule, optional
        What decides the fold; by default the entry number.
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
    branches = branches_to_read(ntuple, groups, weights=weights, fold_rule=fold_rule, more=more)
    rule = fold_rule or BY_ENTRY
    for chunk in ntuple.chunks(branches, entries_per_chunk):
        columns = chunk.columns
        rows = None if choose is None else choose(chunk)
        if rows is not None:
            columns = {name: values[rows] for name, values in columns.items()}
        else:
            rows = np.arange(chunk.num_rows)
        entries = chunk.entries[rows]
        numbers = fold_numbers(rule, columns, entries, place)
        require_same_events(ntuple, rule, columns, entries, place)
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


def branches_of_events(ntuple: Ntuple, rule: FoldRule) -> list[str]:
    """Branches that tell events, and their copies in friends."""
    return [name for own in rule.branches for name in (own, *ntuple.copies_in_friends(own))]


def require_same_events(
    ntuple: Ntuple, rule: FoldRule, columns: Mapping[str, Any], entries: NDArray[np.int64], where: str
) -> None:
    """Refuse friends that hold other events, or the same in another order, as far as they tell them.

    Parameters
    ----------
    columns : mapping of str to array
        With `branches_of_events`.
    entries : array of int, shape (n_events,)
        Entry numbers, for the message.
    """
    for own in rule.branches:
        for copy in ntuple.copies_in_friends(own):
            numbers = whole_numbers(columns[own], f"{where}: branch '{own}'")
            of_friend = whole_numbers(columns[copy], f"{where}: branch '{copy}'")
            different = np.flatnonzero(numbers != of_friend)
            if len(different):
                first = int(different[0])
                what = "event" if own == rule.event_branch else own
                raise NtuplemlError(
                    f"{where}: entry {entries[first]} is {what} {numbers[first]}, but {of_friend[first]} in the friend "
                    f"'{copy.split('.')[0]}'; the friend was made from another file, make it anew"
                )
