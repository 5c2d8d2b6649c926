"""Training estimators of scikit-learn: preprocessing in steps, one fit, and the ONNX file as the only form kept."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import record_hash
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.preprocessing.steps import fit_steps, transformed
from ntupleml.training.estimators import (
    check_estimator,
    collected_warnings,
    make_estimator,
    own_importance,
    takes_weights,
)
from ntupleml.training.importance import importance_files, write_importance
from ntupleml.training.jobs import Fitted, Job, Trainer
from ntupleml.training.negative_weights import find_treatment, treat_negative_weights
from ntupleml.training.outputs import CHECKED_EVENTS, check_difference
from ntupleml.training.target_fit import TargetFit

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles, OnnxCheck, TrainingRecord
    from ntupleml.artifacts.record import TargetRecord
    from ntupleml.config import PlotConfig
    from ntupleml.preprocessing import Scaler
    from ntupleml.training.jobs import Staging
    from ntupleml.training.tabular_data import TabularData

log = logging.getLogger(__name__)

#: Distinguishes the random numbers of balancing from those of other purposes.
_BALANCE_STREAM = 31
#: Probability that stands for smaller ones in the loss: trees give zeros.
_SMALLEST_PROBABILITY = 1e-7


class _Events(NamedTuple):
    """Events as arrays, as `TabularData` has them."""

    inputs: NDArray[np.float32]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]
    values: NDArray[np.float32]

    def of(self, rows: NDArray[np.int64]) -> _Events:
        """Some of them."""
        return _Events(self.inputs[rows], self.classes[rows], self.weights[rows], self.values[rows])


class _Model(NamedTuple):
    """A fitted estimator with what comes before and after it."""

    estimator: Any
    steps: list[Scaler]
    #: How many of the inputs the steps take; the conditions follow.
    num_variables: int
    target: TargetRecord

    def prepared(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """What the estimator takes."""
        made = transformed(self.steps, rows[:, : self.num_variables])
        return np.concatenate([made, rows[:, self.num_variables :]], axis=1).astype(np.float64)

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of the classes, or values in units of their standard deviations."""
        prepared = self.prepared(rows)
        if self.target.kind == "classes":
            return np.asarray(self.estimator.predict_proba(prepared), dtype=np.float64)
        return np.asarray(self.estimator.predict(prepared), dtype=np.float64).reshape(len(rows), -1)

    def loss(self, part: _Events) -> float:
        """Cross-entropy of the classes, or mean squared difference of standardised values; by the event weights."""
        scores = self.scores(part.inputs)
        if self.target.kind == "classes":
            of_truth = np.take_along_axis(scores, part.classes[:, np.newaxis], axis=1)[:, 0]
            each = -np.log(np.maximum(of_truth, _SMALLEST_PROBABILITY))
        else:
            each = ((scores - self.standardised(part.values)) ** 2).mean(axis=1)
        return float(np.average(each, weights=part.weights))

    def standardised(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Values as they are learnt."""
        found: NDArray[np.float64] = (values - np.array(self.target.mean)) / np.array(self.target.scale)
        return found


class _ScikitLearn(Trainer):
    """Any of the estimators."""

    takes_made = True
    learns = ("classes", "values")

    def title(self, job: Job) -> str:
        return f"{job.settings.type} '{job.settings.name}'"

    def check(self, job: Job) -> None:
        config, settings = job.config, job.settings
        find_treatment(settings.negative_weights, f"{job.where}.negative_weights")
        if settings.balance and config.target_kind != "classes":
            raise NtuplemlError(f"{job.where}.balance: makes classes equal, but the target is {config.target_kind}")
        import skl2onnx  # noqa: F401  # sooner than hours of training, if it is not there

        num_conditions = len(config.conditions) if job.options.conditional else 0
        num_inputs = _columns_after_steps(job) + num_conditions
        check_estimator(settings, num_inputs, len(config.outputs), config.target_kind, job.where)

    def more_files(self, job: Job) -> list[Path]:
        return importance_files(job.files)

    def fit(self, job: Job, data: TabularData, staging: Staging) -> list[Fitted]:  # noqa: ARG002
        log.info("%d events train and %d validate", data.num_training, data.num_validation)
        part = _training_part(job, data)
        learnt = TargetFit(job.config)
        learnt.add_values(part.values, part.weights)
        num_variables = data.inputs.shape[1] - len(data.conditions)
        weighted = job.config.weighted_preprocessing
        steps = _fit_steps(job, part.inputs[:, :num_variables], part.weights if weighted else None)
        threads = job.options.threads or len(os.sched_getaffinity(0))
        estimator = make_estimator(job.settings, job.config.seed, threads)
        model = _Model(estimator, steps, num_variables, learnt.record())
        _fit(model, part, job)
        history = {
            "loss": [model.loss(_events(data, training=True))],
            "val_loss": [model.loss(_events(data, training=False))],
        }
        log.info("training loss %.5f, validation loss %.5f", history["loss"][0], history["val_loss"][0])
        return [_FittedEstimator(job, model, data, part, history)]


SCIKIT_LEARN = _ScikitLearn()


def _steps_of(job: Job) -> list[str | dict[str, Any]]:
    """Preprocessing as the config has it."""
    own: list[str | dict[str, Any]] | None = job.settings.preprocessing
    return [job.config.preprocessing] if own is None else own


def _fit_steps(job: Job, rows: NDArray[np.float32], weights: NDArray[np.float64] | None) -> list[Scaler]:
    return fit_steps(_steps_of(job), rows, weights=weights, seed=job.config.seed, where=f"{job.where}.preprocessing")


def _columns_after_steps(job: Job) -> int:
    """Number of columns that the steps give; tried with made-up events, positive as box_cox wants them."""
    number = len(job.config.variables)
    rows = np.random.default_rng(0).uniform(1, 2, (2 * number + 2, number)).astype(np.float32)
    room = logging.getLogger("ntupleml.preprocessing")
    level = room.level
    room.setLevel(logging.WARNING)
    try:
        with collected_warnings([]):
            return int(transformed(_fit_steps(job, rows, None), rows).shape[1])
    finally:
        room.setLevel(level)


def _events(data: TabularData, *, training: bool) -> _Events:
    """Events that train, or those that validate."""
    rows = slice(None, data.num_training) if training else slice(data.num_training, None)
    return _Events(data.inputs[rows], data.classes[rows], data.weights[rows], data.values[rows])


def _training_part(job: Job, data: TabularData) -> _Events:
    """Events that train, with their weights as the config treats them; those of weight zero are left out."""
    part = _events(data, training=True)
    where = f"{job.where}.negative_weights"
    weights = treat_negative_weights(
        job.settings.negative_weights, part.weights, part.classes, part.inputs, where, job.config.classes
    )
    if (weights < 0).any():
        raise NtuplemlError(
            f"{job.where}: {job.settings.type} cannot take negative weights ({np.count_nonzero(weights < 0)} of "
            f"{len(weights)} events have them); set negative_weights: IgnoreNegWeightsInTraining or "
            "PairNegWeightsGlobal"
        )
    part = part._replace(weights=weights).of(np.flatnonzero(weights))
    if not job.settings.balance:
        return part
    random = np.random.default_rng([job.config.seed, job.fold, _BALANCE_STREAM])
    drawn = part.of(_balanced(part, random))
    return drawn._replace(weights=np.ones(len(drawn.weights)))


def _balanced(part: _Events, random: np.random.Generator) -> NDArray[np.int64]:
    """As many events of each class, together as many as there are, drawn by their weights."""
    classes = np.unique(part.classes)
    number = len(part.classes) // len(classes)
    drawn = []
    for index in classes:
        rows = np.flatnonzero(part.classes == index)
        drawn.append(random.choice(rows, number, p=part.weights[rows] / part.weights[rows].sum()))
    log.info("balanced: %d events of each class, drawn by their weights", number)
    return np.concatenate(drawn)


def _fit(model: _Model, part: _Events, job: Job) -> None:
    estimator, keywords = model.estimator, {}
    if takes_weights(estimator):
        keywords["sample_weight"] = part.weights
    elif not job.settings.balance:
        log.warning(
            "%s: %s knows no event weights: all events count the same; balance: true draws them by their weights",
            job.where,
            job.settings.type,
        )
    truth = part.classes if model.target.kind == "classes" else model.standardised(part.values)
    said: list[str] = []
    try:
        with collected_warnings(said):
            estimator.fit(model.prepared(part.inputs), np.squeeze(truth), **keywords)
    except (ValueError, TypeError) as error:
        raise NtuplemlError(f"{job.where}: {job.settings.type} cannot be fitted: {one_line(error)}") from error
    for line in said:
        log.warning("%s: %s", job.where, line)


class _FittedEstimator(Fitted):
    """An estimator, of which the ONNX file is kept."""

    leaves = "record and importance of the inputs"

    def __init__(
        self, job: Job, model: _Model, data: TabularData, part: _Events, history: dict[str, list[float]]
    ) -> None:
        names = _input_names(model, job.config.variables, data.conditions)
        what, importance, spread = own_importance(model.estimator, names, model.prepared(part.inputs))
        steps = _steps_of(job)
        names_of_steps = [one if isinstance(one, str) else str(one["type"]) for one in steps]
        super().__init__(
            job.method,
            {
                "engine": "scikit_learn",
                "preprocessing": ", ".join(names_of_steps) or "none",
                "preprocessing_events": len(part.weights),
                "target": model.target,
                "network": {
                    "type": job.settings.type,
                    "parameters": model.estimator.get_params(),
                    "preprocessing": steps,
                    "negative_weights": job.settings.negative_weights,
                    "balance": job.settings.balance,
                    "event_weights": takes_weights(model.estimator),
                    "importance": what,
                },
                "history": history,
                "importance": importance,
                "importance_spread": spread,
            },
        )
        self._job, self._model, self._data = job, model, data

    def write(self, files: ModelFiles, record: TrainingRecord) -> None:
        """Nothing: the ONNX file is the model."""

    def graph(self, files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto:  # noqa: ARG002
        from ntupleml.onnx_models.scikit_learn import estimator_to_onnx

        return estimator_to_onnx(self._model.estimator, self._model.steps, record, record_hash(record))

    def check(self, graph: onnx.ModelProto) -> OnnxCheck:
        from ntupleml.onnx_models.sessions import graph_scores

        rows = self._data.validation.inputs[:CHECKED_EVENTS]
        found, expected = graph_scores(graph, rows), self._model.scores(rows)
        if self._model.target.kind == "values":
            found = self._model.standardised(found)
        return check_difference("ONNX graph", "estimator", found, expected, self._job.where)

    def draw(self, files: ModelFiles, record: TrainingRecord, plot: PlotConfig) -> None:
        if record.importance:
            write_importance(files, record, plot)


def _input_names(model: _Model, variables: list[str], conditions: list[str]) -> list[str]:
    """Inputs of an estimator: variables, or the principal components of them."""
    components = [len(step.components_) for step in model.steps if hasattr(step, "components_")]
    names = [f"component {number}" for number in range(1, components[-1] + 1)] if components else variables
    return [*names, *conditions]
