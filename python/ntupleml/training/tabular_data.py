"""All events of a training as plain arrays, for the engines that take a matrix at once: boosted trees and TMVA."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.config.four_vectors import CombinationsConfig
from ntupleml.config.inputs import NumbersConfig, matrix_of
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import key_of
from ntupleml.training.data import condition_names, load_split, training_weights
from ntupleml.training.preparation import one_hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import ClassContent
    from ntupleml.config import TrainingConfig
    from ntupleml.datasets.loading import ClassTree

log = logging.getLogger(__name__)


class TabularPart(NamedTuple):
    """Some events: inputs float32 (n_events, n_inputs), class indices int64 and weights float64 (n_events,)."""

    inputs: NDArray[np.float32]
    classes: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TabularData:
    """All events that a model is made from; those that train come first, those that validate follow."""

    #: Shape (n_events, n_variables + n_conditions). Variables, missing ones replaced as the config says, then the
    #: one-hot conditions.
    inputs: NDArray[np.float32]
    #: Shape (n_events,). Index of each event's class in the config.
    classes: NDArray[np.int64]
    #: Shape (n_events,). Event weight × class weight × global weight scale; of either sign.
    weights: NDArray[np.float64]
    #: Shape (n_events, n_values). What is learnt where it is not the classes; else no columns.
    values: NDArray[np.float32]
    #: How many of the events train.
    num_training: int
    #: Content of each tree, by event weights alone.
    contents: list[ClassContent]
    #: Where the events are from.
    trees: list[ClassTree]
    #: The training config, with numbers for class weights that are balanced.
    config: TrainingConfig

    @property
    def num_validation(self) -> int:
        """How many of the events validate."""
        return len(self.weights) - self.num_training

    @property
    def training(self) -> TabularPart:
        """Events that train; views, not copies."""
        return self._part(slice(None, self.num_training))

    @property
    def validation(self) -> TabularPart:
        """Events that validate; views, not copies."""
        return self._part(slice(self.num_training, None))

    @property
    def conditions(self) -> list[str]:
        """Names of the one-hot inputs after the variables."""
        return condition_names(self.trees)

    def for_job(self, config: TrainingConfig) -> TabularData:
        """The same events, which several trainings share, with the seed and the folder of one of them."""
        own = {"seed": config.seed, "output_path": config.output_path}
        return replace(self, config=self.config.model_copy(update=own))

    def _part(self, rows: slice) -> TabularPart:
        return TabularPart(self.inputs[rows], self.classes[rows], self.weights[rows])


def left_out(config: TrainingConfig, *, takes_made: bool) -> list[str]:
    """Groups of inputs without a column in the matrix: objects, images, unused combinations."""
    taken = (NumbersConfig, CombinationsConfig) if takes_made else NumbersConfig
    return [name for name, group in config.groups.items() if not isinstance(group, taken)]


def as_tabular(
    config: TrainingConfig, where: str, *, takes_made: bool, learns: Sequence[str] = ("classes",)
) -> TrainingConfig:
    """The same training with all numbers as variables, for what takes a matrix.

    Parameters
    ----------
    takes_made : bool
        Also the numbers that are made of objects.
    learns : sequence of str
        Targets that it can learn.
    """
    matrix = matrix_of(config.groups)
    if not (takes_made and matrix.made):
        matrix = matrix.model_copy(update={"made": {}})
    if not matrix.formulas or config.target_kind not in learns:
        what = (
            f"{key_of(left_out(config, takes_made=takes_made)[0])} holds no numbers"
            if not matrix.formulas
            else f"the target is {config.target_kind}"
        )
        raise NtuplemlError(
            f"{where}: takes numbers and learns {' or '.join(learns)}, but {what}; the network of keras_training.py, "
            "or a method of the type kPyKeras, can be trained"
        )
    kept = {
        name: group for name, group in config.groups.items() if name in matrix.made or isinstance(group, NumbersConfig)
    }
    update = {"inputs": kept if matrix.made else None, "variables": matrix.formulas, "adversary": None}
    return config.model_copy(update=update)


def load_tabular_data(config: TrainingConfig, trees: Sequence[ClassTree]) -> TabularData:
    """Load the events of a fold's model, split as the training of the Keras network splits them.

    Each array is held once: the events are brought into the order of the split column by column.

    Parameters
    ----------
    trees : sequence of ClassTree
        Those of several conditions (eras) get a one-hot input for each.
    """
    if config.stream:
        log.info("stream: boosted trees and TMVA take all events at once; they are read into memory")
    config, events, split, sums = load_split(config, trees, treated=True)
    order = np.concatenate([split.training, split.validation])
    weights = training_weights(config, trees, events)[order]
    origin = events.trees[order]
    classes = np.array([tree.class_index for tree in trees])[origin]
    inputs = next(iter(events.inputs.batch().values()))
    for column in range(inputs.shape[1]):
        inputs[:, column] = inputs[order, column]
    names = condition_names(trees)
    if names:
        shown = np.array([tree.condition_index for tree in trees])[origin]
        inputs = np.concatenate([inputs, one_hot(shown, len(names))], axis=1)
    contents, values = [one.all.content() for one in sums], events.values[order]
    return TabularData(inputs, classes, weights, values, len(split.training), contents, list(trees), config)
