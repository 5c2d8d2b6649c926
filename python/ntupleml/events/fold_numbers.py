"""Numbers whose remainder is the fold of an event: event number, hash, entry number or table."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.events.keys import KeyIndex, exact_integers
from ntupleml.folds import sha256_of_table, whole_numbers
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.branch_types import number_type, type_of_copy
from ntupleml.ntuples.inspection import only_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.folds import FoldRule, FoldTable
    from ntupleml.ntuples import Ntuple


def fold_numbers(
    rule: FoldRule, columns: Mapping[str, Any], entries: NDArray[np.int64], where: str
) -> NDArray[np.int64]:
    """Numbers whose remainder is the fold: event numbers, hashes, entry numbers, or folds of a table.

    Parameters
    ----------
    columns : mapping of str to array
        With `rule.branches`.
    entries : array of int, shape (n_events,)
        Entry numbers.
    where : str
        File and tree, for messages.

    Returns
    -------
    array of int64, shape (n_events,)
        For `ntupleml.folds.fold_of_events`.

    Raises
    ------
    NtuplemlError
        As `ntupleml.folds.event_numbers`; for a table that cannot be used, and events that it lacks.
    """
    numbers = rule.numbers(columns, entries, where)
    if rule.table is None:
        return numbers
    split = _split_of(rule.table, rule.fold_by)
    keys = [whole_numbers(columns[name], f"{where}: branch '{name}'") for name in rule.fold_by]
    places = split.rows.find(keys)
    absent = np.flatnonzero(places < 0)
    if len(absent) and rule.table.others == "refused":
        first = int(absent[0])
        key = ", ".join(str(values[first]) for values in keys)
        raise NtuplemlError(
            f"{where}: {len(absent):,} of {len(entries):,} events have no fold in {rule.table.path}, the first in "
            f"entry {entries[first]} ({', '.join(rule.fold_by)} = {key}); add them to the table, or give others: hash"
        )
    return np.where(places < 0, numbers, split.folds[places])


def require_folds_of_table(rule: FoldRule, num_folds: int, where: str) -> None:
    """Refuse a table that cannot be used, or has folds beyond those there are."""
    if rule.table is not None:
        largest = int(_split_of(rule.table, rule.fold_by).folds.max(initial=0))
        if largest >= num_folds:
            raise NtuplemlError(
                f"{where}: fold_file: {rule.table.path} has a fold {largest}, but num_folds is {num_folds}, so that "
                f"folds are 0 to {num_folds - 1}; make them agree"
            )


class _Split(NamedTuple):
    """A table in memory: rows by their keys, and the fold of each."""

    rows: KeyIndex
    folds: NDArray[np.int32]


def _split_of(table: FoldTable, keys: tuple[str, ...]) -> _Split:
    if not Path(table.path).is_file():
        raise NtuplemlError(
            f"fold_file: no file '{table.path}', which has the fold of each event; with write: true the build of the "
            "dataset makes it"
        )
    found = sha256_of_table(table.path)
    if table.sha256 and table.sha256 != found:
        raise NtuplemlError(
            f"fold_file: {table.path} has changed since the dataset was built, so that events may be in other folds; "
            "restore it, or build the dataset and train anew"
        )
    return _read(table._replace(sha256=found), keys)


@lru_cache(maxsize=2)
def _read(table: FoldTable, keys: tuple[str, ...]) -> _Split:
    tree = only_tree(table.path, option="fold_file: {path: …, tree: …}") if table.tree is None else table.tree
    with open_ntuple(table.path, tree, where="fold_file") as ntuple:
        ntuple.require([*keys, table.column], "fold_file")
        types = [number_type(type_of_copy(ntuple.branches[name])) for name in keys]
        split = _Split(KeyIndex(ntuple.num_entries, types), np.empty(ntuple.num_entries, np.int32))
        start = 0
        for of_keys, folds in _chunks(ntuple, table, keys):
            split.rows.add(of_keys)
            split.folds[start : start + len(folds)] = folds
            start += len(folds)
        if split.rows.finish().rows:
            _require_one_fold(ntuple, table, keys, split)
    return split


def _chunks(
    ntuple: Ntuple, table: FoldTable, keys: Sequence[str]
) -> Iterator[tuple[list[NDArray[Any]], NDArray[np.int64]]]:
    for chunk in ntuple.chunks([*keys, table.column]):
        of_keys = [exact_integers(chunk.columns[name], f"{ntuple.where}: '{name}'", chunk.start) for name in keys]
        folds = exact_integers(chunk.columns[table.column], f"{ntuple.where}: '{table.column}'", chunk.start)
        bad = np.flatnonzero((folds < 0) | (folds > 10_000))
        if len(bad):
            raise NtuplemlError(
                f"fold_file: {ntuple.where}: '{table.column}' is {folds[bad[0]]} in row {chunk.start + bad[0]}, which "
                "is no fold; give numbers from 0 on"
            )
        yield of_keys, folds.astype(np.int64)


def _require_one_fold(ntuple: Ntuple, table: FoldTable, keys: Sequence[str], split: _Split) -> None:
    """An event may be there several times, with one fold."""
    for of_keys, folds in _chunks(ntuple, table, keys):
        different = np.flatnonzero(split.folds[split.rows.find(of_keys)] != folds)
        if len(different):
            first = int(different[0])
            key = ", ".join(str(values[first]) for values in of_keys)
            raise NtuplemlError(
                f"fold_file: {ntuple.where}: the event with {', '.join(keys)} = {key} is in two folds; each has one"
            )
