"""Whether all forms of a model give the same scores: from the records, and what compare_engines.py wrote."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.errors import NtuplemlError
from ntupleml.metrics import Verdict
from ntupleml.plots.pictures import Table
from ntupleml.reports.page import Group, Section

if TYPE_CHECKING:
    from ntupleml.plots.pictures import Cell
    from ntupleml.reports.material import Material

#: Largest difference of a score, as of testing/compare_engines.py.
TOLERANCE = 1e-5


def section(material: Material) -> Section:
    """Differences of the forms of each method's models, and what they mean."""
    rows: list[tuple[Cell, ...]] = []
    verdicts = []
    for method in material.methods:
        of_method = [*_of_records(material, method), *_of_files(material, method)]
        rows += [(method, *row) for row in of_method]
        verdicts.append((f"Engines agree? {method}", _verdict(of_method)))
    header = ("Method", "Model", "Form", "Events", "Largest difference")
    groups = (Group("", (), (Table(header, tuple(rows)),)),) if rows else ()
    return Section("engines", "Engines", _INTRODUCTION, groups, tuple(verdicts))


_INTRODUCTION = (
    "Scores of the same events by every form of a model, compared with those of the library that it was made with: the "
    "ONNX file when it was written, and all others by testing/compare_engines.py."
)
_Row = tuple[int, str, int, float]


def _of_records(material: Material, method: str) -> list[_Row]:
    return [
        (record.fold, "ONNX, at the training", record.onnx_check.events, record.onnx_check.largest_difference)
        for record in material.records(method)
        if record.onnx_check is not None
    ]


def _of_files(material: Material, method: str) -> list[_Row]:
    """What compare_engines.py wrote of the models that are tested, of all folds together or one by one."""
    output = Path(material.preparation.training.output_path)
    name = method.replace("{fold}", "")
    found: dict[tuple[int, str], _Row] = {}
    for fold in ["all", *map(str, material.preparation.models)]:
        for model in _read(output / f"fold{fold}_{name}_engines.yaml"):
            if model["model"] not in material.preparation.models:
                continue
            for form, result in model["forms"].items():
                if form != model["reference"]:
                    found[(model["model"], form)] = (model["model"], form, model["events"], result["largest"])
    return list(found.values())


def _read(path: Path) -> list[dict[str, Any]]:
    import yaml

    if not path.exists():
        return []
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for model in content:
            for result in model["forms"].values():
                float(result["largest"])
            _ = model["model"], model["events"], model["reference"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        raise NtuplemlError(
            f"{path}: not written by testing/compare_engines.py; remove it, or run that again"
        ) from None
    models: list[dict[str, Any]] = content
    return models


def _verdict(rows: list[_Row]) -> Verdict:
    if not rows:
        return Verdict("unknown", "No form of its models has been compared; run testing/compare_engines.py.")
    largest = max((difference for *_, difference in rows), key=lambda value: math.inf if math.isnan(value) else value)
    forms = ", ".join(dict.fromkeys(form.split(",")[0] for _, form, *_ in rows))
    text = f"Scores differ by up to {largest:.1g} ({forms}); up to {TOLERANCE:g} is rounding."
    return Verdict("good" if largest <= TOLERANCE else "attention", text)
