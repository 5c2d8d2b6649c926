"""Fitting boosted trees with LightGBM, which takes weights of either sign as they are."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.training.boosted_tree_options import few_events, require_accepted
from ntupleml.training.library_trees import TrainedTrees

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from ntupleml.config.methods import BoostedTreesConfig
    from ntupleml.training.library_trees import Task

log = logging.getLogger(__name__)

#: Parameters that options can set, by LightGBM's own names; each may also be called by its aliases.
_ALLOWED = {
    "bagging_fraction", "bagging_freq", "bin_construct_sample_cnt", "boost_from_average", "data_sample_strategy",
    "deterministic", "enable_bundle", "extra_trees", "feature_contri", "feature_fraction", "feature_fraction_bynode",
    "feature_pre_filter", "force_col_wise", "force_row_wise", "histogram_pool_size", "interaction_constraints",
    "lambda_l1", "lambda_l2", "learning_rate", "max_bin", "max_delta_step", "max_depth", "min_data_in_bin",
    "min_data_in_leaf", "min_gain_to_split", "min_sum_hessian_in_leaf", "monotone_constraints",
    "monotone_constraints_method", "monotone_penalty", "neg_bagging_fraction", "num_grad_quant_bins", "num_leaves",
    "other_rate", "path_smooth", "pos_bagging_fraction", "quant_train_renew_leaf", "sigmoid", "stochastic_rounding",
    "top_rate", "use_missing", "use_quantized_grad",
}  # fmt: skip
#: Others that users look for, and where what they are for is set.
_SET_BY_US = {
    "objective": "it follows from the number of classes",
    "num_class": "it follows from the number of classes",
    "metric": "the loss is the cross-entropy of the classes",
    "boosting": "only gradient boosting is trained",
    "num_iterations": "give rounds beside options",
    "early_stopping_round": "give early_stopping beside options",
    "seed": "give seed in the training config",
    "num_threads": "give --threads",
    "is_unbalance": "give class_weights in the training config",
    "scale_pos_weight": "give class_weights in the training config",
    "linear_tree": "the trees are of constants",
    "zero_as_missing": "give missing in the training config",
    "categorical_feature": "all inputs are numbers",
    "verbosity": "the losses are in the log and the record",
    "device_type": "it is trained on the processor",
}
#: Seconds between two lines of the log.
_LOG_SECONDS = 20.0


def check_lightgbm(settings: BoostedTreesConfig, num_inputs: int, num_classes: int, where: str) -> None:
    """Check names and values of a method's options by what the installed library says of them."""
    own_names = _own_names()
    given: dict[str, str] = {}
    for name in settings.options:
        own = own_names.get(name, name)
        if own in _SET_BY_US:
            raise NtuplemlError(f"{where}.options: '{name}' cannot be set here: {_SET_BY_US[own]}")
        if own not in _ALLOWED:
            known = sorted(alias for alias, own in own_names.items() if own in _ALLOWED)
            raise NtuplemlError(f"{where}.options: LightGBM has no parameter '{name}' here{did_you_mean(name, known)}")
        if own in given:
            raise NtuplemlError(
                f"{where}.options: '{given[own]}' and '{name}' are the same parameter; give one of them"
            )
        given[own] = name
    require_accepted(settings.options, lambda options: _refusal(options, num_inputs, num_classes), where)


def _own_names() -> dict[str, str]:
    """LightGBM's own name of each parameter by its aliases, and by itself."""
    from lightgbm.basic import _ConfigAliases

    aliases: dict[str, list[str]] = _ConfigAliases._get_all_param_aliases()
    return {alias: name for name in aliases for alias in (name, *aliases[name])}


def _refusal(options: Mapping[str, Any], num_inputs: int, num_classes: int) -> str | None:
    """What LightGBM says of options, tried with two events of each class; None where it takes them."""
    import lightgbm

    inputs, classes = few_events(num_inputs, num_classes)
    given = _parameters(options, num_classes, seed=0, threads=1)
    try:
        with _silent_errors():
            lightgbm.train(given, lightgbm.Dataset(inputs, classes, params=given), 1)
    except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
        return one_line(str(error).split(" at /")[0].removeprefix("Check failed: "))
    return None


@contextmanager
def _silent_errors() -> Iterator[None]:
    """Without what LightGBM prints to the process' standard error beside the exception that it raises."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _parameters(options: Mapping[str, Any], num_classes: int, seed: int, threads: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {"objective": "binary", "metric": "binary_logloss"}
    if num_classes > 2:
        chosen = {"objective": "multiclass", "num_class": num_classes, "metric": "multi_logloss"}
    return {**chosen, "seed": seed, "num_threads": threads, "verbosity": -1, **_given(options)}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with what is taken where they say nothing else: the same seed and threads give the same model."""
    order = {} if "force_col_wise" in options else {"force_row_wise": True}
    return {"deterministic": True, **order, **{name: value for name, value in options.items() if value is not None}}


def lightgbm_trees(task: Task) -> TrainedTrees:
    """Trees by the options of a config.

    The sums of weights count with their sign, in the derivatives of the loss as in its mean.
    """
    import lightgbm

    from ntupleml.forests.lightgbm import forest_of_lightgbm

    settings, num_classes = task.settings, task.num_classes
    parameters = _parameters(settings.options, num_classes, task.seed, task.threads)
    inputs, classes, weights = task.training
    training = lightgbm.Dataset(inputs, classes, weight=weights, params=parameters)
    validation = lightgbm.Dataset(
        task.validation.inputs, task.validation.classes, weight=task.validation.weights, reference=training
    )
    found: dict[str, dict[str, list[float]]] = {}
    callbacks = [lightgbm.record_evaluation(found), _progress(settings.rounds)]
    if settings.early_stopping is not None:
        callbacks.append(lightgbm.early_stopping(settings.early_stopping, verbose=False))
    booster = lightgbm.train(
        parameters,
        training,
        settings.rounds,
        valid_sets=[training, validation],
        valid_names=["training", "validation"],
        callbacks=callbacks,
    )
    best_round = booster.best_iteration if settings.early_stopping is not None else None
    text = booster.model_to_string(num_iteration=best_round or -1)
    gain = booster.feature_importance("gain", iteration=best_round or -1)
    history = {
        name: [float(loss) for loss in found[data][parameters["metric"]]]
        for name, data in (("loss", "training"), ("val_loss", "validation"))
    }

    def predict(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = lightgbm.Booster(model_str=text).predict(rows, num_threads=task.threads)
        return np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else np.asarray(scores)

    return TrainedTrees(
        forest_of_lightgbm(text),
        lambda path: path.write_text(text, encoding="utf-8"),
        predict,
        _given(settings.options),
        history,
        len(history["loss"]),
        best_round,
        {int(index): float(gain[index]) for index in np.flatnonzero(gain > 0)},
    )


def _progress(rounds: int) -> Callable[[Any], None]:
    """Callback that logs the losses now and then."""
    last = time.monotonic()

    def after_iteration(environment: Any) -> None:
        nonlocal last
        if time.monotonic() - last > _LOG_SECONDS:
            last = time.monotonic()
            losses = ", ".join(f"{data} loss {loss:.5f}" for data, _, loss, *_ in environment.evaluation_result_list)
            log.info("round %d of %d: %s", environment.iteration + 1, rounds, losses)

    return after_iteration
