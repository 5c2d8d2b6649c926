"""Building fold files with workers: a part of each fold from every input file, then the parts in order."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.atomic import hidden_folder
from ntupleml.cluster.workers import prepare_workers, started_workers
from ntupleml.datasets.copying import WrittenFold, branch_types, copy_events, finish, new_fold_files
from ntupleml.datasets.records import WeightSums
from ntupleml.datasets.repeated_events import Repeated, RepeatedEvents
from ntupleml.datasets.sampling import with_chosen_rows
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import open_ntuple
from ntupleml.progress import files_progress

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ntupleml.cluster.options import ClusterOptions
    from ntupleml.cluster.tasks import FinishedTasks
    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import Process


class Counts(NamedTuple):
    """What was counted of the events of each process."""

    #: What was read and kept, for each fold.
    sums: dict[str, list[WeightSums]]
    #: Selected events that come again.
    repeated: dict[str, Repeated]


class _Part(NamedTuple):
    """A process with one of its files, and where the part of each fold goes."""

    process: Process
    places: list[Path]


class _ClassParts(NamedTuple):
    """Tree of a class in one fold: the types of its branches, and the files with its parts in order."""

    types: dict[str, Any]
    paths: list[Path]


def fill_with_workers(
    config: DatasetConfig,
    processes: Sequence[Process],
    places: Sequence[Path],
    outputs: Sequence[Path],
    cluster: ClusterOptions,
) -> tuple[list[WrittenFold], Counts]:
    """Write the fold files with workers: the same events in the same order as without.

    The parts lie in a folder beside the fold files, which goes away at the end.

    Parameters
    ----------
    processes : sequence of Process
        Those of one class next to each other.
    places : sequence of Path
        Where the folds are written.
    outputs : sequence of Path
        Where they will be.
    """
    prepare_workers(cluster, __name__, "uproot")
    with (
        hidden_folder(outputs[0].parent, ".parts.") as folder,
        started_workers(cluster, config.cluster) as finished_tasks,
    ):
        processes = with_chosen_rows(config, processes, finished_tasks)
        parts: list[_Part] = []
        for process in processes:
            for file in process.files:
                paths = [folder / f"fold{fold}_part{len(parts)}.root" for fold in range(len(places))]
                parts.append(_Part(replace(process, files=(file,)), paths))
        counts = _write_parts(finished_tasks, config, parts)
        tasks = [
            (config, place, path, _parts_of_fold(config, parts, fold))
            for fold, (place, path) in enumerate(zip(places, outputs, strict=True))
        ]
        folds: list[WrittenFold | None] = [None] * len(tasks)
        for number, written, error in finished_tasks(join_parts, tasks):
            folds[number] = _checked(written, error)
        return [fold for fold in folds if fold is not None], counts


def _write_parts(finished_tasks: FinishedTasks, config: DatasetConfig, parts: Sequence[_Part]) -> Counts:
    """Let workers write the parts; the sums of each process are added in the order of the files."""
    tasks = [(config, part.process, part.places) for part in parts]
    found: list[list[WeightSums]] = [[] for _ in parts]
    missing = Counter(part.process.name for part in parts)
    events: dict[str, RepeatedEvents] = {}
    repeated: dict[str, Repeated] = {}
    with files_progress(len(parts)) as progress:
        for number, written, error in finished_tasks(write_part, tasks):
            found[number], of_file = _checked(written, error)
            name, file = parts[number].process.name, parts[number].process.files[0]
            events.setdefault(name, RepeatedEvents()).add_others(of_file)
            missing[name] -= 1
            if not missing[name]:
                repeated[name] = events.pop(name).count()
            progress.add_events(file.num_entries)
            progress.file_done(f"{file.path}: {file.num_entries:,} events read")
    totals = {part.process.name: [WeightSums() for _ in part.places] for part in parts}
    for part, sums in zip(parts, found, strict=True):
        for total, of_fold in zip(totals[part.process.name], sums, strict=True):
            total.add_sums(of_fold)
    return Counts(totals, repeated)


def _checked(result: Any, error: str | None) -> Any:
    if error is not None:
        raise NtuplemlError(error)
    return result


def _parts_of_fold(config: DatasetConfig, parts: Sequence[_Part], fold: int) -> dict[str, _ClassParts]:
    classes: dict[str, _ClassParts] = {}
    for part in parts:
        types = branch_types(config, part.process)
        classes.setdefault(part.process.class_name, _ClassParts(types, [])).paths.append(part.places[fold])
    return classes


def write_part(
    config: DatasetConfig, process: Process, places: Sequence[Path]
) -> tuple[list[WeightSums], RepeatedEvents]:
    """Write the part of each fold from one input file, on a worker.

    Parameters
    ----------
    process : Process
        With that file alone.
    places : sequence of Path
        Files to write, one for each fold. What a worker that was lost left there is written anew.
    """
    events = RepeatedEvents()
    with new_fold_files(config, places, places) as files:
        trees = [file.tree(process.class_name, branch_types(config, process)) for file in files]
        sums = copy_events(config, process, process.files[0], trees, events, lambda _process, _number: None)
        for file in files:
            file.finish()
        return sums, events


def join_parts(config: DatasetConfig, place: Path, final_path: Path, classes: dict[str, _ClassParts]) -> WrittenFold:
    """Write one fold file from its parts, on a worker."""
    with new_fold_files(config, [place], [final_path]) as (file,):
        for class_name, (types, paths) in classes.items():
            tree = file.tree(class_name, types)
            for path in paths:
                with open_ntuple(path, class_name) as part:
                    for chunk in part.chunks(list(types)):
                        tree.extend(chunk.columns)
            tree.flush()
        return finish(file)
