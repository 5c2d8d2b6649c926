"""All methods of a config side by side, on held-out events and on the events of their training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ntupleml.artifacts import TMVA_JOB
from ntupleml.atomic import all_or_none, replace_file
from ntupleml.config import TestingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.folds import chosen_models, held_out_fold
from ntupleml.metrics import BACKGROUND_EFFICIENCIES, Measurement, Performance, Undefined, as_plain, performance
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots import FORMATS, figure_paths
from ntupleml.plots.pictures import write_numbers
from ntupleml.plots.roc import save_roc_curves
from ntupleml.targets import MEASURED
from ntupleml.testing.methods import WantedMethods, trained_methods, wanted_methods
from ntupleml.testing.preparation import prepare_wanted, tested_events
from ntupleml.testing.steps import refuse_existing
from ntupleml.testing.training_part import training_part

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ntupleml.artifacts import TrainingRecord
    from ntupleml.config import PlotConfig, TrainingConfig
    from ntupleml.metrics import ClassPerformance
    from ntupleml.testing.preparation import Preparation
    from ntupleml.testing.tested_events import TestedEvents

log = logging.getLogger(__name__)

#: In place of an engine, for models of other programs.
EXTERNAL = "external"
_AVERAGE = "average"
_TMVA_ROW = "TMVA's own test part"
_HEADER = ("Method", "Class", "AUC", *(f"Sig eff @B={level:.2f}" for level in BACKGROUND_EFFICIENCIES), "Separation")
_ABSENT = "-"
#: Where an efficiency steps back by more than this, the table says so.
_VISIBLE_STEP = 1e-3


class MethodResult(NamedTuple):
    """A method of the config and how it performs."""

    #: What trained it, as its record has it; `external` for models of other programs.
    engine: str
    #: On the held-out folds.
    test: Performance
    #: On the events that the models were fitted on.
    training: Performance | Undefined


class Comparison(NamedTuple):
    """All methods on the same events."""

    classes: list[str]
    #: Models, and the folds that they never saw.
    models: list[int]
    folds: list[int]
    #: By the names of the methods, the largest area first.
    results: dict[str, MethodResult]
    #: Methods of the config that are not compared, and why.
    left_out: dict[str, str]
    #: Areas per class that TMVA found with its own test part, by method.
    factory: dict[str, dict[str, float]]
    #: Whether events have the class weights of the training, too.
    class_weights: bool
    #: Share of the held-out events of each class that were taken, where it is less than 1.
    sampled: dict[str, float]
    #: Number of held-out events of each class that other trainings saw, and that are left out.
    excluded: dict[str, int]


def compare_methods(
    training: TrainingConfig,
    testing: TestingConfig,
    fold: str,
    *,
    methods: Sequence[str] | None = None,
    condition: str | None = None,
    class_weights: bool = False,
    factory: Mapping[str, Mapping[str, float]] | None = None,
    stem: str | Path | None = None,
    training_path: str | Path = "CONFIG_TRAINING",
    testing_path: str | Path = "CONFIG_TESTING",
    entries_per_chunk: int | None = None,
    max_events: int | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Compare the trained methods of a config: write one table and one picture of their ROC curves.

    Parameters
    ----------
    training, testing : TrainingConfig, TestingConfig
        The `model` and `preprocessing` lists of the testing config are those of its `method`, by default the network.
    fold : str
        Index of the model, or `all`: the held-out folds of all models together, each event by the model that never
        saw it.
    methods : sequence of str, optional
        Names of the methods, as the config has them or with the fold filled in, and of external models; by default
        all that are trained, and all external models.
    condition : str, optional
        Condition (era) to test, for trainings with conditions.
    class_weights : bool
        Multiply the event weights with the class weights of the training, as TMVA's factory does; by default what the
        testing config says.
    factory : mapping, optional
        Areas per class that TMVA's factory found with its own test part, by method: rows of the table.
    stem : path, optional
        Files without ending; by default ``fold{f}_methods_comparison`` in the output path of the training.
    training_path, testing_path : path
        Files of the configs, for messages.
    entries_per_chunk : int, optional
        Events read at a time.
    max_events : int, optional
        Events held in memory; of more, a random sample is taken. By default that of the testing config.

    Returns
    -------
    list of Path
        The files written: .txt, .yaml, .pdf and .png.

    Raises
    ------
    NtuplemlError
        If no method is trained, or one that is asked for is not, for results that exist already, and for everything
        wrong with fold, condition, models, fold files and their branches.
    """
    if training.target is not None:
        raise NtuplemlError(
            f"{training_path}: the target is {training.target_kind}, but methods are compared by their classes; "
            f"the verb for it is {'regression' if training.target_kind in MEASURED else 'reconstruction'}"
        )
    suffix = "" if condition is None else f"_{condition}"
    default = Path(training.output_path) / f"fold{fold}_methods_comparison{suffix}"
    stem = default if stem is None else Path(stem)
    models = chosen_models(fold, training.num_folds, str(training_path))
    refuse_existing(figure_paths(stem, ["txt", "yaml", *FORMATS]), overwrite=overwrite)
    preparation = prepare_wanted(
        training,
        testing,
        _wanted(training, testing, models, methods, str(training_path), str(testing_path)),
        fold,
        training_path=training_path,
        testing_path=testing_path,
        condition=condition,
        class_weights=class_weights,
        max_events=max_events,
        entries_per_chunk=entries_per_chunk,
    )
    comparison = comparison_of_methods(preparation, tested_events(preparation), factory=factory)
    with all_or_none():
        return _write(comparison, stem, testing.plot, overwrite=overwrite)


def _wanted(
    training: TrainingConfig,
    testing: TestingConfig,
    models: Sequence[int],
    methods: Sequence[str] | None,
    training_path: str,
    testing_path: str,
) -> WantedMethods:
    if methods is None:
        return wanted_methods(training, testing, models, None, training_path, testing_path, all_methods=True)
    external = [name for name in methods if name in testing.external]
    if len(external) == len(methods):
        return WantedMethods(external, {}, {})
    others = [name for name in methods if name not in external]
    trained, left_out = trained_methods(training, testing, models, others, training_path)
    return WantedMethods([*trained, *external], trained, left_out)


def comparison_of_methods(
    preparation: Preparation, events: TestedEvents, *, factory: Mapping[str, Mapping[str, float]] | None = None
) -> Comparison:
    """Numbers of a comparison.

    Parameters
    ----------
    events : TestedEvents
        Those of the held-out folds, scored by all its methods.
    factory : mapping, optional
        Areas per class that TMVA's factory found, as for `compare_methods`.
    """
    results = {}
    for name, scores in events.scores.items():
        test = performance(scores, events.truth, events.weights, events.classes)
        trained = preparation.trained.get(name)
        engine = trained[0].record.engine if trained else EXTERNAL
        results[name] = MethodResult(engine, test, _training_performance(preparation, name))
        log.info("%s: AUC %s", name, _short(test.average_auc))
    num_folds = preparation.training.num_folds
    return Comparison(
        classes=events.classes,
        models=preparation.models,
        folds=[held_out_fold(model, num_folds) for model in preparation.models],
        results=dict(sorted(results.items(), key=lambda item: -_area(item[1].test))),
        left_out=events.left_out,
        factory={name: dict(areas) for name, areas in (factory or {}).items()},
        class_weights=bool(preparation.reading.factors),
        sampled=events.sampled,
        excluded=events.excluded,
    )


def _training_performance(preparation: Preparation, method: str) -> Performance | Undefined:
    events = training_part(preparation, method, preparation.reading.max_events)
    if isinstance(events, Undefined):
        return events
    return performance(events.scores[method], events.truth, events.weights, events.classes)


def _area(result: Performance) -> float:
    return result.average_auc.value if isinstance(result.average_auc, Measurement) else -1.0


def _short(area: Measurement | Undefined) -> str:
    return measurement_text(area) if isinstance(area, Measurement) else str(area)


def _write(comparison: Comparison, stem: Path, plot: PlotConfig, *, overwrite: bool) -> list[Path]:
    """Write a comparison as .txt, .yaml, .png and .pdf."""
    text_path, yaml_path = figure_paths(stem, ["txt", "yaml"])
    with replace_file(text_path, overwrite=overwrite) as temporary:
        temporary.write_text(comparison_table(comparison), encoding="utf-8")
    write_numbers(comparison_content(comparison), yaml_path, overwrite=overwrite)
    # Of two classes, whose scores add up to 1, one curve says all.
    shown = comparison.classes[:1] if len(comparison.classes) == 2 else comparison.classes
    results = {
        class_name: {name: result.test.classes[class_name] for name, result in comparison.results.items()}
        for class_name in shown
    }
    curves = {name: {method: one.points for method, one in by_method.items()} for name, by_method in results.items()}
    areas = {name: {method: one.auc for method, one in by_method.items()} for name, by_method in results.items()}
    return [text_path, yaml_path, *save_roc_curves(curves, areas, stem, plot, overwrite=overwrite)]


def comparison_content(comparison: Comparison) -> dict[str, Any]:
    """All numbers of a comparison as plain values."""
    return {
        "models": comparison.models,
        "held_out_folds": comparison.folds,
        "class_weights": comparison.class_weights,
        **({"sampled": comparison.sampled} if comparison.sampled else {}),
        **({"excluded": comparison.excluded} if comparison.excluded else {}),
        "methods": {
            name: {
                "engine": result.engine,
                "test": as_plain(result.test),
                "training": as_plain(result.training),
            }
            for name, result in comparison.results.items()
        },
        "left_out": comparison.left_out,
        **({"tmva_test_part_auc": comparison.factory} if comparison.factory else {}),
    }


def comparison_table(comparison: Comparison) -> str:
    """A comparison as text: a row per method and class, the best method first, as TMVA's factory prints it."""
    rows: list[tuple[str, ...]] = [_HEADER]
    blocks = [1]
    for name, result in comparison.results.items():
        rows += _rows(name, result, comparison)
        blocks.append(len(rows))
    lines = _aligned(rows, blocks)
    folds = ", ".join(
        f"fold {fold} by model {model}" for model, fold in zip(comparison.models, comparison.folds, strict=True)
    )
    weights = "event weights times class weights" if comparison.class_weights else "event weights"
    head = [
        f"Events that the models never saw: {folds}; {weights}.",
        "Each class against the rest, by its score. In parentheses the same for the events that the models were",
        "fitted on: where these are much better, the method is overtrained. The classes count in the average by their",
        "sums of weights.",
        "",
    ]
    return "\n".join([*head, *lines, *_notes(comparison)]) + "\n"


def _rows(name: str, result: MethodResult, comparison: Comparison) -> list[tuple[str, ...]]:
    rows = []
    for class_name in comparison.classes:
        test = result.test.classes[class_name]
        fitted = None if isinstance(result.training, Undefined) else result.training.classes[class_name]
        rows.append(
            (
                name,
                class_name,
                _pair(test.auc, fitted and fitted.auc, 4),
                *(
                    _pair(test.efficiencies[level], fitted and fitted.efficiencies[level], 3)
                    for level in BACKGROUND_EFFICIENCIES
                ),
                _pair(test.separation, fitted and fitted.separation, 3),
            )
        )
        area = comparison.factory.get(name, {}).get(class_name)
        if area is not None:
            rows.append((name, f"{class_name}, {_TMVA_ROW}", f"{area:.4f}", *[_ABSENT] * (len(_HEADER) - 3)))
    fitted_average = None if isinstance(result.training, Undefined) else result.training.average_auc
    rows.append((name, _AVERAGE, _pair(result.test.average_auc, fitted_average, 4), *[_ABSENT] * (len(_HEADER) - 3)))
    return rows


def _pair(test: Measurement | Undefined, fitted: Measurement | Undefined | None, decimals: int) -> str:
    """E.g. `0.812 ± 0.004 (0.830)`."""
    if isinstance(test, Undefined):
        text = "undefined"
    else:
        text = f"{test.value:.{decimals}f} ± {test.uncertainty:.{decimals}f}"
    if isinstance(fitted, Measurement):
        return f"{text} ({fitted.value:.{decimals}f})"
    return f"{text} ({_ABSENT})"


def _aligned(rows: list[tuple[str, ...]], blocks: list[int]) -> list[str]:
    """Lines of one width, with rules between the methods."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    result = [rule]
    for first, last in zip([0, *blocks], [*blocks, len(lines)], strict=True):
        if last > first:
            result += [*lines[first:last], rule]
    return result


def _notes(comparison: Comparison) -> list[str]:
    """What the table cannot say: undefined numbers, steps back, methods that are left out."""
    notes = []
    for name, result in comparison.results.items():
        notes += _undefined(name, "held-out events", result.test)
        if isinstance(result.training, Undefined):
            notes.append(f"{name}: no numbers in parentheses: {result.training.reason}")
        else:
            notes += _undefined(name, "training part", result.training)
        if result.engine == "tmva":
            notes.append(f"{name}: in parentheses all events of the models' folds, some of which TMVA kept to test")
        step = max(one.step_back for one in result.test.classes.values())
        if step > _VISIBLE_STEP:
            notes.append(
                f"{name}: negative weights make an efficiency step back by up to {step:.3f} as the cut is loosened; "
                "the tightest cut of an efficiency counts"
            )
    if comparison.sampled:
        shares = ", ".join(f"{share:.3g} of '{name}'" for name, share in comparison.sampled.items())
        notes.append(f"a random sample of the events, weighted up: {shares}; --max-events takes more")
    notes += [f"{name}: left out: {reason}" for name, reason in comparison.left_out.items()]
    return ["", *notes] if notes else []


def _undefined(name: str, events: str, result: Performance) -> list[str]:
    notes = []
    for class_name, one in result.classes.items():
        reasons = dict.fromkeys(value.reason for value in _numbers(one) if isinstance(value, Undefined))
        notes += [f"{name}: class '{class_name}', {events}: undefined: {reason}" for reason in reasons]
    return notes


def _numbers(one: ClassPerformance) -> list[Measurement | Undefined]:
    return [one.auc, *one.efficiencies.values(), one.separation]


def compare_trained_methods(config: TrainingConfig, records: Sequence[TrainingRecord], where: str) -> list[Path]:
    """Compare the methods of each fold that were trained together, on the events that they never saw.

    Nothing is written for a fold with a single method. Earlier comparisons are replaced, as their methods were.

    Parameters
    ----------
    records : sequence of TrainingRecord
        As the training returned them; with those of TMVA itself, its own areas go into the table.

    Returns
    -------
    list of Path
        ``fold{f}_training/TMVAMulticlass_comparison.txt`` and the like.
    """
    written: list[Path] = []
    for fold in sorted({record.fold for record in records}):
        trained = [record for record in records if record.fold == fold]
        if len(trained) > 1:
            areas = {record.method: record.network.get("roc_integrals", {}) for record in trained}
            factory = {method: found for method, found in areas.items() if found}
            written += compare_methods(
                config,
                TestingConfig(plot=config.plot),
                str(fold),
                methods=[record.method for record in trained],
                class_weights=bool(factory),  # the numbers of TMVA's factory have them
                factory=factory,
                stem=Path(config.output_path) / f"fold{fold}_training" / f"{TMVA_JOB}_comparison",
                training_path=where,
                overwrite=True,
            )
    return written
