"""The page of all trainings in a folder: what it lists, its links, and what cannot be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.cli import main
from ntupleml.metrics import Measurement, Verdict
from ntupleml.reports.landing import SUMMARY, summary_text

from .checks import require_no_overflow, require_self_contained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD = {"format_version": 1, "fold": 0, "num_folds": 2, "trained_on": [0], "held_out_fold": 1, "classes": ["a", "b"]}


def _train(folder: Path, method: str, created: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = RECORD | {
        "method": method, "created": created, "variables": ["x"], "preprocessing": "none", "seed": 1,
        "config": {}, "versions": {}, "datasets": [], "history": {}, "sha256": {},
        "split": {"training": 1, "validation": 1},
    }  # fmt: skip
    (folder / f"fold0_{method}_training.json").write_text(json.dumps(content))


@pytest.fixture
def trainings(tmp_path: Path) -> Path:
    """One training of two methods with a report of one of them, one without a report, and a broken record."""
    _train(tmp_path / "first try", "keras", "2026-03-01T10:00:00+00:00")
    _train(tmp_path / "first try", "bdt", "2026-03-02T11:30:00+00:00")
    _train(tmp_path / "b" / "second", "keras", "2026-02-01T10:00:00+00:00")
    report = tmp_path / "first try" / "foldall_report"
    report.mkdir()
    report.with_suffix(".html").write_text("<title>report</title>")
    verdicts = [("Overtrained? keras", Verdict("attention", "yes")), ("Calibrated? keras", Verdict("good", "yes"))]
    areas = {"keras": Measurement(0.81234, 0.00123)}
    (report / SUMMARY).write_text(summary_text("a <b> title", "2026-03-03 09:00 UTC", areas, verdicts))
    (tmp_path / "b" / "fold0_x_training.json").write_text("{")
    return tmp_path


def test_all_trainings(trainings: Path, open_page: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["reports", str(trainings)]) == 0
    errors = capfd.readouterr().err
    assert "of 2 trainings" in errors
    assert "fold0_x_training.json: not the record of a training" in errors
    path = trainings / "index.html"
    opened = open_page(path)
    require_self_contained(opened, path)
    require_no_overflow(open_page, path)
    page = opened.page
    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]
    assert rows == [
        ["b/second", "keras", "2026-02-01 10:00", "–", "–", "none yet"],
        ["a <b> title (first try)", "bdt", "2026-03-02 11:30", "–", "–", "2026-03-03 09:00 UTC"],
        ["a <b> title (first try)", "keras", "2026-03-01 10:00", "0.8123 ± 0.0012", "1", "2026-03-03 09:00 UTC"],
    ]
    page.locator("thead button", has_text="Trained").click()
    page.locator("thead button", has_text="Trained").click()
    assert page.locator("tbody tr td:nth-child(2)").all_inner_texts() == ["bdt", "keras", "keras"]
    page.locator("tbody a").first.click()
    assert page.title() == "report"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: no training in it or below"),
        (["first try", "--output", "first try/foldall_report.html"], "exists already; give --overwrite"),
    ],
)
def test_what_is_wrong_is_one_line(
    trainings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(trainings)
    (trainings / "empty").mkdir()
    assert main(["reports", *arguments]) == 2
    assert message in capfd.readouterr().err.splitlines()[-1]
