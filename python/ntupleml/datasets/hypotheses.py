"""Inputs that are hypotheses of the signal, such as masses: all other classes get values drawn from the signal's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.datasets.fold_trees import open_class_tree
from ntupleml.datasets.splitting import HYPOTHESIS_STREAM, stream_of_tree, uniform_by_entry
from ntupleml.errors import NtuplemlError
from ntupleml.events.reading import read_events
from ntupleml.ntuples.given import with_columns
from ntupleml.ntuples.variables import as_matrix, variable_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ntupleml.config import TrainingConfig
    from ntupleml.config.parameters import ParametersConfig
    from ntupleml.datasets.choosing import Choice
    from ntupleml.datasets.loading import FoldFile
    from ntupleml.ntuples import Ntuple

#: Different values that are told apart, which bounds the memory.
_MOST_POINTS = 1_000_000


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """Points of the signal in the space of its parameters, and how probable each is."""

    config: ParametersConfig
    #: Shape (n_points, n_parameters), in ascending order.
    points: NDArray[np.float64]
    #: Shape (n_points,). Sum of the event weights of the signal, 0 where it is negative.
    weights: NDArray[np.float64]
    seed: int
    #: Of the fold file that gets them.
    fold: int = 0
    condition: str | None = None

    def for_file(self, file: FoldFile) -> Hypotheses:
        """What gives them to the classes of a fold file."""
        return replace(self, fold=file.fold, condition=file.condition)

    def given_to(self, ntuple: Ntuple, name: str) -> Ntuple:
        """The tree of a class in the fold file: with drawn values, unless the class has values of its own.

        The parameters of an entry are drawn together. They depend on the seed, the tree and the entry alone.
        """
        if name in self.config.of:
            return ntuple
        stream = stream_of_tree(self.seed, self.fold, self.condition, name, HYPOTHESIS_STREAM)
        alike = self.config.drawn_for(name) == "points"
        edges = np.cumsum((self.weights > 0).astype(np.float64) if alike else self.weights)

        def drawn(entries: NDArray[np.int64], column: int) -> NDArray[np.float64]:
            chosen = np.searchsorted(edges, uniform_by_entry(entries, *stream) * edges[-1], side="right")
            found: NDArray[np.float64] = self.points[np.minimum(chosen, len(edges) - 1), column]
            return found

        return with_columns(
            ntuple, {one: partial(drawn, column=column) for column, one in enumerate(self.config.names)}
        )


def hypotheses_of_file(config: TrainingConfig, file: FoldFile) -> Hypotheses | None:
    """What gives the parameters of a training to the classes of one fold file, by its own signal."""
    if config.parameters is None:
        return None
    return hypotheses_of(config, [(file, name, None) for name in config.parameters.of]).for_file(file)


def hypotheses_of(config: TrainingConfig, signal: Sequence[tuple[FoldFile, str, Choice | None]]) -> Hypotheses:
    """Points of the signal of a training that has parameters.

    Parameters
    ----------
    signal : sequence of tuples
        Fold file, class, and which of its rows are used, None for all.

    Raises
    ------
    NtuplemlError
        If a parameter is no number of each event, NaN or infinite, the points are too many, or their weights do not
        sum to a positive number.
    """
    assert config.parameters is not None
    names = config.parameters.names
    points: NDArray[np.float64] = np.empty((0, len(names)))
    weights: NDArray[np.float64] = np.empty(0)
    for file, name, choice in signal:
        for values, of_rows in _parameters_of(config, file, name, choice):
            points, inverse = np.unique(np.concatenate([points, values]), axis=0, return_inverse=True)
            both = np.concatenate([weights, of_rows])
            weights = np.bincount(inverse.reshape(-1), both, len(points)).astype(np.float64)
            if len(points) > _MOST_POINTS:
                raise NtuplemlError(
                    f"{file.path}: class '{name}': parameters: {', '.join(names)} have more than {_MOST_POINTS:,} "
                    "different values; round them in the dataset config"
                )
    weights = np.maximum(weights, 0)
    if not weights.sum() > 0:
        file, name, _ = signal[0]
        raise NtuplemlError(
            f"{file.path}: class '{name}': parameters: no values with positive weight to draw from; check parameters.of"
        )
    return Hypotheses(config.parameters, points, weights, config.seed_of_data)


def _parameters_of(
    config: TrainingConfig, file: FoldFile, name: str, choice: Choice | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values of the parameters, shape (n_rows, n_parameters), and event weights of a class, chunk by chunk."""
    assert config.parameters is not None
    names, where = config.parameters.names, f"{file.path}: class '{name}'"
    with open_class_tree(file.path, name, "parameters.of") as ntuple:
        ntuple.require(names, "parameters.names")
        more = [*names, *(choice.branches(ntuple, name) if choice else [])]
        choose = None if choice is None else partial(choice.rows, name=name)
        for chunk in read_events(ntuple, (), weights=config.event_weights, more=more, choose=choose):
            found = [variable_values(one, chunk.columns, len(chunk), where) for one in names]
            values = as_matrix(found, len(chunk), np.float64)
            bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
            if len(bad):
                raise NtuplemlError(
                    f"{where}: parameters: '{names[bad[0]]}' is NaN or infinite; cut these events away in the dataset "
                    "config"
                )
            # weights that are no numbers are refused with the inputs
            yield values, np.where(np.isfinite(chunk.weights), chunk.weights, 0)
