"""Shapley values: how much each input adds to or takes from the score of an event, against that of other events."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.metrics.measurement import Measurement, Undefined, no_sum_of_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: Random orders of the inputs, each taken forwards and backwards.
_ORDERS = 10


@dataclass(frozen=True)
class ShapleyImportance:
    """Mean absolute Shapley values."""

    classes: list[str]
    #: Number of events that are explained, and with which they are compared.
    entries: int
    background: int
    #: By class, the score of which is explained, and by input.
    importances: dict[str, dict[str, Measurement | Undefined]]
    #: Largest distance between a score and the mean score of the background plus the values of all inputs.
    largest_difference: float

    def ranking(self) -> list[str]:
        """Inputs, that with the largest sum over the classes first."""
        sums: dict[str, float] = {}
        for values in self.importances.values():
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + (value.value if isinstance(value, Measurement) else 0.0)
        return sorted(sums, key=lambda name: -sums[name])

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        ranking = self.ranking()
        return {
            "entries": self.entries,
            "background": self.background,
            "largest_difference_from_score": self.largest_difference,
            **{
                f"shap_importance_{one}": {name: self.importances[one][name] for name in ranking}
                for one in self.classes
            },
        }


def shapley_values(
    score: Callable[[NDArray[np.int64]], NDArray[Any]],
    explained: NDArray[np.integer[Any]],
    background: NDArray[np.integer[Any]],
    num_inputs: int,
    *,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shapley values of the scores of some events, for a classifier of any kind; those of few inputs are exact.

    Parameters
    ----------
    score : callable
        From positions of events, int64 of shape (n_rows, n_inputs), to scores, shape (n_rows, n_classes): column j
        says from which event the input j of a row is taken.
    explained, background : array of int
        Positions of the events that are explained, and of those that stand for any event.

    Returns
    -------
    values : array of float64, shape (n_explained, n_inputs, n_classes)
    base : array of float64, shape (n_explained, n_classes)
        Mean score of the background.

    Raises
    ------
    NtuplemlError
        If there are more than 7 inputs and the package shap is not installed.

    Notes
    -----
    Lundberg and Lee, arXiv:1705.07874, with inputs taken from the background independently of each other (Štrumbelj
    and Kononenko, Knowl. Inf. Syst. 41 (2014) 647). Of up to 7 inputs all sets are tried, Σ_S |S|! (n − |S| − 1)! / n!
    (v(S ∪ j) − v(S)), which are fewer than what follows takes. Of more by shap's `PermutationExplainer`: 10 random
    orders of the inputs, forwards and backwards, exact where no more than two inputs interact. The values of an event
    and the base always add up to its score.
    """
    if 2**num_inputs <= _ORDERS * (2 * num_inputs + 1):
        return _of_all_sets(score, explained, background, num_inputs)
    shap = _imported_shap()
    # shap takes values that differ by 10⁻⁵ of their size for equal, so it gets positions in a short list.
    positions = np.concatenate([explained, background]).astype(np.int64)
    first, others = _rows(0, len(explained), num_inputs), _rows(len(explained), len(positions), num_inputs)
    state = np.random.get_state()  # noqa: NPY002  (shap seeds and uses NumPy's global generator)
    try:
        masker = shap.maskers.Independent(others, max_samples=len(others))
        explainer = shap.PermutationExplainer(lambda rows: score(positions[rows.astype(np.intp)]), masker, seed=seed)
        masks = 2 * num_inputs + 1
        explanation = explainer(first, max_evals=_ORDERS * masks, batch_size=masks, silent=True)
    finally:
        np.random.set_state(state)  # noqa: NPY002
    # shap leaves out the axis of the outputs where there is but one.
    values = np.asarray(explanation.values, dtype=np.float64).reshape(len(explained), num_inputs, -1)
    return values, np.asarray(explanation.base_values, dtype=np.float64).reshape(len(explained), -1)


def _of_all_sets(
    score: Callable[[NDArray[np.int64]], NDArray[Any]],
    explained: NDArray[np.integer[Any]],
    background: NDArray[np.integer[Any]],
    num_inputs: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shapley values by their definition, and the base."""
    sets = np.arange(2**num_inputs)
    is_in = (sets[:, None] >> np.arange(num_inputs) & 1).astype(np.bool_)
    shares = np.array([1 / math.comb(num_inputs - 1, size) / num_inputs for size in range(num_inputs)])
    without = [sets[~is_in[:, index]] for index in range(num_inputs)]
    values, base = [], []
    for event in explained:
        rows = np.where(is_in[:, None, :], event, background[None, :, None])
        found = np.asarray(score(rows.reshape(-1, num_inputs).astype(np.int64)), dtype=np.float64)
        means = found.reshape(len(sets), len(background), -1).mean(axis=1)
        added = [means[some + (1 << index)] - means[some] for index, some in enumerate(without)]
        values.append([shares[is_in[some].sum(axis=1)] @ gain for some, gain in zip(without, added, strict=True)])
        base.append(means[0])
    return np.array(values), np.array(base)


def _imported_shap() -> Any:
    try:
        with warnings.catch_warnings():
            # Its colour maps, made when it is imported, use what matplotlib 3.11 is to deprecate.
            warnings.filterwarnings("ignore", r"The set_\w+ function will be deprecated", PendingDeprecationWarning)
            import shap
    except ModuleNotFoundError as error:
        if error.name != "shap":
            raise
        raise NtuplemlError("the package shap is not installed: pip install 'ntupleml[shap]'") from None
    return shap


def _rows(start: int, stop: int, width: int) -> NDArray[np.float64]:
    """Consecutive numbers, each in all columns of its row."""
    return np.repeat(np.arange(start, stop, dtype=np.float64)[:, None], width, axis=1)


def mean_absolute(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[Measurement | Undefined]:
    """Weighted mean of the absolute values of each column, with the uncertainty from the events.

    Parameters
    ----------
    values : array of float64, shape (n_events, n_columns)
    weights : array of float64, shape (n_events,)
        Negative ones count as they are.

    Returns
    -------
    list of Measurement or Undefined
        Undefined where there is but one event, or the sum of weights is not positive.

    Notes
    -----
    The variance of m = Σ w |v| / Σ w is Σ w² (|v| − m)² / (Σ w)² · n / (n − 1).

    Examples
    --------
    >>> mean_absolute(np.array([[1.0], [-3.0]]), np.ones(2))
    [Measurement(value=2.0, uncertainty=1.0)]
    """
    undefined = Undefined("only one event") if len(weights) == 1 else no_sum_of_weights(weights)
    if undefined is not None:
        return [undefined] * values.shape[1]
    total, size = float(weights.sum()), np.abs(values)
    means = weights @ size / total
    squares = np.square(weights) @ np.square(size - means) / total**2
    factor = len(weights) / (len(weights) - 1)
    return [
        Measurement(float(mean), math.sqrt(float(square) * factor)) for mean, square in zip(means, squares, strict=True)
    ]


def shapley_importance(
    values: NDArray[np.float64],
    base: NDArray[np.float64],
    scores: NDArray[Any],
    weights: NDArray[np.float64],
    inputs: Sequence[str],
    classes: Sequence[str],
    background: int,
) -> ShapleyImportance:
    """Importance of inputs from the Shapley values of some events.

    Parameters
    ----------
    values, base : arrays
        From `shapley_values`.
    scores : array, shape (n_events, n_classes)
        Of the same events.
    weights : array of float64, shape (n_events,)
    background : int
        Number of events in the background.
    """
    found = {
        name: dict(zip(inputs, mean_absolute(values[:, :, index], weights), strict=True))
        for index, name in enumerate(classes)
    }
    difference = np.abs(base + values.sum(axis=1) - scores)
    return ShapleyImportance(
        list(classes), len(weights), background, found, float(difference.max()) if difference.size else 0.0
    )
