"""Print the AUC of a score branch, per fold and averaged: `mean_auc.py FILE SIGNAL_TREE BACKGROUND_TREE BRANCH`.

The folds are those of an analysis without event numbers: even and odd entries.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import roc_auc_score

from ntupleml.ntuples import open_ntuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUM_FOLDS = 2


def read_scores(path: str, tree: str, branch: str) -> NDArray[np.float32]:
    """All values of a branch."""
    with open_ntuple(path, tree) as ntuple:
        return np.concatenate([chunk.columns[branch] for chunk in ntuple.chunks([branch])])


def main() -> int:
    """Print one line."""
    path, signal_tree, background_tree, branch = sys.argv[1:]
    signal, background = (read_scores(path, tree, branch) for tree in (signal_tree, background_tree))
    areas = []
    for fold in range(NUM_FOLDS):
        scores = [signal[fold::NUM_FOLDS], background[fold::NUM_FOLDS]]
        areas.append(roc_auc_score([1] * len(scores[0]) + [0] * len(scores[1]), np.concatenate(scores)))
    each = ", ".join(f"{area:.4f} on fold {fold}" for fold, area in enumerate(areas))
    print(f"AUC:         {np.mean(areas):.4f} ({each}, each scored by the network that did not see it)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
