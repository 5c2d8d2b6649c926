"""Marks that a run leaves in the header of a tree, so that the next call knows its branches again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.opening import damage_as_error, find_tree, is_rntuple, open_root_file
from ntupleml.ntuples.root_opinion import Place

if TYPE_CHECKING:
    from pathlib import Path

#: How every mark begins.
MARK_NAME = "ntupleml scores"
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
    """Marks in the newest cycle of a tree.

    They are sought in the bytes of the tree's header: uproot does not read the user information of trees.

    Raises
    ------
    NtuplemlError
        If the file or the tree cannot be read.
    """
    if format_of(path) is not None:
        return []
    with open_root_file(path) as file:
        if is_rntuple(find_tree(file, path, tree_path)):
            return []
        *folders, name = tree_path.strip("/").split("/")
        with damage_as_error(f"{path}: tree '{tree_path}'", Place(str(path), tree_path)):
            folder = file["/".join(folders)] if folders else file
            chunk, _ = folder.key(name).get_uncompressed_chunk_cursor()
            header = bytes(chunk.raw_data)
    return [
        Mark(found[1].decode(), tuple(found[2].decode(errors="surrogateescape").split(",")))
        for found in _MARK.finditer(header)
    ]
