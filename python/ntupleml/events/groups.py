"""Groups of inputs: numbers per row, objects per row, images. The one description of what a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntupleml.config.inputs import NumbersConfig, ObjectsConfig
from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.ntuples.variables import variable_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.config.inputs import GroupConfig


#: Rows that are filled at a time, so that the part of the array being written stays in the processor's cache.
_BLOCK = 4096
#: Some events: their positions, or a range.
Some = NDArray[np.intp] | slice


class Objects(NamedTuple):
    """How the objects of an event, such as its jets, become rows of an array.

    Attributes
    ----------
    length : int or None
        Objects per event: fewer are padded, more are cut away. None: as many as the event of a batch that has most.
    padding : float
        What the rows without an object hold.
    sort : str or None
        Variable by which objects are sorted before the array is filled; None keeps the order of the ntuple.
    ascending : bool
        Whether the smallest comes first.
    selection : str or None
        Formula per object; those that fail it are left out before they are sorted.
    """

    length: int | None = None
    padding: float = 0.0
    sort: str | None = None
    ascending: bool = False
    selection: str | None = None


class Image(NamedTuple):
    """How a row becomes an image of shape (η, φ, channels).

    Attributes
    ----------
    eta, phi : tuple of str
        Where objects lie that fill a grid, one formula or one per channel; none for columns that are images.
    bins : tuple of int
        Of the grid; none for columns.
    eta_range, phi_range : tuple of float
        Objects outside the first are left out; the second is one period.
    """

    eta: tuple[str, ...] = ()
    phi: tuple[str, ...] = ()
    bins: tuple[int, ...] = ()
    eta_range: tuple[float, ...] = ()
    phi_range: tuple[float, ...] = ()


class InputGroup(NamedTuple):
    """Variables that a model takes together.

    Attributes
    ----------
    name : str
        What the model calls them.
    variables : tuple of str
        Branches or formulas, in order; those of objects are vectors.
    dtype : numpy.dtype
        Type of numbers that the model takes.
    objects : Objects or None
        None for one number per event and variable, and for images.
    image : Image or None
        None for numbers and objects.
    constants : tuple of float
        Values of further columns, the same for all events.
    missing : float or None
        What replaces NaN and infinite values.
    """

    name: str
    variables: tuple[str, ...]
    dtype: np.dtype[Any] = np.dtype(np.float32)
    objects: Objects | None = None
    constants: tuple[float, ...] = ()
    missing: float | None = None
    image: Image | None = None

    @property
    def needed(self) -> list[str]:
        """Formulas that are evaluated: the variables, and those of selection, order and places."""
        more = (self.objects.sort, self.objects.selection) if self.objects is not None else ()
        places = (*self.image.eta, *self.image.phi) if self.image is not None else ()
        return list(dict.fromkeys([*self.variables, *(name for name in more if name), *places]))


def groups_of(groups: Mapping[str, GroupConfig], missing: float | None = None) -> tuple[InputGroup, ...]:
    """Groups of inputs as a training config, or the record of a training, describes them.

    Parameters
    ----------
    groups : mapping of str to group
        `TrainingConfig.groups` or `TrainingRecord.groups`.
    missing : float, optional
        What replaces NaN and infinite values.
    """
    return tuple(_group_of(name, group, missing) for name, group in groups.items())


def _group_of(name: str, group: GroupConfig, missing: float | None) -> InputGroup:
    if isinstance(group, NumbersConfig):
        return InputGroup(name, tuple(group.numbers), missing=missing)
    if isinstance(group, ObjectsConfig):
        objects = Objects(group.length, 0.0, group.sort, group.ascending, group.selection)
        return InputGroup(name, tuple(group.objects), objects=objects, missing=missing)
    image = Image()
    if group.eta and group.phi and group.bins and group.eta_range:
        places = tuple(group.eta), tuple(group.phi)
        image = Image(*places, tuple(group.bins), tuple(group.eta_range), tuple(group.phi_range))
    return InputGroup(name, tuple(group.image), missing=missing, image=image)


class Rows(NamedTuple):
    """One row of numbers per event."""

    values: NDArray[Any]

    def take(self, events: Some) -> NDArray[Any]:
        """Array of some events, shape (n_events, n_columns)."""
        rows: NDArray[Any] = self.values[events]
        return rows


class ObjectRows(NamedTuple):
    """Any number of rows per event: those of event i begin at `starts[i]` and are `counts[i]`."""

    values: NDArray[Any]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    objects: Objects

    def take(self, events: Some) -> NDArray[Any]:
        """Padded array of some events, shape (n_events, length, n_columns)."""
        counts = self.lengths(events)
        # At least one step, as some operators of sequences refuse none at all.
        length = self.objects.length or max(int(counts.max(initial=0)), 1)
        padded = np.full((len(counts), length, self.values.shape[1]), self.objects.padding, self.values.dtype)
        rows = np.repeat(np.arange(len(counts)), counts)
        steps = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        padded[rows, steps] = self.values[np.repeat(self.starts[events], counts) + steps]
        return padded

    def lengths(self, events: Some) -> NDArray[np.int64]:
        """Number of rows of some events that `take` fills, shape (n_events,)."""
        counts: NDArray[np.int64] = self.counts[events]
        return counts if self.objects.length is None else np.minimum(counts, self.objects.length)


def read_group(
    group: InputGroup, columns: Mapping[str, Any], num_events: int, where: str, finite: Sequence[str] = ()
) -> Rows | ObjectRows:
    """Values of a group of variables.

    Parameters
    ----------
    group : InputGroup
    columns : mapping of str to array
        Branches that its variables need.
    num_events : int
    where : str
        File and tree, for messages.
    finite : sequence of str
        Variables that must not be NaN or infinite.

    Raises
    ------
    NtuplemlError
        For a variable with one number where there should be several or the other way round, vectors of different
        lengths in one group, values that are not finite or that the type of the model's input cannot hold.
    """
    if group.objects is None:
        found = {name: variable_values(name, columns, num_events, where) for name in group.variables}
        return Rows(_matrix(found, group, num_events, where, finite))
    return _object_rows(group, group.objects, columns, num_events, where, finite)


def missing_events(
    group: InputGroup, columns: Mapping[str, Any], num_events: int, where: str, finite: Sequence[str] = ()
) -> NDArray[np.bool_]:
    """Which events have a value that `read_group` refuses for being NaN or infinite.

    Parameters and errors as for `read_group`.
    """
    missing = np.zeros(num_events, np.bool_)
    if group.missing is not None:
        return missing
    for name in group.variables:
        if name not in finite and group.dtype.kind not in "iub":
            continue
        if group.objects is None:
            missing |= ~np.isfinite(variable_values(name, columns, num_events, where))
        else:
            flat, counts = _flattened(name, columns, num_events, f"{where}: input '{group.name}'")
            missing[np.repeat(np.arange(num_events), counts)[~np.isfinite(flat)]] = True
    return missing


def _object_rows(
    group: InputGroup,
    objects: Objects,
    columns: Mapping[str, Any],
    num_events: int,
    where: str,
    finite: Sequence[str],
) -> ObjectRows:
    flat: dict[str, NDArray[Any]] = {}
    counts: NDArray[np.int64] | None = None
    for name in group.needed:
        flat[name], found = _flattened(name, columns, num_events, f"{where}: input '{group.name}'")
        if counts is None:
            counts = found
        different = np.flatnonzero(found != counts)
        if len(different):
            raise NtuplemlError(
                f"{where}: input '{group.name}': '{name}' has {found[different[0]]} values in an event where "
                f"'{group.variables[0]}' has {counts[different[0]]}; variables of one input have to be of the same "
                "objects"
            )
    assert counts is not None
    values = _matrix(flat, group, int(counts.sum()), where, finite)
    if objects.sort is not None:
        values = values[_order(flat[objects.sort], counts, objects.ascending)]
    return ObjectRows(values, np.cumsum(counts) - counts, counts, objects)


def _matrix(
    columns: Mapping[str, NDArray[Any]], group: InputGroup, number: int, where: str, finite: Sequence[str]
) -> NDArray[Any]:
    """Variables of a group as the columns of one array, then its constants."""
    values = np.empty((number, len(group.variables) + len(group.constants)), dtype=group.dtype)
    converted = [_converted(columns[name], group, name, where, name in finite) for name in group.variables]
    for start in range(0, number, _BLOCK):
        block = slice(start, start + _BLOCK)
        for index, column in enumerate(converted):
            values[block, index] = column[block]
    values[:, len(group.variables) :] = group.constants
    return values


def _order(keys: NDArray[Any], counts: NDArray[np.int64], ascending: bool) -> NDArray[np.intp]:
    """Order that sorts the objects within each event; equal ones stay in their order."""
    event = np.repeat(np.arange(len(counts)), counts)
    signed = keys.astype(np.float64) * (1 if ascending else -1)
    return np.lexsort((signed, event))


def _flattened(
    name: str, columns: Mapping[str, Any], num_events: int, where: str
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values of a vector variable after one another, and their number per event."""
    import awkward as ak

    found = variable_values(name, columns, num_events, where, vectors=True)
    if isinstance(found, np.ndarray) and found.ndim == 1:
        raise NtuplemlError(f"{where}: variable '{name}' has one value per event; a vector of objects is needed")
    try:
        counts = np.asarray(ak.num(found, axis=1), dtype=np.int64)
        flat = np.asarray(ak.to_numpy(ak.flatten(found, axis=1), allow_missing=False))
    except (TypeError, ValueError):
        raise NtuplemlError(f"{where}: variable '{name}' is no list of numbers per event; choose another") from None
    if flat.ndim != 1 or flat.dtype.kind not in "fiub":
        raise NtuplemlError(f"{where}: variable '{name}' is no list of numbers per event; choose another")
    return flat, counts


def _converted(values: NDArray[Any], group: InputGroup, name: str, where: str, must_be_finite: bool) -> NDArray[Any]:
    """Values as the model takes them; nothing is lost but the precision of floats."""
    integral = group.dtype.kind in "iub"
    if group.missing is not None and values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, values.dtype.type(group.missing))
    if values.dtype.kind == "f" and (integral or must_be_finite):
        bad = np.count_nonzero(~np.isfinite(values))
        if bad:
            raise MissingInputError(
                f"{where}: variable '{name}' is NaN or infinite in {bad} of {len(values)} values; "
                + (
                    f"input '{group.name}' of the model takes {group.dtype} numbers"
                    if integral
                    else "cut such events away, or say what the model is given then (missing: in the onnx block, "
                    "defaults in an lwtnn file)"
                )
            )
    if group.dtype.kind == "b":
        return np.asarray(values != 0)
    if not integral:
        with np.errstate(over="ignore"):
            return values.astype(group.dtype, copy=False)
    limits = np.iinfo(group.dtype)
    inside = (values >= limits.min) & (values <= limits.max)
    wrong = np.flatnonzero(~inside | (np.floor(values) != values if values.dtype.kind == "f" else False))
    if len(wrong):
        raise NtuplemlError(
            f"{where}: variable '{name}' is {values[wrong[0]]}, but input '{group.name}' of the model takes "
            f"{group.dtype} numbers; choose another variable, or round it in a formula"
        )
    return values.astype(group.dtype)
