"""Training Keras networks on fold files: from a config to the files of each fold's model."""

from __future__ import annotations

import datetime
import logging
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import DatasetRecord, SplitSizes, TrainingRecord, model_files
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.datasets.records import read_fold_record
from ntupleml.errors import NtuplemlError
from ntupleml.folds import held_out_fold, trained_on
from ntupleml.models import build_model, network_of
from ntupleml.tensorflow_import import import_tensorflow
from ntupleml.training.checkpoint import Progress, checkpoint_path, load_checkpoint, training_identity
from ntupleml.training.data import MemoryData, condition_names
from ntupleml.training.outputs import library_versions, write_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree, FoldFile
    from ntupleml.models import Network
    from ntupleml.training.data import TrainingData

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the command line.

    Attributes
    ----------
    conditional : bool
        Train on all conditions (eras), each shown to the network as a one-hot input. Batches are balanced then.
    randomization : bool
        Draw the condition at random for the classes that `randomize_classes` of the config names.
    balance_batches : bool
        Let all classes (and conditions) weigh the same in each batch.
    overwrite : bool
        Replace the files of an earlier training.
    continue_training : bool
        Go on from the checkpoint of a finished or interrupted training.
    """

    conditional: bool = False
    randomization: bool = False
    balance_batches: bool = False
    overwrite: bool = False
    continue_training: bool = False

    @property
    def balanced(self) -> bool:
        """Whether batches are balanced, as they always are with conditions."""
        return self.balance_batches or self.conditional


def train_keras(
    config: TrainingConfig, folds: Sequence[int], options: TrainingOptions | None = None, where: str = "training config"
) -> list[TrainingRecord]:
    """Train the network of each fold and write its files to the config's `output_path`.

    Parameters
    ----------
    config : TrainingConfig
    folds : sequence of int
        Models to train; model f is trained on all folds but (f + 1) mod k.
    options : TrainingOptions, optional
    where : str
        Path of the config, for messages.

    Returns
    -------
    list of TrainingRecord
        In the order of the folds.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config or fold files, before anything is trained; and if outputs exist and are
        neither to be overwritten nor continued.
    """
    options = options or TrainingOptions()
    if options.overwrite and options.continue_training:
        raise NtuplemlError("--overwrite and --continue exclude each other: train anew, or go on")
    if options.randomization and not options.conditional:
        raise NtuplemlError("--randomization draws conditions at random; it needs --conditional")
    network = network_of(config.model, f"{where}: model")
    for fold in folds:
        _check_outputs(config.output_path, fold, options)
    prepared = {fold: fold_files(config, fold, options.conditional) for fold in folds}
    trees = {fold: class_trees(config, files) for fold, files in prepared.items()}
    for fold in folds:
        _division(trees[fold], config.num_folds)
    return [_train_fold(config, fold, network, trees[fold], options) for fold in folds]


def _check_outputs(output_path: str, fold: int, options: TrainingOptions) -> None:
    """Refuse before the work what would fail after it."""
    files = model_files(output_path, fold)
    checkpoint = checkpoint_path(output_path, fold)
    existing = [path for path in (*files[:-1], checkpoint) if path is not None and path.exists()]
    if options.continue_training and existing and not checkpoint.exists():
        raise NtuplemlError(f"--continue: {checkpoint}: no such file; train anew with --overwrite")
    if existing and not (options.overwrite or options.continue_training):
        raise NtuplemlError(
            f"{existing[0]}: exists already; give --overwrite to train anew, or --continue to go on with that training"
        )
    folder = Path(output_path)
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise NtuplemlError(f"output_path: {parent}: cannot be written to; choose another folder")


def _train_fold(
    config: TrainingConfig, fold: int, network: Network, trees: Sequence[ClassTree], options: TrainingOptions
) -> TrainingRecord:
    with _log_file(model_files(config.output_path, fold).log, append=options.continue_training):
        return _train_logged(config, fold, network, trees, options)


def _train_logged(
    config: TrainingConfig, fold: int, network: Network, trees: Sequence[ClassTree], options: TrainingOptions
) -> TrainingRecord:
    log.info(
        "training model %d on fold%s %s",
        fold,
        "s" if config.num_folds > 2 else "",
        ", ".join(map(str, sorted(trained_on(fold, config.num_folds)))),
    )
    import_tensorflow()
    from ntupleml.training.epochs import train_epochs

    data = _load(config, fold, trees, options)
    _log_contents(trees, data)
    names = condition_names(trees)
    model = build_model(network, len(config.variables) + len(names), len(config.classes), config.seed)
    identity = _identity(config, trees, options)
    checkpoint = checkpoint_path(config.output_path, fold)
    progress = Progress()
    if options.continue_training and checkpoint.exists():
        model.optimizer.build(model.trainable_variables)
        progress = load_checkpoint(checkpoint, model, identity)
        log.info("going on after epoch %d of %d", progress.epoch, config.model.epochs)
    elif options.continue_training:
        log.info("no checkpoint yet, so the training begins with epoch 1")
    if options.overwrite:
        checkpoint.unlink(missing_ok=True)
    train_epochs(model, data, config.model, progress, checkpoint, identity)
    record = _record(config, fold, network, trees, data, progress)
    return write_outputs(model, data.scaler, record, data.check_rows, config.output_path, config.plot)


def _load(config: TrainingConfig, fold: int, trees: Sequence[ClassTree], options: TrainingOptions) -> TrainingData:
    if config.stream:
        from ntupleml.training.streaming import StreamedData

        return StreamedData(config, trees, fold, balanced=options.balanced, randomized=options.randomization)
    return MemoryData(config, trees, fold, balanced=options.balanced, randomized=options.randomization)


def _log_contents(trees: Sequence[ClassTree], data: TrainingData) -> None:
    for tree, content in zip(trees, data.contents, strict=True):
        log.info(
            "%s: %d events, sum of weights %.6g ± %.2g, %.2f %% with negative weight",
            tree.where,
            content.entries,
            content.sum_of_weights,
            content.uncertainty,
            100 * content.negative_share,
        )
    log.info(
        "%d events train and %d validate, in batches of %d", data.num_training, data.num_validation, data.batching.size
    )


def _identity(config: TrainingConfig, trees: Sequence[ClassTree], options: TrainingOptions) -> dict[str, Any]:
    files = {tree.file: tree for tree in trees}
    datasets = [{"uuid": tree.uuid, "fold": file.fold, "condition": file.condition} for file, tree in files.items()]
    flags = {
        "--conditional": options.conditional,
        "--randomization": options.randomization,
        "--balance-batches": options.balanced,
    }
    other_methods = {"boosted_trees", "tmva"}
    return training_identity(config.model_dump(mode="json", exclude=other_methods), datasets, flags)


def _record(
    config: TrainingConfig,
    fold: int,
    network: Network,
    trees: Sequence[ClassTree],
    data: TrainingData,
    progress: Progress,
) -> TrainingRecord:
    settings = config.model
    folds_recorded, event_branch = _division(trees, config.num_folds)
    keeps_best = settings.save_best_only or settings.early_stopping is not None
    return TrainingRecord(
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        fold=fold,
        num_folds=config.num_folds,
        trained_on=sorted(trained_on(fold, config.num_folds)),
        held_out_fold=held_out_fold(fold, config.num_folds),
        event_branch=event_branch,
        folds_recorded=folds_recorded,
        classes=list(config.classes),
        variables=list(config.variables),
        conditions=condition_names(trees),
        preprocessing=config.preprocessing,
        preprocessing_events=data.preprocessing_events,
        missing=None if config.missing is None else config.missing.value,
        seed=config.seed,
        config=config.model_dump(mode="json", by_alias=True),
        network={**asdict(network), "hidden": list(network.hidden)},
        versions=library_versions(),
        datasets=_dataset_records(trees, data),
        split=SplitSizes(training=data.num_training, validation=data.num_validation),
        history=progress.history,
        epochs=progress.epoch,
        best_epoch=progress.schedule.best_epoch if keeps_best else None,
    )


def _dataset_records(trees: Sequence[ClassTree], data: TrainingData) -> list[DatasetRecord]:
    by_file: dict[FoldFile, DatasetRecord] = {}
    for tree, content in zip(trees, data.contents, strict=True):
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
        record.classes[tree.name] = content
    return list(by_file.values())


def _division(trees: Sequence[ClassTree], num_folds: int) -> tuple[bool, str | None]:
    """Whether all fold files have records (htt-ml's have none), and the branch that decides the fold by them.

    Raises
    ------
    NtuplemlError
        If the records say that the files are other folds than the config has them, or of different datasets.
    """
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
    branches = {record.event_branch for record in records.values()}
    if len(branches) > 1:
        raise NtuplemlError(
            f"datasets: the fold files were made with different event branches: {sorted(map(str, branches))}"
        )
    return len(records) == len(files), branches.pop() if branches else None


@contextmanager
def _log_file(path: Path, *, append: bool) -> Iterator[None]:
    """Write the package's log lines to a file as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="a" if append else "w", encoding="utf-8")
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
