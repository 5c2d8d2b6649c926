"""Picture of the calibration: reliability curves of all classes, and their scores below."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ntupleml.metrics.calibration import Calibration
from ntupleml.metrics.measurement import Measurement, Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.panels import indent_of, say_undefined
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels, new_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.calibration import ReliabilityCurve

#: Size of the panels of one class in inches, and of what is between them.
_WIDTH, _ABOVE, _BELOW, _BETWEEN, _ASIDE = 4.6, 4.0, 1.3, 0.2, 1.1
#: Classes side by side.
_LONGEST_ROW = 3
_MARKERS = "os^D"


def draw_calibration(results: Mapping[str, Mapping[str, Calibration | Undefined]], config: PlotConfig) -> Figure:
    """Draw reliability curves; call it inside `plot_style`.

    Above: share of the class against mean score in bins of the score, on the dashed line where they agree. Below: sums
    of weights of the class (line) and of all others (filled) with these scores, by the first mixture.

    Parameters
    ----------
    results : mapping
        By class and, within it, by mixture (how the events are weighted).
    """
    block = _ABOVE + _BETWEEN + _BELOW
    columns = len(results) if len(results) <= _LONGEST_ROW else math.ceil(math.sqrt(len(results)))
    rows = math.ceil(len(results) / columns)
    width, height = columns * (_WIDTH + _ASIDE) - _ASIDE, rows * (block + _ASIDE) - _ASIDE
    figure, first = new_figure(width, height)
    for index, ((_, by_mixture), label) in enumerate(zip(results.items(), class_labels(results, config), strict=True)):
        above = figure.add_subplot() if index else first
        below = figure.add_subplot(sharex=above)
        indent = indent_of(index, len(results), columns)
        left, bottom = (
            (indent + index % columns) * (_WIDTH + _ASIDE),
            height - block - index // columns * (block + _ASIDE),
        )
        above.set_position((left / width, (bottom + _BELOW + _BETWEEN) / height, _WIDTH / width, _ABOVE / height))
        below.set_position((left / width, bottom / height, _WIDTH / width, _BELOW / height))
        above.tick_params(labelbottom=False)
        below.set_xlabel(f"Score of {label}", loc="right")
        if index % columns == 0:
            above.set_ylabel("Share of the class", loc="top")
            below.set_ylabel("Σ w")
        _draw_class(above, below, by_mixture)
    add_experiment_label(first, config)
    return figure


def _draw_class(above: Axes, below: Axes, by_mixture: Mapping[str, Calibration | Undefined]) -> None:
    import matplotlib as mpl

    above.plot([0, 1], [0, 1], linestyle="--", linewidth=1, color=mpl.rcParams["axes.edgecolor"], alpha=0.6)
    above.set_xlim(0, 1)
    known = [one for one in by_mixture.values() if isinstance(one, Calibration)]
    if not known:
        for reason in by_mixture.values():
            if isinstance(reason, Undefined):
                say_undefined(above, reason)
        return
    for index, (mixture, one) in enumerate(by_mixture.items()):
        if isinstance(one, Undefined):
            above.plot([], [], linestyle="none", label=f"{mixture}: undefined")
            continue
        brier, error = one.brier, one.error.value
        label = f"{mixture}:\nBrier {measurement_text(brier)}, ECE {measurement_text(error)}"
        _draw_curve(above, one.curve, index, label)
    above.set_ylim(-0.04, 1.06 + 0.21 * len(by_mixture))
    above.set_yticks(np.linspace(0, 1, 6))
    above.legend(loc="upper left", frameon=False, alignment="left")
    _draw_scores(below, known[0].curve)


def _draw_curve(axes: Axes, curve: ReliabilityCurve, index: int, label: str) -> None:
    points = np.array(
        [
            (score, *share)
            for score, share in zip(curve.mean_scores, curve.shares, strict=True)
            if isinstance(share, Measurement) and not isinstance(score, Undefined)
        ],
        dtype=np.float64,
    ).reshape(-1, 3)
    axes.errorbar(
        *points.T,
        color=COLOURS[(0, 2, 3, 1)[index % 4]],
        marker=_MARKERS[index % len(_MARKERS)],
        markersize=5,
        fillstyle="none" if index else "full",
        linewidth=1,
        elinewidth=1.2,
        label=label,
    )


def _draw_scores(axes: Axes, curve: ReliabilityCurve) -> None:
    """Sums of weights on a logarithmic scale; what is not positive is left out."""
    shown = np.concatenate([curve.signal, curve.background])
    shown = shown[shown > 0]
    axes.set_yscale("log")
    axes.set_ylim(0.5 * float(shown.min()), 30 * float(shown.max()))
    background = np.where(curve.background > 0, curve.background, np.nan)
    axes.stairs(background, curve.edges, baseline=None, color=COLOURS[4], linewidth=1.6, label="others")
    signal = np.where(curve.signal > 0, curve.signal, np.nan)
    axes.stairs(signal, curve.edges, baseline=None, color=COLOURS[0], linewidth=1.6, linestyle="--", label="class")
    axes.legend(loc="upper center", ncols=2, frameon=False, borderaxespad=0.1)
