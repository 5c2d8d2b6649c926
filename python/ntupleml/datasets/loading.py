"""Reading fold files for training: the trees of all classes, their inputs and weights, checked, whole or in chunks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.errors import NtuplemlError
from ntupleml.folds import trained_on
from ntupleml.ntuples import columns_to_matrix, required_branches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.ntuples import Ntuple

log = logging.getLogger(__name__)


class FoldFile(NamedTuple):
    """A fold file that a model is trained on; `condition` is None where the training has no conditions."""

    path: str
    fold: int
    condition: str | None


class ClassTree(NamedTuple):
    """The tree of one class in a fold file.

    Attributes
    ----------
    file : FoldFile
    name : str
        Class, and name of the tree.
    class_index : int
        Index of the class, that is of the network's output.
    condition_index : int
        Index of the file's condition; 0 without conditions.
    num_entries : int
    uuid : str
        Of the ROOT file.
    size : int
        Of the ROOT file, in bytes.
    """

    file: FoldFile
    name: str
    class_index: int
    condition_index: int
    num_entries: int
    uuid: str
    size: int

    @property
    def where(self) -> str:
        """File and class, for messages."""
        return f"{self.file.path}: class '{self.name}'"


class Rows(NamedTuple):
    """Inputs and event weights of some events: float32 (n_events, n_variables) and float64 (n_events,)."""

    inputs: NDArray[np.float32]
    weights: NDArray[np.float64]


class Events(NamedTuple):
    """All events of a training.

    Attributes
    ----------
    inputs : array of float32, shape (n_events, n_variables)
        Raw variables, finite.
    weights : array of float64, shape (n_events,)
        Event weights, without class weights.
    trees : array of int64, shape (n_events,)
        Index of the class tree that each event is from.
    """

    inputs: NDArray[np.float32]
    weights: NDArray[np.float64]
    trees: NDArray[np.int64]


def fold_files(config: TrainingConfig, fold: int, conditional: bool) -> list[FoldFile]:
    """Fold files that a model is trained on: of all folds but the one held out, and of all conditions if asked.

    Raises
    ------
    NtuplemlError
        If there is no such fold, or the config has no conditions, or nothing else, and the contrary is asked for.
    """
    if not 0 <= fold < config.num_folds:
        raise NtuplemlError(
            f"fold {fold}: there are {config.num_folds} fold files, so folds 0 to {config.num_folds - 1}, or all"
        )
    if conditional and not config.conditions:
        raise NtuplemlError("--conditional: the training config has no conditions; add a conditions block to it")
    if not conditional and config.datasets is None:
        raise NtuplemlError("the training config has datasets of conditions only; train with --conditional")
    conditions: list[str | None] = [*config.conditions] if conditional else [None]
    return [
        FoldFile(config.datasets_of(condition)[index], index, condition)
        for condition in conditions
        for index in sorted(trained_on(fold, config.num_folds))
    ]


def class_trees(config: TrainingConfig, files: Sequence[FoldFile]) -> list[ClassTree]:
    """Trees of all classes in the fold files, checked to have the branches that the training needs.

    Raises
    ------
    NtuplemlError
        For a missing or damaged file, a missing tree or branch, and a class without any event in some condition.
    """
    conditions = list(dict.fromkeys(file.condition for file in files))
    trees = [
        _class_tree(config, file, index, conditions.index(file.condition))
        for file in files
        for index in range(len(config.classes))
    ]
    for index in range(len(config.classes)):
        for condition in conditions:
            group = [tree for tree in trees if tree.class_index == index and tree.file.condition == condition]
            if not any(tree.num_entries for tree in group):
                raise NtuplemlError(f"{group[0].where}: its tree has no events; loosen the cuts of its processes")
    return trees


def _class_tree(config: TrainingConfig, file: FoldFile, class_index: int, condition_index: int) -> ClassTree:
    name = config.classes[class_index]
    with open_class_tree(file.path, name, where="classes") as ntuple:
        _branches(config, ntuple)
        return ClassTree(
            file=file,
            name=name,
            class_index=class_index,
            condition_index=condition_index,
            num_entries=ntuple.num_entries,
            uuid=ntuple.uuid,
            size=Path(file.path).stat().st_size,
        )


def _branches(config: TrainingConfig, ntuple: Ntuple) -> list[str]:
    """Branches to read: those of the variables, and that of the weights."""
    where = f"{ntuple.path}: tree '{ntuple.tree_path}'"
    needed = required_branches(config.variables, ntuple.branches, f"{where}: variables")
    ntuple.require(needed, "variables")
    if config.event_weights is not None:
        ntuple.require([config.event_weights], "event_weights")
        needed.append(config.event_weights)
    return needed


def read_rows(tree: ClassTree, config: TrainingConfig, entries_per_chunk: int | None = None) -> Iterator[Rows]:
    """Inputs and event weights of a class, in chunks.

    Raises
    ------
    NtuplemlError
        For NaN or infinite inputs (unless the config replaces them) and weights, naming branch, class and count.
    """
    with open_class_tree(tree.file.path, tree.name) as ntuple:
        branches = _branches(config, ntuple)
        for chunk in ntuple.chunks(branches, entries_per_chunk):
            inputs = columns_to_matrix(chunk.columns, config.variables, where=tree.where)
            weights = np.ones(len(inputs))
            if config.event_weights is not None:
                weights = _weights(chunk.columns[config.event_weights], config.event_weights, tree)
            yield Rows(inputs, weights)


def _weights(values: object, name: str, tree: ClassTree) -> NDArray[np.float64]:
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise NtuplemlError(f"{tree.where}: weight branch '{name}' has several values per event; one is needed")
    return values.astype(np.float64)


def load_events(config: TrainingConfig, trees: Sequence[ClassTree]) -> Events:
    """All events of some class trees, tree after tree.

    Raises
    ------
    NtuplemlError
        As `read_rows`, and if the events do not fit into memory.
    """
    total = sum(tree.num_entries for tree in trees)
    try:
        inputs = np.empty((total, len(config.variables)), dtype=np.float32)
        weights = np.empty(total)
        origin = np.empty(total, dtype=np.int64)
    except MemoryError:
        raise NtuplemlError(f"{total} events do not fit into memory; set stream: true in the training config") from None
    start = 0
    for index, tree in enumerate(trees):
        first = start
        for rows in read_rows(tree, config):
            stop = start + len(rows.weights)
            inputs[start:stop], weights[start:stop] = rows
            start = stop
        origin[first:start] = index
        check_rows(Rows(inputs[first:start], weights[first:start]), config, tree)
        _fill(inputs[first:start], config)
    return Events(inputs, weights, origin)


def check_rows(rows: Rows, config: TrainingConfig, tree: ClassTree) -> None:
    """Refuse NaN and infinite weights, and such inputs where the config does not replace them.

    Raises
    ------
    NtuplemlError
        Naming branch, class and count.
    """
    from ntupleml.preprocessing.missing import refuse_missing

    bad = np.count_nonzero(~np.isfinite(rows.weights))
    if bad:
        raise NtuplemlError(
            f"{tree.where}: NaN or infinite weight: branch '{config.event_weights}' in {bad} of {len(rows.weights)} "
            "events; mend the weight_string of the dataset config"
        )
    if config.missing is None:
        refuse_missing(rows.inputs, config.variables, tree.where)


def _fill(inputs: NDArray[np.float32], config: TrainingConfig) -> None:
    """Replace missing inputs in place, where the config says by what."""
    if config.missing is not None:
        inputs[~np.isfinite(inputs)] = np.float32(config.missing.value)


def checked_chunks(tree: ClassTree, config: TrainingConfig, entries_per_chunk: int) -> Iterator[Rows]:
    """Inputs and weights of a class in chunks, each checked, missing inputs replaced: for what exceeds the memory."""
    for rows in read_rows(tree, config, entries_per_chunk):
        check_rows(rows, config, tree)
        _fill(rows.inputs, config)
        yield rows
