"""Names of any length stand whole in the figures of the page, also in a browser that lacks their font."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.plots.pictures import write_picture_and_svg
from ntupleml.testing.input_summary import input_summary_of_events
from ntupleml.testing.inputs import inputs_pictures
from ntupleml.testing.tested_events import TestedEvents

from .checks import CUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = ["signal", "background_from_misidentified_leptons_and_photons_2018", "ztt"]
VARIABLES = ["x", "a_rather_long_name_of_a_variable_that_goes_on_and_on", "TMath::Abs(jet_pt[0]-jet_pt[1])/(met+ht)"]


@pytest.mark.parametrize("font", ["'DejaVu Sans'", "monospace"])
def test_no_text_is_cut(tmp_path: Path, open_page: Callable[..., Any], font: str) -> None:
    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 900)
    values = random.normal(size=(900, 3)) + truth[:, None]
    values[:, 1] = np.exp(2 * values[:, 1])  # has overflow
    values[::5, 2] = np.nan
    events = TestedEvents(CLASSES, {}, truth, np.ones(900), np.zeros(900, "i8"), VARIABLES, values.astype("f4"), {}, {})
    body = ""
    for number, picture in enumerate(inputs_pictures(input_summary_of_events(events), in_panels=True)):
        stem = tmp_path / picture.name
        body += write_picture_and_svg(picture, stem, PlotConfig(), f"p{number}")[1]
    assert "misidentified" in body
    page = tmp_path / "page.html"
    body = body.replace("'DejaVu Sans', Verdana, sans-serif", font)
    page.write_text(f"<meta charset=utf-8><body>{body}", encoding="utf-8")
    assert open_page(page).page.evaluate(CUT) == []
