"""A compiled Keras model from a network's description, with seeds for everything random in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.models.encoders import encoder_of
from ntupleml.models.networks import GroupShape
from ntupleml.models.parts import Parts, chained
from ntupleml.models.registries import LOSSES, MASKED, OPTIMIZERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ntupleml.models.networks import Network


def matrix(num_inputs: int) -> dict[str, GroupShape]:
    """Shapes of inputs that are one group of numbers, `variables`."""
    return {"variables": GroupShape("numbers", (num_inputs,))}


def build_model(network: Network, shapes: Mapping[str, GroupShape], num_outputs: int, seed: int) -> Any:
    """Compiled Keras model of a network.

    Parameters
    ----------
    shapes : mapping of str to GroupShape
        Groups of inputs by their names. Conditions are further numbers of their group.
    num_outputs : int
        Number of classes, of values, or of numbers that are reconstructed.
    seed : int
        Seed of the first weights and of dropout: the same seed gives the same model, whatever else happened in the
        process.

    Returns
    -------
    keras.Model
        With named layers, for classes the metric `accuracy`, for values the mean absolute error (weighted, as the
        loss), and no weight updated yet. One
        group of numbers without an encoder gives a sequential model of a matrix. Else its inputs are a dict (where
        they are several): each group under its name, and for objects ``{name}_mask``, rows × length, 1 where an object
        is.

    Raises
    ------
    NtuplemlError
        If an encoder does not fit its group.
    """
    parts = Parts(network, seed)
    model = (
        _sequential(shapes, num_outputs, parts)
        if _is_matrix(network, shapes)
        else _functional(shapes, num_outputs, parts)
    )
    options = {} if network.learning_rate is None else {"learning_rate": network.learning_rate}
    model.compile(
        optimizer=OPTIMIZERS[network.optimizer](**options),
        loss=LOSSES[network.loss](),
        weighted_metrics=_metrics(network),
        jit_compile=False,  # the training compiles whole epochs; what cannot be compiled there is fitted as it is
    )
    return model


def _is_matrix(network: Network, shapes: Mapping[str, GroupShape]) -> bool:
    return not network.encoders and [shape.kind for shape in shapes.values()] == ["numbers"]


def _sequential(shapes: Mapping[str, GroupShape], num_outputs: int, parts: Parts) -> Any:
    import keras

    (group,) = shapes.values()
    layers: list[Any] = [keras.Input(group.shape, name="inputs")]
    for number, width in enumerate(parts.network.hidden, start=1):
        layers += parts.hidden(number, width)
    return keras.Sequential([*layers, parts.output(num_outputs)], name="classifier")


def _functional(shapes: Mapping[str, GroupShape], num_outputs: int, parts: Parts) -> Any:
    import keras

    inputs: dict[str, Any] = {}
    encoded = []
    for name, group in shapes.items():
        inputs[name] = keras.Input(group.shape, name=name)
        mask = None
        if group.kind == "objects":
            mask = inputs[f"{name}_mask"] = keras.Input(group.shape[:1], name=f"{name}_mask")
        encoded.append(_encoded(name, group, inputs[name], mask, parts))
    parts.end_groups()
    value = encoded[0] if len(encoded) == 1 else keras.layers.Concatenate(name="joined")(encoded)
    for number, width in enumerate(parts.network.hidden, start=1):
        value = chained(value, parts.hidden(number, width))
    taken = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    return keras.Model(taken, parts.output(num_outputs)(value), name="network")


def _encoded(name: str, group: GroupShape, values: Any, mask: Any, parts: Parts) -> Any:
    """A group through its encoder."""
    where = f"model.encoders.{name}"
    encoder = encoder_of(parts.network.encoders.get(name, {}), group.kind, where)
    if encoder.needs_length and None in group.shape:
        raise NtuplemlError(f"{where}: this encoder takes a fixed number of objects; give inputs.{name}.length")
    parts.begin_group(name, encoder.activation)
    return encoder.encode(values, mask, parts)


def _metrics(network: Network) -> list[Any]:
    import keras

    metrics: list[Any] = []
    if network.output == "softmax":
        metrics.append(keras.metrics.CategoricalAccuracy(name="accuracy"))
    elif network.loss != MASKED:
        metrics.append(keras.metrics.MeanAbsoluteError(name="mean_absolute_error"))
    if network.squared_error_metric:
        metrics.append(keras.metrics.MeanSquaredError(name="mean_squared_error"))
    return metrics
