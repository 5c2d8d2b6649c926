"""Seeing inside networks: what an output owes to the inputs, and the filters of networks that take images."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.errors import NtuplemlError, did_you_mean
from ntupleml.features.images import directions
from ntupleml.metrics.estimates import mean
from ntupleml.metrics.measurement import as_plain, no_sum_of_weights
from ntupleml.plots.images import draw_images
from ntupleml.plots.importance import draw_importance
from ntupleml.plots.pictures import Picture, Table
from ntupleml.targets import COMPONENTS
from ntupleml.testing.network_inputs import has_images, taken_inputs
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntupleml.metrics.measurement import Measurement, Undefined
    from ntupleml.testing.attributions import Attributions
    from ntupleml.testing.gradient_ascent import Dream
    from ntupleml.testing.material import Material
    from ntupleml.testing.network_inputs import TakenInputs

__all__ = ["attributions_of_inputs", "filters_of_images", "has_images"]

#: Events that are differentiated unless more are asked for, that are shown one by one, and groups of inputs at most.
_MOST_EVENTS, _SHOWN_EVENTS, _MOST_GROUPS = 500, 3, 50
#: Multiplications of one pass of all these events, unless more events are asked for: some seconds for all gradients.
_MOST_PRODUCTS = 5e8
#: Events of which one shows what filters make of it: classes are sampled at random, and none may be empty.
_FEW_EVENTS = 50
#: Filters of a layer, and lines of a table, at most.
_MOST_FILTERS, _LONGEST_TABLE = 32, 20
_ATTRIBUTIONS = (
    "Saliency is the modulus of the gradient of an output by an input, as the network takes it: scaled. Integrated "
    "gradients (arXiv:1703.01365) share out among the inputs what the output is above its value for a baseline: an "
    "empty image, and zero of other scaled inputs, which is their mean where they are standardised."
)
_FILTERS = (
    "Kernels of the first convolution, what it makes of an event, and the event changed along the gradient of the mean "
    "squares of the convolutions' outputs, from a small size to its own: what the network answers strongly to."
)


def attributions_of_inputs(material: Material, *, output: str = "") -> Answer:
    """Saliency and integrated gradients of each input, in the mean over events, and of some events.

    Parameters
    ----------
    output : str
        The class or value; by default the first.
    """
    from ntupleml.testing.attributions import attributions

    names = material.preparation.reading.outputs or material.classes
    if output and output not in names:
        raise NtuplemlError(f"--output: no output '{output}'{did_you_mean(output, names)}")
    groups = list(material.preparation.training.groups)[:_MOST_GROUPS]
    material.announce(f"saliency_{name}" for name in ["inputs", *groups])
    asked = None if material.for_page else material.preparation.asked_events
    taken = taken_inputs(material, *([asked] if asked else [_MOST_EVENTS, _MOST_PRODUCTS]))
    column, label = _column(taken, names, output or names[0])
    found = attributions(taken.model, taken.inputs, taken.baseline, column)
    pictures = [_maps(taken, found, name, label) for name in taken.images]
    if ranked := _ranked(taken, found):
        pictures.insert(0, _ranking(taken, ranked, found, label))
    complete = f"integrated gradients are complete within {found.incompleteness:.2g} of the largest difference"
    remark = f"{taken.network.method}, {label}: {complete}"
    group = Group("", pictures=tuple(pictures), method=taken.network.method)
    return Answer(_ATTRIBUTIONS, (group,), numbers={"incompleteness": found.incompleteness}, remarks=(remark,))


def _column(taken: TakenInputs, names: list[str], output: str) -> tuple[int | NDArray[np.float64] | None, str]:
    """Output of the network that is differentiated, or what makes a score of all of them, and its name."""
    shape = tuple(taken.model.outputs[0].shape[1:])
    if (image := taken.network.model.record.target.image) is not None:
        pixels = math.prod(image.bins)
        if output in COMPONENTS:
            towards = directions(image.bins[1], image.source.phi_range)[COMPONENTS.index(output)]
            factors = np.zeros(shape)
            factors[:pixels] = np.tile(towards, image.bins[0])
            return factors, f"'{output}'"
        return pixels + names.index(output) - len(COMPONENTS), f"'{output}'"
    if len(shape) == 1 and shape[0] == len(names):
        return names.index(output), f"'{output}'"
    if shape == (1,):  # the second of two classes
        return 0, f"'{names[-1]}'"
    return None, "the mean of all outputs"


def _ranked(taken: TakenInputs, found: Attributions) -> dict[str, tuple[Measurement | Undefined, ...]]:
    """Mean saliency and mean modulus of the integrated gradients of each variable, of all its objects or pixels."""
    weights = taken.network.events.weights
    ranked = {}
    for group in taken.network.groups:
        if group.name not in found.gradients:
            continue
        columns = [np.abs(one[group.name].astype(np.float64)) for one in (found.gradients, found.integrated)]
        summed = [one.sum(axis=tuple(range(1, one.ndim - 1))) for one in columns]
        labels = _labels(taken, group.name, list(group.variables), summed[0].shape[1])
        for place, label in enumerate(labels):
            ranked[label] = tuple(
                no_sum_of_weights(weights) or mean(one[:, place], weights).measurement for one in summed
            )
    return ranked


def _labels(taken: TakenInputs, group: str, variables: list[str], number: int) -> list[str]:
    """Names of a group's variables as the network takes them; numbers where features are made of them."""
    prefix = "" if len(taken.network.groups) == 1 else f"{group}: "
    names = [*variables, *taken.network.model.record.conditions]
    own = names[:number] if len(names) >= number else [f"feature {place + 1}" for place in range(number)]
    return [f"{prefix}{name}" for name in own]


def _ranking(
    taken: TakenInputs, ranked: dict[str, tuple[Measurement | Undefined, ...]], found: Attributions, label: str
) -> Picture:
    order = sorted(ranked, key=lambda name: -getattr(ranked[name][1], "value", 0.0))
    known = {name: ranked[name][1] for name in order}
    values = {name: float(getattr(one, "value", 0.0)) for name, one in known.items()}
    spread = {name: float(getattr(one, "uncertainty", 0.0)) for name, one in known.items()}
    numbers = {name: dict(zip(("saliency", "integrated_gradients"), ranked[name], strict=True)) for name in order}
    rows = tuple((name, *ranked[name]) for name in order[:_LONGEST_TABLE])
    return Picture(
        "saliency_inputs",
        f"Mean modulus of the integrated gradients of {label} by each input: {taken.network.in_words}. Their sums "
        f"miss the output's change by {found.incompleteness:.2g} of the largest at most.",
        partial(draw_importance, values, label="mean |integrated gradients|", spread=spread),
        as_plain({"output": label, "incompleteness": found.incompleteness, "inputs": numbers}),
        (Table(("Input", "Mean saliency", "Mean |integrated gradients|"), rows),),
    )


def _maps(taken: TakenInputs, found: Attributions, name: str, label: str) -> Picture:
    """Image, saliency and integrated gradients: means of each channel, then the first events."""
    weights = taken.network.events.weights
    saliency, integrated = np.abs(found.gradients[name]), found.integrated[name]
    total = weights.sum()
    images: dict[str, NDArray[Any]] = {}
    shown = (("image", taken.inputs[name]), ("saliency", saliency), ("integrated gradients", integrated))
    for place, channel in enumerate(_channels(taken, name)):
        for text, values in shown:
            images[f"{channel}, {text}"] = np.tensordot(weights, values[..., place], 1) / (total if total > 0 else 1)
    numbers = {text: image.tolist() for text, image in images.items()}
    for event in range(min(_SHOWN_EVENTS, len(saliency))):
        images |= {f"event {event + 1}, {text}": values[event].sum(axis=-1) for text, values in shown}
    return Picture(
        f"saliency_{name}",
        f"Saliency and integrated gradients of {label} by the pixels of '{name}': in the mean over {len(weights)} "
        f"events for each channel, then of single events, channels summed up. {taken.network.in_words}.",
        partial(draw_images, images, columns=3, signed=True),
        as_plain({"output": label, "incompleteness": found.incompleteness, "means": numbers}),
    )


def _channels(taken: TakenInputs, name: str) -> list[str]:
    number = taken.inputs[name].shape[-1]
    group = next(one for one in taken.network.groups if one.name == name)
    return list(group.variables) if len(group.variables) == number else [f"channel {one + 1}" for one in range(number)]


def filters_of_images(material: Material) -> Answer:
    """Kernels, activation maps and gradient ascent of a network that takes images."""
    from ntupleml.testing.gradient_ascent import activations, filters_of, gradient_ascent, image_layers

    kinds = ("kernels", "activations", "ascent")
    material.announce(kinds)
    taken = taken_inputs(material, _FEW_EVENTS)
    layers = image_layers(taken.model)
    if not taken.images or not layers:
        raise NtuplemlError(f"{taken.network.method}: the network has no convolutions of images")
    name, first = taken.images[0], layers[0]
    one = {key: values[:1] for key, values in taken.inputs.items()}
    kernels, maps = filters_of(taken.model, first), activations(taken.model, first, one)[0]
    dream = gradient_ascent(taken.model, one, name, layers)
    pictures = (
        _kernels(taken, kernels, first, name),
        _activations(taken, maps, first),
        _ascent(taken, dream, name, layers),
    )
    return Answer(_FILTERS, (Group("", pictures=pictures, method=taken.network.method),), numbers={"ascent": dream})


def _kernels(taken: TakenInputs, kernels: NDArray[np.float32], layer: str, name: str) -> Picture:
    channels = _channels(taken, name) if kernels.shape[2] == taken.inputs[name].shape[-1] else None
    channels = channels or [f"channel {one + 1}" for one in range(kernels.shape[2])]
    number = min(kernels.shape[3], max(1, _MOST_FILTERS // kernels.shape[2]))
    images = {
        f"filter {one + 1}, {channel}": kernels[:, :, place, one]
        for one in range(number)
        for place, channel in enumerate(channels)
    }
    return Picture(
        "kernels",
        f"The first {number} of {kernels.shape[3]} kernels of '{layer}', for each channel: "
        f"model {taken.network.model.record.fold} of {taken.network.method}.",
        partial(draw_images, images, columns=max(len(channels), 4), signed=True, together=True),
        {"layer": layer, "kernels": kernels.tolist()},
    )


def _activations(taken: TakenInputs, maps: NDArray[np.float32], layer: str) -> Picture:
    number = min(maps.shape[-1], _MOST_FILTERS)
    images = {f"filter {one + 1}": maps[..., one] for one in range(number)}
    return Picture(
        "activations",
        f"What '{layer}' makes of an event, the first {number} of {maps.shape[-1]} filters: "
        f"model {taken.network.model.record.fold} of {taken.network.method}.",
        partial(draw_images, images),
        {"layer": layer, "activations": maps.tolist()},
    )


def _ascent(taken: TakenInputs, dream: Dream, name: str, layers: list[str]) -> Picture:
    original = taken.inputs[name][0]
    images: dict[str, NDArray[np.float32]] = {}
    for place, channel in enumerate(_channels(taken, name)):
        images |= {
            f"{channel}, event": original[..., place],
            f"{channel}, changed": dream.image[..., place],
            f"{channel}, difference": dream.image[..., place] - original[..., place],
        }
    rows = ((len(dream.losses), *_ends(dream.losses)),)
    return Picture(
        "ascent",
        f"An event, changed by gradient ascent in three octaves for {', '.join(layers)}: "
        f"model {taken.network.model.record.fold} of {taken.network.method}.",
        partial(draw_images, images, columns=3, signed=True),
        {"layers": layers, "losses": dream.losses, "image": dream.image.tolist()},
        (Table(("Changes at the full size", "First loss", "Last loss"), rows),),
    )


def _ends(losses: list[float]) -> Iterator[float]:
    yield from (losses[0], losses[-1])
