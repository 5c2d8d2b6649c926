"""A training on disk so that it can go on: weights, optimiser, best weights, history, in one file without pickles."""

from __future__ import annotations

import json
import logging
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import KERAS, model_files
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.training.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import Method

log = logging.getLogger(__name__)

#: Keys of the training config that may change between a training and its continuation. Fold files may move: their
#: UUIDs must stay.
CHANGEABLE = {"output_path", "plot", "processes", "datasets"}
CHANGEABLE_IN_MODEL = {"epochs", "early_stopping"}


@dataclass
class Progress:
    """How far a training has come."""

    #: Epochs done.
    epoch: int = 0
    #: Each metric, epoch by epoch.
    history: dict[str, list[float]] = field(default_factory=dict)
    schedule: Schedule = field(default_factory=Schedule)
    #: Weights of the model after the best epoch; empty before there is one.
    best_weights: list[NDArray[Any]] = field(default_factory=list)


def checkpoint_path(output_path: str | Path, fold: int, method: Method = KERAS) -> Path:
    """Where the checkpoint of a fold's training is: beside the model.

    Examples
    --------
    >>> checkpoint_path("example", 1).as_posix()
    'example/fold1_keras_checkpoint.npz'
    """
    model = model_files(output_path, fold, method).model
    return model.with_name(f"{model.stem.removesuffix('_model')}_checkpoint.npz")


def _variables(model: Any) -> list[Any]:
    """Everything that training changes: weights, moving averages, states of dropout, then the optimiser."""
    return [variable for layer in model.layers for variable in layer.variables] + list(model.optimizer.variables)


def save_checkpoint(path: Path, model: Any, progress: Progress, identity: dict[str, Any]) -> None:
    """Write a checkpoint, complete or not at all, in place of an earlier one.

    Parameters
    ----------
    identity : dict
        What the training is of (config, fold files), as JSON; a continuation must be of the same.
    """
    state = {
        "identity": identity,
        "epoch": progress.epoch,
        "history": progress.history,
        "schedule": progress.schedule.as_dict(),
    }
    arrays = {f"variable_{number}": np.asarray(variable) for number, variable in enumerate(_variables(model))}
    arrays |= {f"best_{number}": weight for number, weight in enumerate(progress.best_weights)}
    with replace_file(path, overwrite=True) as temporary:
        np.savez(temporary, **{"state": np.array(json.dumps(state)), **arrays})  # type: ignore[arg-type]


def load_checkpoint(path: Path, model: Any, identity: dict[str, Any]) -> Progress:
    """Put a model into the state of a checkpoint."""
    try:
        _require_uncompressed(path)
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        state = json.loads(str(arrays.pop("state")))
        progress = Progress(
            epoch=int(state["epoch"]),
            history={str(name): [float(value) for value in values] for name, values in state["history"].items()},
            schedule=Schedule(**state["schedule"]),
            best_weights=[arrays[f"best_{number}"] for number in range(sum(name[:5] == "best_" for name in arrays))],
        )
        found = dict(state["identity"])
    # numpy asks for the memory that the head of an array claims
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, zipfile.BadZipFile
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise NtuplemlError(
            f"{path}: not the checkpoint of a training ({reason}); train anew with --overwrite"
        ) from None
    _require_same(path, found, identity)
    variables = _variables(model)
    values = [arrays.get(f"variable_{number}") for number in range(len(variables))]
    if any(
        value is None or value.shape != tuple(variable.shape) for value, variable in zip(values, variables, strict=True)
    ):
        raise NtuplemlError(f"{path}: holds weights of another network; train anew with --overwrite")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return progress


def _require_uncompressed(path: Path) -> None:
    """Check that arrays take no more memory than the file has bytes, as those that were saved."""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
            raise ValueError("it unpacks to more than it holds")


def _require_same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    different = [key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key)]
    if not different:
        return
    key = different[0]
    more = f"; also {', '.join(different[1:])}" if different[1:] else ""
    raise NtuplemlError(
        f"{path}: --continue: {key} was {_short(found.get(key))} and is {_short(wanted.get(key))} now{more}; only "
        "epochs and early_stopping may change: restore it, or train anew with --overwrite"
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:119] + "…"


def training_identity(
    config: dict[str, Any], datasets: list[dict[str, Any]], options: dict[str, Any]
) -> dict[str, Any]:
    """What must stay the same for a training to be continued.

    Parameters
    ----------
    config : dict
        The training config, as JSON.
    datasets : list of dict
        UUID, fold and condition of each fold file.
    options : dict
        Options of the command line.
    """
    kept = {key: value for key, value in config.items() if key not in CHANGEABLE}
    model = kept.pop("model")
    kept |= {f"model.{key}": value for key, value in model.items() if key not in CHANGEABLE_IN_MODEL}
    kept["conditions"] = {name: block.get("class_weights") for name, block in config["conditions"].items()}
    identity: dict[str, Any] = json.loads(json.dumps(kept | {"fold files": datasets} | options))
    return identity
