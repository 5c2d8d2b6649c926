"""Variables of a classifier: branches, or formulas of branches, as one matrix."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions.syntax import ENTRY

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from ntupleml.expressions import Expression
    from ntupleml.ntuples.reading import Ntuple

#: Rows that are filled at a time, so that the part of the matrix being written stays in the processor's cache.
_BLOCK = 4096


def required_branches(variables: Sequence[str], available: Collection[str], where: str) -> list[str]:
    """Branches to read for some variables.

    A variable is the branch of its name; where there is none, it is a formula such as ``jet_pt[0]`` or ``pt_1/pt_2``.

    Parameters
    ----------
    available : collection of str
        Branches there are.

    Returns
    -------
    list of str
        Each once, in order of need; with ``Entry$`` for a formula of entry numbers, or of no branch at all.

    Raises
    ------
    NtuplemlError
        If a variable is neither a branch nor a formula of branches.
    """
    branches: dict[str, None] = {}
    for name in variables:
        if name in available:
            branches[name] = None
            continue
        for branch in sorted(_formula(name, where, available).columns):
            if branch not in available and branch != ENTRY:
                raise NtuplemlError(
                    f"{where}: no branch '{branch}', which variable '{name}' needs{did_you_mean(branch, available)}"
                )
            branches[branch] = None
    return list(branches)


def columns_to_matrix(
    columns: Mapping[str, Any], variables: Sequence[str], *, where: str = "variables"
) -> NDArray[np.float32]:
    """Variables of events as one matrix.

    Parameters
    ----------
    columns : mapping of str to array
        Branches that `required_branches` names, each with one number per event (of any type of number or bool), or
        vectors (awkward arrays) where a formula uses them.
    variables : sequence of str
        Branches or formulas, in the order of the matrix.

    Returns
    -------
    array of float32, shape (n_events, n_variables)
        Numbers beyond the range of float32 become infinite; integers above 2²⁴ are rounded to float32's precision.

    Raises
    ------
    NtuplemlError
        For a variable that has several numbers per event, or no number.

    Examples
    --------
    >>> columns_to_matrix({"n": np.array([1, 2]), "x": np.array([0.5, 1.5])}, ["x", "n"])
    array([[0.5, 1. ],
           [1.5, 2. ]], dtype=float32)
    """
    num_events = len(next(iter(columns.values()))) if columns else 0
    numbers = [variable_values(name, columns, num_events, where) for name in variables]
    return as_matrix(numbers, num_events)


def as_matrix(
    numbers: Sequence[NDArray[Any]],
    length: int,
    dtype: DTypeLike = np.float32,
    constants: Sequence[float] = (),
    order: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Columns side by side, shape (length, n_columns), then constants.

    Parameters
    ----------
    constants : sequence of float
        Values of further columns.
    order : array of int64, shape (length,), optional
        Positions in the columns that are taken; all by default.
    """
    matrix = np.empty((length, len(numbers) + len(constants)), dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is infinite, and refused later
        for start in range(0, length, _BLOCK):
            block: Any = slice(start, min(start + _BLOCK, length))
            taken = block if order is None else order[block]
            for index, values in enumerate(numbers):
                matrix[block, index] = values[taken]
    matrix[:, len(numbers) :] = constants
    return matrix


def variable_values(
    name: str, columns: Mapping[str, Any], num_events: int, where: str, *, vectors: bool = False
) -> Any:
    """Values of one variable.

    Parameters
    ----------
    name : str
        Branch or formula.
    columns : mapping of str to array
        Branches that it needs.
    vectors : bool, default: False
        Whether it may have several values per event.

    Returns
    -------
    array, shape (n_events,)
        Of the branch's own type; with `vectors` a jagged awkward array where there are several values per event.

    Raises
    ------
    NtuplemlError
        If it has several values per event and is not to, or is no number.
    """
    found = columns[name] if name in columns else _formula(name, where, columns).evaluate(columns, num_events)
    values: NDArray[Any] | None = found if isinstance(found, np.ndarray) else _flat(found)
    if values is None or values.ndim != 1:
        if vectors:
            return found
        if values is not None and values.ndim > 2:
            shape = " × ".join(map(str, values.shape[1:]))
            raise NtuplemlError(f"{where}: variable '{name}' is an array of {shape} numbers; it can only be an image")
        raise NtuplemlError(
            f"{where}: variable '{name}' has several values per event; choose one, e.g. '{name}[0]', or Sum$({name})"
        )
    if values.dtype.kind not in "fiub":
        raise NtuplemlError(f"{where}: variable '{name}' is of type {values.dtype}; a number per event is needed")
    return values


def _flat(values: Any) -> NDArray[Any] | None:
    """An awkward array of one number per event as a plain one; None where it has vectors or gaps."""
    import awkward as ak

    if values.ndim != 1:
        return None
    try:
        return np.asarray(ak.to_numpy(values, allow_missing=False))
    except (TypeError, ValueError):
        return None


def _formula(name: str, where: str, available: Collection[str]) -> Expression:
    if name.isidentifier():
        raise NtuplemlError(f"{where}: no branch '{name}'{did_you_mean(name, available)}")
    return parsed(name, f"{where}: variable '{name}'")


def branches_of_formula(formula: Expression, ntuple: Ntuple) -> list[str]:
    """Branches that a formula needs, with ``Entry$`` where it counts entries; checked to be there.

    Raises
    ------
    NtuplemlError
        If one is missing, or the formula asks for elements beyond the end of an array.
    """
    try:
        formula.check_branches(ntuple.branches)
        formula.check_elements({name: one.length for name, one in ntuple.branches.items() if one.length is not None})
    except NtuplemlError as error:
        raise NtuplemlError(f"{ntuple.path}: tree '{ntuple.tree_path}': {error}") from None
    return sorted(formula.columns)


@lru_cache(maxsize=1000)
def parsed(formula: str, where: str) -> Expression:
    """A formula parsed once, as it comes with every chunk of an ntuple."""
    from ntupleml.expressions import parse

    return parse(formula, where)
