"""The description of a network in a Keras file, read into plain data and checked before Keras builds anything from it.

Keras' own ``safe_mode`` has been got round again and again (CVE-2025-1550, 2025-8747, 2025-9906, 2025-49655): a
description may name functions to import and call, files to read, and code. Others name numbers that fill the memory.
Here every object in it, however deep, must be one of a short list, every setting of a layer one that is known and
within bounds (`keras_layers.LAYERS`), and every shape follows from those before it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ntupleml.artifacts import keras_options as options
from ntupleml.artifacts.keras_layers import COMMON, HGQ, LAYERS, OPERATION, OWN, QKERAS, unread_setting
from ntupleml.artifacts.keras_network import KerasLayer, KerasNetwork, LayerCall
from ntupleml.artifacts.keras_shapes import size_of
from ntupleml.errors import NtuplemlError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ntupleml.artifacts.keras_shapes import Shape

_MODEL_MODULES = {
    "keras": ("Sequential", "Functional", "Model"),
    "keras.models": ("Sequential", "Functional", "Model"),
    "keras.src.models.functional": ("Functional",),
    "keras.src.models.sequential": ("Sequential",),
}
_LAYER_MODULES = {"keras.layers": "", "keras.src.ops.numpy": OPERATION}
#: The same for networks of which Keras is to build nothing.
QKERAS_MODULES = {QKERAS: ("qkeras.",)}
#: Packages of registered layers, and how the names of their modules begin.
_REGISTERED = {OWN: ("ntupleml.models.layers.",), HGQ: ("hgq.layers.", "hgq.quantizer.")}
_MODEL_KEYS = {"name", "trainable", "dtype", "layers", "input_layers", "output_layers", "build_input_shape"}
_INPUT_KEYS = {"name", "dtype", "batch_shape", "batch_input_shape", "sparse", "ragged", "optional"}
_ITEM_KEYS = {"module", "class_name", "config", "registered_name", "name", "inbound_nodes"}
#: What Keras is not given: it needs none of these to build a network.
_LEFT_OUT = {"build_config", "compile_config", "shared_object_id"}
#: Bounds of what a description may ask for beside the weights, which are all in the file: layers with their calls,
#: networks in networks, and numbers that are computed per event.
_MOST_LAYERS, _DEEPEST, _MOST_VALUES = 3_000, 20, 5_000_000
#: Numbers that one layer may compute per event on the way to its output: 200 MB.
_MOST_BETWEEN = 50_000_000


def read_network_config(
    config: Any, where: str, registered: Mapping[str, tuple[str, ...]] | None = None
) -> KerasNetwork:
    """Read a network's description, or refuse it unless it is a plain network of known layers.

    Parameters
    ----------
    config : parsed JSON
        Content of ``config.json`` of a Keras file.
    registered : mapping, optional
        Packages of layers that are registered, and how the names of their modules begin; by default those that Keras
        is to build.
    """
    if not isinstance(config, dict) or _model_class(config) is None:
        raise NtuplemlError(f"{where}: does not describe a Keras network")
    network = KerasNetwork(where, without(config, lambda key, _: key in _LEFT_OUT))
    reader = _Reader(network, _REGISTERED if registered is None else registered)
    inputs = reader.inputs(network.config, ())
    network.input_names = tuple(name for name, _ in inputs)
    for _, shape in inputs:
        reader.append(shape, ())
    outputs = reader.read_model(network.config, (), "", list(range(len(inputs))))
    if len(outputs) != 1:
        raise NtuplemlError(f"{where}: the network has {len(outputs)} outputs; one is needed")
    (network.output,) = outputs
    shape = network.shapes[network.output]
    if len(shape) != 1 or shape[0] is None:
        raise NtuplemlError(f"{where}: the network's output has the shape {shape}; a row of scores is needed")
    return network


def without(item: Any, is_left_out: Callable[[str, Any], bool]) -> Any:
    """Copy of parsed JSON without some keys, by their names and values."""
    if isinstance(item, dict):
        return {key: without(value, is_left_out) for key, value in item.items() if not is_left_out(key, value)}
    return [without(value, is_left_out) for value in item] if isinstance(item, list) else item


def _model_class(item: dict[str, Any]) -> str | None:
    """``Sequential`` or ``Functional``; None for anything else."""
    name, module = item.get("class_name"), item.get("module")
    if not isinstance(name, str) or not isinstance(module, str) or name not in _MODEL_MODULES.get(module, ()):
        return None
    return "Sequential" if name == "Sequential" else "Functional"


class _Reader:
    """A walk through a description, which fills a network."""

    def __init__(self, network: KerasNetwork, registered: Mapping[str, tuple[str, ...]]) -> None:
        self.network, self.registered = network, registered
        self.num_layers = 0
        self.num_values = 0
        self.weights: dict[tuple[str, ...], tuple[Shape, ...]] = {}

    def refuse(self, names: tuple[str, ...], reason: str) -> NoReturn:
        place = f"layer '{one_line('/'.join(names), 200)}'" if names else "the network"
        raise NtuplemlError(f"{self.network.where}: refused: {place}: {reason}")

    def read_model(self, item: dict[str, Any], names: tuple[str, ...], group: str, inputs: list[int]) -> list[int]:
        """Append the calls of a network and return its outputs."""
        if len(names) > _DEEPEST:
            self.refuse(names[:3], f"is a network in networks, deeper than {_DEEPEST}")
        layers = self.layers_of(item, names)
        groups = _weight_groups(item, layers, group)
        if _model_class(item) == "Sequential":
            start = 1 if layers[0]["class_name"] == "InputLayer" else 0
            for layer, place in zip(layers[start:], groups[start:], strict=True):
                inputs = self.call(layer, (*names, _name(layer)), place, inputs)
            return inputs
        return self.read_functional(item, names, dict(zip(map(_name, layers), groups, strict=True)), inputs)

    def layers_of(self, item: dict[str, Any], names: tuple[str, ...]) -> list[dict[str, Any]]:
        """Layers of a network, each checked by itself."""
        self.check_item(item, names)
        config = item["config"]
        layers = config.get("layers")
        unknown = [key for key, value in config.items() if key not in _MODEL_KEYS and not options.is_unset(value)]
        unknown += [key for key in ("dtype", "trainable") if key in config and not COMMON[key](config[key])]
        if unknown:
            self.refuse(names, f"has the setting '{one_line(unknown[0], 50)}', which is not read")
        if not isinstance(layers, list) or not layers:
            self.refuse(names, "has no list of layers")
        self.count(len(layers))
        for number, layer in enumerate(layers):
            if not isinstance(layer, dict):
                self.refuse((*names, str(number)), "is no layer")
            settings = layer.get("config")
            given = settings.get("name") if isinstance(settings, dict) else None
            self.check_item(layer, (*names, str(given) if options.is_name(given) else str(number)))
            if _model_class(item) == "Sequential" and "inbound_nodes" in layer:
                self.refuse((*names, str(number)), "is called by itself, in a sequential network; damaged")
        found = [layer["config"]["name"] for layer in layers]
        if len(set(found)) < len(found):
            self.refuse(names, "has two layers of the same name")
        return layers

    def check_item(self, item: dict[str, Any], names: tuple[str, ...]) -> None:
        """Refuse an object of another kind than a known layer or network."""
        config, module, kind = item.get("config"), item.get("module"), item.get("class_name")
        shown = one_line(f"{module}.{kind}" if module else kind, 100)
        if _model_class(item) is None and self.kind(item) not in (*LAYERS, "InputLayer"):
            self.refuse(
                names, f"is '{shown}', which is not among the plain layers that are read; with it a file could run code"
            )
        if item.get("registered_name") not in (None, kind) and not self.kind(item).startswith(tuple(self.registered)):
            self.refuse(
                names, f"'{shown}' is registered as '{one_line(item['registered_name'], 100)}', a custom object"
            )
        if not isinstance(config, dict) or not options.is_name(config.get("name")):
            self.refuse(names, f"'{shown}' has no settings or no name; damaged")
        if item.get("name", config["name"]) != config["name"] or item.keys() - _ITEM_KEYS:
            self.refuse(names, f"'{shown}' has two names, or unknown keys; damaged")

    def inputs(self, item: dict[str, Any], names: tuple[str, ...]) -> list[tuple[str, Shape]]:
        """Names and shapes of a network's inputs."""
        layers = self.layers_of(item, names)
        if _model_class(item) == "Sequential":
            shape = item["config"].get("build_input_shape")
            if layers[0]["class_name"] == "InputLayer":
                shape = self.batch_shape(layers[0], names)
            return [(_name(layers[0]), self.shape(shape))]
        by_name = {_name(layer): layer for layer in layers}
        starts = [name for name, _, _ in self.places(item["config"].get("input_layers"), names)]
        if len(set(starts)) < len(starts):
            self.refuse(names, "has the same input twice")
        return [(name, self.shape(self.batch_shape(by_name.get(name), names))) for name in starts]

    def batch_shape(self, layer: dict[str, Any] | None, names: tuple[str, ...]) -> Any:
        if layer is None or layer["class_name"] != "InputLayer":
            self.refuse(names, "begins with something that is no input; damaged")
        config = layer["config"]
        unknown = [key for key, value in config.items() if key not in _INPUT_KEYS and not options.is_unset(value)]
        if not options.is_float32(config.get("dtype")):
            self.refuse(
                (*names, config["name"]), f"takes numbers of the type {one_line(config['dtype'], 50)}; float32 is read"
            )
        if unknown or any(not options.is_unset(config.get(key)) for key in ("sparse", "ragged", "optional")):
            self.refuse((*names, config["name"]), "is an input of another kind than a plain matrix")
        return config.get("batch_shape") or config.get("batch_input_shape")  # the latter before Keras 3

    def shape(self, shape: Any) -> Shape:
        """Shape of one event; a number of events, from a network built on data, is taken out of the description."""
        if not isinstance(shape, list) or not 2 <= len(shape) <= options.MOST_AXES + 1:
            raise NtuplemlError(
                f"{self.network.where}: its input has the shape {one_line(shape, 100)}, which is not read"
            )
        if not all(size is None or options.is_whole(size) for size in shape[1:]) or None in shape[2:]:
            raise NtuplemlError(
                f"{self.network.where}: its input has the shape {one_line(shape, 100)}; sizes are needed"
            )
        shape[0] = None
        return tuple(shape[1:])

    def places(self, value: Any, names: tuple[str, ...]) -> list[tuple[str, int, int]]:
        """Where inputs or outputs of a functional network are: name of the layer, number of its call, and 0."""
        places = [value] if isinstance(value, list) and value and isinstance(value[0], str) else value
        if isinstance(places, dict):  # inputs by their names
            if any(isinstance(place, list) and place[:1] != [key] for key, place in places.items()):
                self.refuse(names, "has inputs by other names than their own")
            places = list(places.values())
        if not isinstance(places, list) or not places:
            self.refuse(names, "has no list of inputs and outputs")
        for place in places:
            if not isinstance(place, list) or len(place) != 3 or not isinstance(place[0], str):
                self.refuse(names, "has inputs or outputs that are no list of layers")
            if isinstance(place[1], bool) or not isinstance(place[1], int) or place[2] != 0:
                self.refuse(names, "has inputs or outputs of layers that give several values")
        return [(name, number, index) for name, number, index in places]

    def read_functional(
        self, item: dict[str, Any], names: tuple[str, ...], groups: dict[str, str], inputs: list[int]
    ) -> list[int]:
        """Append the calls of a functional network, each as soon as its inputs are there."""
        config = item["config"]
        starts = self.places(config.get("input_layers"), names)
        if len(starts) != len(inputs):
            self.refuse(names, f"takes {len(starts)} inputs, but gets {len(inputs)}")
        known: dict[tuple[str, int], int] = {
            (name, 0): value for (name, _, _), value in zip(starts, inputs, strict=True)
        }
        waiting = self.nodes_of(config["layers"], names)
        used = {name for name, _ in known} | {node.name for node in waiting}
        for layer in config["layers"]:
            if _name(layer) not in used:
                self.refuse((*names, _name(layer)), "is not used")
        while waiting:
            later = []
            for node in waiting:
                if any(source not in known for source in node.sources if not isinstance(source, float)):
                    later.append(node)
                    continue
                given = [
                    self.constant(source) if isinstance(source, float) else known[source] for source in node.sources
                ]
                outputs = self.call(node.layer, (*names, node.name), groups[node.name], given)
                if len(outputs) != 1:
                    self.refuse((*names, node.name), f"has {len(outputs)} outputs; one is read")
                (known[node.name, node.number],) = outputs
            if len(later) == len(waiting):
                self.refuse((*names, later[0].name), "has inputs that nothing gives")
            waiting = later
        # There, a network in the network counts its own building as its first call.
        built = {_name(layer) for layer in config["layers"] if _model_class(layer) == "Functional"}
        ends = [(name, number - (name in built)) for name, number, _ in self.places(config.get("output_layers"), names)]
        if any(end not in known for end in ends):
            self.refuse(names, "has an output that nothing gives")
        return [known[end] for end in ends]

    def nodes_of(self, layers: list[dict[str, Any]], names: tuple[str, ...]) -> list[_Node]:
        found = []
        for layer in layers:
            nodes = layer.get("inbound_nodes")
            if not isinstance(nodes, list):
                self.refuse((*names, _name(layer)), "has no list of calls")
            self.count(len(nodes))
            for number, node in enumerate(nodes):
                is_operation = self.kind(layer).startswith(OPERATION)
                found.append(_Node(layer, number, self.sources(node, (*names, _name(layer)), is_operation)))
        return found

    def count(self, number: int) -> None:
        self.num_layers += number
        if self.num_layers > _MOST_LAYERS:
            self.refuse((), f"has more than {_MOST_LAYERS:,} layers and calls of them")

    def sources(self, node: Any, names: tuple[str, ...], is_operation: bool) -> list[tuple[str, int] | float]:
        """Which values a call takes; any other argument must say nothing. Operations also take numbers."""
        if not isinstance(node, dict) or node.keys() != {"args", "kwargs"}:
            self.refuse(names, "is called in a form that is not read")
        args, kwargs = node["args"], node["kwargs"]
        if isinstance(args, list) and len(args) == 1 and isinstance(args[0], list):
            args = args[0]
        elif not isinstance(args, list) or not (is_operation or len(args) == 1):
            self.refuse(names, "is called with other arguments than its inputs")
        if not isinstance(kwargs, dict) or not args:
            self.refuse(names, "is called with other arguments than its inputs")
        for key, value in kwargs.items():
            if not (
                key in ("mask", "training")
                and all(map(options.is_unset, value if isinstance(value, list) else [value]))
            ):
                self.refuse(names, f"is called with {one_line(key, 50)}={one_line(value, 50)}, which is not read")
        found = [float(one) if is_operation and options.is_number(one) else self.source(one, names) for one in args]
        if all(isinstance(one, float) for one in found):
            self.refuse(names, "is called with numbers alone")
        return found

    def source(self, tensor: Any, names: tuple[str, ...]) -> tuple[str, int]:
        if (
            not isinstance(tensor, dict)
            or tensor.keys() != {"class_name", "config"}
            or tensor["class_name"] != "__keras_tensor__"
            or not isinstance(tensor["config"], dict)
        ):
            self.refuse(names, "is called with something else than the output of a layer")
        content = tensor["config"]
        if content.keys() - {"shape", "dtype", "keras_history", "name"} or not options.is_float32(content.get("dtype")):
            self.refuse(names, "is called with a value of another kind than float32")
        ((name, number, _),) = self.places([content.get("keras_history")], names)
        return name, number

    def constant(self, number: float) -> int:
        """Append a number that an operation takes."""
        network = self.network
        network.constants[len(network.shapes)] = number
        network.shapes.append(())
        return len(network.shapes) - 1

    def call(self, item: dict[str, Any], names: tuple[str, ...], group: str, inputs: list[int]) -> list[int]:
        """Append a call of a layer or network."""
        if _model_class(item) is not None:
            shapes = [shape for _, shape in self.inputs(item, names)]
            if [self.network.shapes[number] for number in inputs] != shapes:
                self.refuse(names, "gets inputs of another shape than it is described with")
            return self.read_model(item, names, group, inputs)
        layer, output = self.layer(item, names, group, inputs)
        if self.weights.setdefault(names, layer.weights) != layer.weights:
            self.refuse(names, "is used for inputs of different shapes")
        number = self.append(output, names)
        self.network.calls.append(LayerCall(layer, tuple(inputs), number))
        return [number]

    def append(self, shape: Shape, names: tuple[str, ...]) -> int:
        """Append a value of a shape and return its number."""
        self.num_values += size_of(shape)
        if self.num_values > _MOST_VALUES:
            self.refuse(names, f"with it the network computes more than {_MOST_VALUES:,} numbers per event")
        self.network.shapes.append(shape)
        return len(self.network.shapes) - 1

    def kind(self, item: dict[str, Any]) -> str:
        """Key of a layer or operation in `LAYERS`, if it is there."""
        name, module = item.get("class_name"), item.get("module")
        if not isinstance(name, str) or not name.isidentifier() or not isinstance(module, str):
            return ""
        for package, modules in self.registered.items():
            if item.get("registered_name") == package + name and f"{module}.".startswith(modules):
                return package + name
        return _LAYER_MODULES[module] + name if module in _LAYER_MODULES else ""

    def layer(
        self, item: dict[str, Any], names: tuple[str, ...], group: str, inputs: list[int]
    ) -> tuple[KerasLayer, Shape]:
        """A layer whose settings are all read, and the shape of its output."""
        kind, settings = self.kind(item), item["config"]
        if kind == "InputLayer":
            self.refuse(names, "is an input in the middle of the network")
        unread = unread_setting(kind, settings)
        if unread is not None:
            self.refuse(
                (*names,), f"its setting {one_line(unread, 50)}={one_line(settings[unread], 100)} is not read ({kind})"
            )
        try:
            shapes = LAYERS[kind].shapes(settings, [self.network.shapes[number] for number in inputs])
        except KeyError as error:
            self.refuse(names, f"its setting {error} is missing ({kind})")
        except ValueError as error:
            self.refuse(names, f"{error} ({kind})")
        if shapes.between > _MOST_BETWEEN:
            self.refuse(names, f"it computes more than {_MOST_BETWEEN:,} numbers per event on the way to its output")
        return KerasLayer(kind, names, group, settings, shapes.parts), shapes.output


class _Node(NamedTuple):
    """A call in a functional network: layer, number of the call, and the calls that give its inputs."""

    layer: dict[str, Any]
    number: int
    sources: list[tuple[str, int] | float]

    @property
    def name(self) -> str:
        return _name(self.layer)


def _name(layer: dict[str, Any]) -> str:
    name: str = layer["config"]["name"]
    return name


def _weight_groups(item: dict[str, Any], layers: list[dict[str, Any]], group: str) -> list[str]:
    """Where the weights of layers are in the file: Keras counts those of a class in their order.

    Sequential networks leave out their input, functional ones the operations.
    """
    counts: dict[str, int] = {}
    groups = []
    for layer in layers:
        kind = _model_class(layer) or layer["class_name"]
        is_left_out = kind == "InputLayer" and _model_class(item) == "Sequential"
        if is_left_out or _LAYER_MODULES.get(layer["module"]) == OPERATION:
            groups.append("")
            continue
        stem = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        number = counts.get(stem, 0)
        counts[stem] = number + 1
        groups.append(f"{group}layers/{stem}_{number}/" if number else f"{group}layers/{stem}/")
    return groups
