"""Rows whose integers are none of the values that a category has."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from ntupleml.config.category import columns_of
from ntupleml.events.values import Rows

if TYPE_CHECKING:
    from ntupleml.config import TrainingConfig
    from ntupleml.events.values import InputValues

log = logging.getLogger(__name__)


def outside_categories(config: TrainingConfig, inputs: InputValues) -> Counter[str]:
    """Number of rows that are in none of the values of a category, by its formula."""
    found: Counter[str] = Counter()
    for formula, values in config.category.items():
        wanted = columns_of(formula, values)
        for group in inputs.groups.values():
            if isinstance(group, Rows) and set(wanted) <= set(group.names):
                columns = [group.names.index(name) for name in wanted]
                found[formula] = int((~group.values[:, columns].any(axis=1)).sum())
                break
    return found


def warn_of_categories(config: TrainingConfig, outside: Counter[str], rows: int) -> None:
    """Say how many rows of a training have inputs of a category that are all 0."""
    for formula, number in outside.items():
        if number:
            shown = ", ".join(map(str, config.category[formula]))
            log.warning(
                "%s: category: '%s' is none of %s in %d of %d events, for which all its inputs are 0",
                config.where,
                formula,
                shown,
                number,
                rows,
            )
