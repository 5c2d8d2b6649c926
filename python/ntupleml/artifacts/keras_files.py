"""Keras models on disk: everything in the file is checked and read here, and Keras builds the model from that."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts.keras_config import read_network_config, without
from ntupleml.artifacts.keras_layers import HGQ, OWN
from ntupleml.artifacts.keras_weights import read_weights
from ntupleml.atomic import scratch_folder
from ntupleml.errors import NtuplemlError, one_line
from ntupleml.imports import import_hgq, import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts.keras_network import KerasLayer, KerasNetwork
    from ntupleml.artifacts.keras_weights import Weights

_CONFIG = "config.json"
_WEIGHTS = "model.weights.h5"
#: Members of a Keras file and the bytes that each may have at most.
_MEMBERS = {_CONFIG: 10_000_000, "metadata.json": 100_000, _WEIGHTS: 8_000_000_000}
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class KerasFile(NamedTuple):
    """A network as plain data, read without Keras."""

    network: KerasNetwork
    #: By the names of a layer, its weights.
    weights: Weights
    #: With which loss and optimiser it was trained, as in the file; nothing here builds anything from it.
    compile_config: dict[str, Any]


def read_keras_file(path: str | Path, where: str | None = None) -> KerasFile:
    """Read a Keras file; refuse one that could run code, read other files or fill the memory when it is loaded.

    Looked at are the zip (only the members that a network needs, each once, bounded in size), the description of the
    network (`read_network_config`) and the weights (`read_weights`): each layer has those that its description needs,
    so a network takes no more memory than its file. Keras is not imported.

    Parameters
    ----------
    path : path
        A ``.keras`` file.
    where : str, optional
        What messages call it; by default its path.

    Raises
    ------
    NtuplemlError
        Saying what is wrong, on one line.
    """
    where = where or str(path)
    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise NtuplemlError(f"{where}: no such file; a training makes it") from None
    if start == _HDF5_SIGNATURE or Path(path).suffix in (".h5", ".hdf5"):
        raise NtuplemlError(
            f"{where}: a Keras model in HDF5, which is not read: loading one can run code in it; where you trust it, "
            "convert it with keras.models.load_model('old.h5', compile=False).save('new.keras'), or train anew"
        )
    if Path(path).suffix != ".keras":
        raise NtuplemlError(f"{where}: not the file of a Keras 3 model, whose name ends in .keras")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, where)
            config = json.loads(archive.read(_CONFIG))
            weights = archive.read(_WEIGHTS)
        network = read_network_config(config, where)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        # RuntimeError also covers encrypted members, and JSON nested without end.
        raise NtuplemlError(f"{where}: not a Keras 3 model, or damaged: {one_line(error) or 'cut off'}") from error
    compiled = config.get("compile_config")
    return KerasFile(
        network,
        read_weights(weights, network.layers, where),
        compiled if isinstance(compiled, dict) else {},
    )


def load_keras_model(source: str | Path | KerasFile, *, new_weights: bool = False) -> Any:
    """Build the Keras model of a file from what `read_keras_file` found in it. Imports TensorFlow.

    Keras itself never reads the file. The model has no loss and optimiser.

    Parameters
    ----------
    source : path or KerasFile
        A ``.keras`` file, or its content.
    new_weights : bool
        Draw the weights anew, as the file says of each layer, in place of those of the file.

    Returns
    -------
    keras.Model
        Called once, which makes sure that it computes.

    Raises
    ------
    NtuplemlError
        If there is no such file, or it is not what it claims to be.
    """
    file = source if isinstance(source, KerasFile) else read_keras_file(source)
    network = file.network
    import_tensorflow()
    import keras
    import numpy as np

    if any(layer.kind.startswith(OWN) for layer in network.layers):
        import ntupleml.models.layers  # noqa: F401  (makes Keras know them)
    if any(layer.kind.startswith(HGQ) for layer in network.layers):
        import_hgq()
    try:
        # initializers are only for new weights; one that is a text may name anything
        config = without(
            network.config,
            lambda key, value: key.endswith("_initializer") and not (new_weights and isinstance(value, dict)),
        )
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        for layer in network.layers:
            if layer.weights and not (new_weights and layer.kind != "Normalization"):
                _load_weights(model, layer, file.weights[layer.names])
        events = [np.zeros((1, *(size or 1 for size in shape)), np.float32) for shape in network.inputs.values()]
        named = isinstance(network.config["config"].get("input_layers"), dict)
        model(
            dict(zip(network.input_names, events, strict=True)) if named else events[0] if len(events) == 1 else events
        )
    except Exception as error:  # Keras raises whatever its layers raise for a wrong description
        raise NtuplemlError(f"{network.where}: Keras cannot load it: {one_line(error)}") from error
    return model


def _load_weights(model: Any, layer: KerasLayer, weights: Sequence[NDArray[Any]]) -> None:
    """Give the layer of a model, and its parts, their weights."""
    whole, left = model, iter(weights)
    for name in layer.names:
        whole = whole.get_layer(name)
    for place, shapes in layer.parts:
        part = whole
        for name in place.split("/") if place else []:
            part = getattr(part, name)
        part.load_own_variables({str(number): next(left) for number in range(len(shapes))})


def file_of_model(model: Any, where: str = "the network") -> KerasFile:
    """A model in memory as the file that it would be saved to.

    Raises
    ------
    NtuplemlError
        If such a file would be refused.
    """
    with scratch_folder() as folder:
        path = folder / "network.keras"
        try:
            model.save(path)
        except Exception as error:  # a layer of the user's own raises what it likes
            raise NtuplemlError(f"{where}: Keras cannot write it: {one_line(error)}") from error
        return read_keras_file(path, where)


def _check_members(archive: zipfile.ZipFile, where: str) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    for member in members:
        limit = _MEMBERS.get(member.filename)
        if limit is None or names.count(member.filename) > 1:
            raise NtuplemlError(
                f"{where}: refused: its member '{one_line(member.filename, 80)}' does not belong into the file of a "
                f"plain network, which has {', '.join(_MEMBERS)}, each once"
            )
        if member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
            raise NtuplemlError(
                f"{where}: refused: its member '{member.filename}' is compressed, which Keras never does, or too large"
            )
    for name in (_CONFIG, _WEIGHTS):
        if name not in names:
            raise NtuplemlError(f"{where}: not a Keras 3 model: it has no {name}")
