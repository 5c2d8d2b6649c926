"""Writing new HDF5 and Parquet files with one table of numbers and lists, in chunks, complete or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.branch_types import plain_arrays, vector_item
from ntupleml.ntuples.hdf5_disk import new_hdf5

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from numpy.typing import DTypeLike, NDArray

    from ntupleml.ntuples.hdf5_disk import Disk

    Columns = Mapping[str, Any]
    #: As those of new trees.
    Types = Mapping[str, DTypeLike | str]

#: Name of the text in a file that says how its table was made.
RECORD = "ntupleml"
#: Column of a converted table: position, in the record, of the file that a row is from.
FILE_INDEX = "file_index"
#: Rows of a chunk of HDF5, and the part of a file that each column keeps in memory.
_CHUNK_ROWS, _CACHE_BYTES = 16_384, 131_072
#: Most rows of a row group of Parquet, and most bytes, which are in memory until it is written.
_GROUP_ROWS, _GROUP_BYTES = 100_000, 48_000_000


class TableWriter(Protocol):
    """A table that is being written."""

    def extend(self, columns: Columns) -> None:
        """Append rows: one array per column, of numbers or of lists, all of one length."""
        ...

    def finish(self, record: str) -> None:
        """Write what is left, and the text that says how the table was made."""
        ...


class _HDF5Writer:
    """The datasets of a group."""

    def __init__(
        self, file: Any, disk: Disk, tree_path: str, types: Types, most_rows: int, *, compressed: bool
    ) -> None:
        self._disk = disk
        path = tree_path.strip("/")
        self._group = file.create_group(path, track_order=True) if path else file  # columns in this order
        self._rows = 0
        self._types = dict(types)
        packing = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compressed else {}
        self._options = {**packing, "fletcher32": True}  # a checksum of each chunk, which lists cannot have
        self._datasets = {name: self._new(name, kind, max(most_rows, 1)) for name, kind in types.items()}

    def _new(self, name: str, kind: DTypeLike | str, most_rows: int) -> Any:
        import h5py

        item = vector_item(kind)
        dtype = np.dtype(kind) if item is None else h5py.vlen_dtype(item)
        rows = min(_CHUNK_ROWS, most_rows, max(_CACHE_BYTES // dtype.itemsize, 1))
        shape = dtype.shape
        chunks, most = (rows, *shape), (None, *shape)
        return self._group.create_dataset(
            name, (0, *shape), dtype.base, maxshape=most, chunks=chunks, **(self._options if item is None else {})
        )

    def extend(self, columns: Columns) -> None:
        start = self._rows
        self._rows += len(next(iter(columns.values())))
        for name, dataset in self._datasets.items():
            dataset.resize(self._rows, axis=0)
            if vector_item(self._types[name]) is None:
                dataset[start:] = columns[name]
            elif self._rows > start:
                _write_lists(dataset, start, *plain_arrays(columns[name], self._types[name]))
        self._disk.require_written()

    def finish(self, record: str) -> None:
        self._group.attrs[RECORD] = record


class _ParquetWriter:
    """Row groups of one size; while one is compressed and written, the next is gathered."""

    def __init__(self, path: Path, types: Types) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._types = dict(types)
        self.schema = pa.schema([(name, _arrow_type(kind)) for name, kind in types.items()])
        self._writer = pq.ParquetWriter(
            path,
            self.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            write_page_checksum=True,
        )
        row = sum((vector_item(kind) or np.dtype(kind)).itemsize for kind in types.values())
        self._group_rows = max(min(_GROUP_ROWS, _GROUP_BYTES // row), 1)
        self._pending: list[Any] = []
        self._pending_rows = 0
        self._thread = ThreadPoolExecutor(1)
        self._being_written: Future[None] | None = None

    def extend(self, columns: Columns) -> None:
        import pyarrow as pa

        arrays = [_arrow_array(columns[name], kind) for name, kind in self._types.items()]
        self._pending.append(pa.table(arrays, schema=self.schema))
        self._pending_rows += self._pending[-1].num_rows
        if self._pending_rows >= self._group_rows:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        group = pa.concat_tables(self._pending)
        self._pending.clear()
        self._pending_rows = 0
        self._wait()
        self._being_written = self._thread.submit(self._writer.write_table, group)

    def _wait(self) -> None:
        if self._being_written is not None:
            self._being_written.result()

    def finish(self, record: str) -> None:
        if self._pending:
            self._flush()
        self._wait()
        self._writer.add_key_value_metadata({RECORD: record})

    def close(self) -> None:
        self._thread.shutdown()
        self._writer.close()


def _arrow(numbers: NDArray[Any]) -> Any:
    """Numbers as an array of Arrow."""
    import pyarrow as pa

    if numbers.dtype == np.bool_:  # of which Arrow has eight in a byte
        return pa.array(numbers)
    # `pa.array` imports pandas, if it is there, which takes as long as all the rest of a small table
    data = pa.py_buffer(np.ascontiguousarray(numbers))
    return pa.Array.from_buffers(pa.from_numpy_dtype(numbers.dtype), len(numbers), [None, data])


def _write_lists(dataset: Any, start: int, counts: NDArray[np.int64], numbers: NDArray[Any]) -> None:
    """Write lists of any length from a row on: h5py's assignment takes those of one number for numbers."""
    import h5py

    lists = np.fromiter(np.split(numbers, np.cumsum(counts)[:-1]), dtype=object, count=len(counts))
    place = dataset.id.get_space()
    place.select_hyperslab((start,), lists.shape)
    dataset.id.write(h5py.h5s.create_simple(lists.shape), place, lists.astype(dataset.dtype))


def _arrow_type(kind: DTypeLike | str) -> Any:
    import pyarrow as pa

    item = vector_item(kind)
    if item is not None:
        return pa.list_(pa.from_numpy_dtype(item))
    dtype = np.dtype(kind)
    arrow = pa.from_numpy_dtype(dtype.base)
    for length in reversed(dtype.shape):
        arrow = pa.list_(arrow, length)
    return arrow


def _arrow_array(column: Any, kind: DTypeLike | str) -> Any:
    import pyarrow as pa

    if vector_item(kind) is not None:
        counts, numbers = plain_arrays(column, kind)
        offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=offsets[1:])
        return pa.ListArray.from_arrays(offsets, _arrow(numbers))
    shape = np.dtype(kind).shape
    array = _arrow(np.asarray(column).reshape(-1))
    for length in reversed(shape):
        array = pa.FixedSizeListArray.from_arrays(array, length)
    return array


@contextmanager
def _hdf5_writer(path: Path, tree_path: str, types: Types, most_rows: int, compressed: bool) -> Iterator[TableWriter]:
    with new_hdf5(path, rdcc_nbytes=_CACHE_BYTES) as (file, disk):
        yield _HDF5Writer(file, disk, tree_path, types, most_rows, compressed=compressed)


@contextmanager
def _parquet_writer(
    path: Path, _tree_path: str, types: Types, _most_rows: int, _compressed: bool
) -> Iterator[TableWriter]:
    writer = _ParquetWriter(path, types)
    try:
        yield writer
    finally:
        writer.close()


#: By the end of the file's name.
_WRITERS: dict[str, Callable[[Path, str, Types, int, bool], AbstractContextManager[TableWriter]]] = {
    ".h5": _hdf5_writer,
    ".hdf5": _hdf5_writer,
    ".parquet": _parquet_writer,
    ".pq": _parquet_writer,
}


def require_table_name(path: str | Path) -> None:
    """Refuse a name that says neither HDF5 nor Parquet, and Parquet where it cannot be written."""
    ending = Path(path).suffix
    if ending not in _WRITERS:
        raise NtuplemlError(f"{path}: the name of a table ends in {', '.join(_WRITERS)}, which says its format")
    if _WRITERS[ending] is _parquet_writer:
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise NtuplemlError(
                f"{path}: Parquet files need pyarrow, which is not installed; run pip install 'ntupleml[parquet]', or "
                "choose a name that ends in .h5"
            ) from error


@contextmanager
def new_table_file(
    path: str | Path,
    tree_path: str,
    types: Types,
    most_rows: int,
    *,
    overwrite: bool = False,
    compressed: bool = False,
) -> Iterator[TableWriter]:
    """Write a new HDF5 or Parquet file, as its name says; it appears in its place when complete.

    Parameters
    ----------
    tree_path : str
        Group of the HDF5 file whose datasets are the columns; empty for its root.
    types : mapping
        Of the columns, in order, as for `TreeFile.tree`; arrays may have several dimensions.
    most_rows : int
        There will not be more rows.
    compressed : bool, default: False
        Whether numbers in HDF5 are; Parquet always is.

    Raises
    ------
    NtuplemlError
        If the file exists and must not be overwritten, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from ntupleml.ntuples import open_ntuple
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_table_file(f"{folder}/a.h5", "events", {"n": np.dtype("i8")}, 2) as table:
    ...         table.extend({"n": np.array([1, 2**60 + 1])})
    ...         table.finish("made by hand")
    ...     with open_ntuple(f"{folder}/a.h5", "events") as ntuple:
    ...         next(ntuple.chunks(["n"])).columns["n"]
    ...     table_record(f"{folder}/a.h5", "events")
    array([                  1, 1152921504606846977])
    'made by hand'
    """
    require_table_name(path)
    with replace_file(path, overwrite=overwrite) as temporary:
        try:
            with _WRITERS[Path(path).suffix](temporary, tree_path, types, most_rows, compressed) as writer:
                yield writer
        except OSError as error:
            if error.errno is None:  # HDF5 gives no number to a full disk
                raise NtuplemlError(f"{path}: cannot be written: {error}") from error
            raise


def table_record(path: str | Path, tree_path: str = "") -> str | None:
    """Text that says how the table of a file was made; None where it does not say it.

    Parameters
    ----------
    tree_path : str, optional
        Group of an HDF5 file; by default the only one with such a text.
    """
    if _WRITERS.get(Path(path).suffix) is _parquet_writer:
        import pyarrow.parquet as pq

        metadata = pq.read_metadata(path).metadata or {}
        found = metadata.get(RECORD.encode())
        return None if found is None else found.decode()
    import h5py

    with h5py.File(path, "r", locking="best-effort") as file:
        records: list[str] = []
        groups = [file[tree_path]] if tree_path else _all_groups(file)
        records = [str(group.attrs[RECORD]) for group in groups if RECORD in group.attrs]
        return records[0] if len(records) == 1 else None


def _all_groups(file: Any) -> list[Any]:
    import h5py

    groups: list[Any] = []
    file.visititems(lambda _, item: groups.append(item) if isinstance(item, h5py.Group) else None)
    return groups
