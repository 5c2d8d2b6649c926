"""The branches of an ntuple that models need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.errors import NtuplemlError
from ntupleml.events.reading import branches_of_events
from ntupleml.ntuples import required_branches

if TYPE_CHECKING:
    from ntupleml.application.plan import Plan
    from ntupleml.ntuples import Ntuple


def branches_to_read(plan: Plan, ntuple: Ntuple) -> list[str]:
    """Branches of the variables and the selection, that of the event numbers, and its copies in friends."""
    where = f"{ntuple.path}: tree '{ntuple.tree_path}'"
    needed = required_branches(variables_in(plan, ntuple), ntuple.branches, where)
    needed += plan.selection.branches(ntuple)
    needed += branches_of_events(ntuple, plan.fold_rule)
    return list(dict.fromkeys(needed))


def variables_in(plan: Plan, ntuple: Ntuple) -> list[str]:
    """The variables of the models, as this ntuple has them: formulas of its branches, or else labels.

    A variable of TMVA weights is its expression, as for TMVA itself. Only where the ntuple lacks a branch that the
    expression needs, but has one that is called as the variable's label, that branch is taken.
    """
    return [_as_label(name, plan, ntuple) for name in plan.scorer.variables]


def _as_label(variable: str, plan: Plan, ntuple: Ntuple) -> str:
    label = plan.labels.get(variable)
    if label is None or label not in ntuple.branches:
        return variable
    try:
        required_branches([variable], ntuple.branches, ntuple.path)
    except NtuplemlError:
        return label
    return variable
