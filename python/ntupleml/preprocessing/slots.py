"""Slots as a network takes them: steps of preprocessing in single precision, then what the events have told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError
from ntupleml.features.arrays import NUMPY
from ntupleml.features.slots import COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.features.slots import SlotMaker
    from ntupleml.preprocessing.scalers import Scaler

#: Relative size of a variance that is negative by rounding alone.
_ROUNDING = 1e-9
#: Events at a time, so that all arrays of a step stay in the processor's cache.
_BLOCK = 4096


def slots_made(maker: SlotMaker, raw: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Numbers of raw slots after the steps, and which objects are there.

    Parameters
    ----------
    raw : array of float32, shape (n_events, n_slots, 3)
        pT, η and φ; 0 where no object is.

    Returns
    -------
    array of float32, shape (n_events, n_numbers)
        Before the scaler.
    array of float32, shape (n_events, n_slots)
        1 where an object is, else 0.
    """
    flat = raw.reshape(len(raw), -1)
    numbers = np.empty((len(raw), maker.number), np.float32)
    filled = np.empty((len(raw), maker.types.total), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):  # what is unknown is told by its comparisons
        for start in range(0, len(raw), _BLOCK):
            rows = slice(start, start + _BLOCK)
            events = maker.events(NUMPY, flat[rows])
            numbers[rows], filled[rows] = maker.numbers(events), maker.filled(events)
    return numbers, filled


def slot_inputs(name: str, maker: SlotMaker, raw: NDArray[np.float32], scaler: Scaler) -> dict[str, NDArray[Any]]:
    """What a network gets of raw slots: numbers, or objects with the columns of their type, and their mask.

    Returns
    -------
    dict of str to array of float32
        Flat numbers, n_events × n_numbers, under the name of the group; objects as n_events × n_slots × n_columns,
        with ``{name}_mask``, n_events × n_slots.
    """
    numbers, filled = slots_made(maker, raw)
    scaled = _scaled(maker, numbers, scaler)
    if maker.flat:
        return {name: scaled}
    objects = scaled.reshape(*filled.shape, -1)
    kinds = filled[:, :, np.newaxis] * maker.type_of_slots
    return {name: np.concatenate([objects, kinds], axis=2), f"{name}_mask": filled}


def _scaled(maker: SlotMaker, numbers: NDArray[np.float32], scaler: Scaler) -> NDArray[np.float32]:
    if not len(numbers) or not (np.any(scaler.mean_ != 0) or np.any(scaler.scale_ != 1)):
        return numbers
    scaled: NDArray[np.float32] = scaler.transform(numbers.astype(np.float64)).astype(np.float32)
    if maker.keeps_zeros:
        scaled[numbers == 0] = 0
    return scaled


class SlotFit:
    """Fits what the last step of slots wants to know of the events, chunk by chunk.

    Attributes
    ----------
    num_events : int
        Number of events so far.
    """

    def __init__(self, maker: SlotMaker, *, weighted: bool, where: str = "steps") -> None:
        self._maker, self._weighted, self._where = maker, weighted, where
        self.num_events = 0
        self._entries, self._weight, self._first, self._second = (np.zeros(maker.number) for _ in range(4))
        self._origin: NDArray[np.float64] | None = None

    def add(self, rows: NDArray[np.float32], weights: NDArray[np.float64]) -> None:
        """Take numbers of training events after the other steps, shape (n_events, n_numbers)."""
        self.num_events += len(rows)
        if self._maker.fitted is None or not len(rows):
            return
        values = rows.astype(np.float64)
        counted = (values != 0) if self._maker.keeps_zeros else np.ones(values.shape, np.bool_)
        of_each = (weights if self._weighted else np.ones(len(rows)))[:, np.newaxis] * counted
        if self._origin is None:  # against rounding
            self._origin = values.sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
        shifted = values - self._origin
        self._entries += counted.sum(axis=0)
        self._weight += of_each.sum(axis=0)
        self._first += (of_each * shifted).sum(axis=0)
        self._second += (of_each * shifted**2).sum(axis=0)

    def result(self) -> Scaler:
        """Mean and scale of each number, plain scikit-learn; 0 and 1 for what is not scaled.

        Raises
        ------
        NtuplemlError
            If negative weights leave no positive sum or variance of a number.

        Notes
        -----
        Mean μ and standard deviation σ of pT, of all events, or of those where the slot is filled; or 2^k with
        k = round(log2 σ) of each number. Where σ is 0, the scale is 1.
        """
        from sklearn.preprocessing import StandardScaler

        number, fitted = self._maker.number, self._maker.fitted
        scaler = StandardScaler()
        scaler.mean_, scaler.scale_, scaler.var_ = np.zeros(number), np.ones(number), np.ones(number)
        scaler.n_features_in_, scaler.n_samples_seen_ = number, self.num_events
        if fitted is None or self._origin is None:
            return scaler
        is_scaled = (self._maker.is_pt | (fitted == "powers_of_two")) & (self._entries > 0)
        self._refuse("sum", self._weight, is_scaled & (self._weight <= 0))
        weight = np.where(self._weight > 0, self._weight, 1)
        shift = self._first / weight
        variance = self._second / weight - shift**2
        self._refuse("variance", variance, is_scaled & (variance < -_ROUNDING * (1 + (self._origin + shift) ** 2)))
        deviation = np.sqrt(np.maximum(variance, 0))
        varies = deviation > 1e-7 * np.maximum(np.abs(self._origin + shift), 1e-30)
        if fitted == "powers_of_two":
            scaler.scale_ = np.where(varies, np.exp2(np.round(np.log2(np.where(varies, deviation, 1)))), 1.0)
        else:
            is_pt = self._maker.is_pt
            scaler.mean_ = np.where(is_pt & (self._weight > 0), self._origin + shift, 0.0)
            scaler.scale_ = np.where(is_pt & varies, deviation, 1.0)
        scaler.var_ = scaler.scale_**2
        return scaler

    def _refuse(self, what: str, values: NDArray[np.float64], is_bad: NDArray[np.bool_]) -> None:
        """Say of which number the weights leave nothing to scale by."""
        for place in np.flatnonzero(is_bad)[:1]:
            columns = self._maker.columns
            name = columns[place] if self._maker.flat else f"{COLUMNS[place % 3]} of slot {place // 3}"
            raise NtuplemlError(
                f"{self._where}: the weights give {name} a {what} of {values[place]:g}, and a positive one is needed; "
                "fit without weights (weighted_preprocessing: false), or give the scale as a number"
            )
