"""A Keras network with what it takes of some events that it never saw."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import load_keras_model
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import makers_of, numbers_of_columns
from ntupleml.preprocessing import load_scalers
from ntupleml.preprocessing.groups import network_inputs
from ntupleml.testing.attributions import products_per_event
from ntupleml.testing.networks import first_network, has_network, network_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.testing.material import Material
    from ntupleml.testing.networks import Network

#: Events that are taken however large a network is.
_FEWEST_EVENTS = 10


class TakenInputs(NamedTuple):
    """A network, and events as it takes them."""

    network: Network
    #: The keras.Model.
    model: Any
    #: By input, scaled.
    inputs: dict[str, NDArray[np.float32]]
    #: What events are compared with, of one event: an empty image, and zero of other scaled numbers.
    baseline: dict[str, NDArray[np.float32]]
    #: Groups that are images.
    images: list[str]


def has_images(material: Material) -> bool:
    """Whether there is a network that takes images."""
    return has_network(material) and bool(_images(first_network(material)[1].record.groups))


def _images(groups: Any) -> list[str]:
    from ntupleml.config.inputs import ImageConfig

    return [name for name, group in groups.items() if isinstance(group, ImageConfig)]


def taken_inputs(material: Material, most_events: int, most_products: float = math.inf) -> TakenInputs:
    """The first network of the methods, and about so many events at most that it never saw.

    Parameters
    ----------
    most_products : float, optional
        Multiplications of one pass of all events through the network at most, of more than ten events.

    Raises
    ------
    NtuplemlError
        If no method is a network with scalers.
    """
    trained = first_network(material)[1]
    files, record = trained.files, trained.record
    if files.preprocessing is None:
        raise NtuplemlError(f"{files.model}: the network has no file of scalers, without which it takes nothing")
    scalers = load_scalers(files.preprocessing, numbers_of_columns(record.groups))
    model, makers = load_keras_model(files.model), makers_of(record.groups)
    affordable = max(most_products / max(products_per_event(model), 1), _FEWEST_EVENTS)
    network = network_of(material, int(min(most_events, affordable)))
    taken = {tensor.name for tensor in model.inputs}
    vectors = [name for name in scalers if f"{name}_vectors" in taken]
    batch = network.batch
    inputs = network_inputs(batch, scalers, record.missing, makers, vectors)
    images = _images(record.groups)
    empty = {name: np.zeros_like(values[:1]) for name, values in batch.items()}
    scaled = network_inputs(empty, scalers, record.missing, makers, vectors)
    baseline = {name: scaled[name] if name in images else np.zeros_like(inputs[name][:1]) for name in inputs}
    return TakenInputs(network, model, inputs, baseline, images)
