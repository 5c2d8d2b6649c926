"""Keys of the rows that a model saw: exact, sorted and packed in a small file beside it."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pydantic

from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.partners import key_columns, require_keys
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.datasets.loading import ClassTree

    Columns = list[NDArray[Any]]

FORMAT_VERSION = 1
#: Name of the attribute that says what is in the file, and what it calls such a file.
_RECORD, _KIND = "ntupleml", "keys"
#: Keys of a chunk of the file.
_CHUNK = 65_536
_SIGN = 1 << 63


class KeysRecord(pydantic.BaseModel):
    """What the record of a training says of the keys of its rows."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    #: Name of the file, which lies beside the record.
    file: str
    #: Columns that together tell a row, in order.
    columns: list[str]
    #: Rows that train and validate, and distinct keys of theirs.
    rows: int = pydantic.Field(ge=0)
    keys: int = pydantic.Field(ge=0)
    #: Checksum of the file.
    sha256: str


class KeysFile(NamedTuple):
    """Content of a file that is not written yet."""

    content: bytes
    columns: tuple[str, ...]
    rows: int
    keys: int

    def record(self, name: str) -> KeysRecord:
        """What a record says of it where the file has a name."""
        return KeysRecord(
            file=name,
            columns=list(self.columns),
            rows=self.rows,
            keys=self.keys,
            sha256=hashlib.sha256(self.content).hexdigest(),
        )


def keys_file(trees: Sequence[ClassTree], columns: Sequence[str]) -> KeysFile:
    """Keys of the rows of class trees that a training uses, as the content of a file.

    Parameters
    ----------
    columns : sequence of str
        Columns of integers that together tell a row, such as run and event number.

    Raises
    ------
    NtuplemlError
        If a tree lacks one of them, or its values are not exact integers.

    Notes
    -----
    Sorted by the columns, each key once; of each column the differences of one key and the next, modulo 2⁶⁴, are
    compressed byte by byte (HDF5's shuffle, then gzip).
    """
    parts: list[Columns] = [[np.empty(0, np.uint64)] * len(columns)]
    has_sign, is_large = [False] * len(columns), [False] * len(columns)
    for tree in trees:
        for part in _keys_of_tree(tree, columns):
            for place, values in enumerate(part):
                has_sign[place] |= values.dtype.kind == "i" and bool((values < 0).any())
                is_large[place] |= values.dtype.kind == "u" and bool((values >= _SIGN).any())
            parts.append([_as_bits(values) for values in part])
    for name, sign, large in zip(columns, has_sign, is_large, strict=True):
        if sign and large:
            raise NtuplemlError(f"keys: '{name}' is below 0 in one tree and above 2⁶³ in another; keep it in one type")
    bits = [np.concatenate([part[place] for part in parts]) for place in range(len(columns))]
    parts.clear()
    rows = len(bits[0])
    bits = _sorted(bits)
    types = ["uint64" if large else "int64" for large in is_large]
    return KeysFile(_packed(bits, columns, types, rows), tuple(columns), rows, len(bits[0]))


def _keys_of_tree(tree: ClassTree, columns: Sequence[str]) -> Iterator[Columns]:
    choice = tree.choice
    with open_class_tree(tree.file.path, tree.name, hypotheses=tree.hypotheses) as ntuple:
        require_keys(ntuple, columns, "; the fold files have it where the dataset config's branches keep it")
        of_choice = [] if choice is None else choice.branches(ntuple, tree.name)
        for chunk in ntuple.chunks(list(dict.fromkeys([*columns, *of_choice]))):
            found = key_columns(chunk, columns, tree.where)
            yield found if choice is None else [values[choice.rows(chunk, tree.name)] for values in found]


def _as_bits(values: NDArray[Any]) -> NDArray[np.uint64]:
    return values.astype(np.int64 if values.dtype.kind == "i" else np.uint64, copy=False).view(np.uint64)


def _sorted(bits: list[NDArray[np.uint64]]) -> list[NDArray[np.uint64]]:
    """Keys in order of the columns, each once."""
    order = np.lexsort(bits[::-1])
    for place, values in enumerate(bits):
        bits[place] = values[order]
    is_new = np.zeros(len(order), np.bool_)
    is_new[:1] = True
    for values in bits:
        is_new[1:] |= values[1:] != values[:-1]
    return bits if is_new.all() else [values[is_new] for values in bits]


def _packed(bits: list[NDArray[np.uint64]], columns: Sequence[str], types: Sequence[str], rows: int) -> bytes:
    import h5py

    with h5py.File("keys", "w", driver="core", backing_store=False) as file:
        for name, values, kind in zip(columns, bits, types, strict=True):
            differences = np.diff(values, prepend=np.uint64(0))
            dataset = file.create_dataset(
                name, data=differences, chunks=(min(_CHUNK, max(len(values), 1)),), shuffle=True, compression="gzip",
                compression_opts=1,
            )  # fmt: skip
            dataset.attrs["type"] = kind
        record = {"format_version": FORMAT_VERSION, "kind": _KIND, "columns": list(columns), "rows": rows}
        file.attrs[_RECORD] = json.dumps(record)
        file.flush()
        content: bytes = file.id.get_file_image()
    return content


def read_keys_record(record: Path) -> KeysRecord | None:
    """What the record of a training says of its keys; None where it kept none.

    Raises
    ------
    NtuplemlError
        If it is not the record of a training.
    """
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if "held_out_fold" not in content:
            raise ValueError("it has no held_out_fold")
        return None if content.get("keys") is None else KeysRecord.model_validate(content["keys"])
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise NtuplemlError(f"{record}: not the record of a training: {one_line(error)}") from None


def read_keys(folder: Path, record: KeysRecord) -> Iterator[Columns]:
    """Keys of a file in chunks: an array of integers for each column.

    Raises
    ------
    NtuplemlError
        If there is no such file, or it is not the one of the record.
    """
    import h5py

    path = folder / record.file
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NtuplemlError(
            f"{path}: no such file; it belongs to the record beside it, copy it or train again"
        ) from None
    except OSError as error:
        raise NtuplemlError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise NtuplemlError(f"{path}: not the file that the training wrote: its checksum differs; train again")
    with h5py.File(io.BytesIO(content), "r") as file:
        carried = [np.uint64(0)] * len(record.columns)
        for start in range(0, record.keys, _CHUNK):
            columns = []
            for place, name in enumerate(record.columns):
                values = np.cumsum(file[name][start : start + _CHUNK], dtype=np.uint64) + carried[place]
                carried[place] = values[-1]
                columns.append(values.view(file[name].attrs["type"]))
            yield columns
