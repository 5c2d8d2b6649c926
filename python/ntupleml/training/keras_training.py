"""Training Keras networks on fold files, the network of a config and those of TMVA's kPyKeras methods."""

from __future__ import annotations

import logging
import pickle
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ntupleml.artifacts import KERAS, OnnxCheck, file_of_model, read_keras_file, record_hash, sha256_of_file
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.events.groups import groups_of
from ntupleml.imports import import_tensorflow
from ntupleml.models import build_model, network_of
from ntupleml.models.registries import TARGET_METRICS, require_name
from ntupleml.preprocessing.groups import network_inputs
from ntupleml.training.adversary import Adversarial, check_adversary
from ntupleml.training.augmentation import Augmentation, draw_augmentation_figure
from ntupleml.training.checkpoint import Progress, checkpoint_path, load_checkpoint, training_identity
from ntupleml.training.control import control_trees
from ntupleml.training.data import MemoryData, condition_names
from ntupleml.training.decorrelation import Decorrelating
from ntupleml.training.initial_model import load_initial_model
from ntupleml.training.jobs import Fitted, Job, Trainer, TrainingOptions
from ntupleml.training.kept_epochs import epochs_path, write_epochs
from ntupleml.training.modes import Mode
from ntupleml.training.outputs import adversary_stem, draw_history, draw_loss_figure
from ntupleml.training.own_network import check_own_network, load_own_network
from ntupleml.training.preparation import check_target
from ntupleml.training.record_parts import NOT_OF_THE_MODEL
from ntupleml.training.schedule import schedule_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import KerasFile, ModelFiles, TrainingRecord
    from ntupleml.config import PlotConfig, TrainingConfig
    from ntupleml.datasets.loading import ClassTree
    from ntupleml.models import Network
    from ntupleml.training.compiled_epoch import EpochRunner
    from ntupleml.training.data import LoadedData, TrainingData
    from ntupleml.training.jobs import Staging

log = logging.getLogger(__name__)


def train_keras(
    config: TrainingConfig,
    folds: Sequence[int],
    options: TrainingOptions | None = None,
    where: str = "training config",
) -> list[TrainingRecord]:
    """Train the network of each fold and write its files to the config's `output_path`.

    Parameters
    ----------
    folds : sequence of int
        Models to train; model f is trained on all folds but (f + 1) mod k.

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
    from ntupleml.training.ensembles import train_models

    options = options or TrainingOptions()
    return train_models([Job(NETWORKS, config, fold, (KERAS,), where, options) for fold in folds]).records


class _Networks(Trainer):
    """Networks, trained in compiled epochs on events in memory or streamed."""

    tabular = False

    def title(self, job: Job) -> str:  # noqa: ARG002
        return "model"

    def check(self, job: Job) -> None:
        options = job.options
        if options.overwrite and options.continue_training:
            raise NtuplemlError("--overwrite and --continue exclude each other: train anew, or go on")
        if options.randomization and not options.conditional:
            raise NtuplemlError("--randomization draws conditions at random; it needs --conditional")
        check_own_network(options.network, keep_weights=options.keep_weights)
        config = job.config
        _network(job)
        schedule_of(config.model, f"{job.where}: model")
        metrics = TARGET_METRICS[config.target_kind]
        require_name(
            config.model.best_by or metrics[0], metrics, "metric of this target", f"{job.where}: model.best_by"
        )
        check_target(config, options.balanced)
        check_adversary(config, job.where, conditional=options.conditional)
        if options.conditional and config.inputs is not None:
            raise NtuplemlError(
                "--conditional: conditions are inputs beside variables; list the numbers as variables, "
                "in place of inputs"
            )
        if options.initial_model is not None and (config.inputs is not None or config.target is not None):
            raise NtuplemlError(
                f"{job.where}: FilenameModel: a network of a file takes variables and learns classes; leave it out, so "
                "that the network of the config's model block is trained"
            )
        checkpoint = _checkpoint(job)
        has_files = any(path is not None and path.exists() for path in job.files[:-1])
        if options.continue_training and has_files and not checkpoint.exists():
            raise NtuplemlError(f"--continue: {checkpoint}: no such file; train anew with --overwrite")

    def check_trees(self, job: Job, trees: Sequence[ClassTree]) -> None:
        if job.config.control is not None:
            control_trees(job.config, job.fold, trees[0].hypotheses)

    def more_files(self, job: Job) -> list[Path]:
        return [_checkpoint(job)]

    def load(self, job: Job, trees: Sequence[ClassTree]) -> LoadedData:
        import_tensorflow()
        options = job.options
        if job.config.stream:
            from ntupleml.training.streaming import StreamedData

            return StreamedData(
                job.config, trees, job.fold, balanced=options.balanced, randomized=options.randomization
            )
        return MemoryData(job.config, trees, job.fold, balanced=options.balanced, randomized=options.randomization)

    def shared(self, job: Job, data: LoadedData) -> LoadedData | None:
        return data.for_job(job.config)

    def fit(self, job: Job, data: LoadedData, staging: Staging) -> list[Fitted]:  # noqa: ARG002
        from ntupleml.training.epochs import keeps_best, train_epochs

        config, options = job.config, job.options
        for remark in options.remarks:
            log.info("%s: %s", job.where, remark)
        log.info(
            "%d events train and %d validate, in batches of %d",
            data.num_training,
            data.num_validation,
            data.batching.size,
        )
        model, description = _first_model(job, data)
        _check_export(model, data, config, options.network or options.initial_model or "the network")
        learning_rate = float(model.optimizer.learning_rate)
        mode = _mode(job, model, data)
        identity = _identity(config, [*data.trees, *mode.more_trees], options)
        checkpoint, progress = _checkpoint(job), Progress()
        if options.continue_training and checkpoint.exists():
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            progress = load_checkpoint(checkpoint, mode.model, identity)
            log.info("going on after epoch %d of %d", progress.epoch, config.model.epochs)
        elif options.continue_training:
            log.info("no checkpoint yet, so the training begins with epoch 1")
        if options.overwrite:
            checkpoint.unlink(missing_ok=True)
        followers = options.followers
        if options.epoch_figures:
            followers += (lambda history: draw_history(job.files, history, None, config.plot),)
        used = mode.data_of(data)
        compiled = train_epochs(
            _runner(mode, job, data, used.batching.size),
            mode,
            used,
            config.model,
            progress,
            checkpoint,
            identity,
            learning_rate,
            followers,
        )
        best = progress.stopping.best_epoch if keeps_best(config.model) else None
        fields = {
            "balance_batches": options.balance_batches,
            "randomization": options.randomization,
            "preprocessing": config.preprocessing,
            "preprocessing_events": data.preprocessing_events,
            "target": data.preparation.target,
            "network": description,
            "epochs_compiled": compiled,
            "history": progress.history,
            "epochs": progress.epoch,
            "best_epoch": best,
            **mode.record(best, progress.history),
            "quantised": _quantised(model, data, config),
        }
        return [_FittedNetwork(job, model, data, fields, progress.kept)]


NETWORKS = _Networks()


def _mode(job: Job, model: Any, data: TrainingData) -> Mode:
    if job.config.adversary is not None:
        return Adversarial(model, data, job.fold)
    return Mode(model, job.config.model) if job.config.decorrelation is None else Decorrelating(model, data)


def _runner(mode: Mode, job: Job, data: LoadedData, batch_size: int) -> EpochRunner:
    """Compiled epochs: those of a training before this one where they can serve, as that of another seed or fold."""
    from ntupleml.training.compiled_epoch import EpochRunner

    if not mode.shares_programs:
        return EpochRunner(mode.model, batch_size)
    form = _form(job, data, batch_size) if type(mode) is Mode else None
    if data.runner is None:
        data.runner = _last_runners.get(form) or EpochRunner(mode.model, batch_size)
    data.runner.serve(mode.model)
    _last_runners.clear()
    if form is not None:
        _last_runners[form] = data.runner
    return data.runner


#: Compiled epochs of the last network of this process, by what it was made from.
_last_runners: dict[bytes | None, EpochRunner] = {}


def _form(job: Job, data: TrainingData, batch_size: int) -> bytes | None:
    """All that a network is made from but its seed; None where a file says it."""
    if job.options.network is not None or job.options.initial_model is not None:
        return None
    preparation = data.preparation
    parts = [_network(job), dict(preparation.shapes), preparation.num_outputs, preparation.image, preparation.units]
    return pickle.dumps([*parts, batch_size])


def _checkpoint(job: Job) -> Path:
    return checkpoint_path(job.config.output_path, job.fold, job.method)


def _network(job: Job) -> Network:
    """What the config describes."""
    config = job.config
    num_values = len((config.target and config.target.values) or ())
    return network_of(config.model, f"{job.where}: model", config.groups, config.target_kind, num_values)


def _first_model(job: Job, data: TrainingData) -> tuple[Any, dict[str, Any]]:
    """Network before the first epoch, and its description for the record."""
    config = job.config
    network = _network(job)
    shapes, num_outputs = data.preparation.shapes, data.preparation.num_outputs
    if job.options.network is not None:
        return load_own_network(
            job.options.network, network, data.preparation, config.seed, keep_weights=job.options.keep_weights
        )
    if job.options.initial_model is not None:
        (num_inputs,) = shapes["variables"].shape
        return load_initial_model(job.options.initial_model, network, num_inputs or 0, num_outputs)
    preparation = data.preparation
    model = build_model(network, shapes, num_outputs, config.seed, preparation.image, preparation.units)
    return model, {**asdict(network), "hidden": list(network.hidden)}


def _check_export(model: Any, data: TrainingData, config: TrainingConfig, where: str) -> None:
    """Refuse a network that could be trained but not be written, before it is trained."""
    from ntupleml.onnx_models.sessions import new_session

    graph = _graph(file_of_model(model, where), data, config)
    try:
        new_session(graph.SerializeToString())
    except Exception as error:  # ONNX Runtime's exceptions have no common class of their own
        raise NtuplemlError(f"{where}: ONNX Runtime cannot load it: {one_line(error)}; please report it") from error


def _graph(file: KerasFile, data: TrainingData, config: TrainingConfig, record_hash: str = "") -> onnx.ModelProto:
    from ntupleml.onnx_models.keras_network import keras_to_onnx

    return keras_to_onnx(
        file,
        data.preparation.scalers,
        groups_of(config.groups, config.missing.value if config.missing else None),
        config.outputs,
        target=data.preparation.target,
        makers=data.preparation.makers,
        conditions=condition_names(data.trees),
        record_hash=record_hash,
    )


def _quantised(model: Any, data: TrainingData, config: TrainingConfig) -> dict[str, Any]:
    """What the record has of a quantised network; nothing of any other."""
    from ntupleml.training.quantised_check import quantised_record

    if config.model.quantised is None:
        return {}
    missing, preparation = config.missing.value if config.missing else None, data.preparation
    inputs = network_inputs(data.check_batch, preparation.scalers, missing, preparation.makers)
    return quantised_record(model, inputs)


def _identity(config: TrainingConfig, trees: Sequence[ClassTree], options: TrainingOptions) -> dict[str, Any]:
    files = {tree.file: tree for tree in trees}
    datasets = [{"uuid": tree.uuid, "fold": file.fold, "condition": file.condition} for file, tree in files.items()]
    flags: dict[str, Any] = {
        "--conditional": options.conditional,
        "--randomization": options.randomization,
        "--balance-batches": options.balanced,
    }
    if options.network is not None:
        flags |= {"--network": sha256_of_file(options.network), "--keep-weights": options.keep_weights}
    other = {"boosted_trees", "scikit_learn", "tmva", *NOT_OF_THE_MODEL}
    described = config.model_dump(mode="json", exclude=other)
    if config.control is not None:
        described["adversary"]["against"].pop("datasets")  # files may move, their UUIDs must stay
    return training_identity(
        described,
        datasets,
        flags,
        spans_epochs=schedule_of(config.model).spans_epochs,
    )


class _FittedNetwork(Fitted):
    """A trained network; what was trained is not lost where its files cannot be written."""

    leaves = "preprocessing, ONNX file, record and figures of the loss"

    def __init__(
        self,
        job: Job,
        model: Any,
        data: TrainingData,
        fields: dict[str, Any],
        epochs: Mapping[int, Sequence[NDArray[Any]]],
    ) -> None:
        super().__init__(job.method, fields)
        self._model, self._data, self._config, self._epochs = model, data, job.config, epochs
        self._final = job.files
        self._kept = unexported_path(self._final.model)

    def write(self, files: ModelFiles, record: TrainingRecord) -> None:
        from ntupleml.preprocessing import write_preprocessing

        scalers = self._data.preparation.scalers
        for path in (files.preprocessing, files.pickle):
            assert path is not None
            write_preprocessing(path, scalers if record.inputs else scalers["variables"])
        with replace_file(files.model) as temporary:
            self._model.save(temporary)
        if self._epochs:
            write_epochs(epochs_path(files.model), self._epochs)

    def more_models(self, files: ModelFiles) -> list[Path]:
        return [epochs_path(files.model)]

    def graph(self, files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto:
        file = read_keras_file(files.model, "the trained network")
        return _graph(file, self._data, self._config, record_hash(record))

    def check(self, graph: onnx.ModelProto) -> OnnxCheck:
        from ntupleml.onnx_models.sessions import check_against_keras

        batch, preparation = self._data.check_batch, self._data.preparation
        difference = check_against_keras(
            graph,
            self._model,
            preparation.scalers,
            batch,
            missing=self._config.missing.value if self._config.missing else None,
            target=preparation.target,
            makers=preparation.makers,
        )
        return OnnxCheck(events=len(next(iter(batch.values()))), largest_difference=difference)

    def draw(self, files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
        draw_loss_figure(files, record, plot)
        augmentation = Augmentation.of(self._config, record.fold)
        if augmentation is not None:
            makers = self._data.preparation.makers
            draw_augmentation_figure(files, augmentation, self._data.check_batch, makers, plot)

    def settle(self) -> None:
        self._kept.unlink(missing_ok=True)
        if not self._epochs:
            epochs_path(self._final.model).unlink(missing_ok=True)
        if self._config.adversary is None:
            stem = adversary_stem(self._final)
            for ending in (".png", ".pdf"):
                stem.with_name(stem.name + ending).unlink(missing_ok=True)

    def rescue(self) -> None:
        go_on = "; --continue writes the files without training again" if self.method == KERAS else ""
        try:
            with replace_file(self._kept, overwrite=True) as temporary:
                self._model.save(temporary)
        except (NtuplemlError, OSError) as error:
            reason = "the trained network cannot be kept as %s: %s; its checkpoint stays%s"
            log.error(reason, self._kept, error, go_on)
            return
        log.error(
            "the files of the training could not be written; the trained network is kept: %s%s", self._kept, go_on
        )


def unexported_path(model: Path) -> Path:
    """Where a trained network is kept of which not all files could be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> unexported_path(Path("example/fold1_keras_model.keras")).as_posix()
    'example/fold1_keras_model_unexported.keras'
    """
    return model.with_stem(f"{model.stem}_unexported")
