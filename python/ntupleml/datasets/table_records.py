"""Record of a conversion, stored in the table; a later run reads it and skips finished files."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from ntupleml.datasets.slots import Cut, Slots  # noqa: TC001  # pydantic evaluates them
from ntupleml.ntuples.table_files import FILE_INDEX, table_record

if TYPE_CHECKING:
    from pathlib import Path

    from ntupleml.config import ConversionConfig

#: Column of the entry that a row is from, in the file that `FILE_INDEX` says.
FILE_ENTRY = "file_entry"
ORIGIN: dict[str, np.dtype[Any]] = {FILE_INDEX: np.dtype(np.int32), FILE_ENTRY: np.dtype(np.int64)}


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class SurveyedFile(_Part):
    """A file before it is converted."""

    path: str
    tree_path: str
    #: UUID that ROOT gave the file.
    uuid: str
    #: In bytes.
    size: int
    #: Of the tree.
    entries: int
    #: Types of the variables with one value per event.
    scalars: dict[str, str]
    #: Most objects of an event, for collections whose number of slots follows from it.
    longest: dict[str, int]


class ConvertedFile(_Part):
    """A file that is in the table."""

    file: SurveyedFile
    rows: int
    #: By collection.
    cut: dict[str, Cut]


class Layout(_Part):
    """What the columns are, the same for all files."""

    scalars: dict[str, str]
    slots: list[Slots]
    #: Type of the slots.
    dtype: str = "float32"

    @property
    def columns(self) -> list[str]:
        """Names, without those that say where a row is from."""
        return [*self.scalars, *(name for one in self.slots for name in one.columns)]

    @property
    def types(self) -> dict[str, np.dtype[Any]]:
        """Of all columns, in order."""
        return {**{name: np.dtype(self.scalars.get(name, self.dtype)) for name in self.columns}, **ORIGIN}


class TableRecord(_Part):
    """How a table was made."""

    #: SHA-256 of what the config asks for.
    settings: str
    layout: Layout
    #: Collection whose objects are the rows; None where rows are events.
    objects: str | None = None
    #: In the order of `file_index`.
    files: list[ConvertedFile] = []

    @property
    def rows(self) -> int:
        """Of the table."""
        return sum(one.rows for one in self.files)

    @property
    def group(self) -> str:
        """Group of an HDF5 file that holds the columns: it is called like the tree."""
        return group_name(self.files[0].file.tree_path)

    def of(self, files: list[ConvertedFile]) -> TableRecord:
        """The same for other files."""
        return self.model_copy(update={"files": files})


def group_name(tree_path: str) -> str:
    """Group for what was in a tree."""
    return tree_path.strip("/") or "events"


def read_table_record(path: Path) -> TableRecord | None:
    """Record of a table; None where there is none."""
    if not path.exists():
        return None
    try:
        text = table_record(path)
        return None if text is None else TableRecord.model_validate_json(text)
    except (OSError, ValueError):  # no file of this kind, or a record of another program
        return None


def settings_key(config: ConversionConfig) -> str:
    """SHA-256 of what a config asks for."""
    return digest(config.model_dump(exclude={"cluster"}))


def digest(content: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
