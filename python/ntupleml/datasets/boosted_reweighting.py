"""Boosted reweighting: trees that find where the densities of two weighted samples differ, and by which factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.compiled import kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.config.reweight import BoostedConfig

#: Cuts that a tree may choose from, for each formula and sample.
_CUTS_PER_SAMPLE = 128


class Trees(NamedTuple):
    """Trees of one depth as arrays. Node n has the children 2n + 1, where x ≤ cut, and 2n + 2."""

    #: Cuts of each formula, ascending.
    cuts: tuple[NDArray[np.float64], ...]
    #: Shape (n_trees, 2^depth − 1). Index of the formula.
    features: NDArray[np.int64]
    #: The same shape. Index of the cut; past the last where the node has no cut and all rows go to the left.
    codes: NDArray[np.int64]
    #: Shape (n_trees, 2^depth). Summands of the logarithm of the factor, by leaf.
    values: NDArray[np.float64]

    def logarithms(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Logarithms of the factors of rows, shape (n_rows,), by the values of their formulas, (n_rows, n_formulas)."""
        found: NDArray[np.float64] = _sums(coded(values, self.cuts), self.features, self.codes, self.values)
        return found


class Sample(NamedTuple):
    """Rows: values of the formulas, shape (n_rows, n_formulas), and weights of both signs, (n_rows,)."""

    values: NDArray[np.float64]
    weights: NDArray[np.float64]


def coded(values: NDArray[np.float64], cuts: Sequence[NDArray[np.float64]]) -> NDArray[np.int16]:
    """How many cuts are below each value: x ≤ cuts[k] where the code is at most k."""
    columns = [np.searchsorted(of_one, values[:, index]) for index, of_one in enumerate(cuts)]
    return np.stack(columns, axis=1).astype(np.int16)


@kept
def _sums(
    rows: NDArray[np.int16], features: NDArray[np.int64], codes: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums = np.zeros(len(rows))
    inner = features.shape[1]
    for row in range(len(rows)):
        for tree in range(len(features)):
            node = 0
            while node < inner:
                right = rows[row, features[tree, node]] > codes[tree, node]
                node = 2 * node + 1 + int(right)
            sums[row] += values[tree, node - inner]
    return sums


def fit_trees(original: Sample, wanted: Sample, settings: BoostedConfig, seed: Sequence[int]) -> Trees:
    """Trees whose factors bring the distribution of one sample to that of another.

    Parameters
    ----------
    original, wanted : Sample
        With positive sums of weights.
    seed : sequence of int
        Of the rows that each tree is built from, where these are not all.

    Notes
    -----
    Rogozhnikov, *Reweighting with Boosted Decision Trees* (arXiv:1608.05806). A cut maximises the symmetrised
    χ² = Σ (w_original − w_wanted)² / (w_original + w_wanted) over the leaves, with sums of weights of samples that
    weigh 1 each. Then the weights of the original rows in a leaf are multiplied by
    exp(learning rate · log(w_wanted / w_original)), and the next tree sees these.

    Negative weights count as they are in all sums. The effective number of rows (Σw)²/Σw² of both samples must reach
    `least` on both sides of a cut, and the sums must be positive, so that a ratio exists in each leaf, known to about
    1/√least.
    """
    cuts = tuple(_cuts(original.values[:, index], wanted.values[:, index]) for index in range(original.values.shape[1]))
    codes = [coded(sample.values, cuts) for sample in (original, wanted)]
    start, weights = (sample.weights / sample.weights.sum() for sample in (original, wanted))
    logarithms = np.zeros(len(start))
    features, chosen, values = [], [], []
    for tree in range(settings.trees):
        changed = start * np.exp(logarithms)
        changed /= changed.sum()
        both = (changed, weights)
        used = codes
        if settings.subsample < 1:
            random = np.random.default_rng([*seed, tree])
            kept_rows = [random.random(len(one)) < settings.subsample for one in both]
            used = [one[rows] for one, rows in zip(codes, kept_rows, strict=True)]
            both = (changed[kept_rows[0]], weights[kept_rows[1]])
            if min(one.sum() for one in both) <= 0:
                continue
            both = (both[0] / both[0].sum(), both[1] / both[1].sum())
        of_tree = _tree(used, both, settings, [len(one) for one in cuts])
        features.append(of_tree[0])
        chosen.append(of_tree[1])
        values.append(of_tree[2])
        logarithms += _sums(codes[0], features[-1][np.newaxis], chosen[-1][np.newaxis], values[-1][np.newaxis])
    if not features:  # the weights of the rows that were drawn cancel each other
        return _no_trees(cuts, settings.depth)
    return Trees(cuts, np.stack(features), np.stack(chosen), np.stack(values))


def _no_trees(cuts: tuple[NDArray[np.float64], ...], depth: int) -> Trees:
    inner = np.zeros((0, 2**depth - 1), np.int64)
    return Trees(cuts, inner, inner, np.zeros((0, 2**depth)))


def _cuts(*samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between rows: quantiles of each sample; of few different values all but the largest."""
    found = [np.quantile(one, np.arange(1, _CUTS_PER_SAMPLE) / _CUTS_PER_SAMPLE, method="lower") for one in samples]
    cuts = np.unique(np.concatenate(found))
    return np.asarray(cuts[cuts < max(one.max() for one in samples)])


def _tree(
    codes: Sequence[NDArray[np.int16]],
    weights: Sequence[NDArray[np.float64]],
    settings: BoostedConfig,
    numbers: Sequence[int],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Formula and cut of each node, and the value of each leaf."""
    inner = 2**settings.depth - 1
    features, chosen = np.zeros(inner, np.int64), np.full(inner, np.iinfo(np.int16).max, np.int64)
    nodes = [np.zeros(len(one), np.int64) for one in codes]
    for level in range(settings.depth):
        number = 2**level
        best = np.zeros(number)
        of_level = slice(number - 1, 2 * number - 1)
        for feature, num_cuts in enumerate(numbers):
            if not num_cuts:  # all values are the same
                continue
            gains = _gains([one[:, feature] for one in codes], weights, nodes, (number, num_cuts + 1), settings.least)
            cut = gains.argmax(axis=1)
            gain = gains[np.arange(number), cut]
            better = gain > best
            best = np.where(better, gain, best)
            features[of_level] = np.where(better, feature, features[of_level])
            chosen[of_level] = np.where(better, cut, chosen[of_level])
        for sample, place in zip(codes, nodes, strict=True):
            at = place + number - 1
            right = sample[np.arange(len(sample)), features[at]] > chosen[at]
            place[:] = 2 * place + right
    original, wanted = (np.bincount(place, one, inner + 1) for place, one in zip(nodes, weights, strict=True))
    there = (original > 0) & (wanted > 0)  # all but leaves that no row reaches
    ratios = np.divide(wanted, original, where=there, out=np.ones(inner + 1))
    return features, chosen, settings.learning_rate * np.log(ratios)


def _gains(
    codes: Sequence[NDArray[np.int16]],
    weights: Sequence[NDArray[np.float64]],
    nodes: Sequence[NDArray[np.int64]],
    shape: tuple[int, int],
    least: float,
) -> NDArray[np.float64]:
    """By how much each cut of a formula raises χ², shape (n_nodes, n_cuts); 0 where it is not possible."""
    sums: list[NDArray[np.float64]] = []
    squares: list[NDArray[np.float64]] = []
    for of_sample, one, place in zip(codes, weights, nodes, strict=True):
        cells = place * shape[1] + of_sample
        for target, filled in ((sums, one), (squares, one * one)):
            target.append(np.bincount(cells, filled, shape[0] * shape[1]).reshape(shape).cumsum(axis=1))
    chi2 = np.zeros((shape[0], shape[1] - 1))
    possible = np.ones_like(chi2, dtype=np.bool_)
    for side in ("left", "right"):
        both = [one[:, :-1] if side == "left" else one[:, -1:] - one[:, :-1] for one in (*sums, *squares)]
        for total, square in zip(both[:2], both[2:], strict=True):
            possible &= (total > 0) & (total * total >= least * square)
        chi2 += _chi2(both[0], both[1])
    return np.where(possible, chi2 - _chi2(sums[0][:, -1:], sums[1][:, -1:]), 0.0)


def _chi2(original: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    total = original + wanted
    return np.divide((original - wanted) ** 2, total, where=total > 0, out=np.zeros_like(total))
