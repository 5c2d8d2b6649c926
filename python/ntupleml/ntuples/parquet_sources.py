"""Parquet files: one table each, with lists, arrays of fixed shape and records, streamed in batches."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branches import Branch, Shape, number_branch, type_with_shape
from ntupleml.ntuples.opening import one_line
from ntupleml.ntuples.parquet_pages import PageError, largest_page, require_shallow
from ntupleml.ntuples.sources import (
    DAMAGED,
    TreeContent,
    UnreadableBranchError,
    file_identity,
    lists_of,
    plain_column,
    recut,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.ntuples.sources import Column, Source, TableFile, TableKind

#: Read from disk at a time, for each column.
_BUFFER_BYTES = 1_048_576
#: What pages may unpack to at once, and how many times their file where that is more.
_ALWAYS_BYTES, _MOST_PACKED = 500_000_000, 2_000


class _Leaf(NamedTuple):
    """A column that holds no others: its branch, and the names of the records that it is in, its own last."""

    branch: Branch
    names: tuple[str, ...]


@contextmanager
def open_parquet_tables(path: Path, where: str = "") -> Iterator[TableFile]:
    """Open a Parquet file."""
    start = f"{where}: " if where else ""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise NtuplemlError(
            f"{start}{path}: Parquet files need pyarrow, which is not installed; run pip install 'ntupleml[parquet]'"
        ) from error
    try:
        with path.open("rb") as content:
            require_shallow(content)
        file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
        table = _ParquetFile(file, path)
    except (pa.ArrowException, OSError, PageError, UnicodeDecodeError) as error:
        raise NtuplemlError(f"{start}{path}: cannot be read: {one_line(error)}; {DAMAGED}") from error
    with file:
        yield table


class _ParquetFile:
    def __init__(self, file: Any, path: Path) -> None:
        self.uuid, self.size = file_identity(path)
        self._file = file
        self._path = path

    def tables(self) -> list[TreeContent]:
        source = self.source("")
        return [TreeContent(self._path.stem, "Parquet", source.num_entries, len(source.branches))]

    def source(self, tree_path: str, where: str = "") -> Source:  # noqa: ARG002 - there is one table, whatever it is called
        full = f"{where}: {self._path}" if where else str(self._path)
        return _ParquetSource(self._file, self._path, self.size, full)


class _ParquetSource:
    kind: TableKind = "Parquet"

    def __init__(self, file: Any, path: Path, size: int, where: str) -> None:
        self.label, self.where = str(path), where
        self._path, self._size = path, size
        self.num_entries = int(file.metadata.num_rows)
        self.duplicates: set[str] = set()
        self._file = file
        self._leaves: dict[str, _Leaf] = {}
        self._paths: dict[str, str] = {}
        numbers = _numbers_per_entry(file.metadata)
        index = 0
        for field in file.schema_arrow:
            for leaf in _leaves(field.name, (field.name,), field.type, ()):
                name = leaf.branch.name
                if name in self._leaves:
                    self.duplicates.add(name)
                else:
                    self._leaves[name] = _with_size(leaf, numbers[index])
                    self._paths[name] = file.metadata.schema.column(index).path
                index += 1
        self.branches = {name: leaf.branch for name, leaf in self._leaves.items()}

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        self._require_small_pages(names)
        return recut(self._blocks(names, step), names, step, self.num_entries)

    def _require_small_pages(self, names: Sequence[str]) -> None:
        """Refuse columns whose pages fill the memory: one of each is unpacked at a time."""
        metadata, total = self._file.metadata, 0
        columns = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
        with self._path.open("rb") as file:
            for name in names:
                parts = [
                    metadata.row_group(group).column(columns[self._paths[name]])
                    for group in range(metadata.num_row_groups)
                ]
                try:
                    total += max((largest_page(file, part) for part in parts), default=0)
                except PageError as error:
                    raise UnreadableBranchError.found(self.where, name, f"{error}; {DAMAGED}", 0) from error
                if total > max(_ALWAYS_BYTES, _MOST_PACKED * self._size):
                    reason = (
                        f"a page of it, with those before it, unpacks to {total:,} bytes in a file of {self._size:,}"
                    )
                    raise UnreadableBranchError.found(self.where, name, f"{reason}; {DAMAGED}", 0)

    def _blocks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        import pyarrow as pa

        batches = self._file.iter_batches(step, columns=[self._paths[name] for name in names])
        start = 0
        while start < self.num_entries:
            try:
                batch = next(batches)
            except (pa.ArrowException, OSError, StopIteration) as error:
                raise self._unreadable(names, step, start, error) from error
            columns = {}
            for name in names:
                leaf = self._leaves[name]
                try:
                    columns[name] = _column(batch.column(leaf.names[0]), leaf)
                except _MissingError as error:
                    raise UnreadableBranchError.found(self.where, name, str(error), start) from error
            start += batch.num_rows
            yield columns

    def _unreadable(self, names: Sequence[str], step: int, start: int, error: Exception) -> Exception:
        """Error that names the branch: the first that cannot be read by itself either."""
        import pyarrow as pa

        for name in names:
            try:
                for _ in self._file.iter_batches(step, columns=[self._paths[name]]):
                    pass
            except (pa.ArrowException, OSError) as own_error:
                return UnreadableBranchError.found(self.where, name, f"{one_line(own_error)}; {DAMAGED}", start)
        reason = "it ends there" if isinstance(error, StopIteration) else one_line(error)
        return NtuplemlError(f"{self.where}: cannot be read at entries {start} and following: {reason}; {DAMAGED}")


class _MissingError(Exception):
    """Missing values where this package has no number for them."""


def _numbers_per_entry(metadata: Any) -> list[float]:
    """For each column, how many numbers an entry has on average."""
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    return [
        sum(group.column(column).num_values for group in groups) / max(metadata.num_rows, 1)
        for column in range(metadata.num_columns)
    ]


def _with_size(leaf: _Leaf, numbers: float) -> _Leaf:
    branch = leaf.branch
    if branch.dtype is None:
        return leaf
    return leaf._replace(branch=replace(branch, bytes_per_entry=branch.dtype.itemsize * max(numbers, 1.0)))


def _leaves(name: str, names: tuple[str, ...], kind: Any, shape: Shape) -> Iterator[_Leaf]:
    """Columns of a type that hold no others, in the order of the file."""
    import pyarrow as pa

    if isinstance(kind, pa.FixedShapeTensorType) and kind.permutation in (None, list(range(len(kind.shape)))):
        yield from _leaves(name, names, kind.value_type, (*shape, *kind.shape))
    elif isinstance(kind, pa.BaseExtensionType):
        yield from _leaves(name, names, kind.storage_type, shape)
    elif pa.types.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{name}.{field.name}", (*names, field.name), field.type, shape)
    elif pa.types.is_fixed_size_list(kind):
        yield from _leaves(name, names, kind.value_type, (*shape, kind.list_size))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(name, names, kind.value_type, (*shape, None))
    elif pa.types.is_map(kind):
        for part in (kind.key_type, kind.item_type):
            for leaf in _leaves(name, names, part, (*shape, None)):
                yield leaf._replace(branch=Branch(leaf.branch.name, str(kind), None, (), 0.0))
    else:
        yield _Leaf(_branch(name, kind, shape), names)


def _branch(name: str, kind: Any, shape: Shape) -> Branch:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    dtype = np.dtype(kind.to_pandas_dtype()) if is_number else None
    type_name = type_with_shape("text" if text else str(kind if dtype is None else dtype), shape)
    if dtype is None:
        return Branch(name, type_name, None, (), 0.0)
    return number_branch(name, type_name, dtype, shape)


def _column(array: Any, leaf: _Leaf) -> Column:
    counts, numbers = _numbers(array, leaf.names[1:])
    branch = leaf.branch
    if not counts:
        return plain_column(numbers.reshape(len(array), *branch.shape), branch)
    column = numbers.astype(branch.dtype, copy=False)
    for lengths in reversed(counts):
        column = lists_of(column, lengths)
    return column


def _numbers(array: Any, names: tuple[str, ...]) -> tuple[list[NDArray[Any]], NDArray[Any]]:
    """Numbers of a column, one after the other, and the lengths of its lists where they may differ, outermost first."""
    import pyarrow as pa

    counts: list[NDArray[Any]] = []
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            array = array.storage
        elif pa.types.is_struct(kind):
            names, index = names[1:], kind.get_field_index(names[0])
            array = array.flatten()[index]
        elif pa.types.is_nested(kind):
            if array.null_count:
                raise _MissingError(
                    f"{array.null_count} of its lists are missing (null); write empty lists in their place"
                )
            if not pa.types.is_fixed_size_list(kind):
                counts.append(array.value_lengths().to_numpy(zero_copy_only=False))
            array = array.flatten()
        elif pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        else:
            break
    if array.null_count and not pa.types.is_floating(kind):
        raise _MissingError(
            f"{array.null_count} values are missing (null), and only floating-point numbers can be NaN; fill them, or "
            "write the column as floats"
        )
    return counts, array.to_numpy(zero_copy_only=False)
