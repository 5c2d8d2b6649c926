"""Ntuples into one HDF5 or Parquet table with fixed slots: files in parallel, and a run that was stopped goes on."""

from __future__ import annotations

import logging
import shutil
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.atomic import locked
from ntupleml.cluster import ClusterOptions
from ntupleml.cluster.workers import prepare_workers, started_workers
from ntupleml.config import SlotsConfig
from ntupleml.datasets.slots import Cut, Slots, filled, longest, objects_of, scalar_types, slots_of
from ntupleml.datasets.table_records import (
    FILE_ENTRY,
    ORIGIN,
    ConvertedFile,
    Layout,
    SurveyedFile,
    TableRecord,
    digest,
    group_name,
    read_table_record,
    settings_key,
)
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.expressions import parse
from ntupleml.expressions.syntax import ENTRY
from ntupleml.ntuples import open_ntuple, required_branches, rows_of, with_defined
from ntupleml.ntuples.formats import FORMATS
from ntupleml.ntuples.input_files import expand_inputs, require_no_input
from ntupleml.ntuples.inspection import only_tree
from ntupleml.ntuples.opening import files_kept_open
from ntupleml.ntuples.reading import BYTES_PER_CHUNK
from ntupleml.ntuples.remote import is_remote
from ntupleml.ntuples.table_files import FILE_INDEX, new_table_file, require_table_name
from ntupleml.ntuples.variables import variable_values
from ntupleml.progress import files_progress, progress_bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.cluster.tasks import FinishedTasks
    from ntupleml.config import ConversionConfig
    from ntupleml.ntuples import Ntuple

log = logging.getLogger(__name__)

#: The tree that is taken of several.
_USUAL_TREE = "nominal_Loose"
#: What is taken of a folder.
_ENDINGS = (".root", *(ending for kind in FORMATS for ending in kind.endings))
#: The collection, and its order, that the options of the ttH trainer are about.
_JETS = "jet"
_JET_ORDER = ("jet_tagWeightBin_DL1r_Continuous", "jet_pt")


class Conversion(NamedTuple):
    """What became of all files."""

    #: None where no file holds events.
    record: TableRecord | None
    #: A line for each file that is not in the table.
    failures: list[str]


def conversion_inputs(inputs: Sequence[str], folder: Path | None, output: Path) -> list[str]:
    """Files that the command line names, each once, without the table of an earlier call.

    Raises
    ------
    NtuplemlError
        If there are none, or the output is one that no earlier call has written.
    """
    paths = expand_inputs(inputs)
    if folder is not None:
        if not folder.is_dir():
            raise NtuplemlError(f"{folder}: no such folder")
        paths += [
            str(path) for path in sorted(folder.iterdir()) if path.name.endswith(_ENDINGS) and path.name[0] != "."
        ]
    if read_table_record(output) is None:
        require_no_input(output, paths)
    paths = [path for path in dict.fromkeys(paths) if is_remote(path) or Path(path).absolute() != output.absolute()]
    if not paths:
        raise NtuplemlError(
            f"{folder}: holds no files that end in {', '.join(_ENDINGS)}"
            if folder
            else "name files, or a folder with -d"
        )
    return paths


def with_options(
    config: ConversionConfig,
    *,
    tree_path: str | None = None,
    selections: Sequence[str | None] = (),
    num_events: int | None = None,
    max_jets: int | None = None,
    order_jets: bool = False,
) -> ConversionConfig:
    """A config with what the command line says; all selections have to be passed."""
    change: dict[str, Any] = {}
    if tree_path is not None:
        change["tree_path"] = tree_path
    if num_events is not None:
        change["num_events"] = num_events
    given = [text for text in (config.selection, *selections) if text]
    change["selection"] = " && ".join(f"({text})" for text in given) or None
    jets = config.collections.get(_JETS, SlotsConfig())
    if max_jets is not None:
        jets = jets.model_copy(update={"length": max_jets})
    if order_jets:
        jets = jets.model_copy(update={"sort": list(_JET_ORDER), "ascending": False})
    if max_jets is not None or order_jets:
        change["collections"] = {**config.collections, _JETS: jets}
    return config.model_copy(update=change)


def convert(
    paths: Sequence[str],
    output: str | Path,
    config: ConversionConfig,
    *,
    overwrite: bool = False,
    cluster: ClusterOptions | None = None,
) -> Conversion:
    """Write one table with a row per event of all files.

    A table that the same config made is brought up to date: files that are in it and have not changed are not
    converted again. What a run that was stopped has finished lies in `.{output}.parts` beside the output.

    Parameters
    ----------
    paths : sequence of str
        ROOT, HDF5 or Parquet files.
    output : str or Path
        Its ending says whether it is HDF5 or Parquet.
    overwrite : bool, default: False
        Whether a table that exists is made anew.

    Raises
    ------
    NtuplemlError
        For an output that something else made, and where no file at all could be converted: the reason of the first.
    """
    output, cluster = Path(output), cluster or ClusterOptions()
    require_table_name(output)
    for name in ORIGIN:
        if name in config.variables:
            raise NtuplemlError(f"{config.where}: variables: a column on the origin of rows is called '{name}'; rename")
    prepare_workers(cluster, __name__, "uproot")
    parts = output.with_name(f".{output.name}.parts")
    with locked(parts):  # not the output, which a worker may write
        return _convert(paths, output, parts, config, cluster, overwrite=overwrite)


def _convert(
    paths: Sequence[str],
    output: Path,
    parts: Path,
    config: ConversionConfig,
    cluster: ClusterOptions,
    *,
    overwrite: bool,
) -> Conversion:
    settings = settings_key(config)
    old = None if overwrite else _table_to_update(output, settings)
    if overwrite:
        shutil.rmtree(parts, ignore_errors=True)
    errors: dict[str, str] = {}
    # what this process surveys, it need not open anew
    with files_kept_open(), started_workers(cluster, config.cluster) as finished_tasks:
        surveyed = _survey(paths, config, _known_files(old, parts, settings), finished_tasks, errors)
        if not surveyed:
            log.warning("%s: is not written, since no file holds events", output)
            return Conversion(None, _failures(paths, errors))
        fitting, layout = _common_layout(surveyed, config, errors)
        new = TableRecord(
            settings=settings, layout=layout, objects=None if config.rows is None else config.rows.objects
        )
        kept = [] if old is None or old.layout != layout else [one for one in old.files if one.file in fitting]
        todo = [file for file in fitting if all(file != one.file for one in kept)]
        if old is not None and not todo and kept == old.files:
            log.info("%s: done already: %s rows of %d files", output, f"{old.rows:,}", len(old.files))
            return Conversion(old, _failures(paths, errors))
        at_once = len(todo) == 1 and not kept
        places = [output if at_once else parts / f"{digest(file.path)[:16]}{output.suffix}" for file in todo]
        done = _convert_files(todo, places, new, config, finished_tasks, errors, resume=not at_once)
    record = new.of([*kept, *done.values()])
    if not record.files:
        raise NtuplemlError(next(iter(errors.values())))
    if not at_once:
        _join(output, record, old if kept else None, [*done])
    shutil.rmtree(parts, ignore_errors=True)
    _log_table(output, record)
    return Conversion(record, _failures(paths, errors))


def _table_to_update(output: Path, settings: str) -> TableRecord | None:
    if not output.exists():
        return None
    record = read_table_record(output)
    if record is None or record.settings != settings:
        what = "was not written by this command" if record is None else "was made with other options"
        raise NtuplemlError(f"{output}: exists already and {what}; give --overwrite to replace it, or another name")
    return record


def _known_files(old: TableRecord | None, parts: Path, settings: str) -> dict[str, SurveyedFile]:
    """Files that have been surveyed for a table that exists, or by a run that was stopped."""
    records = [old, *(read_table_record(path) for path in sorted(parts.glob("[!.]*")))]
    same = [record for record in records if record is not None and record.settings == settings]
    return {one.file.path: one.file for record in same for one in record.files}


def _survey(
    paths: Sequence[str],
    config: ConversionConfig,
    known: Mapping[str, SurveyedFile],
    finished_tasks: FinishedTasks,
    errors: dict[str, str],
) -> list[SurveyedFile]:
    found: dict[int, SurveyedFile | None] = {}
    for place, file, error in finished_tasks(survey_file, [(path, config, known.get(path)) for path in paths]):
        if error is None:
            found[place] = file
        else:
            errors[paths[place]] = error
    if not found:
        raise NtuplemlError(errors[paths[0]])
    return [file for _, file in sorted(found.items()) if file is not None]


def survey_file(path: str, config: ConversionConfig, known: SurveyedFile | None) -> SurveyedFile | None:
    """What has to be known of a file before the first one is converted: types, and the longest lists.

    None where the tree has neither events nor branches.
    """
    tree_path = only_tree(path, _USUAL_TREE) if config.tree_path is None else config.tree_path
    with open_ntuple(path, tree_path) as events:
        if events.holds_nothing:
            log.warning("%s: holds no events, and is left out", events.where)
            return None
        if known is not None and (known.uuid, known.size, known.tree_path) == (events.uuid, events.size, tree_path):
            return known
        ntuple = _rows_of_events(events, config)
        scalars = scalar_types(ntuple, config)
        slots = slots_of(config, scalars)
        _branches_of(ntuple, config, slots)  # all are there
        return SurveyedFile(
            path=path,
            tree_path=tree_path,
            uuid=ntuple.uuid,
            size=ntuple.size,
            entries=ntuple.num_entries,
            scalars={name: dtype.str for name, dtype in scalars.items()},
            longest=_longest(ntuple, [one for one in slots if one.length is None], config),
        )


@contextmanager
def _opened_rows(path: str, tree_path: str, config: ConversionConfig) -> Iterator[Ntuple]:
    with open_ntuple(path, tree_path) as events:
        yield _rows_of_events(events, config)


def _rows_of_events(events: Ntuple, config: ConversionConfig) -> Ntuple:
    """Rows, with the branches that the config defines."""
    rows = rows_of(events, config.rows, f"{config.where}: rows", config.match, f"{config.where}: match")
    return with_defined(rows, config.define, f"{config.where}: define")


def _longest(ntuple: Ntuple, slots: Sequence[Slots], config: ConversionConfig) -> dict[str, int]:
    """Most objects of an event by collection."""
    most = {one.name: 0 for one in slots}
    formulas = [formula for one in slots for formula in one._replace(sort=()).formulas]
    if formulas:
        branches = required_branches(formulas, ntuple.branches, ntuple.path)
        for _, columns, entries in _rows(ntuple, branches, config):
            for one in slots:
                most[one.name] = max(most[one.name], longest(one, columns, len(entries), ntuple.path))
    return most


def _common_layout(
    surveyed: Sequence[SurveyedFile], config: ConversionConfig, errors: dict[str, str]
) -> tuple[list[SurveyedFile], Layout]:
    """Files that fit to the first, and the columns of all of them; of the others, the error is noted."""
    fitting = []
    for file in surveyed:
        problem = _difference(surveyed[0], file)
        if problem is None:
            fitting.append(file)
        else:
            errors[file.path] = f"{file.path}: {problem}"
    scalars = {
        name: np.result_type(*(np.dtype(file.scalars[name]) for file in fitting)).str for name in surveyed[0].scalars
    }
    slots = [
        one if one.length is not None else one._replace(length=max(1, *(file.longest[one.name] for file in fitting)))
        for one in slots_of(config, scalars)
    ]
    layout = Layout(scalars=scalars, slots=slots, dtype=config.dtype)
    twice = next((name for name, number in Counter(layout.columns).items() if number > 1), None)
    if twice is not None:
        raise NtuplemlError(f"{config.where}: variables: two columns would be called '{twice}'; rename one")
    return fitting, layout


def _difference(first: SurveyedFile, other: SurveyedFile) -> str | None:
    """Why two files cannot be in one table."""
    for name in {**first.scalars, **other.scalars}:
        here, there = other.scalars.get(name), first.scalars.get(name)
        if here is None or there is None:
            return f"'{name}' is {'a list' if here is None else 'one number'} per event, but not so in {first.path}"
        if np.dtype(here).kind != np.dtype(there).kind:
            return f"'{name}' is of type {np.dtype(here)}, but of {np.dtype(there)} in {first.path}"
    return None


def _convert_files(
    todo: Sequence[SurveyedFile],
    places: Sequence[Path],
    new: TableRecord,
    config: ConversionConfig,
    finished_tasks: FinishedTasks,
    errors: dict[str, str],
    *,
    resume: bool,
) -> dict[Path, ConvertedFile]:
    """Convert files, each to its place, but for those that are there; what was converted, in order."""
    found: dict[Path, ConvertedFile] = {}
    for file, place in zip(todo, places, strict=True):
        there = read_table_record(place) if resume else None
        if there is not None and there.of([]) == new and there.files[0].file == file:
            found[place] = there.files[0]
    left = [(file, place, new, config) for file, place in zip(todo, places, strict=True) if place not in found]
    with files_progress(len(left)) as progress:
        for number, converted, error in finished_tasks(convert_file, left):
            file, place, *_ = left[number]
            if error is None:
                found[place] = converted
                what = "" if config.rows is None else " rows"
                progress.file_done(f"{file.path}: {converted.rows:,}{what} of {file.entries:,} events")
            else:
                errors[file.path] = error
                progress.file_done(f"{file.path}: failed")
    return {place: found[place] for place in places if place in found}


def convert_file(file: SurveyedFile, output: Path, new: TableRecord, config: ConversionConfig) -> ConvertedFile:
    """Write the table of one file."""
    layout = new.layout
    rows, cut = 0, {one.name: Cut() for one in layout.slots}
    with (
        _opened_rows(file.path, file.tree_path, config) as ntuple,
        new_table_file(output, group_name(file.tree_path), layout.types, file.entries, overwrite=True) as table,
        progress_bar(ntuple.num_entries) as advance,
    ):
        branches = _branches_of(ntuple, config, layout.slots)
        for events, columns, entries in _rows(ntuple, branches, config):
            scalars = _scalars(columns, len(entries), layout, config, file.path)
            objects = [objects_of(one, columns, len(entries), file.path, layout.dtype) for one in layout.slots]
            for some in _pieces(_passed(columns, len(entries), config, file.path), layout):
                written = {name: values[some] for name, values in scalars.items()}
                for slots, of_rows in zip(layout.slots, objects, strict=True):
                    padding = config.collections.get(slots.name, SlotsConfig()).padding
                    found, beyond = filled(slots, of_rows, some, padding)
                    written |= found
                    cut[slots.name] = cut[slots.name].plus(beyond)
                table.extend({**written, FILE_INDEX: np.zeros(len(some), np.int32), FILE_ENTRY: entries[some]})
                rows += len(some)
            advance(file.path, events)
        converted = ConvertedFile(file=file, rows=rows, cut=cut)
        table.finish(new.of([converted]).model_dump_json())
    return converted


def _branches_of(ntuple: Ntuple, config: ConversionConfig, slots: Sequence[Slots]) -> list[str]:
    """All branches that are read."""
    formulas = [*config.variables.values(), *(formula for one in slots for formula in one.formulas)]
    branches = required_branches(formulas, ntuple.branches, ntuple.path)
    if config.selection:
        selection = parse(config.selection, f"{ntuple.path}: selection")
        selection.check_branches([*ntuple.branches, ENTRY])
        branches += sorted(selection.columns)
    ntuple.require(branches, ntuple.path)
    return list(dict.fromkeys(branches))


def _rows(
    ntuple: Ntuple, branches: Sequence[str], config: ConversionConfig
) -> Iterator[tuple[int, dict[str, Any], NDArray[np.int64]]]:
    """Number of events, columns, and the entry of each row, of chunks."""
    number = min(ntuple.num_entries, config.num_events or ntuple.num_entries)
    if number:
        for chunk in ntuple.chunks(branches, number if number < ntuple.chunk_size(branches) else None):
            entries = chunk.entries[chunk.entries < number]
            yield chunk.stop - chunk.start, {name: one[: len(entries)] for name, one in chunk.columns.items()}, entries
            if chunk.stop >= number:
                return


def _pieces(rows: NDArray[np.intp], layout: Layout) -> list[NDArray[np.intp]]:
    """Rows in parts whose table stays within the memory as well."""
    row = sum(dtype.itemsize for dtype in layout.types.values())
    return np.array_split(rows, range(0, len(rows), max(BYTES_PER_CHUNK // (4 * row), 1))[1:])


def _passed(columns: Mapping[str, Any], number: int, config: ConversionConfig, path: str) -> np.ndarray[Any, Any]:
    """Positions of the events that pass the selection."""
    if not config.selection:
        return np.arange(number)
    return np.flatnonzero(parse(config.selection, f"{path}: selection").passes(columns, number))


def _scalars(
    columns: Mapping[str, Any], number: int, layout: Layout, config: ConversionConfig, path: str
) -> dict[str, Any]:
    """Columns of the variables with one value per row."""
    return {
        name: variable_values(config.variables[name], columns, number, path).astype(dtype, copy=False)
        for name, dtype in layout.scalars.items()
    }


def _join(output: Path, record: TableRecord, old: TableRecord | None, parts: Sequence[Path]) -> None:
    """Put what is kept of the table that exists, and the new parts, into one table."""
    index = {one.file.path: place for place, one in enumerate(record.files)}
    kept = len(record.files) - len(parts)
    with new_table_file(output, record.group, record.layout.types, record.rows, overwrite=True) as table:
        if old is not None:
            still = {one.file.path for one in record.files[:kept]}
            new_index = [index[one.file.path] if one.file.path in still else -1 for one in old.files]
            _copy(output, old.group, new_index, record, table)
        for place, part in enumerate(parts, start=kept):
            _copy(part, group_name(record.files[place].file.tree_path), [place], record, table)
        table.finish(record.model_dump_json())


def _copy(source: Path, group: str, new_index: Sequence[int], record: TableRecord, table: Any) -> None:
    """Append the rows of a table; files whose new index is negative are left out."""
    numbers = np.array(new_index, np.int32)
    with open_ntuple(source, group) as ntuple:
        for chunk in ntuple.chunks(list(record.layout.types)):
            columns = {**chunk.columns, FILE_INDEX: numbers[chunk.columns[FILE_INDEX]]}
            rows = columns[FILE_INDEX] >= 0
            table.extend(columns if rows.all() else {name: column[rows] for name, column in columns.items()})


def _log_table(output: Path, record: TableRecord) -> None:
    columns = len(record.layout.types)
    log.info("wrote %s: %s rows of %d files, %d columns", output, f"{record.rows:,}", len(record.files), columns)
    for slots in record.layout.slots:
        objects = sum(one.cut[slots.name].objects for one in record.files)
        events = sum(one.cut[slots.name].events for one in record.files)
        if objects:
            log.info(
                "%s: %d slots are too few in %s events; %s objects are left out",
                slots.name,
                slots.length,
                f"{events:,}",
                f"{objects:,}",
            )


def _failures(paths: Sequence[str], errors: Mapping[str, str]) -> list[str]:
    """A line for each file that failed, which is logged."""
    lines = [
        one_line(errors[path] if path in errors[path] else f"{path}: {errors[path]}", 2000)
        for path in paths
        if path in errors
    ]
    for line in lines:
        log.error("%s", line)
    return lines
