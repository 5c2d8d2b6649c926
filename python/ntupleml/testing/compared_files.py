"""Inputs of several files side by side: fold files of trainings, or any ntuples and tables, in bins that all share."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.config import ControlConfig, TrainingConfig, load_config
from ntupleml.datasets.fold_trees import class_friends
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions import parse
from ntupleml.metrics.input_sums import ClassSums
from ntupleml.metrics.inputs import InputSummary, input_summary
from ntupleml.ntuples import columns_to_matrix, open_ntuple, required_branches
from ntupleml.ntuples.formats import format_of
from ntupleml.ntuples.input_files import expand_inputs
from ntupleml.ntuples.inspection import list_trees
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.progress import watched
from ntupleml.testing.events import require_weight
from ntupleml.testing.input_summary import Part, chosen_binnings
from ntupleml.testing.search import MOST_POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.expressions import Expression
    from ntupleml.metrics.input_binning import Binning
    from ntupleml.metrics.weight_summary import WeightSummary
    from ntupleml.ntuples import Ntuple

    Point = tuple[float, ...]

log = logging.getLogger(__name__)

_CONFIGS = (".yaml", ".yml")
#: Variables that are shown where none is named; wide tables have hundreds of columns.
MOST_VARIABLES = 36
#: The class of the rows of a table without a name.
_ALL_ROWS = "rows"


class FilesOptions(NamedTuple):
    """What is shown of the files."""

    #: Formulas; by default those of the trainings, or the columns of numbers that all files have.
    variables: Sequence[str] = ()
    #: Take all columns of numbers.
    every_column: bool = False
    #: Branch of weights; by default that of a training config, also for the files after it that have it, else none.
    weight: str | None = None
    #: Formulas of a point, such as two masses.
    points: Sequence[str] = ()
    #: Formulas that select classes, by their names; by default each tree is one.
    classes: Mapping[str, str] = {}


class _Tree(NamedTuple):
    """A tree of a file, or of a fold of it."""

    path: str
    tree_path: str
    #: The class that it is; None where formulas say it.
    class_name: str | None
    #: Config and key that name it, for messages.
    where: str
    #: Branch of weights, and what messages call it; None for weights of 1.
    weight: str | None
    weight_key: str


@dataclass(frozen=True, eq=False)
class FileOfRows:
    """One file, or the fold files of a training."""

    name: str
    paths: list[str]
    trees: list[_Tree]
    #: Of the training; empty where there is none.
    variables: list[str]
    #: Types by name of the columns of all its trees.
    columns: dict[str, str]
    #: Columns of one number per row.
    numbers: list[str]
    rows: int

    @property
    def weights(self) -> list[str]:
        """Branches of its weights."""
        return list(dict.fromkeys(tree.weight or "none" for tree in self.trees))


@dataclass(eq=False)
class ComparedFiles:
    """Sums over the rows of each class of each file, and of each point of them."""

    files: list[FileOfRows]
    variables: list[str]
    points: list[str]
    binnings: dict[str, Binning]
    #: By file and class.
    sums: dict[tuple[str, str], ClassSums]
    of_points: dict[tuple[str, str, Point], ClassSums]

    @property
    def classes(self) -> list[str]:
        """Classes of all files."""
        return list(dict.fromkeys(name for _, name in self.sums))

    def weights(self, file: str, class_name: str) -> WeightSummary | None:
        """What the weights of a class of a file amount to; None where it has no such class."""
        sums = self.sums.get((file, class_name))
        return None if sums is None else sums.weights.summary()

    def points_of(self, class_name: str, file: str | None = None) -> list[Point]:
        """Points of a class, in one file or all."""
        return sorted({point for name, of, point in self.of_points if of == class_name and file in (None, name)})

    def of_class(self, class_name: str) -> InputSummary:
        """A class of all files that have rows of it."""
        found = {name: one for (name, of), one in self.sums.items() if of == class_name and one.weights.events}
        return self._summary(found)

    def of_file(self, file: str) -> InputSummary:
        """All classes of a file."""
        return self._summary({of: one for (name, of), one in self.sums.items() if name == file})

    def of_point(self, class_name: str, point: Point) -> InputSummary:
        """A point of a class of all files that have it."""
        found = {name: one for (name, of, at), one in self.of_points.items() if (of, at) == (class_name, point)}
        return self._summary(found)

    def points_of_file(self, file: str, class_name: str) -> InputSummary:
        """All points of a class of a file."""
        points = self.points_of(class_name, file)
        return self._summary({point_text(point): self.of_points[file, class_name, point] for point in points})

    def _summary(self, sums: Mapping[str, ClassSums]) -> InputSummary:
        return input_summary(sums, self.binnings)


def point_text(point: Point) -> str:
    """Numbers of a point.

    Examples
    --------
    >>> point_text((125.0, 0.5))
    '125, 0.5'
    """
    return ", ".join(f"{one:g}" for one in point)


@files_kept_open()
def compare_files(texts: Sequence[str], options: FilesOptions) -> ComparedFiles:
    """Read files twice, for the bins and for the sums, a bounded number of rows at a time.

    A variable or point that a tree lacks is missing in its rows.

    Parameters
    ----------
    texts : sequence of str
        Training configs, files, or wildcards, each as `[NAME=]TEXT`.

    Raises
    ------
    NtuplemlError
        For files that cannot be read, names that come twice, and classes, variables, weights and points that are
        nowhere; and for too many points.
    """
    files = _files(texts, options)
    variables = _variables(files, options)
    _require_somewhere(files, variables, "--variable")
    _require_somewhere(files, options.points, "--point")
    keys = list(
        dict.fromkeys((file.name, one) for file in files for tree in file.trees for one in _classes(tree, options))
    )
    rows = {file.name: file.rows for file in files}

    def parts() -> Iterator[Part]:
        for file, one in _rows(files, variables, options):
            yield Part(keys.index((file.name, one.class_name)), one.values, one.weights)

    binnings = chosen_binnings(parts(), [rows[name] for name, _ in keys], variables)
    new = partial(ClassSums, list(binnings.values()))
    sums = {key: new() for key in keys}
    of_points: dict[tuple[str, str, Point], ClassSums] = {}
    for file, one in _rows(files, variables, options):
        sums[file.name, one.class_name].add(one.values, one.weights)
        for point, chosen in _by_point(one.points, options.points):
            key = (file.name, one.class_name, point)
            of_points.setdefault(key, new()).add(one.values[chosen], one.weights[chosen])
        _require_few(len({point for *_, point in of_points}), options.points)
    return ComparedFiles(files, variables, list(options.points), binnings, sums, of_points)


def _require_few(number: int, names: Sequence[str]) -> None:
    """Refuse a branch such as a pT, of which each value would be a point."""
    if number > MOST_POINTS:
        raise NtuplemlError(
            f"--point: {', '.join(names)}: {number} different values, but points are for at most {MOST_POINTS}; "
            "name parameters with few values"
        )


def _by_point(points: NDArray[np.float32], names: Sequence[str]) -> Iterator[tuple[Point, NDArray[np.intp]]]:
    """Rows of each point; those with NaN are of none."""
    if not points.shape[1]:
        return
    known = np.flatnonzero(~np.isnan(points).any(axis=1))
    values, of_row = np.unique(points[known], axis=0, return_inverse=True)
    _require_few(len(values), names)
    for index, point in enumerate(values.tolist()):
        yield tuple(point), known[of_row.reshape(-1) == index]


def _files(texts: Sequence[str], options: FilesOptions) -> list[FileOfRows]:
    files: list[FileOfRows] = []
    for text in texts:
        name, mark, path = text.partition("=")
        if not mark or Path(text).exists():
            name, path = "", text
        known = [tree.weight for file in files for tree in file.trees]
        opened = _of_training(path, name, options) if path.endswith(_CONFIGS) else _of_files(path, name, options, known)
        if any(opened.name == other.name for other in files):
            raise NtuplemlError(f"'{text}': another file is called '{opened.name}', too; give names, NAME={path}")
        files.append(opened)
    return files


def _of_training(path: str, name: str, options: FilesOptions) -> FileOfRows:
    """The fold files of a training: its classes, and those of the control sample of its adversary."""
    training = load_config(path, TrainingConfig)
    conditions = [None] if training.datasets is not None else []
    paths = [one for condition in [*conditions, *training.conditions] for one in training.datasets_of(condition)]
    samples = [(paths, training.classes, training.event_weights, "")]
    control = None if training.adversary is None else training.adversary.against
    if isinstance(control, ControlConfig):
        weight = control.event_weights or training.event_weights
        samples.append((control.datasets or paths, control.classes, weight, "adversary.against."))
    trees = [
        _Tree(
            file,
            class_name,
            class_name,
            f"{path}: {key}datasets",
            options.weight or weight,
            "--weight" if options.weight else f"{path}: {key}event_weights",
        )
        for files, classes, weight, key in samples
        for file in files
        for class_name in classes
    ]
    name = name or Path(training.output_path).name or Path(path).stem
    return _file(name, trees, list(training.numbers))


def _of_files(text: str, name: str, options: FilesOptions, known: Sequence[str | None]) -> FileOfRows:
    """Each tree is a class, or formulas say it; the tree of a table has no name.

    Where no weight is asked for, the first that is known of trainings counts, in trees that have it.
    """
    paths = expand_inputs([text])
    trees = []
    for path in paths:
        names = [one.tree_path for one in list_trees(path) if one.problem is None]
        own = [one for one in names if not any(one != other and one.startswith(f"{other}_friend") for other in names)]
        if not own:
            raise NtuplemlError(f"{path}: holds no tree or table that can be read")
        is_table = format_of(path) is not None and len(own) == 1
        for one in own:
            class_name = None if options.classes else _ALL_ROWS if is_table else one
            tree = _Tree(path, one, class_name, "", options.weight, "--weight")
            trees.append(tree if options.weight else tree._replace(weight=_known_weight(tree, known)))
    return _file(name or (Path(paths[0]).stem if len(paths) == 1 else text), trees, [])


def _known_weight(tree: _Tree, known: Sequence[str | None]) -> str | None:
    with _opened(tree) as ntuple:
        return next((name for name in known if name in ntuple.branches), None)


def _file(name: str, trees: list[_Tree], variables: list[str]) -> FileOfRows:
    columns: dict[str, str] = {}
    numbers: dict[str, None] = {}
    rows: dict[str, int] = {}
    for tree in trees:
        with _opened(tree) as ntuple:
            own = {one: branch for one, branch in ntuple.branches.items() if "." not in one}
            columns |= {one: branch.type_name for one, branch in own.items()}
            numbers |= dict.fromkeys(one for one, branch in own.items() if branch.kind == "scalar")
            rows[f"{tree.path}:{tree.tree_path}"] = ntuple.num_entries
            if tree.weight is not None:
                require_weight(ntuple, tree.weight, tree.weight_key)
    paths = list(dict.fromkeys(tree.path for tree in trees))
    return FileOfRows(name, paths, trees, variables, columns, list(numbers), sum(rows.values()))


@contextmanager
def _opened(tree: _Tree) -> Iterator[Ntuple]:
    friends = class_friends(tree.path, tree.tree_path, tree.where) if format_of(tree.path) is None else ()
    with open_ntuple(tree.path, tree.tree_path, friends, tree.where) as ntuple:
        yield ntuple


def _classes(tree: _Tree, options: FilesOptions) -> list[str]:
    return list(options.classes) if tree.class_name is None else [tree.class_name]


def _variables(files: Sequence[FileOfRows], options: FilesOptions) -> list[str]:
    """Variables that are asked for, those of the trainings, or the columns that all files have."""
    if options.variables:
        return list(dict.fromkeys(options.variables))
    if options.every_column:
        return list(dict.fromkeys(name for file in files for name in file.numbers))
    if of_trainings := list(dict.fromkeys(name for file in files for name in file.variables)):
        return of_trainings
    common = [name for name in files[0].numbers if all(name in file.numbers for file in files)]
    if not common:
        raise NtuplemlError("the files have no column of numbers in common; name what is to be shown by --variable")
    if len(common) > MOST_VARIABLES:
        text = "the first %d of %d columns are shown; --variable takes others, --every-column all"
        log.warning(text, MOST_VARIABLES, len(common))
    return common[:MOST_VARIABLES]


def _require_somewhere(files: Sequence[FileOfRows], formulas: Sequence[str], option: str) -> None:
    """Refuse a formula that no tree can compute: a name that no file has, else by the message of the first tree."""
    for name in formulas:
        errors = []
        for tree in (tree for file in files for tree in file.trees):
            with _opened(tree) as ntuple:
                try:
                    required_branches([name], ntuple.branches, f"{option}: {ntuple.where}")
                    break
                except NtuplemlError as error:
                    errors.append(error)
        else:
            names = list(dict.fromkeys(column for file in files for column in file.columns))
            nowhere = NtuplemlError(f"{option}: no file has a branch '{name}'{did_you_mean(name, names)}")
            raise nowhere if name.isidentifier() else errors[0]


class _Rows(NamedTuple):
    """Some rows of one class."""

    class_name: str
    #: Shape (n_rows, n_variables).
    values: NDArray[np.float32]
    weights: NDArray[np.float64]
    #: Shape (n_rows, n_parameters); no parameters where the tree lacks them.
    points: NDArray[np.float32]


def _rows(
    files: Sequence[FileOfRows], variables: Sequence[str], options: FilesOptions
) -> Iterator[tuple[FileOfRows, _Rows]]:
    """Rows of all files, class by class in chunks."""
    formulas = {name: parse(text, f"--class {name}") for name, text in options.classes.items()}
    for file in files:
        for tree in file.trees:
            with _opened(tree) as ntuple:
                selections = formulas if tree.class_name is None else {tree.class_name: None}
                for one in _rows_of_tree(ntuple, tree, variables, options.points, selections):
                    yield file, one


def _rows_of_tree(
    ntuple: Ntuple,
    tree: _Tree,
    variables: Sequence[str],
    points: Sequence[str],
    selections: Mapping[str, Expression | None],
) -> Iterator[_Rows]:
    there = [place for place, name in enumerate(variables) if _is_there(name, ntuple)]
    shown = [variables[place] for place in there]
    points = points if all(_is_there(name, ntuple) for name in points) else ()
    branches = required_branches([*shown, *points], ntuple.branches, ntuple.where)
    for name, selection in selections.items():
        if selection is not None:
            ntuple.require(sorted(selection.branches), f"--class {name}")
            branches += sorted(selection.columns)
    branches += [] if tree.weight is None else [tree.weight]
    chunks = ntuple.chunks(list(dict.fromkeys(branches)) or [next(iter(ntuple.branches))])
    for chunk in watched(chunks, f"reading {ntuple.where}", ntuple.num_entries, size=lambda one: one.num_rows):
        columns, number = chunk.columns, chunk.num_rows
        values = np.full((number, len(variables)), np.nan, np.float32)
        values[:, there] = columns_to_matrix(columns, shown, where=ntuple.where)
        places = columns_to_matrix(columns, points, where=ntuple.where)
        weights = np.ones(number) if tree.weight is None else np.asarray(columns[tree.weight], np.float64)
        for name, selection in selections.items():
            rows = slice(None) if selection is None else np.flatnonzero(selection.passes(columns, number))
            yield _Rows(name, values[rows], weights[rows], places[rows])


def _is_there(name: str, ntuple: Ntuple) -> bool:
    try:
        required_branches([name], ntuple.branches, ntuple.where)
    except NtuplemlError:
        return False
    return True
