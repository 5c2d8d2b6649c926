"""The tables whose rows are looked up by keys: what is asked for of them, in memory."""

from __future__ import annotations

import fnmatch
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.keys import KeyIndex, exact_integers
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.branch_types import number_type, type_of_copy, vector_item
from ntupleml.ntuples.inspection import only_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.keys import Repeated
    from ntupleml.ntuples import Chunk, Ntuple

    #: What `new_tree_file` and `new_table_file` take.
    Types = dict[str, Any]

log = logging.getLogger(__name__)


class JoinOptions(NamedTuple):
    """What is joined, and how; see `ntupleml.datasets.joining.join`."""

    #: Columns of the left table, and those of the right ones.
    keys: dict[str, str]
    #: Columns and patterns, by new names where they get any.
    columns: dict[str, str]
    prefix: str
    unmatched: str | float | None
    duplicates: str | None


class Partners(NamedTuple):
    """The rows that are looked up."""

    rows: KeyIndex
    types: Types
    #: The last row stands for that of a key which no row has.
    columns: dict[str, Any]
    #: Rows whose key an earlier row has.
    repeated: int
    #: Of each file: path, tree, UUID and entries.
    record: list[dict[str, Any]]


class _Layout(NamedTuple):
    """What is read of a table."""

    #: By the names of new columns.
    sources: dict[str, str]
    types: Types
    key_types: list[np.dtype[Any]]


def read_partners(paths: Sequence[str], trees: Sequence[str], options: JoinOptions) -> Partners:
    """Read keys and columns of all trees of all files into memory; together they are one table.

    Raises
    ------
    NtuplemlError
        For columns that are missing or of other types in one of them, values that a row without a partner cannot
        have, and keys that are repeated, unless asked for.
    """
    record, layouts = [], []
    for path in paths:
        for tree in trees or [only_tree(path, option="--right-tree")]:
            with open_ntuple(path, tree) as ntuple:
                layouts.append(_layout(ntuple, options))
                record.append({"path": path, "tree": tree, "uuid": ntuple.uuid, "entries": ntuple.num_entries})
            _require_same(layouts[0], layouts[-1], _table(record[0]), _table(record[-1]))
    layout = layouts[0]
    fills = {name: _fill(kind, options.unmatched, name) for name, kind in layout.types.items()}
    index, held = _read(record, layout, list(options.keys.values()))
    repeated = index.finish(last=options.duplicates == "last")
    if repeated.rows and options.duplicates is None:
        _refuse_repeated(repeated, record, list(options.keys.values()))
    columns = {name: _with_last_row(held[name], kind, fills[name]) for name, kind in layout.types.items()}
    return Partners(index, layout.types, columns, repeated.rows, record)


def require_keys(ntuple: Ntuple, names: Iterable[str], advice: str = "", where: str = "keys") -> None:
    """Check that columns of keys are there and hold one number per row.

    Parameters
    ----------
    advice : str, optional
        Ending of the message where one is missing.
    where : str, default: "keys"
        Who asks for them, for messages.
    """
    names = list(names)
    try:
        ntuple.require(names, where)
    except NtuplemlError as error:
        raise NtuplemlError(f"{error}{advice}") from None
    for name in names:
        branch = ntuple.branches[name]
        if branch.kind != "scalar":
            raise NtuplemlError(
                f"{where}: branch '{name}' of {ntuple.where} is of type {branch.type_name}; one integer per row is "
                "needed"
            )


def key_columns(chunk: Chunk, names: Iterable[str], where: str) -> list[NDArray[Any]]:
    """Keys of the rows of a chunk."""
    return [exact_integers(chunk.columns[name], f"{where}: branch '{name}'", chunk.start) for name in names]


def key_text(names: Iterable[str], values: Sequence[Any]) -> str:
    """A key for messages.

    Examples
    --------
    >>> key_text(["run", "event"], [1, 5]), key_text(["event"], [5])
    ('(run, event) = (1, 5)', 'event = 5')
    """
    names, texts = list(names), [str(value) for value in values]
    return f"{names[0]} = {texts[0]}" if len(names) == 1 else f"({', '.join(names)}) = ({', '.join(texts)})"


def chosen_columns(ntuple: Ntuple, texts: Iterable[str], where: str, keys: Sequence[str] = ()) -> list[str]:
    """Columns that names and patterns stand for, in order; by a pattern only what can be copied, and no keys.

    Where the first pattern removes, it removes from all.
    """
    chosen: dict[str, None] = {}
    texts = list(texts)
    for text in ["*", *texts] if texts and texts[0].startswith("!") else texts:
        pattern = text.removeprefix("!")
        if text in ntuple.branches:
            ntuple.require([text], where)
            chosen[text] = None
            continue
        found = [name for name in ntuple.main_branches if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise NtuplemlError(
                f"{where}: '{text}' matches no branch in {ntuple.where}{did_you_mean(text, ntuple.main_branches)}"
            )
        if pattern != text:
            chosen = {name: None for name in chosen if name not in found}
            continue
        usable = [name for name in found if ntuple.branches[name].kind != "other" and name not in ntuple.duplicates]
        if left_out := [name for name in found if name not in usable]:
            log.warning("not copied, since they hold no numbers or cannot be read: %s", ", ".join(left_out))
        chosen |= dict.fromkeys(name for name in usable if name not in keys)
    return list(chosen)


def _layout(ntuple: Ntuple, options: JoinOptions) -> _Layout:
    keys = list(options.keys.values())
    require_keys(ntuple, keys)
    renamed = {name: source for name, source in options.columns.items() if name != source}
    ntuple.require(renamed.values(), "columns")
    same = [name for name, source in options.columns.items() if name == source]
    renamed |= {name: name for name in chosen_columns(ntuple, same, "columns", keys)}
    if options.columns and not renamed:
        raise NtuplemlError(f"columns: {ntuple.where} has none besides the keys; name one")
    sources = {options.prefix + name: source for name, source in renamed.items()}
    types = {name: type_of_copy(ntuple.branches[source]) for name, source in sources.items()}
    return _Layout(sources, types, [number_type(type_of_copy(ntuple.branches[name])) for name in keys])


def _table(one: Mapping[str, Any]) -> str:
    """A table of a record, for messages."""
    return f"tree '{one['tree']}' of {one['path']}" if one["tree"] else str(one["path"])


def _require_same(first: _Layout, other: _Layout, first_table: str, table: str) -> None:
    for name in {**first.types, **other.types}:
        kind, first_kind = (str(one.types.get(name, "not there")) for one in (other, first))
        if kind != first_kind:
            raise NtuplemlError(f"{table}: column '{name}' is {kind}, but in {first_table} {first_kind}; choose others")
    if other.key_types != first.key_types:
        kinds, first_kinds = (", ".join(map(str, one.key_types)) for one in (other, first))
        raise NtuplemlError(f"{table}: the keys are {kinds}, but in {first_table} {first_kinds}; make them equal")


def _read(record: Sequence[Mapping[str, Any]], layout: _Layout, keys: Sequence[str]) -> tuple[KeyIndex, dict[str, Any]]:
    """Keys and columns, these with a place for one more row; of lists, all chunks."""
    number = sum(one["entries"] for one in record)
    index, start = KeyIndex(number, layout.key_types), 0
    held: dict[str, Any] = {
        name: [] if vector_item(kind) else np.empty(number + 1, kind) for name, kind in layout.types.items()
    }
    for one in record:
        with open_ntuple(one["path"], one["tree"]) as ntuple:
            for chunk in ntuple.chunks([*keys, *layout.sources.values()]):
                index.add(key_columns(chunk, keys, ntuple.where))
                for name, source in layout.sources.items():
                    if isinstance(held[name], list):
                        held[name].append(chunk.columns[source])
                    else:
                        held[name][start : start + chunk.num_rows] = chunk.columns[source]
                start += chunk.num_rows
    return index, held


def _fill(kind: Any, unmatched: str | float | None, name: str) -> Any:
    """What a row without a partner has in a column."""
    dtype = number_type(kind)
    if unmatched is None or unmatched == "drop" or vector_item(kind):
        return 0  # is not written: rows without a partner are refused, left out, or have an empty list
    if isinstance(unmatched, str):
        if dtype.kind != "f":
            raise NtuplemlError(
                f"unmatched: column '{name}' holds {dtype}, which has no NaN; give a number, drop, or other columns"
            )
        return math.nan
    if dtype.kind == "f":
        fits = abs(unmatched) <= float(np.finfo(dtype).max)
    else:
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        fits = low <= unmatched <= high and unmatched == int(unmatched)
    if not fits:
        raise NtuplemlError(f"unmatched: {unmatched} does not fit into column '{name}', which holds {dtype}")
    return unmatched


def _with_last_row(held: Any, kind: Any, fill: Any) -> Any:
    if not isinstance(held, list):
        held[-1] = fill
        return held
    import awkward as ak

    empty = ak.values_astype(ak.Array([[0]])[:, :0], vector_item(kind))
    return ak.concatenate([*(ak.from_regular(one) for one in held), empty])


def _refuse_repeated(found: Repeated, record: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    starts = np.cumsum([0, *(one["entries"] for one in record)])
    files = [int(np.searchsorted(starts, row, side="right")) - 1 for row in (found.first, found.earlier)]
    entry, earlier = found.first - starts[files[0]], found.earlier - starts[files[1]]
    file = record[files[0]]
    with open_ntuple(file["path"], file["tree"]) as ntuple:
        chunk = next(chunk for chunk in ntuple.chunks(keys) if entry < chunk.stop)
        key = key_text(keys, [chunk.columns[name][entry - chunk.start] for name in keys])
    elsewhere = "" if files[0] == files[1] else f" of {_table(record[files[1]])}"
    raise NtuplemlError(
        f"{_table(file)}: {found.rows:,} rows have a key that an earlier row has, first {key} in entry {entry}, as in "
        f"entry {earlier}{elsewhere}; give --duplicates first or last"
    )
