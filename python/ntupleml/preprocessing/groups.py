"""Groups of inputs as a network takes them: each scaled by its own scaler, zero where no object is, with its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.features.arrays import NUMPY, QUICK_NUMPY
from ntupleml.features.event_numbers import CombinationMaker
from ntupleml.features.slots import SlotMaker
from ntupleml.preprocessing.slots import slot_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from ntupleml.features.arrays import Arrays
    from ntupleml.features.makers import Makers
    from ntupleml.preprocessing.scalers import Scaler

#: Objects whose features are made at a time, so that they stay in the processor's cache.
_BLOCK = 32_768


def network_inputs(
    batch: Mapping[str, NDArray[Any]],
    scalers: Mapping[str, Scaler],
    missing: float | None = None,
    makers: Makers | None = None,
    vectors: Collection[str] = (),
) -> dict[str, NDArray[np.float32]]:
    """Make features of a batch of raw inputs and scale them, in float64; steps of slots in float32.

    Parameters
    ----------
    batch : mapping of str to array
        By the names of the groups, numbers along the last axis; for objects also their number, ``{name}_length``.
    scalers : mapping of str to scaler
        Columns beyond those of a scaler, such as conditions, stay as they are.
    missing : float, optional
        What replaces NaN and infinite values.
    makers : mapping of str to maker, optional
        What makes features of the raw columns of a group; see `ntupleml.events.groups.makers_of`.
    vectors : collection of str
        Groups of objects whose four-vectors the network takes, too.

    Returns
    -------
    dict of str to array of float32
        By the names of the groups; for objects also ``{name}_mask``, events × length, 1 where an object is, and where
        asked for ``{name}_vectors``, events × length × 4: pt, eta, phi, mass, unscaled, 0 where no object is.
    """
    inputs: dict[str, NDArray[np.float32]] = {}
    for name, scaler in scalers.items():
        maker = (makers or {}).get(name)
        if isinstance(maker, CombinationMaker):
            filled = _filled(batch, maker.of)
            inputs[name] = _scaled(maker.make(NUMPY, _doubles(batch[maker.of], missing), filled), scaler, None)
            continue
        if isinstance(maker, SlotMaker):
            inputs |= slot_inputs(name, maker, batch[name], scaler)
            continue
        if f"{name}_length" not in batch:
            inputs[name] = _scaled(batch[name], scaler, missing)
            continue
        filled = _filled(batch, name)
        slots = np.flatnonzero(filled)
        objects = batch[name].reshape(filled.size, -1)
        if len(slots) < len(objects):
            objects = objects[slots]
        if name in vectors and maker is not None:
            inputs[f"{name}_vectors"] = _placed(made_of_objects(maker.vectors, objects, missing), slots, filled.shape)
        if maker is None:
            scaled = _scaled(objects, scaler, missing)
        else:
            scaled = made_of_objects(maker.make, objects, missing, scaler)
        inputs[f"{name}_mask"] = filled.astype(np.float32)
        inputs[name] = _placed(scaled, slots, filled.shape)
    return inputs


def made_of_objects(
    make: Callable[[Arrays, NDArray[np.float64]], NDArray[np.float64]],
    objects: NDArray[np.float32],
    missing: float | None = None,
    scaler: Scaler | None = None,
) -> NDArray[np.float32]:
    """Features of objects, one after the other, made in float64, and scaled if a scaler is given.

    Parameters
    ----------
    make : callable
        `FeatureMaker.make` or `FeatureMaker.vectors`.
    objects : array, shape (n_objects, n_columns)
        Raw columns.
    missing : float, optional
        What replaces NaN and infinite values.

    Returns
    -------
    array of float32, shape (n_objects, n_features)
    """
    made: NDArray[np.float32] | None = None
    for start in range(0, max(len(objects), 1), _BLOCK):
        raw = _doubles(objects[start : start + _BLOCK].T, missing).T  # each column in one piece
        part = make(QUICK_NUMPY, raw)
        if scaler is not None and len(part):  # scikit-learn refuses no rows
            part = scaler.transform(part)
        if made is None:
            made = np.empty((len(objects), part.shape[1]), np.float32)
        made[start : start + _BLOCK] = part
    assert made is not None
    return made


def _filled(batch: Mapping[str, NDArray[Any]], name: str) -> NDArray[np.bool_]:
    """Where objects of a group are, events × length."""
    return np.asarray(np.arange(batch[name].shape[1]) < batch[f"{name}_length"][:, np.newaxis])


def _placed(objects: NDArray[np.float32], slots: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Objects, one after the other, in the slots that are filled; 0 in the others."""
    if len(slots) < shape[0] * shape[1]:
        placed = np.zeros((shape[0] * shape[1], objects.shape[-1]), np.float32)
        placed[slots] = objects
        objects = placed
    return objects.reshape(*shape, objects.shape[-1])


def _doubles(values: NDArray[Any], missing: float | None) -> NDArray[np.float64]:
    doubles = values.astype(np.float64, order="C")
    if missing is not None:
        doubles[~np.isfinite(doubles)] = np.float32(missing)
    return doubles


def as_argument(inputs: Mapping[str, Any]) -> Any:
    """What a Keras network is called with: the inputs by their names, or the array where there is one."""
    return dict(inputs) if len(inputs) > 1 else next(iter(inputs.values()))


def _scaled(values: NDArray[Any], scaler: Scaler, missing: float | None) -> NDArray[np.float32]:
    columns = scaler.n_features_in_
    raw = _doubles(values[..., :columns].reshape(-1, columns), missing)
    scaled = np.array(values, dtype=np.float32)
    if len(raw):  # scikit-learn refuses no rows
        scaled[..., :columns] = scaler.transform(raw).reshape(*values.shape[:-1], columns)
    return scaled
