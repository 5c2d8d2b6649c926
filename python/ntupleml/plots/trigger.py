"""Pictures of anomaly triggers: rates against thresholds, efficiencies with error bars, against rates and variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import NullFormatter

from ntupleml.metrics.measurement import Undefined
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.panels import add_label_above, draw_points, grid_of_panels, points_with_errors, say_undefined
from ntupleml.plots.style import COLOURS, class_labels, literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntupleml.config import PlotConfig
    from ntupleml.metrics.low_rate_roc import LowRateRoc
    from ntupleml.metrics.measurement import Interval, Measurement
    from ntupleml.metrics.trigger_efficiencies import EfficiencyAtRate
    from ntupleml.metrics.trigger_rates import RateCurve, RateThreshold

    Value = Interval | Measurement | Undefined

#: Size of a panel, and the room beside, below and above panels, in inches.
_WIDTH, _HEIGHT, _ASIDE, _UNDER, _ABOVE = 5.0, 4.0, 1.3, 1.1, 0.35
#: Width of a class in pictures of error bars, in inches.
_PER_CLASS = 1.1
_MARKERS = "os^DvP*X"
_LINES = ("-", "--", "-.", ":")
#: Factor between numbers from which on a logarithmic axis shows them better.
_SPAN = 20.0
#: Room above the curves for each line of a legend, as a share of the height, and above all of it.
_LEGEND_LINE, _MARGIN = 0.065, 0.06


def _panels(titles: Sequence[str], config: PlotConfig, width: float = _WIDTH) -> tuple[Figure, list[Axes]]:
    """Panels side by side, each with its title."""
    figure, blocks = grid_of_panels(max(len(titles), 1), width, (_HEIGHT,), 3, _ASIDE, _UNDER)
    axes_of_all = [axes for (axes,) in blocks]
    for axes, title in zip(axes_of_all, titles, strict=False):
        axes.text(0.0, 1.02, literal(title), transform=axes.transAxes, va="bottom")
    if not titles:
        say_undefined(axes_of_all[0], Undefined("no scheme has a threshold"))
    add_label_above(figure, config, _ABOVE)
    return figure, axes_of_all


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": _LINES[index // len(COLOURS) % len(_LINES)]}


def _marks(index: int) -> dict[str, Any]:
    return {"marker": _MARKERS[index % len(_MARKERS)], "color": COLOURS[index % len(COLOURS)]}


def draw_rate_curves(curves: Mapping[str, tuple[RateCurve, RateThreshold] | Undefined], config: PlotConfig) -> Figure:
    """Draw pure and total rate against the threshold, on a logarithmic axis; call it inside `plot_style`.

    Parameters
    ----------
    curves : mapping of str to (RateCurve, RateThreshold) or Undefined
        By trigger: the curve, and the threshold in use.
    """
    figure, panels = _panels(["L1" if name == "l1" else name for name in curves], config)
    for axes, (name, one) in zip(panels, curves.items(), strict=True):
        if isinstance(one, Undefined):
            say_undefined(axes, one)
            continue
        curve, used = one
        for index, kind in enumerate(("total", "pure")):
            rates, errors = (getattr(curve, f"{kind}_{what}") for what in ("rates", "uncertainties"))
            shown = np.where(rates > 0, rates, np.nan)
            axes.plot(curve.thresholds, shown, drawstyle="steps-post", **_look(index), label=f"{kind} rate")
            lower = np.maximum(rates - errors, np.finfo(np.float64).tiny)
            band: dict[str, Any] = {"color": COLOURS[index], "alpha": 0.3, "linewidth": 0, "step": "post"}
            axes.fill_between(curve.thresholds, lower, rates + errors, where=rates > 0, **band)
        axes.axhline(used.target_rate, color="grey", linestyle="--", linewidth=1.2, label=f"{used.target_rate:g} Hz")
        if used.threshold is not None:
            text = f"score ≥ {used.threshold:.4g}"
            axes.axvline(used.threshold, color="black", linestyle="--", linewidth=1.2, label=text)
        axes.set_yscale("log")
        positive = curve.total_rates[curve.total_rates > 0]
        lowest = min(float(positive.min()), used.target_rate) if len(positive) else used.target_rate
        axes.set_ylim(lowest / 3, used.input_rate * 3)
        axes.set_xlabel(f"Threshold on the score of {'L1' if name == 'l1' else 'the HLT'}", loc="right")
        axes.set_ylabel("Rate (Hz)", loc="top")
        axes.legend(frameon=False, loc="upper right")
    return figure


def draw_trigger_numbers(
    schemes: Mapping[str, Mapping[str, Mapping[str, Value]]], quantity: str, config: PlotConfig, *, spans: bool = False
) -> Figure:
    """Draw numbers of classes as points with error bars, a panel for each scheme; call it inside `plot_style`.

    Parameters
    ----------
    schemes : mapping
        By scheme, by what is shown (the legend), and by class.
    quantity : str
        Label of the y axis.
    spans : bool
        Whether the axis is logarithmic where the largest number is far above the smallest one.
    """
    number = max((len(one) for shown in schemes.values() for one in shown.values()), default=1)
    figure, panels = _panels(list(schemes), config, max(_WIDTH, _PER_CLASS * number))
    for axes, shown in zip(panels, schemes.values(), strict=False):
        classes = list(next(iter(shown.values())))
        drawn = np.array([points_with_errors(list(one.values()))[0] for one in shown.values()])
        drawn = drawn[np.isfinite(drawn)]
        if spans and len(drawn) and drawn.min() > 0 and drawn.max() > _SPAN * drawn.min():
            axes.set_yscale("log", nonpositive="clip")
        for index, (text, by_class) in enumerate(shown.items()):
            values, errors = points_with_errors([by_class[name] for name in classes])
            places = np.arange(len(classes)) + 0.5 * ((index + 0.5) / len(shown) - 0.5)
            axes.errorbar(places, values, errors, linestyle="none", markersize=5, label=literal(text), **_marks(index))
        labels = class_labels(classes, config)
        is_long = sum(map(len, labels)) > 8 * _WIDTH
        axes.set_xticks(range(len(classes)), labels, rotation=90 if is_long else 0)
        axes.set_xlim(-0.6, len(classes) - 0.4)
        axes.tick_params(axis="x", which="minor", bottom=False, top=False)
        axes.set_ylabel(quantity, loc="top")
        _make_room(axes, len(shown))
        axes.legend(frameon=False, loc="upper left")
    return figure


def _make_room(axes: Axes, lines: int) -> None:
    """From zero where the axis is linear, with room for a legend above the points."""
    low, high = axes.get_ylim()
    share = min(_LEGEND_LINE * lines + _MARGIN, 0.7)
    if axes.get_yscale() == "log":
        axes.set_ylim(low, low * (high / low) ** (1 / (1 - share)))
        return
    axes.set_ylim(min(0.0, low), max(high, 1e-6) / (1 - share))


def draw_efficiencies_at_rates(
    schemes: Mapping[str, Mapping[str, Sequence[EfficiencyAtRate]]], used: float, config: PlotConfig
) -> Figure:
    """Draw the efficiency of each class against the pure rate, a panel for each scheme; call it inside `plot_style`.

    Parameters
    ----------
    schemes : mapping
        By scheme and class.
    used : float
        Pure rate in use, in Hz.
    """
    figure, panels = _panels(list(schemes), config)
    for axes, classes in zip(panels, schemes.values(), strict=False):
        for index, (name, points) in enumerate(zip(class_labels(classes, config), classes.values(), strict=True)):
            rates = np.array([one.rate.target_rate for one in points])
            values, (down, up) = points_with_errors([one.efficiency for one in points])
            axes.plot(rates, values, **_look(index), label=name)
            axes.fill_between(rates, values - down, values + up, color=_look(index)["color"], alpha=0.3, linewidth=0)
        axes.axvline(used, color="grey", linestyle="--", linewidth=1.2)
        axes.set_xscale("log")
        axes.set_xlabel("Pure rate of the anomaly trigger (Hz)", loc="right")
        axes.set_ylabel("Accepted of what L1 accepts", loc="top")
        _make_room(axes, len(classes))
        axes.legend(frameon=False, loc="upper left")
    return figure


def draw_efficiencies_in_bins(
    edges: NDArray[np.float64],
    schemes: Mapping[str, Mapping[str, Sequence[Value]]],
    label: str,
    config: PlotConfig,
    *,
    quantity: str = "Accepted of what L1 accepts",
) -> Figure:
    """Draw the efficiency of each class in bins of a variable, a panel for each scheme; call it inside `plot_style`.

    Parameters
    ----------
    edges : array of float64, shape (n_bins + 1,)
    schemes : mapping
        By scheme and class, one for each bin.
    label : str
        Of the x axis, with its unit.
    quantity : str
        Label of the y axis.
    """
    figure, panels = _panels(list(schemes), config)
    for axes, classes in zip(panels, schemes.values(), strict=False):
        for index, (name, values) in enumerate(zip(class_labels(classes, config), classes.values(), strict=True)):
            draw_points(axes, edges, values, markersize=4, label=name, **_marks(index))
        axes.set_xlim(float(edges[0]), float(edges[-1]))
        axes.set_xlabel(label, loc="right")
        axes.set_ylabel(quantity, loc="top")
        _make_room(axes, len(classes))
        axes.legend(frameon=False, loc="upper left")
    return figure


def draw_low_rate_rocs(schemes: Mapping[str, Mapping[str, LowRateRoc | Undefined]], config: PlotConfig) -> Figure:
    """Draw ROC curves with both axes logarithmic, a panel for each scheme; call it inside `plot_style`.

    Parameters
    ----------
    schemes : mapping
        By scheme and signal.
    """
    figure, panels = _panels(list(schemes), config)
    for axes, curves in zip(panels, schemes.values(), strict=False):
        lowest = 0.1
        for index, (name, curve) in enumerate(zip(class_labels(curves, config), curves.values(), strict=True)):
            look = _look(index)
            if isinstance(curve, Undefined):
                axes.plot([], [], color="none", label=f"{name}: {curve}")
                continue
            at, values, errors = curve[:3]
            lowest = min(lowest, float(at[0]))
            text = f"{name}: {measurement_text(curve.auc)}"
            axes.plot(at, np.where(values > 0, values, np.nan), **look, label=text)
            lower = np.maximum(values - errors, np.finfo(np.float64).tiny)
            axes.fill_between(at, lower, np.minimum(values + errors, 1), color=look["color"], alpha=0.3, linewidth=0)
            if curve.working_point is not None:
                (x, y), sides = points_with_errors(list(curve.working_point))
                x_sides, y_sides = sides.T[:, :, np.newaxis]
                axes.errorbar(
                    [x], [y], y_sides, x_sides, color=look["color"], marker=_MARKERS[index % len(_MARKERS)], capsize=2
                )
        diagonal = np.geomspace(lowest, 1, 50)
        axes.plot(diagonal, diagonal, color="grey", linestyle=":", linewidth=1.2, label="by chance")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(lowest, 1)
        axes.set_ylim(lowest, 1.5)
        if lowest <= 0.1:  # else there would be no number on an axis
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("False positive rate", loc="right")
        axes.set_ylabel("Signal efficiency", loc="top")
        axes.legend(frameon=False, loc="lower right", title="Area below the curve", alignment="left")
    return figure
