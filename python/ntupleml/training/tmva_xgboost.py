"""TMVA's gradient boosting (`BoostType=Grad`) by XGBoost, with TMVA's options translated."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.training.tabular_data import TabularPart
    from ntupleml.training.tmva_options import BdtSettings
    from ntupleml.training.xgboost_fit import XgboostFit

log = logging.getLogger(__name__)

#: Options that have a meaning here.
USED_OPTIONS = {
    "NTrees",
    "BoostType",
    "Shrinkage",
    "MaxDepth",
    "NNodesMax",
    "MinNodeSize",
    "nEventsMin",
    "nCuts",
    "UseBaggedBoost",
    "UseBaggedGrad",
    "BaggedSampleFraction",
    "GradBaggingFraction",
    "UseNTrainEvents",
    "NegWeightTreatment",
    "IgnoreNegWeightsInTraining",
}
#: Numbers of inputs of all events from which on more than one thread is worth its overhead.
_NUMBERS_PER_THREAD = 2_000_000
#: Mean of the second derivatives over the rounds, in units of the first; with it, the AUC is TMVA's within its spread
#: from seed to seed.
_MEAN_DERIVATIVE = 0.5


def xgboost_parameters(settings: BdtSettings, num_classes: int, num_events: int) -> dict[str, Any]:
    """XGBoost's parameters for TMVA's options, for event weights whose mean is 1.

    Parameters
    ----------
    num_classes : int
        K; each round makes K trees, for two classes one.
    num_events : int
        Number of training events.

    Notes
    -----
    A leaf of TMVA is shrinkage (K − 1)/K Σ w r / Σ w |r| (1 − |r|) with the residuals r (J. Friedman, Ann. Stat. 29
    (2001) 1189; `MethodBDT::GradBoost`). XGBoost's softmax gives eta Σ w r / (Σ 2 w p (1 − p) + lambda) (T. Chen,
    C. Guestrin, KDD 2016), where |r| (1 − |r|) = p (1 − p); so lambda = 0 and eta = 2 shrinkage (K − 1)/K. For two
    classes the two trees of TMVA are each other's opposite, and their difference is the one tree of XGBoost's logistic
    loss with eta = shrinkage.

    XGBoost bounds the sum of second derivatives in a node, not the number of events. These are largest at the start,
    where p = 1/K, and fall when events are classified; half of their first value is taken for all rounds.
    """
    share = settings.sampled_share(num_events)
    at_start = (num_classes - 1) / num_classes**2
    objective = {"objective": "binary:logistic", "eval_metric": "logloss"}
    if num_classes > 2:
        at_start *= 2
        objective = {"objective": "multi:softprob", "eval_metric": "mlogloss"}
    parameters: dict[str, Any] = {
        **objective,
        **({"num_class": num_classes} if num_classes > 2 else {}),
        "eta": 2 * settings.shrinkage * (num_classes - 1) / num_classes,
        "max_depth": settings.max_depth,
        "lambda": 0.0,
        "min_child_weight": settings.min_node_share(num_events) * share * num_events * _MEAN_DERIVATIVE * at_start,
        "subsample": min(share, 1.0),
    }
    if settings.cuts < 0:
        return {**parameters, "tree_method": "exact"}
    return {**parameters, "tree_method": "hist", "max_bin": settings.cuts + 1}


def fit_gradient_boosting(
    settings: BdtSettings, training: TabularPart, num_classes: int, seed: int
) -> tuple[XgboostFit, dict[str, Any]]:
    """Fit XGBoost's trees with the options of TMVA's gradient boosting.

    Parameters
    ----------
    training : TabularPart
        Events to train on, their negative weights treated; those of weight 0 take no part, as in TMVA.

    Returns
    -------
    dict
        The parameters that XGBoost was given.
    """
    from ntupleml.training.xgboost_fit import fit_xgboost

    inputs, classes, weights = _with_weight(*training)
    parameters = xgboost_parameters(settings, num_classes, len(weights))
    log.info("XGBoost: %s", ", ".join(f"{name}={_short(value)}" for name, value in parameters.items()))
    # TMVA's trees do not depend on the scale of the weights here, and the bound of the nodes wants a mean of 1.
    fit = fit_xgboost(
        inputs,
        classes,
        weights / weights.mean(),
        num_classes,
        rounds=settings.trees,
        parameters=parameters,
        seed=seed,
        threads=_threads(inputs.size),
    )
    return fit, parameters


def xgboost_scores(model: bytes, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probability of each class as XGBoost's own predictor gives it, shape (n_events, n_classes)."""
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(model))
    scores = booster.predict(xgboost.DMatrix(rows)).astype(np.float64)
    return np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores


def _with_weight(
    inputs: NDArray[np.float32], classes: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]:
    taking_part = weights != 0
    if taking_part.all():
        return inputs, classes, weights
    log.info("%d of %d events have weight 0 and take no part", np.count_nonzero(~taking_part), len(weights))
    return inputs[taking_part], classes[taking_part], weights[taking_part]


def _threads(numbers: int) -> int:
    """One thread for small samples, whose time the threads would spend waiting for each other."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, numbers // _NUMBERS_PER_THREAD))


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
