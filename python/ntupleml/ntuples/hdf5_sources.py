"""HDF5 files: the datasets of one group, all of the same first dimension, are the columns of a table."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.errors import one_line as shown
from ntupleml.ntuples.branches import Branch, number_branch, type_with_shape, unreadable_branch
from ntupleml.ntuples.hdf5_chunks import PackedChunks, is_packed_twice
from ntupleml.ntuples.hdf5_lists import lists_are_compact, require_lists_in_file
from ntupleml.ntuples.opening import one_line
from ntupleml.ntuples.sources import DAMAGED, TreeContent, UnreadableBranchError, file_identity, lists_of, plain_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.ntuples.sources import Column, Source, TableFile, TableKind

#: Part of a chunk of a file that is kept unpacked is at least this, in bytes: HDF5's own default.
_CACHE_BYTES = 1_048_576
#: Bytes of a part that is unpacked at once, and how many times its file a dataset may declare where that is much: the
#: best packing gains a factor of a thousand.
_MOST_PART_BYTES, _ALWAYS_BYTES, _MOST_PACKED = 2_000_000_000, 10_000_000_000, 2_000
#: Links within the file that are followed one after the other, to see whether they lead out of it.
_MOST_LINKS = 16
#: Dataset that holds the number of entries of the others, in files of images.
_NUMBER = "entries"


class _Place(NamedTuple):
    """A column: its branch, the dataset that holds it, and the fields of it where that is compound."""

    branch: Branch
    dataset: str
    fields: tuple[str, ...] = ()


@contextmanager
def open_hdf5_tables(path: Path, where: str = "") -> Iterator[TableFile]:
    """Open an HDF5 file."""
    import h5py

    with suppress(ImportError):  # filters that HDF5 does not bring itself, where they are installed
        import hdf5plugin  # type: ignore[import-not-found,unused-ignore] # noqa: F401
    start = f"{where}: " if where else ""
    try:
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        raise NtuplemlError(f"{start}{path}: cannot be read: {one_line(error)}; {DAMAGED}") from error
    with file:
        yield _HDF5File(file, path)


class _HDF5File:
    def __init__(self, file: Any, path: Path) -> None:
        self.uuid, self.size = file_identity(path)
        self._file = file
        self._path = path

    def tables(self) -> list[TreeContent]:
        contents = []
        for name in self._groups():
            try:
                source = self.source(name)
            except NtuplemlError as error:  # of one group; the others can be read
                contents.append(TreeContent(name, "–", problem=str(error)))
            else:
                contents.append(TreeContent(name, "HDF5", source.num_entries, len(source.branches)))
        return contents

    def _groups(self) -> list[str]:
        """Paths of the groups that hold datasets, that of the root being a slash."""
        import h5py

        names: list[str] = []
        self._file.visititems(
            lambda name, item: names.append(name.rpartition("/")[0] or "/") if isinstance(item, h5py.Dataset) else None
        )
        return list(dict.fromkeys(names))

    def source(self, tree_path: str, where: str = "") -> Source:
        import h5py

        start = f"{where}: " if where else ""
        name = tree_path.strip("/") or "/"
        try:
            other = _elsewhere(self._file, name)
            if other is not None:
                raise NtuplemlError(
                    f"{start}{self._path}: '{tree_path}' is a link to the file {shown(other)}; read that file itself"
                )
            group = self._file.get(name)
            if isinstance(group, h5py.Dataset):
                holder = group.name.rpartition("/")[0] or "/"
                raise NtuplemlError(
                    f"{start}{self._path}: '{tree_path}' is a dataset; give the group that holds it, '{holder}'"
                )
            if group is None:
                raise NtuplemlError(
                    f"{start}{self._path}: no group '{tree_path}'{did_you_mean(tree_path, self._groups())}"
                )
            label = f"group '{name}' of {self._path}"
            return _HDF5Source(group, label, f"{start}{label}", self.size)
        except (OSError, RuntimeError, KeyError) as error:
            raise NtuplemlError(
                f"{start}{self._path}: group '{tree_path}' cannot be read: {one_line(error)}; {DAMAGED}"
            ) from error


class _HDF5Source:
    kind: TableKind = "HDF5"

    def __init__(self, group: Any, label: str, where: str, size: int) -> None:
        self.label, self.where = label, where
        self.duplicates: set[str] = set()
        self._group, self._size = group, size
        self._places: dict[str, _Place] = {}
        lengths: dict[str, int] = {}
        for name in group:
            for place in _columns_of(group, name, lengths, size):
                if place.branch.name in self._places:
                    self.duplicates.add(place.branch.name)
                else:
                    self._places[place.branch.name] = place
        if not lengths:
            others = "groups: " + ", ".join(f"'{name}'" for name in list(group)[:6]) if len(group) else "nothing"
            raise NtuplemlError(f"{where}: holds no datasets of one number or more per entry, but {others}")
        self._leave_out_number(lengths)
        self.num_entries = _one_length(lengths, where)
        self.branches = {name: place.branch for name, place in self._places.items()}

    def _leave_out_number(self, lengths: dict[str, int]) -> None:
        """Leave out a dataset `entries` that holds one number, how many entries the others have, and check it."""
        others = {length for name, length in lengths.items() if name != _NUMBER}
        if lengths.get(_NUMBER) != 1 or not others or others == {1}:
            return
        PackedChunks(self._group[_NUMBER]).require(0, 1)
        del lengths[_NUMBER]
        self._places.pop(_NUMBER, None)
        given = int(np.ravel(self._group[_NUMBER][()])[0])
        if given not in others:
            raise NtuplemlError(
                f"{self.where}: '{_NUMBER}' says {given} entries, but the datasets have {min(others)}; fix the file"
            )

    def chunks(self, names: Sequence[str], step: int) -> Iterator[dict[str, Column]]:
        by_dataset: dict[str, list[_Place]] = {}
        for name in names:
            by_dataset.setdefault(self._places[name].dataset, []).append(self._places[name])
        datasets = {name: _with_cache(self._group, name) for name in by_dataset}
        packed: dict[str, PackedChunks] = {}
        for start in range(0, self.num_entries, step):
            columns: dict[str, Column] = {}
            for dataset, places in by_dataset.items():
                stop = min(start + step, self.num_entries)
                try:
                    if dataset not in packed:
                        packed[dataset] = PackedChunks(datasets[dataset])
                    packed[dataset].require(start, stop)
                    columns |= _read(datasets[dataset], places, start, stop, self._size)
                except (OSError, RuntimeError, ValueError) as error:
                    name = places[0].branch.name
                    reason = f"{one_line(error)}; {_advice(error)}"
                    raise UnreadableBranchError.found(self.where, name, reason, start) from error
            yield columns


def _elsewhere(group: Any, path: str, links: int = _MOST_LINKS) -> str | None:
    """Other file that HDF5 would open for this path (a link out of the file), or None."""
    import h5py

    here = group.file if path.startswith("/") else group
    for part in filter(None, path.split("/")):
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(part, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            return str(link.filename)
        if isinstance(link, h5py.SoftLink) and links:
            found = _elsewhere(here, link.path, links - 1)
            if found is not None:
                return found
        here = here.get(part)
    return None


def _columns_of(group: Any, name: str, lengths: dict[str, int], size: int) -> Iterator[_Place]:
    """Columns of one member of a group; the lengths of datasets are noted.

    Parameters
    ----------
    size : int
        Of the file, in bytes.
    """
    import h5py

    try:
        other = _elsewhere(group, name)
        if other is not None:
            problem = f"it is a link to the file {shown(other)}; read that file itself"
            yield _Place(unreadable_branch(name, "link", problem), name)
            return
        item = group[name]
    except (KeyError, OSError, RuntimeError) as error:
        yield _Place(unreadable_branch(name, "link", f"HDF5 cannot follow it ({one_line(error)})"), name)
        return
    if not isinstance(item, h5py.Dataset) or item.shape is None or item.ndim == 0:
        return
    lengths[name] = len(item)
    unread = problem_of(item, size)
    if unread is not None:
        yield _Place(unreadable_branch(name, str(item.dtype), unread), name)
        return
    for fields, dtype, shape in _fields(item.dtype, item.shape[1:]):
        if h5py.check_vlen_dtype(dtype) is not None and lists_are_compact(item):
            problem = "its lists lie in the head of the dataset; write it anew in chunks (h5py: chunks=True)"
            yield _Place(unreadable_branch(".".join((name, *fields)), "lists", problem), name, fields)
            continue
        yield _Place(_branch(".".join((name, *fields)), dtype, shape), name, fields)


def problem_of(dataset: Any, size: int) -> str | None:
    """Why a dataset is not read: its numbers are in other files, or they are more than can be in this one.

    Parameters
    ----------
    size : int
        Of the file, in bytes.
    """
    if dataset.external or dataset.is_virtual:
        return "its numbers are in other files; copy them into one (h5repack, or h5py)"
    declared = dataset.size * dataset.dtype.itemsize
    if declared > max(_ALWAYS_BYTES, _MOST_PACKED * size):
        return f"it declares {declared:,} bytes in a file of {size:,}; the file is damaged, or made to fill the memory"
    part = 0 if dataset.chunks is None else int(np.prod(dataset.chunks, dtype=float)) * dataset.dtype.itemsize
    if part > _MOST_PART_BYTES:
        return f"its chunks have {part:,} bytes; write it anew with smaller ones (h5repack -l)"
    if is_packed_twice(dataset):
        return "its chunks are packed twice, one filter behind the other; write it anew with one (h5repack -f)"
    return None


def _one_length(lengths: dict[str, int], where: str) -> int:
    name, length = next(iter(lengths.items()))
    for other, its_length in lengths.items():
        if its_length != length:
            raise NtuplemlError(
                f"{where}: dataset '{name}' has {length} entries, but '{other}' has {its_length}; the datasets of a "
                "group are the columns of one table, so put those of other lengths in a group of their own"
            )
    return length


def _fields(
    dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[tuple[tuple[str, ...], np.dtype[Any], tuple[int, ...]]]:
    """Fields of a compound type, those of fields included, with type and shape; a plain type is one without a name."""
    if dtype.names is not None:
        for name in dtype.names:
            for fields, inner, inner_shape in _fields(dtype[name], shape):
                yield (name, *fields), inner, inner_shape
    elif dtype.subdtype is not None:
        yield from _fields(dtype.subdtype[0], (*shape, *dtype.subdtype[1]))
    else:
        yield (), dtype, shape


def _branch(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Branch:
    import h5py

    if h5py.check_string_dtype(dtype) is not None:
        return Branch(name, type_with_shape("text", shape), None, (), 0.0)
    item = h5py.check_vlen_dtype(dtype)
    if item is not None:
        return number_branch(name, type_with_shape(str(item), (*shape, None)), np.dtype(item), (*shape, None))
    return number_branch(name, type_with_shape(str(dtype), shape), dtype, shape)


def _with_cache(group: Any, name: str) -> Any:
    """Dataset that caches the last chunks of a read, so that the next read need not unpack them again."""
    import h5py

    dataset = group[name]
    if dataset.chunks is None:
        return dataset
    # one row of chunks: all that lie beside each other for the same entries
    row = dataset.chunks[0] * int(np.prod(dataset.shape[1:], dtype=np.int64)) * dataset.dtype.itemsize
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(521, max(2 * row, _CACHE_BYTES), 1.0)
    return h5py.Dataset(h5py.h5d.open(group.id, name.encode(), access))


def _read(dataset: Any, places: Sequence[_Place], start: int, stop: int, size: int) -> dict[str, Column]:
    """Some columns of a dataset; of a compound one, the fields that they need.

    Parameters
    ----------
    size : int
        Of the file, in bytes.
    """
    for place in places:
        if place.branch.shape == (None,):
            require_lists_in_file(dataset, place.fields, start, stop, size)
    if dataset.dtype.names is None:
        values = dataset[start:stop]
    else:
        values = dataset.fields(list(dict.fromkeys(place.fields[0] for place in places)))[start:stop]
    columns = {}
    for place in places:
        numbers = values
        for field in place.fields:
            numbers = numbers[field]
        branch = place.branch
        columns[branch.name] = _lists(numbers, branch) if branch.shape == (None,) else plain_column(numbers, branch)
    return columns


def _lists(rows: NDArray[Any], branch: Branch) -> Column:
    """Column of lists of any length, each of which h5py gives as an array."""
    counts = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    return lists_of(np.concatenate([np.empty(0, branch.dtype), *rows], dtype=branch.dtype), counts)


def _advice(error: Exception) -> str:
    if "filter" in str(error).lower() and "plugin" in str(error).lower():
        return "pip install hdf5plugin brings the filters that HDF5 itself lacks"
    return DAMAGED
