"""What gives the scores of one method for the events that one of its models never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.ntuples import required_branches
from ntupleml.scoring import load_scorer
from ntupleml.testing.events import require_unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.ntuples import Ntuple
    from ntupleml.scoring import Scorer
    from ntupleml.testing.events import HeldOutSample


@dataclass(frozen=True)
class ScoreSource:
    """Scores of one method for the fold that one of its models never saw.

    Attributes
    ----------
    method : str
        Name of the method.
    variables : list of str
        Branches or formulas that its models take.
    require_unseen : callable
        Refuses a tree whose events its model was, or may have been, trained on.
    score : callable
        ``score(columns, matrix, where)``: scores, float32 of shape (n_events, n_outputs), from the branches of some
        events and, beside them, the training config's numbers as a matrix, float32 (n_events, n_numbers). A variable
        that is among the branches by its own text is taken from there.
    optional : tuple of str
        Branches that are read where a tree has them.
    vectors : tuple of tuples of str
        Variables that are vectors of the same objects, or images, input by input. Without them the methods of the
        training config take the matrix.
    remark : str
        What a reader of the results has to know: that nobody knows which events an external model was trained on, or
        that it was trained on some of these.
    """

    method: str
    variables: list[str]
    require_unseen: Callable[[Ntuple], None]
    score: Callable[[Mapping[str, Any], NDArray[np.float32], str], NDArray[np.float32]]
    optional: tuple[str, ...] = ()
    vectors: tuple[tuple[str, ...], ...] = ()
    remark: str = ""

    def branches(self, ntuple: Ntuple) -> list[str]:
        """Branches that have to be read.

        Raises
        ------
        NtuplemlError
            If one is missing.
        """
        where = f"{ntuple.path}: tree '{ntuple.tree_path}'"
        required = required_branches(self.variables, ntuple.branches, where)
        return list(dict.fromkeys([*required, *(name for name in self.optional if name in ntuple.branches)]))


def trained_source(name: str, sample: HeldOutSample, model: TrainedModel) -> ScoreSource:
    """Scores of a method of the training config.

    Parameters
    ----------
    name : str
        Of the method, as the training config has it.
    sample : HeldOutSample
    model : TrainedModel
        Takes the inputs of the training config, in its order.
    """
    scorer = load_scorer([model]).of_condition(sample.condition, sample.where)
    vectors = vectors_of(scorer)

    def score(columns: Mapping[str, Any], matrix: NDArray[np.float32], where: str) -> NDArray[np.float32]:
        if not vectors:
            columns = dict(zip(scorer.variables, matrix.T, strict=True))
        return scorer.score(columns, np.full(len(matrix), sample.fold), where=where)

    return ScoreSource(
        name,
        list(scorer.variables),
        lambda ntuple: require_unseen(ntuple, sample, model.record),
        score,
        vectors=vectors,
    )


def vectors_of(scorer: Scorer) -> tuple[tuple[str, ...], ...]:
    """Formulas of each group of objects or images, which belong together."""
    return tuple(tuple(group.needed) for group in scorer.groups if group.objects is not None or group.image is not None)
