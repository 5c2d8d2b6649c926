"""Events that are changed anew in each epoch: turned, mirrored, shifted, smeared, with objects left out.

Raw columns are changed, so features, four-vectors and numbers of an event follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.config import CollectionsConfig, ObjectsConfig
from ntupleml.config.four_vectors import TYPE
from ntupleml.features.arrays import NUMPY
from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.making import FeatureMaker
from ntupleml.features.vectors import Vectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import ModelFiles
    from ntupleml.config import AugmentationConfig, PlotConfig, TrainingConfig
    from ntupleml.config.inputs import GroupConfig
    from ntupleml.features.makers import Makers

    Batch = Mapping[str, NDArray[Any]]
    Histograms = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]

#: What the random numbers of an epoch are drawn for, beside the order of the events.
_STREAM = 2
#: Of a histogram.
_BINS = 40
#: Of images: events, η, φ, channels.
_IMAGE_AXES = 4


class Change(NamedTuple):
    """A change of four-vectors: numbers, or arrays with one of them for each object."""

    #: Added to φ.
    angle: Any = 0.0
    #: Multiplies η, 1 or -1; then the shift is added.
    mirror: Any = 1.0
    shift: Any = 0.0
    #: Multiplies energy, momentum and mass.
    factor: Any = 1.0


def changed(objects: NDArray[Any], raw: Sequence[str], change: Change) -> NDArray[Any]:
    """Raw columns of changed objects.

    Parameters
    ----------
    objects : array, shape (n_objects, n_columns)
        Raw columns.
    raw : sequence of str
        Their names, see `CollectionsConfig.raw`.

    Returns
    -------
    array
        A new one of the same shape and type. φ is in [-π, π]. Mass and pT stay where an object is shifted, and its
        energy follows.
    """
    result = objects.copy()
    pt, eta, phi, fourth = (raw.index(name) for name in ("pt", "eta", "phi", raw[3]))
    if np.any(change.angle):
        angle = objects[:, phi] + change.angle
        result[:, phi] = angle - 2 * np.pi * np.round(angle / (2 * np.pi))
    if np.any(change.shift) or np.any(change.mirror != 1):
        result[:, eta] = objects[:, eta] * change.mirror + change.shift
    if np.any(change.shift) and raw[fourth] == "energy":
        mass = Vectors(NUMPY, objects.astype(np.float64), raw).mass
        momentum = objects[:, pt] * np.cosh(result[:, eta].astype(np.float64))
        result[:, fourth] = np.hypot(momentum, mass)
    if np.any(change.factor != 1):
        for column in (pt, fourth):
            result[:, column] *= change.factor
    return result


@dataclass(frozen=True)
class Augmentation:
    """Changes events at random; plain data."""

    config: AugmentationConfig
    groups: Mapping[str, GroupConfig]
    #: Seed of the training, and the fold.
    seed: tuple[int, int]
    #: Names of the values that are learnt.
    values: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: TrainingConfig, fold: int) -> Augmentation | None:
        """What a config asks for."""
        if config.augmentation is None:
            return None
        values = tuple((config.target and config.target.values) or {})
        return cls(config.augmentation, config.groups, (config.seed, fold), values)

    def generator(self, epoch: int) -> np.random.Generator:
        """Random numbers of an epoch, beside those of the order of its events."""
        return np.random.default_rng([*self.seed, epoch, _STREAM])

    def batch(self, batch: Batch, generator: np.random.Generator) -> dict[str, NDArray[Any]]:
        """A raw batch with other objects and images; all groups of an event are turned and mirrored alike."""
        return self.events(batch, np.empty((len(next(iter(batch.values()))), 0), np.float32), generator)[0]

    def events(
        self, batch: Batch, values: NDArray[np.float32], generator: np.random.Generator
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
        """The same, and the values that are learnt, whose vectors turn with the event."""
        augmented = dict(batch)
        names = [name for name in self.groups if f"{name}_length" in batch]
        images = [name for name, array in batch.items() if array.ndim == _IMAGE_AXES]
        number, config = len(values), self.config
        turned: NDArray[np.floating[Any]] = generator.uniform(-1, 1, number) * config.phi_rotation
        bins = math.gcd(*(batch[name].shape[2] for name in images))
        steps = np.round(turned * bins / (2 * np.pi)).astype(np.int64)
        if images:
            turned = steps * (2 * np.pi / bins)
        mirrored = np.where(generator.random(number) < config.eta_reflection, -1.0, 1.0)
        shift = generator.normal(0, 1, (2, number)) * [[config.translation.eta], [config.translation.phi]]
        of_event = np.stack([turned + shift[1], mirrored, shift[0]]).astype(np.float32)
        for name in names:
            group, counts = self.groups[name], batch[f"{name}_length"]
            filled = np.arange(batch[name].shape[1]) < counts[:, np.newaxis]
            objects = batch[name][filled]
            stays = np.zeros(len(objects), np.bool_)
            if isinstance(group, CollectionsConfig):
                stays = _without_eta(objects, group)
                if config.of_vectors:
                    angle, mirror, shift_eta = np.repeat(of_event, counts, axis=1)
                    factor = np.exp(generator.normal(0, config.energy_smearing, len(objects))).astype(np.float32)
                    objects = changed(objects, group.raw, Change(angle, mirror, shift_eta * ~stays, factor))
            if config.drop_objects:
                kept = _kept(stays, filled, generator.random(len(objects)), config.drop_objects)
                objects, counts = objects[kept[filled]], kept.sum(axis=1)
                filled = np.arange(filled.shape[1]) < counts[:, np.newaxis]
                augmented[f"{name}_length"] = counts
            augmented[name] = np.zeros_like(batch[name])
            augmented[name][filled] = objects
        for name in images:
            augmented[name] = turned_images(batch[name], steps * (batch[name].shape[2] // bins), mirrored < 0)
        return augmented, self._turned_values(values, turned + shift[1])

    def _turned_values(self, values: NDArray[np.float32], angles: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Values whose vectors are turned by the angle of their event."""
        pairs = self.config.turned_among(self.values)
        if not pairs or not values.shape[1]:
            return values
        turned, cosine, sine = values.copy(), np.cos(angles), np.sin(angles)
        for pair in pairs:
            x, y = (self.values.index(name) for name in pair)
            turned[:, x] = cosine * values[:, x] - sine * values[:, y]
            turned[:, y] = sine * values[:, x] + cosine * values[:, y]
        return turned


def turned_images(images: NDArray[Any], shifts: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> NDArray[Any]:
    """Images that are turned by some bins of φ, and some of them mirrored in η.

    Parameters
    ----------
    images : array, shape (n_events, η, φ, channels)
    shifts : array of int, shape (n_events,)
        What is in bin j is in bin j + shift afterwards.
    mirrored : array of bool, shape (n_events,)

    Returns
    -------
    array
        A new one of the same shape and type.
    """
    places = (np.arange(images.shape[2]) - shifts[:, np.newaxis]) % images.shape[2]
    result: NDArray[Any] = np.take_along_axis(images, places[:, np.newaxis, :, np.newaxis], axis=2)
    result[mirrored] = result[mirrored, ::-1]
    return result


def _without_eta(objects: NDArray[Any], group: CollectionsConfig) -> NDArray[np.bool_]:
    """Which objects have no η of their own, as missing energy."""
    without = [
        number
        for number, name in enumerate(group.collections)
        if all(one.eta is None for one in group.alternatives(name))
    ]
    if TYPE not in group.raw:
        return np.full(len(objects), bool(without))
    return np.isin(objects[:, group.raw.index(TYPE)], without)


def _kept(
    stays: NDArray[np.bool_], filled: NDArray[np.bool_], drawn: NDArray[np.float64], probability: float
) -> NDArray[np.bool_]:
    """Which slots keep their objects: those that stay, and of the others of an event at least one."""
    slots = np.full(filled.shape, -1.0)
    slots[filled] = np.where(stays, -1.0, drawn)
    slots[np.arange(len(slots)), slots.argmax(axis=1)] += 1.0
    kept = slots >= probability
    kept[filled] |= stays
    return kept & filled


def draw_augmentation_figure(
    files: ModelFiles, augmentation: Augmentation, batch: Batch, makers: Makers, plot: PlotConfig
) -> None:
    """Write the figure of each feature as it is, and augmented, of the events of a raw batch."""
    from ntupleml.plots.augmentation import draw_augmentation
    from ntupleml.plots.style import plot_style, save_figure

    both = (batch, augmentation.batch(batch, augmentation.generator(0)))
    original, augmented = (_features(some, makers, augmentation.groups) for some in both)
    histograms = {name: _histograms(values, augmented[name]) for name, values in original.items()}
    if not histograms:  # images alone
        return
    path = files.loss_png.with_name(files.loss_png.stem.removesuffix("_loss") + "_augmentation")
    with plot_style(plot):
        save_figure(draw_augmentation(histograms, plot), path)


def _features(batch: Batch, makers: Makers, groups: Mapping[str, GroupConfig]) -> dict[str, NDArray[np.float64]]:
    """Values of each feature of the groups that are augmented, of all objects or events, by ``group: feature``."""
    found: dict[str, NDArray[np.float64]] = {}
    for name, group in groups.items():
        maker = makers.get(name)
        of = maker.of if isinstance(maker, CombinationMaker) else name
        if f"{of}_length" not in batch:
            continue
        filled = np.arange(batch[of].shape[1]) < batch[f"{of}_length"][:, np.newaxis]
        objects = batch[of].astype(np.float64)
        if isinstance(maker, CombinationMaker):
            values, columns = maker.make(NUMPY, objects, filled), list(maker.columns)
        elif isinstance(maker, FeatureMaker):
            values, columns = maker.make(NUMPY, objects[filled]), maker.columns
        else:
            assert isinstance(group, ObjectsConfig), "what has a length is made of objects"
            values, columns = objects[filled], group.objects
        found |= {f"{name}: {column}": values[:, index] for index, column in enumerate(columns)}
    return found


def _histograms(original: NDArray[np.float64], augmented: NDArray[np.float64]) -> Histograms:
    """Edges of bins that hold 99 % of all values, and the shares of both in the bins."""
    values = np.concatenate([original, augmented])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.005, 0.995]) if len(values) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    before, after = (np.histogram(some, edges)[0] / max(len(some), 1) for some in (original, augmented))
    return edges, before, after
