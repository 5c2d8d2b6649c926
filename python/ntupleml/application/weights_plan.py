"""A plan from TMVA weights files alone: variables, scores and branches are those that the files name."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.application.exported_files import require_safe
from ntupleml.application.plan import Plan
from ntupleml.application.selection import selection_of
from ntupleml.artifacts import find_by_checksum, read_foreign_weights, sha256_of_file
from ntupleml.artifacts.origins import origin_of_record
from ntupleml.config import ApplicationConfig, ClusterConfig, DatasetConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import InputGroup
from ntupleml.ntuples.appending import require_branch_names
from ntupleml.scoring import Scorer, score_branch_names, weights_evaluator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.scoring import Engine
    from ntupleml.tmva.method import TmvaMethod

log = logging.getLogger(__name__)

_DEFAULT_PREFIX = "ml_score_"


def make_weights_plan(
    weights: Sequence[str | Path],
    *,
    dataset_path: str | Path | None = None,
    application_path: str | Path | None = None,
    event_branch: str | None = None,
    branch_prefix: str | None = None,
    output_directory: str | None = None,
    engine: Engine | None = None,
) -> Plan:
    """Read TMVA weights and say which branches they make of an ntuple.

    The variables are the expressions that the file gives them. A method for several classes makes the branches
    `{prefix}{class}`, `{prefix}max_score` and `{prefix}max_index`; one for two classes makes `{prefix}{method}` with
    the value of TMVA's Reader; a regression makes `{prefix}{target}`. What is no letter, digit or underscore in these
    names becomes an underscore.

    Parameters
    ----------
    weights : sequence of path
        One file, which scores all events, or one per fold: file j scores the events of fold j.
    dataset_path : path, optional
        Dataset config, for `event_branch`, `num_folds` and `friend_paths`.
    application_path : path, optional
        Application config, for `branch_prefix` and `output_directory`.
    event_branch : str, optional
        Branch whose value modulo the number of files says which file scores an event, in place of the dataset
        config's; with neither the entry number decides.
    branch_prefix, output_directory : str, optional
        In place of the application config's.
    engine : {"onnx", "forest", "tmva"}, optional
        By default the fastest.

    Raises
    ------
    NtuplemlError
        For a file that cannot be read or scored, files that do not go together, or records beside them by which a
        file would score events that it was trained on.
    """
    dataset = None if dataset_path is None else load_config(dataset_path, DatasetConfig)
    application = None if application_path is None else load_config(application_path, ApplicationConfig)
    if application is not None:
        branch_prefix = application.branch_prefix if branch_prefix is None else branch_prefix
        output_directory = output_directory or application.output_directory
    if dataset is not None:
        event_branch = event_branch or dataset.event_branch
        _require_number_of_files(weights, dataset.num_folds, str(dataset_path))
    files = _read(list(map(Path, weights)), event_branch)
    first = files[0].method
    names, max_branches = _branch_names(first, _DEFAULT_PREFIX if branch_prefix is None else branch_prefix)
    require_branch_names(names, str(first.path))
    scorer = Scorer(
        {fold: weights_evaluator(file.method, engine, missing=file.missing) for fold, file in enumerate(files)},
        [InputGroup("variables", tuple(variable.expression for variable in first.variables))],
        num_folds=len(files),
        outputs=first.output_names,
        event_branch=event_branch,
        non_finite="replaced" if all(file.missing is not None for file in files) else "as Reader",
    )
    return Plan(
        scorer,
        names,
        # One file scores all events, whatever their numbers; friends still get a copy of them.
        event_branch,
        [] if dataset is None else list(dataset.friend_paths),
        None,
        output_directory,
        str(application_path or "--weights"),
        max_branches,
        {variable.expression: variable.label for variable in first.variables if variable.label != variable.expression},
        tuple(map(sha256_of_file, weights)),
        ClusterConfig() if application is None else application.cluster,
        selection_of(application, str(application_path)),
    )


def _require_number_of_files(weights: Sequence[object], num_folds: int, where: str) -> None:
    if len(weights) not in (1, num_folds):
        raise NtuplemlError(
            f"--weights: {len(weights)} files, but {where} has {num_folds} folds; give one file per fold, or one for "
            "all"
        )


class _File(NamedTuple):
    """A weights file, and what its training put in the place of NaN and infinite inputs, by the record beside it."""

    method: TmvaMethod
    missing: float | None


def _read(paths: Sequence[Path], event_branch: str | None) -> list[_File]:
    """The files, checked against each other and against records of trainings beside them."""
    files: list[_File] = []
    for fold, path in enumerate(paths):
        file = _read_one(path, fold, len(paths), event_branch)
        if files:
            _require_alike(files[0].method, file.method)
        files.append(file)
    return files


def _read_one(path: Path, fold: int, num_files: int, event_branch: str | None) -> _File:
    from ntupleml.tmva.reading import read_weights

    if not path.exists():
        raise NtuplemlError(f"--weights: no file '{path}'")
    found = find_by_checksum(path)
    if found is None:
        return _File(read_foreign_weights(path, fold if num_files > 1 else None), None)
    require_safe(path, origin_of_record(found.record, found.files.record), fold, num_files, event_branch, "--weights")
    return _File(read_weights(path), found.record.missing)


def _require_alike(first: TmvaMethod, other: TmvaMethod) -> None:
    """Files for the folds of one training have the same variables and scores; their names may differ."""
    pairs: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        "analysis": ([first.analysis], [other.analysis]),
        "variables": ([item.expression for item in first.variables], [item.expression for item in other.variables]),
    }
    if first.analysis != "Classification":
        pairs["outputs"] = (first.output_names, other.output_names)
    for what, (one, two) in pairs.items():
        if one != two:
            raise NtuplemlError(
                f"--weights: the files do not go together: {what} {', '.join(two)} in {other.path}, but "
                f"{', '.join(one)} in {first.path}"
            )


def _branch_names(method: TmvaMethod, prefix: str) -> tuple[list[str], bool]:
    """Names of the new branches, and whether the last two are those of the largest score."""
    outputs = [re.sub(r"\W", "_", name) for name in method.output_names]
    if method.analysis == "Multiclass":
        return score_branch_names(outputs, prefix), True
    return [f"{prefix}{name}" for name in outputs], False
