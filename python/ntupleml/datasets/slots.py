"""From columns with lists to a plain table: each list becomes numbered columns, cut or padded with zeros."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.events.evaluation import read_group
from ntupleml.events.groups import InputGroup, Objects
from ntupleml.events.values import ObjectRows
from ntupleml.expressions.instances import content_and_counts
from ntupleml.ntuples.defined import empty_columns
from ntupleml.ntuples.sources import lists_of
from ntupleml.ntuples.variables import required_branches, variable_values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from ntupleml.config import ConversionConfig
    from ntupleml.config.conversion import SlotsConfig
    from ntupleml.ntuples import Ntuple

#: Stands for the place of an object in the order of several formulas; no branch can be called so.
_RANK = "$rank"
#: The types of slots hold all whole numbers up to here.
_LARGEST_WHOLE = {"float32": 2**24, "float64": 2**53}


class Slots(NamedTuple):
    """Variables that are lists over the same objects, and how many slots they get; None where that is not known."""

    name: str
    #: Formula of each variable by its name.
    variables: dict[str, str]
    length: int | None = None
    first: int = 0
    sort: tuple[str, ...] = ()
    ascending: bool = False
    selection: str | None = None

    @property
    def columns(self) -> list[str]:
        """Names of the columns, those of one variable after one another."""
        numbers = range(self.first, self.first + (self.length or 0))
        return [f"{name}_{number}" for name in self.variables for number in numbers]

    @property
    def formulas(self) -> list[str]:
        """All that are evaluated."""
        return [*self.variables.values(), *self.sort, *([self.selection] if self.selection else [])]


class Cut(NamedTuple):
    """Objects for which there was no slot, and the events that they are of."""

    objects: int = 0
    events: int = 0

    def plus(self, other: Cut) -> Cut:
        """Sum."""
        return Cut(self.objects + other.objects, self.events + other.events)


def scalar_types(ntuple: Ntuple, config: ConversionConfig) -> dict[str, np.dtype[Any]]:
    """Types of the variables with one value per event: that of a branch is kept, a formula is float64.

    Raises
    ------
    NtuplemlError
        For a variable that is neither a branch nor a formula of branches, or that is no number.
    """
    types: dict[str, np.dtype[Any]] = {}
    for name, formula in config.variables.items():
        branches = required_branches([formula], ntuple.branches, ntuple.path)
        ntuple.require(branches, ntuple.path)
        values = variable_values(formula, empty_columns(ntuple.branches, branches), 0, ntuple.path, vectors=True)
        if values.ndim > 2:
            raise NtuplemlError(
                f"{ntuple.path}: '{name}' is an array of {values.ndim - 1} dimensions per event; leave it out"
            )
        if values.ndim == 1:
            branch = ntuple.branches.get(formula)
            types[name] = np.dtype(np.float64) if branch is None or branch.dtype is None else branch.dtype
    return types


def slots_of(config: ConversionConfig, scalars: Collection[str]) -> list[Slots]:
    """All lists by their collections; a list of no collection is one of its own.

    Raises
    ------
    NtuplemlError
        For a collection that the config describes, but no variable is a list of, and padding of no variable.
    """
    found: dict[str, dict[str, str]] = {}
    names = sorted(config.collections, key=len, reverse=True)
    lists = {name: formula for name, formula in config.variables.items() if name not in scalars}
    for name, formula in lists.items():
        found.setdefault(next((one for one in names if name.startswith(f"{one}_")), name), {})[name] = formula
    for name in config.collections:
        if name not in found and "collections" in config.model_fields_set:
            hint = did_you_mean(name, dict.fromkeys(one.partition("_")[0] for one in lists))
            raise NtuplemlError(f"{config.where}: collections.{name}: no variable '{name}_…' is a list{hint}")
        for padded in config.collections[name].padding:
            if padded not in found.get(name, {}):
                hint = did_you_mean(padded, found.get(name, {}))
                raise NtuplemlError(f"{config.where}: collections.{name}.padding: no variable '{padded}'{hint}")
    return [_slots(name, variables, config.collections.get(name)) for name, variables in found.items()]


def _slots(name: str, variables: dict[str, str], given: SlotsConfig | None) -> Slots:
    if given is None:
        return Slots(name, variables)
    sort, selection = tuple(given.sort or ()), given.selection or None
    return Slots(name, variables, given.length, given.first, sort, given.ascending, selection)


def longest(slots: Slots, columns: Mapping[str, Any], number: int, where: str) -> int:
    """Most objects of an event that are kept."""
    return int(objects_of(slots._replace(sort=()), columns, number, where).counts.max(initial=0))


def objects_of(slots: Slots, columns: Mapping[str, Any], number: int, where: str, dtype: str = "float32") -> ObjectRows:
    """Objects of all rows in their order, without those that fail the selection.

    Parameters
    ----------
    columns : mapping of str to array
        What the formulas need.
    number : int
        Of rows.
    where : str
        File, for messages.

    Raises
    ------
    NtuplemlError
        For variables of one collection with lists of different lengths, and a whole number that the type of the slots
        does not hold.
    """
    if len(slots.sort) > 1:
        columns = {**columns, _RANK: _ranks(slots, columns, number, where)}
        slots = slots._replace(sort=(_RANK,), ascending=True)
    for name in slots.variables.values():
        if name in columns:
            _require_exact(name, columns[name], where, dtype)
    sort = slots.sort[0] if slots.sort else None
    objects = Objects(sort=sort, ascending=slots.ascending, selection=slots.selection)
    group = InputGroup(slots.name, tuple(slots.variables.values()), np.dtype(dtype), objects)
    return _read(group, columns, number, where)


def filled(
    slots: Slots,
    objects: ObjectRows,
    rows: NDArray[np.intp],
    padding: Mapping[str, float] = MappingProxyType({}),
) -> tuple[dict[str, NDArray[Any]], Cut]:
    """Columns of some rows, and what was cut away of them.

    Parameters
    ----------
    objects : ObjectRows
        Of all rows.
    padding : mapping of str to float
        What slots without an object hold, by variable; 0 where none is given.
    """
    from ntupleml.events.loops import fill_slots  # numba takes half a second to import

    length, dtype = slots.length or 1, objects.values.dtype
    counts = objects.lengths(rows)
    columns = np.empty((len(slots.variables), length, len(rows)), dtype)
    empty = np.array([padding.get(name, 0) for name in slots.variables], dtype)
    fill_slots(objects.values, np.ascontiguousarray(objects.starts[rows]), counts, empty, columns)
    beyond = np.maximum(counts - length, 0)
    by_name = dict(zip(slots.columns, columns.reshape(len(slots.columns), len(rows)), strict=True))
    return by_name, Cut(int(beyond.sum()), int(np.count_nonzero(beyond)))


def _read(group: InputGroup, columns: Mapping[str, Any], number: int, where: str) -> ObjectRows:
    found = read_group(group, columns, number, where)
    assert isinstance(found, ObjectRows), "the group is one of objects"
    return found


def _ranks(slots: Slots, columns: Mapping[str, Any], number: int, where: str) -> Any:
    """Place of each object in the order of several formulas, the first one counting most; equal ones stay in order."""
    keys = _read(InputGroup(slots.name, slots.sort, np.dtype(np.float64), Objects()), columns, number, where)
    signed = keys.values if slots.ascending else -keys.values
    ranks = np.empty(len(signed))
    ranks[np.lexsort(signed.T[::-1])] = np.arange(len(signed))
    return lists_of(ranks, keys.counts)


def _require_exact(name: str, column: Any, where: str, dtype: str) -> None:
    """Refuse whole numbers that the type of the slots would change."""
    values = column if isinstance(column, np.ndarray) else content_and_counts(column)[0]
    if values.dtype.kind not in "iu" or values.dtype.itemsize < 4 or values.size == 0:
        return
    for value in (values.min(), values.max()):
        if abs(int(value)) > _LARGEST_WHOLE[dtype]:
            raise NtuplemlError(
                f"{where}: '{name}' holds {value}, which {dtype}, the type of the slots, does not; leave it out, or "
                f"give a formula, e.g. {name}_rest: {name} % 1000000"
            )
