"""Training the methods of TMVA that a config names: by TMVA where ROOT has it, else its trees by XGBoost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from ntupleml.artifacts import Method, find_method
from ntupleml.errors import NtuplemlError
from ntupleml.training.ensembles import train_models
from ntupleml.training.jobs import Job, TrainingOptions
from ntupleml.training.keras_methods import pykeras_job
from ntupleml.training.tmva_root import has_tmva
from ntupleml.training.trainers import TRAINERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.config import TrainingConfig
    from ntupleml.config.methods import TmvaMethodConfig
    from ntupleml.training.driver import Trained

log = logging.getLogger(__name__)

#: ``"tmva"``: ROOT's own. ``"xgboost"``: its boosted trees by XGBoost and scikit-learn.
TmvaEngine = Literal["tmva", "xgboost"]
#: Type of the methods that our Keras trainer trains, whatever the engine.
PYKERAS = "kPyKeras"


def train_tmva(
    config: TrainingConfig,
    folds: Sequence[int],
    *,
    engine: TmvaEngine | None = None,
    method: str | None = None,
    overwrite: bool = False,
    where: str = "training config",
) -> Trained:
    """Train the methods of the config's `tmva: methods`, or one of them, for each fold.

    Parameters
    ----------
    folds : sequence of int
        Models to train; model f is trained on all folds but (f + 1) mod k.
    engine : {"tmva", "xgboost"}, optional
        By default TMVA if ROOT has it.
    method : str, optional
        Name of the one method to train.

    Returns
    -------
    Trained
        Fold by fold, in the order of the methods, networks last.

    Raises
    ------
    NtuplemlError
        For whatever is wrong with config, options or fold files, before anything is trained; for methods that the
        engine cannot train; if outputs exist and are not to be overwritten; and if all methods fail.
    """
    if config.datasets is None:
        raise NtuplemlError(
            f"{where}: TMVA is trained without conditions; add datasets, the fold files of one training"
        )
    chosen = _chosen(config, method, folds[0] if folds else 0, where)
    others = [entry for entry in chosen if entry.type != PYKERAS]
    used = _engine(engine, others, where)
    jobs = []
    for fold in folds:
        jobs += _jobs(config, fold, others, used, TrainingOptions(overwrite=overwrite), where)
        jobs += [pykeras_job(config, fold, entry, overwrite, where) for entry in chosen if entry.type == PYKERAS]
    trained = train_models(jobs)
    if trained.failures and not trained.records:
        raise NtuplemlError("; ".join(trained.failures))
    return trained


def _jobs(
    config: TrainingConfig,
    fold: int,
    entries: Sequence[TmvaMethodConfig],
    engine: TmvaEngine,
    options: TrainingOptions,
    where: str,
) -> list[Job]:
    """One job for all methods where TMVA trains, else one for each."""
    methods = tuple(_method(entry, fold) for entry in entries)
    if engine == "tmva" and entries:
        return [Job(TRAINERS["tmva"], config, fold, methods, where, options, tuple(entries))]
    return [
        Job(TRAINERS["kBDT"], config, fold, (method,), f"{where}: tmva method '{entry.name}'", options, entry)
        for method, entry in zip(methods, entries, strict=True)
    ]


def _chosen(config: TrainingConfig, name: str | None, fold: int, where: str) -> list[TmvaMethodConfig]:
    methods = list(config.tmva.methods)
    if name is None:
        return methods
    found = find_method(config, name, fold, f"{where}: --method")
    if found.kind != "tmva":
        known = ", ".join(f"'{entry.name}'" for entry in methods)
        raise NtuplemlError(f"{where}: --method {name}: not a method of TMVA; there are: {known}")
    return [entry for entry in methods if _method(entry, fold).name == found.name]


def _method(entry: TmvaMethodConfig, fold: int) -> Method:
    return Method("tmva", entry.name.replace("{fold}", str(fold)), entry.type)


def _engine(asked: TmvaEngine | None, methods: Sequence[TmvaMethodConfig], where: str) -> TmvaEngine:
    """The engine that trains, with one line that says why."""
    if not methods:
        return "xgboost"
    if asked == "xgboost":
        log.info("engine: XGBoost, as asked for")
        return "xgboost"
    available = has_tmva()
    if asked == "tmva" and not available:
        raise NtuplemlError(
            f"{where}: --engine tmva: this ROOT has no TMVA, as that of PyPI; take ROOT from an LCG view, or leave "
            "--engine out, and XGBoost trains TMVA's boosted trees"
        )
    if available:
        log.info("engine: TMVA%s", ", as asked for" if asked else ", which this ROOT has")
        return "tmva"
    log.info("engine: XGBoost, since there is no ROOT with TMVA here")
    return "xgboost"
