"""Values of groups of inputs for some rows, and how they are handed out in batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntupleml.events.groups import key_of
from ntupleml.preprocessing.missing import missing_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.events.groups import Objects

#: Some rows: their positions, or a range.
Some = NDArray[np.intp] | slice
_ALL = slice(None)
#: Pixels of objects whose η, or φ, is no number.
_NO_ETA, _NO_PHI = -2, -3


class Missing(NamedTuple):
    """Values that are NaN or infinite: of which variable, how many of how many, and in which rows."""

    variable: str
    number: int
    total: int
    rows: NDArray[np.intp]


class Rows(NamedTuple):
    """One array per row: numbers (n_rows, n_columns), or images (n_rows, η, φ, channels); names of the last axis."""

    values: NDArray[Any]
    names: tuple[str, ...]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of the array of one row."""
        return self.values.shape[1:]

    def take(self, rows: Some) -> NDArray[Any]:
        """Array of some rows."""
        taken: NDArray[Any] = self.values[rows]
        return taken

    def missing(self) -> list[Missing]:
        """What is NaN or infinite."""
        lines = int(np.prod(self.values.shape[1:-1]))
        return _missing(self.values, self.names, np.full(len(self.values), lines))


class ObjectRows(NamedTuple):
    """Any number of objects per row: those of row i begin at `starts[i]` and are `counts[i]`; names of the columns."""

    values: NDArray[Any]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    objects: Objects
    names: tuple[str, ...]
    #: How many objects were cut away, by the name of the collection whose length is exceeded; empty for the group's.
    cut: Mapping[str, int] = {}

    def take(self, rows: Some) -> NDArray[Any]:
        """Padded array of some rows, shape (n_rows, length, n_columns)."""
        from ntupleml.events.loops import pad  # numba takes half a second to import

        counts = self.lengths(rows)
        # At least one step, as some operators of sequences refuse none at all.
        length = self.objects.length or max(int(counts.max(initial=0)), 1)
        padded = np.empty((len(counts), length, self.values.shape[1]), self.values.dtype)
        padding = self.values.dtype.type(self.objects.padding)
        pad(self.values, np.ascontiguousarray(self.starts[rows]), counts, padding, padded)
        return padded

    def lengths(self, rows: Some) -> NDArray[np.int64]:
        """Number of objects of some rows, shape (n_rows,)."""
        return np.ascontiguousarray(self.counts[rows])

    def missing(self) -> list[Missing]:
        """What is NaN or infinite, of the objects that are kept."""
        return _missing(self.values, self.names, self.counts)


class Channel(NamedTuple):
    """Objects that fill a channel of an image: their pixels (negative: none), weights, and numbers per row.

    `names` are those of the weight, η and φ.
    """

    pixels: NDArray[np.int32]
    weights: NDArray[np.float64]
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    names: tuple[str, str, str]

    def missing(self) -> list[Missing]:
        """What is NaN or infinite: weights within the image, and places."""
        rows = np.repeat(np.arange(len(self.counts)), self.counts)
        bad = (
            ~np.isfinite(self.weights) & (self.pixels >= 0),
            self.pixels == _NO_ETA,
            self.pixels == _NO_PHI,
        )
        return [
            Missing(name, int(found.sum()), len(found), np.unique(rows[found]))
            for name, found in zip(self.names, bad, strict=True)
            if found.any()
        ]


class ImageRows(NamedTuple):
    """Images that are filled from objects when they are taken."""

    channels: list[Channel]
    shape: tuple[int, int]
    dtype: np.dtype[Any]

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Of the array of one row."""
        return (*self.shape, len(self.channels))

    def take(self, rows: Some) -> NDArray[Any]:
        """Images of some rows, shape (n_rows, η, φ, channels)."""
        from ntupleml.events.loops import fill_channel

        number = len(self.channels[0].counts[rows])
        images = np.zeros((number, self.shape[0] * self.shape[1], len(self.channels)), self.dtype)
        sums = np.zeros(images.shape[1])
        for index, channel in enumerate(self.channels):
            places = np.ascontiguousarray(channel.starts[rows]), np.ascontiguousarray(channel.counts[rows])
            fill_channel(channel.pixels, channel.weights, *places, sums, images, index)
        return images.reshape(number, *self.shape, len(self.channels))

    def missing(self) -> list[Missing]:
        """What is NaN or infinite."""
        return [found for channel in self.channels for found in channel.missing()]


GroupValues = Rows | ObjectRows | ImageRows


@dataclass(frozen=True)
class InputValues:
    """Raw values of all groups for some rows."""

    groups: dict[str, GroupValues]
    #: Of rows.
    number: int

    def __len__(self) -> int:
        """Number of rows."""
        return self.number

    def batch(self, rows: Some = _ALL) -> dict[str, NDArray[Any]]:
        """Arrays of some rows by the names of the groups, and for objects their number as `{name}_length`, int64."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, values in self.groups.items():
            arrays[name] = values.take(rows)
            if isinstance(values, ObjectRows):
                arrays[f"{name}_length"] = values.lengths(rows)
        return arrays

    def require_finite(self, where: str) -> None:
        """Refuse what is NaN or infinite.

        Raises
        ------
        NtuplemlError
            Naming group, branch and count, and the key that replaces them.
        """
        for name, values in self.groups.items():
            found = values.missing()
            if found:
                place = where if name == "variables" else f"{where}: {key_of(name)}"
                unit = "events" if isinstance(values, Rows) and values.values.ndim == 2 else "values"
                raise missing_error([(one.variable, one.number) for one in found], found[0].total, place, unit)


def joined(parts: list[InputValues]) -> InputValues:
    """All rows of several parts, one after the other; the list is empty afterwards, so that nothing is held twice.

    Examples
    --------
    >>> parts = [InputValues({"x": Rows(np.full((1, 2), number), ("a", "b"))}, 1) for number in range(2)]
    >>> joined(parts).batch()
    {'x': array([[0, 0],
           [1, 1]])}
    """
    number = sum(map(len, parts))
    names = list(parts[0].groups)
    groups = {name: _joined_group([part.groups.pop(name) for part in parts]) for name in names}
    parts.clear()
    return InputValues(groups, number)


def _joined_group(parts: list[Any]) -> GroupValues:
    if isinstance(parts[0], ImageRows):
        return _joined_images(parts)
    rest = parts[0]._replace(values=None)
    if isinstance(rest, ObjectRows):
        starts, counts = _joined_places(parts, [len(part.values) for part in parts])
        cut = {name: sum(part.cut.get(name, 0) for part in parts) for part in parts for name in part.cut}
        rest = rest._replace(starts=starts, counts=counts, cut=cut)
    arrays = [part.values for part in parts]
    parts.clear()  # so that each array can be let go
    whole: GroupValues = rest._replace(values=_joined_arrays(arrays))
    return whole


def _joined_images(parts: Sequence[ImageRows]) -> ImageRows:
    channels = []
    for some in zip(*(part.channels for part in parts), strict=True):
        pixels, weights = (np.concatenate([getattr(one, name) for one in some]) for name in ("pixels", "weights"))
        places = _joined_places(some, [len(one.pixels) for one in some])
        channels.append(Channel(pixels, weights, *places, some[0].names))
    return parts[0]._replace(channels=channels)


def _joined_arrays(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays after one another; each is let go when it is copied."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    start = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        whole[start : start + len(part)] = part
        start += len(part)
    return whole


def _joined_places(parts: Sequence[Any], numbers: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the objects of each row begin, and how many they are."""
    before = np.cumsum(numbers) - numbers
    starts = np.concatenate([part.starts + shift for part, shift in zip(parts, before, strict=True)])
    return starts, np.concatenate([part.counts for part in parts])


def _missing(values: NDArray[Any], names: Sequence[str], counts: NDArray[np.int64]) -> list[Missing]:
    """What is NaN or infinite among the columns of these names, a number of lines per row; others are constants."""
    array = values.reshape(-1, values.shape[-1])
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return []
    bad = ~np.isfinite(array)
    rows = np.repeat(np.arange(len(counts)), counts)
    found = []
    for name in dict.fromkeys(names):
        of_name = bad[:, [index for index, other in enumerate(names) if other == name]]
        if of_name.any():
            found.append(Missing(name, int(of_name.sum()), of_name.size, np.unique(rows[of_name.any(axis=1)])))
    return found
