"""Weights of the best epochs by several measures, kept beside the model to be compared."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.npy import read_npy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: What `load_arrays` raises for files that are none.
UNREADABLE = (OSError, ValueError)
#: How many epochs are the best by each measure.
KEPT = 2


class Criterion(NamedTuple):
    """A measure of epochs."""

    metric: str
    #: 1 where the smallest is the best, -1 where the largest is.
    sign: int


#: By their names; the adversary is to find nothing, so its loss is best where it is largest.
CRITERIA = {
    "main loss": Criterion("val_loss", 1),
    "adversary loss": Criterion("val_adversary_loss", -1),
    "discriminator loss": Criterion("val_adversary_loss", 1),
    "K-S sum": Criterion("ks", 1),
}


def best_epochs(history: Mapping[str, Sequence[float]], number: int = KEPT) -> dict[str, list[int]]:
    """The best epochs, from 1, by each measure that the history has, the best one first.

    Examples
    --------
    >>> best_epochs({"val_loss": [0.5, 0.3, 0.4], "ks": [0.1, 0.3, 0.2]})
    {'main loss': [2, 3], 'K-S sum': [1, 3]}
    """
    found = {}
    for name, (metric, sign) in CRITERIA.items():
        if metric in history:
            order = np.argsort(sign * np.asarray(history[metric]), kind="stable")
            found[name] = (order[:number] + 1).tolist()
    return found


def keep_best(
    kept: dict[int, list[NDArray[Any]]], weights: list[NDArray[Any]], history: Mapping[str, Sequence[float]]
) -> None:
    """Keep the weights of the last epoch if it is among the best; delete those that no longer are."""
    wanted = {epoch for epochs in best_epochs(history).values() for epoch in epochs}
    kept[len(history["val_loss"])] = weights
    for epoch in kept.keys() - wanted:
        del kept[epoch]


def epochs_path(model: Path) -> Path:
    """Where they are, beside the model.

    Examples
    --------
    >>> from pathlib import Path
    >>> epochs_path(Path("example/fold0_keras_model.keras")).as_posix()
    'example/fold0_keras_epochs.npz'
    """
    return model.with_name(f"{model.stem.removesuffix('_model')}_epochs.npz")


def as_arrays(kept: Mapping[int, Sequence[NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Weights of epochs by names such as `epoch_12_0`: of epoch 12, the first of the network."""
    return {
        f"epoch_{epoch}_{number}": array
        for epoch, arrays in sorted(kept.items())
        for number, array in enumerate(arrays)
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> dict[int, list[NDArray[Any]]]:
    """Weights by epoch, from what `as_arrays` gives; other names are left out."""
    kept: dict[int, dict[int, NDArray[Any]]] = {}
    for name, array in arrays.items():
        if name.startswith("epoch_"):
            _, epoch, number = name.split("_")
            kept.setdefault(int(epoch), {})[int(number)] = array
    return {epoch: [of_epoch[number] for number in sorted(of_epoch)] for epoch, of_epoch in kept.items()}


def write_epochs(path: Path, kept: Mapping[int, Sequence[NDArray[Any]]]) -> None:
    """Write the weights of epochs, complete or not at all."""
    with replace_file(path) as temporary:
        np.savez(temporary, **as_arrays(kept))  # type: ignore[arg-type]


def read_epochs(path: Path) -> dict[int, list[NDArray[Any]]]:
    """Weights by epoch, from 1, as `set_weights` of the Keras network takes them.

    Raises
    ------
    NtuplemlError
        If there is no such file, or it is another.
    """
    try:
        kept = from_arrays(load_arrays(path))
    except FileNotFoundError:
        raise NtuplemlError(f"{path}: no such file; train with model.keep_epochs: true") from None
    except (*UNREADABLE, KeyError) as error:
        raise NtuplemlError(f"{path}: not the epochs of a training ({one_line(error)}); train anew") from None
    if not kept:
        raise NtuplemlError(f"{path}: holds no epochs; train anew with model.keep_epochs: true")
    return kept


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of an uncompressed npz file, none of them a pickle.

    Raises
    ------
    OSError, ValueError
        For a file that is none, and for arrays that take more memory than the file has bytes.
    """
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
                raise ValueError("it unpacks to more than it holds")
            for member in archive.infolist():
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = read_npy(file, member.file_size)
    except OSError:
        raise
    except Exception as error:  # damaged archives make zipfile raise nearly anything
        raise ValueError(one_line(error)) from error
    return arrays
