"""Groups of inputs as a network takes them: each scaled by its own scaler, zero where no object is, with its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ntupleml.preprocessing.scalers import Scaler


def network_inputs(
    batch: Mapping[str, NDArray[Any]], scalers: Mapping[str, Scaler], missing: float | None = None
) -> dict[str, NDArray[np.float32]]:
    """Scale a batch of raw inputs, in float64.

    Parameters
    ----------
    batch : mapping of str to array
        By the names of the groups, numbers along the last axis; for objects also their number, ``{name}_length``.
    scalers : mapping of str to scaler
        Columns beyond those of a scaler, such as conditions, stay as they are.
    missing : float, optional
        What replaces NaN and infinite values.

    Returns
    -------
    dict of str to array of float32
        By the names of the groups; for objects also ``{name}_mask``, events × length, 1 where an object is.
    """
    inputs = {}
    for name, scaler in scalers.items():
        scaled = _scaled(batch[name], scaler, missing)
        if f"{name}_length" in batch:
            filled = np.arange(scaled.shape[1]) < batch[f"{name}_length"][:, np.newaxis]
            scaled[~filled] = 0
            inputs[f"{name}_mask"] = filled.astype(np.float32)
        inputs[name] = scaled
    return inputs


def as_argument(inputs: Mapping[str, Any]) -> Any:
    """What a Keras network is called with: the inputs by their names, or the array where there is one."""
    return dict(inputs) if len(inputs) > 1 else next(iter(inputs.values()))


def _scaled(values: NDArray[Any], scaler: Scaler, missing: float | None) -> NDArray[np.float32]:
    columns = scaler.n_features_in_
    raw = values[..., :columns].reshape(-1, columns).astype(np.float64)
    if missing is not None:
        raw[~np.isfinite(raw)] = np.float32(missing)
    scaled = np.array(values, dtype=np.float32)
    if len(raw):  # scikit-learn refuses no rows
        scaled[..., :columns] = scaler.transform(raw).reshape(*values.shape[:-1], columns)
    return scaled
