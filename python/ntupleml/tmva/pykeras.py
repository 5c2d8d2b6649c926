"""TMVA's PyKeras weights: the file holds variables, classes and transformations, and names the Keras file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from xml.etree.ElementTree import Element

_HDF5 = (".h5", ".hdf5")


class PyKeras(NamedTuple):
    """The network of a PyKeras method."""

    #: The trained network, a `.keras` file that is there.
    file: Path
    #: Of the method: classes, targets, or 1.
    num_outputs: int


def read_pykeras(root: Element, options: Mapping[str, str], num_outputs: int, where: str) -> PyKeras:
    """Find the network that a PyKeras weights file belongs to.

    MethodPyKeras writes no weights of its own: its options `FilenameTrainedModel` and `FilenameModel` name the
    trained network and the one that the training began with. Their paths are as seen from the folder of the
    training. Looked for are the path itself (from the current folder), the same path beside the weights file and in
    the folders above it, and the bare name beside the weights file; and there also the same name ending in `.keras`,
    for networks in HDF5 that have been converted.

    Parameters
    ----------
    root : Element
        ``MethodSetup`` of the file.
    options : mapping of str to str
        Its options.
    num_outputs : int
        Of the method.

    Raises
    ------
    NtuplemlError
        If no file is named, it is not there, or it is in HDF5, which is not read.
    """
    name = options.get("FilenameTrainedModel") or _default_name(root)
    places = _places(Path(name), Path(where))
    for place in places:
        if place.suffix not in _HDF5 and place.is_file():
            return PyKeras(place, num_outputs)
    for place in places:
        if place.suffix in _HDF5 and place.is_file():
            new = place.with_suffix(".keras")
            raise NtuplemlError(
                f"{where}: FilenameTrainedModel is '{place}', a Keras model in HDF5, which is not read: loading one "
                f"can run code in it; where you trust it, keras.models.load_model('{place.name}', compile=False)."
                f"save('{new.name}') writes the one that is looked for beside it"
            )
    raise NtuplemlError(
        f"{where}: FilenameTrainedModel is '{name}', which is found neither from here nor from the folder of the "
        "weights file; put it there (as .keras)"
    )


def _default_name(root: Element) -> str:
    """Where MethodPyKeras puts the trained network unless told otherwise."""
    title = root.get("Method", "").partition("::")[2]
    return f"TrainedModel_{title}.h5"


def _places(named: Path, weights: Path) -> list[Path]:
    """Where a named file may be, best first; each also with the ending of Keras 3."""
    folders = [weights.parent, *list(weights.absolute().parents)[1:4]]
    found = [
        named,
        *([] if named.is_absolute() else [folder / named for folder in folders]),
        weights.parent / named.name,
    ]
    return list(dict.fromkeys(place for path in found for place in (path, path.with_suffix(".keras"))))
