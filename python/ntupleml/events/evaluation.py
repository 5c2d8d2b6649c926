"""From the columns of a source to the values of groups of inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import MissingInputError, NtuplemlError
from ntupleml.events.joining import Flat, joined_objects
from ntupleml.events.slot_rows import slot_rows
from ntupleml.events.values import Channel, GroupValues, ImageRows, InputValues, ObjectRows, Rows
from ntupleml.expressions.instances import content_and_counts, starts_of
from ntupleml.expressions.syntax import Name, own_variables
from ntupleml.features.arrays import NUMPY
from ntupleml.ntuples.members import in_order
from ntupleml.ntuples.variables import as_matrix, parsed, variable_values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.events.groups import Image, InputGroup, Made, Objects
    from ntupleml.events.values import Missing
    from ntupleml.features.event_numbers import CombinationMaker

    _Entries = NDArray[np.int64] | None

#: Raw columns that numbers of an event are made of.
VECTOR = ("pt", "eta", "phi", "energy", "mass")
#: Pairs of objects at a time.
_NUMBERS_OF_PAIRS = 200_000
#: Numbers of images whose channels are put side by side at a time, so that they stay in the cache of the processor.
_PIXELS_PER_BLOCK = 50_000


def read_inputs(
    groups: Sequence[InputGroup],
    columns: Mapping[str, Any],
    number: int,
    where: str,
    *,
    finite: Collection[str] = (),
    entries: NDArray[np.int64] | None = None,
) -> InputValues:
    """Values of all groups for the rows of some columns; arguments and errors as for `read_group`."""
    return InputValues(
        {group.name: read_group(group, columns, number, where, finite, entries) for group in groups}, number
    )


def read_group(
    group: InputGroup,
    columns: Mapping[str, Any],
    number: int,
    where: str,
    finite: Collection[str] = (),
    entries: NDArray[np.int64] | None = None,
) -> GroupValues:
    """Values of a group of inputs.

    Parameters
    ----------
    columns : mapping of str to array
        Branches that it needs, see `branches_of_groups`.
    number : int
        Of rows.
    finite : collection of str
        Variables that must not be NaN or infinite, unless the group says what replaces that.
    entries : array of int64, shape (number,), optional
        Entry of each row, for messages; by default its position.

    Raises
    ------
    NtuplemlError
        For a variable with one number where there should be several or the other way round, vectors of different
        lengths in one group, images of different shapes, values that are not finite (`MissingInputError`) or that
        the type of the model's input cannot hold.
    """
    values: GroupValues
    if group.collections:
        values = joined_objects(
            group,
            number,
            lambda names: _repeated(group, names, columns, number, where, entries),
            _selected,
            f"{where}: input '{group.name}'",
        )
    elif group.slots:
        place = f"{where}: input '{group.name}'"
        return slot_rows(
            group,
            number,
            lambda names: _repeated(group, names, columns, number, where, entries),
            lambda name: _array_of_rows(name, columns, number, place),
            _selected,
            place,
        )
    elif group.image is not None:
        values = _image(group, group.image, columns, number, where, entries)
    elif group.objects is not None:
        values = _objects(group, group.objects, columns, number, where, entries)
    else:
        found = [variable_values(name, columns, number, where) for name in group.formulas]
        found += [column for one in group.made for column in _made(one, columns, number, where, entries)]
        values = Rows(_matrix(found, group, number, where), group.variables)
    if group.missing is not None:
        _replace(values, group.missing)
    elif finite:
        for missing in values.missing():
            if missing.variable in finite:
                raise _missing_error(missing, where)
    return values


def _made(
    made: Made, columns: Mapping[str, Any], number: int, where: str, entries: _Entries
) -> list[NDArray[np.float64]]:
    """Numbers made of objects, column by column; NaN where a four-vector holds NaN or infinity."""
    objects = read_group(made.objects, columns, number, where, entries=entries)
    values = made_numbers(made.maker, objects, np.arange(number))
    for found in objects.missing():
        if found.variable in VECTOR:
            values[found.rows] = np.nan
    return list(values.T)


def made_numbers(maker: CombinationMaker, objects: GroupValues, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Numbers of some rows that are made of their objects."""
    assert isinstance(objects, ObjectRows), "the config has been checked"
    values = np.empty((len(rows), len(maker.columns)))
    longest = int(objects.lengths(rows).max(initial=1))
    step = max(1, _NUMBERS_OF_PAIRS // longest**2)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        raw = objects.take(some).astype(np.float64)
        filled = np.arange(raw.shape[1]) < objects.lengths(some)[:, np.newaxis]
        with np.errstate(invalid="ignore", over="ignore"):
            values[start : start + step] = maker.make(NUMPY, raw, filled)
    return values


def missing_events(
    group: InputGroup, columns: Mapping[str, Any], number: int, where: str, finite: Collection[str] = ()
) -> NDArray[np.bool_]:
    """Which events have a value that `read_group` refuses for being NaN or infinite.

    Parameters and errors as for `read_group`.
    """
    missing = np.zeros(number, np.bool_)
    if group.missing is None:
        # as floats, since whole numbers cannot be NaN
        floats = group if group.dtype.kind == "f" else group._replace(dtype=np.dtype(np.float64))
        for found in read_group(floats, columns, number, where).missing():
            if found.variable in finite or group.dtype.kind != "f":
                missing[found.rows] = True
    return missing


def _objects(
    group: InputGroup, objects: Objects, columns: Mapping[str, Any], number: int, where: str, entries: _Entries
) -> ObjectRows:
    flat, counts = _of_one_collection(group, group.needed, columns, number, where, entries)
    order, counts, passed = _selected(Flat(flat, counts), objects)
    total = int(counts.sum())
    values = _matrix([flat[name] for name in group.variables], group, total, where, order)
    cut = int((passed - counts).sum())
    return ObjectRows(values, starts_of(counts), counts, objects, group.variables, {"": cut} if cut else {})


def _repeated(
    group: InputGroup, names: Sequence[str], columns: Mapping[str, Any], number: int, where: str, entries: _Entries
) -> Flat:
    """Values of formulas of the same objects; numbers of an event are repeated for each, or are its one object."""
    values = {name: variable_values(name, columns, number, where, vectors=True) for name in names}
    of_events = {name: one for name, one in values.items() if isinstance(one, np.ndarray) and one.ndim == 1}
    vectors = [name for name in names if name not in of_events]
    if not vectors:
        return Flat(of_events, np.ones(number, np.int64), of_events=True)
    flat, counts = _of_one_collection(group, vectors, columns, number, where, entries)
    return Flat(flat | {name: np.repeat(one, counts) for name, one in of_events.items()}, counts)


def _selected(
    flat: Flat, objects: Objects, there: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64] | None, NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the objects that are kept, in order (None: all), and per row their number after and before the cut.

    Parameters
    ----------
    there : array of bool, optional
        Which objects there are, beside the selection.
    """
    keys = None if objects.sort is None else flat.values[objects.sort]
    passed = there
    if objects.selection is not None:
        passed = _passed(flat.values[objects.selection])
        passed = passed if there is None else passed & there
    too_many = objects.length is not None and int(flat.counts.max(initial=0)) > objects.length
    if keys is None and passed is None and not too_many:
        return None, flat.counts, flat.counts
    order, kept = in_order(keys, passed, flat.counts, ascending=objects.ascending, length=objects.length)
    return order, kept, _number_passed(passed, flat.counts) if too_many else kept


def _number_passed(passed: NDArray[np.bool_] | None, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many objects of each row pass."""
    if passed is None:
        return counts
    before = np.concatenate([[0], np.cumsum(passed)])
    starts = starts_of(counts)
    return np.asarray(before[starts + counts] - before[starts])


def _passed(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which objects a selection keeps; NaN, where a formula has no value, does not pass."""
    return np.asarray((values != 0) & (values == values))


def _of_one_collection(
    group: InputGroup, names: Sequence[str], columns: Mapping[str, Any], number: int, where: str, entries: _Entries
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Values of vector variables, those of all events after one another, and their number per event."""
    flat: dict[str, NDArray[Any]] = {}
    lengths: dict[str, NDArray[np.int64]] = {}
    for name in dict.fromkeys(names):
        flat[name], lengths[name] = _flattened(name, columns, number, f"{where}: input '{group.name}'")
    for name in [name for formula in flat for name in _vectors(formula, columns)]:
        if name not in lengths:
            lengths[name] = content_and_counts(columns[name])[1]
    reference, counts = next(iter(lengths.items()))
    for name, found in lengths.items():
        different = np.flatnonzero(found != counts)
        if len(different):
            row = different[0]
            entry = row if entries is None else entries[row]
            raise NtuplemlError(
                f"{where}: input '{group.name}': '{name}' has {found[row]} values in an event where '{reference}' has "
                f"{counts[row]} (entry {entry}); variables of one input have to be of the same objects"
            )
    return flat, counts


def _vectors(formula: str, columns: Mapping[str, Any]) -> list[str]:
    """Vectors over whose elements a formula runs; of a branch none."""
    if formula in columns:
        return []
    own = [node.name for node in own_variables(parsed(formula, "").tree) if isinstance(node, Name)]
    return [name for name in own if name in columns and columns[name].ndim == 2]


def _flattened(
    name: str, columns: Mapping[str, Any], number: int, where: str
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values of a vector variable after one another, and their number per event."""
    found = variable_values(name, columns, number, where, vectors=True)
    if isinstance(found, np.ndarray) and found.ndim == 1:
        raise NtuplemlError(f"{where}: variable '{name}' has one value per event; a vector of objects is needed")
    if isinstance(found, np.ndarray) and found.ndim == 2:
        return found.reshape(-1), np.full(number, found.shape[1], np.int64)
    try:
        flat, counts = content_and_counts(found)
    except (AttributeError, TypeError, ValueError):
        raise NtuplemlError(f"{where}: variable '{name}' is no list of numbers per event; choose another") from None
    if flat.ndim != 1 or flat.dtype.kind not in "fiub" or isinstance(flat, np.ma.MaskedArray):
        raise NtuplemlError(f"{where}: variable '{name}' is no list of numbers per event; choose another")
    return flat, counts


def _image(
    group: InputGroup, image: Image, columns: Mapping[str, Any], number: int, where: str, entries: _Entries
) -> Rows | ImageRows:
    if not image.eta:
        return _image_of_columns(group, image, columns, number, where)
    channels = []
    num_channels = len(group.variables)
    places = [some * num_channels if len(some) == 1 else some for some in (image.eta, image.phi)]
    found: dict[tuple[str, str], NDArray[np.int32]] = {}
    for weight, eta, phi in zip(group.variables, *places, strict=True):
        flat, counts = _of_one_collection(group, (weight, eta, phi), columns, number, where, entries)
        if (eta, phi) not in found:
            found[eta, phi] = _pixels(flat[eta], flat[phi], image)
        weights = flat[weight].astype(np.float64)
        channels.append(Channel(found[eta, phi], weights, starts_of(counts), counts, (weight, eta, phi)))
    return ImageRows(channels, (image.bins[0], image.bins[1]), group.dtype)


def _pixels(eta: NDArray[Any], phi: NDArray[Any], image: Image) -> NDArray[np.int32]:
    from ntupleml.events.loops import find_pixels

    pixels = np.empty(len(eta), np.int32)
    eta_edges, phi_edges = (
        np.linspace(low, high, bins + 1)
        for (low, high), bins in zip((image.eta_range, image.phi_range), image.bins, strict=True)
    )
    find_pixels(eta.astype(np.float64), phi.astype(np.float64), eta_edges, phi_edges, pixels)
    return pixels


def _image_of_columns(group: InputGroup, image: Image, columns: Mapping[str, Any], number: int, where: str) -> Rows:
    """Columns that are images, one after the other along the channels."""
    parts: list[NDArray[Any]] = []
    names: list[str] = []
    wanted = tuple(image.bins)
    for name in group.variables:
        part = _array_of_rows(name, columns, number, f"{where}: input '{group.name}'")
        shape = part.shape[1:]
        if len(shape) not in (2, 3) or (wanted and shape[:2] != wanted):
            raise NtuplemlError(
                f"{where}: input '{group.name}': '{name}' is of shape {_shape(shape)} per event; "
                f"{_shape(wanted) if wanted else '(eta, phi)'} or {_shape((*(wanted or ('eta', 'phi')), 'channels'))} "
                "is needed"
            )
        wanted = shape[:2]
        parts.append(part.reshape(*part.shape[:3], math.prod(shape[2:])))
        names += [name] * parts[-1].shape[-1]
    values = np.empty((number, *wanted, len(names)), group.dtype)
    step = max(1, _PIXELS_PER_BLOCK // max(1, values[:1].size))
    for first in range(0, number, step):
        rows, start = slice(first, first + step), 0
        for part in parts:
            with np.errstate(over="ignore"):
                values[rows, ..., start : start + part.shape[-1]] = part[rows]
            start += part.shape[-1]
    return Rows(values, tuple(names))


def _array_of_rows(name: str, columns: Mapping[str, Any], number: int, where: str) -> NDArray[Any]:
    """A column or formula as a numpy array; of shape (n_rows, 0) where its rows have no shape in common."""
    found = variable_values(name, columns, number, where, vectors=True)
    if not isinstance(found, np.ndarray):
        import awkward as ak

        try:
            found = ak.to_numpy(found, allow_missing=False)
        except (TypeError, ValueError):
            raise NtuplemlError(
                f"{where}: variable '{name}' has lists of any length; arrays of one shape are needed, or "
                "objects, which slots and images are filled from"
            ) from None
    if found.dtype.kind not in "fiub":
        raise NtuplemlError(f"{where}: variable '{name}' is of type {found.dtype}; numbers are needed")
    return np.asarray(found)


def _shape(shape: Sequence[Any]) -> str:
    return f"({', '.join(map(str, shape))})"


def _matrix(
    found: Sequence[NDArray[Any]],
    group: InputGroup,
    length: int,
    where: str,
    order: NDArray[np.int64] | None = None,
) -> NDArray[Any]:
    """Variables of a group as the columns of one array, then its constants."""
    if group.dtype.kind != "f":
        found = [
            _whole_numbers(values if order is None else values[order], group, name, where)
            for name, values in zip(group.variables, found, strict=True)
        ]
        order = None
    return as_matrix(found, length, group.dtype, group.constants, order)


def _whole_numbers(values: NDArray[Any], group: InputGroup, name: str, where: str) -> NDArray[Any]:
    """Values as integers or bools that the model takes; nothing is lost."""
    if group.missing is not None and values.dtype.kind == "f":
        values = np.where(np.isfinite(values), values, values.dtype.type(group.missing))
    bad = np.count_nonzero(~np.isfinite(values)) if values.dtype.kind == "f" else 0
    if bad:
        raise MissingInputError(
            f"{where}: variable '{name}' is NaN or infinite in {bad} of {len(values)} values; input '{group.name}' of "
            f"the model takes {group.dtype} numbers"
        )
    if group.dtype.kind == "b":
        return np.asarray(values != 0)
    limits = np.iinfo(group.dtype)
    inside = (values >= limits.min) & (values <= limits.max)
    wrong = np.flatnonzero(~inside | (np.floor(values) != values if values.dtype.kind == "f" else False))
    if len(wrong):
        raise NtuplemlError(
            f"{where}: variable '{name}' is {values[wrong[0]]}, but input '{group.name}' of the model takes "
            f"{group.dtype} numbers; choose another variable, or round it in a formula"
        )
    return values.astype(group.dtype)


def _replace(values: GroupValues, missing: float) -> None:
    """Put a value in the place of what is NaN or infinite; objects without a place stay outside of the image."""
    arrays = [channel.weights for channel in values.channels] if isinstance(values, ImageRows) else [values.values]
    for array in arrays:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            array[~np.isfinite(array)] = missing


def _missing_error(missing: Missing, where: str) -> MissingInputError:
    return MissingInputError(
        f"{where}: variable '{missing.variable}' is NaN or infinite in {missing.number} of {missing.total} values; cut "
        "such events away, or say what the model is given then (missing: in the onnx block, defaults in an lwtnn file)"
    )
