"""A compiled Keras model from a network's description, with seeds for everything random in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.models.encoders import encoder_of
from ntupleml.models.encoders.image_encoder import ImageEncoder
from ntupleml.models.networks import GroupShape
from ntupleml.models.parts import Parts, chained
from ntupleml.models.registries import ACTIVATIONS, IMAGE_LOSSES, MASKED, loss_of, optimizer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.models.encoders.encoder import Encoder
    from ntupleml.models.networks import ImageOutput, Network, ValueUnits


def matrix(num_inputs: int) -> dict[str, GroupShape]:
    """Shapes of inputs that are one group of numbers, `variables`."""
    return {"variables": GroupShape("numbers", (num_inputs,))}


def build_model(
    network: Network,
    shapes: Mapping[str, GroupShape],
    num_outputs: int,
    seed: int,
    image: ImageOutput | None = None,
    units: ValueUnits | None = None,
) -> Any:
    """Compiled Keras model of a network.

    Parameters
    ----------
    shapes : mapping of str to GroupShape
        Groups of inputs by their names. Conditions are further numbers of their group.
    num_outputs : int
        Number of classes, of values, or of numbers that are reconstructed and those of a latent layer; of values beside
        an image 0 or more.
    seed : int
        Seed of the first weights and of dropout: the same seed gives the same model, whatever else happened in the
        process.
    image : ImageOutput, optional
        Image that is learnt: the model gives its pixels, row after row of φ, then the values.
    units : ValueUnits, optional
        How values are standardised, for a network whose encoders give them in their unit; by default they are not.

    Returns
    -------
    keras.Model
        With named layers, for classes the metric `accuracy`, for values the mean absolute error (weighted, as the
        loss), and no weight updated yet. One
        group of numbers without an encoder gives a sequential model of a matrix. Else its inputs are a dict (where
        they are several): each group under its name, and for objects ``{name}_mask``, rows × length, 1 where an object
        is, and where its encoder needs them ``{name}_vectors``, rows × length × 4.

    Raises
    ------
    NtuplemlError
        If an encoder does not fit its group.
    """
    parts = _parts(network, seed)
    model = (
        _sequential(shapes, num_outputs, parts)
        if _is_matrix(network, shapes)
        else _functional(shapes, num_outputs, parts, image, units)
    )
    compile_model(model, network, image)
    return model


def _parts(network: Network, seed: int) -> Parts:
    if network.quantised is None:
        return Parts(network, seed)
    from ntupleml.models.quantised_parts import QuantisedParts

    return QuantisedParts(network, seed)


def compile_model(model: Any, network: Network, image: ImageOutput | None = None) -> None:
    """Give a model the loss, the optimiser and the metrics of a network."""
    model.compile(
        optimizer=optimizer_of(network),
        loss=loss_of(network, image),
        weighted_metrics=_metrics(network),
        jit_compile=False,  # the training compiles whole epochs; what cannot be compiled there is fitted as it is
    )


def _is_matrix(network: Network, shapes: Mapping[str, GroupShape]) -> bool:
    return not network.encoders and network.latent is None and [shape.kind for shape in shapes.values()] == ["numbers"]


def _sequential(shapes: Mapping[str, GroupShape], num_outputs: int, parts: Parts) -> Any:
    import keras

    (group,) = shapes.values()
    layers: list[Any] = [keras.Input(group.shape, name="inputs")]
    for number, width in enumerate(parts.network.hidden, start=1):
        layers += parts.hidden(number, width)
    return keras.Sequential([*layers, *parts.output(num_outputs)], name="classifier")


def _functional(
    shapes: Mapping[str, GroupShape],
    num_outputs: int,
    parts: Parts,
    wanted: ImageOutput | None,
    units: ValueUnits | None,
) -> Any:
    import keras

    inputs: dict[str, Any] = {}
    #: Of images that are kept, of all groups as numbers, and of those that are no such images.
    images, encoded, beside = [], [], []
    for name, group in shapes.items():
        inputs[name] = keras.Input(group.shape, name=name)
        encoder, mask, vectors = _encoder(name, group, parts), None, None
        if group.kind == "objects":
            mask = inputs[f"{name}_mask"] = keras.Input(group.shape[:1], name=f"{name}_mask")
        if encoder.needs_vectors:
            vectors = inputs[f"{name}_vectors"] = keras.Input((group.shape[0], 4), name=f"{name}_vectors")
        parts.begin_group(name, encoder.activation)
        if wanted is not None and isinstance(encoder, ImageEncoder):
            _require_shape(name, group, wanted)
            images.append(encoder.image(inputs[name], parts))
            encoded += [encoder.numbers(images[-1], parts)] if num_outputs else []
            continue
        encoded.append(encoder.encode(inputs[name], mask, parts, vectors))
        beside.append(encoded[-1])
    parts.end_groups()
    taken = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    if parts.network.latent is not None:
        return keras.Model(taken, _given_back(_joined(encoded, "joined"), num_outputs, parts), name="autoencoder")
    if parts.network.vector:
        return keras.Model(taken, _vector(encoded, units), name="network")
    outputs = [] if wanted is None else [_pixels(images, beside, parts)]
    if num_outputs:
        value = _through_hidden(_joined(encoded, "joined"), parts.network.hidden, parts)
        outputs.append(chained(value, parts.output(num_outputs, "scores.values" if outputs else "scores")))
    return keras.Model(taken, _joined(outputs, "scores"), name="network")


def _joined(values: Sequence[Any], name: str) -> Any:
    """Values side by side."""
    import keras

    return values[0] if len(values) == 1 else keras.layers.Concatenate(name=name)(values)


def _vector(parts: Sequence[Any], units: ValueUnits | None) -> Any:
    """Sum of vectors, standardised as the values are."""
    import keras

    total = parts[0] if len(parts) == 1 else keras.layers.Add(name="scores.sum")(parts)
    if units is None:
        return total
    scale = [1 / one for one in units.scale]
    offset = [-mean * factor for mean, factor in zip(units.mean, scale, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="scores")(total)


def _through_hidden(value: Any, widths: Sequence[int], parts: Parts, first: int = 1) -> Any:
    for number, width in enumerate(widths, start=first):
        value = chained(value, parts.hidden(number, width))
    return value


def _given_back(value: Any, num_outputs: int, parts: Parts) -> Any:
    """The latent layer, the hidden layers again, and what they give; the numbers of the latent layer behind it."""
    import keras

    widths = parts.network.hidden
    value = _through_hidden(value, widths, parts)
    value, latent = parts.latent(value)
    value = _through_hidden(value, widths[::-1], parts, first=len(widths) + 1)
    numbers = num_outputs - sum(one.shape[-1] for one in latent)
    return keras.layers.Concatenate(name="with_latent")([chained(value, parts.output(numbers)), *latent])


def _pixels(images: Sequence[Any], beside: Sequence[Any], parts: Parts) -> Any:
    """The pixels of the output, one after the other, from images and from numbers that all pixels get."""
    import keras

    values = _joined(images, "scores.images")
    if beside:
        width = values.shape[-1]
        numbers = parts.weighted("Dense", "scores.numbers", width)(_joined(beside, "scores.beside"))
        numbers = keras.layers.Reshape((1, 1, width), name="scores.to_pixels")(numbers)
        values = keras.layers.Add(name="scores.with_numbers")([values, numbers])
        values = keras.layers.Activation(ACTIVATIONS[parts.activation], name="scores.activation")(values)
    return keras.layers.Flatten(name="scores.image")(parts.pixels()(values))


def _require_shape(name: str, group: GroupShape, wanted: ImageOutput) -> None:
    if group.shape[:2] != wanted.bins:
        found = " × ".join(map(str, group.shape[:2]))
        raise NtuplemlError(
            f"target.image: {wanted.bins[0]} × {wanted.bins[1]} pixels, but inputs.{name} has {found}; take images of "
            "one shape"
        )


def _encoder(name: str, group: GroupShape, parts: Parts) -> Encoder:
    """Encoder of a group."""
    where = f"model.encoders.{name}"
    encoder = encoder_of(parts.network.encoders.get(name, {}), group.kind, where)
    if encoder.needs_length and None in group.shape:
        raise NtuplemlError(f"{where}: this encoder takes a fixed number of objects; give inputs.{name}.length")
    return encoder


def _metrics(network: Network) -> list[Any]:
    import keras

    metrics: list[Any] = []
    if network.output == "softmax":
        metrics.append(keras.metrics.CategoricalAccuracy(name="accuracy"))
    elif network.loss not in (MASKED, *IMAGE_LOSSES):
        metrics.append(keras.metrics.MeanAbsoluteError(name="mean_absolute_error"))
    if network.squared_error_metric:
        metrics.append(keras.metrics.MeanSquaredError(name="mean_squared_error"))
    return metrics
