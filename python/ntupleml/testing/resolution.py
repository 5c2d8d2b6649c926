"""Response and resolution of models and of simple estimators, side by side: of values, and of vectors by direction."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntupleml.metrics.histograms import histogram
from ntupleml.metrics.linearity import Linearity, linearity
from ntupleml.metrics.measurement import Measurement, Undefined, Verdict, as_plain
from ntupleml.metrics.number_texts import count_text, measurement_text
from ntupleml.metrics.response import TAILS, Compared, Sample, compared, compared_in_bins, narrowest
from ntupleml.metrics.score_distributions import density
from ntupleml.metrics.variable_bins import bins_of_edges, even_bins
from ntupleml.plots.pictures import Picture, Table
from ntupleml.plots.resolution import draw_in_bins, draw_linearity, draw_shapes
from ntupleml.plots.style import literal
from ntupleml.testing.estimators import config_of, references_of, samples_of, subjects_of
from ntupleml.testing.steps import Answer, Group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ntupleml.metrics.response import Quality
    from ntupleml.metrics.score_distributions import Density
    from ntupleml.metrics.variable_bins import VariableBins
    from ntupleml.plots.pictures import Cell
    from ntupleml.testing.estimators import Subject
    from ntupleml.testing.material import Material

#: Variable that is shown of everything.
TRUTH = "truth"
#: Bins of the truth at most, and of the shapes, which reach so many widths of the core to either side.
_BINS, _SHAPE_BINS, _REACH = 12, 60, 6.0
#: Response that calls attention, and deviations that make a difference sure.
_FAR_RESPONSE, _SURE = 0.05, 3.0
_INTRODUCTION = (
    "Response: mean prediction over mean truth. Resolution: half of the range of the central 68 % of the residuals of "
    "predictions that are divided by the response. Improvement: by how much it is smaller than that of the best "
    "reference, of the same events. Of a vector, 'parallel' and 'perpendicular' are the components along the true "
    "direction and across it."
)
_COLUMNS = {
    "response": "Response",
    "bias": "Bias",
    "standard_deviation": "Standard deviation",
    "central_width": "Central 68 %",
    "core_width": "Core",
    "corrected_central_width": "Central 68 %, corrected",
}


class OfQuantity(NamedTuple):
    """One quantity: in all events, and in bins."""

    whole: Compared
    #: By variable: edges, a result for each bin, and number of events that are in none.
    in_bins: dict[str, tuple[NDArray[np.float64], list[Compared], int] | Undefined]


def resolutions(material: Material) -> Answer:
    """Response, bias, resolution, linearity and tails of every method and reference, and what is gained."""
    subjects, references = subjects_of(material), references_of(material)
    config = config_of(material)
    material.announce(_names(subjects, [TRUTH, *config.variables]))
    found: dict[str, dict[str, OfQuantity]] = {}
    groups, verdicts, remarks = [], [], []
    for subject in subjects:
        samples = samples_of(material, subject)
        found[subject.name] = {
            quantity: _of_quantity(material, samples[subject.quantities[0]], own, list(references))
            for quantity, own in samples.items()
        }
        pictures = list(_pictures(material, subject, samples, found[subject.name], list(references)))
        groups.append(Group(subject.name if len(subjects) > 1 else "", pictures=tuple(pictures), method=None))
        first = found[subject.name][subject.quantities[0]].whole
        for method in material.methods:
            verdict = _verdict(first, method, list(references))
            verdicts.append((f"Resolution of {subject.name} by {method}", verdict))
            remarks.append(f"{method}, '{subject.name}': {verdict.text}")
    return Answer(_INTRODUCTION, tuple(groups), tuple(verdicts), found, tuple(remarks))


def _names(subjects: Sequence[Subject], variables: Sequence[str]) -> Iterator[str]:
    for subject in subjects:
        yield f"linearity_{subject.name}"
        for quantity in subject.quantities:
            yield f"shape_{_stem(subject, quantity)}"
            yield from (f"resolution_{_stem(subject, quantity)}_{variable}" for variable in variables)


def _stem(subject: Subject, quantity: str) -> str:
    return f"{subject.name}_{quantity}" if len(subject.outputs) > 1 else subject.name


def _of_quantity(
    material: Material, main: Mapping[str, Sample], samples: Mapping[str, Sample], references: Sequence[str]
) -> OfQuantity:
    weights = material.events.weights
    found = OfQuantity(compared(samples, weights, references), {})
    for name, (bins, left_out) in _all_bins(material, main).items():
        if isinstance(bins, Undefined):
            found.in_bins[name] = bins
        else:
            found.in_bins[name] = (bins.edges, compared_in_bins(samples, weights, bins, references), left_out)
    return found


def _all_bins(material: Material, samples: Mapping[str, Sample]) -> dict[str, tuple[VariableBins | Undefined, int]]:
    """Bins of the truth and of the variables of the config, and the number of events that are in none."""
    truth = next(iter(samples.values())).truth
    even = even_bins(truth, _BINS)
    found: dict[str, tuple[VariableBins | Undefined, int]] = {
        TRUTH: (even, 0 if isinstance(even, Undefined) else even.missing)
    }
    for name, one in config_of(material).variables.items():
        values = np.ascontiguousarray(material.events.values_of(one.formula))
        bins = even_bins(values, _BINS) if one.edges is None else bins_of_edges(values, one.edges)
        if isinstance(bins, Undefined):
            found[name] = (bins, 0)
        else:
            found[name] = (bins, bins.missing + (bins.below + bins.above if one.edges is not None else 0))
    return found


def _pictures(
    material: Material,
    subject: Subject,
    samples: Mapping[str, Mapping[str, Sample]],
    found: Mapping[str, OfQuantity],
    references: Sequence[str],
) -> Iterator[Picture]:
    variables = config_of(material).variables
    first = subject.quantities[0]
    for quantity, own in found.items():
        for variable, bins in own.in_bins.items():
            label = f"Truth, {literal(subject.name)}"
            if variable != TRUTH:
                label = variables[variable].label or literal(variables[variable].formula)
            yield _picture_in_bins(material, subject, quantity, variable, label, own, bins, references)
        yield _shape(material, subject, quantity, samples[quantity], own.whole, references)
        if quantity == first:
            yield _line(material, subject, samples[quantity])


def _of(material: Material, subject: Subject, quantity: str) -> str:
    what = f"'{subject.name}'" if len(subject.outputs) == 1 else f"'{subject.name}', {quantity}"
    return f"{what}: {count_text(len(material.events))} tested events"


def _picture_in_bins(
    material: Material,
    subject: Subject,
    quantity: str,
    variable: str,
    label: str,
    found: OfQuantity,
    bins: tuple[NDArray[np.float64], list[Compared], int] | Undefined,
    references: Sequence[str],
) -> Picture:
    name = f"resolution_{_stem(subject, quantity)}_{variable}"
    caption = f"Resolution in bins of {'the truth' if variable == TRUTH else variable} of "
    caption += f"{_of(material, subject, quantity)}."
    numbers: dict[str, Any] = {"of": subject.name, "quantity": quantity, "variable": variable}
    if isinstance(bins, Undefined):
        return Picture(name, f"{caption} {bins}.", None, numbers | as_plain({"undefined": bins}))
    edges, results, left_out = bins
    if left_out:
        caption += f" {left_out} events without a bin are left out."
    best = narrowest(found.whole, references, _width_of(found.whole))
    if best is not None:
        caption += f" The improvement is on {best}, the reference with the best resolution in all events."
    rows = tuple(
        (f"{low:.4g} to {high:.4g}", *row)
        for (low, high), one in zip(pairwise(edges), results, strict=True)
        for row in _rows(one, best)
    )
    return Picture(
        name,
        caption,
        partial(draw_in_bins, edges, _panels(results, found.whole, best), label),
        numbers | as_plain({"edges": edges, "left_out": left_out, "bins": results}),
        (Table(("Bin", *_header(best)), rows),),
    )


def _width_of(found: Compared) -> str:
    """The width that is shown: corrected for the response, where there is one."""
    has_response = any(isinstance(one.numbers["response"], Measurement) for one in found.qualities.values())
    return "corrected_central_width" if has_response else "central_width"


def _panels(
    results: Sequence[Compared], whole: Compared, best: str | None
) -> list[tuple[str, dict[str, list[Measurement | Undefined]], float | None]]:
    width = _width_of(whole)

    def of_all(number: str) -> dict[str, list[Measurement | Undefined]]:
        return {name: [one.qualities[name].numbers[number] for one in results] for name in whole.qualities}

    panels: list[tuple[str, dict[str, list[Measurement | Undefined]], float | None]] = [
        ("Resolution", of_all(width), None)
    ]
    if width == "corrected_central_width":
        panels.append(("Response", of_all("response"), 1.0))
    else:
        panels.append(("Bias", of_all("bias"), 0.0))
    if best is not None:
        gains = {name: [one.improvements[name][best][width] for one in results] for name in whole.improvements}
        panels.append(("Improvement", gains, 0.0))
    return panels


def _header(best: str | None) -> tuple[str, ...]:
    return ("Estimator", "Events", *_COLUMNS.values(), *([] if best is None else [f"Improvement on {best}"]))


def _rows(one: Compared, best: str | None) -> Iterator[tuple[Cell, ...]]:
    width = _width_of(one)
    for name, quality in one.qualities.items():
        gain: list[Cell] = []
        if best is not None:
            gain = [one.improvements[name][best][width] if name in one.improvements else "–"]
        yield (name, quality.entries, *(quality.numbers[column] for column in _COLUMNS), *gain)


def _shape(
    material: Material,
    subject: Subject,
    quantity: str,
    samples: Mapping[str, Sample],
    found: Compared,
    references: Sequence[str],
) -> Picture:
    shapes = {
        name: _density(sample, material.events.weights, found.qualities[name]) for name, sample in samples.items()
    }
    widths = {name: one.numbers["core_width"] for name, one in found.qualities.items()}
    best = narrowest(found, references, _width_of(found))
    tails = tuple(
        (name, *(one.tails[deviations] for deviations in TAILS), one.left_out, one.without_ratio)
        for name, one in found.qualities.items()
    )
    expected = ("normal distribution", *(f"{share:.4f}" for share in TAILS.values()), "–", "–")
    header = ("Estimator", *(f"Beyond {one} widths" for one in TAILS), "Left out", "Truth of zero")
    return Picture(
        f"shape_{_stem(subject, quantity)}",
        f"Residuals in units of the width of their core, a normal distribution that is fitted within ±2 of its widths: "
        f"{_of(material, subject, quantity)}.",
        partial(draw_shapes, shapes, widths),
        as_plain({"of": subject.name, "quantity": quantity, "all": found, "distributions": shapes}),
        (Table(_header(best), tuple(_rows(found, best)), "All events"), Table(header, (*tails, expected), "Tails")),
    )


def _density(sample: Sample, weights: NDArray[np.float64], quality: Quality) -> Density | Undefined:
    centre, width = quality.numbers["core_mean"], quality.numbers["core_width"]
    if isinstance(centre, Undefined):
        return centre
    if isinstance(width, Undefined):
        return width
    residuals = (sample.prediction - sample.truth)[sample.known]
    edges = np.linspace(-_REACH, _REACH, _SHAPE_BINS + 1)
    return density(histogram((residuals - centre.value) / width.value, weights[sample.known], edges))


def _line(material: Material, subject: Subject, samples: Mapping[str, Sample]) -> Picture:
    bins = even_bins(next(iter(samples.values())).truth, _BINS)
    lines: dict[str, Linearity | Undefined] = {
        name: bins if isinstance(bins, Undefined) else linearity(sample, material.events.weights, bins)
        for name, sample in samples.items()
    }
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(line,) * 3, "–")
        if isinstance(line, Undefined)
        else (name, line.slope, line.intercept, line.largest_deviation, f"{line.place:.4g}")
        for name, line in lines.items()
    )
    return Picture(
        f"linearity_{subject.name}",
        f"Mean predictions in bins of the truth, and lines through them, of {_of(material, subject, 'parallel')}.",
        partial(draw_linearity, lines, literal(subject.name)),
        as_plain({"of": subject.name, "lines": lines}),
        (Table(("Estimator", "Slope", "Intercept", "Largest deviation", "At"), rows),),
    )


def _verdict(found: Compared, method: str, references: Sequence[str]) -> Verdict:
    """Whether the resolution is better than that of the references, and the response is one."""
    quality, width = found.qualities[method], _width_of(found)
    response, own = quality.numbers["response"], quality.numbers[width]
    if not isinstance(own, Measurement):
        return Verdict("unknown", str(own))
    text = f"resolution {measurement_text(own)}"
    level, plain = "good", "It measures well."
    if isinstance(response, Measurement):
        text += f", response {measurement_text(response)}"
        if abs(response.value - 1) > max(_FAR_RESPONSE, _SURE * response.uncertainty):
            level, text = "attention", f"{text}, which a calibration may bring to 1"
            plain = "What it predicts is too large or too small on average."
    best = narrowest(found, references, width)
    gain = Undefined("") if best is None else found.improvements[method][best][width]
    if isinstance(gain, Measurement):
        text += f"; {gain.value:.1%} ± {gain.uncertainty:.1%} better than {best}"
        if gain.value < _SURE * gain.uncertainty:
            level, text = "attention", f"{text}, which is no sure improvement"
            plain = f"It is not clearly better than {best}."
        elif level == "good":
            plain = f"It is better than {best}."
    return Verdict("good" if level == "good" else "attention", text, plain)
