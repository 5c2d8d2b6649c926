"""What the trainers of boosted trees share, whatever library makes the trees."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import record_hash
from ntupleml.errors import NtuplemlError
from ntupleml.training.importance import importance_files, write_importance
from ntupleml.training.jobs import Fitted, Job, Trainer
from ntupleml.training.negative_weights import find_treatment, treat_negative_weights
from ntupleml.training.outputs import CHECKED_EVENTS, check_difference, draw_loss_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles, OnnxCheck, TrainingRecord
    from ntupleml.config import PlotConfig
    from ntupleml.config.methods import BoostedTreesConfig
    from ntupleml.forests import Forest
    from ntupleml.training.jobs import Staging
    from ntupleml.training.tabular_data import TabularData, TabularPart

log = logging.getLogger(__name__)


class Task(NamedTuple):
    """What a library fits."""

    settings: BoostedTreesConfig
    #: The negative weights of the events that train are treated.
    training: TabularPart
    validation: TabularPart
    num_classes: int
    seed: int
    threads: int
    where: str


class TrainedTrees(NamedTuple):
    """What a library gives back."""

    forest: Forest
    #: Writes the model in the library's own format to a path.
    write: Callable[[Path], object]
    #: Scores by the library itself: float32 (n_events, n_inputs) to (n_events, n_classes).
    predict: Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
    #: What the library was given.
    parameters: Mapping[str, Any]
    #: `loss` and `val_loss`, round by round.
    history: dict[str, list[float]]
    #: Number of rounds until the training stopped.
    rounds: int
    #: The last round of the model, from 1; None without early stopping.
    best_round: int | None
    #: Total gain of the cuts on each input, for the inputs that are cut on.
    gain: dict[int, float]


@dataclass(frozen=True)
class _BoostedTrees(Trainer):
    """Boosted trees of a library; see `boosted_trees`."""

    fit_trees: Callable[[Task], TrainedTrees]
    check_options: Callable[[BoostedTreesConfig, int, int, str], None]
    takes_made = True

    def title(self, job: Job) -> str:
        return f"{job.settings.type} model '{job.settings.name}'"

    def check(self, job: Job) -> None:
        config = job.config
        find_treatment(job.settings.negative_weights, f"{job.where}.negative_weights")
        num_conditions = len(config.conditions) if job.options.conditional else 0
        self.check_options(job.settings, len(config.variables) + num_conditions, len(config.classes), job.where)

    def more_files(self, job: Job) -> list[Path]:
        return [*importance_files(job.files), weights_path(job.files.model)]

    def fit(self, job: Job, data: TabularData, staging: Staging) -> list[Fitted]:  # noqa: ARG002
        threads = job.options.threads or len(os.sched_getaffinity(0))
        log.info("%d events train and %d validate, on %d threads", data.num_training, data.num_validation, threads)
        part = data.training
        weights = treat_negative_weights(
            job.settings.negative_weights,
            part.weights,
            part.classes,
            part.inputs,
            f"{job.where}.negative_weights",
            job.config.classes,
        )
        training = part._replace(weights=weights)
        task = Task(
            job.settings,
            training,
            data.validation,
            int(data.classes.max()) + 1,
            job.config.seed,
            threads,
            job.where,
        )
        trees = self.fit_trees(task)
        _check_cuts(trees, task)
        _log_end(trees)
        return [_FittedTrees(job, trees, data, threads)]


def boosted_trees(
    fit_trees: Callable[[Task], TrainedTrees], check_options: Callable[[BoostedTreesConfig, int, int, str], None]
) -> Trainer:
    """Trainer of boosted trees by a library.

    Parameters
    ----------
    check_options : callable
        Checks names and values of a method's options: settings, numbers of inputs and classes, config and key.
    """
    return _BoostedTrees(fit_trees, check_options)


def _check_cuts(trees: TrainedTrees, task: Task) -> None:
    """Refuse a forest of bare leaves, which knows nothing."""
    if not trees.gain:
        raise NtuplemlError(
            f"{task.where}: no tree found a cut that gains anything; the mean weight of the training events is "
            f"{task.training.weights.mean():.3g}; set global_weight_scale so that it is near 1, or loosen the options "
            "(smallest weight or number of events of a leaf, regularisation)"
        )


def _log_end(trees: TrainedTrees) -> None:
    history, last = trees.history, (trees.best_round or trees.rounds) - 1
    log.info(
        "%d rounds trained, %s: training loss %.5f, validation loss %.5f",
        trees.rounds,
        "all kept" if trees.best_round is None else f"the best is round {trees.best_round}",
        history["loss"][last],
        history["val_loss"][last],
    )


class _FittedTrees(Fitted):
    """Trees of a library, and the same as TMVA's weights file where that holds them."""

    leaves = "ONNX file, record, importance of the variables and figures"

    def __init__(self, job: Job, trees: TrainedTrees, data: TabularData, threads: int) -> None:
        super().__init__(
            job.method,
            {
                "engine": job.settings.type,
                "network": {
                    "parameters": dict(trees.parameters),
                    "negative_weights": job.settings.negative_weights,
                    "threads": threads,
                    "trees": trees.forest.num_trees,
                },
                "history": trees.history,
                "epochs": trees.rounds,
                "best_epoch": trees.best_round,
                "importance": importance_of(trees.gain, [*job.config.variables, *data.conditions]),
            },
        )
        self._job, self._trees, self._data = job, trees, data
        self._has_weights = False

    def write(self, files: ModelFiles, record: TrainingRecord) -> None:
        self._trees.write(files.model)
        self._has_weights = self._write_weights(weights_path(files.model), record)

    def more_models(self, files: ModelFiles) -> list[Path]:
        return [weights_path(files.model)]

    def graph(self, files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto:  # noqa: ARG002
        from ntupleml.onnx_models.forest import forest_to_onnx

        return forest_to_onnx(
            self._trees.forest,
            record.variables,
            record.classes,
            kind=record.engine,
            classes=record.classes,
            dtype=np.float32,
            missing=record.missing,
            conditions=record.conditions,
            record_hash=record_hash(record),
            description=record.description_of_matrix,
        )

    def check(self, graph: onnx.ModelProto) -> OnnxCheck:
        from ntupleml.onnx_models.sessions import graph_scores

        rows = self._data.validation.inputs[:CHECKED_EVENTS]
        found, expected = graph_scores(graph, rows), self._trees.predict(rows)
        return check_difference("ONNX graph", "trained forest", found, expected, self._job.where)

    def draw(self, files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
        draw_loss_figure(files, record, plot)
        write_importance(files, record, plot)

    def settle(self) -> None:
        if not self._has_weights:
            weights_path(self._job.files.model).unlink(missing_ok=True)

    def _write_weights(self, path: Path, record: TrainingRecord) -> bool:
        """Write TMVA's weights file, where its format holds the model; whether it did."""
        from ntupleml.tmva.writing import write_weights

        if record.conditions:
            log.info("no weights file of TMVA: the conditions are inputs that no branch holds")
            return False
        if record.matrix:
            log.info("no weights file of TMVA: numbers that are made of objects are inputs that no branch holds")
            return False
        inputs = self._data.training.inputs
        try:
            write_weights(
                path,
                self._trees.forest,
                method_name=self.method.name,
                classes=record.classes,
                variables=record.variables,
                minima=inputs.min(axis=0).astype(np.float64),
                maxima=inputs.max(axis=0).astype(np.float64),
                num_training_events=len(inputs),
                missing=record.missing,
                where=str(weights_path(self._job.files.model)),
            )
        except NtuplemlError as error:
            log.info("no weights file of TMVA: %s", error)
            return False
        return True


def weights_path(model: Path) -> Path:
    """Where the form of a model that TMVA reads is.

    Examples
    --------
    >>> from pathlib import Path
    >>> weights_path(Path("fold0_bdt_model.json")).name
    'fold0_bdt_model.weights.xml'
    """
    return model.with_suffix(".weights.xml")


def importance_of(gain: Mapping[int, float], inputs: Sequence[str]) -> dict[str, float]:
    """Share of each input in the gain of all cuts, the largest first.

    Examples
    --------
    >>> importance_of({1: 3.0, 0: 1.0}, ["x", "y", "z"])
    {'y': 0.75, 'x': 0.25, 'z': 0.0}
    """
    total = sum(gain.values())
    shares = {name: gain.get(index, 0.0) / total for index, name in enumerate(inputs)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
