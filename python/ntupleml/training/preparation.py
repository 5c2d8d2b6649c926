"""Inputs and targets of a network from the raw events of a training, in memory or streamed."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.config import SlotsGroupConfig
from ntupleml.errors import NtuplemlError
from ntupleml.events.evaluation import made_numbers
from ntupleml.events.groups import makers_of
from ntupleml.events.values import InputValues, ObjectRows
from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.making import FeatureMaker
from ntupleml.features.slots import SlotMaker
from ntupleml.models import GroupShape, ImageOutput, ValueUnits, network_of
from ntupleml.preprocessing import fit_scaler
from ntupleml.preprocessing.groups import as_argument, made_of_objects, network_inputs
from ntupleml.preprocessing.slots import SlotFit, slots_made
from ntupleml.targets import TARGET_IMAGE
from ntupleml.training.streamed_scalers import ScalerFit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.record import TargetRecord
    from ntupleml.config import TrainingConfig
    from ntupleml.events.values import GroupValues
    from ntupleml.features.makers import Makers
    from ntupleml.preprocessing import Scaler
    from ntupleml.training.decorrelation import Formulas
    from ntupleml.training.nuisances import Nuisances

log = logging.getLogger(__name__)

#: Numbers that are scaled at a time, since the scalers compute in float64.
_NUMBERS_PER_SCALING = 2_000_000
#: Numbers that combinations of pairs hold at a time for each pair.
_PER_PAIR = 10


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
    #: By the names of the groups that have features of their own.
    makers: Makers
    #: Groups whose four-vectors the network takes, too.
    vectors: tuple[str, ...]
    target: TargetRecord
    #: What the network takes.
    shapes: dict[str, GroupShape]
    classes: tuple[str, ...]
    #: Where the scores must not tell them.
    nuisances: Nuisances | Formulas | None = None

    @property
    def num_outputs(self) -> int:
        """Numbers that the network gives per row; beside the pixels of an image."""
        if self.target.kind == "reconstruction":
            return sum(map(self._number_given_back, self.target.groups)) + sum(self.target.latent_sizes)
        return len(self.target.values if self.target.image is not None else self.target.values or self.classes)

    @property
    def width(self) -> int:
        """Numbers that the network gives per row, the pixels of an image included."""
        return self.num_outputs + (0 if self.image is None else int(np.prod(self.image.bins)))

    @property
    def image(self) -> ImageOutput | None:
        """The image that the network gives."""
        found = self.target.image
        if found is None:
            return None
        units = {"etmiss": found.component_scale, "image": found.pixel_scale}
        return ImageOutput(found.bins, (found.source.phi_range[0], found.source.phi_range[1]), units)

    @property
    def units(self) -> ValueUnits | None:
        """How values are standardised, where nothing else is learnt."""
        return ValueUnits(self.target.mean, self.target.scale) if self.target.kind == "values" else None

    def _number_given_back(self, name: str) -> int:
        maker = self.makers.get(name)
        if isinstance(maker, SlotMaker):
            return maker.number
        return int(np.prod([size or 0 for size in self.shapes[name].shape]))

    def prepared(
        self, batch: Mapping[str, NDArray[Any]], classes: NDArray[np.int64], values: NDArray[np.float32]
    ) -> tuple[Any, NDArray[np.float32]]:
        """Inputs and targets of the network for a raw batch; of classes their index."""
        inputs, number = self._inputs(batch, len(classes)), len(self.target.values)
        targets = self._targets(batch, inputs, classes, values[:, :number])
        if self.nuisances is not None:
            targets = np.hstack([targets, self.nuisances.targets(classes, values[:, number:])])
        return as_argument(inputs), targets

    def taken(self, batch: Mapping[str, NDArray[Any]], number: int) -> Any:
        """Inputs of the network for a raw batch of so many rows."""
        return as_argument(self._inputs(batch, number))

    def _inputs(self, batch: Mapping[str, NDArray[Any]], number: int) -> dict[str, NDArray[np.float32]]:
        size = sum(array[:1].size for array in batch.values()) + sum(
            _PER_PAIR * batch[maker.of].shape[1] ** 2
            for maker in self.makers.values()
            if isinstance(maker, CombinationMaker)
        )
        step = max(1, _NUMBERS_PER_SCALING // max(size, 1))
        inputs: dict[str, NDArray[np.float32]] = {}
        for start in range(0, number, step):
            rows = slice(start, start + step)
            some = {name: array[rows] for name, array in batch.items()}
            part = network_inputs(some, self.scalers, makers=self.makers, vectors=self.vectors)
            for name, array in part.items():
                if name not in inputs:
                    inputs[name] = np.empty((number, *array.shape[1:]), np.float32)
                inputs[name][rows] = array
        return inputs

    def _targets(
        self,
        batch: Mapping[str, NDArray[Any]],
        inputs: Mapping[str, NDArray[np.float32]],
        classes: NDArray[np.int64],
        values: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        if self.target.image is not None:
            pixels = batch[TARGET_IMAGE].reshape(len(values), -1)
            return np.hstack([pixels, self._standardised(values)]) if self.target.values else pixels
        if self.target.kind == "values":
            return self._standardised(values)
        if self.target.kind == "reconstruction":
            from ntupleml.models.reconstruction import reconstruction_target

            return reconstruction_target(inputs, self.target.groups, self.target.slots)
        return one_hot(classes, len(self.classes))

    def _standardised(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        standardised: NDArray[np.float64] = (values - np.array(self.target.mean)) / np.array(self.target.scale)
        return standardised.astype(np.float32)


def is_matrix(values: GroupValues) -> bool:
    """Whether a group is one of numbers."""
    return not isinstance(values, ObjectRows) and len(values.row_shape) == 1


def lines_of(
    name: str, inputs: InputValues, makers: Makers, rows: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """What the scaler of a group is fitted to, and the weight of each: events, objects that are there, or pixels."""
    maker = makers.get(name)
    if isinstance(maker, CombinationMaker):
        return made_numbers(maker, inputs.groups[maker.of], rows), weights[rows]
    values = inputs.groups[name]
    if isinstance(maker, SlotMaker):
        return slots_made(maker, values.take(rows))[0], weights[rows]
    if isinstance(values, ObjectRows):
        counts = values.lengths(rows)
        first = np.repeat(values.starts[rows] - (np.cumsum(counts) - counts), counts)
        objects = values.values[first + np.arange(len(first))]
        if isinstance(maker, FeatureMaker):
            objects = made_of_objects(maker.make, objects)
        return objects, np.repeat(weights[rows], counts)
    taken = values.take(rows)
    flat = taken.reshape(-1, taken.shape[-1])
    return flat, weights[rows] if taken.ndim == 2 else np.repeat(weights[rows], taken[0].size // taken.shape[-1])


def scaler_fits(config: TrainingConfig) -> dict[str, ScalerFit | SlotFit]:
    """Fits of the scalers of all groups, to be fed chunk by chunk."""
    fits: dict[str, ScalerFit | SlotFit] = {}
    for name, group in config.groups.items():
        if isinstance(group, SlotsGroupConfig):
            where = f"inputs.{name}: steps"
            fits[name] = SlotFit(group.maker, weighted=config.weighted_preprocessing, where=where)
            continue
        fits[name] = ScalerFit(
            config.preprocessing_of(name),
            config.seed,
            weighted=config.weighted_preprocessing,
            where=_where(config, name),
        )
    return fits


def draws_for_scalers(config: TrainingConfig) -> bool:
    """Whether scalers depend on the seed: quantiles are those of some events, drawn at random."""
    return "quantile_transformer" in map(config.preprocessing_of, config.groups)


def fit_scalers(
    config: TrainingConfig, inputs: InputValues, rows: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, Scaler]:
    """Scalers of all groups, fitted to some rows of events in memory."""
    scalers = {}
    fits, makers = scaler_fits(config), makers_of(config.groups)
    for name in config.groups:
        values = inputs.groups.get(name)
        if values is not None and is_matrix(values):
            found, of_rows = lines_of(name, inputs, makers, rows, weights)
            scalers[name] = fit_scaler(
                config.preprocessing_of(name),
                found,
                weights=of_rows if config.weighted_preprocessing else None,
                seed=config.seed,
                where=_where(config, name),
            )
            continue
        of = getattr(makers.get(name), "of", name)
        row = inputs.groups[of].take(rows[:1])
        size = row.size if of == name else _PER_PAIR * int(longest_of(inputs)[of]) ** 2
        step = max(1, _NUMBERS_PER_SCALING // max(1, size))
        for start in range(0, len(rows), step):
            fits[name].add(*lines_of(name, inputs, makers, rows[start : start + step], weights))
        scalers[name] = fits[name].result()
    return scalers


def _where(config: TrainingConfig, group: str) -> str:
    return "preprocessing" if config.inputs is None else f"inputs.{group}: preprocessing"


def cut_away(inputs: InputValues) -> Counter[tuple[str, str]]:
    """How many objects were cut away, by group and collection; see `ObjectRows.cut`."""
    return Counter(
        {
            (name, collection): number
            for name, values in inputs.groups.items()
            if isinstance(values, ObjectRows)
            for collection, number in values.cut.items()
        }
    )


def log_cut(cut: Mapping[tuple[str, str], int]) -> None:
    """Say how many objects were cut away."""
    for (name, collection), number in cut.items():
        key = f"inputs.{name}" + (f".collections.{collection}" if collection else "")
        log.info("%s.length: %d objects are cut away, of events that have more", key, number)


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
    makers = makers_of(config.groups)
    for name, group in config.groups.items():
        maker, values = makers.get(name), inputs.groups.get(name)
        if isinstance(maker, SlotMaker):
            shapes[name] = (
                GroupShape("numbers", (maker.number,))
                if maker.flat
                else GroupShape("objects", (maker.types.total, len(maker.columns)))
            )
        elif values is None:
            assert maker is not None, "numbers that are made of another group"
            shapes[name] = GroupShape("numbers", (len(maker.columns),))
        elif isinstance(values, ObjectRows):
            width = values.values.shape[1] if maker is None else len(maker.columns)
            shapes[name] = GroupShape("objects", (getattr(group, "length", None), width))
        elif not is_matrix(values):
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


def inputs_of(batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What the models take of a raw batch: all but an image that is learnt."""
    return {name: array for name, array in batch.items() if name != TARGET_IMAGE}


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
    """Refuse, before reading, settings for classes with other targets, and objects without a length as targets."""
    if balanced and config.target is not None:
        raise NtuplemlError(
            f"--balance-batches, --conditional: balanced batches are of classes, but the target is "
            f"{config.target_kind}; leave the option out"
        )
    if config.target is not None and config.target.reconstruction is not None:
        _check_scores(config, config.target.scores)
    for name in config.reconstructed:
        if getattr(config.groups[name], "length", 1) is None:
            raise NtuplemlError(
                f"target.reconstruction: '{name}' has any number of objects; give the largest as inputs.{name}.length"
            )


def _check_scores(config: TrainingConfig, scores: Sequence[str]) -> None:
    """Refuse scores of a layer that the network has not."""
    latent = network_of(config.model, groups=config.groups, target="reconstruction").latent
    for name, key, has in (
        ("latent_norm", "model.latent", latent is not None),
        ("kl", "model.latent.variational", latent is not None and latent.variational),
    ):
        if name in scores and not has:
            raise NtuplemlError(f"target.scores: '{name}' needs a network with {key}; set it, or leave the score out")
