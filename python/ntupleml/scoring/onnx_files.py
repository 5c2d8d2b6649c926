"""The ONNX file of a trained model: checked against the record, or made from the model where it is not there."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.artifacts import (
    OnnxCheck,
    TrainingRecord,
    load_keras_model,
    model_files,
    read_keras_file,
    record_hash,
    sha256_of_file,
    write_record,
)
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of, makers_of
from ntupleml.scoring.evaluators import Evaluator, session_evaluator
from ntupleml.scoring.forest_engine import forest_of_file
from ntupleml.scoring.onnx_sessions import FileSession
from ntupleml.targets import IMAGE_OUTPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx
    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.artifacts.keras_network import KerasNetwork
    from ntupleml.events.groups import InputGroup

log = logging.getLogger(__name__)

#: Events on which a new graph is checked, values of theirs at most, and objects where there may be any number.
_NUM_CHECKED, _NUM_VALUES, _NUM_OBJECTS = 10_000, 10_000_000, 10


def open_graph(model: TrainedModel, threads: int, *, with_image: bool = False) -> Evaluator:
    """Evaluator of a model's ONNX file, or of the graph made from the model where there is none.

    That of a Keras model is made and written once; that of a forest, which takes seconds at most, is not kept.

    Parameters
    ----------
    threads : int
        Of ONNX Runtime.
    with_image : bool
        Give the pixels of an image that was learnt behind the scores.

    Raises
    ------
    NtuplemlError
        If the file is not the one that its record describes, or there is neither an ONNX file nor a model.
    """
    session = FileSession(graph_content(model), str(model.files.onnx), threads, of_training=True)
    _check_metadata(session, model)
    return session_evaluator(session, IMAGE_OUTPUT if with_image else None)


def graph_content(model: TrainedModel) -> bytes:
    """Content of a model's ONNX file, or of the graph made from the model; as `open_graph`."""
    if model.files.onnx.exists():
        _require_checksum(model)
        return model.files.onnx.read_bytes()
    if model.record.ensemble is not None:
        raise NtuplemlError(
            f"{model.files.onnx}: no such file, which holds the ensemble; start its training again: members that are "
            "there are taken"
        )
    if model.files.model.suffix in (".json", ".npz", ".txt"):
        return _forest_graph(model)
    return _make(model)


def _require_checksum(model: TrainedModel) -> None:
    checksum = model.record.sha256.get(_name(model))
    if checksum is not None and sha256_of_file(model.files.onnx) != checksum:
        raise NtuplemlError(
            f"{model.files.onnx}: not the file that the training wrote: its checksum differs from that in "
            f"{model.files.record}; delete it, and it is made anew from the {_source(model)}"
        )


def _name(model: TrainedModel) -> str:
    """Key of the ONNX file in the record's checksums: its name at the time of the training."""
    return model_files("", model.record.fold, model.method).onnx.name


def _source(model: TrainedModel) -> str:
    return "Keras model" if model.files.model.suffix == ".keras" else "model"


def _check_metadata(session: Any, model: TrainedModel) -> None:
    """Refuse a graph that is not the one its record describes."""
    path, record = model.files.onnx, model.record
    text = session.get_modelmeta().custom_metadata_map.get("ntupleml")
    try:
        description = json.loads(text or "null")
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict):
        raise NtuplemlError(f"{path}: not written by ntupleml: it has no description of its inputs; train again")
    for key, found, wanted in (
        ("variables", description.get("variables"), _variables(record)),
        ("classes", description.get("classes"), record.outputs),
        ("missing", description.get("missing"), record.missing),
        ("record_hash", description.get("record_hash"), record_hash(record)),
    ):
        if found != wanted:
            raise NtuplemlError(
                f"{path}: is not of the training that {model.files.record} records: {key} is {found}, not {wanted}; "
                f"delete it, and it is made anew from the {_source(model)}"
            )
    inputs = [(value.name, value.shape[1:]) for value in session.get_inputs()]
    outputs = [(value.name, value.shape[1:]) for value in session.get_outputs()]
    # A method of TMVA for two classes gives one value.
    allowed = [[("scores", [len(record.outputs)])]] + ([[("scores", [1])]] if len(record.outputs) == 2 else [])
    if record.target.image is not None:
        allowed = [[*allowed[0], (IMAGE_OUTPUT, [*record.target.image.bins])]]
    if record.ensemble is not None:
        width, number = len(record.outputs), len(record.ensemble.members)
        allowed = [[one[0], ("spread", [width]), ("members", [number, width]), *one[1:]] for one in allowed]
    if not _takes(dict(inputs), record) or outputs not in allowed:
        raise NtuplemlError(
            f"{path}: damaged: its inputs and outputs are {inputs + outputs}; delete it, and it is made anew"
        )


def _variables(record: TrainingRecord) -> dict[str, list[str]]:
    """What the columns of each input are."""
    return {group.name: [*group.variables, *record.conditions] for group in groups_of(record.groups)}


def _takes(shapes: Mapping[str, Sequence[Any]], record: TrainingRecord) -> bool:
    """Whether inputs of a graph are those of a record; how many channels a column has, a record does not say."""
    groups = groups_of(record.groups)
    if set(shapes) != {*_variables(record), *(f"{group.name}_length" for group in groups if group.objects is not None)}:
        return False
    for group in groups:
        shape = list(shapes[group.name])
        rank = 3 if group.image is not None else 2 if group.objects is not None or group.slots else 1
        is_column = group.image is not None and not group.image.eta
        width = len(group.variables) + len(record.conditions)
        is_filled = not group.slots or shape[0] == group.num_slots
        if len(shape) != rank or not is_filled or not (is_column or shape[-1] == width):
            return False
    return True


def _forest_graph(model: TrainedModel) -> bytes:
    """Graph of a model of XGBoost or LightGBM, or of a forest in our own format."""
    from ntupleml.onnx_models.forest import forest_to_onnx

    path, record = model.files.model, model.record
    forest = forest_of_file(path)
    if forest is None:
        raise NtuplemlError(f"{model.files.onnx}: no such file, nor '{path}' to make it from; train again")
    names = record.classes if forest.num_outputs == len(record.classes) else record.classes[1:]
    graph = forest_to_onnx(
        forest,
        record.variables,
        names,
        kind=record.engine,
        classes=record.classes,
        dtype=np.float32,
        missing=record.missing,
        conditions=record.conditions,
        record_hash=record_hash(record),
        description=record.description_of_matrix,
    )
    content: bytes = graph.SerializeToString()
    return content


def _make(model: TrainedModel) -> bytes:
    """Convert the Keras model, and keep the result beside it where that is possible."""
    from ntupleml.onnx_models.convert import graph_of_record
    from ntupleml.onnx_models.sessions import check_against_keras

    files, record = model.files, model.record
    for path in (files.model, files.preprocessing):
        if path is None or not path.exists():
            raise NtuplemlError(f"{files.onnx}: no such file, nor '{path}' to make it from; train again")
    assert files.preprocessing is not None
    log.info("%s is not there; making it from %s", files.onnx, files.model)
    file = read_keras_file(files.model)
    graph, scalers = graph_of_record(file, files.preprocessing, record)
    batch = _typical_batch(scalers, file.network, record)
    difference = check_against_keras(
        graph,
        load_keras_model(file),
        scalers,
        batch,
        missing=record.missing,
        target=record.target,
        makers=makers_of(record.groups),
    )
    check = OnnxCheck(events=len(next(iter(batch.values()))), largest_difference=difference)
    _keep(model, graph, check)
    content: bytes = graph.SerializeToString()
    return content


def _typical_batch(
    scalers: Mapping[str, Any], network: KerasNetwork, record: TrainingRecord
) -> dict[str, NDArray[Any]]:
    """Inputs that the scalers map to a normal distribution: no events are at hand when only scores are wanted."""
    random = np.random.default_rng(record.seed)
    groups = groups_of(record.groups)
    # a network of one matrix may call it as it likes
    known = network.inputs if len(groups) > 1 or groups[0].objects or groups[0].image else {}
    shapes = {group.name: known.get(group.name, (len(group.variables),)) for group in groups}
    shapes |= {group.name: (group.num_slots, len(group.variables)) for group in groups if group.slots}
    sizes = {name: [size or _NUM_OBJECTS for size in shape] for name, shape in shapes.items()}
    number = min(_NUM_CHECKED, max(_NUM_VALUES // sum(map(math.prod, sizes.values())), 1))
    batch: dict[str, NDArray[Any]] = {}
    for group in groups:
        size = [*sizes[group.name][:-1], len(group.variables)] if group.collections else sizes[group.name]
        if group.collections or group.slots:
            raw = _typical_objects(group, number * size[0], random)
            if group.slots:  # some are empty
                raw *= random.random((len(raw), 1)) < 0.7
        else:
            numbers = random.normal(size=(number * math.prod(size[:-1]), size[-1]))
            raw = scalers[group.name].inverse_transform(numbers)
        batch[group.name] = raw.reshape(number, *size).astype(np.float32)
        if group.objects is not None:
            batch[f"{group.name}_length"] = random.integers(0, size[0] + 1, number)
    if record.conditions:
        one_hot = np.eye(len(record.conditions))[random.integers(0, len(record.conditions), number)]
        (name,) = batch
        batch[name] = np.concatenate([batch[name], one_hot], axis=1).astype(np.float32)
    return batch


def _typical_objects(group: InputGroup, number: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Raw columns of objects with four-vectors as collisions have them, in GeV."""
    pt, mass = random.lognormal(4, 1, number), random.exponential(10, number)
    eta, phi = random.normal(0, 1.5, number), random.uniform(-math.pi, math.pi, number)
    known = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "energy": np.hypot(pt * np.cosh(eta), mass)}
    known["type"] = random.integers(0, max(len(group.collections), 1), number)
    return np.stack([known[name] if name in known else random.normal(size=number) for name in group.variables], axis=1)


def _keep(model: TrainedModel, graph: onnx.ModelProto, check: OnnxCheck) -> None:
    """Write the ONNX file, and its checksum into the record.

    The record loses its old checksum first: a kill in between leaves a pair that is still good.
    """
    from ntupleml.onnx_models.files import write_onnx

    files, record = model.files, model.record
    name = _name(model)
    others = {key: value for key, value in record.sha256.items() if key != name}
    try:
        if name in record.sha256:
            write_record(files.record, record.model_copy(update={"sha256": others}), overwrite=True)
        write_onnx(files.onnx, graph, overwrite=True)
        update = {"sha256": {**others, name: sha256_of_file(files.onnx)}, "onnx_check": check}
        write_record(files.record, record.model_copy(update=update), overwrite=True)
    except NtuplemlError as error:
        log.warning("the ONNX file is used but not kept: %s", error)
