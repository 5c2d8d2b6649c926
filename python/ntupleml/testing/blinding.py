"""Events that lie where recorded data are not looked at: a formula of scores and branches in the testing config."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.expressions import parse
from ntupleml.scoring import max_score_and_index

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TestingConfig
    from ntupleml.testing.tested_events import TestedEvents

#: What the names of scores begin with, as those of branches that the application writes.
_PREFIX = "ml_score_"


def _names(outputs: Sequence[str]) -> list[str]:
    return [*(f"{_PREFIX}{name}" for name in outputs), f"{_PREFIX}max_score", f"{_PREFIX}max_index"]


def branches_of_blind(testing: TestingConfig, outputs: Sequence[str]) -> list[str]:
    """Branches of the fold files that the formula of the blinded region needs.

    Raises
    ------
    NtuplemlError
        If the formula is none, or has a score that is not there.
    """
    if testing.blind is None:
        return []
    where = f"{testing.where}: blind"
    branches, known = sorted(parse(testing.blind, where).branches), _names(outputs)
    for name in branches:
        if name.startswith(_PREFIX) and name not in known:
            raise NtuplemlError(f"{where}: no score '{name}'{did_you_mean(name, known)}")
    return [name for name in branches if name not in known]


def blinded_events(events: TestedEvents, method: str, formula: str, where: str) -> NDArray[np.bool_]:
    """Which events pass the formula of the blinded region, by the scores of a method.

    Parameters
    ----------
    where : str
        Config and key, for messages.

    Returns
    -------
    array of bool, shape (n_events,)
    """
    return blinded_rows(events.scores_of(method), events.outputs or events.classes, events.values_of, formula, where)


def blinded_rows(
    scores: NDArray[np.float32],
    outputs: Sequence[str],
    values_of: Callable[[str], NDArray[np.float32]],
    formula: str,
    where: str,
) -> NDArray[np.bool_]:
    """Which rows pass the formula of the blinded region; `values_of` gives the values of a branch."""
    columns = dict(zip(_names(outputs), [*scores.T, *max_score_and_index(scores)], strict=True))
    expression = parse(formula, where)
    needed = {name: columns[name] if name in columns else values_of(name) for name in expression.branches}
    passed: NDArray[np.bool_] = np.asarray(expression.passes(needed, len(scores)), np.bool_)
    return passed
