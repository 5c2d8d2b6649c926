"""Trained models as lwtnn files: what a training config describes, network and preprocessing in one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml import __version__
from ntupleml.artifacts.files import lwtnn_path
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ntupleml.artifacts import TrainedModel
    from ntupleml.config import TrainingConfig
    from ntupleml.lwtnn.export_forms import Form

log = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    """The Keras model of a fold with its preprocessing."""

    trained: TrainedModel
    model: Any
    scaler: Any

    @property
    def complement(self) -> bool:
        """Whether a single output stands for the scores of two classes."""
        return int(self.model.output_shape[-1]) == 1 and len(self.trained.record.classes) == 2


def export_to_lwtnn(config_path: str | Path, fold: str, *, form: Form = "auto", overwrite: bool = False) -> list[Path]:
    """Write the lwtnn files of trained Keras models, all or none, each compared with Keras on events.

    Parameters
    ----------
    config_path : path
        Training config.
    fold : str
        Index of the model, or ``"all"``.
    form : {"auto", "sequential", "graph"}

    Returns
    -------
    list of Path
        `fold{f}_lwtnn.json` in the config's `output_path`.

    Raises
    ------
    NtuplemlError
        If a model is not there or cannot be represented exactly by lwtnn, a file exists, or the exported network does
        not give the scores of Keras.
    """
    from ntupleml.artifacts import models_by_fold
    from ntupleml.config import TrainingConfig, load_config
    from ntupleml.folds import chosen_models

    config = load_config(config_path, TrainingConfig)
    folds = chosen_models(fold, config.num_folds, str(config_path))
    paths = {index: lwtnn_path(config.output_path, index) for index in folds}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    trained = models_by_fold(config, where=str(config_path), training_path=str(config_path), only=folds)
    require_lwtnn_form(trained)
    with all_or_none():
        for one in trained:
            _export(load(one), config, paths[one.record.fold], form, overwrite)
    return list(paths.values())


def require_lwtnn_form(models: Sequence[TrainedModel]) -> None:
    """Refuse, before anything is loaded, inputs, targets and preprocessing that are not exported."""
    for one in models:
        groups, target = one.record.inputs, one.record.target.kind
        if groups or target != "classes":
            found = f"takes the groups {', '.join(groups)}" if groups else f"learns {target}"
            raise NtuplemlError(
                f"{one.files.model}: {found}; lwtnn files are written of networks that take variables and learn "
                "classes; application/export_to_onnx.py writes all"
            )
        if one.record.preprocessing == "quantile_transformer":
            raise NtuplemlError(
                f"{one.files.preprocessing}: preprocessing by a quantile_transformer has no lwtnn form, which shifts "
                "and scales; train with standard_scaler, robust_scaler, min_max_scaler or identity"
            )


def load(trained: TrainedModel) -> LoadedModel:
    """Load network and preprocessing. Imports TensorFlow.

    Raises
    ------
    NtuplemlError
        If one of the files is not there, damaged, or not what it claims to be.
    """
    from ntupleml.artifacts import load_keras_model, load_preprocessing

    files = trained.files
    assert files.preprocessing is not None
    scaler = load_preprocessing(files.preprocessing, len(trained.record.variables))
    return LoadedModel(trained, load_keras_model(files.model), scaler)


def _export(loaded: LoadedModel, config: TrainingConfig, path: Path, form: Form, overwrite: bool) -> None:
    from ntupleml.application.export_events import events_to_compare
    from ntupleml.application.lwtnn_export_check import as_text, largest_difference

    record, files = loaded.trained.record, loaded.trained.files
    events = events_to_compare(config, record, loaded.scaler)
    try:
        content = _described(loaded, form)
        difference = largest_difference(content, loaded.model, loaded.scaler, events.rows, missing=record.missing)
    except NtuplemlError as error:
        raise NtuplemlError(f"{files.model}: {error}") from None
    content["miscellaneous"] |= {
        "largest_difference": f"{difference:.2g}",
        "compared_events": str(len(events.rows)),
    }
    with replace_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(as_text(content), encoding="utf-8")
    log.info(
        "%s: lwtnn's %s form of %s, %d inputs, %d layers; differs from Keras by up to %.2g on %d %s",
        path,
        "graph" if "nodes" in content else "sequential",
        files.model,
        len(record.variables) + len(record.conditions),
        len(content["layers"]),
        difference,
        len(events.rows),
        events.kind,
    )


def _described(loaded: LoadedModel, form: Form) -> dict[str, Any]:
    from ntupleml.artifacts import record_hash
    from ntupleml.lwtnn.export import keras_to_lwtnn, scaled_variables

    record = loaded.trained.record
    return keras_to_lwtnn(
        loaded.model,
        scaled_variables(loaded.scaler, record.variables, conditions=record.conditions, missing=record.missing),
        record.classes,
        form,
        complement=loaded.complement,
        miscellaneous={
            "source": loaded.trained.files.model.name,
            "fold": str(record.fold),
            "record_hash": record_hash(record),
            "written_by": f"ntupleml {__version__}",
        },
    )
