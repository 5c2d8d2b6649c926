"""Pictures of the inputs: what is on the axes, extra columns, and that undefined classes do not stop the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from ntupleml.config import PlotConfig
from ntupleml.metrics.input_binning import choose_binning
from ntupleml.metrics.input_sums import ClassSums
from ntupleml.metrics.inputs import InputSummary, input_summary
from ntupleml.metrics.number_texts import measurement_text
from ntupleml.plots.correlations import draw_all_correlations, draw_correlations, draw_differences
from ntupleml.plots.inputs import draw_distributions, draw_separation_ranking, draw_several_distributions, number_text
from ntupleml.plots.pictures import PARAMETERS
from ntupleml.plots.style import plot_style, save_figure

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

PLAIN = PlotConfig()
CMS = PlotConfig(style="CMS", label="Preliminary", com=13, class_labels={"class_0": r"$Z\to\tau\tau$"})


def summary_of(num_variables: int = 3, num_classes: int = 3, weight: float = 1.0) -> InputSummary:
    """The first variable has default values, the second NaN and outliers; the last class has some weight."""
    random = np.random.default_rng(1)
    samples = []
    for index in range(num_classes):
        values = random.normal(0.3 * index, 1, (500, num_variables)).astype("f4")
        values[: 50 * (index + 1), 0] = -999
        values[:20, 1], values[20, 1], values[21, 1] = np.nan, np.inf, -1e6
        samples.append((values, np.full(500, 1.0 if index < num_classes - 1 else weight)))
    binnings = {
        f"v{index}": choose_binning([values[:, index] for values, _ in samples], [weights for _, weights in samples])
        for index in range(num_variables)
    }
    sums = {}
    for index, sample in enumerate(samples):
        sums[f"class_{index}"] = ClassSums(list(binnings.values()))
        sums[f"class_{index}"].add(*sample)
    return input_summary(sums, binnings)


def draw(summary: InputSummary, variable: str, config: PlotConfig = PLAIN) -> Figure:
    return draw_distributions(variable, summary.binnings[variable], summary.distributions[variable], config)


def test_distributions_are_normalised_and_extra_columns_say_their_shares() -> None:
    summary = summary_of()
    with plot_style(CMS):
        axes = draw(summary, "v0", CMS).axes[0]
    fractions = summary.distributions["v0"]["class_0"].fractions
    patches = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    step, band = patches[0].get_data(), patches[1].get_data()
    assert step.values[:50] == pytest.approx(fractions.bins)
    assert np.isnan(step.values[50])
    assert step.values[51] == pytest.approx(0.1)  # 50 of 500 events
    assert band.values[:50] - band.baseline[:50] == pytest.approx(2 * fractions.uncertainties)
    assert "−999: 10 to 30 %" in [text.get_text() for text in axes.texts]
    assert axes.get_xlabel() == "v0"
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    separation = summary.distributions["v0"]["class_0"].separation
    assert texts[0] == rf"$Z\to\tau\tau$: {measurement_text(separation)}"
    assert axes.get_ylim()[1] < 0.2  # the column of default values does not flatten the others


def test_underflow_overflow_and_nan_have_columns() -> None:
    with plot_style(PLAIN):
        axes = draw(summary_of(), "v1").axes[0]
    assert [text.get_text() for text in axes.texts] == ["underflow: 0.2 %", "overflow: 0.2 %", "NaN: 4 %"]
    assert axes.get_xlim()[0] < -4 < 4 < axes.get_xlim()[1]


def test_notes_of_extra_columns_and_long_names_stay_in_their_panels() -> None:
    """In the small panels too: a note is no longer than its column is high, a name no wider than its panel."""
    summary = summary_of(2)
    names = {"v0": "v0", "a_name_" * 20: "v1"}
    chosen = {name: (summary.binnings[one], summary.distributions[one]) for name, one in names.items()}
    with plot_style(PLAIN, PARAMETERS):
        figure = draw_several_distributions(chosen, PLAIN)
        notes = 0
        for axes in figure.axes:
            box = axes.get_window_extent()
            assert axes.xaxis.label.get_window_extent().width <= box.width + 1
            for text in axes.texts:
                if text.get_rotation() == 90:
                    notes += 1
                    assert text.get_window_extent().height <= box.height
        assert notes >= 3


def test_titles_of_matrices_are_no_wider_than_these() -> None:
    of_classes = summary_of(4).correlations.values()
    matrices = {f"background_of_{'many_' * 8}kinds_{index}": one for index, one in enumerate(of_classes)}
    with plot_style(PLAIN, PARAMETERS):
        figure = draw_all_correlations(matrices, PLAIN)
        titles = [(axes, text) for axes in figure.axes for text in axes.findobj(Text) if "many" in text.get_text()]
        assert len(titles) == 3
        for axes, title in titles:
            assert title.get_window_extent().width <= axes.get_window_extent().width + 1


def test_without_any_the_picture_ends_with_the_bins() -> None:
    summary = summary_of()
    with plot_style(PLAIN):
        axes = draw(summary, "v2").axes[0]
    edges = summary.binnings["v2"].edges
    assert not axes.texts
    assert edges is not None
    assert axes.get_xlim() == (edges[0], edges[-1])
    assert all(edges[0] <= tick <= edges[-1] for tick in axes.get_xticks())


def test_classes_that_cannot_be_normalised_are_named() -> None:
    with plot_style(PLAIN):
        axes = draw(summary_of(weight=-1.0), "v2").axes[0]
    assert axes.get_legend().get_texts()[2].get_text() == "class_2: undefined: sum of weights is negative"
    assert len(axes.patches) == 4


def test_negative_bins_are_drawn_as_they_are() -> None:
    random = np.random.default_rng(2)
    values = np.append(np.zeros(50), np.ones(50)).astype("f4")[:, np.newaxis]
    weights = np.append(np.full(50, 1.0), np.full(50, -0.5)) * random.uniform(0.9, 1.1, 100)
    binnings = {"x": choose_binning([values[:, 0]], [weights])}
    sums = ClassSums(list(binnings.values()))
    sums.add(values, weights)
    with plot_style(PLAIN):
        axes = draw(input_summary({"a": sums}, binnings), "x").axes[0]
    assert axes.patches[0].get_data().values[1] == pytest.approx(-1, abs=0.1)
    assert axes.get_ylim()[0] < -0.9


def test_a_variable_without_values_says_so() -> None:
    values = np.full((5, 1), np.nan, dtype="f4")
    binnings = {"x": choose_binning([values[:, 0]], [np.ones(5)])}
    sums = ClassSums(list(binnings.values()))
    sums.add(values, np.ones(5))
    summary = input_summary({"a": sums}, binnings)
    with plot_style(PLAIN):
        assert draw(summary, "x").axes[0].texts[0].get_text() == "undefined: no event has a finite value"
        axes = draw_separation_ranking(summary, PLAIN).axes[0]
        assert axes.texts[0].get_text() == "undefined: no variable has a separation"


def test_ranking_has_the_largest_on_top() -> None:
    summary = summary_of(5)
    ranked = summary.ranking()
    with plot_style(CMS):
        axes = draw_separation_ranking(summary, CMS).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == [name for name, _, _ in ranked]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    widths = [bar.get_width() for bar in axes.patches[:5]]
    assert widths == [separation.value for _, _, separation in ranked]
    assert widths == sorted(widths, reverse=True)
    assert [text.get_text() for text in axes.get_legend().get_texts()][1:] == [r"$Z\to\tau\tau$", "class_1", "class_2"]


@pytest.mark.parametrize(("number", "has_numbers"), [(2, True), (20, True), (60, False)])
def test_matrices_have_numbers_where_they_fit(number: int, has_numbers: bool) -> None:
    summary = summary_of(number, 2)
    with plot_style(CMS):
        figure = draw_correlations(summary.correlations["class_0"], "class_0", CMS)
    axes = figure.axes[0]
    numbers = [text.get_text() for text in axes.texts]
    assert (numbers.count("100") == number) == has_numbers
    shown = axes.images[0].get_array()
    assert shown[1, 1] == pytest.approx(100)
    assert shown[0, 1] == pytest.approx(100 * summary.correlations["class_0"].coefficients[0, 1])
    assert numbers[: 2 * number : 2] == numbers[1 : 2 * number : 2] == summary.variables
    assert figure.axes[1].get_ylabel() == r"Correlation in $Z\to\tau\tau$ (%)"
    assert axes.images[0].norm.vmax == 100


def test_undefined_coefficients_are_no_colour() -> None:
    summary = summary_of(weight=-1.0)
    with plot_style(PLAIN):
        axes = draw_differences(summary.differences["class_2"], "class_2", PLAIN).axes[0]
    assert axes.images[0].get_array().mask.all()
    assert {text.get_text() for text in axes.texts[6:]} == {"–"}
    assert axes.images[0].norm.vmax == pytest.approx(20)


@pytest.mark.parametrize("style", ["plain", "CMS", "ATLAS", "LHCb"])
def test_all_styles_can_be_saved(style: str, tmp_path: Path) -> None:
    """Warnings, as those about characters that a font does not have, are errors."""
    config = PlotConfig(style=style, label="Simulation", lumi=59.7, com=13)
    summary = summary_of()
    with plot_style(config, PARAMETERS):
        for name, figure in {
            "v0": draw(summary, "v0", config),
            "ranking": draw_separation_ranking(summary, config),
            "difference": draw_differences(summary.differences["class_0"], "class_0", config),
        }.items():
            save_figure(figure, tmp_path / name, ["png", "pdf"])


def test_texts_of_numbers() -> None:
    assert [number_text(number) for number in (-0.5, 1e6, 150000.0, 0.1 + 0.2)] == [
        "−0.5",
        "1e6",
        "150\u202f000",
        "0.3",
    ]
