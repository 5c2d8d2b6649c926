"""Inputs that are missing: NaN and ±infinity, counted and replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions.messages import hint_for_elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def count_missing(rows: NDArray[Any]) -> NDArray[np.int64]:
    """Number of NaN or infinite values of each variable.

    Parameters
    ----------
    rows : array, shape (n_events, n_variables)

    Returns
    -------
    array of int64, shape (n_variables,)

    Examples
    --------
    >>> count_missing(np.array([[1.0, np.nan], [np.inf, np.nan]]))
    array([1, 2])
    """
    if np.isfinite(rows).all():
        return np.zeros(rows.shape[1], dtype=np.int64)
    counts: NDArray[np.int64] = np.sum(~np.isfinite(rows), axis=0, dtype=np.int64)
    return counts


def refuse_missing(rows: NDArray[Any], variables: Sequence[str], where: str) -> None:
    """Raise if any input is NaN or infinite.

    Parameters
    ----------
    rows : array, shape (n_events, n_variables)
    variables : sequence of str
        Names of the columns.
    """
    found = [(name, int(count)) for name, count in zip(variables, count_missing(rows), strict=True) if count]
    if found:
        raise missing_error(found, len(rows), where)


def missing_error(found: Sequence[tuple[str, int]], total: int, where: str, unit: str = "events") -> NtuplemlError:
    """The error for branches with their numbers of NaN or infinite values, of a total."""
    texts = [f"'{name}' in {count} of {total} {unit}" for name, count in found]
    more = f" (and {len(texts) - 3} more branches)" if len(texts) > 3 else ""
    hint = next((hint for name, _ in found if (hint := hint_for_elements(name))), "")
    return NtuplemlError(
        f"{where}: NaN or infinite input: branch {', '.join(texts[:3])}{more}; cut them away, or set "
        f"missing: {{value: …}} in the training config{hint}"
    )


def fill_missing(rows: NDArray[Any], value: float | None) -> NDArray[Any]:
    """Inputs with NaN and infinite ones replaced.

    Parameters
    ----------
    rows : array, shape (n_events, n_variables)
        Not changed.
    value : float or None
        What replaces them; None leaves everything as it is.

    Returns
    -------
    array, shape (n_events, n_variables)
        The same array where nothing had to be replaced.

    Examples
    --------
    >>> fill_missing(np.array([[1.0, np.nan]]), -10.0)
    array([[  1., -10.]])
    """
    if value is None:
        return rows
    finite = np.isfinite(rows)
    return rows if finite.all() else np.where(finite, rows, rows.dtype.type(value))
