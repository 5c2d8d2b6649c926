"""Trained models as a folder that speaks for itself: ONNX files, records, a README, examples in Python and C++."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx

from ntupleml.application.card_inputs import card_inputs, input_ranges
from ntupleml.application.onnx_export import export_to_onnx
from ntupleml.artifacts import default_method_name, methods_by_fold, models_by_fold
from ntupleml.atomic import all_or_none, replace_file, scratch_folder
from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import rule_of
from ntupleml.metrics import Measurement, Undefined
from ntupleml.metrics.number_texts import count_text, measurement_text, number_text
from ntupleml.onnx_models.contract import PROPERTY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.application.card_inputs import CardInput, InputRange
    from ntupleml.artifacts import TrainedModel, TrainingRecord
    from ntupleml.folds import FoldRule

log = logging.getLogger(__name__)

README = "README.md"
#: What is made from templates.
_TEMPLATES = ("score_events.py", "score_events.cpp", README)


def write_model_card(
    training_path: str | Path,
    testing_path: str | Path | None = None,
    *,
    method: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a folder with the models of all folds, ready to be given away.

    Parameters
    ----------
    training_path : path
        Training config.
    testing_path : path, optional
        Testing config, by which the models are tested; without it the card has no areas under ROC curves.
    method : str, optional
        Method of the training config; by default its network.
    output : path, optional
        The folder; by default ``{method}_models`` in the training's `output_path`.

    Returns
    -------
    Path
        The folder. Its files are all there, or, if anything fails, none.

    Raises
    ------
    NtuplemlError
        For models that are not there or have no ONNX form, and files that exist.
    """
    config = load_config(training_path, TrainingConfig)
    where = str(training_path)
    name = method or default_method_name(config, "keras", where)
    folder = Path(config.output_path) / f"{name.replace('{fold}', '')}_models" if output is None else Path(output)
    if not overwrite and (folder / README).exists():
        raise NtuplemlError(f"{folder / README}: exists already; give --overwrite to replace it")
    methods = methods_by_fold(config, name, "--method" if method else where)
    models = models_by_fold(config, where=where, training_path=where, method=methods)
    contents: dict[str, bytes] = {}
    with scratch_folder() as scratch:
        paths = export_to_onnx(training_path, method=method, output=scratch)
        contents |= {path.name: path.read_bytes() for path in paths}
    files = list(contents)
    contents |= {model.files.record.name: model.files.record.read_bytes() for model in models}
    card = _card(config, models, files, contents[files[0]])
    card |= _performance(config, testing_path, name, where)
    contents |= {template: _rendered(template, card).encode() for template in _TEMPLATES}
    with all_or_none():
        for file, content in contents.items():
            with replace_file(folder / file, overwrite=overwrite) as temporary:
                temporary.write_bytes(content)
    log.info("written: %s: %s", folder, ", ".join(contents))
    return folder


def _rendered(template: str, card: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - text, not HTML
        loader=PackageLoader("ntupleml.application", "card_templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{template}.j2").render(card)


def _card(config: TrainingConfig, models: Sequence[TrainedModel], files: list[str], first: bytes) -> dict[str, Any]:
    """All that the templates show, but the performance."""
    graph = onnx.load_model_from_string(first)
    records = [model.record for model in models]
    record = records[0]
    (text,) = [item.value for item in graph.metadata_props if item.key == PROPERTY]
    inputs = card_inputs(graph, json.loads(text).get("variables", {}))
    number_words, hashed = deciding(rule_of(record))
    title = f"{record.method}: {', '.join(record.outputs)}"
    return {
        "title": title,
        "title_line": f"Model card: {record.method} ({', '.join(record.outputs)})",
        "purpose": _purpose(record),
        "version": record.ntupleml_version,
        "created": record.created[:10] or "a day that is not recorded",
        "engine": record.engine,
        "members": record.num_members,
        "num_folds": record.num_folds,
        "files": files,
        "records": [model.files.record.name for model in models],
        "number_words": number_words,
        "fold_by": hashed,
        "line_format": _line_format(inputs, number_words, hashed),
        "data": _data(records),
        "data_lines": _data_lines(record),
        "inputs": inputs,
        "groups": _groups(config, record, inputs),
        "missing": _missing(record),
        "classes": record.outputs,
        "output": graph.graph.output[0].name,
        "score_type": "double"
        if graph.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
        else "float",
        "losses": _losses(records),
        "limits": _limits(config, records),
        "branch": f"ml_score_{record.outputs[0]}",
        "operators": sorted({node.op_type for node in graph.graph.node}),
    }


def _purpose(record: TrainingRecord) -> str:
    row = "events" if record.rows is None else f"objects of '{record.rows.objects}'"
    names = ", ".join(record.outputs)
    return {
        "classes": f"These models tell {row} of the classes {names} apart. A score is that of one class.",
        "values": f"These models predict values of {row}: {names}.",
        "reconstruction": f"These models give back their inputs; {names} says of {row} how badly, so what is unusual.",
        "image": f"These models predict an image of {row} and, from it, {names}.",
    }[record.target.kind]


def deciding(rule: FoldRule) -> tuple[str, list[str]]:
    """Number that decides the fold of an event, in words, and the branches that it is a hash of, none for others.

    Where a table has the fold of each event, that is the number.
    """
    if rule.table is not None:
        return f"the fold of the event in {rule.what}", []
    return rule.what, list(rule.fold_by)


def _line_format(inputs: Sequence[CardInput], number_words: str, fold_by: list[str]) -> str:
    parts = [f"the {', '.join(fold_by)} of an event" if fold_by else f"the number of an event ({number_words})"]
    for one in inputs:
        count = f"the number of objects of '{one.name}' and, for each, " if one.sequence else ""
        parts.append(f"{count}the {one.size} numbers of '{one.name}'")
    return ", then ".join(parts)


class _Row(NamedTuple):
    """A line of the table of the data."""

    name: str
    events: str
    sum: str
    negative: str


def _data(records: Sequence[TrainingRecord]) -> list[_Row]:
    """What all fold files together have of each class."""
    files = {(one.path, one.condition): one for record in records for one in record.datasets}
    rows = []
    for name in records[0].classes:
        contents = [one.classes[name] for one in files.values() if name in one.classes]
        if not contents:
            rows.append(_Row(name, "not recorded", "", ""))
            continue
        events = sum(one.entries for one in contents)
        total = Measurement(
            sum(one.sum_of_weights for one in contents),
            float(np.sqrt(sum(one.uncertainty**2 for one in contents))),
        )
        negative = sum(one.entries * one.negative_share for one in contents) / max(events, 1)
        rows.append(_Row(name, count_text(events), measurement_text(total), f"{100 * negative:.3g} %"))
    return rows


def _data_lines(record: TrainingRecord) -> list[str]:
    """What else is to be known about the events of the training."""
    config = record.config
    lines = []
    weights = config.get("event_weights")
    lines.append("Each event counts 1." if weights is None else f"Event weights are those of the branch `{weights}`.")
    if config.get("class_weights"):
        lines.append(f"Class weights: {_as_text(config['class_weights'])}.")
    for key, text in (
        ("selections", "Rows that train pass"),
        ("parameters", "Hypotheses of the signal among the inputs:"),
    ):
        if config.get(key):
            lines.append(f"{text} {_as_text(config[key])}.")
    for one in record.reweighted:
        lines.append(
            f"Reweighted in the training: {', '.join(one['classes'])}, with an effective number of rows of "
            f"{' before and '.join(count_text(round(number)) for number in one['effective_rows'])} after."
        )
    return lines


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_as_text(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_as_text, value))
    return number_text(value) if isinstance(value, float) else str(value)


class _Group(NamedTuple):
    """An input, with a row for each number."""

    name: str
    text: str
    rows: list[dict[str, str]]


def _groups(config: TrainingConfig, record: TrainingRecord, inputs: Sequence[CardInput]) -> list[_Group]:
    ranges = input_ranges(config, conditional=bool(record.conditions))
    known = {name: one for columns in ranges.values() for name, one in columns.items()}
    labels = config.plot.variable_labels
    groups = []
    for one in inputs:
        text = f" ({one.shape_text}, {one.python_type})"
        if one.sequence:
            text += f", with `{one.name}_length` (events, int64): a row for each object, zeros behind the last"
        rows = [_input_row(name, ranges.get(one.name, known).get(name), labels.get(name)) for name in one.names]
        groups.append(_Group(one.name, text, rows))
    return groups


def _input_row(name: str, found: InputRange | None, label: str | None) -> dict[str, str]:
    shown = f"`{name}`".replace("|", "\\|") + ("" if label is None else f" {label}")
    if found is None:  # a condition, or what an image is filled from
        return {"name": shown, "range": "", "low": "", "high": "", "missing": ""}
    low, high = (number_text(end) for end in found.range)
    return {
        "name": shown,
        "range": f"{low} to {high}",
        "low": number_text(found.low),
        "high": number_text(found.high),
        "missing": f"{100 * found.missing:.3g} %",
    }


def _missing(record: TrainingRecord) -> str:
    if record.missing is None:
        return (
            "Events with NaN or infinite inputs have no score: ntupleml refuses them; the files do not look for them."
        )
    return f"NaN and infinite inputs are replaced by {record.missing:g} in the files."


def _losses(records: Sequence[TrainingRecord]) -> list[dict[str, str]]:
    rows = []
    for record in records:
        history = next((record.history[key] for key in ("val_loss", "validation_loss") if key in record.history), None)
        if not history:
            continue
        best = record.best_epoch or len(history)
        loss = number_text(history[best - 1]) if best <= len(history) else ""
        rows.append({"model": str(record.fold), "epochs": str(record.epochs), "best": str(best), "loss": loss})
    return rows


def _limits(config: TrainingConfig, records: Sequence[TrainingRecord]) -> list[str]:
    record = records[0]
    lines = [
        "Events of the samples that the training is from are scored by the model that never saw them, as the examples "
        "do. Any other choice gives scores that are too good.",
        "Beyond the range of the inputs above, and for other samples, detectors and selections, nothing was tested.",
    ]
    if not record.folds_recorded:
        lines.append(
            "The fold files had no record of what divided them: that the fold of an event is right cannot be checked."
        )
    negative = [
        one for item in records for file in item.datasets for one in file.classes.values() if one.negative_share
    ]
    if negative:
        lines.append(
            "Some event weights are negative. They count as they are, or as the config says, so the models are of the "
            "difference of positive and negative events, with the uncertainty of both."
        )
    if record.target.kind == "classes":
        lines.append(
            "Scores are the probability of a class only for the shares of the classes in the training, and as far as "
            "the models are calibrated (`ntupleml calibration`)."
        )
    if record.conditions:
        lines.append(
            f"The last columns are 1 for the condition of the event and 0 for all others: "
            f"{', '.join(record.conditions)}."
        )
    if config.parameters is not None:
        lines.append(
            f"{', '.join(config.parameters.names)} are hypotheses: all events of a sample are scored with the values "
            "that are tested."
        )
    return lines


def _performance(config: TrainingConfig, testing_path: str | Path | None, name: str, where: str) -> dict[str, Any]:
    """Areas under the ROC curves of events that the models never saw."""
    if testing_path is None:
        return {"areas": [], "performance_text": "Not tested for this card: no testing config was given."}
    if config.target is not None:
        return {"areas": [], "performance_text": "What is learnt are no classes: see the report of the testing stage."}
    from ntupleml.testing.material import POOLED, Material
    from ntupleml.testing.preparation import prepare

    testing = load_config(testing_path, TestingConfig)
    found = Material(prepare(where, testing, "all", methods=[name]))
    (method,) = found.events.scores
    areas = []
    for one, summary in found.rocs[method][POOLED].against_rest.items():
        text = str(summary) if isinstance(summary, Undefined) else measurement_text(summary.auc)
        areas.append({"name": one, "area": text})
    sampled = "" if not found.events.sampled else ", a random sample"
    weights = found.preparation.reading.weight_branch
    return {
        "areas": areas,
        "performance_text": (
            f"On {count_text(len(found.events))} events of all folds{sampled}, each scored by the model that never saw "
            f"it, {'with weights of 1' if weights is None else f'with the weights of `{weights}`'}. Uncertainties are "
            "statistical (one standard deviation)."
        ),
    }
