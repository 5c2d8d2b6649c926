"""The registry of trainers: one line for each type of method that a training config can name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntupleml.training.boosted_tree_options import check_options
from ntupleml.training.histogram_boosting import hist_gradient_boosting_trees
from ntupleml.training.keras_training import NETWORKS
from ntupleml.training.library_trees import boosted_trees
from ntupleml.training.lightgbm_fit import check_lightgbm, lightgbm_trees
from ntupleml.training.scikit_learn import SCIKIT_LEARN
from ntupleml.training.tmva_root import ROOT_TMVA
from ntupleml.training.tmva_trees import TMVA_TREES
from ntupleml.training.xgboost_fit import xgboost_trees

if TYPE_CHECKING:
    from ntupleml.training.jobs import Trainer

#: Trainer by the type of a method.
TRAINERS: dict[str, Trainer] = {
    "keras": NETWORKS,
    "kPyKeras": NETWORKS,
    "kBDT": TMVA_TREES,
    "tmva": ROOT_TMVA,
    "xgboost": boosted_trees(xgboost_trees, check_options),
    "hist_gradient_boosting": boosted_trees(hist_gradient_boosting_trees, check_options),
    "scikit_learn": SCIKIT_LEARN,
    "lightgbm": boosted_trees(lightgbm_trees, check_lightgbm),
}
