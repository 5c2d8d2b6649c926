"""Building fold files: one pass over each input file, all folds at once, complete or not at all."""

from __future__ import annotations

import datetime
import logging
import platform
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntupleml import __version__
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import started_workers
from ntupleml.datasets.copying import WrittenFold, branch_types, copy_events, finish, new_fold_files
from ntupleml.datasets.fold_files import has_to_write_folds, write_fold_file
from ntupleml.datasets.inputs import survey
from ntupleml.datasets.parts import Counts, fill_with_workers
from ntupleml.datasets.records import (
    DatasetSummary,
    FoldRecord,
    InputFileRecord,
    NumberRange,
    ProcessRecord,
    WeightSums,
    record_path,
)
from ntupleml.datasets.repeated_events import RepeatedEvents
from ntupleml.datasets.sampling import with_chosen_rows
from ntupleml.errors import NtuplemlError
from ntupleml.events.fold_numbers import require_folds_of_table
from ntupleml.expressions import ROOT_VERSION
from ntupleml.expressions.messages import hint_for_elements
from ntupleml.folds import record_of_table, rule_of
from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import Process
    from ntupleml.datasets.repeated_events import Repeated
    from ntupleml.folds import FoldRule
    from ntupleml.ntuples import Tree


log = logging.getLogger(__name__)

#: Events of one number from which on the branch is hardly one of event numbers.
_EVENTS_PER_NUMBER = 100


def create_training_dataset(
    config: DatasetConfig, overwrite: bool = False, *, where: str = "", cluster: ClusterOptions | None = None
) -> DatasetSummary:
    """Build the fold files of a dataset config.

    Fold k is written to `output_path/fold{k}_{output_filename}`, with a tree per class, and its record to the
    `.json` file beside it. All files are complete and on disk before the first is put in its place. A kill within that
    moment leaves files of two builds, which the stages after this one refuse.

    Parameters
    ----------
    overwrite : bool, default: False
        Whether existing fold files may be replaced.
    where : str, optional
        Path of the config, for messages on what it names.
    cluster : ClusterOptions, optional
        Workers that read the inputs; by default this process does.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with the inputs (see `ntupleml.datasets.inputs.survey`), weights that are not finite,
        a process without events in a fold, and outputs that exist or cannot be written.
    """
    outputs = [Path(path) for path in config.fold_files]
    if has_to_write_folds(config):
        with _named(where):
            write_fold_file(config, survey(config))
    with all_or_none(), ExitStack() as stack:
        # Entered first means renamed last: a record that is new describes a fold file that is.
        record_places = [stack.enter_context(replace_file(record_path(path), overwrite=overwrite)) for path in outputs]
        places = [stack.enter_context(replace_file(path, overwrite=overwrite)) for path in outputs]
        with _named(where):
            processes = survey(config)
            _refuse_input_as_output(processes, outputs)
            require_folds_of_table(rule_of(config), config.num_folds, "dataset config")
            if cluster is None or cluster.is_this_process:
                folds, counts = _fill(config, processes, places, outputs)
            else:
                folds, counts = fill_with_workers(config, processes, places, outputs, cluster)
            for process in processes:
                sums, repeated = counts.sums[process.name], counts.repeated[process.name]
                _check_not_empty(process, sums, rule_of(config))
                _warn_of_findings(process, sums, repeated, rule_of(config))
        records = _records(config, processes, counts.sums, folds)
        for place, record in zip(record_places, records, strict=True):
            place.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return DatasetSummary(tuple(outputs), tuple(records))


def planned_dataset(config: DatasetConfig, *, where: str = "") -> str:
    """What `create_training_dataset` would read and write, as text; nothing is written, and no event is read.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with the inputs.
    """
    with _named(where):
        processes = survey(config)
    lines = [
        f"would be read: process '{process.name}' of class '{process.class_name}': {len(process.files)} files, "
        f"{sum(file.num_entries for file in process.files):,} rows before cuts"
        for process in processes
    ]
    for path in config.fold_files:
        lines.append(f"would be written: {path}{', which exists' if Path(path).exists() else ''}")
    return "\n".join(lines)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Begin messages with the path of the config."""
    try:
        yield
    except NtuplemlError as error:
        raise NtuplemlError(f"{where}: {error}" if where else str(error)) from error


def _refuse_input_as_output(processes: Sequence[Process], outputs: Sequence[Path]) -> None:
    targets = {path.resolve() for path in outputs}
    for process in processes:
        for file in process.files:
            for path in (file.path, *(friend.path for friend in file.friends)):
                if Path(path).resolve() in targets:
                    raise NtuplemlError(
                        f"processes.{process.name}: {path} is an input and would be overwritten by a fold file; "
                        "choose another output_path or output_filename"
                    )


def _fill(
    config: DatasetConfig, processes: Sequence[Process], places: Sequence[Path], outputs: Sequence[Path]
) -> tuple[list[WrittenFold], Counts]:
    """Copy the selected events of all processes; return the files and the counts per process and fold."""
    with started_workers(ClusterOptions(), config.cluster) as finished_tasks:
        processes = with_chosen_rows(config, processes, finished_tasks)
    sums: dict[str, list[WeightSums]] = {}
    repeated: dict[str, Repeated] = {}
    trees: dict[str, list[Tree]] = {}
    total = sum(file.num_entries for process in processes for file in process.files)
    with new_fold_files(config, places, outputs) as files, progress_bar(total) as advance:
        for process in processes:
            if process.class_name not in trees:
                types = branch_types(config, process)
                trees[process.class_name] = [file.tree(process.class_name, types) for file in files]
            sums[process.name] = [WeightSums() for _ in files]
            events = RepeatedEvents()
            for input_file in process.files:
                of_file = copy_events(config, process, input_file, trees[process.class_name], events, advance)
                for total_sums, file_sums in zip(sums[process.name], of_file, strict=True):
                    total_sums.add_sums(file_sums)
            for tree in trees[process.class_name]:
                tree.flush()
            _check_not_empty(process, sums[process.name], rule_of(config))
            repeated[process.name] = events.count()
        return [finish(file) for file in files], Counts(sums, repeated)


def _records(
    config: DatasetConfig,
    processes: Sequence[Process],
    sums: dict[str, list[WeightSums]],
    folds: Sequence[WrittenFold],
) -> list[FoldRecord]:
    dataset = str(uuid.uuid4())
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rule = rule_of(config)
    decided_by = rule.what if rule.branches else "entry number in each input file"
    return [
        FoldRecord(
            dataset=dataset,
            file=written.name,
            uuid=written.uuid,
            fold=fold,
            num_folds=config.num_folds,
            event_branch=config.event_branch,
            fold_by=list(rule.fold_by),
            fold_file=record_of_table(rule),
            decided_by=decided_by,
            training_weight_branch=config.training_weight_branch,
            branches=written.branches,
            processes={process.name: _process_record(process, sums[process.name][fold]) for process in processes},
            config=config.model_dump(mode="json", by_alias=True),
            created=created,
            versions=_versions(),
        )
        for fold, written in enumerate(folds)
    ]


def _process_record(process: Process, sums: WeightSums) -> ProcessRecord:
    return ProcessRecord(
        class_name=process.class_name,
        cut_string=process.formulas.cut.text,
        weight_string=process.formulas.weight.text,
        data=process.config.data,
        scale=process.scale,
        events_read=sums.events_read,
        events_kept=sums.events_kept,
        sum_of_weights=sums.sum,
        uncertainty=sums.uncertainty,
        negative_events=sums.negative_events,
        negative_share=sums.negative_share,
        files=[
            InputFileRecord(
                path=file.path,
                tree_path=file.tree_path,
                uuid=file.uuid,
                size=file.size,
                entries=file.num_entries,
                friends=[friend.path for friend in file.friends],
            )
            for file in process.files
        ],
    )


def _versions() -> dict[str, str]:
    import awkward
    import uproot

    return {
        "ntupleml": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "uproot": str(uproot.__version__),
        "awkward": str(awkward.__version__),
        "TTreeFormula": ROOT_VERSION,
    }


def _check_not_empty(process: Process, sums: Sequence[WeightSums], rule: FoldRule) -> None:
    """Refuse a process without events in a fold.

    Parameters
    ----------
    sums : sequence of WeightSums
        What was read and kept for each fold.
    """
    for fold, fold_sums in enumerate(sums):
        if fold_sums.events_kept == 0:
            where = f"processes.{process.name}: no event is left in fold {fold}"
            if fold_sums.events_read == 0:
                raise NtuplemlError(f"{where}: {_why_none_was_read(process, sums, rule)}")
            raise NtuplemlError(
                f"{where}: {fold_sums.events_read} read from {len(process.files)} file(s), none passes the cut "
                f"'{process.formulas.cut.text}'{_other_conditions(process)}"
            )


def _other_conditions(process: Process) -> str:
    """What a row has to pass besides the cut."""
    event_filter, number = process.config.event_filter, process.config.num_events
    found = "" if event_filter is None else f" and the event_filter '{event_filter}'"
    return found if process.largest_key is None else f"{found} and is among the {number} rows of num_events"


def _why_none_was_read(process: Process, sums: Sequence[WeightSums], rule: FoldRule) -> str:
    events, numbers = _of_all_folds(sums)
    if events == 0:  # of rows that are objects
        entries = sum(file.num_entries for file in process.files)
        what = "rows.selection" if process.config.match is None else "rows.selection, and has a match"
        return f"no object of {entries:,} events passes {what}"
    events_read = f"all {events:,} events" if events > 1 else "its one event"
    if not rule.branches:
        return f"{events_read} of {len(process.files)} file(s) are too few for {len(sums)} folds"
    if rule.table is not None:
        return f"{rule.table.path} puts {events_read} elsewhere; give it events of each fold"
    if rule.fold_by:
        return f"the hash of {', '.join(rule.fold_by)} puts {events_read} elsewhere; check that they tell the events"
    event_branch = rule.event_branch
    remedy = "choose another event_branch, or leave it out so that the entry number decides"
    if numbers.smallest == numbers.largest:
        return f"branch '{event_branch}' is {numbers.smallest} in {events_read}; {remedy}"
    return (
        f"none of the numbers {numbers.smallest} to {numbers.largest} of branch '{event_branch}' in {events_read} "
        f"belongs to it (number modulo {len(sums)}); {remedy}"
    )


def _warn_of_findings(process: Process, sums: Sequence[WeightSums], repeated: Repeated, rule: FoldRule) -> None:
    """Log what a training would refuse or be misled by: no positive sum of weights, one number for many events.

    Parameters as for `_check_not_empty`.
    """
    useless = [fold for fold, fold_sums in enumerate(sums) if not fold_sums.sum > 0]
    if useless:
        log.warning(
            "processes.%s: the weights '%s' sum to %s in fold %s; a class without a positive sum cannot be trained",
            process.name,
            process.formulas.weight.text,
            ", ".join(f"{sums[fold].sum:.6g}" for fold in useless),
            ", ".join(map(str, useless)),
        )
    without_weight = sum(one.events_of_weight_zero for one in sums)
    if without_weight and "/" in process.formulas.weight.text:
        log.warning(
            "processes.%s: the weight '%s' is 0 in %s of %s kept events; divisions by zero give 0, as in ROOT; cut "
            "these events away if they are wrong",
            process.name,
            process.formulas.weight.text,
            f"{without_weight:,}",
            f"{sum(one.events_kept for one in sums):,}",
        )
    for variable in sorted({name for one in sums for name in one.undefined}):
        log.warning(
            "processes.%s: variables: '%s' has no finite value in %s of %s kept events%s",
            process.name,
            variable,
            f"{sum(one.undefined[variable] for one in sums):,}",
            f"{sum(one.events_kept for one in sums):,}",
            hint_for_elements(variable) or "; missing: {value: -10} in the training config replaces it",
        )
    _warn_of_repeated(process, sums, repeated, rule)
    events, numbers = _of_all_folds(sums)
    if rule.branches and events >= _EVENTS_PER_NUMBER * numbers.most_different:
        log.warning(
            "processes.%s: %s '%s' has not more than %d different numbers in %s events; those of one number "
            "all go to one fold, so check that it numbers the events",
            process.name,
            rule.key,
            ", ".join(rule.fold_by) or rule.event_branch,
            numbers.most_different,
            f"{events:,}",
        )


def _warn_of_repeated(process: Process, sums: Sequence[WeightSums], repeated: Repeated, rule: FoldRule) -> None:
    """Log how many events come again: a warning where several numbers tell them, as one may begin anew."""
    if repeated.number:
        log.log(
            logging.WARNING if len(rule.fold_by) > 1 else logging.INFO,
            "processes.%s: %s%s of %s selected events have the same %s as an earlier one; they count twice where files "
            "overlap, unless the files number their events alike",
            process.name,
            "about " if repeated.share > 1 else "",
            f"{repeated.number:,}",
            f"{sum(one.events_kept for one in sums):,}",
            ", ".join(rule.fold_by) or rule.event_branch,
        )


def _of_all_folds(sums: Sequence[WeightSums]) -> tuple[int, NumberRange]:
    """Number of events read, and the range of their numbers."""
    numbers = NumberRange()
    for fold_sums in sums:
        numbers.add_range(fold_sums.numbers)
    return sum(fold_sums.events_read for fold_sums in sums), numbers
