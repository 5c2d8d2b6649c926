"""TMVA's boosted decision trees without TMVA: by XGBoost or scikit-learn, written as TMVA's weights file."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import record_hash
from ntupleml.errors import NtuplemlError
from ntupleml.training.jobs import Fitted, Job, Trainer
from ntupleml.training.negative_weights import treat_negative_weights
from ntupleml.training.outputs import CHECKED_EVENTS, check_difference
from ntupleml.training.tmva_options import bdt_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles, OnnxCheck, TrainingRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.forests import Forest
    from ntupleml.training.jobs import Staging
    from ntupleml.training.tabular_data import TabularData, TabularPart
    from ntupleml.training.tmva_options import BdtSettings

log = logging.getLogger(__name__)


class _TmvaTrees(Trainer):
    """Methods of the type kBDT; a method that fails does so alone."""

    isolated = ("fit", "write")

    def title(self, job: Job) -> str:
        return f"{job.method.name}, model"

    def check(self, job: Job) -> None:
        key, config = job.where, job.config
        if job.method.type != "kBDT":
            raise NtuplemlError(
                f"{key}: {job.method.type} needs a ROOT with TMVA (an LCG view); without it kBDT and kPyKeras can be "
                "trained: choose one with --method, or take this one out"
            )
        settings = bdt_settings(job.settings.options, f"{key}: options")
        transformation = settings.given.get("VarTransform", "None")
        if transformation not in ("None", "I", "N"):  # cuts do not care for the scale of a variable
            raise NtuplemlError(f"{key}: VarTransform={transformation} needs a ROOT with TMVA; take it out")
        if settings.boost_type == "Grad":
            return
        if settings.boost_type not in ("AdaBoost", "Bagging") or not settings.yes_no_leaf:
            what = settings.boost_type if settings.yes_no_leaf else f"{settings.boost_type} with !UseYesNoLeaf"
            raise NtuplemlError(
                f"{key}: BoostType={what} cannot be trained (TMVA's multiclass analysis takes Grad alone); use Grad, "
                "AdaBoost or Bagging"
            )
        if len(config.classes) != 2:
            raise NtuplemlError(
                f"{key}: BoostType={settings.boost_type} takes two classes, not {len(config.classes)}; use "
                "BoostType=Grad"
            )

    def fit(self, job: Job, data: TabularData, staging: Staging) -> list[Fitted]:  # noqa: ARG002
        config, where, part = job.config, f"{job.where}: options", data.training
        settings = bdt_settings(job.settings.options, where)
        weights = treat_negative_weights(
            settings.negative_weights, part.weights, part.classes, part.inputs, where, config.classes
        )
        fit = _boost_by_xgboost if settings.boost_type == "Grad" else _vote
        begin = time.process_time()
        forest, scores, fields = fit(config, settings, part._replace(weights=weights), where)
        elapsed = time.process_time() - begin
        log.info("%d trees in %.1f s of CPU time", forest.num_trees, elapsed)
        return [_FittedTrees(job, forest, scores, {"epochs": settings.trees, **fields}, data, settings.given, elapsed)]


TMVA_TREES = _TmvaTrees()


class _FittedTrees(Fitted):
    """A forest as TMVA's weights file."""

    def __init__(
        self,
        job: Job,
        forest: Forest,
        scores: Callable[[NDArray[np.float32]], NDArray[np.float64]],
        fields: dict[str, Any],
        data: TabularData,
        options: dict[str, str],
        training_time: float,
    ) -> None:
        super().__init__(job.method, fields)
        self._job, self._forest, self._scores, self._data = job, forest, scores, data
        self._options, self._training_time = options, training_time

    def write(self, files: ModelFiles, record: TrainingRecord) -> None:
        from ntupleml.tmva.writing import write_weights

        inputs = self._data.training.inputs
        write_weights(
            files.model,
            self._forest,
            method_name=self.method.name,
            classes=record.classes,
            variables=record.variables,
            minima=inputs.min(axis=0),
            maxima=inputs.max(axis=0),
            options=self._options,
            num_training_events=len(inputs),
            training_time=self._training_time,
            missing=record.missing,
            where=str(self._job.files.model),
        )

    def graph(self, files: ModelFiles, record: TrainingRecord) -> onnx.ModelProto:
        """Made from the file as read again, the graph tells whether both are right."""
        from ntupleml.onnx_models.tmva_method import tmva_to_onnx
        from ntupleml.tmva.reading import read_weights

        return tmva_to_onnx(
            read_weights(files.model),
            variables=record.variables,
            missing=record.missing,
            record_hash=record_hash(record),
        )

    def check(self, graph: onnx.ModelProto) -> OnnxCheck:
        from ntupleml.onnx_models.sessions import graph_scores

        rows = self._data.validation.inputs[:CHECKED_EVENTS]
        where = f"{self._job.where}: options"
        found, expected = graph_scores(graph, rows), self._scores(rows)
        return check_difference("weights and ONNX file", "trained method", found, expected, where)


def _boost_by_xgboost(
    config: TrainingConfig, settings: BdtSettings, training: TabularPart, where: str
) -> tuple[Forest, Any, dict[str, Any]]:
    """Forest, function that gives XGBoost's own answers, and fields of the record."""
    from ntupleml.forests.xgboost import forest_of_xgboost
    from ntupleml.training import tmva_xgboost

    _log_unused(settings, tmva_xgboost.USED_OPTIONS, where)
    fit, parameters = tmva_xgboost.fit_gradient_boosting(settings, training, len(config.classes), config.seed)
    gain = np.array([fit.gain.get(index, 0.0) for index in range(len(config.variables))])

    def scores(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return tmva_xgboost.xgboost_scores(fit.model, rows)

    fields = {
        "engine": "xgboost",
        "network": {"options": settings.given, "parameters": parameters},
        "history": fit.history,
        "importance": _shares(config.variables, gain),
    }
    return forest_of_xgboost(fit.model), scores, fields


def _vote(
    config: TrainingConfig, settings: BdtSettings, training: TabularPart, where: str
) -> tuple[Forest, Any, dict[str, Any]]:
    """The same for AdaBoost and bagging."""
    from ntupleml.training import tmva_adaboost

    _log_unused(settings, tmva_adaboost.USED_OPTIONS, where)
    votes = tmva_adaboost.fit_voting_trees(settings, training, config.seed, where)

    def scores(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return tmva_adaboost.vote_scores(votes, rows)

    fields = {
        "engine": "sklearn",
        "network": {"options": settings.given},
        "history": {"error": votes.errors},
        "importance": _shares(config.variables, tmva_adaboost.importance_of_votes(votes)),
    }
    return tmva_adaboost.forest_of_votes(votes, len(config.variables)), scores, fields


def _shares(variables: Sequence[str], gain: NDArray[np.float64]) -> dict[str, float]:
    total = gain.sum()
    return {name: float(value / total) if total > 0 else 0.0 for name, value in zip(variables, gain, strict=True)}


def _log_unused(settings: BdtSettings, used: set[str], where: str) -> None:
    unused = settings.unused(used)
    if unused:
        log.info("%s: without a meaning here: %s", where, ", ".join(unused))
