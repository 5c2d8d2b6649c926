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
from ntupleml.atomic import replace_file
from ntupleml.datasets.copying import WrittenFold, branch_types, copy_events, finish, new_fold_files
from ntupleml.datasets.findings import check_not_empty, warn_of_findings
from ntupleml.datasets.inputs import survey
from ntupleml.datasets.parts import fill_with_workers
from ntupleml.datasets.records import (
    DatasetSummary,
    FoldRecord,
    InputFileRecord,
    ProcessRecord,
    WeightSums,
    record_path,
)
from ntupleml.errors import NtuplemlError
from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.cluster import ClusterOptions
    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import Process
    from ntupleml.ntuples import Tree

log = logging.getLogger(__name__)


def create_training_dataset(
    config: DatasetConfig, overwrite: bool = False, *, where: str = "", cluster: ClusterOptions | None = None
) -> DatasetSummary:
    """Build the fold files of a dataset config.

    Fold k is written to `output_path/fold{k}_{output_filename}`, with a tree per class, and its record to the
    `.json` file beside it. All files are complete before the first is put in its place.

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
    outputs = [Path(config.output_path) / f"fold{fold}_{config.output_filename}" for fold in range(config.num_folds)]
    with ExitStack() as stack:
        # Entered first means renamed last: when a fold file is new, its record never describes an older one for long.
        record_places = [stack.enter_context(replace_file(record_path(path), overwrite=overwrite)) for path in outputs]
        places = [stack.enter_context(replace_file(path, overwrite=overwrite)) for path in outputs]
        with _named(where):
            processes = survey(config)
            _refuse_input_as_output(processes, outputs)
            if cluster is None or cluster.is_this_process:
                folds, sums = _fill(config, processes, places, outputs)
            else:
                folds, sums = fill_with_workers(config, processes, places, outputs, cluster)
            for process in processes:
                check_not_empty(process, sums[process.name], config.event_branch)
                warn_of_findings(process, sums[process.name], config.event_branch)
        records = _records(config, processes, sums, folds)
        for place, record in zip(record_places, records, strict=True):
            place.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for path in outputs:
        log.info("wrote %s (%.1f MB)", path, path.stat().st_size / 1e6)
    return DatasetSummary(tuple(outputs), tuple(records))


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
) -> tuple[list[WrittenFold], dict[str, list[WeightSums]]]:
    """Copy the selected events of all processes; what was written, and per process and fold what was read and kept."""
    sums: dict[str, list[WeightSums]] = {}
    trees: dict[str, list[Tree]] = {}
    total = sum(file.num_entries for process in processes for file in process.files)
    with new_fold_files(config, places, outputs) as files, progress_bar(total) as advance:
        for process in processes:
            if process.class_name not in trees:
                types = branch_types(config, process)
                trees[process.class_name] = [file.tree(process.class_name, types) for file in files]
            sums[process.name] = [WeightSums() for _ in files]
            for input_file in process.files:
                of_file = copy_events(config, process, input_file, trees[process.class_name], advance)
                for total_sums, file_sums in zip(sums[process.name], of_file, strict=True):
                    total_sums.add_sums(file_sums)
            for tree in trees[process.class_name]:
                tree.flush()
            check_not_empty(process, sums[process.name], config.event_branch)
        return [finish(file) for file in files], sums


def _records(
    config: DatasetConfig,
    processes: Sequence[Process],
    sums: dict[str, list[WeightSums]],
    folds: Sequence[WrittenFold],
) -> list[FoldRecord]:
    dataset = str(uuid.uuid4())
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    decided_by = "entry number in each input file" if config.event_branch is None else f"branch '{config.event_branch}'"
    return [
        FoldRecord(
            dataset=dataset,
            file=written.name,
            uuid=written.uuid,
            fold=fold,
            num_folds=config.num_folds,
            event_branch=config.event_branch,
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
        cut_string=process.cut.text,
        weight_string=process.weight.text,
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
    }
