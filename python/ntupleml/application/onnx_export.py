"""Trained models as ONNX files for other programs: per fold or all folds in one, in any operator set, checked."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from ntupleml.artifacts import OnnxCheck, default_method_name, methods_by_fold, models_by_fold, record_hash
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config import TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import chosen_models, scoring_model
from ntupleml.onnx_models.contract import INPUT, OUTPUT, PROPERTY
from ntupleml.onnx_models.convert import DTYPES, convert
from ntupleml.onnx_models.files import all_folds_path, exported_path
from ntupleml.onnx_models.graph import OPSET
from ntupleml.onnx_models.graph_forms import all_folds_model, with_opset
from ntupleml.testing.engines import all_scores, evaluator_of_export, reference_evaluator
from ntupleml.testing.held_out_rows import held_out_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel, TrainingRecord
    from ntupleml.events.values import InputValues
    from ntupleml.testing.engines import Form

log = logging.getLogger(__name__)

#: Held-out events on which an export is compared with its source, and the largest difference of a score, in units of
#: the largest score, before it counts as wrong.
NUM_CHECKED, TOLERANCE = 5_000, 1e-4


def export_to_onnx(
    training_path: str | Path,
    fold: str = "all",
    *,
    single: bool = False,
    opset: int = OPSET,
    dtype: str = "float32",
    method: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the ONNX files of trained models, all or none, each compared with its source on held-out events.

    Parameters
    ----------
    training_path : path
        Training config.
    fold : str
        Index of the model, or `all`.
    single : bool, default: False
        One file for all folds, which takes the event number as a second input, in place of one per fold.
    opset : int
        ONNX operator set, from 13 to 23.
    dtype : {"float32", "float64"}
        Type of inputs and scores; Keras networks are float32.
    method : str, optional
        Method of the training config; by default its network.
    output : path, optional
        Folder of the files, in place of the training's `output_path`.

    Returns
    -------
    list of Path
        `fold{f}_{method}_export.onnx`, or `all_folds_{method}_export.onnx`.

    Raises
    ------
    NtuplemlError
        If a model is not there or has no such form, a file exists, or an export does not give the scores of its
        source.
    """
    config = load_config(training_path, TrainingConfig)
    where = config.where
    folds = chosen_models(fold, config.num_folds, where)
    if single and len(folds) < config.num_folds:
        raise NtuplemlError(f"--single: one file holds the models of all folds; give 'all' in place of '{fold}'")
    name = method or default_method_name(config, "keras", where)
    methods = methods_by_fold(config, name, "--method" if method else where)
    folder = Path(config.output_path if output is None else output)
    paths = [exported_path(folder, index, methods[index].name) for index in folds]
    if single:
        paths = [all_folds_path(folder, name)]
    for path in paths:
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    models = models_by_fold(config, where=where, training_path=where, only=folds, method=methods)
    if single and models[0].record.inputs and not models[0].record.matrix:
        raise NtuplemlError(
            f"{where}: --single: joins networks of variables, but this one takes the groups "
            f"{', '.join(models[0].record.inputs)}; leave it out for a file per fold"
        )
    graphs = [_graph(model, opset, DTYPES[dtype]) for model in models]
    if single:
        by_fold = [scoring_model(event_fold, config.num_folds) for event_fold in range(config.num_folds)]
        joined = all_folds_model([graphs[index] for index in by_fold], _description_of_all(models, graphs))
        contents = [_checked(joined, models, config, paths[0], where)]
    else:
        contents = [
            _checked(graph, [model], config, path, where)
            for graph, model, path in zip(graphs, models, paths, strict=True)
        ]
    with all_or_none():
        for path, content in zip(paths, contents, strict=True):
            with replace_file(path, overwrite=overwrite) as temporary:
                temporary.write_bytes(content)
            log.info("%s: %s, operator set %d, %s, %.1f kB", path, name, opset, dtype, len(content) / 1000)
    return paths


def _graph(model: TrainedModel, opset: int, dtype: type[np.generic]) -> onnx.ModelProto:
    """Graph of one model, described by its record."""
    graph, record = _own_graph(model, dtype), model.record
    description = read_description(graph)
    described = {
        **description,
        **(
            {}
            if record.inputs and not record.matrix
            else {"variables": {INPUT: [*record.variables, *record.conditions]}}
        ),
        **record.description_of_matrix,
        "outputs": [value.name for value in graph.graph.output],
        "classes": list(record.outputs),
        "kind": description["kind"],
        "preprocessing": record.preprocessing,
        "conditions": list(record.conditions),
        "missing": record.missing,
        "record_hash": record_hash(record),
        "training": {
            "method": record.method,
            "fold": record.fold,
            "held_out_fold": record.held_out_fold,
            "num_folds": record.num_folds,
            "trained_on": list(record.trained_on),
            **_division(record),
            "folds_recorded": record.folds_recorded,
        },
    }
    helper.set_model_props(graph, {PROPERTY: json.dumps(described)})
    return with_opset(graph, opset, str(model.files.model))


def _division(record: TrainingRecord) -> dict[str, Any]:
    """What decides the fold."""
    table = {} if record.fold_file is None else {"fold_file": record.fold_file.model_dump()}
    return {
        "event_branch": record.event_branch,
        **({"fold_by": record.fold_by} if record.fold_by else {}),
        **table,
    }


def _own_graph(model: TrainedModel, dtype: type[np.generic]) -> onnx.ModelProto:
    """Graph made from the model's file, or that file itself where it has no other form."""
    path = model.files.model
    if path.suffix != ".onnx":
        return convert(path, dtype)
    if dtype != np.float32:
        raise NtuplemlError(f"{path}: takes and gives float32; export it with --dtype float32")
    if not path.exists():
        raise NtuplemlError(f"{path}: no such file")
    return onnx.load_model(path)


def read_description(graph: onnx.ModelProto) -> dict[str, Any]:
    """What ntupleml wrote into the metadata of a graph."""
    (text,) = [item.value for item in graph.metadata_props if item.key == PROPERTY]
    content: dict[str, Any] = json.loads(text)
    return content


def _description_of_all(models: Sequence[TrainedModel], graphs: Sequence[onnx.ModelProto]) -> dict[str, Any]:
    """That of the first, without what is of one fold."""
    description = read_description(graphs[0])
    first = models[0].record
    del description["record_hash"]
    return {
        **description,
        "outputs": [OUTPUT],
        "record_hashes": [record_hash(model.record) for model in models],
        "training": {
            "method": first.method,
            "held_out_fold": None,
            "num_folds": first.num_folds,
            "trained_on": list(range(first.num_folds)),
            **_division(first),
            "folds_recorded": all(model.record.folds_recorded for model in models),
        },
    }


def _checked(
    graph: onnx.ModelProto, models: Sequence[TrainedModel], config: TrainingConfig, path: Path, where: str
) -> bytes:
    """The file, with the largest difference from its sources in its metadata."""
    content: bytes = graph.SerializeToString()
    checks = [_compared(content, model, config, path, where) for model in models]
    description = read_description(graph)
    description["check"] = {
        "events": sum(check.events for check in checks),
        "largest_difference": max(check.largest_difference for check in checks),
    }
    helper.set_model_props(graph, {PROPERTY: json.dumps(description)})
    content = graph.SerializeToString()
    return content


def _compared(content: bytes, model: TrainedModel, config: TrainingConfig, path: Path, where: str) -> OnnxCheck:
    rows = held_out_rows(config, model.record, NUM_CHECKED, where)
    if not len(rows):
        raise NtuplemlError(f"{path}: the held-out fold of model {model.record.fold} has no events to check it on")
    source = reference_evaluator(model)
    found = all_scores(evaluator_of_export(path, model, content), rows)
    difference = difference_from_source(found, source, rows, model.record.target.units, path)
    log.info(
        "model %d: ONNX and %s agree within %.2g on %d held-out events",
        model.record.fold,
        source.name,
        difference,
        len(rows),
    )
    return OnnxCheck(events=len(rows), largest_difference=difference)


def difference_from_source(
    found: NDArray[np.float64], source: Form, rows: InputValues, units: NDArray[np.float64], path: Path
) -> float:
    """Largest difference of an export's scores from those of what it was made from, in units of each value.

    Raises
    ------
    NtuplemlError
        If it is above 1e-4 of the largest score: then the path is not to be written.
    """
    assert source.evaluator is not None
    expected = all_scores(source.evaluator, rows)
    difference = float((np.abs(found - expected) / units).max())
    if not difference <= TOLERANCE * float((np.abs(expected) / units).max()):
        raise NtuplemlError(
            f"{path}: not written: its scores differ from those of {source.name} by up to {difference:.2g} on "
            f"{len(rows)} held-out events; please report it"
        )
    return difference
