"""What is to be read, found out and checked before any event is read: files, branches, formulas."""

from __future__ import annotations

import fnmatch
import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.config.define import formulas_of
from ntupleml.datasets.scaling import scale_of
from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions import parse, parse_filter
from ntupleml.folds import rule_of
from ntupleml.ntuples import FriendFile, friend_files, open_ntuple, rows_of, with_defined
from ntupleml.ntuples.branch_types import type_of_copy
from ntupleml.ntuples.input_files import expand_inputs
from ntupleml.ntuples.remote import is_remote, joined
from ntupleml.ntuples.variables import branches_of_formula

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from ntupleml.config import DatasetConfig
    from ntupleml.config.dataset import ProcessConfig
    from ntupleml.expressions import Expression
    from ntupleml.folds import FoldRule
    from ntupleml.ntuples import Branch, Ntuple

log = logging.getLogger(__name__)


class Formulas(NamedTuple):
    """What is asked of the rows of a process."""

    cut: Expression
    weight: Expression
    event_filter: Expression | None

    @property
    def cuts(self) -> list[Expression]:
        """What all rows pass."""
        return [self.cut] if self.event_filter is None else [self.cut, self.event_filter]

    @property
    def branches(self) -> frozenset[str]:
        """What any of them needs."""
        return frozenset().union(self.weight.branches, *(one.branches for one in self.cuts))


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
    #: Entries of the files of the process before it.
    entries_before: int
    uuid: str
    size: int
    copied: dict[str, CopiedBranch]
    event_copies: tuple[str, ...]


@dataclass(frozen=True)
class Process:
    """One process: its files, formulas and class."""

    name: str
    class_name: str
    formulas: Formulas
    files: tuple[InputFile, ...]
    config: ProcessConfig
    #: Where rows are chosen at random: the largest key (`row_keys`) of those that are kept.
    largest_key: int | None = None
    #: Factor of the weights.
    scale: float = 1.0


def survey(config: DatasetConfig) -> list[Process]:
    """Open every input file once and check all that the config asks of it.

    Returns
    -------
    list of Process
        In the order of the config, those of one class next to each other.
    """
    formulas = {name: _formulas(config, name) for name in config.processes}
    findings = _Findings({}, set())
    processes = []
    for name, own in formulas.items():
        class_name = config.class_of(name)
        same_class = [other for other in config.processes if config.class_of(other) == class_name]
        used = frozenset().union(*(formulas[other].branches for other in same_class))
        files: list[InputFile] = []
        for file in expand_inputs(config.processes[name].files, config.base_path, f"processes.{name}.files"):
            before = files[-1].entries_before + files[-1].num_entries if files else 0
            found = _survey_file(config, name, file, before, own, used, findings)
            files += [] if found is None else [found]
        _refuse_repeated(name, files)
        if sum(file.num_entries for file in files) == 0:
            names = ", ".join(file.path for file in files) or "they have no branches either"
            raise NtuplemlError(f"processes.{name}: its files hold no events: {names}")
        process = config.processes[name]
        scale = scale_of(process.scale, [(file.path, file.tree_path) for file in files], f"processes.{name}")
        processes.append(Process(name, class_name, own, tuple(files), process, scale=scale))
    _warn_of_branches(findings.left_out)
    _check_removals(config, findings.removals)
    classes = list(dict.fromkeys(process.class_name for process in processes))
    for class_name in classes:
        _check_same_branches(class_name, [process for process in processes if process.class_name == class_name])
    return sorted(processes, key=lambda process: classes.index(process.class_name))


class _Findings(NamedTuple):
    """What is said once of all files."""

    #: Branches that are not copied.
    left_out: dict[str, Branch]
    #: Patterns that take branches away, and did so in a file.
    removals: set[str]


def _check_removals(config: DatasetConfig, removals: Container[str]) -> None:
    for index, pattern in enumerate(config.branches if isinstance(config.branches, list) else []):
        if pattern.startswith("!") and pattern not in removals:
            raise NtuplemlError(f"branches[{index}]: '{pattern}' takes no branch away in any file; correct or drop it")


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


def _formulas(config: DatasetConfig, name: str) -> Formulas:
    process, where = config.processes[name], f"processes.{name}"
    return Formulas(
        parse(process.cut_string, where=f"{where}.cut_string"),
        parse(process.weight_string, where=f"{where}.weight_string"),
        None if process.event_filter is None else parse_filter(process.event_filter, f"{where}.event_filter"),
    )


@contextmanager
def opened_rows(config: DatasetConfig, name: str, path: str, friends: Sequence[FriendFile]) -> Iterator[Ntuple]:
    """Open a file of a process: its rows, with the branches that the config defines."""
    with open_ntuple(path, config.tree_of(name), friends, f"processes.{name}") as events:
        yield _rows_of_events(config, name, events)


def _rows_of_events(config: DatasetConfig, name: str, events: Ntuple) -> Ntuple:
    where, process = f"processes.{name}", config.processes[name]
    rows = rows_of(events, config.rows, match=process.match, match_where=f"{where}.match")
    return with_defined(rows, config.defined_for(name), f"{where}.define")


def _survey_file(
    config: DatasetConfig,
    name: str,
    file: str,
    entries_before: int,
    formulas: Formulas,
    used_in_class: frozenset[str],
    findings: _Findings,
) -> InputFile | None:
    where = f"processes.{name}"
    path = joined(config.base_path, file)
    if config.friend_paths and (is_remote(file) or Path(file).is_absolute()):
        raise NtuplemlError(
            f"{where}.files: {file} has no place in the folders of friend_paths; give the beginning of it as base_path"
        )
    tree_path = config.tree_of(name)
    friends = friend_files(config.friend_paths, file, tree_path, where, config.base_path)
    with open_ntuple(path, tree_path, friends, where) as events:
        if events.holds_nothing:
            log.warning("%s: holds no events, and is left out", events.where)
            return None
        ntuple = _rows_of_events(config, name, events)
        for formula in (*formulas.cuts, formulas.weight):
            branches_of_formula(formula, ntuple)
        ntuple.require(sorted(formulas.branches), where)
        rule = rule_of(config)
        _require_event_branches(ntuple, rule)
        copied = _copied_branches(config, name, ntuple, used_in_class, findings)
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
            entries_before,
            ntuple.uuid,
            ntuple.size,
            copied,
            tuple(name for own in rule.branches for name in ntuple.copies_in_friends(own)),
        )


def _require_event_branches(ntuple: Ntuple, rule: FoldRule) -> None:
    ntuple.require(rule.branches, rule.key)
    for name in rule.branches:
        if ntuple.branches[name].kind != "scalar":
            raise NtuplemlError(
                f"{rule.key}: branch '{name}' in {ntuple.where} has several values per event; one integer is needed"
            )


def _copied_branches(
    config: DatasetConfig, process: str, ntuple: Ntuple, used_in_class: frozenset[str], findings: _Findings
) -> dict[str, CopiedBranch]:
    """Branches of the output and where they come from, in the order of the input."""
    rule = rule_of(config)
    sources = _output_names(ntuple, rule)
    if config.branches == "all":
        wanted = set(sources)
    elif config.branches == "needed":
        wanted = _resolved(_needed(config, ntuple, used_in_class), sources, ntuple)
    else:
        wanted = _matching(config.branches, sources, ntuple, findings.removals)
    always = [*rule.branches, config.rows and f"{config.rows.objects}_index", *config.defined_for(process)]
    if config.branches != "all":
        wanted |= _resolved([name for name in always if name], sources, ntuple)
    copied = {}
    for output, source in sources.items():
        branch = ntuple.branches[source]
        if output not in wanted:
            continue
        if source in ntuple.duplicates:
            findings.left_out.setdefault(source, replace(branch, problem="the tree has several branches of this name"))
        elif branch.kind == "other":
            findings.left_out.setdefault(source, branch)
        else:
            copied[output] = CopiedBranch(source, type_of_copy(branch))
    return copied


def _output_names(ntuple: Ntuple, rule: FoldRule) -> dict[str, str]:
    """Name in the fold file → name in the input: a friend's branch is `friend_branch` where its own name is taken.

    Copies of what tells an event in friends are left out: they are compared with the original instead.
    """
    copies = {name for own in rule.branches for name in ntuple.copies_in_friends(own)}
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
    formulas = formulas_of(config.define)
    for text in formulas.values():  # what trainings put in place of the names
        names += sorted(parse(text, where="define").branches)
    for index, variable in enumerate(config.variables):
        if variable in ntuple.branches:
            names.append(variable)
            continue
        formula = parse(variable, where=f"variables[{index}]")
        branches_of_formula(formula, ntuple)
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


def _matching(patterns: Sequence[str], sources: Mapping[str, str], ntuple: Ntuple, removals: set[str]) -> set[str]:
    """Names that patterns add or, after an exclamation mark, take away, one pattern after the other."""
    wanted = set(sources) if patterns[0].startswith("!") else set()
    for index, pattern in enumerate(patterns):
        if pattern in ntuple.branches:
            wanted |= _resolved([pattern], sources, ntuple)
            continue
        matches = {
            output
            for output, source in sources.items()
            if any(
                fnmatch.fnmatchcase(name, pattern.removeprefix("!"))
                for name in (output, source, source.replace(".", "_"))
            )
        }
        if not pattern.startswith("!"):
            if not matches:
                raise NtuplemlError(
                    f"branches[{index}]: '{pattern}' matches no branch in {ntuple.where}"
                    f"{did_you_mean(pattern, sources)}"
                )
            wanted |= matches
        elif matches:
            removals.add(pattern)
            wanted -= matches
    return wanted


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
