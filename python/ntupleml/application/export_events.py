"""Events on which an exported network is compared with Keras: real ones, or typical ones."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TrainingConfig

log = logging.getLogger(__name__)

#: Events of each class (and condition) that are compared, and typical events where there are no fold files.
EVENTS_PER_CLASS, TYPICAL_EVENTS = 1000, 3000
#: Share of typical inputs that are missing, where the training replaces such.
_MISSING_SHARE = 0.01


class Events(NamedTuple):
    """Raw inputs of events by the names of their groups, conditions last, and what kind of events they are."""

    batch: Mapping[str, NDArray[Any]]
    kind: str


def events_to_compare(config: TrainingConfig, record: TrainingRecord, scalers: Mapping[str, Any], where: str) -> Events:
    """First events of each class in the fold that the model never saw; for variables without any, typical ones.

    Typical ones are normal numbers of width 1.5, brought to the scale of the variables by the inverse of the
    preprocessing. Infinite inputs, which lwtnn's defaults do not replace unless asked to, become NaN.
    """
    if record.inputs:
        from ntupleml.testing.held_out_rows import held_out_rows

        return Events(held_out_rows(config, record, TYPICAL_EVENTS, where).batch(), "real events")
    names: list[str | None] = [*record.conditions] or [None]
    try:
        parts = [_real_rows(config, record, name) for name in names]
    except NtuplemlError as error:
        log.warning("compares on typical events, since there are no real ones: %s", error)
        parts = []
    if sum(len(part) for part in parts):
        return Events({"variables": np.concatenate(parts)}, "real events")
    return Events({"variables": _typical_rows(record, scalers["variables"], config.seed)}, "typical events")


def _real_rows(config: TrainingConfig, record: TrainingRecord, condition: str | None) -> NDArray[np.float32]:
    from ntupleml.datasets.loading import FoldFile, class_trees, read_rows
    from ntupleml.scoring import append_condition

    has_files = config.datasets is not None if condition is None else condition in config.conditions
    path = config.datasets_of(condition)[record.held_out_fold] if has_files else ""
    if not Path(path).is_file():
        raise NtuplemlError(f"no file '{path}'" if path else f"no datasets of condition '{condition}'")
    file = FoldFile(path, record.held_out_fold, condition)
    trees = class_trees(config, [file])
    parts = [next(iter(read_rows(tree, config, EVENTS_PER_CLASS, filled=False))).inputs for tree in trees]
    matrix = np.concatenate([part.batch()["variables"] for part in parts])
    finite = np.isfinite(matrix)
    matrix = matrix[finite.all(axis=1)] if record.missing is None else np.where(finite, matrix, np.float32(np.nan))
    return append_condition(matrix, record.conditions, condition, path)


def _typical_rows(record: TrainingRecord, scaler: Any, seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    normal = random.normal(scale=1.5, size=(TYPICAL_EVENTS, len(record.variables)))
    rows: NDArray[np.float32] = scaler.inverse_transform(normal).astype(np.float32)
    if record.missing is not None:
        rows[random.random(rows.shape) < _MISSING_SHARE] = np.nan
    if record.conditions:
        number = len(record.conditions)
        one_hot = np.eye(number, dtype=np.float32)[np.arange(TYPICAL_EVENTS) % number]
        rows = np.concatenate([rows, one_hot], axis=1)
    return rows
