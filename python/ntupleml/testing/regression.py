"""What models of values and of the inputs themselves predict: residuals of each value, and errors of reconstruction."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics import Undefined, as_plain, histogram
from ntupleml.metrics.measurement import no_sum_of_weights
from ntupleml.metrics.number_texts import count_text, measurement_text
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
    "The reconstruction error is the mean squared error of the inputs that a network gives back, in units of their "
    "scalers. Events unlike those of the training have larger ones."
)
_ERROR = "reconstruction_error"
_IN_WORDS = {
    _ERROR: "Reconstruction error",
    "latent_norm": "Mean square of the latent numbers",
    "kl": "Kullback-Leibler divergence of the latent numbers from the normal distribution",
}
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
    text = str(width) if isinstance(width, Undefined) else measurement_text(width)
    return f"bias {measurement_text(result.residuals.bias)}, resolution {text}"


def _pictures(method: str, name: str, result: Regression | Undefined, events: TestedEvents) -> list[Picture]:
    numbers: dict[str, Any] = {"value": name, "method": method, "events": len(events)}
    of_events = f"of '{name}' by {method}, {count_text(len(events))} tested events."
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
    """Distribution of the reconstruction error, and of other scores of a reconstruction, by method and class."""
    names = material.preparation.training.outputs if material.found else material.events.outputs
    material.announce(map(_picture_name, names))
    events = material.events
    found: dict[str, dict[str, dict[str, Residuals | Undefined]]] = {}
    pictures: dict[str, list[Picture]] = {}
    for method in material.methods:
        found[method], pictures[method] = {}, []
        for index, name in enumerate(events.outputs):
            scores = events.scores[method][:, index].astype(np.float64)
            found[method][name], picture = _of_score(method, name, scores, events)
            pictures[method].append(picture)
    return Answer.by_method(pictures, _RECONSTRUCTION, numbers=found, only_first_open=True)


def _picture_name(score: str) -> str:
    return "reconstruction" if score == _ERROR else f"reconstruction_{score}"


def _of_score(
    method: str, name: str, scores: NDArray[np.float64], events: TestedEvents
) -> tuple[dict[str, Residuals | Undefined], Picture]:
    """Mean and width of a score for each class, and its picture."""
    chosen = {label: np.flatnonzero(events.truth == index) for index, label in enumerate(events.classes)}
    found = {
        label: no_sum_of_weights(events.weights[rows]) or residuals(scores[rows], events.weights[rows])
        for label, rows in chosen.items()
    }
    edges = score_edges([scores])
    shown = {label: density(histogram(scores[rows], events.weights[rows], edges)) for label, rows in chosen.items()}
    lines = tuple((label, *_cells(one)[:3], *_quantiles(scores[chosen[label]])) for label, one in found.items())
    header = ("Class", "Events", "Mean", "Standard deviation", *(f"{share:.0%} are below" for share in _SHARES))
    picture = Picture(
        _picture_name(name),
        f"{_IN_WORDS.get(name, name)} by {method} for the events of each class, normalised to 1: "
        f"{count_text(len(events))} events, each by the model that never saw it.",
        partial(draw_all_score_distributions, {name: ScoreSamples(shown, {}, {})}),
        as_plain({"method": method, "score": name, "events": len(events), "classes": found, "distributions": shown}),
        (Table(header, lines),),
    )
    return found, picture


def _quantiles(errors: NDArray[np.float64]) -> list[Cell]:
    return [float(one) for one in np.quantile(errors, _SHARES)] if len(errors) else ["–"] * len(_SHARES)
