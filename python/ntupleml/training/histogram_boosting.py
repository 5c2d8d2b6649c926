"""Scikit-learn's histogram-based gradient boosting on plain arrays, with early stopping on given events.

It is trained on the numbers of the bins of the inputs, which are made here: since its version 1.8 scikit-learn computes
each edge with event weights and from all events anew, which takes longer than to train; inputs with as few values as
there are bins it takes as they are.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.training.signed_objective import mean_cross_entropy
from ntupleml.training.stopping import Stopping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.training.library_trees import Task, TrainedTrees
    from ntupleml.training.xgboost_fit import Validation


log = logging.getLogger(__name__)

#: Numbers of the bins, class indices and weights of some events.
_BinnedEvents = tuple["NDArray[np.float64]", "NDArray[np.int64]", "NDArray[np.float64]"]
#: Rounds that are fitted before the validation loss is looked at for the first time, and then the share of those
#: fitted already that is added: few rounds too many, and few times that scikit-learn bins the inputs anew.
_FIRST_ROUNDS = 50
_MORE_ROUNDS = 0.5
#: Bins of an input where the options do not say it, scikit-learn's default.
MOST_BINS = 255


class HistGradientBoostingFit(NamedTuple):
    """A fitted forest."""

    #: It has the best rounds only where early stopping looked for them.
    estimator: Any
    #: `loss` and, with validation events, `val_loss`: weighted mean of the cross-entropy, round by round.
    history: dict[str, list[float]]
    #: Number of rounds until the training stopped.
    rounds: int
    #: Round (from 1) with the lowest validation loss; None without early stopping.
    best_round: int | None
    #: Total gain of the cuts on each input, for the inputs that are cut on.
    gain: dict[int, float]


def fit_hist_gradient_boosting(
    inputs: NDArray[np.float32],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    rounds: int,
    parameters: Mapping[str, Any],
    seed: int,
    where: str,
    validation: Validation | None = None,
    early_stopping: int | None = None,
    threads: int = 1,
) -> HistGradientBoostingFit:
    """Fit a forest by scikit-learn's HistGradientBoostingClassifier.

    Its own early stopping draws validation events by itself, and not before version 1.7 takes given ones; here rounds
    are added in blocks until the loss of the given events has not fallen for `early_stopping` rounds.

    Parameters
    ----------
    inputs : array of float32, shape (n_events, n_inputs)
        Finite.
    classes : array of int64, shape (n_events,)
        All from 0 on.
    weights : array of float64, shape (n_events,)
        None is negative.
    rounds : int
        Largest number of boosting rounds.
    parameters : mapping
        By scikit-learn's names.
    seed : int
        Of everything random; the same seed gives the same model.
    validation : tuple of arrays, optional
        Inputs, classes and weights of the events that the validation loss is computed from.
    early_stopping : int, optional
        Rounds without a lower validation loss after which the training counts as ended.
    threads : int
        Number of threads.

    Raises
    ------
    NtuplemlError
        For negative weights, which scikit-learn would take for probabilities when it bins the inputs.
    ValueError
        For early stopping without validation events.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    if early_stopping is not None and validation is None:
        raise ValueError("early stopping needs validation events")
    if weights.min(initial=0.0) < 0:
        raise NtuplemlError(
            f"{where}: HistGradientBoostingClassifier cannot take negative weights (they count as probabilities in its "
            "binning); set negative_weights: PairNegWeightsGlobal or IgnoreNegWeightsInTraining, or use type: xgboost"
        )
    edges = bin_edges(inputs, parameters.get("max_bins", MOST_BINS))
    checked: _BinnedEvents | None = None
    if validation is not None:
        checked = (bin_numbers(validation[0], edges), *validation[1:])
    estimator = HistGradientBoostingClassifier(
        random_state=seed,
        warm_start=True,
        # Not to stop, but for the loss of the training events, which comes for nothing here.
        early_stopping=True,
        validation_fraction=None,
        n_iter_no_change=rounds + 1,
        scoring="loss",
        **parameters,
    )
    with threadpool_limits(limits=threads):
        numbers = bin_numbers(inputs, edges)
        losses, stopping = _fit_in_blocks(estimator, numbers, classes, weights, rounds, checked, early_stopping)
    stopped = len(losses) or estimator.n_iter_
    history = {"loss": [float(-score) for score in estimator.train_score_[1 : stopped + 1]]}
    if validation is not None:
        history["val_loss"] = losses
    best_round = stopping.best_epoch if early_stopping is not None else None
    if best_round is not None:
        _cut(estimator, best_round)
    cuts_to_inputs(estimator, edges)
    return HistGradientBoostingFit(estimator, history, stopped, best_round, _total_gain(estimator))


def hist_gradient_boosting_trees(task: Task) -> TrainedTrees:
    """Trees by the options of a config."""
    from ntupleml.forests.files import save_forest
    from ntupleml.forests.sklearn import forest_of_hist_gradient_boosting
    from ntupleml.training.library_trees import TrainedTrees

    settings = task.settings
    fit = fit_hist_gradient_boosting(
        *task.training,
        rounds=settings.rounds,
        parameters=settings.options,
        seed=task.seed,
        where=task.where,
        validation=task.validation,
        early_stopping=settings.early_stopping,
        threads=task.threads,
    )
    forest = forest_of_hist_gradient_boosting(fit.estimator)
    write = partial(save_forest, forest=forest)
    return TrainedTrees(forest, write, fit.estimator.predict_proba, settings.options, *fit[1:])


def _fit_in_blocks(
    estimator: Any,
    numbers: NDArray[np.float64],
    classes: NDArray[np.int64],
    weights: NDArray[np.float64],
    rounds: int,
    validation: _BinnedEvents | None,
    early_stopping: int | None,
) -> tuple[list[float], Stopping]:
    """Add rounds until early stopping says so, or there are all; validation losses, and what was best."""
    losses: list[float] = []
    stopping = Stopping()
    fitted = 0
    while fitted < rounds and not stopping.is_over(early_stopping):
        block = max(_FIRST_ROUNDS, int(_MORE_ROUNDS * fitted)) if early_stopping is not None else rounds
        estimator.set_params(max_iter=min(rounds, fitted + block)).fit(numbers, classes, sample_weight=weights)
        fitted = estimator.max_iter
        if validation is not None:
            _observe(estimator, validation, losses, stopping, early_stopping)
        found = f", validation loss {losses[-1]:.5f}" if losses else ""
        log.info("%d rounds of %d: training loss %.5f%s", fitted, rounds, -estimator.train_score_[-1], found)
    return losses, stopping


def _observe(
    estimator: Any, validation: _BinnedEvents, losses: list[float], stopping: Stopping, early_stopping: int | None
) -> None:
    """Append the validation losses of the new rounds, up to where early stopping ends the training."""
    numbers, classes, weights = validation
    for sums in islice(estimator.staged_decision_function(numbers), len(losses), None):
        losses.append(mean_cross_entropy(sums, classes, weights))
        if stopping.observe(len(losses), losses[-1], early_stopping, None).stop:
            return


def _cut(estimator: Any, rounds: int) -> None:
    """Take away the trees after some rounds, which scikit-learn has no function for."""
    del estimator._predictors[rounds:]


def _total_gain(estimator: Any) -> dict[int, float]:
    """Sum of the gains of all cuts, by input."""
    nodes = np.concatenate([tree.nodes for trees in estimator._predictors for tree in trees])
    nodes = nodes[nodes["is_leaf"] == 0]
    gains = np.bincount(nodes["feature_idx"], weights=nodes["gain"], minlength=estimator.n_features_in_)
    return {int(index): float(gains[index]) for index in np.flatnonzero(gains)}


def bin_edges(inputs: NDArray[np.float32], max_bins: int = MOST_BINS) -> list[NDArray[np.float64]]:
    """Edges between the bins of each input: half way between its values if they are few, else quantiles.

    Parameters
    ----------
    inputs : array of float32, shape (n_events, n_inputs)
        Finite.
    max_bins : int
        Largest number of bins.

    Returns
    -------
    list of array of float64
        Increasing edges of each input; an input with a single value has none.

    Examples
    --------
    >>> bin_edges(np.array([[1, 7], [2, 7], [4, 7]], dtype=np.float32))
    [array([1.5, 3. ]), array([], dtype=float64)]
    """
    return [_edges(inputs[:, index].astype(np.float64), max_bins) for index in range(inputs.shape[1])]


def _edges(values: NDArray[np.float64], max_bins: int) -> NDArray[np.float64]:
    distinct = np.unique(values)
    if len(distinct) <= max_bins:
        return (distinct[:-1] + distinct[1:]) / 2
    shares = np.arange(1, max_bins) / max_bins
    return np.unique(np.quantile(values, shares, method="averaged_inverted_cdf"))


def bin_numbers(inputs: NDArray[np.float32], edges: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Number of the bin that each input is in: how many edges are below it.

    Float64, since scikit-learn would make it so.

    Examples
    --------
    >>> bin_numbers(np.array([[1], [1.5], [2], [4]], dtype=np.float32), [np.array([1.5, 3.0])]).T
    array([[0., 0., 1., 2.]])
    """
    numbers = np.empty(inputs.shape)
    for index, of_input in enumerate(edges):
        numbers[:, index] = np.searchsorted(of_input, inputs[:, index], side="left")
    return numbers


def cuts_to_inputs(estimator: Any, edges: Sequence[NDArray[np.float64]]) -> None:
    """Let a forest that was fitted to the numbers of bins take the inputs themselves.

    Parameters
    ----------
    estimator : sklearn.ensemble.HistGradientBoostingClassifier
        Changed in place.
    edges : sequence of array
        As `bin_edges` gave them.
    """
    lengths = [len(of_input) for of_input in edges]
    start = np.cumsum([0, *lengths[:-1]])
    all_edges = np.concatenate(edges)
    for trees in estimator._predictors:
        for tree in trees:
            inner = tree.nodes["is_leaf"] == 0
            # A cut at or above the number k, and below k + 1, keeps the bins up to k at its left.
            last = np.floor(tree.nodes["num_threshold"][inner]).astype(np.int64)
            tree.nodes["num_threshold"][inner] = all_edges[start[tree.nodes["feature_idx"][inner]] + last]
