"""The files of a comparison of methods: a table to read, the same as YAML, and the ROC curves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntupleml.atomic import replace_file
from ntupleml.errors import NtuplemlError
from ntupleml.metrics import BACKGROUND_EFFICIENCIES, Measurement, Undefined
from ntupleml.plots import FORMATS, figure_paths
from ntupleml.plots.roc import save_roc_curves

if TYPE_CHECKING:
    from ntupleml.config import PlotConfig
    from ntupleml.metrics import ClassPerformance, Performance, RocPoints
    from ntupleml.testing.comparison import Comparison, MethodResult

_AVERAGE = "average"
_TMVA_ROW = "TMVA's own test part"
_HEADER = ("Method", "Class", "AUC", *(f"Sig eff @B={level:.2f}" for level in BACKGROUND_EFFICIENCIES), "Separation")
_ABSENT = "-"
#: Where an efficiency steps back by more than this, the table says so.
_VISIBLE_STEP = 1e-3


def comparison_stem(output_path: str | Path, fold: str, condition: str | None) -> Path:
    """Path without ending of a comparison.

    Examples
    --------
    >>> comparison_stem("example", "all", None).as_posix()
    'example/foldall_methods_comparison'
    """
    suffix = "" if condition is None else f"_{condition}"
    return Path(output_path) / f"fold{fold}_methods_comparison{suffix}"


def refuse_existing_comparison(stem: str | Path, *, overwrite: bool) -> None:
    """Check, before anything is computed, that no result would be overwritten unasked.

    Raises
    ------
    NtuplemlError
        Naming the first file that is there.
    """
    for path in figure_paths(stem, ["txt", "yaml", *FORMATS]):
        if path.exists() and not overwrite:
            raise NtuplemlError(f"{path}: exists already; give --overwrite to replace it")


def write_comparison(
    comparison: Comparison, stem: str | Path, plot: PlotConfig, *, overwrite: bool = False
) -> list[Path]:
    """Write a comparison as .txt, .yaml, .png and .pdf.

    Raises
    ------
    NtuplemlError
        If a file exists and must not be overwritten, or cannot be written.
    """
    import yaml

    text_path, yaml_path = figure_paths(stem, ["txt", "yaml"])
    with replace_file(text_path, overwrite=overwrite) as temporary:
        temporary.write_text(comparison_table(comparison), encoding="utf-8")
    with replace_file(yaml_path, overwrite=overwrite) as temporary:
        content = comparison_content(comparison)
        # The innermost lists and numbers on one line each.
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        temporary.write_text(text, encoding="utf-8")
    # Of two classes, whose scores add up to 1, one curve says all.
    shown = comparison.classes[:1] if len(comparison.classes) == 2 else comparison.classes
    curves: dict[str, dict[str, RocPoints | Undefined]] = {
        class_name: {name: result.test.classes[class_name].points for name, result in comparison.results.items()}
        for class_name in shown
    }
    areas = {
        class_name: {name: result.test.classes[class_name].auc for name, result in comparison.results.items()}
        for class_name in shown
    }
    return [text_path, yaml_path, *save_roc_curves(curves, areas, stem, plot, overwrite=overwrite)]


def comparison_content(comparison: Comparison) -> dict[str, Any]:
    """All numbers of a comparison as plain values."""
    return {
        "models": comparison.models,
        "held_out_folds": comparison.folds,
        "class_weights": comparison.class_weights,
        **({"sampled": comparison.sampled} if comparison.sampled else {}),
        "methods": {
            name: {
                "engine": result.engine,
                "test": result.test.to_dict(),
                "training": str(result.training)
                if isinstance(result.training, Undefined)
                else result.training.to_dict(),
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
