"""The same events through every form of a model: how far the scores are from those of its own library, and how fast."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.artifacts import KERAS, find_method
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config import TestingConfig, TrainingConfig, load_config
from ntupleml.errors import NtuplemlError
from ntupleml.folds import chosen_models
from ntupleml.metrics import Verdict
from ntupleml.plots.pictures import Table
from ntupleml.targets import MEASURED
from ntupleml.testing.engines import Form, all_scores, forms_of_model
from ntupleml.testing.held_out_rows import held_out_rows
from ntupleml.testing.methods import load_model
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ntupleml.artifacts import TrainedModel
    from ntupleml.events.values import InputValues
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material

log = logging.getLogger(__name__)

#: Largest difference of a score, unless told otherwise, and number of events.
TOLERANCE, NUM_EVENTS = 1e-5, 10_000
#: Seconds that the speed of a form is measured for, at least.
_SECONDS = 0.2


class EngineResult(NamedTuple):
    """A form of a model against the reference."""

    #: Differences of all scores of all events, those of values in units of their standard deviations in the training,
    #: relative ones of scores above one; NaN where only one of the two is a number.
    largest: float
    mean: float
    #: With one thread.
    events_per_second: float


class EngineComparison(NamedTuple):
    """All forms of one model."""

    #: Index of the model, and the fold that it never saw.
    model: int
    fold: int
    #: Number of events compared.
    events: int
    #: Form that the others are compared with.
    reference: str
    #: By form, the reference included.
    results: dict[str, EngineResult]
    #: Forms that are not there, and why.
    absent: dict[str, str]
    #: What differences are counted in; nothing for scores of classes.
    units: str = ""

    @property
    def largest(self) -> float:
        """Largest difference of any form; infinite where one is not a number."""
        values = [result.largest for result in self.results.values()]
        return float("inf") if np.isnan(values).any() else max(values)


def compare_engines(
    training_path: str | Path,
    fold: str,
    *,
    testing_path: str | Path | None = None,
    method: str | None = None,
    num_events: int = NUM_EVENTS,
    tolerance: float = TOLERANCE,
    overwrite: bool = False,
) -> tuple[list[EngineComparison], list[Path]]:
    """Compare all forms of the trained models of a method, and write a table, as text and as YAML.

    Parameters
    ----------
    training_path : path
        Training config.
    fold : str
        Index of the model, or `all`.
    testing_path : path, optional
        Testing config, for its `method`, `model` and `preprocessing`.
    method : str, optional
        Method of the training config, in place of the testing config's; by default its network.
    num_events : int
        Largest number of held-out events per model.
    tolerance : float
        What the text says to be too large a difference.

    Returns
    -------
    list of EngineComparison, list of Path
        One per model; and the files `fold{f}_{method}_engines.txt` and `.yaml`.

    Raises
    ------
    NtuplemlError
        For anything wrong with configs, models and fold files, and results that exist already.
    """
    training = load_config(training_path, TrainingConfig)
    testing = TestingConfig() if testing_path is None else load_config(testing_path, TestingConfig)
    name = method or testing.method or KERAS.name
    models = chosen_models(fold, training.num_folds, training.where)
    stem = Path(training.output_path) / f"fold{fold}_{name.replace('{fold}', '')}_engines"
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in ("txt", "yaml")]
    for path in paths:
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")
    comparisons = []
    for index in models:
        where = "--method" if method else (testing if testing.method else training).where
        found = find_method(training, name, index, where)
        trained = load_model(training, testing, name, found, index, training.where, testing.where)
        rows = held_out_rows(training, trained.record, num_events, training.where)
        comparisons.append(compared(trained, forms_of_model(trained, training.output_path), rows))
    with all_or_none():
        for path, text in zip(paths, (engine_table(comparisons, tolerance), _yaml(comparisons)), strict=True):
            with replace_file(path, overwrite=overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return comparisons, paths


def compared(model: TrainedModel, forms: Sequence[Form], rows: InputValues) -> EngineComparison:
    """Compare the forms of a model on some events.

    Parameters
    ----------
    forms : sequence of Form
        The first that is there is the reference.
    rows : InputValues
        As of `held_out_rows`.

    Raises
    ------
    NtuplemlError
        If there are no events, or no form.
    """
    present = [form for form in forms if form.evaluator is not None]
    if not present or not len(rows):
        raise NtuplemlError(f"{model.files.model}: there is {'no event' if present else 'no form'} to compare")
    results: dict[str, EngineResult] = {}
    expected: NDArray[np.float64] | None = None
    for form in present:
        assert form.evaluator is not None
        scores = all_scores(form.evaluator, rows)
        expected = scores if expected is None else expected
        difference = np.abs(scores - expected) / np.maximum(model.record.target.units, np.abs(expected))
        results[form.name] = EngineResult(float(difference.max()), float(difference.mean()), _speed(form, rows))
        log.info("model %d: %s: differs by up to %.2g", model.record.fold, form.name, results[form.name].largest)
    return EngineComparison(
        model.record.fold,
        model.record.held_out_fold,
        len(rows),
        present[0].name,
        results,
        {form.name: form.absent for form in forms if form.evaluator is None},
        "in standard deviations of each value" if model.record.target.kind in MEASURED else "",
    )


def _speed(form: Form, rows: InputValues) -> float:
    """Events per second, after a first call that is not counted."""
    assert form.evaluator is not None
    start, done = time.perf_counter(), 0
    while True:
        all_scores(form.evaluator, rows)
        done += len(rows)
        seconds = time.perf_counter() - start
        if seconds > _SECONDS:
            return done / seconds


def engine_table(comparisons: Sequence[EngineComparison], tolerance: float) -> str:
    """The comparisons as text: for each model a row per form, and below it what is not there."""
    lines = []
    for one in comparisons:
        names = {name: f"{name} (reference)" if name == one.reference else name for name in one.results}
        width = max(map(len, names.values())) + 2
        lines += [
            f"Model {one.model}: {one.events} events of fold {one.fold}, which it never saw; differences from "
            f"{one.reference}{one.units and ' ' + one.units}, tolerance {tolerance:g}.",
            "",
            f"{'Form':<{width}} {'largest':>10} {'mean':>10} {'events/s':>12}",
        ]
        for name, result in one.results.items():
            mark = "" if result.largest <= tolerance else "  beyond the tolerance"
            lines.append(
                f"{names[name]:<{width}} {result.largest:>10.2e} {result.mean:>10.2e} "
                f"{result.events_per_second:>12,.0f}{mark}"
            )
        lines += [f"{name}: not there: {reason}" for name, reason in one.absent.items()]
        lines.append("")
    return "\n".join(lines)


def _yaml(comparisons: Sequence[EngineComparison]) -> str:
    import yaml

    content = [
        {
            "model": one.model,
            "held_out_fold": one.fold,
            "events": one.events,
            "reference": one.reference,
            "forms": {name: result._asdict() for name, result in one.results.items()},
            "absent": one.absent,
        }
        for one in comparisons
    ]
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return text


def agreement_of_engines(material: Material) -> Answer:
    """Differences of the forms of each method's models, and what they mean."""
    rows: list[tuple[Cell, ...]] = []
    verdicts = []
    for method in material.methods:
        of_method = [*_of_records(material, method), *_of_files(material, method)]
        rows += [(method, *row) for row in of_method]
        verdicts.append((f"Engines agree? {method}", _verdict(of_method)))
    header = ("Method", "Model", "Form", "Events", "Largest difference")
    groups = (Group("", (), (Table(header, tuple(rows)),)),) if rows else ()
    return Answer(_INTRODUCTION, groups, tuple(verdicts))


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
        return Verdict(
            "unknown",
            "No form of its models has been compared; run testing/compare_engines.py.",
            "No other form has been tried.",
        )
    largest = max((difference for *_, difference in rows), key=lambda value: math.inf if math.isnan(value) else value)
    forms = ", ".join(dict.fromkeys(form.split(",")[0] for _, form, *_ in rows))
    text = f"Scores differ by up to {largest:.1g} ({forms}); up to {TOLERANCE:g} is rounding."
    if largest <= TOLERANCE:
        return Verdict("good", text, "All forms of the model give the same scores.")
    return Verdict("attention", text, "Forms of the model give different scores.")
