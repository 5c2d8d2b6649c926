"""What gives the scores of one method for the events that one of its models never saw."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.ntuples import required_branches
from ntupleml.scoring import load_scorer
from ntupleml.testing.events import require_unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues
    from ntupleml.ntuples import Ntuple
    from ntupleml.scoring import Scorer
    from ntupleml.scoring.evaluators import EnsembleScores
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
        Refuses a tree, and the file that it is in, whose events its model was, or may have been, trained on.
    score : callable
        ``score(columns, matrix, where)``: scores, float32 of shape (n_events, n_outputs), from the branches of some
        events and, beside them, the training config's numbers as a matrix, float32 (n_events, n_numbers). A variable
        that is among the branches by its own text is taken from there.
    optional : tuple of str
        Branches that are read where a tree has them.
    vectors : tuple of tuples of str
        Variables that are vectors of the same objects, or images, input by input. Without them the methods of the
        training config take the matrix.
    groups : list of InputGroup
        What its models take.
    read : callable
        ``read(columns, matrix, where)``: what `score` gives to its models, of all groups.
    score_inputs : callable
        ``score_inputs(inputs, columns, where)``: as `score`, of groups that are read already, and of the columns that
        are read where a tree has them.
    ensemble : callable
        Of ensembles: as `score`, with the scores of all members.
    remark : str
        What a reader of the results has to know: that nobody knows which events an external model was trained on, or
        that it was trained on some of these.
    """

    method: str
    variables: list[str]
    require_unseen: Callable[[Ntuple, HeldOutSample], None]
    score: Callable[[Mapping[str, Any], NDArray[np.float32], str], NDArray[np.float32]]
    optional: tuple[str, ...] = ()
    vectors: tuple[tuple[str, ...], ...] = ()
    remark: str = ""
    groups: list[InputGroup] = field(default_factory=list)
    read: Callable[[Mapping[str, Any], NDArray[np.float32], str], InputValues] | None = None
    score_inputs: Callable[[InputValues, Mapping[str, Any], str], NDArray[np.float32]] | None = None
    ensemble: Callable[[Mapping[str, Any], NDArray[np.float32], str], EnsembleScores] | None = None

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


def trained_source(name: str, sample: HeldOutSample, model: TrainedModel, scorer: Scorer | None = None) -> ScoreSource:
    """Scores of a method of the training config.

    Parameters
    ----------
    name : str
        Of the method, as the training config has it.
    sample : HeldOutSample
    model : TrainedModel
        Takes the inputs of the training config, in its order.
    scorer : Scorer, optional
        Of the model; by default it is loaded.
    """
    scorer = (scorer or load_scorer([model])).of_condition(sample.condition, sample.where)
    vectors = vectors_of(scorer)

    def read(columns: Mapping[str, Any], matrix: NDArray[np.float32], where: str) -> InputValues:
        if not vectors:
            columns = dict(zip(scorer.variables, matrix.T, strict=True))
        return scorer.read(columns, len(matrix), where)

    def score(columns: Mapping[str, Any], matrix: NDArray[np.float32], where: str) -> NDArray[np.float32]:
        return of_inputs(read(columns, matrix, where), columns, where)

    def of_inputs(inputs: InputValues, _columns: Mapping[str, Any], where: str) -> NDArray[np.float32]:
        return scorer.score_inputs(inputs, np.full(len(inputs), sample.fold), where=where)

    def ensemble(columns: Mapping[str, Any], matrix: NDArray[np.float32], where: str) -> EnsembleScores:
        inputs = read(columns, matrix, where)
        return scorer.ensemble_scores(inputs, np.full(len(inputs), sample.fold), where=where)

    return ScoreSource(
        name,
        list(scorer.variables),
        lambda ntuple, file: require_unseen(ntuple, file, model.record),
        score,
        vectors=vectors,
        groups=scorer.groups,
        read=read,
        score_inputs=of_inputs,
        ensemble=ensemble if scorer.num_members > 1 else None,
    )


def vectors_of(scorer: Scorer) -> tuple[tuple[str, ...], ...]:
    """Formulas of each group of inputs that belong together: of objects, slots, images, combinations."""
    return tuple(
        tuple(group.needed) for group in scorer.groups if group.objects or group.slots or group.image or group.made
    )
