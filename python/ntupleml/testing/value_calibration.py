"""Whether predictions of values need a calibration, and what a line or rising steps make of them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntupleml.metrics.measurement import Undefined, as_plain
from ntupleml.metrics.response import Compared, Quality, compared, compared_in_bins, sample_of_values
from ntupleml.metrics.value_calibration import KINDS, calibrated, parts_of_events
from ntupleml.metrics.variable_bins import even_bins
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.resolution import draw_in_bins
from ntupleml.plots.style import literal
from ntupleml.testing.estimators import samples_of, subjects_of
from ntupleml.testing.steps import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ntupleml.metrics.measurement import Measurement
    from ntupleml.metrics.response import Sample
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.estimators import Subject
    from ntupleml.testing.material import Material

#: Bins of the prediction at most.
_BINS = 12
#: The prediction as it is.
_AS_IT_IS = "as it is"
_INTRODUCTION = (
    "Mean residual in bins of the prediction: what a prediction of this size is wrong by. Calibrated predictions are "
    "the mean truth for a prediction, by a line or by rising steps (isotonic), fitted with the events of the other "
    "models' folds. They depend on the distribution of the truth in these events. Vectors count by their size."
)
_COLUMNS = ("bias", "standard_deviation", "central_width", "response")


class Calibrated(NamedTuple):
    """One value, as it is and calibrated."""

    whole: Compared
    #: Why a calibration was not made.
    left_out: dict[str, Undefined]
    #: Shape (n_bins + 1,). Of the prediction as it is.
    edges: NDArray[np.float64]
    in_bins: list[Compared]


def calibrations_of_values(material: Material) -> Answer:
    """Mean residuals of every method against the prediction, before and after calibrations."""
    subjects = subjects_of(material)
    material.announce(f"calibrated_{one.name}" for one in subjects)
    found: dict[str, dict[str, Calibrated | Undefined]] = {method: {} for method in material.methods}
    pictures: dict[str, list[Picture]] = {method: [] for method in material.methods}
    for subject in subjects:
        samples = samples_of(material, subject)[subject.size]
        for method in material.methods:
            one = found[method][subject.name] = _calibrated(material, samples[method])
            pictures[method].append(_picture(method, subject, one))
    return Answer.by_method(pictures, _INTRODUCTION, numbers=found, only_first_open=True)


def _calibrated(material: Material, sample: Sample) -> Calibrated | Undefined:
    rows = np.flatnonzero(sample.known)
    prediction, truth, weights = sample.prediction[rows], sample.truth[rows], material.events.weights[rows]
    bins = even_bins(prediction, _BINS)
    if isinstance(bins, Undefined):
        return bins
    parts = parts_of_events(material.events.models[rows])
    samples = {_AS_IT_IS: sample_of_values(prediction, truth)}
    left_out: dict[str, Undefined] = {}
    for kind in KINDS:
        found = calibrated(kind, prediction, truth, weights, parts)
        if isinstance(found, Undefined):
            left_out[kind] = found
        else:
            samples[kind] = sample_of_values(found, truth)
    return Calibrated(compared(samples, weights), left_out, bins.edges, compared_in_bins(samples, weights, bins))


def _picture(method: str, subject: Subject, found: Calibrated | Undefined) -> Picture:
    name = f"calibrated_{subject.name}"
    numbers = {"method": method, "of": subject.name}
    if isinstance(found, Undefined):
        return Picture(name, f"{method}: {found}.", None, numbers | as_plain({"undefined": found}))
    caption = f"Mean residual of '{subject.name}' by {method} in bins of the prediction as it is, and widths there."
    caption += "".join(f" No {kind} calibration: {one.reason}." for kind, one in found.left_out.items())
    panels: list[tuple[str, dict[str, list[Measurement | Undefined]], float | None]] = [
        (
            text,
            {kind: [one.qualities[kind].numbers[number] for one in found.in_bins] for kind in found.whole.qualities},
            at,
        )
        for text, number, at in (("Prediction − truth", "bias", 0.0), ("Central 68 %", "central_width", None))
    ]
    rows = [("all", kind, *_cells(quality)) for kind, quality in found.whole.qualities.items()]
    for (low, high), one in zip(pairwise(found.edges), found.in_bins, strict=True):
        rows += [(f"{low:.4g} to {high:.4g}", kind, *_cells(own)) for kind, own in one.qualities.items()]
    return Picture(
        name,
        caption,
        partial(draw_in_bins, found.edges, panels, f"Prediction, {literal(subject.name)}"),
        numbers | as_plain(found),
        (Table(("Prediction", "Calibration", "Bias", "Standard deviation", "Central 68 %", "Response"), tuple(rows)),),
    )


def _in_bins(found: Calibrated, number: str) -> dict[str, list[Measurement | Undefined]]:
    return {kind: [one.qualities[kind].numbers[number] for one in found.in_bins] for kind in found.whole.qualities}


def _cells(quality: Quality) -> tuple[Cell, ...]:
    return tuple(quality.numbers[name] for name in _COLUMNS)
