"""Preprocessing in steps: scalers, principal components and power transformations, one after the other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.preprocessing.scalers import SCALERS, fit_scaler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.preprocessing.scalers import Scaler

log = logging.getLogger(__name__)


def fit_steps(
    steps: Sequence[str | Mapping[str, Any]],
    rows: NDArray[np.float32],
    *,
    weights: NDArray[np.float64] | None = None,
    seed: int = 0,
    where: str = "preprocessing",
) -> list[Scaler]:
    """Fit steps of preprocessing, each to what the ones before it make of the events.

    Parameters
    ----------
    steps : sequence of str or mapping
        Keys of `SCALERS` and `STEPS`, or blocks with such a key as `type` and its settings.
    rows : array of float32, shape (n_events, n_variables)
        Finite.
    weights : array, shape (n_events,), optional
        Event weights, which the scalers count. Principal components and power transformations know none.

    Returns
    -------
    list of scikit-learn transformers

    Raises
    ------
    NtuplemlError
        For a step or setting that there is not, and for events that a step cannot take.

    Examples
    --------
    >>> steps = fit_steps(["standard_scaler", {"type": "pca", "n_components": 1}], np.eye(3, dtype=np.float32))
    >>> [type(step).__name__ for step in steps], transformed(steps, np.eye(3, dtype=np.float32)).shape
    (['StandardScaler', 'PCA'], (3, 1))
    """
    fitted: list[Scaler] = []
    for number, step in enumerate(steps):
        key = f"{where}[{number}]"
        settings = {} if isinstance(step, str) else {name: step[name] for name in step if name != "type"}
        name = step if isinstance(step, str) else str(step.get("type"))
        if name in SCALERS and not settings:
            found = fit_scaler(name, rows, weights=weights, seed=seed, where=key)
        elif name in STEPS:
            found = STEPS[name](rows, settings, key)
            log.info("fitted %s to %d events%s", name, len(rows), "" if weights is None else "; it knows no weights")
        elif name in SCALERS:
            raise NtuplemlError(f"{key}: {name} has no setting '{next(iter(settings))}'; it has none")
        else:
            raise NtuplemlError(f"{key}: no preprocessing '{name}'{did_you_mean(name, [*SCALERS, *STEPS])}")
        fitted.append(found)
        rows = transformed([found], rows)
    return fitted


def transformed(steps: Sequence[Scaler], rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Events after steps of preprocessing: each computes in double precision and gives float32, as its graph does."""
    for step in steps:
        least = getattr(step, "least_", None)
        rows = np.asarray(rows, dtype=np.float64)
        rows = step.transform(rows if least is None else np.maximum(rows, least)).astype(np.float32)
    return rows


def _components(rows: NDArray[np.float32], settings: Mapping[str, Any], where: str) -> Scaler:
    from sklearn.decomposition import PCA

    known = ("n_components", "whiten")
    _require_known(settings, known, "pca", where)
    return _fitted(PCA(svd_solver="full", **settings), rows, where)


def _box_cox(rows: NDArray[np.float32], settings: Mapping[str, Any], where: str) -> Scaler:
    from sklearn.preprocessing import PowerTransformer

    _require_known(settings, (), "box_cox", where)
    least = rows.min(axis=0)
    if not (least > 0).all():
        raise NtuplemlError(
            f"{where}: box_cox takes positive inputs only, but input {int(np.argmin(least))} goes down to "
            f"{least.min():.3g}; put it before other steps, or take yeo_johnson"
        )
    step = _fitted(PowerTransformer(method="box-cox"), rows, where)
    # what is smaller than all that was seen counts as the smallest: at zero there is nothing to compute
    step.least_ = least.astype(np.float64)
    return step


def _yeo_johnson(rows: NDArray[np.float32], settings: Mapping[str, Any], where: str) -> Scaler:
    from sklearn.preprocessing import PowerTransformer

    _require_known(settings, (), "yeo_johnson", where)
    return _fitted(PowerTransformer(method="yeo-johnson"), rows, where)


def _require_known(settings: Mapping[str, Any], known: Sequence[str], name: str, where: str) -> None:
    for key in settings:
        if key not in known:
            raise NtuplemlError(f"{where}: {name} has no setting '{key}'{did_you_mean(key, known)}")


def _fitted(step: Scaler, rows: NDArray[np.float32], where: str) -> Scaler:
    try:
        return step.fit(np.asarray(rows, dtype=np.float64))
    except (ValueError, TypeError) as error:
        raise NtuplemlError(f"{where}: {one_line(error)}") from None


#: What is fitted beside the scalers, by name: builders called with rows, settings and where for messages.
STEPS: dict[str, Callable[[NDArray[np.float32], Mapping[str, Any], str], Scaler]] = {
    "box_cox": _box_cox,
    "pca": _components,
    "yeo_johnson": _yeo_johnson,
}
