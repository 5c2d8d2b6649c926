"""What a model sees: the raw arrays of an ntuple's first rows, as training, testing and application make them."""

from __future__ import annotations

import logging
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import read_record
from ntupleml.artifacts.files import model_files
from ntupleml.artifacts.methods import methods_of
from ntupleml.atomic import replace_file
from ntupleml.config import RowsConfig, TrainingConfig, load_config
from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.hypotheses import hypotheses_of_file
from ntupleml.datasets.loading import FoldFile
from ntupleml.datasets.records import read_fold_record, record_path
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of
from ntupleml.events.reading import read_events
from ntupleml.events.values import InputValues, joined
from ntupleml.folds import BY_ENTRY, FoldRule
from ntupleml.ntuples import open_ntuple, rows_of
from ntupleml.progress import watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntupleml.config.loading import ConfigSource
    from ntupleml.ntuples import Chunk, Ntuple

log = logging.getLogger(__name__)

#: Array of the folds; no group can be called so.
FOLD = "fold"


class _Division(NamedTuple):
    """What decides the fold, and what is a row; and the file that says so."""

    fold_rule: FoldRule
    rows: RowsConfig | None
    said_by: Path | None


def write_model_inputs(
    training: ConfigSource,
    ntuple_path: str | Path,
    tree_path: str,
    output: str | Path,
    *,
    num_rows: int | None = None,
    overwrite: bool = False,
) -> dict[str, NDArray[Any]]:
    """Write the arrays that a model would get for the first rows of an ntuple.

    Parameters
    ----------
    ntuple_path, tree_path : path, str
        In a fold file of the config the trees are the classes.
    output : path
        A `.npz` file: for each group of inputs its raw array under its name, float32 (numbers: rows × n; objects: rows
        × length × n, padded with zeros; images: rows × η × φ × channels), for objects their numbers as
        `{group}_length`, and the `fold` of each row.
    num_rows : int, optional
        By default all, which have to fit into memory.

    Raises
    ------
    NtuplemlError
        For anything wrong in the config or the ntuple, values that no model takes, and an output that exists.
    """
    config = load_config(training, TrainingConfig)
    if Path(output).suffix != ".npz":
        raise NtuplemlError(f"{output}: arrays are written as .npz; give it a name that ends so")
    if FOLD in config.groups:
        raise NtuplemlError(f"{config.where}: inputs.{FOLD}: the folds of the rows are called so; rename the group")
    with replace_file(output, overwrite=overwrite) as temporary:
        arrays = _arrays(config, str(ntuple_path), tree_path, num_rows)
        with zipfile.ZipFile(temporary, "w") as archive:  # np.savez has arguments that a group may be called like
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    log.info("%s: %d rows: %s", output, len(arrays[FOLD]), shapes)
    return arrays


def _arrays(config: TrainingConfig, path: str, tree_path: str, num_rows: int | None) -> dict[str, NDArray[Any]]:
    parts: list[InputValues] = []
    folds: list[NDArray[np.int64]] = []
    of_file = _fold_of_file(config, path)
    division = _Division(BY_ENTRY, None, None) if of_file is not None else _division(config)
    left = num_rows

    def first(chunk: Chunk) -> NDArray[np.intp] | None:
        return None if left is None or chunk.num_rows <= left else np.arange(left)

    with _open(config, path, tree_path, of_file, division) as ntuple:
        _log_division(division, None if of_file is None else of_file.fold)
        missing = None if config.missing is None else config.missing.value
        chunks = read_events(ntuple, groups_of(config.groups, missing), fold_rule=division.fold_rule, choose=first)
        for chunk in watched(chunks, "reading the inputs", num_rows or ntuple.num_entries, size=len):
            parts.append(chunk.inputs)
            folds.append(chunk.folds(config.num_folds) if of_file is None else np.full(len(chunk), of_file.fold))
            if left is not None:
                left -= len(chunk)
                if left == 0:
                    break
        where = ntuple.where
    if not parts:
        raise NtuplemlError(f"{where} has no events")
    values = joined(parts)
    values.require_finite(where)
    return {**values.batch(), FOLD: np.concatenate(folds)}


@contextmanager
def _open(
    config: TrainingConfig, path: str, tree_path: str, of_file: FoldFile | None, division: _Division
) -> Iterator[Ntuple]:
    if of_file is not None:
        with open_class_tree(path, tree_path, hypotheses=hypotheses_of_file(config, of_file)) as ntuple:
            yield ntuple
    else:
        with open_ntuple(path, tree_path) as ntuple:
            yield rows_of(ntuple, division.rows)


def _fold_files(config: TrainingConfig) -> list[FoldFile]:
    """All fold files of the config."""
    conditions = [*config.conditions, *([] if config.datasets is None else [None])]
    return [
        FoldFile(path, fold, condition)
        for condition in conditions
        for fold, path in enumerate(config.datasets_of(condition))
    ]


def _fold_of_file(config: TrainingConfig, path: str) -> FoldFile | None:
    """The fold file of the config, whose rows are made already; None for other files."""
    wanted = Path(path).resolve()
    return next((one for one in _fold_files(config) if Path(one.path).resolve() == wanted), None)


def _division(config: TrainingConfig) -> _Division:
    """What decides the fold by the record of a model, else by that of a fold file, else the entry number."""
    for fold in range(config.num_folds):
        for method in methods_of(config, fold).values():
            path = model_files(config.output_path, fold, method).record
            record = read_record(path) if path.exists() else None
            if record is not None and record.folds_recorded and record.num_folds == config.num_folds:
                return _Division(record.fold_rule, record.rows, path)
    for file in _fold_files(config):
        of_file = read_fold_record(file.path)
        if of_file is not None and of_file.num_folds == config.num_folds:
            rows = RowsConfig.model_validate(of_file.rows) if of_file.rows else None
            return _Division(of_file.fold_rule, rows, record_path(file.path))
    return _Division(BY_ENTRY, None, None)


def _log_division(division: _Division, of_file: int | None) -> None:
    if of_file is not None:
        log.info("a fold file of the training config: all rows are of fold %d", of_file)
        return
    source = f"by {division.said_by}" if division.said_by else "as no model and no fold file has a record"
    rows = f", and rows are objects of '{division.rows.objects}'" if division.rows else ""
    log.info("%s%s, %s", division.fold_rule, rows, source)
