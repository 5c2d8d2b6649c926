"""From the raw events of a training to what its network takes and is to give back, in memory or streamed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts.record import TargetRecord
from ntupleml.errors import NtuplemlError
from ntupleml.events.values import ImageRows, InputValues, ObjectRows
from ntupleml.models import GroupShape
from ntupleml.preprocessing import fit_scaler
from ntupleml.preprocessing.groups import as_argument, network_inputs
from ntupleml.training.streamed_scalers import ScalerFit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.events.values import GroupValues
    from ntupleml.preprocessing import Scaler

#: Numbers that are scaled at a time, since the scalers compute in float64.
_NUMBERS_PER_SCALING = 2_000_000


def one_hot(indices: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    """Rows of zeros with a one at the index, shape (n_events, length)."""
    rows = np.zeros((len(indices), length), dtype=np.float32)
    rows[np.arange(len(indices)), indices] = 1
    return rows


@dataclass(frozen=True)
class Preparation:
    """What the training part taught of inputs and values, and how both are prepared with it."""

    #: By the names of the groups.
    scalers: dict[str, Scaler]
    target: TargetRecord
    #: What the network takes.
    shapes: dict[str, GroupShape]
    classes: tuple[str, ...]

    @property
    def num_outputs(self) -> int:
        """Numbers that the network gives per row."""
        if self.target.kind == "reconstruction":
            return sum(int(np.prod([size or 0 for size in self.shapes[name].shape])) for name in self.target.groups)
        return len(self.target.values or self.classes)

    def prepared(
        self, batch: Mapping[str, NDArray[Any]], classes: NDArray[np.int64], values: NDArray[np.float32]
    ) -> tuple[Any, NDArray[np.float32]]:
        """Inputs and targets of the network for a raw batch; of classes their index."""
        number = len(classes)
        size = max(1, sum(array[:1].size for array in batch.values()))
        step = max(1, _NUMBERS_PER_SCALING // size)
        inputs: dict[str, NDArray[np.float32]] = {}
        for start in range(0, number, step):
            rows = slice(start, start + step)
            part = network_inputs({name: array[rows] for name, array in batch.items()}, self.scalers)
            for name, array in part.items():
                if name not in inputs:
                    inputs[name] = np.empty((number, *array.shape[1:]), np.float32)
                inputs[name][rows] = array
        return as_argument(inputs), self._targets(inputs, classes, values)

    def _targets(
        self, inputs: Mapping[str, NDArray[np.float32]], classes: NDArray[np.int64], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        if self.target.kind == "values":
            standardised: NDArray[np.float64] = (values - np.array(self.target.mean)) / np.array(self.target.scale)
            return standardised.astype(np.float32)
        if self.target.kind == "reconstruction":
            from ntupleml.models.reconstruction import reconstruction_target

            return reconstruction_target(inputs, self.target.groups)
        return one_hot(classes, len(self.classes))


def is_matrix(values: GroupValues) -> bool:
    """Whether a group is one of numbers."""
    return not isinstance(values, ObjectRows) and len(values.row_shape) == 1


def lines_of(
    values: GroupValues, rows: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """What a scaler is fitted to, and the weight of each: events, objects that are there, or pixels of some rows."""
    if isinstance(values, ObjectRows):
        counts = values.lengths(rows)
        first = np.repeat(values.starts[rows] - (np.cumsum(counts) - counts), counts)
        return values.values[first + np.arange(len(first))], np.repeat(weights[rows], counts)
    taken = values.take(rows)
    flat = taken.reshape(-1, taken.shape[-1])
    return flat, weights[rows] if taken.ndim == 2 else np.repeat(weights[rows], taken[0].size // taken.shape[-1])


def scaler_fits(config: TrainingConfig) -> dict[str, ScalerFit]:
    """Fits of the scalers of all groups, to be fed chunk by chunk."""
    return {
        name: ScalerFit(
            config.preprocessing_of(name),
            config.seed,
            weighted=config.weighted_preprocessing,
            where=_where(config, name),
        )
        for name in config.groups
    }


def fit_scalers(
    config: TrainingConfig, inputs: InputValues, rows: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, Scaler]:
    """Scalers of all groups, fitted to some rows of events in memory."""
    scalers = {}
    fits = scaler_fits(config)
    for name, values in inputs.groups.items():
        if is_matrix(values):
            found, of_rows = lines_of(values, rows, weights)
            scalers[name] = fit_scaler(
                config.preprocessing_of(name),
                found,
                weights=of_rows if config.weighted_preprocessing else None,
                seed=config.seed,
                where=_where(config, name),
            )
            continue
        step = max(1, _NUMBERS_PER_SCALING // max(1, values.take(rows[:1]).size))
        for start in range(0, len(rows), step):
            fits[name].add(*lines_of(values, rows[start : start + step], weights))
        scalers[name] = fits[name].result()
    return scalers


def _where(config: TrainingConfig, group: str) -> str:
    return "preprocessing" if config.inputs is None else f"inputs.{group}: preprocessing"


def fit_of_values(config: TrainingConfig) -> ScalerFit:
    """Fit of mean and standard deviation of the values that are learnt, with the weights of the training."""
    return ScalerFit("standard_scaler", config.seed, weighted=True, where="target.values")


def target_record(config: TrainingConfig, fit: ScalerFit) -> TargetRecord:
    """What is learnt, for the record."""
    if config.target is None:
        return TargetRecord()
    if config.target.values is None:
        return TargetRecord(kind="reconstruction", groups=config.reconstructed)
    scaler = fit.result()
    return TargetRecord(
        kind="values",
        values=config.target.values,
        mean=[float(mean) for mean in scaler.mean_],
        scale=[float(scale) for scale in scaler.scale_],
    )


def longest_of(inputs: InputValues) -> dict[str, int]:
    """Largest number of objects of a row, at least 1, by the names of the groups of objects."""
    return {
        name: int(values.counts.max(initial=1))
        for name, values in inputs.groups.items()
        if isinstance(values, ObjectRows)
    }


def with_lengths(inputs: InputValues, longest: Mapping[str, int]) -> InputValues:
    """The same, with objects padded to one length in all batches where the config gives none."""
    groups = dict(inputs.groups)
    for name, length in longest.items():
        values = groups[name]
        if isinstance(values, ObjectRows) and values.objects.length is None:
            groups[name] = values._replace(objects=values.objects._replace(length=length))
    return InputValues(groups, inputs.number)


def group_shapes(config: TrainingConfig, inputs: InputValues, num_conditions: int) -> dict[str, GroupShape]:
    """Shapes of what the network takes; conditions are further numbers."""
    shapes = {}
    for name, values in inputs.groups.items():
        if isinstance(values, ObjectRows):
            length: int | None = getattr(config.groups[name], "length", None)
            shapes[name] = GroupShape("objects", (length, values.values.shape[1]))
        elif isinstance(values, ImageRows) or not is_matrix(values):
            shapes[name] = GroupShape("image", values.row_shape)
        else:
            shapes[name] = GroupShape("numbers", (values.row_shape[0] + num_conditions,))
    return shapes


def raw_batch(
    inputs: InputValues, rows: NDArray[np.int64] | slice, conditions: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """Raw arrays of some rows; the one-hot conditions of these rows follow the numbers of the one group."""
    batch = inputs.batch(rows)
    if conditions.shape[1]:
        (name,) = batch
        batch[name] = np.concatenate([batch[name], conditions], axis=1)
    return batch


def joined_batches(batches: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Raw arrays after one another; objects are padded to the longest."""
    joined = {}
    for name in batches[0]:
        parts = [batch[name] for batch in batches]
        if f"{name}_length" in batches[0]:
            length = max(part.shape[1] for part in parts)
            parts = [np.pad(part, ((0, 0), (0, length - part.shape[1]), (0, 0))) for part in parts]
        joined[name] = np.concatenate(parts)
    return joined


def with_extreme_lengths(batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """A batch and three rows more: with as many objects as there are slots, with one, and without any."""
    lengths = [name for name in batch if f"{name}_length" in batch]
    if not lengths:
        return dict(batch)
    longer = {}
    for name, array in batch.items():
        more = np.resize(array[:1], (3, *array.shape[1:]))
        if name in lengths:
            filled = np.arange(array.shape[1]) < batch[f"{name}_length"][:, np.newaxis]
            objects = array[filled]
            if len(objects):
                more = np.broadcast_to(np.resize(objects, array.shape[1:]), more.shape)
            longer[f"{name}_length"] = np.concatenate([batch[f"{name}_length"], [array.shape[1], 1, 0]])
        if name not in longer:
            longer[name] = np.concatenate([array, more])
    return longer


def check_target(config: TrainingConfig, balanced: bool) -> None:
    """Refuse, before anything is read, what goes with classes only, and objects of any number that are given back."""
    if balanced and config.target is not None:
        raise NtuplemlError(
            f"--balance-batches, --conditional: balanced batches are of classes, but the target is "
            f"{config.target_kind}; leave the option out"
        )
    for name in config.reconstructed:
        if getattr(config.groups[name], "length", 1) is None:
            raise NtuplemlError(
                f"target.reconstruction: '{name}' has any number of objects; give the largest as inputs.{name}.length"
            )
