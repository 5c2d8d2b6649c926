"""What a model sees: the raw arrays of an ntuple's first rows, as training, testing and application make them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.artifacts import model_files, read_record
from ntupleml.artifacts.methods import methods_of
from ntupleml.atomic import replace_file
from ntupleml.config import RowsConfig, TrainingConfig, load_config
from ntupleml.datasets import read_fold_record
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of
from ntupleml.events.reading import read_events
from ntupleml.events.values import joined
from ntupleml.ntuples import open_ntuple, rows_of

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Array of the folds; no group can be called so.
FOLD = "fold"


class _Division(NamedTuple):
    """What decides the fold of an event, what a row is, and which file says so."""

    event_branch: str | None
    rows: RowsConfig | None
    source: str


def write_model_inputs(
    training_path: str | Path,
    ntuple_path: str | Path,
    tree_path: str,
    output: str | Path,
    *,
    num_rows: int | None = None,
    overwrite: bool = False,
) -> dict[str, NDArray[np.generic]]:
    """Write the arrays that a model would get for the first rows of an ntuple.

    Parameters
    ----------
    training_path : path
        Training config.
    ntuple_path, tree_path : path, str
    output : path
        A `.npz` file: for each group of inputs its raw array under its name, float32 (numbers: rows × n; objects: rows
        × length × n, padded with zeros; images: rows × η × φ × channels), for objects their numbers as
        `{group}_length`, and the `fold` of each row.
    num_rows : int, optional
        By default all, which have to fit into memory.
    overwrite : bool, default: False

    Raises
    ------
    NtuplemlError
        For anything wrong in the config or the ntuple, values that no model takes, and an output that exists.
    """
    config = load_config(training_path, TrainingConfig)
    if Path(output).suffix != ".npz":
        raise NtuplemlError(f"{output}: arrays are written as .npz; give it a name that ends so")
    if FOLD in config.groups:
        raise NtuplemlError(f"{config.where}: inputs.{FOLD}: the folds of the rows are called so; rename the group")
    with replace_file(output, overwrite=overwrite) as temporary:
        division = _division(config)
        log.info("folds by %s: %s", division.event_branch or "entry number", division.source)
        groups = groups_of(config.groups, None if config.missing is None else config.missing.value)
        parts, folds, number = [], [np.empty(0, np.int64)], 0
        with open_ntuple(ntuple_path, tree_path) as ntuple:
            rows = rows_of(ntuple, division.rows)
            step = None if num_rows is None else min(num_rows, 100_000)
            for chunk in read_events(rows, groups, event_branch=division.event_branch, entries_per_chunk=step):
                parts.append(chunk.inputs)
                folds.append(chunk.folds(config.num_folds))
                number += len(chunk)
                if num_rows is not None and number >= num_rows:
                    break
        if not parts:
            raise NtuplemlError(f"{ntuple_path}: tree '{tree_path}' has no events")
        values = joined(parts)
        values.require_finite(f"{ntuple_path}: tree '{tree_path}'")
        arrays = values.batch(slice(0, num_rows)) | {FOLD: np.concatenate(folds)[:num_rows]}
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs take its flag for a value
    log.info("%s: %d rows: %s", output, len(arrays[FOLD]), ", ".join(f"{k} {v.shape}" for k, v in arrays.items()))
    return arrays


def _division(config: TrainingConfig) -> _Division:
    """How the events were divided: by the record of a training, else by that of a fold file, else by entry number."""
    for method in methods_of(config, 0).values():
        path = model_files(config.output_path, 0, method).record
        if path.exists():
            record = read_record(path)
            return _Division(record.event_branch, record.rows, str(path))
    conditions: list[str | None] = [None] if config.datasets is not None else [*config.conditions]
    for file in config.datasets_of(conditions[0]):
        if Path(file).exists() and (found := read_fold_record(file)) is not None:
            rows = RowsConfig.model_validate(found.rows) if found.rows else None
            return _Division(found.event_branch, rows, file)
    return _Division(None, None, "no record of a training or of fold files is there")
