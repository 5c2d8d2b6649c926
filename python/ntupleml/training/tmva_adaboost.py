"""TMVA's AdaBoost and bagging for two classes, with the decision trees of scikit-learn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.forests import LEAF, Forest
from ntupleml.forests.sklearn import float32_cuts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.training.tabular_data import TabularPart
    from ntupleml.training.tmva_options import BdtSettings

log = logging.getLogger(__name__)

#: Options that have a meaning here.
USED_OPTIONS = {
    "NTrees",
    "BoostType",
    "AdaBoostBeta",
    "MaxDepth",
    "NNodesMax",
    "MinNodeSize",
    "nEventsMin",
    "SeparationType",
    "SigToBkgFraction",
    "SkipNormalization",
    "UseYesNoLeaf",
    "UseBaggedBoost",
    "BaggedSampleFraction",
    "UseNTrainEvents",
    "NegWeightTreatment",
    "IgnoreNegWeightsInTraining",
}
#: Criteria of scikit-learn's trees for TMVA's; for the others the first is taken.
_CRITERIA = {"GiniIndex": "gini", "CrossEntropy": "entropy"}


class VotingTrees(NamedTuple):
    """Decision trees, each of which votes for signal (the first class) or background."""

    #: Fitted to whether an event is signal.
    trees: list[Any]
    #: Weight of each vote.
    weights: list[float]
    #: Share of the weights that each tree classified wrongly, as AdaBoost saw them.
    errors: list[float]


def fit_voting_trees(settings: BdtSettings, training: TabularPart, seed: int, where: str) -> VotingTrees:
    """Boost decision trees by TMVA's AdaBoost, or bag them.

    Parameters
    ----------
    settings : BdtSettings
        `boost_type` is ``"AdaBoost"`` or ``"Bagging"``.
    training : TabularPart
        Events to train on, their negative weights treated; class 0 is the signal. Those of weight 0 take no part.

    Notes
    -----
    Weights of wrongly classified events are multiplied by ((1 − ε)/ε)^β, where ε is the weighted share of them, and
    negative weights by the inverse with `InverseBoostNegWeights`; the tree's vote has the weight β ln((1 − ε)/ε)
    (Y. Freund, R. Schapire, J. Comput. Syst. Sci. 55 (1997) 119; `MethodBDT::AdaBoost`). With `UseBaggedBoost`, all of
    this is of the events that were drawn for the tree, as often as they were; the others keep their weights.
    """
    if settings.separation not in _CRITERIA:
        log.warning("%s: SeparationType=%s is not known here; GiniIndex is taken", where, settings.separation)
    taking_part = training.weights != 0
    inputs = training.inputs[taking_part]
    signal = training.classes[taking_part] == 0
    weights = _first_weights(settings, training.weights[taking_part], signal)
    generator = np.random.default_rng(seed)
    result = VotingTrees([], [], [])
    for index in range(settings.trees):
        sample = _sample(settings, len(weights), generator, where)
        seen = weights[sample.rows]
        tree = _tree(settings, len(weights), seen, seed + index)
        tree.fit(inputs[sample.rows], signal[sample.rows], sample_weight=seen)
        wrong = tree.predict(inputs[sample.events]) != signal[sample.events]
        shares = weights[sample.events] * sample.copies
        error = abs(float(shares[wrong].sum() / shares.sum()))
        if settings.boost_type == "Bagging":
            _append(result, tree, 1.0, error)
            continue
        if error >= 0.5:
            log.warning("tree %d is wrong for %.3g of the weights, no better than chance; boosting ends", index, error)
            break
        if error == 0:
            log.info("tree %d classifies every event rightly; boosting ends", index)
            _append(result, tree, 1.0, error)
            break
        boost = settings.beta * float(np.log((1 - error) / error))
        _append(result, tree, boost, error)
        weights = _boosted(settings, weights, sample, wrong, signal, boost)
    if not result.trees:
        raise NtuplemlError(f"{where}: no tree is better than chance; check the variables, or lower MinNodeSize")
    return result


class _Sample(NamedTuple):
    """Events that a tree is made from."""

    #: Each event once, and as often as it counts.
    events: slice | NDArray[np.intp]
    rows: slice | NDArray[np.intp]
    #: Shape (n_events,). How often each counts.
    copies: NDArray[np.int64]


def _sample(settings: BdtSettings, num_events: int, generator: np.random.Generator, where: str) -> _Sample:
    """All events, or those that a Poisson number of copies each leaves (`MethodBDT::GetBaggedSubSample`)."""
    if settings.bagged_share is None:
        return _Sample(slice(None), slice(None), np.ones(num_events, dtype=np.int64))
    share = settings.sampled_share(num_events)
    copies = generator.poisson(share, num_events)
    events = np.flatnonzero(copies)
    if not len(events):
        raise NtuplemlError(
            f"{where}: BaggedSampleFraction: none of {num_events} events is drawn at {share:g}; raise it"
        )
    return _Sample(events, np.repeat(events, copies[events]), copies[events])


def _append(result: VotingTrees, tree: Any, weight: float, error: float) -> None:
    result.trees.append(tree)
    result.weights.append(weight)
    result.errors.append(error)


def _first_weights(
    settings: BdtSettings, weights: NDArray[np.float64], signal: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weights whose mean is 1, and whose sums of signal and background have the wanted ratio."""
    if not settings.normalise:
        return np.asarray(weights / weights.mean())
    ratio = settings.signal_to_background
    factors = np.where(signal, ratio / weights[signal].sum(), 1 / weights[~signal].sum())
    return np.asarray(weights * factors * len(weights) / (1 + ratio))


def _boosted(
    settings: BdtSettings,
    weights: NDArray[np.float64],
    sample: _Sample,
    wrong: NDArray[np.bool_],
    signal: NDArray[np.bool_],
    boost: float,
) -> NDArray[np.float64]:
    """New weights of all events; those of the sample change once per copy, as in TMVA."""
    events, copies = sample.events, sample.copies
    old = weights[events]
    exponents = np.where(wrong, boost, 0.0)
    if settings.negative_weights == "InverseBoostNegWeights":
        exponents[old < 0] *= -1
    # TMVA adds up the weight of a copy before it boosts the next one of the same event.
    total = 0.0
    for copy in range(1, int(copies.max()) + 1):
        again = copies >= copy
        total += float(np.sum(old[again] * np.exp(copy * exponents[again])))
    # The ratio of signal and background is applied anew in each round.
    norm = copies.sum() / total * np.where(signal[events], settings.signal_to_background, 1.0)
    boosted = weights.copy()
    boosted[events] = old * (np.exp(exponents) * norm) ** copies
    return boosted


def _tree(settings: BdtSettings, num_events: int, seen: NDArray[np.float64], seed: int) -> Any:
    """Tree whose leaves hold a share of the sample's events, and as large a sum of weights (`DecisionTree`)."""
    from sklearn.tree import DecisionTreeClassifier

    smallest = settings.min_node_share(num_events) * len(seen)
    return DecisionTreeClassifier(
        criterion=_CRITERIA.get(settings.separation, "gini"),
        max_depth=settings.max_depth,
        min_samples_leaf=max(1, int(np.ceil(smallest))),
        min_weight_fraction_leaf=float(np.clip(smallest / seen.sum(), 0, 0.5)),
        random_state=seed % 2**32,
    )


def forest_of_votes(votes: VotingTrees, num_inputs: int) -> Forest:
    """The forest whose output is Σ w (±1) / Σ w: TMVA's response, 1 for signal."""
    trees = [tree.tree_ for tree in votes.trees]
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    inner = np.concatenate([tree.children_left >= 0 for tree in trees])
    first = np.repeat(roots, sizes)

    def children(name: str) -> NDArray[np.int32]:
        numbers = np.concatenate([getattr(tree, name) for tree in trees])
        return np.where(inner, numbers + first, -1).astype(np.int32)

    features = np.concatenate([tree.feature for tree in trees])
    thresholds = np.concatenate([tree.threshold for tree in trees])
    answers = np.concatenate([_answers(tree) for tree in votes.trees])
    return Forest(
        num_inputs=num_inputs,
        num_outputs=1,
        roots=roots.astype(np.int64),
        tree_outputs=np.zeros(len(trees), dtype=np.int64),
        features=np.where(inner, features, LEAF).astype(np.int32),
        cuts=np.where(inner, float32_cuts(thresholds), 0).astype(np.float32),
        left=children("children_left"),
        right=children("children_right"),
        values=np.where(inner, 0.0, answers * np.repeat(votes.weights, sizes)),
        link="identity",
        divisor=float(np.sum(votes.weights)),
    )


def _answers(tree: Any) -> NDArray[np.float64]:
    """±1 for each node of a tree, 1 where it says signal."""
    chosen = tree.classes_[np.argmax(tree.tree_.value[:, 0, :], axis=1)]
    return np.where(chosen, 1.0, -1.0)


def vote_scores(votes: VotingTrees, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same response by scikit-learn's own predictions, shape (n_events, 1)."""
    total = np.zeros(len(rows))
    for tree, weight in zip(votes.trees, votes.weights, strict=True):
        total += np.where(tree.predict(rows), weight, -weight)
    return np.asarray(total[:, np.newaxis] / np.sum(votes.weights))


def importance_of_votes(votes: VotingTrees) -> NDArray[np.float64]:
    """Share of each input in the gain of the trees, weighted like their votes; zeros if no tree has a cut."""
    gains = np.array([tree.feature_importances_ for tree in votes.trees])
    total = np.average(gains, axis=0, weights=votes.weights)
    return np.asarray(total / total.sum() if total.sum() > 0 else total)
