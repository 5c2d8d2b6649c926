"""Picture of a scan: efficiencies above, significances against the cut below, with the best cuts marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.panels import grid_of_panels
from ntupleml.plots.style import COLOURS, add_experiment_label, class_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.significance_bins import BinnedSignificance
    from ntupleml.metrics.significance_scan import BestCut, SignificanceScan

#: Size of the panels in inches.
_WIDTH, _ABOVE, _BELOW = 7.0, 2.4, 4.4
#: Where the scale of the significances ends: this much above the largest, so that the legend has room.
_HEADROOM = 1.65
#: Formulas whose best significances differ by more than this factor need a logarithmic scale.
_LARGEST_RATIO = 6.0
#: Names of the significances, in the order of their colours.
FORMULAS = ("asimov", "ams", "s_over_sqrt_b", "s_over_sqrt_s_plus_b")
#: Line styles, taken with the colours, so that curves can be told apart in grey.
_LINES = ("-", "--", "-.", ":")


def formula_labels(scan: SignificanceScan) -> dict[str, str]:
    """Texts of the formulas in pictures."""
    # As text, not as formulas, whose fonts take long to embed and lack the root in the experiments' styles.
    spread = f" ({100 * scan.background_uncertainty:g}% on B)" if scan.background_uncertainty else ""
    return {
        "asimov": f"Asimov Z{spread}",
        "ams": f"AMS (b_reg = {scan.b_reg:g})",
        "s_over_sqrt_b": "S/√B",
        "s_over_sqrt_s_plus_b": "S/√(S+B)",
    }


def draw_significance(
    scan: SignificanceScan | Undefined, binned: BinnedSignificance | Undefined, class_name: str, config: PlotConfig
) -> Figure:
    """Draw the scan of one class; call it inside `plot_style`.

    Above: efficiencies of signal and background. Below: significances by the four formulas, pale where a cut leaves
    too little background to be chosen, with points at the best cuts, and as a line the significance of all bins.

    Parameters
    ----------
    class_name : str
        The signal.
    """
    return draw_significances({class_name: (scan, binned)}, config)


def draw_significances(
    results: Mapping[str, tuple[SignificanceScan | Undefined, BinnedSignificance | Undefined]],
    config: PlotConfig,
    formulas: Sequence[str] = FORMULAS,
) -> Figure:
    """Draw the scans of several classes as `draw_significance`, side by side; call it inside `plot_style`.

    Parameters
    ----------
    results : mapping
        Scan and significance in bins by class.
    formulas : sequence of str
        Which significances are drawn.
    """
    figure, blocks = grid_of_panels(len(results), _WIDTH, (_ABOVE, _BELOW))
    # mplhep draws what is there already to find the place of its label, so it comes first.
    add_experiment_label(blocks[0][0], config)
    for (class_name, (scan, binned)), (above, below) in zip(results.items(), blocks, strict=True):
        label = class_labels([class_name], config)[0]
        below.set_xlabel(f"Cut on the score of {label}", loc="right")
        above.set_ylabel("Efficiency", loc="top")
        below.set_ylabel("Significance", loc="top")
        if isinstance(scan, Undefined):
            for axes in (above, below):
                axes.text(0.5, 0.5, str(scan), transform=axes.transAxes, ha="center", va="center")
            continue
        _draw_efficiencies(above, scan, label)
        _draw_significances(below, scan, binned, formulas)
    scans = [(scan, binned) for scan, binned in results.values() if not isinstance(scan, Undefined)]
    logarithmic = any(_ends(scan, binned, formulas)[2] for scan, binned in scans)
    for (scan, binned), (_, below) in zip(results.values(), blocks, strict=True):
        if not isinstance(scan, Undefined):
            _set_scale(below, scan, _ends(scan, binned, formulas)[:2], logarithmic=logarithmic)
    return figure


def _draw_efficiencies(axes: Axes, scan: SignificanceScan, label: str) -> None:
    lowest = 1.0
    for index, (name, (values, uncertainties)) in enumerate(
        ((label, scan.signal_efficiency), ("all others", scan.background_efficiency))
    ):
        # A logarithmic scale has no place for what is not positive, as negative weights may leave it.
        positive = np.where(values > 0, values, np.nan)
        lower = np.maximum(positive - uncertainties, 0.1 * positive)
        axes.plot(scan.cuts, positive, **_look(index), label=name)
        _draw_band(axes, scan.cuts, lower, positive + uncertainties, index)
        shown = positive[scan.enough_background]
        lowest = min(lowest, float(np.nanmin(shown, initial=lowest)))
    axes.set_yscale("log")
    axes.set_ylim(min(lowest / 2, 0.05), 1.6)
    axes.legend(loc="lower left", frameon=False)


def _draw_significances(
    axes: Axes, scan: SignificanceScan, binned: BinnedSignificance | Undefined, formulas: Sequence[str]
) -> None:
    labels = formula_labels(scan)
    for index, name in enumerate(FORMULAS):
        if name not in formulas:
            continue
        curve = scan.curves[name]
        values = np.where(curve.exists, curve.values, np.nan)
        preferable = np.where(scan.enough_background, values, np.nan)
        axes.plot(scan.cuts, values, **_look(index) | {"linewidth": 0.9}, alpha=0.4)
        axes.plot(scan.cuts, preferable, **_look(index), label=f"{labels[name]}: {_best_text(scan.best[name])}")
        lower, upper = preferable - curve.uncertainties, preferable + curve.uncertainties
        _draw_band(axes, scan.cuts, lower, upper, index)
        _mark(axes, scan.best[name], index)
    if not isinstance(binned, Undefined):
        total = binned.totals["asimov"].significance
        text = f"{labels['asimov']}, {len(binned.edges) - 1} bins: {measurement_text(total)}"
        axes.axhline(total.value, color=COLOURS[0], linewidth=0.9, dashes=(8, 4), label=text)
    legend = axes.legend(loc="upper left", frameon=False, title="Largest significance", alignment="left")
    legend.get_title().set_fontsize(legend.get_texts()[0].get_fontsize())


def _best_text(best: BestCut | Undefined) -> str:
    if isinstance(best, Undefined):
        return "undefined"
    return f"{measurement_text(best.significance)} at {measurement_text(best.cut)}"


def _mark(axes: Axes, best: BestCut | Undefined, index: int) -> None:
    """A point at the best cut, with the interval of the cut, which need not be symmetric."""
    if isinstance(best, Undefined):
        return
    lower, upper = best.interval
    below, above = max(best.cut.value - lower, 0.0), max(upper - best.cut.value, 0.0)
    axes.errorbar(
        best.cut.value,
        best.significance.value,
        xerr=[[below], [above]],
        yerr=best.significance.uncertainty,
        color=COLOURS[index],
        marker="o",
        markersize=6,
        capsize=2,
    )


def _ends(
    scan: SignificanceScan, binned: BinnedSignificance | Undefined, formulas: Sequence[str]
) -> tuple[float, float, bool]:
    """Smallest and largest of the best significances, and whether they need a logarithmic scale."""
    largest = {
        name: float(scan.curves[name].values.max()) if isinstance(best, Undefined) else best.significance.value
        for name, best in scan.best.items()
        if name in formulas
    }
    in_bins = [] if isinstance(binned, Undefined) else [binned.totals["asimov"].significance.value]
    top = max(*largest.values(), *in_bins)
    # A large regularisation makes the AMS small, whatever the others are.
    smallest = min(value for name, value in largest.items() if name != "ams" or len(largest) == 1)
    return smallest, top, smallest > 0 and top > _LARGEST_RATIO * smallest


def _set_scale(axes: Axes, scan: SignificanceScan, ends: tuple[float, float], *, logarithmic: bool) -> None:
    """A scale that the curves fill up to where the legend begins; logarithmic where formulas differ much."""
    axes.set_xlim(*_limits(scan))
    smallest, top = ends
    if top <= 0:
        return
    if smallest <= 0 or not logarithmic:
        axes.set_ylim(0, _HEADROOM * top)
        return
    bottom = smallest / 10
    axes.set_yscale("log")
    axes.set_ylim(bottom, top * (top / bottom) ** (_HEADROOM - 1))


def _limits(scan: SignificanceScan) -> tuple[float, float]:
    margin = 0.02 * (scan.cuts[-1] - scan.cuts[0])
    return float(scan.cuts[0] - margin), float(scan.cuts[-1] + margin)


def _draw_band(axes: Axes, cuts: Any, lower: Any, upper: Any, index: int) -> None:
    axes.fill_between(cuts, lower, upper, color=COLOURS[index], alpha=0.3, linewidth=0)


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index], "linestyle": _LINES[index], "linewidth": 1.8}
