"""The factor that makes events of a simulation as many as are expected."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.expressions import parse
from ntupleml.ntuples import open_ntuple
from ntupleml.ntuples.variables import branches_of_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config.scale import ScaleConfig

log = logging.getLogger(__name__)


def scale_of(scale: ScaleConfig | None, files: Sequence[tuple[str, str]], where: str) -> float:
    """Factor of the weights of a process: luminosity × cross section / sum of weights of all generated events.

    Parameters
    ----------
    scale : ScaleConfig or None
        None for a factor of 1.
    files : sequence of (str, str)
        Path and tree of each input file of the process.
    where : str
        Key of the process, for messages.

    Raises
    ------
    NtuplemlError
        If a tree or branch is missing, or the sum is not a positive number.
    """
    if scale is None:
        return 1.0
    given, key = scale.sum_of_weights, f"{where}.scale.sum_of_weights"
    if isinstance(given, int | float):
        total, formula = float(given), f"{given}"
    else:
        formula = given if isinstance(given, str) else given.formula
        trees = files if isinstance(given, str) else [(path, given.tree) for path, _ in files]
        total = math.fsum(_sum_of(formula, path, tree, key) for path, tree in trees)
    if not 0 < total < math.inf:
        raise NtuplemlError(f"{key}: '{formula}' of all events sums up to {total:g}, but a positive number is needed")
    factor = scale.luminosity * scale.cross_section / total
    log.info("%s.scale: sum of weights %.6g, so weights are multiplied with %.6g", where, total, factor)
    return factor


def _sum_of(formula: str, path: str, tree: str, where: str) -> float:
    expression = parse(formula, where=where)
    with open_ntuple(path, tree, (), where) as ntuple:
        branches_of_formula(expression, ntuple)
        ntuple.require(sorted(expression.branches), where)
        parts = [
            np.sum(expression.per_event(chunk.columns, chunk.num_rows), dtype=np.float64)
            for chunk in ntuple.chunks(sorted(expression.columns))
        ]
    return math.fsum(parts)
