"""Columns of other tables for each row of one, found by keys such as (run, event)."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.datasets.partners import JoinOptions, chosen_columns, key_columns, key_text, read_partners, require_keys
from ntupleml.datasets.table_records import group_name
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples.branch_types import type_of_copy
from ntupleml.ntuples.friends import friend_tree_path
from ntupleml.ntuples.input_files import expand_inputs, require_no_input
from ntupleml.ntuples.inspection import only_tree
from ntupleml.ntuples.reading import BYTES_PER_CHUNK
from ntupleml.ntuples.table_files import new_table_file, require_table_name
from ntupleml.ntuples.tree_files import require_tree_path
from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ntupleml.datasets.partners import Partners, Types
    from ntupleml.ntuples import Ntuple

    Extend = Callable[[dict[str, Any]], None]

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
_ROOT = ".root"


class Joined(NamedTuple):
    """What became of the rows.

    Attributes
    ----------
    rows : int
        That were written.
    unmatched : int
        Rows of the left table whose key no other has.
    repeated : int
        Rows of the other tables whose key an earlier one has.
    """

    rows: int
    unmatched: int
    repeated: int


def join(
    left: str | Path,
    right: str | Path | Sequence[str | Path],
    output: str | Path,
    keys: Sequence[str] | Mapping[str, str],
    columns: Sequence[str] | Mapping[str, str] | None = None,
    *,
    tree: str | None = None,
    right_tree: str | Sequence[str] = (),
    keep: Sequence[str] = (),
    prefix: str = "",
    found: str | None = None,
    unmatched: str | float | None = None,
    duplicates: str | None = None,
    overwrite: bool = False,
) -> Joined:
    """Write, for each row of a table, its keys and the columns of the row of other tables that has the same keys.

    Parameters
    ----------
    left : path
        ROOT, HDF5 or Parquet file, read in chunks.
    right : path or sequence of path
        Such files, with wildcards too, which together are one table; what is asked for of them is held in memory.
    output : path
        As it ends: a ROOT file with a friend of `left`, or an HDF5 or Parquet table.
    keys : sequence of str, or mapping of str to str
        Columns of integers that both have, or those of `left` with those of `right`.
    columns : sequence of str, or mapping of str to str, optional
        Of `right`: names, patterns, and behind `!` patterns of what is left out; or new names with theirs. By default
        all but the keys; none where `found` is given.
    tree : str, optional
        By default the only one.
    right_tree : str or sequence of str, optional
        Trees, of each file of `right`; by default the only one.
    keep : sequence of str, optional
        Columns of `left`, or patterns, that are written too.
    prefix : str, optional
        Put before the names of the columns of `right`.
    found : str, optional
        Name of a column that says whether a row has a partner. Without other columns rows may have none.
    unmatched : {"nan", "drop"} or number, optional
        What becomes of rows without a partner: NaN or a number in all columns (lists are empty), or they are left
        out. By default they are refused.
    duplicates : {"first", "last"}, optional
        Which row is taken of those with one key. By default they are refused.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with files, trees, keys and columns; for keys that are repeated, and rows without a
        partner, unless asked for. Nothing is written then.

    Examples
    --------
    >>> import tempfile
    >>> from ntupleml.ntuples.table_files import new_table_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, column in (("left", "x"), ("right", "score")):
    ...         with new_table_file(f"{folder}/{name}.h5", "events", {"n": "i8", column: "f4"}, 2) as table:
    ...             table.extend({"n": np.array([5, 2**60 + 1]), column: np.ones(2, "f4")})
    ...             table.finish("")
    ...     join(f"{folder}/left.h5", f"{folder}/right.h5", f"{folder}/joined.parquet", ["n"])
    Joined(rows=2, unmatched=0, repeated=0)
    """
    paths = expand_inputs([str(right)] if isinstance(right, str | Path) else [str(path) for path in right])
    if columns is None:
        columns = ["*"] if found is None else []
    options = JoinOptions(_by_name(keys), _by_name(columns), prefix, unmatched, duplicates)
    _require_options(left, paths, Path(output), options)
    tree_path = only_tree(left) if tree is None else tree
    with open_ntuple(left, tree_path) as ntuple:
        require_keys(ntuple, options.keys)
        kept = list(dict.fromkeys([*options.keys, *chosen_columns(ntuple, keep, "keep")]))
        partners = read_partners(paths, [right_tree] if isinstance(right_tree, str) else right_tree, options)
        types = _types(ntuple, kept, found, partners)
        writer = _writer(Path(output), ntuple, types, _record(ntuple, partners, options), overwrite)
        with writer as extend, progress_bar(ntuple.num_entries) as advance:
            done = _write(ntuple, kept, found, partners, options, extend, advance)
    _log(output, done, options)
    return done


def _by_name(texts: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    return dict(texts) if isinstance(texts, Mapping) else {text: text for text in texts}


def _require_options(left: str | Path, right: Sequence[str], output: Path, options: JoinOptions) -> None:
    if not options.keys:
        raise NtuplemlError("keys: none is given; name the columns that tell a row, such as run and event")
    if not right:
        raise NtuplemlError("right: no table is given; name one")
    require_no_input(output, [str(left), *right])
    if isinstance(options.unmatched, str) and options.unmatched not in ("nan", "drop"):
        raise NtuplemlError(f"unmatched: found '{options.unmatched}'; give nan, drop or a number")
    if options.duplicates not in (None, "first", "last"):
        raise NtuplemlError(f"duplicates: found '{options.duplicates}'; give first or last")
    if output.suffix != _ROOT:
        require_table_name(output)
    elif options.unmatched == "drop":
        raise NtuplemlError(
            f"{output}: a friend has an entry for each row, so none can be dropped; give nan or a number, or a name "
            "that ends in .h5 or .parquet"
        )


def _types(ntuple: Ntuple, kept: Sequence[str], found: str | None, partners: Partners) -> Types:
    """Types of all columns, in order."""
    types: Types = {name: type_of_copy(ntuple.branches[name]) for name in kept}
    new: Types = ({} if found is None else {found: np.dtype(np.bool_)}) | partners.types
    twice = next((name for name in new if name in types), found if found in partners.types else None)
    if twice is not None:
        raise NtuplemlError(
            f"columns: two would be called '{twice}'; give one another name (NAME={twice}), or a prefix"
        )
    return types | new


def _write(
    ntuple: Ntuple,
    kept: Sequence[str],
    found: str | None,
    partners: Partners,
    options: JoinOptions,
    extend: Extend,
    advance: Callable[[str, int], None],
) -> Joined:
    """Look the rows up and write them; behind the first that is refused, they are only counted."""
    rows = missing = 0
    first = ""
    is_free = options.unmatched is not None or not partners.columns
    for chunk in ntuple.chunks(kept, _rows_at_a_time(ntuple, kept, partners)):
        places = partners.rows.find(key_columns(chunk, options.keys, ntuple.where))
        without = np.flatnonzero(places < 0)
        if len(without) and not missing:
            key = key_text(options.keys, [chunk.columns[name][without[0]] for name in options.keys])
            first = f"{key} in entry {chunk.start + without[0]}"
        missing += len(without)
        if is_free or not missing:
            columns = {name: chunk.columns[name] for name in kept}
            if found is not None:
                columns[found] = places >= 0
            if options.unmatched == "drop" and len(without):
                columns = {name: column[places >= 0] for name, column in columns.items()}
                places = places[places >= 0]
            extend(columns | {name: column[places] for name, column in partners.columns.items()})
            rows += len(places)
        advance(ntuple.path, chunk.num_rows)
    if missing and not is_free:
        raise NtuplemlError(
            f"{ntuple.path}: {missing:,} of {ntuple.num_entries:,} rows have no partner, first {first}; give "
            "--unmatched nan, drop or a number"
        )
    return Joined(rows, missing, partners.repeated)


def _rows_at_a_time(ntuple: Ntuple, kept: Sequence[str], partners: Partners) -> int:
    """Rows that stay within the memory, joined."""
    new = sum(column.nbytes / len(column) for column in partners.columns.values())
    return min(ntuple.chunk_size(kept), int(BYTES_PER_CHUNK // max(new, 1)) or 1)


def _record(ntuple: Ntuple, partners: Partners, options: JoinOptions) -> str:
    """How the table was made, as JSON."""
    left = {"path": ntuple.path, "tree": ntuple.tree_path, "uuid": ntuple.uuid, "entries": ntuple.num_entries}
    record = {"format_version": FORMAT_VERSION, "kind": "join", "left": left, "right": partners.record}
    return json.dumps(record | options._asdict())


@contextmanager
def _writer(output: Path, ntuple: Ntuple, types: Types, record: str, overwrite: bool) -> Iterator[Extend]:
    """What takes the rows, of a friend or of a table."""
    if output.suffix == _ROOT:
        tree_path = friend_tree_path(ntuple.path, ntuple.tree_path)
        require_tree_path(tree_path, str(output))
        with new_tree_file(output, overwrite=overwrite) as file:
            yield file.tree(tree_path, types, record).extend
    else:
        group, most = group_name(ntuple.tree_path), ntuple.num_entries
        with new_table_file(output, group, types, most, overwrite=overwrite) as table:
            yield table.extend
            table.finish(record)


def _log(output: str | Path, done: Joined, options: JoinOptions) -> None:
    log.info("%s: %s rows, joined by %s", output, f"{done.rows:,}", ", ".join(options.keys))
    if done.unmatched:
        number = "" if options.unmatched is None else f" and have {options.unmatched}"
        what = " and are left out" if options.unmatched == "drop" else number
        level = logging.INFO if options.unmatched is None else logging.WARNING
        log.log(level, "%s: %s rows have no partner%s", output, f"{done.unmatched:,}", what)
    if done.repeated:
        taken = f"the {options.duplicates} row of a key is taken"
        log.warning("%s: %s rows have a key that an earlier row has; %s", output, f"{done.repeated:,}", taken)
