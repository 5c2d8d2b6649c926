"""Marks that a run leaves in the header of a tree, so that the next call knows its branches again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.opening import damage_as_error, find_tree, is_rntuple, open_root_file
from ntupleml.ntuples.root_opinion import Place
from ntupleml.ntuples.table_files import table_record

if TYPE_CHECKING:
    from pathlib import Path

#: How every mark begins.
MARK_NAME = "ntupleml scores"
#: Key of the record of a table that has its mark.
MARK_KEY = "mark"
_MARK = re.compile(rb"ntupleml scores ([0-9a-f]{64}) ([^;\x00-\x1f]*);")


class Mark(NamedTuple):
    """What was written, and from what."""

    #: SHA-256 of all that the values depend on, 64 hexadecimal digits.
    key: str
    #: Branches that were written.
    branches: tuple[str, ...]

    def __str__(self) -> str:
        """The mark as it stands in the tree: in the title of a new one, in the user information of an old one."""
        return f"{MARK_NAME} {self.key} {','.join(self.branches)};"


def read_marks(path: str | Path, tree_path: str) -> list[Mark]:
    """Marks in the newest cycle of a tree, or in the record of an HDF5 or Parquet table.

    They are sought in the bytes of the tree's header: uproot does not read the user information of trees.

    Raises
    ------
    NtuplemlError
        If the file or the tree cannot be read.
    """
    if format_of(path) is not None:
        return _marks_in(_mark_of_table(path, tree_path))
    with open_root_file(path) as file:
        if is_rntuple(find_tree(file, path, tree_path)):
            return []
        *folders, name = tree_path.strip("/").split("/")
        with damage_as_error(f"{path}: tree '{tree_path}'", Place(str(path), tree_path)):
            folder = file["/".join(folders)] if folders else file
            chunk, _ = folder.key(name).get_uncompressed_chunk_cursor()
            header = bytes(chunk.raw_data)
    return _marks_in(header)


def _marks_in(text: bytes) -> list[Mark]:
    return [
        Mark(found[1].decode(), tuple(found[2].decode(errors="surrogateescape").split(",")))
        for found in _MARK.finditer(text)
    ]


def _mark_of_table(path: str | Path, tree_path: str) -> bytes:
    """Text of the mark in the record of a table; empty where there is none."""
    record = table_record(path, tree_path.strip("/") or "/")
    try:
        content = json.loads(record or "{}")
    except ValueError:  # of another program
        return b""
    return str(content.get(MARK_KEY, "")).encode() if isinstance(content, dict) else b""
