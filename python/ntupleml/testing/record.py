"""The record: everything that is needed to make the same again."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from ntupleml import __version__
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Measurement
from ntupleml.plots.pictures import Table
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import TestingConfig, TrainingConfig
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

#: Libraries of the testing stage whose versions are said.
_LIBRARIES = ("numpy", "onnxruntime", "uproot", "matplotlib", "mplhep")


def record_of_models(
    material: Material,
    *,
    command: str = "",
    created: str = "",
) -> Answer:
    """Configs, seeds, versions, input files, dates, and the command that made the page."""
    preparation = material.preparation
    records = {method: material.records(method) for method in material.methods}
    configs = [
        (f"{title}: {config.where}", _text(config))
        for title, config in (("Training config", preparation.training), ("Testing config", preparation.testing))
    ]
    groups = [
        Group("This page", (), (_page_table(material, command, created),), texts=tuple(configs)),
        Group("Models", (), (models_table(records),)),
        Group("Fold files that were trained on", (), (datasets_table(records),)),
        Group("Fold files that were tested", (), (_tested_table(material),)),
        Group("Versions at the training", (), (versions_table(records),)),
    ]
    return Answer("What the models and this page were made of.", tuple(groups))


def _page_table(material: Material, command: str, created: str) -> Table:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _LIBRARIES)
    rows: list[tuple[Cell, ...]] = [
        ("Command", command),
        ("Made", created),
        ("Seed of the testing stage", material.seed),
        ("Versions", f"ntupleml {__version__}, Python {platform.python_version()}, {versions}"),
    ]
    return Table(("Item", "Value"), tuple(rows))


def _text(config: TrainingConfig | TestingConfig) -> str:
    """The file of a config, or what would stand in it."""
    path = Path(config.where)
    if not path.exists():
        return yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NtuplemlError(f"{path}: cannot be read again: {error}") from None


def models_table(records: dict[str, list[TrainingRecord]]) -> Table:
    """A row per model: folds, seed, date, preprocessing."""
    rows: list[tuple[Cell, ...]] = []
    for method, of_method in records.items():
        for record in of_method:
            difference = record.onnx_check.largest_difference if record.onnx_check else "–"
            rows.append((
                method, record.fold, _numbers(record.trained_on), record.held_out_fold, record.engine, record.seed,
                record.preprocessing, record.created or "–", record.ntupleml_version, difference,
            ))  # fmt: skip
    header = (
        "Method", "Model", "Trained on folds", "Never saw fold", "Engine", "Seed", "Preprocessing", "Trained (UTC)",
        "ntupleml", "ONNX differs by",
    )  # fmt: skip
    return Table(header, tuple(rows))


def datasets_table(records: dict[str, list[TrainingRecord]]) -> Table:
    """A row per fold file and class, with its UUID and sums of weights."""
    rows: dict[tuple[Cell, ...], None] = {}
    for record in (record for of_method in records.values() for record in of_method):
        for dataset in record.datasets:
            place = (dataset.path, dataset.uuid, dataset.fold, dataset.condition or "–")
            for name, content in dataset.classes.items():
                total = Measurement(content.sum_of_weights, content.uncertainty)
                rows[(*place, name, content.entries, total, f"{content.negative_share:.2%}")] = None
            if not dataset.classes:
                rows[(*place, "–", "–", "–", "–")] = None
    header = ("File", "UUID", "Fold", "Condition", "Class", "Events", "Σw", "Negative weights")
    return Table(header, tuple(rows))


def _tested_table(material: Material) -> Table:
    rows = tuple((str(sample.path), sample.fold, sample.model) for sample in material.preparation.samples)
    return Table(("File", "Fold", "Tested model"), rows)


def versions_table(records: dict[str, list[TrainingRecord]]) -> Table:
    """Libraries and their versions, by method."""
    found = {method: of_method[0].versions for method, of_method in records.items() if of_method}
    names = dict.fromkeys(name for versions in found.values() for name in versions)
    rows = tuple((name, *(versions.get(name, "–") for versions in found.values())) for name in names)
    return Table(("Library", *found), rows)


def _numbers(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds))
