"""What is to be read, found out and checked before any event is read: files, branches, formulas."""

from __future__ import annotations

import fnmatch
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions import parse
from ntupleml.ntuples import FriendFile, friend_files, open_ntuple, rows_of
from ntupleml.ntuples.input_files import expand_inputs
from ntupleml.ntuples.remote import is_remote, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ntupleml.config import DatasetConfig
    from ntupleml.expressions import Expression
    from ntupleml.ntuples import Branch, Ntuple

log = logging.getLogger(__name__)


class CopiedBranch(NamedTuple):
    """A branch of the fold files: what it is called in the input, and its type as `TreeFile` wants it."""

    source: str
    type: np.dtype[Any] | str


@dataclass(frozen=True)
class InputFile:
    """One input file of a process, with its friends, as the survey found it."""

    path: str
    tree_path: str
    friends: tuple[FriendFile, ...]
    num_entries: int
    uuid: str
    size: int
    copied: dict[str, CopiedBranch]
    event_copies: tuple[str, ...]


@dataclass(frozen=True)
class Process:
    """One process: its files, formulas and class."""

    name: str
    class_name: str
    cut: Expression
    weight: Expression
    files: tuple[InputFile, ...]


def survey(config: DatasetConfig) -> list[Process]:
    """Open every input file once and check all that the config asks of it.

    Returns
    -------
    list of Process
        In the order of the config, those of one class next to each other.
    """
    formulas = {name: _formulas(config, name) for name in config.processes}
    left_out: dict[str, Branch] = {}
    processes = []
    for name, (cut, weight) in formulas.items():
        class_name = config.class_of(name)
        same_class = [other for other in config.processes if config.class_of(other) == class_name]
        used = frozenset().union(*(formula.branches for other in same_class for formula in formulas[other]))
        files = tuple(
            _survey_file(config, name, file, (cut, weight), used, left_out)
            for file in expand_inputs(config.processes[name].files, config.base_path, f"processes.{name}.files")
        )
        _refuse_repeated(name, files)
        if sum(file.num_entries for file in files) == 0:
            raise NtuplemlError(f"processes.{name}: its files hold no events: {', '.join(file.path for file in files)}")
        processes.append(Process(name, class_name, cut, weight, files))
    _warn_of_branches(left_out)
    classes = list(dict.fromkeys(process.class_name for process in processes))
    for class_name in classes:
        _check_same_branches(class_name, [process for process in processes if process.class_name == class_name])
    return sorted(processes, key=lambda process: classes.index(process.class_name))


def _warn_of_branches(left_out: Mapping[str, Branch]) -> None:
    """Say once which branches are not copied, and why."""
    others = [f"'{name}' ({branch.type_name})" for name, branch in left_out.items() if branch.problem is None]
    unreadable = [f"'{name}' ({branch.problem})" for name, branch in left_out.items() if branch.problem is not None]
    if others:
        log.warning("not copied, since they hold neither numbers nor lists of numbers: %s", ", ".join(others))
    if unreadable:
        log.warning("not copied, since they cannot be read: %s", ", ".join(unreadable))


def _refuse_repeated(name: str, files: Sequence[InputFile]) -> None:
    """Refuse a file that comes twice, by wildcards or through links: its events would count twice."""
    paths: dict[Path, InputFile] = {}
    for file in files:
        other = paths.setdefault(Path(file.path).resolve(), file)
        if other is not file:
            same = "comes twice" if other.path == file.path else f"is the same file as {other.path}"
            raise NtuplemlError(f"processes.{name}.files: {file.path} {same}; list it once")


def _formulas(config: DatasetConfig, name: str) -> tuple[Expression, Expression]:
    process = config.processes[name]
    return (
        parse(process.cut_string, where=f"processes.{name}.cut_string"),
        parse(process.weight_string, where=f"processes.{name}.weight_string"),
    )


def _survey_file(
    config: DatasetConfig,
    name: str,
    file: str,
    formulas: tuple[Expression, Expression],
    used_in_class: frozenset[str],
    left_out: dict[str, Branch],
) -> InputFile:
    cut, weight = formulas
    where = f"processes.{name}"
    path = joined(config.base_path, file)
    if is_remote(file) and config.friend_paths:
        raise NtuplemlError(
            f"{where}.files: {file} has no place in the folders of friend_paths; give the beginning of the address as "
            "base_path"
        )
    tree_path = config.tree_of(name)
    friends = friend_files(config.friend_paths, file, tree_path, where, config.base_path)
    with open_ntuple(path, tree_path, friends, where) as events:
        ntuple = rows_of(events, config.rows)
        for formula in formulas:
            _check_formula(formula, ntuple)
        ntuple.require(sorted(cut.branches | weight.branches), where)
        if config.event_branch is not None:
            _require_event_branch(ntuple, config.event_branch)
        copied = _copied_branches(config, ntuple, used_in_class, left_out)
        ntuple.require([branch.source for branch in copied.values()], where)
        if config.training_weight_branch in copied:
            raise NtuplemlError(
                f"{where}: {path} has a branch '{config.training_weight_branch}' already; choose another "
                "training_weight_branch"
            )
        return InputFile(
            str(path),
            tree_path,
            tuple(friends),
            ntuple.num_entries,
            ntuple.uuid,
            ntuple.size,
            copied,
            tuple(ntuple.copies_in_friends(config.event_branch) if config.event_branch else ()),
        )


def _require_event_branch(ntuple: Ntuple, name: str) -> None:
    ntuple.require([name], "event_branch")
    if ntuple.branches[name].kind != "scalar":
        raise NtuplemlError(
            f"event_branch: branch '{name}' in {ntuple.where} has several values per event; one integer is needed"
        )


def _check_formula(formula: Expression, ntuple: Ntuple) -> None:
    try:
        formula.check_branches(ntuple.branches)
        formula.check_elements({name: one.length for name, one in ntuple.branches.items() if one.length is not None})
    except NtuplemlError as error:
        raise NtuplemlError(f"{ntuple.path}: tree '{ntuple.tree_path}': {error}") from None


def _copied_branches(
    config: DatasetConfig, ntuple: Ntuple, used_in_class: frozenset[str], left_out: dict[str, Branch]
) -> dict[str, CopiedBranch]:
    """Branches of the output and where they come from, in the order of the input."""
    sources = _output_names(ntuple, config.event_branch)
    if config.branches == "all":
        wanted = set(sources)
    elif config.branches == "needed":
        wanted = _resolved(_needed(config, ntuple, used_in_class), sources, ntuple)
    else:
        wanted = _matching(config.branches, sources, ntuple)
    always = [config.event_branch, config.rows and f"{config.rows.objects}_index"]
    if config.branches != "all":
        wanted |= _resolved([name for name in always if name], sources, ntuple)
    copied = {}
    for output, source in sources.items():
        branch = ntuple.branches[source]
        if output not in wanted:
            continue
        if source in ntuple.duplicates:
            left_out.setdefault(source, replace(branch, problem="the tree has several branches of this name"))
        elif branch.kind == "other":
            left_out.setdefault(source, branch)
        else:
            copied[output] = CopiedBranch(source, _type_of(branch))
    return copied


def _output_names(ntuple: Ntuple, event_branch: str | None) -> dict[str, str]:
    """Name in the fold file → name in the input: a friend's branch is `friend_branch` where its own name is taken.

    Copies of the event number in friends are left out: they are compared with the original instead.
    """
    copies = set(ntuple.copies_in_friends(event_branch) if event_branch else ())
    names = {name: name for name in ntuple.main_branches}
    for full, (friend, own) in ntuple.friend_branches.items():
        if full in copies:
            continue
        is_own = own not in ntuple.main_branches and own in ntuple.branches
        output = own if is_own else f"{friend}_{own}"
        while output in names:
            output += "_"
        names[output] = full
    return names


def _needed(config: DatasetConfig, ntuple: Ntuple, used_in_class: frozenset[str]) -> list[str]:
    if config.variables is None:
        return sorted(used_in_class)
    names: list[str] = []
    for index, variable in enumerate(config.variables):
        if variable in ntuple.branches:
            names.append(variable)
            continue
        formula = parse(variable, where=f"variables[{index}]")
        _check_formula(formula, ntuple)
        names += sorted(formula.branches)
    return names


def _resolved(names: Iterable[str], sources: Mapping[str, str], ntuple: Ntuple) -> set[str]:
    """Output names of branches given as a formula names them."""
    outputs = set()
    by_source = {source: output for output, source in sources.items()}
    for name in names:
        ntuple.require([name], "branches")
        output = name if name in sources else by_source.get(ntuple.listed_name(name))
        if output is not None:  # None: the event number of a friend
            outputs.add(output)
    return outputs


def _matching(patterns: Iterable[str], sources: Mapping[str, str], ntuple: Ntuple) -> set[str]:
    wanted: set[str] = set()
    for index, pattern in enumerate(patterns):
        if pattern in ntuple.branches:
            wanted |= _resolved([pattern], sources, ntuple)
            continue
        matches = [
            output
            for output, source in sources.items()
            if any(fnmatch.fnmatchcase(name, pattern) for name in (output, source, source.replace(".", "_")))
        ]
        if not matches:
            raise NtuplemlError(
                f"branches[{index}]: '{pattern}' matches no branch in {ntuple.where}{did_you_mean(pattern, sources)}"
            )
        wanted.update(matches)
    return wanted


def _type_of(branch: Branch) -> np.dtype[Any] | str:
    assert branch.dtype is not None
    return f"vector of {branch.dtype.name}" if None in branch.shape else np.dtype((branch.dtype, branch.shape))


def _check_same_branches(class_name: str, processes: list[Process]) -> None:
    """Refuse files of one class whose branches differ: they become one tree."""
    files = [(process.name, file) for process in processes for file in process.files]
    _, first = files[0]
    for process_name, file in files[1:]:
        for with_it, without_it in ((first, file), (file, first)):
            for name in with_it.copied:
                if name not in without_it.copied:
                    raise NtuplemlError(
                        f"processes.{process_name}: {with_it.path} has a branch '{name}', which {without_it.path} "
                        f"has not, and both belong to class '{class_name}'; list the common branches under 'branches'"
                    )
        for name, branch in file.copied.items():
            if branch.type != first.copied[name].type:
                raise NtuplemlError(
                    f"processes.{process_name}: branch '{name}' is of type {branch.type} in {file.path}, but "
                    f"{first.copied[name].type} in {first.path}, and both belong to class '{class_name}'; make the "
                    "types equal or leave it out of 'branches'"
                )
