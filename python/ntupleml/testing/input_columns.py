"""What a method reads as columns whose values events can exchange, and the columns as what it reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.events.values import ImageRows, InputValues, ObjectRows, Rows
from ntupleml.expressions.instances import starts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import InputGroup


@dataclass(frozen=True, eq=False)
class Images:
    """Images of some rows, which are taken as a whole."""

    values: Rows | ImageRows
    rows: NDArray[np.int64]

    def __getitem__(self, rows: NDArray[np.int64]) -> Images:
        """Those of other rows."""
        return replace(self, rows=self.rows[rows])

    def taken(self) -> Rows | ImageRows:
        """As they are read."""
        if isinstance(self.values, Rows):
            return self.values._replace(values=self.values.values[self.rows])
        channels = [
            one._replace(starts=one.starts[self.rows], counts=one.counts[self.rows]) for one in self.values.channels
        ]
        return self.values._replace(channels=channels)


@dataclass(frozen=True, eq=False)
class InputColumns:
    """Columns of all groups: arrays of one number per event, lists of one per object, and whole images."""

    columns: dict[str, Any]
    #: Columns of the same objects by group, or collection of a group, and images.
    vectors: dict[str, tuple[str, ...]]
    #: Groups and collections of several columns.
    wholes: dict[str, list[str]]
    groups: list[InputGroup]
    #: Names of columns by group and, of objects, collection; empty where the objects of one have nothing but zeros.
    names: dict[str, list[list[str]]]
    read: InputValues

    @classmethod
    def of(cls, read: InputValues, groups: Sequence[InputGroup]) -> InputColumns:
        """Columns by the names of the variables, those of collections as ``collection.variable``.

        Parameters
        ----------
        read : InputValues
            Of the groups; those that are made of other groups are not in it.
        """
        found = cls({}, {}, {}, [group for group in groups if group.name in read.groups], {}, read)
        labels = labels_of_objects(found.groups)
        for group in found.groups:
            values = read.groups[group.name]
            if isinstance(values, ObjectRows):
                names = found._add_objects(group, values)
                shown = (tuple(name for name in own if name) for own in names)
                found.vectors.update(zip(labels[group.name], shown, strict=True))
            else:
                names = [found._add_rows(group, values)]
                if isinstance(values, ImageRows) or values.values.ndim > 2:
                    found.vectors[group.name] = (group.name,)
            found.names[group.name] = names
        wholes = {name: list(own) for name, own in found.vectors.items()}
        if len(found.groups) > 1 or wholes:
            wholes |= {name: [column for own in some for column in own if column] for name, some in found.names.items()}
        for name, own in wholes.items():
            if len(own) > 1:
                found.wholes[name if name not in found.columns else f"{name} (all)"] = own
        return found

    def _add(self, group: InputGroup, name: str, values: Any) -> str:
        """Name of a new column; numbers of the same formula are one."""
        known = self.columns.get(name)
        if known is not None and not all(isinstance(one, np.ndarray) for one in (known, values)):
            name = f"{group.name}.{name}"
        self.columns[name] = values
        return name

    def _add_rows(self, group: InputGroup, values: Rows | ImageRows) -> list[str]:
        if isinstance(values, ImageRows) or values.values.ndim > 2:
            return [self._add(group, group.name, Images(values, np.arange(len(self.read))))]
        return [self._add(group, name, values.values[:, index]) for index, name in enumerate(group.variables)]

    def _add_objects(self, group: InputGroup, values: ObjectRows) -> list[list[str]]:
        import awkward as ak

        if not group.collections:
            lists = ak.unflatten(values.values, values.counts)
            return [[self._add(group, name, lists[..., index]) for index, name in enumerate(group.variables)]]
        number, kinds = len(values.counts), np.zeros(len(values.values), np.int64)
        if len(group.collections) > 1:
            kinds = values.values[:, -1].astype(np.int64)
        rows, names = np.repeat(np.arange(number), values.counts), []
        for kind, collection in enumerate(group.collections):
            own = kinds == kind
            lists = ak.unflatten(values.values[own], np.bincount(rows[own], minlength=number))
            is_used = [index == 0 or values.values[own, index].any() for index in range(len(columns_of_objects(group)))]
            names.append(
                [
                    self._add(group, f"{collection.name}.{name}", lists[..., index]) if used else ""
                    for index, (name, used) in enumerate(zip(columns_of_objects(group), is_used, strict=True))
                ]
            )
        return names

    def read_again(self, columns: Mapping[str, Any], number: int) -> InputValues:
        """What a method would have read of events with these columns."""
        made: dict[str, Any] = {}
        for group in self.groups:
            names, values = self.names[group.name], self.read.groups[group.name]
            first = columns[names[0][0]]
            if isinstance(values, ObjectRows):
                made[group.name] = _objects(
                    values, [[columns[name] if name else None for name in own] for own in names], group
                )
            elif isinstance(first, Images):
                made[group.name] = first.taken()
            elif isinstance(values, Rows):
                matrix = np.empty((number, values.values.shape[1]), values.values.dtype)
                for index, name in enumerate(names[0]):
                    matrix[:, index] = columns[name]
                matrix[:, len(names[0]) :] = group.constants
                made[group.name] = values._replace(values=matrix)
        return InputValues(made, number)


def labels_of_objects(groups: Sequence[InputGroup]) -> dict[str, list[str]]:
    """By group of objects the names of its collections, or its own where it has no several ones."""
    found: dict[str, list[str]] = {}
    for group in groups:
        if group.objects is not None:
            kinds = [one.name for one in group.collections]
            taken = {name for some in found.values() for name in some}
            own = kinds if taken.isdisjoint(kinds) else [f"{group.name}.{kind}" for kind in kinds]
            found[group.name] = own if len(kinds) > 1 else [group.name]
    return found


def columns_of_objects(group: InputGroup) -> list[str]:
    """Variables of each object; that of its collection is none."""
    return list(group.variables[: len(group.variables) - (len(group.collections) > 1)])


def _objects(read: ObjectRows, collections: Sequence[Sequence[Any]], group: InputGroup) -> ObjectRows:
    """Objects of all collections, one collection after the other; what is beyond the length is cut away."""
    import awkward as ak

    numbers = [np.asarray(ak.num(own[0]), np.int64) for own in collections]
    counts = np.sum(numbers, axis=0)
    starts, width = starts_of(counts), read.values.shape[1]
    values = np.zeros((int(counts.sum()), width), read.values.dtype)
    before = np.zeros_like(counts)
    for kind, (own, number) in enumerate(zip(collections, numbers, strict=True)):
        places = np.arange(number.sum()) + np.repeat(starts + before - starts_of(number), number)
        for index, column in enumerate(own):
            if column is not None:
                values[places, index] = np.asarray(ak.flatten(column))
        if len(own) < width:
            values[places, len(own) :] = kind if group.collections else group.constants
        before += number
    if read.objects.length is not None:
        counts = np.minimum(counts, read.objects.length)
    return read._replace(values=values, starts=starts, counts=counts)
