"""From ntuples to ntuples with scores: columns in, scores out, branches written, in place or into friend trees."""

from ntupleml.application.alignment import require_aligned
from ntupleml.application.friend_trees import write_friends, write_planned_friends
from ntupleml.application.in_place import append_planned_scores, append_scores
from ntupleml.application.many_files import score_files
from ntupleml.application.plan import Plan, make_plan

__all__ = [
    "Plan",
    "append_planned_scores",
    "append_scores",
    "make_plan",
    "require_aligned",
    "score_files",
    "write_friends",
    "write_planned_friends",
]
