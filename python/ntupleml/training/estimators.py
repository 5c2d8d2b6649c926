"""The estimators of scikit-learn that a config can name, and the checks of their options before anything is trained."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.config.methods import ScikitLearnConfig

#: Module of each class that can be trained; those that give probabilities learn classes, the others values.
ESTIMATORS = {
    "AdaBoostClassifier": "sklearn.ensemble",
    "AdaBoostRegressor": "sklearn.ensemble",
    "DecisionTreeClassifier": "sklearn.tree",
    "DecisionTreeRegressor": "sklearn.tree",
    "ElasticNet": "sklearn.linear_model",
    "ExtraTreesClassifier": "sklearn.ensemble",
    "ExtraTreesRegressor": "sklearn.ensemble",
    "GaussianNB": "sklearn.naive_bayes",
    "GradientBoostingClassifier": "sklearn.ensemble",
    "GradientBoostingRegressor": "sklearn.ensemble",
    "Lasso": "sklearn.linear_model",
    "LinearRegression": "sklearn.linear_model",
    "LogisticRegression": "sklearn.linear_model",
    "MLPClassifier": "sklearn.neural_network",
    "MLPRegressor": "sklearn.neural_network",
    "RandomForestClassifier": "sklearn.ensemble",
    "RandomForestRegressor": "sklearn.ensemble",
    "Ridge": "sklearn.linear_model",
}

#: Parameters that are no options, and where what they are for is set.
_SET_BY_US = {
    "class_weight": "give class_weights in the training config",
    "estimator": "only the default is boosted",
    "init": "boosting begins with the mean",
    "n_jobs": "give --threads",
    "random_state": "give seed in the training config",
    "verbose": "the losses are in the log and the record",
    "warm_start": "all is trained anew",
}
#: Trees and iterations with which options are tried.
_FEW = {"n_estimators": 2, "max_iter": 2}


def make_estimator(settings: ScikitLearnConfig, seed: int = 0, threads: int = 1) -> Any:
    """The estimator of an entry whose options have been checked, not fitted.

    Parameters
    ----------
    threads : int
        Of those that use several.
    """
    plain = _class_of(settings.type)()
    given = dict(settings.options)
    if "random_state" in plain.get_params():
        given["random_state"] = seed
    if "n_jobs" in plain.get_params() and settings.type not in ("LinearRegression", "LogisticRegression"):
        given["n_jobs"] = threads
    return plain.set_params(**given)


def takes_weights(estimator: Any) -> bool:
    """Whether an estimator counts events by their weights."""
    from sklearn.utils.validation import has_fit_parameter

    return bool(has_fit_parameter(estimator, "sample_weight"))


def check_estimator(settings: ScikitLearnConfig, num_inputs: int, num_outputs: int, target: str, where: str) -> None:
    """Check type and options by what the installed scikit-learn says of them, and of made-up events.

    Parameters
    ----------
    num_inputs, num_outputs : int
        After the preprocessing; classes or values.
    target : {"classes", "values"}

    Raises
    ------
    NtuplemlError
    """
    if settings.type not in ESTIMATORS:
        raise NtuplemlError(f"{where}.type: no estimator '{settings.type}'{did_you_mean(settings.type, ESTIMATORS)}")
    kind = _class_of(settings.type)
    learns = "classes" if hasattr(kind, "predict_proba") else "values"
    if learns != target:
        raise NtuplemlError(f"{where}.type: {settings.type} learns {learns}, but the target is {target}")
    _check_names(settings, kind, where)
    estimator = make_estimator(settings)
    try:
        estimator._validate_params()
        _try(estimator, num_inputs, num_outputs, target)
    except (ValueError, TypeError) as error:
        text = one_line(error).replace(f" of {settings.type}", "")
        raise NtuplemlError(f"{where}.options: {text}") from None


def _class_of(name: str) -> Any:
    return getattr(import_module(ESTIMATORS[name]), name)


def _check_names(settings: ScikitLearnConfig, kind: Any, where: str) -> None:
    defaults = kind().get_params()
    known = [name for name, value in defaults.items() if name not in _SET_BY_US and value != "deprecated"]
    for name in settings.options:
        if name in _SET_BY_US and name in defaults:
            raise NtuplemlError(f"{where}.options: '{name}' cannot be set here: {_SET_BY_US[name]}")
        if name not in known:
            raise NtuplemlError(
                f"{where}.options: {settings.type} has no parameter '{name}'{did_you_mean(name, known)}"
            )


def _try(estimator: Any, num_inputs: int, num_outputs: int, target: str) -> None:
    """Fit to a few made-up events: some parameters do not go together, and some do not fit the number of outputs."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(50 * num_outputs, num_inputs))
    truth: NDArray[Any] = np.repeat(np.arange(num_outputs), 50)
    if target == "values":
        truth = random.normal(size=(len(rows), num_outputs)).squeeze()
    few = {name: min(value, least) for name, least in _FEW.items() if (value := estimator.get_params().get(name))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.set_params(**few).fit(rows, truth)


@contextmanager
def collected_warnings(lines: list[str]) -> Iterator[None]:
    """Collect what scikit-learn warns of, e.g. that a fit has not converged, each once and in one line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    lines += dict.fromkeys(one_line(one.message) for one in caught)


def own_importance(
    estimator: Any, names: Sequence[str], rows: NDArray[np.floating[Any]]
) -> tuple[str, dict[str, float], dict[str, float]]:
    """What an estimator itself says of its inputs.

    Parameters
    ----------
    names : sequence of str
        Of its inputs.
    rows : array, shape (n_events, n_inputs)
        What it was fitted to.

    Returns
    -------
    what : str
        What is measured; empty where the estimator says nothing.
    importance, spread : dict of str to float
        Share of each input, the largest first; its standard deviation over the trees of a forest.
    """
    spread: dict[str, float] = {}
    if hasattr(estimator, "feature_importances_"):
        what, found = "decrease of the impurity", estimator.feature_importances_
        trees = np.ravel(getattr(estimator, "estimators_", []))
        if len(trees):
            of_trees = np.std([tree.feature_importances_ for tree in trees], axis=0)
            spread = dict(zip(names, map(float, of_trees), strict=True))
    elif hasattr(estimator, "coef_"):
        what, found = "coefficients", np.abs(np.atleast_2d(estimator.coef_)).sum(axis=0) * rows.std(axis=0)
    elif hasattr(estimator, "coefs_"):
        what, found = "weights of the first layer", np.abs(estimator.coefs_[0]).sum(axis=1) * rows.std(axis=0)
    else:
        return "", {}, {}
    total = found.sum()
    if not total > 0:
        return "", {}, {}
    shares: Mapping[str, float] = dict(zip(names, map(float, found / total), strict=True))
    return what, dict(sorted(shares.items(), key=lambda item: -item[1])), spread
