"""A training on disk so that it can go on: weights, optimiser, best weights, history, in one file without pickles."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import KERAS, model_files
from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.training.compiled_epoch import state_of
from ntupleml.training.kept_epochs import UNREADABLE, as_arrays, from_arrays, load_arrays
from ntupleml.training.stopping import Stopping

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.artifacts import Method

log = logging.getLogger(__name__)

#: Keys of the training config that may change between a training and its continuation. Fold files may move: their
#: UUIDs must stay.
CHANGEABLE = {"output_path", "plot", "processes", "datasets"}
_CHANGES = "early_stopping may change, and epochs where model.schedule does not span them"
CHANGEABLE_IN_MODEL = {"epochs", "early_stopping"}


@dataclass
class Progress:
    """How far a training has come."""

    #: Epochs done.
    epoch: int = 0
    #: Each metric, epoch by epoch.
    history: dict[str, list[float]] = field(default_factory=dict)
    stopping: Stopping = field(default_factory=Stopping)
    #: Weights of the model after the best epoch; empty before there is one.
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    #: Weights of the network after epochs that are to be compared.
    kept: dict[int, list[NDArray[Any]]] = field(default_factory=dict)


def checkpoint_path(output_path: str | Path, fold: int, method: Method = KERAS) -> Path:
    """Where the checkpoint of a fold's training is: beside the model.

    Examples
    --------
    >>> checkpoint_path("example", 1).as_posix()
    'example/fold1_keras_checkpoint.npz'
    """
    model = model_files(output_path, fold, method).model
    return model.with_name(f"{model.stem.removesuffix('_model')}_checkpoint.npz")


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
        "schedule": progress.stopping.as_dict(),
    }
    arrays = {f"variable_{number}": np.asarray(variable) for number, variable in enumerate(state_of(model))}
    arrays |= {f"best_{number}": weight for number, weight in enumerate(progress.best_weights)}
    arrays |= as_arrays(progress.kept)
    with replace_file(path, overwrite=True) as temporary:
        np.savez(temporary, **{"state": np.array(json.dumps(state)), **arrays})  # type: ignore[arg-type]


def load_checkpoint(path: Path, model: Any, identity: dict[str, Any]) -> Progress:
    """Put a model into the state of a checkpoint."""
    try:
        arrays = load_arrays(path)
        state = json.loads(str(arrays.pop("state")))
        progress = Progress(
            epoch=int(state["epoch"]),
            history={str(name): [float(value) for value in values] for name, values in state["history"].items()},
            stopping=Stopping(**state["schedule"]),
            best_weights=[arrays[f"best_{number}"] for number in range(sum(name[:5] == "best_" for name in arrays))],
            kept=from_arrays(arrays),
        )
        found = dict(state["identity"])
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; train anew with --overwrite") from None
    except (*UNREADABLE, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = one_line(error)
        raise NtuplemlError(
            f"{path}: not the checkpoint of a training ({reason}); train anew with --overwrite"
        ) from None
    require_same(f"{path}: --continue", found, identity, _CHANGES, "train anew")
    variables = state_of(model)
    values = [arrays.get(f"variable_{number}") for number in range(len(variables))]
    if any(
        value is None or value.shape != tuple(variable.shape) for value, variable in zip(values, variables, strict=True)
    ):
        raise NtuplemlError(f"{path}: holds weights of another network; train anew with --overwrite")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return progress


def require_same(where: str, found: dict[str, Any], wanted: dict[str, Any], changeable: str, anew: str) -> None:
    """Refuse to go on with what is of another config, naming the first key that differs.

    Parameters
    ----------
    where : str
        File, and the option that wants to go on.
    changeable : str
        What may change, for the message.
    anew : str
        What else can be done, with `--overwrite`.
    """
    # what an earlier version did not know, and what is off now, is no difference
    different = [
        key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key) and (key in found or wanted[key])
    ]
    if not different:
        return
    key = different[0]
    more = f"; also {', '.join(different[1:])}" if different[1:] else ""
    raise NtuplemlError(
        f"{where}: {key} was {_short(found.get(key))} and is {_short(wanted.get(key))} now{more}; only "
        f"{changeable}: restore it, or {anew} with --overwrite"
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 120 else text[:119] + "…"


def training_identity(
    config: dict[str, Any], datasets: list[dict[str, Any]], options: dict[str, Any], *, spans_epochs: bool = False
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
    spans_epochs : bool
        Whether the learning rate depends on the number of epochs.
    """
    kept = {key: value for key, value in config.items() if key not in CHANGEABLE}
    model = kept.pop("model")
    changeable = CHANGEABLE_IN_MODEL - ({"epochs"} if spans_epochs else set())
    kept |= {f"model.{key}": value for key, value in model.items() if key not in changeable}
    kept["conditions"] = {name: block.get("class_weights") for name, block in config["conditions"].items()}
    identity: dict[str, Any] = json.loads(json.dumps(kept | {"fold files": datasets} | options))
    return identity
