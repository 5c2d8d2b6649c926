"""Trained networks as files of frugally-deep: preprocessing inside, read back and compared with Keras."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from ntupleml import __version__
from ntupleml.application.onnx_export import NUM_CHECKED, difference_from_source
from ntupleml.artifacts import models_by_fold, read_keras_file, record_hash, require_single
from ntupleml.artifacts.files import frugally_deep_path
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config import TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.events.groups import groups_of, numbers_of_columns
from ntupleml.folds import chosen_models
from ntupleml.frugally_deep import keras_to_frugally_deep
from ntupleml.frugally_deep.evaluation import raw_inputs
from ntupleml.frugally_deep.export import scored_event
from ntupleml.frugally_deep.reading import REMARKS, network_of
from ntupleml.preprocessing import load_scalers
from ntupleml.testing.engines import all_scores, frugally_deep_evaluator, reference_evaluator
from ntupleml.testing.held_out_rows import held_out_rows

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ntupleml.artifacts import TrainedModel

log = logging.getLogger(__name__)

#: Events that the file holds with their scores, for the check of `fdeep::load_model`.
_NUM_CASES = 3


def export_to_frugally_deep(config_path: str | Path, fold: str = "all", *, overwrite: bool = False) -> list[Path]:
    """Write the frugally-deep files of trained networks, all or none, each compared with Keras on held-out events.

    Parameters
    ----------
    config_path : path
        Training config.
    fold : str
        Index of the model, or ``"all"``.

    Returns
    -------
    list of Path
        `fold{f}_frugally_deep.json` in the config's `output_path`.

    Raises
    ------
    NtuplemlError
        If a model is not there or frugally-deep has no form of it, a file exists, or the file, read back, does not
        give the scores of Keras.
    """
    config = load_config(config_path, TrainingConfig)
    where = config.where
    folds = chosen_models(fold, config.num_folds, where)
    paths = {index: frugally_deep_path(config.output_path, index) for index in folds}
    for path in paths.values():
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    models = models_by_fold(config, where=where, training_path=where, only=folds)
    require_single(models, "no frugally-deep form")
    contents = [(_described(model), model) for model in models]
    with all_or_none():
        for content, model in contents:
            path = paths[model.record.fold]
            checked = _checked(content, model, config, path, where)
            with replace_file(path, overwrite=overwrite) as temporary:
                temporary.write_text(json.dumps(checked, allow_nan=False, separators=(",", ":")), encoding="utf-8")
    return list(paths.values())


def _described(model: TrainedModel) -> dict[str, Any]:
    """The network and its preprocessing."""
    record, preprocessing = model.record, model.files.preprocessing
    assert preprocessing is not None
    return keras_to_frugally_deep(
        read_keras_file(model.files.model),
        record.outputs,
        groups_of(record.groups, record.missing),
        load_scalers(preprocessing, numbers_of_columns(record.groups)),
        target=record.target,
        conditions=record.conditions,
        remarks={
            "source": model.files.model.name,
            "fold": record.fold,
            "record_hash": record_hash(record),
            "written_by": f"ntupleml {__version__}",
        },
    )


def _checked(
    content: dict[str, Any], model: TrainedModel, config: TrainingConfig, path: Path, where: str
) -> dict[str, Any]:
    """The content with some events and their scores, and with its largest difference from Keras."""
    record = model.record
    rows = held_out_rows(config, record, NUM_CHECKED, where)
    if not len(rows):
        raise NtuplemlError(f"{path}: the held-out fold of model {record.fold} has no events to check it on")
    network, source = network_of(content, str(path)), reference_evaluator(model)
    found = all_scores(frugally_deep_evaluator(network, record.missing), rows)
    difference = difference_from_source(found, source, rows, record.target.units, path)
    cases = rows.batch(slice(0, _NUM_CASES))
    inputs = raw_inputs(network, cases, record.missing)
    assert source.evaluator is not None
    scores = source.evaluator.evaluate(cases)
    log.info(
        "%s: frugally-deep's form of %s, inputs %s; differs from %s by up to %.2g on %d held-out events",
        path,
        model.files.model,
        ", ".join(f"{name} {list(array.shape[1:])}" for name, array in inputs.items()),
        source.name,
        difference,
        len(rows),
    )
    if record.missing is not None:
        log.warning(
            "%s: frugally-deep has no layer that replaces NaN and infinite inputs: put %g in their place before",
            path,
            record.missing,
        )
    check = {"events": len(rows), "largest_difference": difference}
    tests = [
        scored_event([array[number] for array in inputs.values()], scores[number]) for number in range(len(scores))
    ]
    return {**content, "tests": tests, REMARKS: {**content[REMARKS], "check": check}}
