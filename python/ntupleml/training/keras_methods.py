"""TMVA's kPyKeras methods, trained by our Keras trainer: the option string read as MethodPyKeras does."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.artifacts import Method, read_keras_file
from ntupleml.errors import NtuplemlError
from ntupleml.tmva.options import Option, read_options
from ntupleml.training.jobs import Job, TrainingOptions
from ntupleml.training.trainers import TRAINERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.config import TmvaMethodConfig, TrainingConfig

log = logging.getLogger(__name__)

#: Options that decide how the network is trained.
_USED = (
    Option("FilenameModel"),
    Option("NumEpochs", "integer", "100"),
    Option("BatchSize", "integer", "100"),
    Option("SaveBestOnly", "flag"),
    Option("TriesEarlyStopping", "integer", "-1"),
    Option("LearningRateSchedule", default="50,0.01;70,0.005"),
    Option("VarTransform", default="N"),
)
#: Options of MethodPyKeras and MethodBase that have no meaning here.
_WITHOUT_MEANING = (
    Option("CreateMVAPdfs", "flag"),
    *map(Option, ("FilenameTrainedModel", "GpuOptions", "NumThreads", "TensorBoard", "ValidationSize")),
)
#: Options of how much is printed.
_SILENT = (Option("H", "flag"), Option("V", "flag"), Option("Verbose"), Option("VerbosityLevel"))
#: Options that cannot be followed, and why.
_REFUSED = {
    Option("UserCode"): "code from a file is never run; write the network as .keras file",
    Option("ContinueTraining", "flag"): (
        "trainings of TMVA are not continued; train anew, or use the network of keras_training.py"
    ),
    Option("IgnoreNegWeightsInTraining", "flag"): (
        "networks are trained with negative weights as they are; cut these events away"
    ),
}
_PREPROCESSING = {
    "": "identity",
    "none": "identity",
    "i": "identity",
    "n": "min_max_scaler",
    "g": "quantile_transformer",
}


class PyKerasSettings(NamedTuple):
    """What an option string says; None where it says nothing."""

    #: Keras file to begin with.
    model: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    save_best_only: bool | None = None
    #: Epochs without improvement; negative: training goes on to its end.
    early_stopping: int | None = None
    #: By the number of the epoch, counted from 0.
    learning_rates: Mapping[int, float] = {}
    preprocessing: str | None = None
    #: What the user should know about options that are not followed.
    remarks: tuple[str, ...] = ()


def pykeras_job(config: TrainingConfig, fold: int, method: TmvaMethodConfig, overwrite: bool, where: str) -> Job:
    """Job that trains a method of the type kPyKeras as a Keras network, with its files beside those of TMVA.

    Epochs, batch size and network come from the options where they have them, else from the config's `model` block,
    and so does the preprocessing.

    Parameters
    ----------
    fold : int
        Index of the model.
    method : TmvaMethodConfig
        One of `tmva: methods` with the type kPyKeras.
    """
    settings = pykeras_settings(method.options, fold, f"{where}: tmva.methods: '{method.name}'")
    options = TrainingOptions(
        overwrite=overwrite,
        initial_model=settings.model,
        remarks=tuple(f"tmva.methods: '{method.name}': {remark}" for remark in settings.remarks),
    )
    named = Method("tmva", method.name.replace("{fold}", str(fold)), "kPyKeras")
    return Job(TRAINERS[named.type], _with_settings(config, settings), fold, (named,), where, options)


def pykeras_settings(options: str, fold: int, where: str) -> PyKerasSettings:
    """Read the option string of a kPyKeras method; names count in any case, as in TMVA.

    Parameters
    ----------
    options : str
        E.g. ``"!H:!V:VarTransform=N:NumEpochs=20"``; `{fold}` stands for the fold.

    Examples
    --------
    >>> pykeras_settings("!H:NumEpochs=20:VarTransform=N", 0, "training.yaml").preprocessing
    'min_max_scaler'
    """
    known = (*_USED, *_WITHOUT_MEANING, *_SILENT, *_REFUSED)
    given = read_options(options.replace("{fold}", str(fold)), known, "no option '{}' of kPyKeras", where, once=True)
    is_on = {name for name, value in given.items() if value.lower() not in ("", "0", "f", "false", "kfalse")}
    for option, reason in _REFUSED.items():
        if option.name in is_on:
            raise NtuplemlError(f"{where}: option {option.name}: {reason}")
    unused = [name for name in given if name in is_on and any(name == option.name for option in _WITHOUT_MEANING)]
    remarks = [f"without a meaning here: {', '.join(unused)}"] if unused else []
    model = given.get("FilenameModel", "")
    if Path(model).suffix in (".h5", ".hdf5"):
        remarks.append(
            f"FilenameModel: '{model}' is not loaded, since loading a Keras model in HDF5 can run code; the network of "
            "the config's model block is trained"
        )
        model = ""
    return PyKerasSettings(
        model=_checked(model, where),
        epochs=_whole(given, "NumEpochs", 1, where),
        batch_size=_whole(given, "BatchSize", 1, where),
        save_best_only=None if "SaveBestOnly" not in given else "SaveBestOnly" in is_on,
        early_stopping=_whole(given, "TriesEarlyStopping", None, where),
        learning_rates=_learning_rates(given.get("LearningRateSchedule", ""), where),
        preprocessing=_preprocessing(given.get("VarTransform"), where),
        remarks=tuple(remarks),
    )


def _whole(given: Mapping[str, str], name: str, smallest: int | None, where: str) -> int | None:
    if name in given and smallest is not None and int(given[name]) < smallest:
        raise NtuplemlError(f"{where}: {name}={given[name]}: at least {smallest} is needed")
    return int(given[name]) if name in given else None


def _learning_rates(text: str, where: str) -> dict[int, float]:
    """From TMVA's form, ``50,0.01;70,0.005``: epoch and rate."""
    rates = {}
    for step in filter(None, text.split(";")):
        epoch, _, rate = step.partition(",")
        try:
            rates[int(epoch)] = float(rate)
        except ValueError:
            rates = {0: math.nan}
        if not all(math.isfinite(value) and value > 0 for value in rates.values()):
            raise NtuplemlError(
                f"{where}: option LearningRateSchedule: '{step}' is not an epoch and a learning rate, such as 50,0.01"
            )
    return rates


def _preprocessing(text: str | None, where: str) -> str | None:
    if text is None:
        return None
    name = text.lower()
    if name not in _PREPROCESSING:
        raise NtuplemlError(
            f"{where}: option VarTransform: networks are trained with None, N or G here, not with '{text}'; take one, "
            "or leave it out and set preprocessing in the config"
        )
    return _PREPROCESSING[name]


def _checked(path: str, where: str) -> str | None:
    """Keras file to begin with, if there is one, safe to load."""
    if not path:
        return None
    try:
        read_keras_file(path)
    except NtuplemlError as error:
        raise NtuplemlError(f"{where}: FilenameModel: {error}") from None
    return path


def _with_settings(config: TrainingConfig, settings: PyKerasSettings) -> TrainingConfig:
    """The config with what the options say instead of its own `model` and `preprocessing`."""
    changes: dict[str, object] = {
        key: value
        for key, value in (
            ("epochs", settings.epochs),
            ("batch_size", settings.batch_size),
            ("save_best_only", settings.save_best_only),
        )
        if value is not None
    }
    if settings.early_stopping is not None:
        # TMVA's 0 stops at the first epoch without improvement, as 1 does here.
        changes["early_stopping"] = None if settings.early_stopping < 0 else max(settings.early_stopping, 1)
    if settings.learning_rates:
        changes |= {"schedule": {"type": "steps", "after": settings.learning_rates}, "reduce_lr_on_plateau": None}
    update: dict[str, object] = {"model": config.model.model_copy(update=changes)}
    if settings.preprocessing is not None:
        update["preprocessing"] = settings.preprocessing
    return config.model_copy(update=update)
