"""What the trainings of all engines share: the fold files' division, the record and the log."""

from __future__ import annotations

import datetime
import logging
import os
import platform
import sys
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import DatasetRecord, TrainingRecord
from ntupleml.atomic import note_written
from ntupleml.config.rows import RowsConfig
from ntupleml.datasets.records import read_fold_record
from ntupleml.errors import NtuplemlError
from ntupleml.expressions import ROOT_VERSION
from ntupleml.folds import FoldRule, held_out_fold, record_of_table, trained_on
from ntupleml.training.data import condition_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.artifacts import ClassContent
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree, FoldFile

log = logging.getLogger(__name__)

#: Keys of the training config that say nothing of a model.
NOT_OF_THE_MODEL = {"tune", "cluster", "tracking", "define", "category"}
#: Distributions whose versions the record keeps.
_LIBRARIES = (
    "keras",
    "tensorflow-cpu",
    "tensorflow",
    "xgboost-cpu",
    "xgboost",
    "lightgbm",
    "numpy",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "uproot",
)


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a training depends on, of those that are installed."""
    versions = {"python": platform.python_version(), "TTreeFormula": ROOT_VERSION}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


class FoldDivision(NamedTuple):
    """What the records of fold files say of them."""

    #: Whether all have records; htt-ml's have none.
    recorded: bool
    #: What decides the fold.
    fold_rule: FoldRule
    #: What their rows are where these are no events.
    rows: RowsConfig | None


def fold_division(trees: Sequence[ClassTree], num_folds: int) -> FoldDivision:
    """What the records of the fold files say of them."""
    files = {tree.file: tree.uuid for tree in trees}
    records = {file: record for file, uuid in files.items() if (record := read_fold_record(file.path, uuid))}
    datasets: dict[str | None, str] = {}
    for file, record in records.items():
        if (record.fold, record.num_folds) != (file.fold, num_folds):
            raise NtuplemlError(
                f"datasets: {file.path} stands at position {file.fold} of {num_folds}, but it is fold {record.fold} of "
                f"{record.num_folds}; list the fold files in order"
            )
        if datasets.setdefault(file.condition, record.dataset) != record.dataset:
            raise NtuplemlError(
                f"datasets: {file.path} and the fold files before it were not made together, so an event may be in "
                "several of them; build the dataset anew"
            )
    rules = {record.fold_rule for record in records.values()}
    if len(rules) > 1:
        differing = ", ".join(sorted(rule.what for rule in rules))
        raise NtuplemlError(f"datasets: the folds of the fold files were made differently, by {differing}")
    rows = [record.config.get("rows") for record in records.values()]
    if any(one != rows[0] for one in rows):
        raise NtuplemlError("datasets: the rows of the fold files are of different collections; build the dataset anew")
    return FoldDivision(
        len(records) == len(files),
        rules.pop() if rules else FoldRule(),
        RowsConfig.model_validate(rows[0]) if rows and rows[0] else None,
    )


def refuse_recorded_data(trees: Sequence[ClassTree]) -> None:
    """Refuse classes that are recorded data by the records of the fold files: nobody knows what these are."""
    for tree in trees:
        record = read_fold_record(tree.file.path, tree.uuid)
        for name, process in ({} if record is None else record.processes).items():
            if process.data and process.class_name == tree.name:
                raise NtuplemlError(
                    f"classes: '{tree.name}' is recorded data (process '{name}' of {tree.file.path}), which is never "
                    "trained on; leave it out, testing shows it beside the classes"
                )


def check_output_folder(output_path: str) -> None:
    """Refuse before the work a folder that cannot be written to after it."""
    folder = Path(output_path)
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise NtuplemlError(f"output_path: {parent}: cannot be written to; choose another folder")


def log_training(fold: int, num_folds: int, name: str = "model", member: int | None = None) -> None:
    """Log which model is trained on which folds; for a member of an ensemble also its seed."""
    log.info(
        "training %s %d%s on fold%s %s",
        name,
        fold,
        "" if member is None else f" with seed {member}",
        "s" if num_folds > 2 else "",
        ", ".join(map(str, sorted(trained_on(fold, num_folds)))),
    )


def log_contents(trees: Sequence[ClassTree], contents: Sequence[ClassContent]) -> None:
    """Say what the fold files hold of each class."""
    for tree, content in zip(trees, contents, strict=True):
        log.info(
            "%s: %s events, sum of weights %.6g ± %.2g, %.2f %% with negative weight",
            tree.where,
            content.entries if tree.num_stored == tree.num_entries else f"{content.entries} of {tree.num_stored}",
            content.sum_of_weights,
            content.uncertainty,
            100 * content.negative_share,
        )


def dataset_records(trees: Sequence[ClassTree], contents: Sequence[ClassContent]) -> list[DatasetRecord]:
    """Fold files that a model is trained on, with the content of their class trees, in the order of `trees`."""
    by_file: dict[FoldFile, DatasetRecord] = {}
    for tree, content in zip(trees, contents, strict=True):
        record = by_file.setdefault(
            tree.file,
            DatasetRecord(
                path=tree.file.path,
                uuid=tree.uuid,
                size=tree.size,
                fold=tree.file.fold,
                condition=tree.file.condition,
                classes={},
            ),
        )
        record.classes[tree.name] = content.model_copy(update={"left_out": tree.num_stored - tree.num_entries})
    return list(by_file.values())


def training_record(
    config: TrainingConfig, fold: int, trees: Sequence[ClassTree], contents: Sequence[ClassContent], **rest: Any
) -> TrainingRecord:
    """Record of a training that has just ended.

    Parameters
    ----------
    trees : sequence of ClassTree
        What it was trained on.
    contents : sequence of ClassContent
        Content of each tree.
    **rest
        The fields of the record that depend on the engine: `preprocessing`, `network`, `split`, `history`, …; its
        `versions` are added to those of the libraries.
    """
    division = fold_division(trees, config.num_folds)
    return TrainingRecord(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        fold=fold,
        num_folds=config.num_folds,
        trained_on=sorted(trained_on(fold, config.num_folds)),
        held_out_fold=held_out_fold(fold, config.num_folds),
        event_branch=division.fold_rule.event_branch,
        fold_by=list(division.fold_rule.fold_by),
        fold_file=record_of_table(division.fold_rule),
        folds_recorded=division.recorded,
        classes=list(config.classes),
        variables=[name for group in config.groups.values() for name in group.formulas],
        inputs=config.inputs,
        matrix=bool(config.inputs and config.variables),
        rows=division.rows,
        conditions=condition_names(trees),
        missing=None if config.missing is None else config.missing.value,
        seed=config.seed,
        config=config.model_dump(mode="json", by_alias=True, exclude=NOT_OF_THE_MODEL),
        versions={**library_versions(), **rest.pop("versions", {})},
        datasets=dataset_records(trees, contents),
        reweighted=[one.as_record() for one in dict.fromkeys(tree.reweighted for tree in trees) if one is not None],
        **rest,
    )


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts; the training goes on."""

    failure: OSError | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging calls it so
        """Keep the first failure of the disk, which logging itself would show with a traceback."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.failure = self.failure or error
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close it, also where what is left cannot be written."""
        try:
            super().close()
        except OSError as error:
            self.failure = self.failure or error


@contextmanager
def log_file(path: Path, *, append: bool = False) -> Iterator[None]:
    """Write the package's log lines to a file as well; a warning says if not all could be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _LogFile(path, mode="a" if append else "w", encoding="utf-8")
    note_written(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("ntupleml")
    level = logger.level
    logger.setLevel(min(logger.getEffectiveLevel(), logging.INFO))
    logger.addHandler(handler)
    try:
        yield
    except Exception as error:
        # Only into the file: on the terminal the script reports it.
        handler.handle(logger.makeRecord(logger.name, logging.ERROR, __file__, 0, "%s", (error,), None))
        raise
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
        if handler.failure is not None:
            log.warning("%s: is not complete: %s", path, (handler.failure.strerror or str(handler.failure)).lower())
