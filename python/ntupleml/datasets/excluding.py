"""Rows that other trainings saw, found by the keys that these kept."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.datasets.partners import require_keys
from ntupleml.datasets.trained_keys import KeysRecord, read_keys, read_keys_record
from ntupleml.errors import NtuplemlError
from ntupleml.events.keys import KeyIndex, exact_integers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.ntuples import Ntuple

#: Key of the configs.
EXCLUDE = "exclude_trained_by"
#: Records of a folder of outputs.
_RECORDS = ("fold*_training.json", "fold*_training/weights/*.json")


class TrainedKeys:
    """Keys of rows that trainings saw; made by `trained_keys`.

    Attributes
    ----------
    columns : tuple of str
        Columns that tell a row.
    checksums : tuple of str
        Of the files.
    """

    def __init__(self, records: Mapping[str, Path]) -> None:
        """Read files of keys; `records` are folders by the records, as JSON, of different files."""
        self._index: KeyIndex | None = None
        self.checksums = tuple(sorted(KeysRecord.model_validate_json(one).sha256 for one in records))
        held: list[list[NDArray[Any]]] = []
        for text, folder in records.items():
            record = KeysRecord.model_validate_json(text)
            self.columns = tuple(record.columns)
            for part in read_keys(folder, record):
                new = part if self._index is None else _without(part, self._index)
                if len(new[0]):
                    held.append(new)
            self._index = _index_of(held, len(record.columns))

    def __len__(self) -> int:
        """Number of keys."""
        return 0 if self._index is None else len(self._index)

    def branches(self, ntuple: Ntuple) -> list[str]:
        """Columns that are read, checked to be there."""
        require_keys(ntuple, self.columns, f"; {EXCLUDE} finds rows by it", EXCLUDE)
        return list(self.columns)

    def has(
        self, columns: Mapping[str, Any], rows: NDArray[np.intp], where: str, first_entry: int = 0
    ) -> NDArray[np.bool_]:
        """Whether some rows of a chunk are among those that were trained on.

        Parameters
        ----------
        columns : mapping of str to array
            What was read of the chunk.
        rows : array of int, shape (n_rows,)
            Positions in the chunk.
        """
        assert self._index is not None
        keys = [
            exact_integers(columns[name][rows], f"{where}: {EXCLUDE}: branch '{name}'", first_entry)
            for name in self.columns
        ]
        found: NDArray[np.bool_] = self._index.find(keys) >= 0
        return found


def _without(part: list[NDArray[Any]], index: KeyIndex) -> list[NDArray[Any]]:
    """Keys that are not there yet."""
    is_new = index.find(part) < 0
    return [values[is_new] for values in part]


def _index_of(held: Sequence[list[NDArray[Any]]], number: int) -> KeyIndex:
    """Index of keys, which are all of one type if each of a column is."""
    types = [{part[place].dtype for part in held} for place in range(number)]
    if any(len(of_column) > 1 for of_column in types):
        raise NtuplemlError(
            f"{EXCLUDE}: one training has numbers above 2⁶³ in a key, another has none; give one of them"
        )
    index = KeyIndex(sum(len(part[0]) for part in held), [next(iter(one), np.dtype(np.int64)) for one in types])
    for part in held:
        index.add(part)
    index.finish()
    return index


def trained_keys(paths: Sequence[str], where: str) -> TrainedKeys | None:
    """Keys of all rows that some trainings saw; None where none are named.

    Parameters
    ----------
    paths : sequence of str
        Records of models, or `output_path` of trainings, which stands for all models in it.
    where : str
        The config, for messages.

    Raises
    ------
    NtuplemlError
        If there is no such record or folder, a training kept no keys, their file is missing or another one, or two
        trainings have keys of different columns.
    """
    if not paths:
        return None
    records: dict[str, Path] = {}
    first: tuple[list[str], Path] | None = None
    for path in paths:
        for record in _records(Path(path), f"{where}: {EXCLUDE}"):
            keys = read_keys_record(record)
            if keys is None:
                raise NtuplemlError(
                    f"{where}: {EXCLUDE}: {record}: that training kept no keys; add e.g. keys: [run_number, "
                    "event_number] to its training config and train again"
                )
            first = first or (keys.columns, record)
            if keys.columns != first[0]:
                raise NtuplemlError(
                    f"{where}: {EXCLUDE}: the keys of {record} are {', '.join(keys.columns)}, but those of {first[1]} "
                    f"{', '.join(first[0])}; train with the same keys"
                )
            records[keys.model_dump_json()] = record.parent
    return _read(tuple(sorted(records.items())))


@lru_cache(maxsize=1)
def _read(records: tuple[tuple[str, Path], ...]) -> TrainedKeys:
    by_checksum = {KeysRecord.model_validate_json(text).sha256: (text, folder) for text, folder in records}
    return TrainedKeys(dict(by_checksum.values()))


def _records(path: Path, where: str) -> list[Path]:
    """The record itself, or those of a folder."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NtuplemlError(
            f"{where}: no file or folder '{path}'; give the record of a model, or output_path of a training"
        )
    found = (one for pattern in _RECORDS for one in path.glob(pattern))
    records = sorted(one for one in found if not one.name.endswith("_preprocessing.json"))
    if not records:
        raise NtuplemlError(f"{where}: no record of a training is in '{path}'; train first, or give another folder")
    return records
