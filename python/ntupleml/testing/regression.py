"""What models of values and of the inputs themselves predict: residuals of each value, and errors of reconstruction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics import Undefined, as_plain, histogram
from ntupleml.metrics.measurement import no_sum_of_weights
from ntupleml.metrics.regression import Residuals, regression, residuals
from ntupleml.metrics.score_distributions import density, score_edges
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.regression import draw_residuals, draw_resolution, draw_truth_and_prediction
from ntupleml.plots.score_distributions import ScoreSamples, draw_all_score_distributions
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ntupleml.metrics.regression import Regression
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.material import Material
    from ntupleml.testing.tested_events import TestedEvents

#: Pictures of each value.
_KINDS = ("residuals", "truth", "resolution")
_INTRODUCTION = (
    "The residual of an event is its prediction less its truth. The bias is their weighted mean, the resolution their "
    "standard deviation or half of the range of the central 68 %, where tails do not count."
)
_RECONSTRUCTION = (
    "The score is the mean squared error of the inputs that a network gives back, in units of their scalers. Events "
    "unlike those of the training have larger ones."
)
#: Shares of the events that have a smaller error than the quantiles in the table.
_SHARES = (0.5, 0.9, 0.99)
_WIDTHS = ("Bias", "Standard deviation", "Central 68 %")


def residuals_of_values(material: Material) -> Answer:
    """Residuals, bias and resolution of every method and value."""
    names = material.preparation.training.outputs if material.found else material.events.outputs
    material.announce(f"{kind}_{name}" for name in names for kind in _KINDS)
    events = material.events
    found = {
        method: {
            name: regression(events.target[:, index], scores[:, index], events.weights)
            for index, name in enumerate(events.outputs)
        }
        for method, scores in ((method, events.scores[method]) for method in material.methods)
    }
    pictures = {
        method: [picture for name, one in by_value.items() for picture in _pictures(method, name, one, events)]
        for method, by_value in found.items()
    }
    remarks = [
        f"{method}, '{name}': {_in_words(one)}" for method, by_value in found.items() for name, one in by_value.items()
    ]
    return Answer.by_method(pictures, _INTRODUCTION, numbers=found, only_first_open=True, remarks=remarks)


def _in_words(result: Regression | Undefined) -> str:
    if isinstance(result, Undefined):
        return str(result)
    width = result.residuals.resolution
    text = str(width) if isinstance(width, Undefined) else f"{width.value:.4g} ± {width.uncertainty:.2g}"
    return f"bias {result.residuals.bias.value:.4g} ± {result.residuals.bias.uncertainty:.2g}, resolution {text}"


def _pictures(method: str, name: str, result: Regression | Undefined, events: TestedEvents) -> list[Picture]:
    numbers: dict[str, Any] = {"value": name, "method": method, "events": len(events)}
    of_events = f"of '{name}' by {method}, {len(events)} tested events."
    if not isinstance(result, Undefined) and result.negative_share:
        of_events += f" {result.negative_share:.2%} of the events have negative weights, which count as they are."
    whole: dict[str, Any] = {"undefined": result}
    cells, bins = dict(whole), dict(whole)
    if not isinstance(result, Undefined):
        whole = {key: getattr(result, key) for key in ("residuals", "correlation", "negative_share", "missing")}
        whole["distribution"] = result.distribution
        cells, bins = {"map": result.map}, {"edges": result.edges, "bins": result.in_bins}
    return [
        Picture(
            f"residuals_{name}",
            f"Residuals {of_events}",
            partial(draw_residuals, result, name),
            numbers | as_plain(whole),
            (Table(("Events", *_WIDTHS, "Correlation"), (_row_of_all(result),)),),
        ),
        Picture(
            f"truth_{name}",
            f"Prediction against truth {of_events}",
            partial(draw_truth_and_prediction, result, name),
            numbers | as_plain(cells),
        ),
        Picture(
            f"resolution_{name}",
            f"Bias and resolution in bins of the truth {of_events} The outermost bins hold what lies beyond them.",
            partial(draw_resolution, result, name),
            numbers | as_plain(bins),
            (Table(("Truth", "Events", *_WIDTHS), tuple(_rows_of_bins(result))),),
        ),
    ]


def _row_of_all(result: Regression | Undefined) -> tuple[Cell, ...]:
    if isinstance(result, Undefined):
        return (result,) * 5
    return (*_cells(result.residuals), result.correlation)


def _rows_of_bins(result: Regression | Undefined) -> Iterator[tuple[Cell, ...]]:
    if isinstance(result, Undefined):
        return
    for low, high, one in zip(result.edges[:-1], result.edges[1:], result.in_bins, strict=True):
        yield (f"{low:.4g} to {high:.4g}", *_cells(one))


def _cells(one: Residuals | Undefined) -> tuple[Cell, ...]:
    if isinstance(one, Undefined):
        return (0, one, one, one)
    return (one.entries, one.bias, one.resolution, one.central_width)


def reconstruction_errors(material: Material) -> Answer:
    """Distribution of the reconstruction error of every method, for each class."""
    material.announce(["reconstruction"])
    events = material.events
    found: dict[str, dict[str, Residuals | Undefined]] = {}
    pictures = {}
    for method in material.methods:
        errors = events.scores[method][:, 0].astype(np.float64)
        chosen = {name: np.flatnonzero(events.truth == index) for index, name in enumerate(events.classes)}
        found[method] = {
            name: no_sum_of_weights(events.weights[rows]) or residuals(errors[rows], events.weights[rows])
            for name, rows in chosen.items()
        }
        edges = score_edges([errors])
        shown = {name: density(histogram(errors[rows], events.weights[rows], edges)) for name, rows in chosen.items()}
        rows_of_table = tuple(
            (name, *_cells(one)[:3], *_quantiles(errors[chosen[name]])) for name, one in found[method].items()
        )
        header = ("Class", "Events", "Mean", "Standard deviation", *(f"{share:.0%} are below" for share in _SHARES))
        picture = Picture(
            "reconstruction",
            f"Reconstruction error by {method} for the events of each class, normalised to 1: {len(events)} events, "
            "each by the model that never saw it.",
            partial(draw_all_score_distributions, {events.outputs[0]: ScoreSamples(shown, {}, {})}),
            as_plain({"method": method, "events": len(events), "classes": found[method], "distributions": shown}),
            (Table(header, rows_of_table),),
        )
        pictures[method] = [picture]
    return Answer.by_method(pictures, _RECONSTRUCTION, numbers=found, only_first_open=True)


def _quantiles(errors: NDArray[np.float64]) -> list[Cell]:
    return [float(one) for one in np.quantile(errors, _SHARES)] if len(errors) else ["–"] * len(_SHARES)
