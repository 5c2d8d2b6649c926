"""The methods of a training config: its network, boosted trees, estimators of scikit-learn and methods of TMVA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ntupleml.artifacts.files import KERAS, Method
from ntupleml.errors import NtuplemlError, did_you_mean, nearest

if TYPE_CHECKING:
    from ntupleml.config import TrainingConfig


def methods_of(training: TrainingConfig, fold: int) -> dict[str, Method]:
    """All methods of a training config by their names, the Keras network first.

    Parameters
    ----------
    fold : int
        Index of the model, which names of TMVA methods may contain as `{fold}`, as htt-ml's do.
    """
    listed = listed_methods(training)
    tmva = [Method("tmva", method.name.replace("{fold}", str(fold)), method.type) for method in training.tmva.methods]
    return {method.name: method for method in (KERAS, *listed, *tmva)}


def listed_methods(training: TrainingConfig) -> list[Method]:
    """Boosted trees and estimators of scikit-learn, in the order of the config."""
    return [
        *(Method("boosted_trees", one.name, one.type) for one in training.boosted_trees),
        *(Method("scikit_learn", one.name, one.type) for one in training.scikit_learn),
    ]


def find_method(training: TrainingConfig, name: str, fold: int, where: str) -> Method:
    """Method of a name.

    Parameters
    ----------
    name : str
        As the training config has it; `{fold}` in it stands for the fold.
    fold : int
        Index of the model.

    Raises
    ------
    NtuplemlError
        If there is none of that name, with the nearest ones.
    """
    methods = methods_of(training, fold)
    full = name.replace("{fold}", str(fold))
    if full not in methods:
        keys = {"keras": "model", "tmva": "tmva"}  # without which nobody asked for these methods
        given = {"boosted_trees", "scikit_learn", *training.model_fields_set}
        known = [one for one, method in methods.items() if keys.get(method.kind, method.kind) in given]
        near = nearest(full, known) or nearest(full, methods) or known
        raise NtuplemlError(f"{where}: the training config has no method '{name}'{did_you_mean(full, near)}")
    return methods[full]


def methods_by_fold(training: TrainingConfig, name: str, where: str) -> list[Method]:
    """Method of a name, once per fold: `{fold}` in the name makes them differ.

    Parameters and errors as for `find_method`.
    """
    return [find_method(training, name, fold, where) for fold in range(training.num_folds)]


def default_method_name(
    training: TrainingConfig, kind: Literal["keras", "boosted_trees", "tmva"], training_path: str
) -> str:
    """Name of the method that a script of some kind is for where no config names one.

    It is the network of the config, the first of its `boosted_trees`, or the first kBDT of its `tmva: methods` (the
    first of all where none is a kBDT).

    Raises
    ------
    NtuplemlError
        If the training config has no `boosted_trees`, but they are asked for.
    """
    if kind == "keras":
        return KERAS.name
    if kind == "tmva":
        methods = training.tmva.methods
        return next((method.name for method in methods if method.type == "kBDT"), methods[0].name)
    if not training.boosted_trees:
        raise NtuplemlError(
            f"{training_path}: has no boosted_trees; add them, e.g. boosted_trees: [{{name: bdt, type: xgboost}}], and "
            "train them with training/bdt_training.py, or name another method in the key 'method'"
        )
    return training.boosted_trees[0].name
