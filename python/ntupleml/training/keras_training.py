"""Training Keras networks on fold files: from a config to the files of each fold's model."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import KERAS, SplitSizes, TrainingRecord, model_files
from ntupleml.datasets.loading import class_trees, fold_files
from ntupleml.errors import NtuplemlError
from ntupleml.models import build_model, network_of
from ntupleml.tensorflow_import import import_tensorflow
from ntupleml.training.checkpoint import Progress, checkpoint_path, load_checkpoint, training_identity
from ntupleml.training.data import MemoryData, condition_names
from ntupleml.training.initial_model import load_initial_model
from ntupleml.training.outputs import check_export, write_outputs
from ntupleml.training.record_parts import (
    check_output_folder,
    fold_division,
    log_contents,
    log_file,
    log_training,
    training_record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.artifacts import Method
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.models import Network
    from ntupleml.training.data import TrainingData

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the command line, and of methods of TMVA that are trained as Keras networks.

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
    initial_model : str, optional
        Keras file whose network, with its weights, the training begins with; by default one is built from the config.
    learning_rates : mapping of int to float
        Learning rates by the number of the epoch, counted from 0, from which on they hold.
    """

    conditional: bool = False
    randomization: bool = False
    balance_batches: bool = False
    overwrite: bool = False
    continue_training: bool = False
    initial_model: str | None = None
    learning_rates: Mapping[int, float] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Whether batches are balanced, as they always are with conditions."""
        return self.balance_batches or self.conditional


def train_keras(
    config: TrainingConfig,
    folds: Sequence[int],
    options: TrainingOptions | None = None,
    where: str = "training config",
    method: Method = KERAS,
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
    method : Method, optional
        Whose files are written; by default those of the config's network.

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
        _check_outputs(config.output_path, fold, options, method)
    prepared = {fold: fold_files(config, fold, options.conditional) for fold in folds}
    trees = {fold: class_trees(config, files) for fold, files in prepared.items()}
    for fold in folds:
        fold_division(trees[fold], config.num_folds)
    return [_train_fold(config, fold, network, trees[fold], options, method) for fold in folds]


def _check_outputs(output_path: str, fold: int, options: TrainingOptions, method: Method) -> None:
    """Refuse before the work what would fail after it."""
    files = model_files(output_path, fold, method)
    checkpoint = checkpoint_path(output_path, fold, method)
    existing = [path for path in (*files[:-1], checkpoint) if path is not None and path.exists()]
    if options.continue_training and existing and not checkpoint.exists():
        raise NtuplemlError(f"--continue: {checkpoint}: no such file; train anew with --overwrite")
    if existing and not (options.overwrite or options.continue_training):
        go_on = ", or --continue to go on with that training" if method == KERAS else ""
        raise NtuplemlError(f"{existing[0]}: exists already; give --overwrite to train anew{go_on}")
    check_output_folder(output_path)


def _train_fold(
    config: TrainingConfig,
    fold: int,
    network: Network,
    trees: Sequence[ClassTree],
    options: TrainingOptions,
    method: Method,
) -> TrainingRecord:
    with log_file(model_files(config.output_path, fold, method).log, append=options.continue_training):
        return _train_logged(config, fold, network, trees, options, method)


def _train_logged(
    config: TrainingConfig,
    fold: int,
    network: Network,
    trees: Sequence[ClassTree],
    options: TrainingOptions,
    method: Method,
) -> TrainingRecord:
    log_training(fold, config.num_folds)
    import_tensorflow()
    from ntupleml.training.epochs import train_epochs

    data = _load(config, fold, trees, options)
    log_contents(trees, data.contents)
    log.info(
        "%d events train and %d validate, in batches of %d", data.num_training, data.num_validation, data.batching.size
    )
    names = condition_names(trees)
    num_inputs, num_outputs = len(config.variables) + len(names), len(config.classes)
    if options.initial_model is None:
        model = build_model(network, num_inputs, num_outputs, config.seed)
        description = {**asdict(network), "hidden": list(network.hidden)}
    else:
        model, description = load_initial_model(options.initial_model, network, num_inputs, num_outputs)
    check_export(model, data.scaler, config, names, options.initial_model or "the network")
    identity = _identity(config, trees, options)
    checkpoint = checkpoint_path(config.output_path, fold, method)
    progress = Progress()
    if options.continue_training and checkpoint.exists():
        model.optimizer.build(model.trainable_variables)
        progress = load_checkpoint(checkpoint, model, identity)
        log.info("going on after epoch %d of %d", progress.epoch, config.model.epochs)
    elif options.continue_training:
        log.info("no checkpoint yet, so the training begins with epoch 1")
    if options.overwrite:
        checkpoint.unlink(missing_ok=True)
    train_epochs(model, data, config.model, progress, checkpoint, identity, options.learning_rates)
    record = _record(config, fold, description, trees, data, progress, method)
    return write_outputs(model, data.scaler, record, data.check_rows, config.output_path, config.plot, method)


def _load(config: TrainingConfig, fold: int, trees: Sequence[ClassTree], options: TrainingOptions) -> TrainingData:
    if config.stream:
        from ntupleml.training.streaming import StreamedData

        return StreamedData(config, trees, fold, balanced=options.balanced, randomized=options.randomization)
    return MemoryData(config, trees, fold, balanced=options.balanced, randomized=options.randomization)


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
    network: dict[str, Any],
    trees: Sequence[ClassTree],
    data: TrainingData,
    progress: Progress,
    method: Method,
) -> TrainingRecord:
    settings = config.model
    keeps_best = settings.save_best_only or settings.early_stopping is not None
    return training_record(
        config,
        fold,
        trees,
        data.contents,
        preprocessing=config.preprocessing,
        preprocessing_events=data.preprocessing_events,
        method=method.name,
        network=network,
        split=SplitSizes(training=data.num_training, validation=data.num_validation),
        history=progress.history,
        epochs=progress.epoch,
        best_epoch=progress.schedule.best_epoch if keeps_best else None,
    )
