"""Trained models as lwtnn files: what a training config describes, network and preprocessing in one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml import __version__
from ntupleml.artifacts.files import lwtnn_path
from ntupleml.artifacts.members import require_single
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config.inputs import NumbersConfig, ObjectsConfig
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ntupleml.artifacts import TrainedModel
    from ntupleml.config import TrainingConfig
    from ntupleml.lwtnn.export import Variables
    from ntupleml.lwtnn.export_forms import Form
    from ntupleml.lwtnn.network import ObjectList

log = logging.getLogger(__name__)

#: Groups of inputs whose variables lwtnn can take.
_WITH_FORM = (NumbersConfig, ObjectsConfig)


class LoadedModel(NamedTuple):
    """The Keras model of a fold with its preprocessing."""

    trained: TrainedModel
    model: Any
    #: By the names of the groups of inputs.
    scalers: Mapping[str, Any]

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
    folds = chosen_models(fold, config.num_folds, config.where)
    paths = {index: lwtnn_path(config.output_path, index) for index in folds}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    trained = models_by_fold(config, where=config.where, training_path=config.where, only=folds)
    require_lwtnn_form(trained)
    with all_or_none():
        for one in trained:
            _export(load(one), config, paths[one.record.fold], form, overwrite)
    return list(paths.values())


def require_lwtnn_form(models: Sequence[TrainedModel], *, groups: bool = True) -> None:
    """Refuse, before anything is loaded, inputs, targets and preprocessing that are not exported.

    Parameters
    ----------
    groups : bool
        Whether numbers and objects of `inputs` have a form, too; what is made of four-vectors and images have none.
    """
    require_single(models, "no lwtnn form")
    taken = "numbers and objects" if groups else "variables"
    for one in models:
        inputs, target = one.record.inputs or {}, one.record.target.kind
        refused = [name for name, group in inputs.items() if not (groups and isinstance(group, _WITH_FORM))]
        if refused or target != "classes":
            found = f"takes the groups {', '.join(refused)}" if refused else f"learns {target}"
            raise NtuplemlError(
                f"{one.files.model}: {found}; lwtnn files are written of networks that take {taken} and learn classes; "
                "application/export_to_onnx.py writes all"
            )
        if "quantile_transformer" in (one.record.preprocessing, *(group.preprocessing for group in inputs.values())):
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
    from ntupleml.artifacts import load_keras_model
    from ntupleml.events.groups import numbers_of_columns
    from ntupleml.preprocessing import load_scalers

    files = trained.files
    assert files.preprocessing is not None
    scalers = load_scalers(files.preprocessing, numbers_of_columns(trained.record.groups))
    return LoadedModel(trained, load_keras_model(files.model), scalers)


def _export(loaded: LoadedModel, config: TrainingConfig, path: Path, form: Form, overwrite: bool) -> None:
    from ntupleml.application.export_events import events_to_compare
    from ntupleml.application.lwtnn_export_check import as_text, largest_difference

    record, files = loaded.trained.record, loaded.trained.files
    events = events_to_compare(config, record, loaded.scalers, config.where)
    number = len(next(iter(events.batch.values())))
    try:
        content = _described(loaded, form)
        difference = largest_difference(content, loaded.model, loaded.scalers, events.batch, missing=record.missing)
    except NtuplemlError as error:
        raise NtuplemlError(f"{files.model}: {error}") from None
    content["miscellaneous"] |= {
        "largest_difference": f"{difference:.2g}",
        "compared_events": str(number),
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
        number,
        events.kind,
    )


def _described(loaded: LoadedModel, form: Form) -> dict[str, Any]:
    from ntupleml.artifacts import record_hash
    from ntupleml.lwtnn.export import keras_to_lwtnn
    from ntupleml.lwtnn.reading import SCORES

    record = loaded.trained.record
    return keras_to_lwtnn(
        loaded.model,
        _inputs(loaded),
        {SCORES: record.classes} if record.inputs else record.classes,
        form,
        complement=loaded.complement,
        masks=[f"{name}_mask" for name in record.groups],
        objects=_objects(loaded),
        miscellaneous={
            "source": loaded.trained.files.model.name,
            "fold": str(record.fold),
            "record_hash": record_hash(record),
            "written_by": f"ntupleml {__version__}",
        },
    )


def _inputs(loaded: LoadedModel) -> Variables | Mapping[str, Variables]:
    """Variables of each group of inputs, or those that are no group, with their preprocessing."""
    from ntupleml.events.groups import groups_of
    from ntupleml.lwtnn.export import scaled_variables

    record = loaded.trained.record
    conditions, missing = record.conditions, record.missing
    groups: dict[str, Variables] = {
        group.name: scaled_variables(
            loaded.scalers[group.name], group.variables, conditions=conditions, missing=missing
        )
        for group in groups_of(record.groups)
    }
    return groups if record.inputs else groups["variables"]


def _objects(loaded: LoadedModel) -> dict[str, ObjectList]:
    """Which objects are read; empty slots are, too, where no layer takes their mask."""
    from ntupleml.lwtnn.export_tracing import taken_inputs
    from ntupleml.lwtnn.network import ObjectList

    taken = taken_inputs(loaded.model)
    return {
        name: ObjectList(group.length, f"{name}_mask" not in taken, group.selection, group.sort, group.ascending)
        for name, group in loaded.trained.record.groups.items()
        if isinstance(group, ObjectsConfig)
    }
