"""A page of five classes and thirty variables: what it weighs, and whether all can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ntupleml.config import PlotConfig
from ntupleml.reports.page import Section, page_of
from ntupleml.reports.page_files import write_page
from ntupleml.reports.summary import title_of
from ntupleml.testing.material import Material
from ntupleml.testing.registry import STEPS
from ntupleml.testing.tested_events import TestedEvents

from .checks import require_no_overflow, require_texts_apart

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = ["HH_signal", "ztt", "ttbar", "wjets", "diboson"]
SECTIONS = ("inputs", "roc", "precision-recall", "scores", "confusion", "significance", "efficiency", "calibration")


def _events() -> TestedEvents:
    """Thirty normal variables that are shifted by class, one that is a mass, and scores by two linear models."""
    random = np.random.default_rng(5)
    truth = random.choice(5, 30_000, p=[0.05, 0.35, 0.3, 0.2, 0.1])
    values = random.normal(size=(30_000, 30)) + random.normal(scale=0.4, size=(5, 30))[truth]
    values[:, 3:9] = 40 * np.exp(0.5 * values[:, 3:9])
    values[:, 9] = np.where(random.random(30_000) < 0.3, -10, values[:, 9])
    names = [f"variable_{index}" for index in range(30)]
    scores = {}
    for method, spread in (("xgboost", 0.8), ("keras", 1.2)):
        logits = 3 * np.eye(5)[truth] + random.normal(scale=spread, size=(30_000, 5))
        exponentials = np.exp(logits)
        scores[method] = (exponentials / exponentials.sum(axis=1, keepdims=True)).astype("f4")
    weights = np.array([0.001, 1.2, 2.1, 0.8, 0.11])[truth] * random.normal(1, 0.2, 30_000)
    return TestedEvents(CLASSES, scores, truth, weights, np.zeros(30_000, "i8"), names, values.astype("f4"), {}, {})


@pytest.mark.slow
@pytest.mark.parametrize("style", ["plain", "CMS"])
def test_five_classes_and_thirty_variables(tmp_path: Path, open_page: Callable[..., Any], style: str) -> None:
    material = Material.of(_events())
    material.for_page = True
    answers = {name: STEPS[name](material) for name in SECTIONS}
    sections = [
        Section(name, STEPS[name].title, one.introduction, one.groups, one.verdicts) for name, one in answers.items()
    ]
    page = page_of(title_of(material), "training.yaml", sections, "now")
    plot = PlotConfig.model_validate({"style": style, "label": "Simulation", "lumi": 59.7, "com": 13,
                                      "class_labels": {"ztt": "$Z\\to\\tau\\tau$"}})  # fmt: skip
    path = write_page(page, tmp_path / "page.html", tmp_path / "page", plot, ())[0]
    assert page.title == "HH_signal against ztt, ttbar, wjets and diboson: keras and xgboost"
    assert path.stat().st_size < 1_500_000
    require_texts_apart(open_page(path, viewport={"width": 1440, "height": 900}).page)
    require_no_overflow(open_page, path, 390)
