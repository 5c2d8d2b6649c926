"""Reading fold files for training: the trees of all classes, their inputs and weights, checked, whole or in chunks."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.config.four_vectors import CollectionsConfig
from ntupleml.datasets.choosing import Choice, chosen_trees
from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.hypotheses import Hypotheses, hypotheses_of
from ntupleml.datasets.reweighting import Reweighted, formula_branches
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_to_read, key_of
from ntupleml.events.reading import branches_to_read, read_events
from ntupleml.events.values import ObjectRows, joined
from ntupleml.folds import trained_on
from ntupleml.ntuples.given import with_columns
from ntupleml.ntuples.variables import as_matrix, parsed, required_branches, variable_values
from ntupleml.progress import watched
from ntupleml.targets import TARGET_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.reweighting_factors import Factors
    from ntupleml.events.values import InputValues
    from ntupleml.ntuples import Ntuple

log = logging.getLogger(__name__)

#: Largest |η| whose momentum a network can take: its hyperbolic sine is 3e34, and float32 ends at 3e38.
_LARGEST_ETA = 80


class FoldFile(NamedTuple):
    """A fold file that a model is trained on; `condition` is None where the training has no conditions."""

    path: str
    fold: int
    condition: str | None


class ClassTree(NamedTuple):
    """The tree of one class in a fold file."""

    file: FoldFile
    #: Class, and name of the tree.
    name: str
    #: Index of the class, that is of the network's output.
    class_index: int
    #: Index of the file's condition; 0 without conditions.
    condition_index: int
    #: Rows that the training uses, and rows that the file has.
    num_entries: int
    num_stored: int
    #: Of the ROOT file.
    uuid: str
    #: Of the ROOT file, in bytes.
    size: int
    #: Which rows the training uses; None for all.
    choice: Choice | None = None
    #: Gives the parameters of the training to classes that have none; None where it has no parameters.
    hypotheses: Hypotheses | None = None
    #: By which the weights of the rows are multiplied, so that formulas get another distribution.
    factors: Factors | None = None
    #: What became of its class by that.
    reweighted: Reweighted | None = None

    @property
    def where(self) -> str:
        """File and class, for messages."""
        return f"{self.file.path}: class '{self.name}'"


class TreeRows(NamedTuple):
    """Some events of a class."""

    #: Raw; missing ones replaced where the config says by what. With the image that is learnt.
    inputs: InputValues
    #: Shape (n_events,). Event weights, without class weights.
    weights: NDArray[np.float64]
    #: Shape (n_events, n_values). What is learnt where it is not the classes, then what the scores must not tell.
    values: NDArray[np.float32]


class Events(NamedTuple):
    """All events of a training."""

    #: As of `TreeRows`; finite.
    inputs: InputValues
    weights: NDArray[np.float64]
    values: NDArray[np.float32]
    #: Shape (n_events,). Index of the class tree that each event is from.
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


def class_trees(
    config: TrainingConfig, files: Sequence[FoldFile], hypotheses: Hypotheses | None = None
) -> list[ClassTree]:
    """Trees of all classes in the fold files, checked to have the branches that the training needs.

    Parameters
    ----------
    hypotheses : Hypotheses, optional
        Of the training, where the signal is not in these files; by default they are read from the signal's trees.

    Raises
    ------
    NtuplemlError
        For a missing or damaged file, a missing tree or branch, a class without any event in some condition, and
        selections that are no formulas or leave no row of a class.
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
    trees = chosen_trees(config, trees)
    if config.parameters is None:
        return trees
    signal = [(tree.file, tree.name, tree.choice) for tree in trees if tree.name in config.parameters.of]
    if hypotheses is None:  # a control sample has no signal among its classes
        others = [(file, name, None) for file in files for name in config.parameters.of]
        hypotheses = hypotheses_of(config, signal or others)
    return [tree._replace(hypotheses=hypotheses.for_file(tree.file)) for tree in trees]


def _class_tree(config: TrainingConfig, file: FoldFile, class_index: int, condition_index: int) -> ClassTree:
    name = config.classes[class_index]
    with open_class_tree(file.path, name, where="classes") as ntuple:
        _check_branches(config, _with_parameters(config, ntuple, name))
        return ClassTree(
            file=file,
            name=name,
            class_index=class_index,
            condition_index=condition_index,
            num_entries=ntuple.num_entries,
            num_stored=ntuple.num_entries,
            uuid=ntuple.uuid,
            size=Path(file.path).stat().st_size,
        )


def _with_parameters(config: TrainingConfig, ntuple: Ntuple, name: str) -> Ntuple:
    """The tree of a class as it is with parameters, before these are known; a selection must not ask for them."""
    if config.parameters is None or name in config.parameters.of:
        return ntuple
    selection = config.selections.get(name)
    asked = (
        set() if selection is None else {*config.parameters.names} & parsed(selection, f"selections.{name}").branches
    )
    if asked:
        raise NtuplemlError(
            f"selections.{name}: asks for '{min(asked)}', a parameter, but class '{name}' is not in parameters.of and "
            "gets drawn values of it; select by other branches"
        )
    return with_columns(ntuple, dict.fromkeys(config.parameters.names, np.zeros_like))


def _check_branches(config: TrainingConfig, ntuple: Ntuple) -> list[str]:
    """Branches that the target and the adversary need; all branches are there."""
    branches_to_read(ntuple, groups_to_read(config), weights=config.event_weights)
    more: list[str] = []
    for formula, key in _formulas(config):
        needed = required_branches([formula], ntuple.branches, f"{ntuple.path}: tree '{ntuple.tree_path}': {key}")
        ntuple.require(needed, key)
        more += needed
    return list(dict.fromkeys(more))


def _formulas(config: TrainingConfig) -> list[tuple[str, str]]:
    """Of the values that are learnt, and of what the scores must not tell, with the keys of the config."""
    learnt = ((config.target and config.target.values) or {}).values()
    return [(formula, "target.values") for formula in learnt] + [
        (formula, "decorrelation.of" if config.decorrelation else "adversary.against") for formula in config.nuisances
    ]


def read_rows(
    tree: ClassTree, config: TrainingConfig, entries_per_chunk: int | None = None, *, filled: bool = True
) -> Iterator[TreeRows]:
    """Inputs and event weights of the rows of a class that are used, in chunks; not checked to be finite.

    Parameters
    ----------
    filled : bool
        Replace missing inputs where the config says by what.
    """
    missing = config.missing.value if config.missing is not None and filled else None
    choice, factors = tree.choice, tree.factors
    with open_class_tree(tree.file.path, tree.name, hypotheses=tree.hypotheses) as ntuple:
        if (ntuple.uuid, ntuple.num_entries) != (tree.uuid, tree.num_stored):
            raise NtuplemlError(f"{tree.where}: the file has changed since the training began; train again")
        more = [*_check_branches(config, ntuple), *(choice.branches(ntuple, tree.name) if choice else [])]
        more += [] if factors is None else formula_branches(factors.formulas, ntuple)
        for chunk in read_events(
            ntuple,
            groups_to_read(config, missing),
            weights=config.event_weights,
            more=more,
            choose=None if choice is None else partial(choice.rows, name=tree.name),
            entries_per_chunk=entries_per_chunk,
            where=tree.where,
        ):
            found = [variable_values(name, chunk.columns, len(chunk), tree.where) for name, _ in _formulas(config)]
            weights = chunk.weights
            if factors is not None:
                weights = weights * factors.of_rows(chunk.columns, len(chunk), tree.where)
            yield TreeRows(chunk.inputs, weights, as_matrix(found, len(chunk)))


def load_events(config: TrainingConfig, trees: Sequence[ClassTree]) -> Events:
    """All events of some class trees, tree after tree.

    Raises
    ------
    NtuplemlError
        For what `check_rows` refuses, images of different shapes, and if the events do not fit into memory.
    """
    parts: list[TreeRows] = []
    try:
        for tree in trees:
            if tree.num_entries:
                rows = watched(read_rows(tree, config), f"reading {tree.where}", tree.num_entries, size=_number_of_rows)
                parts.append(_joined(list(rows)))
                check_rows(parts[-1], config, tree)
                require_same_shapes(parts[0].inputs, parts[-1].inputs, tree.where)
        numbers = [tree.num_entries for tree in trees]
        return Events(*_joined(parts), np.repeat(np.arange(len(trees)), numbers))
    except MemoryError:
        total = sum(tree.num_entries for tree in trees)
        raise NtuplemlError(f"{total} events do not fit into memory; set stream: true in the training config") from None


def _number_of_rows(rows: TreeRows) -> int:
    return len(rows.weights)


def _joined(parts: list[TreeRows]) -> TreeRows:
    weights, values = (np.concatenate([part[index] for part in parts]) for index in (1, 2))
    return TreeRows(joined([part.inputs for part in parts]), weights, values)


def require_same_shapes(first: InputValues, other: InputValues, where: str) -> None:
    """Refuse images of another shape than those before."""
    for name, values in first.groups.items():
        shapes = [one.row_shape for one in (values, other.groups[name]) if not isinstance(one, ObjectRows)]
        if shapes and shapes[0] != shapes[1]:
            raise NtuplemlError(
                f"{where}: {key_of(name)}: images of shape {shapes[1]}, but {shapes[0]} in the fold files before; "
                "build them of the same columns"
            )


def check_rows(rows: TreeRows, config: TrainingConfig, tree: ClassTree) -> None:
    """Refuse NaN and infinite weights and values, and such inputs where the config does not replace them."""
    bad = np.count_nonzero(~np.isfinite(rows.weights))
    if bad:
        raise NtuplemlError(
            f"{tree.where}: NaN or infinite weight: branch '{config.event_weights}' in {bad} of {len(rows.weights)} "
            "events; fix the weight_string of the dataset config"
        )
    _check_image(rows.inputs, tree.where)
    if config.missing is None:
        rows.inputs.require_finite(tree.where)
    _check_vectors(rows.inputs, config, tree.where)
    bad_values = np.count_nonzero(~np.isfinite(rows.values), axis=0)
    for (formula, key), number in zip(_formulas(config), bad_values, strict=True):
        if number and (key == "target.values" or config.is_decorrelated(tree.name)):
            raise NtuplemlError(
                f"{tree.where}: {key}: '{formula}' is NaN or infinite in {number} of {len(rows.values)} "
                "events; cut them away in the dataset config, or fix the formula"
            )


def _check_image(inputs: InputValues, where: str) -> None:
    """Refuse an image to be learnt that has several channels, or pixels that are no numbers."""
    images = inputs.groups.get(TARGET_IMAGE)
    if images is None:
        return
    assert not isinstance(images, ObjectRows), "it is an image"
    channels = images.row_shape[-1]
    if channels != 1:
        raise NtuplemlError(f"{where}: {TARGET_IMAGE}: has {channels} channels; an image that is learnt has one")
    for missing in images.missing():
        raise NtuplemlError(
            f"{where}: {TARGET_IMAGE}: '{missing.variable}' is NaN or infinite in {missing.number} of {missing.total} "
            "values; cut such events away in the dataset config"
        )


def _check_vectors(inputs: InputValues, config: TrainingConfig, where: str) -> None:
    """Refuse four-vectors of which no features can be made."""
    for name, group in config.groups.items():
        values = inputs.groups.get(name)
        if not isinstance(group, CollectionsConfig) or not isinstance(values, ObjectRows):
            continue
        pt, eta, *_ = values.values.T
        replaced = np.float32(0 if config.missing is None else config.missing.value)
        bad = np.flatnonzero(((pt < 0) & (pt != replaced)) | (np.abs(eta) > _LARGEST_ETA))
        if len(bad):
            raise NtuplemlError(
                f"{where}: {key_of(name)}: no four-vector in {len(bad)} of {len(pt)} objects, as with pt "
                f"{pt[bad[0]]:g}, eta {eta[bad[0]]:g}; leave them out by the selection of their collection"
            )


def checked_chunks(tree: ClassTree, config: TrainingConfig, entries_per_chunk: int | None = None) -> Iterator[TreeRows]:
    """Events of a class in chunks, each checked: for what exceeds the memory."""
    for rows in read_rows(tree, config, entries_per_chunk):
        check_rows(rows, config, tree)
        yield rows
