"""Building fold files: one pass over each input file, all folds at once, complete or not at all."""

from __future__ import annotations

import datetime
import logging
import platform
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ntupleml import __version__
from ntupleml.atomic import replace_file
from ntupleml.datasets.inputs import survey
from ntupleml.datasets.records import (
    DatasetSummary,
    FoldRecord,
    InputFileRecord,
    ProcessRecord,
    WeightSums,
    record_path,
)
from ntupleml.datasets.selection import select
from ntupleml.errors import NtuplemlError
from ntupleml.ntuples import TreeFile, open_ntuple
from ntupleml.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import DatasetConfig
    from ntupleml.datasets.inputs import InputFile, Process
    from ntupleml.ntuples import Chunk, Tree

log = logging.getLogger(__name__)

#: What all trees that are being written may gather together, in bytes.
_GATHERED_BYTES = 128_000_000


def create_training_dataset(config: DatasetConfig, overwrite: bool = False, *, where: str = "") -> DatasetSummary:
    """Build the fold files of a dataset config.

    Fold k is written to `output_path/fold{k}_{output_filename}`, with a tree per class, and its record to the
    `.json` file beside it. All files are complete before the first is put in its place.

    Parameters
    ----------
    config : DatasetConfig
    overwrite : bool, default: False
        Whether existing fold files may be replaced.
    where : str, optional
        Path of the config, for messages on what it names.

    Returns
    -------
    DatasetSummary

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
        cluster_bytes = min(16_000_000, _GATHERED_BYTES // config.num_folds)
        files = [TreeFile(place, path, cluster_bytes) for place, path in zip(places, outputs, strict=True)]
        for file in files:
            stack.callback(file.close)
        with _named(where):
            sums = _fill(config, processes, files)
        for file in files:
            file.finish()
        records = _records(config, processes, sums, files)
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
    config: DatasetConfig, processes: Sequence[Process], files: Sequence[TreeFile]
) -> dict[str, list[WeightSums]]:
    """Copy the selected events of all processes; per process and fold, what was read and kept."""
    sums: dict[str, list[WeightSums]] = {}
    trees: dict[str, list[Tree]] = {}
    total = sum(file.num_entries for process in processes for file in process.files)
    with progress_bar(total) as advance:
        for process in processes:
            if process.class_name not in trees:
                types = {name: branch.type for name, branch in process.files[0].copied.items()}
                types[config.training_weight_branch] = np.dtype(np.float32)
                trees[process.class_name] = [file.tree(process.class_name, types) for file in files]
            sums[process.name] = [WeightSums() for _ in files]
            for file in process.files:
                _copy(config, process, file, trees[process.class_name], sums[process.name], advance)
            for tree in trees[process.class_name]:
                tree.flush()
            _check_not_empty(process, sums[process.name])
    return sums


def _copy(
    config: DatasetConfig,
    process: Process,
    file: InputFile,
    trees: Sequence[Tree],
    sums: Sequence[WeightSums],
    advance: Callable[[str, int], None],
) -> None:
    """Copy the selected events of one file into the trees of the folds."""
    needed = {*process.cut.branches, *process.weight.branches, *file.event_copies}
    if config.event_branch is not None:
        needed.add(config.event_branch)
    names = [*needed, *(branch.source for branch in file.copied.values())]
    bad_weights = _BadWeights()
    with open_ntuple(file.path, file.tree_path, file.friends, f"processes.{process.name}") as ntuple:
        for chunk in ntuple.chunks(names):
            selected = select(chunk, process, file, config.event_branch, config.num_folds)
            for tree, fold_sums, (events_read, rows, weights) in zip(trees, sums, selected, strict=True):
                bad_weights.look(chunk, rows, weights)
                fold_sums.add(events_read, weights)
                columns = {name: _rows_of(chunk, branch.source, rows) for name, branch in file.copied.items()}
                tree.extend({**columns, config.training_weight_branch: weights})
            advance(f"process {process.name}", chunk.stop - chunk.start)
    if bad_weights.number:
        raise NtuplemlError(
            f"processes.{process.name}.weight_string: '{process.weight.text}' is NaN or infinite for "
            f"{bad_weights.number} of the selected events of {file.path}, first at entry {bad_weights.first_entry}; "
            "change the weight or cut these events away"
        )
    log.debug("read %s", file.path)


def _rows_of(chunk: Chunk, name: str, rows: NDArray[np.intp]) -> NDArray[np.generic]:
    column = chunk.columns[name]
    taken: NDArray[np.generic] = column.take(rows) if isinstance(column, np.ndarray) else column[rows]
    return taken


@dataclass
class _BadWeights:
    """Selected events of a file whose weight is not a finite number."""

    number: int = 0
    first_entry: int | None = None

    def look(self, chunk: Chunk, rows: NDArray[np.intp], weights: NDArray[np.float32]) -> None:
        bad = np.flatnonzero(~np.isfinite(weights))
        if len(bad):
            entry = chunk.start + int(rows[bad[0]])
            self.first_entry = entry if self.first_entry is None else min(entry, self.first_entry)
            self.number += len(bad)


def _check_not_empty(process: Process, sums: Sequence[WeightSums]) -> None:
    for fold, fold_sums in enumerate(sums):
        if fold_sums.events_kept == 0:
            raise NtuplemlError(
                f"processes.{process.name}: no event is left in fold {fold}: {fold_sums.events_read} read from "
                f"{len(process.files)} file(s), none passes the cut '{process.cut.text}'"
            )


def _records(
    config: DatasetConfig,
    processes: Sequence[Process],
    sums: dict[str, list[WeightSums]],
    files: Sequence[TreeFile],
) -> list[FoldRecord]:
    dataset = str(uuid.uuid4())
    created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    decided_by = "entry number in each input file" if config.event_branch is None else f"branch '{config.event_branch}'"
    return [
        FoldRecord(
            dataset=dataset,
            file=file.final_path.name,
            uuid=file.uuid,
            fold=fold,
            num_folds=config.num_folds,
            event_branch=config.event_branch,
            decided_by=decided_by,
            training_weight_branch=config.training_weight_branch,
            branches={
                name: {branch: str(kind) for branch, kind in tree.branch_types.items()}
                for name, tree in file.trees.items()
            },
            processes={process.name: _process_record(process, sums[process.name][fold]) for process in processes},
            config=config.model_dump(mode="json", by_alias=True),
            created=created,
            versions=_versions(),
        )
        for fold, file in enumerate(files)
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
