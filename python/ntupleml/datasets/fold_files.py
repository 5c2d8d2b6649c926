"""The table that has the fold of each event, written from the inputs of a dataset where it is not there yet."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.folds import FoldRule, fold_of_events, whole_numbers
from ntupleml.ntuples import new_tree_file, open_ntuple
from ntupleml.ntuples.table_files import new_table_file, require_table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import InputFile, Process

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
#: Tree or group of the table, where the config names none.
TREE = "folds"


def has_to_write_folds(config: DatasetConfig) -> bool:
    """Whether the config asks for a table of folds that is not there yet."""
    block = config.fold_file
    return block is not None and block.write and not Path(block.path).exists()


def write_fold_file(config: DatasetConfig, processes: Sequence[Process]) -> None:
    """Write the config's `fold_file` from all events of all inputs.

    The fold is the hash of the keys modulo the number of folds. An event that two processes have is there twice,
    unless both read it from one tree. Cuts are not looked at: the table is for other selections as well.

    Raises
    ------
    NtuplemlError
        If the file cannot be written, or a key is no integer.
    """
    block = config.fold_file
    assert block is not None, "see has_to_write_folds"
    rule = FoldRule(fold_by=tuple(config.fold_by or ()))
    files = list({(file.path, file.tree_path): file for process in processes for file in process.files}.values())
    types: dict[str, Any] = dict(_key_types(rule, files)) | {block.column: np.dtype(np.int16)}
    rows = 0
    with _table(block.path, block.tree or TREE, types, sum(file.num_entries for file in files)) as extend:
        for file in files:
            with open_ntuple(file.path, file.tree_path, file.friends) as ntuple:
                for chunk in ntuple.chunks(list(rule.fold_by)):
                    keys = {name: whole_numbers(chunk.columns[name], f"{file.path}: '{name}'") for name in rule.fold_by}
                    numbers = rule.numbers(keys, chunk.entries, file.path)
                    folds = fold_of_events(numbers, config.num_folds)
                    extend(
                        {name: values.astype(types[name]) for name, values in (keys | {block.column: folds}).items()}
                    )
                    rows += chunk.num_rows
    log.info("wrote %s: the fold of %s events, by a hash of %s", block.path, f"{rows:,}", ", ".join(rule.fold_by))


def _key_types(rule: FoldRule, files: Sequence[InputFile]) -> Iterator[tuple[str, np.dtype[Any]]]:
    """64 bits for each key: without sign where the branches of all files are so."""
    kinds: dict[str, set[str]] = {name: set() for name in rule.fold_by}
    for file in files:
        with open_ntuple(file.path, file.tree_path, file.friends) as ntuple:
            ntuple.require(rule.fold_by, "fold_by")
            for name in rule.fold_by:
                dtype = ntuple.branches[name].dtype
                is_large = dtype is not None and dtype.kind == "u" and dtype.itemsize == 8
                kinds[name].add("u" if is_large else "i")
    for name, found in kinds.items():
        if len(found) > 1:
            raise NtuplemlError(
                f"fold_by: '{name}' is of 64 bits without sign in some files, and of another type in others; a table "
                "of folds needs one type"
            )
        yield name, np.dtype(np.uint64 if "u" in found else np.int64)


@contextmanager
def _table(path: str, tree: str, types: dict[str, Any], rows: int) -> Iterator[Callable[[dict[str, Any]], None]]:
    if Path(path).suffix == ".root":
        with new_tree_file(path) as file:
            yield file.tree(tree, types).extend
        return
    require_table_name(path)
    with new_table_file(path, tree, types, rows) as table:
        yield table.extend
        table.finish(json.dumps({"format_version": FORMAT_VERSION, "kind": "folds"}))
