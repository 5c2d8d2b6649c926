"""Fitting boosted trees with XGBoost to plain arrays, negative weights included."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.training.signed_objective import mean_cross_entropy, signed_objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.training.library_trees import Task, TrainedTrees

log = logging.getLogger(__name__)

#: Inputs, class indices and weights of the events that validate.
Validation = tuple["NDArray[np.float32]", "NDArray[np.int64]", "NDArray[np.float64]"]

#: What is taken where the caller's parameters say nothing else.
DEFAULTS: dict[str, Any] = {"tree_method": "hist", "device": "cpu"}
#: Seconds between two lines of the log.
_LOG_SECONDS = 20.0


class XgboostFit(NamedTuple):
    """A fitted forest."""

    #: XGBoost's JSON. For two classes one tree per round, whose sigmoid is the probability of class 1; for more one
    #: tree per class and round, with a softmax. It has the best rounds only where early stopping looked for them.
    model: bytes
    #: `loss` and, with validation events, `val_loss`: weighted mean of the cross-entropy, round by round.
    history: dict[str, list[float]]
    #: Number of rounds fitted.
    rounds: int
    #: Round (from 1) with the lowest validation loss, the last one of the model; None without early stopping.
    best_round: int | None
    #: Total gain of the cuts on each input, for the inputs that are cut on.
    gain: dict[int, float]


def fit_xgboost(
    inputs: NDArray[np.float32],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    num_classes: int,
    *,
    rounds: int,
    parameters: Mapping[str, Any],
    seed: int,
    validation: Validation | None = None,
    early_stopping: int | None = None,
    threads: int = 1,
) -> XgboostFit:
    """Fit a forest to events with weights of either sign.

    The sums begin at zero (`base_score` 0.5), so that the trees are the whole model. XGBoost itself refuses negative
    weights; where there are some, its objective is computed here, by the same formulas with the sign of the weights,
    and XGBoost gives leaves no value whose second derivatives do not sum to something positive.

    Parameters
    ----------
    inputs : array of float32, shape (n_events, n_inputs)
        Finite.
    classes : array of int64, shape (n_events,)
        From 0 to num_classes − 1.
    weights : array of float64, shape (n_events,)
    num_classes : int
        At least 2.
    rounds : int
        Largest number of boosting rounds.
    parameters : mapping
        By XGBoost's names; they win over `DEFAULTS`.
    seed : int
        Of everything random; the same seed and number of threads give the same model.
    validation : tuple of arrays, optional
        Inputs, classes and weights of the events that the validation loss is computed from.
    early_stopping : int, optional
        Rounds without a lower validation loss after which to stop; the model has the best rounds only.
    threads : int
        Number of threads.

    Raises
    ------
    ValueError
        For early stopping without validation events.
    xgboost.core.XGBoostError
        For parameters that XGBoost refuses.
    """
    import xgboost

    if early_stopping is not None and validation is None:
        raise ValueError("early stopping needs validation events")
    given = {**DEFAULTS, **_objective(num_classes), "seed": seed, "nthread": threads, **parameters}
    matrix = _matrix(inputs, classes, weights, given)
    evaluated = [(matrix, "training")]
    if validation is not None:
        evaluated.append((_matrix(*validation, given, matrix), "validation"))
    metric = given["eval_metric"]
    signed = {}
    if weights.min(initial=0.0) < 0 or (validation is not None and validation[2].min(initial=0.0) < 0):
        signed = _signed_arguments(classes, weights, validation, metric, matrix)
        del given["eval_metric"]
        given["disable_default_eval_metric"] = True
    callbacks = [_progress(rounds, metric)]
    if early_stopping is not None:
        callbacks.append(
            xgboost.callback.EarlyStopping(rounds=early_stopping, metric_name=metric, data_name="validation")
        )
    results: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        given,
        matrix,
        rounds,
        evals=evaluated,
        evals_result=results,
        verbose_eval=False,
        callbacks=callbacks,
        **signed,
    )
    best_round = None
    if early_stopping is not None:
        best_round = booster.best_iteration + 1
        booster = booster[:best_round]
    names = {"training": "loss", "validation": "val_loss"}
    history = {names[data]: [float(value) for value in values[metric]] for data, values in results.items()}
    gain = booster.get_score(importance_type="total_gain")
    return XgboostFit(
        model=bytes(booster.save_raw("json")),
        history=history,
        rounds=len(history["loss"]),
        best_round=best_round,
        gain={int(name.removeprefix("f")): float(value) for name, value in sorted(gain.items())},
    )


def xgboost_trees(task: Task) -> TrainedTrees:
    """Trees by the options of a config."""
    from ntupleml.forests.xgboost import forest_of_xgboost
    from ntupleml.training.library_trees import TrainedTrees

    settings = task.settings
    if (task.training.weights < 0).any() or (task.validation.weights < 0).any():
        log.info("XGBoost's own objective refuses negative weights; ours computes it with their sign")
    fit = fit_xgboost(
        *task.training,
        task.num_classes,
        rounds=settings.rounds,
        parameters=settings.options,
        seed=task.seed,
        validation=task.validation,
        early_stopping=settings.early_stopping,
        threads=task.threads,
    )
    return TrainedTrees(
        forest_of_xgboost(fit.model),
        lambda path: path.write_bytes(fit.model),
        lambda inputs: predict_xgboost(fit.model, inputs),
        {**DEFAULTS, **settings.options},
        *fit[1:],
    )


def predict_xgboost(model: bytes, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of each class by XGBoost itself.

    Parameters
    ----------
    model : bytes
        XGBoost's JSON, as `fit_xgboost` gives it.
    inputs : array of float32, shape (n_events, n_inputs)

    Returns
    -------
    array of float32, shape (n_events, n_classes)
    """
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(model))
    scores: NDArray[np.float32] = booster.inplace_predict(inputs)
    return scores if scores.ndim == 2 else np.stack([1 - scores, scores], axis=1)


def _objective(num_classes: int) -> dict[str, Any]:
    """What a classifier of some classes minimises; the sums begin at zero."""
    if num_classes == 2:
        return {"objective": "binary:logistic", "eval_metric": "logloss", "base_score": 0.5}
    return {"objective": "multi:softprob", "num_class": num_classes, "eval_metric": "mlogloss", "base_score": 0.5}


def _matrix(
    inputs: NDArray[np.float32],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    parameters: Mapping[str, Any],
    training: Any = None,
) -> Any:
    """Events as XGBoost takes them: binned at once where its method bins, which saves the float32 copy."""
    import xgboost

    options: dict[str, Any] = {"weight": np.abs(weights), "nthread": parameters["nthread"]}
    if parameters["tree_method"] != "hist":
        return xgboost.DMatrix(inputs, classes, **options)
    if "max_bin" in parameters:
        options["max_bin"] = parameters["max_bin"]
    return xgboost.QuantileDMatrix(inputs, classes, ref=training, **options)


def _signed_arguments(
    classes: NDArray[np.int64], weights: NDArray[np.float64], validation: Validation | None, metric: str, matrix: Any
) -> dict[str, Any]:
    """Objective and metric for weights of either sign, as arguments of `xgboost.train`."""

    def loss(sums: NDArray[np.float32], evaluated: Any) -> tuple[str, float]:
        if evaluated is matrix or validation is None:
            return metric, mean_cross_entropy(sums, classes, weights)
        return metric, mean_cross_entropy(sums, *validation[1:])

    return {"obj": signed_objective(classes, weights), "custom_metric": loss}


def _progress(rounds: int, metric: str) -> Any:
    """Callback that logs the losses now and then."""
    import xgboost

    class Progress(xgboost.callback.TrainingCallback):  # type: ignore[misc]
        """Logs a line every few seconds."""

        last = time.monotonic()

        def after_iteration(self, model: Any, epoch: int, evals_log: Mapping[str, Any]) -> bool:  # noqa: ARG002
            now = time.monotonic()
            if now - self.last > _LOG_SECONDS:
                self.last = now
                losses = ", ".join(f"{data} loss {values[metric][-1]:.5f}" for data, values in evals_log.items())
                log.info("round %d of %d: %s", epoch + 1, rounds, losses)
            return False  # go on

    return Progress()
