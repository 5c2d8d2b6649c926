"""The weights in a Keras file (HDF5): plain numbers that are all in the file, of the shapes that its layers need.

HDF5 can link to other files, keep data in them, compose data from them, and declare arrays far larger than what is
stored (CVE-2025-9905's kin, CVE-2026-0897, CVE-2026-1669); weights need none of that.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py
    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_network import KerasLayer
    from ntupleml.artifacts.keras_shapes import Part

    Weights = dict[tuple[str, ...], list[NDArray[Any]]]

_MOST_OBJECTS = 100_000


def read_weights(data: bytes, layers: Sequence[KerasLayer], where: str) -> Weights:
    """Read the weights of layers from an HDF5 file that is a tree of plain arrays of numbers, stored as they are.

    Parameters
    ----------
    data : bytes
        Content of ``model.weights.h5``.

    Returns
    -------
    dict
        By the names of a layer, its weights in the order of the file.

    Raises
    ------
    NtuplemlError
        Naming what is not allowed and its place, or the layer whose weights are missing, of other shapes or not finite.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            require_plain(file, len(data), where)
            return {layer.names: _weights_of(file, layer, where) for layer in layers}
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # what h5py raises for damaged files
        raise NtuplemlError(f"{where}: its weights are damaged: {one_line(error)}") from error


def _weights_of(file: h5py.File, layer: KerasLayer, where: str) -> list[NDArray[Any]]:
    return [array for part in layer.parts for array in _weights_of_part(file, layer, part, where)]


def _weights_of_part(file: h5py.File, layer: KerasLayer, part: Part, where: str) -> list[NDArray[Any]]:
    place = f"{layer.group}{part.place}/vars" if part.place else f"{layer.group}vars"
    if "_layer_checkpoint_dependencies" in file:  # before Keras 3
        place = place.replace("layers/", "_layer_checkpoint_dependencies/")
    group = file.get(place, {})
    found = [tuple(group[str(number)].shape) if str(number) in group else None for number in range(len(group))]
    if found != list(part.weights):
        raise NtuplemlError(
            f"{where}: the weights of {layer.title} have the shapes {one_line(found, 100)}, but its description needs "
            f"{one_line(list(part.weights), 100)}; the file is damaged, or put together from two"
        )
    arrays = [np.asarray(group[str(number)]) for number in range(len(found))]
    may_be_infinite = part.place.endswith("quantizer")  # one without a range has infinite bits
    if any((np.isnan(array) if may_be_infinite else ~np.isfinite(array)).any() for array in arrays):
        raise NtuplemlError(f"{where}: the weights of {layer.title} are NaN or infinite; train again, or fix the file")
    return [array.astype(np.float32) if array.dtype.kind == "f" else array for array in arrays]


def require_plain(file: h5py.File, size: int, where: str) -> None:
    """Refuse an HDF5 file that is anything but a tree of plain arrays of numbers, each once and all in the file.

    Parameters
    ----------
    size : int
        Bytes of the file, which its arrays cannot be more than.
    """
    import h5py

    waiting: list[h5py.Group] = [file]
    seen: set[int] = set()
    declared = 0
    while waiting:
        group = waiting.pop()
        for name in group:
            place = one_line(f"{group.name.rstrip('/')}/{name}", 100)
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise NtuplemlError(f"{where}: refused: its weights hold a link, {place}, to elsewhere")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen or len(seen) > _MOST_OBJECTS:
                raise NtuplemlError(f"{where}: refused: its weights hold {place} twice, or too much")
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append(item)
                continue
            declared += _plain_size(item, place, where)
            if declared > size:
                raise NtuplemlError(
                    f"{where}: refused: its weights declare {declared:,} bytes or more, but hold {size:,}"
                )


def _plain_size(dataset: Any, place: str, where: str) -> int:
    """Size in bytes of a dataset that is plain numbers."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiub":
        raise NtuplemlError(f"{where}: refused: {place} in its weights is not an array of numbers")
    if dataset.external or dataset.is_virtual:
        raise NtuplemlError(f"{where}: refused: {place} in its weights takes its numbers from another file")
    if dataset.id.get_create_plist().get_nfilters():
        raise NtuplemlError(f"{where}: refused: {place} in its weights is compressed, which Keras never does")
    return int(dataset.size) * int(dataset.dtype.itemsize)
