"""The inputs of one method, column by column, so that they can be changed and the events be scored again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.values import joined
from ntupleml.ntuples import columns_to_matrix
from ntupleml.testing.input_columns import InputColumns
from ntupleml.testing.tested_events import read_tested_events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup
    from ntupleml.events.values import InputValues
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.sources import ScoreSource
    from ntupleml.testing.tested_events import TestedEvents


@dataclass(frozen=True, eq=False)
class MethodInputs:
    """Inputs of a method for some events, and the models that score them.

    Attributes
    ----------
    method : str
    variables : list of str
        Its inputs, which can be changed.
    columns : dict of str to array
        Their values, and event numbers where the method takes these; arrays of shape (n_events,), or awkward arrays
        for vectors.
    vectors : tuple of tuples of str
        Variables that are vectors of the same objects.
    models : array of int64, shape (n_events,)
        Index of the model that scores an event.
    sources : dict of int to ScoreSource
        By model.
    of_training : list of str
        Numbers of the training config where the method takes their matrix, else empty.
    wholes : dict of str to list of str
        Groups and collections of several variables, which can be changed together.
    layout : InputColumns or None
        Makes of the columns what the method takes, where that is no matrix.
    """

    method: str
    variables: list[str]
    columns: dict[str, Any]
    vectors: tuple[tuple[str, ...], ...]
    models: NDArray[np.int64]
    sources: dict[int, ScoreSource]
    of_training: list[str]
    wholes: dict[str, list[str]] = field(default_factory=dict)
    layout: InputColumns | None = None

    def score(self, columns: Mapping[str, Any], models: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores of events with other inputs.

        Parameters
        ----------
        columns : mapping of str to array
            As `columns`, of any number of events.
        models : array of int64, shape (n_events,)
            Index of the model that scores each.

        Returns
        -------
        array of float32, shape (n_events, n_classes)
        """
        where = f"{self.method} with changed inputs"
        if len(self.sources) == 1 or not len(models):
            return self._score(next(iter(self.sources.values())), columns, len(models), where)
        parts: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = []
        for model, source in self.sources.items():
            rows = np.flatnonzero(models == model)
            if len(rows):
                own = {name: values[rows] for name, values in columns.items()}
                parts.append((rows, self._score(source, own, len(rows), where)))
        scores = np.empty((len(models), parts[0][1].shape[1]), np.float32)
        for rows, found in parts:
            scores[rows] = found
        return scores

    def _score(self, source: ScoreSource, columns: Mapping[str, Any], number: int, where: str) -> NDArray[np.float32]:
        if self.of_training:
            return source.score(columns, columns_to_matrix(columns, self.of_training, where=where), where)
        if self.layout is not None and source.score_inputs is not None:
            return source.score_inputs(self.layout.read_again(columns, number), columns, where)
        return source.score(columns, np.empty((number, 0), np.float32), where)

    def together(self, names: Sequence[str]) -> list[str]:
        """Variables with those that are vectors of the same objects and not among them."""
        found = dict.fromkeys(names)
        grown = True
        while grown:
            missing = [
                name
                for group in self.vectors
                if not set(group).isdisjoint(found)
                for name in group
                if name not in found
            ]
            grown = bool(missing)
            found.update(dict.fromkeys(missing))
        return list(found)


def inputs_of_method(events: TestedEvents, preparation: Preparation, method: str) -> MethodInputs | None:
    """Inputs of a method, as far as the events have them.

    Returns
    -------
    MethodInputs or None
        None for models with objects or images, and for external ones that take other variables than the training
        config, or event numbers; see `read_with_inputs`.
    """
    sources = {model: _source(preparation, model, method) for model in preparation.models}
    first = next(iter(sources.values()))
    takes_matrix = method in preparation.trained and not first.vectors
    of_training = preparation.training.numbers if takes_matrix else []
    variables = of_training or first.variables
    if first.optional or first.vectors or not set(variables) <= set(events.variables):
        return None
    columns = {name: events.values_of(name) for name in variables}
    return MethodInputs(method, list(variables), columns, (), events.models, sources, of_training)


def read_with_inputs(preparation: Preparation, method: str = "") -> tuple[TestedEvents, MethodInputs]:
    """Events of the held-out folds with the inputs of a method, by default the one of a preparation.

    Of groups of objects and images the inputs are what the method reads: objects that are selected, sorted and cut.
    """
    (method,) = [method] if method else preparation.methods
    sources = {model: _source(preparation, model, method) for model in preparation.models}
    first = next(iter(sources.values()))
    if method in preparation.trained and not first.vectors:
        own = {model: [source] for model, source in sources.items()}
        events = read_tested_events(preparation.samples, own, preparation.reading)
        inputs = inputs_of_method(events, preparation, method)
        assert inputs is not None, "methods of the training config take its variables"
        return events, inputs
    found = read_groups(preparation, method)
    if found.values is None:
        columns = {name: np.empty(0) for name in first.variables}
        return found.events, MethodInputs(
            method, list(columns), columns, first.vectors, found.events.models, sources, []
        )
    layout = InputColumns.of(found.values, first.groups)
    columns = layout.columns | found.optional
    return found.events, MethodInputs(
        method,
        list(layout.columns),
        columns,
        tuple(layout.vectors.values()),
        found.events.models,
        sources,
        [],
        layout.wholes,
        layout,
    )


class GroupsOfEvents(NamedTuple):
    """Events with the groups of inputs that a method reads."""

    events: TestedEvents
    #: None without events.
    values: InputValues | None
    groups: list[InputGroup]
    #: Columns that are read where a tree has them.
    optional: dict[str, Any]


def read_groups(preparation: Preparation, method: str, *, scored: bool = True) -> GroupsOfEvents:
    """Events of the held-out folds with the groups of inputs of a method.

    Parameters
    ----------
    scored : bool, default: True
        Whether the scores are wanted, which else are 0.
    """
    read: list[InputValues] = []
    others: list[dict[str, Any]] = []
    sources = {model: _source(preparation, model, method) for model in preparation.models}
    recording = {model: [_recorded(source, read, others, scored=scored)] for model, source in sources.items()}
    events = read_tested_events(preparation.samples, recording, preparation.reading)
    optional = {name: np.concatenate([part[name] for part in others]) for name in (others or [{}])[0]}
    values = joined(read) if read else None
    return GroupsOfEvents(events, values, next(iter(sources.values())).groups, optional)


def _source(preparation: Preparation, model: int, method: str) -> ScoreSource:
    return next(source for source in preparation.sources[model] if source.method == method)


def _recorded(
    source: ScoreSource, read: list[InputValues], others: list[dict[str, Any]], *, scored: bool
) -> ScoreSource:
    """The same source, which keeps what it is given to score."""

    def score(columns: Mapping[str, Any], matrix: NDArray[np.float32], where: str) -> NDArray[np.float32]:
        assert source.read is not None
        assert source.score_inputs is not None
        read.append(source.read(columns, matrix, where))
        others.append({name: columns[name] for name in source.optional if name in columns})
        if scored:
            return source.score_inputs(read[-1], columns, where)
        return np.zeros((len(matrix), 1), np.float32)

    return replace(source, score=score)


def variable_groups(texts: Sequence[str], variables: Sequence[str]) -> dict[str, list[str]]:
    """Groups of variables that options `NAME=A,B` name.

    Parameters
    ----------
    texts : sequence of str
    variables : sequence of str
        All that there are.

    Examples
    --------
    >>> variable_groups(["leptons=pt_1,min(pt_1,pt_2)"], ["pt_1", "min(pt_1,pt_2)", "m"])
    {'leptons': ['pt_1', 'min(pt_1,pt_2)']}
    """
    groups: dict[str, list[str]] = {}
    for text in texts:
        name, separator, listed = (part.strip() for part in text.partition("="))
        names = _split(listed)
        if not (name and separator and names):
            raise NtuplemlError(f"--group: '{text}': give a name and its variables, e.g. leptons=pt_1,pt_2")
        if name in groups or name in variables:
            raise NtuplemlError(f"--group: '{name}' is a variable or a group already; choose another name")
        for variable in names:
            if variable not in variables:
                raise NtuplemlError(
                    f"--group: '{name}': no variable '{variable}' among the inputs{did_you_mean(variable, variables)}"
                )
        groups[name] = list(dict.fromkeys(names))
    return groups


def _split(text: str) -> list[str]:
    """Names between commas, those inside the brackets of a formula left alone."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
