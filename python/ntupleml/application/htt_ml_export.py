"""htt-ml's export for lwtnn: three files per model, by the names in the application config."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.application.lwtnn_export import LoadedModel
    from ntupleml.artifacts import TrainedModel
    from ntupleml.config import ApplicationConfig, TrainingConfig
    from ntupleml.lwtnn.export_keras2 import OldLayer

log = logging.getLogger(__name__)

_KEYS = ("weights", "variable_exports", "architecture_exports")


class ExportPaths(NamedTuple):
    """The three files of a model."""

    weights: Path
    variables: Path
    architecture: Path


def export_to_json(
    training_path: str | Path,
    application_path: str | Path,
    *,
    conditional: bool | None = None,
    overwrite: bool = False,
) -> list[ExportPaths]:
    """Write weights (HDF5), variables and architecture (JSON) of each model, all or none.

    As in `classifiers`, element j of the lists is for the model that scores the events of fold j: for two folds,
    element 0 is model 1.

    Parameters
    ----------
    training_path, application_path : path
        The configs; the latter has the keys `weights`, `variable_exports` and `architecture_exports`.
    conditional : bool, optional
        Whether the models take conditions (eras) as inputs; by default as their records say.

    Returns
    -------
    list of ExportPaths
        In the order of the config.

    Raises
    ------
    NtuplemlError
        If a key is missing or has a wrong length, a model is not there, its preprocessing is not linear, or lwtnn's
        own converter could not read its layers.
    """
    from ntupleml.application.lwtnn_export import load, require_lwtnn_form
    from ntupleml.config import ApplicationConfig, TrainingConfig, load_config

    training = load_config(training_path, TrainingConfig)
    application = load_config(application_path, ApplicationConfig)
    paths = _paths(application, training.num_folds, application.where, overwrite)
    models = _models(training, application, training.where, application.where)
    _check_conditions(models, conditional, training.where)
    require_lwtnn_form(models, groups=False)
    with all_or_none():
        for one, files in zip(models, paths, strict=True):
            _export(load(one), training, files, overwrite)
    return paths


def _paths(application: ApplicationConfig, num_folds: int, where: str, overwrite: bool) -> list[ExportPaths]:
    lists = []
    for key in _KEYS:
        names = getattr(application, key)
        if names is None:
            raise NtuplemlError(f"{where}: no key '{key}'; list a file per fold in each of {', '.join(_KEYS)}")
        if len(names) != num_folds:
            raise NtuplemlError(f"{where}: {key} lists {len(names)} files, but the training has {num_folds} folds")
        lists.append([Path(name) for name in names])
    paths = [ExportPaths(*three) for three in zip(*lists, strict=True)]
    every = [path for three in paths for path in three]
    for path in every:
        if every.count(path) > 1:
            raise NtuplemlError(f"{where}: '{path}' is listed for two files; each needs a name of its own")
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    return paths


def _models(
    training: TrainingConfig, application: ApplicationConfig, training_path: str, application_path: str
) -> list[TrainedModel]:
    """Models in the order of the lists."""
    from ntupleml.artifacts import models_by_fold
    from ntupleml.folds import scoring_model

    found = models_by_fold(
        training,
        where=application_path,
        training_path=training_path,
        models=application.classifiers,
        preprocessing=application.preprocessing,
        order="crossed",
    )
    for one in found:
        if one.method.kind != "keras":
            raise NtuplemlError(f"{application_path}: classifiers: '{one.files.model}' is not a Keras network")
    return [found[scoring_model(fold, training.num_folds)] for fold in range(training.num_folds)]


def _check_conditions(models: Sequence[TrainedModel], conditional: bool | None, where: str) -> None:
    conditions = models[0].record.conditions
    if conditional is True and not conditions:
        raise NtuplemlError(f"--conditional: the models of {where} were trained without conditions; leave it out")
    if conditional is False and conditions:
        raise NtuplemlError(
            f"--conditional False: the models of {where} take the conditions {', '.join(conditions)} as inputs; leave "
            "it out"
        )


def _export(loaded: LoadedModel, training: TrainingConfig, paths: ExportPaths, overwrite: bool) -> None:
    from ntupleml.lwtnn.export import scaled_variables
    from ntupleml.lwtnn.export_keras2 import architecture_json, old_layers, write_weights

    record, files = loaded.trained.record, loaded.trained.files
    try:
        layers = old_layers(loaded.model, complement=loaded.complement)
        inputs = [
            {"name": one.name, "offset": one.offset, "scale": one.scale}
            | ({} if one.default is None else {"default": one.default})
            for one in scaled_variables(
                loaded.scalers["variables"], record.variables, conditions=record.conditions, missing=record.missing
            )
        ]
        difference = _difference(loaded, training, layers, inputs)
    except NtuplemlError as error:
        raise NtuplemlError(f"{files.model}: {error}") from None
    variables = {"class_labels": record.classes, "inputs": inputs}
    with replace_file(paths.weights, overwrite=overwrite) as temporary:
        write_weights(temporary, layers)
    with replace_file(paths.variables, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(variables, allow_nan=False, indent=2) + "\n", encoding="utf-8")
    with replace_file(paths.architecture, overwrite=overwrite) as temporary:
        temporary.write_text(architecture_json(layers, loaded.model.name), encoding="utf-8")
    log.info(
        "model %d: %s; what lwtnn's converter makes of them differs from Keras by up to %.2g",
        record.fold,
        ", ".join(map(str, paths)),
        difference,
    )


def _difference(
    loaded: LoadedModel, training: TrainingConfig, layers: Sequence[OldLayer], inputs: Sequence[dict[str, Any]]
) -> float:
    from ntupleml.application.export_events import events_to_compare
    from ntupleml.application.lwtnn_export_check import largest_difference
    from ntupleml.lwtnn.export_keras2 import as_lwtnn_layers

    record = loaded.trained.record
    batch = events_to_compare(training, record, loaded.scalers, training.where).batch
    content = {
        "inputs": [{key: value for key, value in one.items() if key != "default"} for one in inputs],
        "layers": as_lwtnn_layers(layers),
        "outputs": record.classes,
        "defaults": {one["name"]: one["default"] for one in inputs if "default" in one},
    }
    return largest_difference(content, loaded.model, loaded.scalers, batch, missing=record.missing)
