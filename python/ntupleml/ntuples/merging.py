"""Files of one kind as one file: trees of one name after one another, groups of HDF5 and Parquet tables likewise."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.hdf5_chunks import PackedChunks
from ntupleml.ntuples.hdf5_disk import new_hdf5
from ntupleml.ntuples.hdf5_lists import require_lists_in_file
from ntupleml.ntuples.hdf5_sources import problem_of
from ntupleml.ntuples.inspection import list_trees
from ntupleml.ntuples.opening import one_line
from ntupleml.ntuples.reading import open_ntuple
from ntupleml.ntuples.root_process import run_with_root
from ntupleml.ntuples.sources import DAMAGED
from ntupleml.ntuples.table_files import FILE_INDEX, RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


#: Entries that are copied at a time.
_ENTRIES = 100_000


def merge_files(sources: Sequence[str | Path], output: str | Path, *, overwrite: bool = False) -> int:
    """Put the entries of all files into one; the number of entries of all its trees.

    ROOT merges ROOT files as its program hadd does: histograms are added, baskets are copied as they are.

    Raises
    ------
    NtuplemlError
        For files of several kinds, trees of one name with other branches, an output that exists and must not be
        overwritten, and a merged file that lacks entries.
    """
    formats = {str(source): format_of(source) for source in sources}
    kinds = {source: "ROOT" if found is None else found.name for source, found in formats.items()}
    first = next(iter(kinds))
    for source, kind in kinds.items():
        if kind != kinds[first]:
            raise NtuplemlError(f"{source}: is a file of {kind}, but {first} one of {kinds[first]}; merge them apart")
    _require_same_branches([str(source) for source in sources])
    expected = entries_of(sources)
    with replace_file(output, overwrite=overwrite) as temporary:
        paths = [str(source) for source in sources]
        if kinds[first] == "ROOT":
            run_with_root(_merge_with_root, paths, str(temporary), where=str(output))
        elif kinds[first] == "HDF5":
            _merge_hdf5(paths, temporary)
        else:
            _merge_parquet(paths, temporary)
        found = entries_of([temporary])
        if found != expected:
            raise NtuplemlError(f"{output}: holds {dict(found)} entries after merging, not {dict(expected)}")
    return sum(expected.values())


def entries_of(paths: Sequence[str | Path]) -> Counter[str]:
    """Entries of the trees of one name in all files; of Parquet files, under an empty name.

    Raises
    ------
    NtuplemlError
        If a file or a tree cannot be read.
    """
    entries: Counter[str] = Counter()
    for path in paths:
        for tree in list_trees(path):
            if tree.problem is not None:
                raise NtuplemlError(tree.problem)
            entries["" if tree.kind == "Parquet" else tree.tree_path] += tree.num_entries
    return entries


def _require_same_branches(paths: Sequence[str]) -> None:
    first: dict[str, tuple[str, dict[str, str]]] = {}
    for path in paths:
        for tree in list_trees(path):
            if tree.problem is not None:
                raise NtuplemlError(tree.problem)
            name = "" if tree.kind == "Parquet" else tree.tree_path
            with open_ntuple(path, tree.tree_path) as ntuple:
                types = {one: ntuple.branches[one].type_name for one in ntuple.main_branches}
                if ntuple.kind == "Parquet":  # whose pages are looked at before they are read
                    numbers = [one for one in types if ntuple.branches[one].kind != "other"]
                    next(ntuple.chunks([one for one in numbers if one not in ntuple.duplicates]), None)
            other, expected = first.setdefault(name, (path, types))
            for branch in {**expected, **types}:
                if types.get(branch) != expected.get(branch):
                    raise NtuplemlError(_difference(branch, (path, types), (other, expected)))


def _difference(branch: str, one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]]) -> str:
    if branch not in one[1]:
        one, other = other, one
    if branch not in other[1]:
        return f"{other[0]}: lacks branch '{branch}', which {one[0]} has; files are merged where all have the same"
    return f"{one[0]}: branch '{branch}' is of type {one[1][branch]}, but of {other[1][branch]} in {other[0]}"


def _merge_with_root(paths: Sequence[str], output: str, *, where: str) -> None:
    """In a process that has started ROOT."""
    import ROOT

    merger = ROOT.TFileMerger(False, False)
    merger.SetFastMethod(True)
    ready = merger.OutputFile(output, "RECREATE") and all(merger.AddFile(path, False) for path in paths)
    if not (ready and merger.Merge()):
        raise NtuplemlError(f"{where}: ROOT cannot merge {', '.join(paths)}; it says why above")


def _merge_hdf5(paths: Sequence[str], output: Path) -> None:
    import h5py

    with new_hdf5(output) as (merged, _):
        records: dict[str, list[str]] = {}
        for path in paths:
            with _one_line_for(path), h5py.File(path, "r", locking="best-effort") as file:
                names: list[str] = []
                file.visit(names.append)
                for name in names:
                    _append_item(merged, file[name], name, records)
        for group, texts in records.items():
            merged[group].attrs[RECORD] = _joined_record(texts)


@contextmanager
def _one_line_for(path: str) -> Iterator[None]:
    """What libraries raise at a damaged file as one line; a full disk is told elsewhere."""
    try:
        yield
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        raise NtuplemlError(f"{path}: cannot be read: {one_line(error)}; {DAMAGED}") from error


def _append_item(merged: Any, item: Any, name: str, records: dict[str, list[str]]) -> None:
    """Make a group, or put the entries of a dataset behind those that are there."""
    import h5py

    if isinstance(item, h5py.Group):
        group = merged.require_group(name) if name in merged else merged.create_group(name, track_order=True)
        for key, value in item.attrs.items():
            if key == RECORD:
                records.setdefault(name, []).append(str(value))
            else:
                group.attrs[key] = value
        return
    if not isinstance(item, h5py.Dataset) or (item.ndim == 0 and name in merged):
        return
    size = Path(item.file.filename).stat().st_size
    problem = problem_of(item, size)
    if problem is not None:
        raise NtuplemlError(f"{item.file.filename}: dataset '{name}' cannot be read: {problem}")
    if item.ndim == 0:
        item.file.copy(item, merged, name)
        return
    if name not in merged:
        chunks = item.chunks or (max(1, min(len(item), 16_384)), *item.shape[1:])
        shape = {"shape": (0, *item.shape[1:]), "maxshape": (None, *item.shape[1:]), "chunks": chunks}
        packed = {key: getattr(item, key) for key in ("compression", "compression_opts", "shuffle", "fletcher32")}
        dataset = merged.create_dataset(name, dtype=item.dtype, **shape, **packed)
        for key, value in item.attrs.items():
            dataset.attrs[key] = value
    dataset, start = merged[name], len(merged[name])
    group = name.rpartition("/")[0]
    shift = _number_of_files(records[group][:-1]) if name == f"{group}/{FILE_INDEX}" and group in records else 0
    dataset.resize(start + len(item), axis=0)
    stored = PackedChunks(item)
    for first in range(0, len(item), _ENTRIES):
        stored.require(first, first + _ENTRIES)
        if h5py.check_vlen_dtype(item.dtype) is not None:
            require_lists_in_file(item, (), first, min(first + _ENTRIES, len(item)), size)
        values = item[first : first + _ENTRIES]
        # unlike an assignment, it does not take lists that happen to be of one length for an array
        place = np.s_[start + first : start + first + len(values)]
        dataset.write_direct(np.ascontiguousarray(values + shift if shift else values), dest_sel=place)


def _merge_parquet(paths: Sequence[str], output: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = [pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) for path in paths]
    schema = files[0].schema_arrow
    metadata = dict(schema.metadata or {})
    records = [(one.metadata.metadata or {}).get(RECORD.encode()) for one in files]
    texts = [one.decode() for one in records if one is not None]
    metadata.pop(RECORD.encode(), None)
    with pq.ParquetWriter(
        output,
        schema.with_metadata(metadata or None),
        compression="zstd",
        compression_level=1,
        write_page_checksum=True,
    ) as to:
        for place, file in enumerate(files):
            for batch in _batches(file, paths[place]):
                table = pa.Table.from_batches([batch])
                if len(texts) == len(files) and FILE_INDEX in table.column_names:
                    table = _shifted(table, _number_of_files(texts[:place]))
                to.write_table(table.cast(schema.with_metadata(metadata or None)))
            file.close()
        if len(texts) == len(files):
            to.add_key_value_metadata({RECORD: _joined_record(texts)})


def _batches(file: Any, path: str) -> Iterator[Any]:
    batches = file.iter_batches(_ENTRIES)
    while True:
        with _one_line_for(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _shifted(table: Any, shift: int) -> Any:
    import pyarrow.compute as pc

    index = table.column_names.index(FILE_INDEX)
    return table.set_column(index, table.schema.field(index), pc.add(table.column(index), shift).cast("int32"))


def _number_of_files(records: Sequence[str]) -> int:
    return sum(len(json.loads(text).get("files", [])) for text in records)


def _joined_record(records: Sequence[str]) -> str:
    """Record of converted tables, whose files are counted on; no conversion made the whole, so no one updates it."""
    contents = [json.loads(text) for text in records]
    files = [file for content in contents for file in content.get("files", [])]
    settings = contents[0].get("settings", "") if len(contents) == 1 else ""
    return json.dumps({**contents[0], "settings": settings, "files": files})
