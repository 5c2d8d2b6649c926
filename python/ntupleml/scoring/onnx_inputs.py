"""How the inputs of an ONNX file are filled: by the config, by our own description in the file, or by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from ntupleml.config.blocks import OnnxConfig, OnnxInputConfig
from ntupleml.config.inputs import InputsConfig, matrix_of
from ntupleml.errors import NtuplemlError, did_you_mean, one_line
from ntupleml.events.groups import Image, InputGroup, Objects, groups_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.config.inputs import GroupConfig
    from ntupleml.scoring.onnx_graphs import OnnxGraph, Port

#: Name under which a scorer gives the event numbers; no input of a graph is called so.
EVENT = "<event number>"


class Feed(NamedTuple):
    """What one input of a graph gets."""

    port: Port
    #: Group of variables; for the event number unused.
    source: str
    #: The values of the group, the number of its objects, 1 where there is an object, or the event number.
    kind: Literal["values", "lengths", "mask", "event"]
    #: Whether objects come last.
    transposed: bool = False


class InputPlan(NamedTuple):
    """Groups of variables to read, the part that each input gets, and the fixed batch size, if any."""

    groups: list[InputGroup]
    feeds: list[Feed]
    fixed_batch: int | None

    @property
    def takes_event(self) -> bool:
        """Whether the event number is an input."""
        return any(feed.kind == "event" for feed in self.feeds)


class _Wanted(NamedTuple):
    """What is said of an input before its shape is known."""

    variables: tuple[str, ...]
    config: OnnxInputConfig | None
    sequence: bool
    constants: tuple[float, ...] = ()
    lengths: str | None = None
    group: InputGroup | None = None


def plan_inputs(
    graph: OnnxGraph,
    config: OnnxConfig,
    variables: Sequence[str] | None,
    where: str,
    condition: Mapping[str, float] | None = None,
) -> InputPlan:
    """Say how each input of a graph is filled.

    Parameters
    ----------
    config : OnnxConfig
        Its `inputs`; left out: what ntupleml wrote into the file, else the variables of the training for the only
        input, else one branch for each input, of its name.
    variables : sequence of str or None
        Those of the training config.
    condition : mapping of str to float, optional
        Values of the inputs that stand for conditions (eras), which follow the variables of our own files.

    Raises
    ------
    NtuplemlError
        If an input is not there (with the nearest names), is left unfilled, or has another type or shape.
    """
    event = config.event or graph.description.get("event")
    wanted = _wanted(graph, config, variables, event, condition or {})
    groups: list[InputGroup] = []
    feeds: list[Feed] = []
    missing = config.missing if isinstance(config.missing, float) else None
    for name, one in wanted.items():
        place = f"{where}: onnx: inputs: {name}" if config.inputs is not None else f"{where}: input '{name}'"
        port = _port(graph, name, place)
        group, more = _bound(graph, port, one, place, missing)
        groups.append(group)
        feeds += more
    if event is not None:
        feeds.append(Feed(_event_port(graph, str(event), where), "", "event"))
    _require_all(graph, feeds, where)
    return InputPlan(groups, feeds, _fixed_batch(graph, where))


def _wanted(
    graph: OnnxGraph,
    config: OnnxConfig,
    variables: Sequence[str] | None,
    event: Any,
    condition: Mapping[str, float],
) -> dict[str, _Wanted]:
    if config.inputs is not None:
        return {
            name: _Wanted(tuple(one.variables), one, _is_sequence(one), lengths=one.lengths)
            for name, one in config.inputs.items()
        }
    described = graph.description.get("variables")
    if "inputs" in graph.description:
        groups = _groups_in(graph, "inputs")
        return {
            name: _Wanted(group.variables, None, group.objects is not None, group=group)
            for name, group in groups.items()
        }
    if "matrix" in graph.description:
        ((name, names),) = dict(described or {}).items()
        own = _described(name, list(names), graph, condition)
        group = _groups_in(graph, "matrix")["variables"]._replace(constants=own.constants)
        return {name: own._replace(group=group)}
    if isinstance(described, dict) and described:
        return {name: _described(name, list(names), graph, condition) for name, names in described.items()}
    open_inputs = [name for name in graph.inputs if name != event]
    if variables is not None and len(open_inputs) == 1:
        return {open_inputs[0]: _Wanted(tuple(variables), None, sequence=False)}
    return {name: _Wanted((name,), None, sequence=False) for name in open_inputs}


def _groups_in(graph: OnnxGraph, key: Literal["inputs", "matrix"]) -> dict[str, InputGroup]:
    """Groups of inputs of our own files with objects or images, or with numbers that are made of objects."""
    missing = graph.description.get("missing")
    try:
        groups: Mapping[str, GroupConfig] = TypeAdapter(InputsConfig).validate_python(graph.description[key])
        if key == "matrix":
            groups = {"variables": matrix_of(groups)}
        return {group.name: group for group in groups_of(groups, None if missing is None else float(missing))}
    except (TypeError, ValueError) as error:
        raise NtuplemlError(f"{graph.path}: its description of the inputs is damaged: {one_line(error)}") from None


def _is_sequence(one: OnnxInputConfig) -> bool:
    return bool(one.length or one.lengths or one.mask or one.sort)


def _described(name: str, names: list[str], graph: OnnxGraph, condition: Mapping[str, float]) -> _Wanted:
    """An input of our own files, whose description says what it takes."""
    conditions = list(graph.description.get("conditions") or [])
    constants: tuple[float, ...] = ()
    if conditions and names[-len(conditions) :] == conditions:
        names = names[: -len(conditions)]
        constants = tuple(condition.get(one, 0.0) for one in conditions)
    expressions = graph.description.get("expressions")  # of TMVA's variables, whose names are no formulas
    if isinstance(expressions, list) and len(expressions) == len(names):
        names = [str(text) for text in expressions]
    sequence = name in (graph.description.get("sequences") or [])
    return _Wanted(tuple(names), None, sequence, constants, f"{name}_length" if sequence else None)


def _port(graph: OnnxGraph, name: str, where: str) -> Port:
    if name not in graph.inputs:
        raise NtuplemlError(f"{where}: {graph.path} has no input '{name}'{did_you_mean(name, graph.inputs)}")
    return graph.inputs[name]


def _event_port(graph: OnnxGraph, name: str, where: str) -> Port:
    port = _port(graph, name, f"{where}: onnx: event")
    if port.type != "tensor(int64)" or any(size not in (None, 1) for size in port.shape):
        raise NtuplemlError(f"{where}: onnx: event: input {port} takes no event number, which is an int64 per event")
    return port


def _bound(
    graph: OnnxGraph, port: Port, wanted: _Wanted, where: str, missing: float | None
) -> tuple[InputGroup, list[Feed]]:
    """Group of variables for an input, checked against its shape, and what else is made of it."""
    dtype = port.dtype(where)
    if wanted.group is not None:
        return _bound_group(graph, port, wanted.group, where)
    constants = wanted.constants
    if not (wanted.sequence or len(port.shape) == 3):
        _require_row(port, len(wanted.variables) + len(constants), where)
        group = InputGroup(port.name, wanted.variables, dtype, None, constants, missing)
        return group, [Feed(port, port.name, "values")]
    config = wanted.config or OnnxInputConfig(variables=list(wanted.variables))
    length = _object_length(port, config, where)
    objects = Objects(length, config.padding, config.sort, config.ascending)
    feeds = [Feed(port, port.name, "values", config.transposed)]
    if wanted.lengths is not None:
        lengths = _port(graph, wanted.lengths, f"{where}: lengths")
        feeds.append(Feed(lengths, port.name, "lengths"))
    if config.mask is not None:
        feeds.append(Feed(_port(graph, config.mask, f"{where}: mask"), port.name, "mask"))
    return InputGroup(port.name, wanted.variables, dtype, objects, constants, missing), feeds


def _bound_group(graph: OnnxGraph, port: Port, group: InputGroup, where: str) -> tuple[InputGroup, list[Feed]]:
    """An input of our own files, whose group is described."""
    rank = 4 if group.image is not None else 3 if group.objects is not None or group.slots else 2
    is_column = group.image is not None and not group.image.eta
    is_filled = not group.slots or port.shape[1] == group.num_slots
    width = len(group.variables) + len(group.constants)
    if len(port.shape) != rank or not is_filled or not (is_column or port.shape[-1] == width):
        raise NtuplemlError(f"{where}: input {port} of {graph.path} does not fit its description; export it again")
    if is_column:
        group = group._replace(image=Image(bins=tuple(size or 0 for size in port.shape[1:3])))
    feeds = [Feed(port, port.name, "values")]
    if group.objects is not None:
        feeds.append(Feed(_port(graph, f"{port.name}_length", where), port.name, "lengths"))
    return group, feeds


def _require_row(port: Port, number: int, where: str) -> None:
    """One number per variable: of shape (events, variables), or (events,) for one variable."""
    if len(port.shape) > 3:
        raise NtuplemlError(f"{where}: input {port} is of more dimensions than events × objects × variables")
    width = port.shape[1] if len(port.shape) == 2 else (1 if len(port.shape) == 1 else None)
    if width is not None and width != number:
        hint = "; name all of them, or the length of the array for a vector of objects" if number == 1 else ""
        raise NtuplemlError(
            f"{where}: input {port} takes {width} {'number' if width == 1 else 'numbers'} per event, but {number} "
            f"{'variable is' if number == 1 else 'variables are'} named{hint}"
        )


def _object_length(port: Port, config: OnnxInputConfig, where: str) -> int | None:
    """Number of objects of an array; None if it may vary."""
    number = len(config.variables)
    if len(port.shape) == 2:
        if number != 1:
            raise NtuplemlError(f"{where}: input {port} has one number per object, but {number} variables are named")
        fixed, width = port.shape[1], None
    elif len(port.shape) == 3:
        fixed, width = port.shape[1], port.shape[2]
        if config.transposed:
            fixed, width = width, fixed
    else:
        raise NtuplemlError(f"{where}: input {port} is no array of objects: events × objects × variables")
    if width is not None and width != number:
        hint = "; set transposed: true if the objects come last" if fixed == number and not config.transposed else ""
        raise NtuplemlError(f"{where}: input {port} takes {width} variables per object, but {number} are named{hint}")
    if config.length is not None and fixed is not None and config.length != fixed:
        raise NtuplemlError(f"{where}: length: {config.length}, but input {port} takes {fixed} objects per event")
    return config.length if fixed is None else fixed


def _require_all(graph: OnnxGraph, feeds: Sequence[Feed], where: str) -> None:
    filled = [feed.port.name for feed in feeds]
    twice = sorted({name for name in filled if filled.count(name) > 1})
    if twice:
        raise NtuplemlError(f"{where}: onnx: input '{twice[0]}' of {graph.path} is filled twice; name it once")
    left = [port for name, port in graph.inputs.items() if name not in filled]
    if left:
        raise NtuplemlError(
            f"{where}: onnx: inputs: nothing is given to input {left[0]} of {graph.path}"
            + (f" (and {len(left) - 1} more)" if len(left) > 1 else "")
            + "; name its variables"
        )


def _fixed_batch(graph: OnnxGraph, where: str) -> int | None:
    """Number of events that a graph takes at a time, where it is fixed."""
    sizes = {port.shape[0] for port in graph.inputs.values() if port.shape and port.shape[0] is not None}
    if len(sizes) > 1:
        found = ", ".join(map(str, graph.inputs.values()))
        raise NtuplemlError(f"{where}: the inputs of {graph.path} are of different numbers of events: {found}")
    return sizes.pop() if sizes else None


def input_array(feed: Feed, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Array for one input of a graph, from those that a scorer gives.

    Parameters
    ----------
    arrays : mapping of str to array
        See `ntupleml.scoring.evaluators.Evaluator`.
    """
    if feed.kind == "event":
        values = arrays[EVENT]
        return values[:, None] if len(feed.port.shape) == 2 else values
    if feed.kind == "lengths":
        values = arrays[f"{feed.source}_length"].astype(feed.port.dtype(""))
        return values[:, None] if len(feed.port.shape) == 2 else values
    if feed.kind == "mask":
        steps = np.arange(arrays[feed.source].shape[1])
        return np.asarray(steps < arrays[f"{feed.source}_length"][:, None]).astype(feed.port.dtype(""))
    values = arrays[feed.source]
    if values.ndim == 3 and len(feed.port.shape) == 2:
        values = values[:, :, 0]
    elif values.ndim == 3 and feed.transposed:
        values = values.transpose(0, 2, 1)
    elif len(feed.port.shape) == 1:
        values = values[:, 0]
    return np.ascontiguousarray(values)
