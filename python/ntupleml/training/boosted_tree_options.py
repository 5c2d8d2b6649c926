"""Checks of the options of boosted trees against the library that they are for, before anything is trained."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ntupleml.config.methods import BoostedTreesConfig


_BY_CLASSES = "it follows from the number of classes"
_BY_SEED = "give seed in the training config"
_BY_ROUNDS = "give rounds beside options"
_BY_STOPPING = "give early_stopping beside options"
_BY_THREADS = "give --threads"
_BY_WEIGHTS = "give class_weights in the training config"
_BY_SPLIT = "the training config's train_test_split says which events validate"
_BY_LOSS = "the loss is the cross-entropy of the classes"
_PLAIN = "all inputs are numbers"

#: Parameters that are no options, and where what they are for is set.
_SET_BY_US: dict[str, dict[str, str]] = {
    "xgboost": {
        "objective": _BY_CLASSES,
        "num_class": _BY_CLASSES,
        "num_target": _BY_CLASSES,
        "multi_strategy": "each tree has one output",
        "booster": "only trees are trained",
        "process_type": "all trees are made anew",
        "updater": "give tree_method",
        "refresh_leaf": "all trees are made anew",
        "base_score": "the sums begin at zero",
        "eval_metric": _BY_LOSS,
        "disable_default_eval_metric": _BY_LOSS,
        "scale_pos_weight": _BY_WEIGHTS,
        "seed": _BY_SEED,
        "random_state": _BY_SEED,
        "seed_per_iteration": _BY_SEED,
        "nthread": _BY_THREADS,
        "n_jobs": _BY_THREADS,
        "n_estimators": _BY_ROUNDS,
        "num_round": _BY_ROUNDS,
        "num_boost_round": _BY_ROUNDS,
        "early_stopping_rounds": _BY_STOPPING,
        "enable_categorical": _PLAIN,
        "max_cat_threshold": _PLAIN,
        "max_cat_to_onehot": _PLAIN,
        "validate_parameters": "parameters are always checked",
        "missing": "give missing in the training config",
    },
    "hist_gradient_boosting": {
        "loss": _BY_LOSS,
        "max_iter": _BY_ROUNDS,
        "early_stopping": _BY_STOPPING,
        "n_iter_no_change": _BY_STOPPING,
        "tol": _BY_STOPPING,
        "scoring": _BY_LOSS,
        "validation_fraction": _BY_SPLIT,
        "warm_start": "all trees are made anew",
        "random_state": _BY_SEED,
        "class_weight": _BY_WEIGHTS,
        "categorical_features": _PLAIN,
        "verbose": "the losses are in the log and the record",
    },
}


def check_options(method: BoostedTreesConfig, num_inputs: int, num_classes: int, where: str) -> None:
    """Check names and values of a method's options by what the installed library says of them.

    Parameters
    ----------
    num_inputs, num_classes : int
        Of the training.
    """
    refused = _SET_BY_US[method.type]
    given = [name for name in method.options if name in refused]
    if given:
        raise NtuplemlError(f"{where}.options: '{given[0]}' cannot be set here: {refused[given[0]]}")
    known = _known_xgboost() if method.type == "xgboost" else _known_hist_gradient_boosting()
    allowed = sorted(known - refused.keys())
    unknown = [name for name in method.options if name not in allowed]
    if unknown:
        library = "XGBoost" if method.type == "xgboost" else "HistGradientBoostingClassifier"
        raise NtuplemlError(
            f"{where}.options: {library} has no parameter '{unknown[0]}'{did_you_mean(unknown[0], allowed)}"
        )
    if method.type == "xgboost":
        _try_xgboost(method.options, num_inputs, num_classes, where)
    else:
        _try_hist_gradient_boosting(method.options, num_inputs, num_classes, where)


def require_accepted(
    options: Mapping[str, Any], refusal: Callable[[Mapping[str, Any]], str | None], where: str
) -> None:
    """Raise the library's message about options, with their names, which the library often leaves out."""
    reason = refusal(options)
    if reason is None:
        return
    for name, value in options.items():
        if reason_of_one := refusal({name: value}):
            raise NtuplemlError(f"{where}.options: '{name}' cannot be {value!r}: {reason_of_one}")
    raise NtuplemlError(f"{where}.options: {reason}")


def few_events(num_inputs: int, num_classes: int) -> tuple[Any, Any]:
    """Events, two of each class, to try options with."""
    classes = np.repeat(np.arange(num_classes), 2)
    return np.tile(np.arange(len(classes), dtype=np.float32)[:, np.newaxis], (1, num_inputs)), classes


def _known_xgboost() -> set[str]:
    """Names of the parameters, aliases included, from the config of a forest without trees."""
    import xgboost

    booster = xgboost.train({"tree_method": "hist"}, xgboost.DMatrix(*few_events(1, 2)), 0)
    learner = json.loads(booster.save_config())["learner"]
    trees = learner["gradient_booster"]
    blocks = [learner["generic_param"], learner["learner_train_param"], trees["tree_train_param"]]
    blocks += [trees["gbtree_train_param"], *(updater.get("hist_train_param", {}) for updater in trees["updater"])]
    names = {name for block in blocks for name in block}
    return (names | {"num_parallel_tree", "verbosity"}) - {"updater_seq", "debug_synchronize"}


def _known_hist_gradient_boosting() -> set[str]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return set(HistGradientBoostingClassifier().get_params())


def _try_xgboost(options: Mapping[str, Any], num_inputs: int, num_classes: int, where: str) -> None:
    import xgboost

    from ntupleml.training.xgboost_fit import fit_xgboost

    inputs, classes = few_events(num_inputs, num_classes)
    twice = _same_parameter(options)
    if twice:
        raise NtuplemlError(f"{where}.options: '{twice[0]}' and '{twice[1]}' are the same parameter; give one of them")

    def refusal(given: Mapping[str, Any]) -> str | None:
        try:
            fit_xgboost(inputs, classes, np.ones(len(classes)), num_classes, rounds=1, parameters=given, seed=0)
        except xgboost.core.XGBoostError as error:
            return one_line(_reason(str(error)))
        return None

    require_accepted(options, refusal, where)


def _same_parameter(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Two names of one parameter that are both given: XGBoost would take either."""
    aliases = {
        "eta": "learning_rate",
        "gamma": "min_split_loss",
        "lambda": "reg_lambda",
        "alpha": "reg_alpha",
    }
    return next(((name, other) for name, other in aliases.items() if name in options and other in options), None)


def _reason(text: str) -> str:
    """What XGBoost says, without the time, the place in its source and the stack trace."""
    text = text.split("Stack trace")[0].strip()
    return re.sub(r"^\[[\d:]+\] \S+: (Check failed: )?", "", text)


def _try_hist_gradient_boosting(options: Mapping[str, Any], num_inputs: int, num_classes: int, where: str) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    inputs, classes = few_events(num_inputs, num_classes)
    try:
        HistGradientBoostingClassifier(max_iter=1, early_stopping=False, **options).fit(inputs, classes)
    except (ValueError, TypeError) as error:  # scikit-learn's InvalidParameterError is both
        text = str(error).replace(" of HistGradientBoostingClassifier", "")
        raise NtuplemlError(f"{where}.options: {one_line(text)}") from None
