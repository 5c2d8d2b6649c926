"""The notebooks of docs/, run cell after cell in one namespace; the last value of a cell shows itself."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

import pytest


@pytest.fixture
def run_notebook(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Names that a notebook leaves, what it shows under `shown`."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run(name: str) -> dict[str, Any]:
        cells = json.loads((project / "docs" / name).read_text(encoding="utf-8"))["cells"]
        names: dict[str, Any] = {"shown": {}}
        for cell in cells:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == []
                *statements, last = ast.parse("".join(cell["source"])).body
                exec(compile(ast.Module(statements, []), cell["id"], "exec"), names)
                if isinstance(last, ast.Expr):
                    value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)
                    names["shown"][cell["id"]] = value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)
                else:
                    exec(compile(ast.Module([last], []), cell["id"], "exec"), names)
        return names

    return run


def area_of_signal(names: dict[str, Any], method: str) -> float:
    """Σ w w' over all pairs of a signal and another event with a lower score, ties half; weights may be negative."""
    events = names["tested"].events
    scores, signal = events.scores[method][:, 0], events.truth == 0
    order = np.argsort(scores[~signal])
    sums = np.concatenate([[0.0], np.cumsum(events.weights[~signal][order])])
    others = scores[~signal][order]
    below, not_above = (sums[np.searchsorted(others, scores[signal], side)] for side in ("left", "right"))
    weights = events.weights[signal]
    return float((weights * (below + not_above) / 2).sum() / weights.sum() / sums[-1])


def test_toy(run_notebook: Callable[[str], dict[str, Any]]) -> None:
    names = run_notebook("toy.ipynb")
    area = names["areas"]["signal"]
    expected = area_of_signal(names, "trees")
    assert abs(area.value - expected) < 1e-6
    assert expected > 0.6
    assert 0 < area.uncertainty < 0.02
    assert names["figure"].get_axes()
    branches = names["branches"]
    np.testing.assert_allclose(
        np.stack([branches[f"ml_score_{name}"] for name in names["classes"]], axis=1), names["scores"], rtol=1e-6
    )


def test_own_model(run_notebook: Callable[[str], dict[str, Any]]) -> None:
    names = run_notebook("own-model.ipynb")
    assert set(names["areas"]) == {"trees", "bayes"}
    for method, area in names["areas"].items():
        assert abs(area.value - area_of_signal(names, method)) < 1e-6
        assert area.value > 0.6
    expected = names["bayes"].predict_proba(np.array([[125.0, 60.0], [80.0, 30.0]]))  # of the model of fold 1
    assert names["scores"].shape == expected.shape
    assert names["scores"][0, 0] > names["scores"][1, 0]


def test_jets(run_notebook: Callable[[str], dict[str, Any]]) -> None:
    names = run_notebook("jets.ipynb")
    friend = names["branches"]
    chosen = ak.to_numpy(ak.sum(names["events"]["Jet_pt"] > 30, axis=1) >= 2)
    np.testing.assert_allclose(friend["ml_score_signal"][chosen], names["scores"][:, 0], rtol=1e-6)
    assert 0 < chosen.sum() < len(chosen) == len(friend["ml_score_signal"])
    assert area_of_signal(names, "trees") > 0.7
    shown = "".join(names["shown"].values())
    for text in ("events kept", "trained on folds", "data:image/png;base64,", "Overtrained?", "Alt$(Jet_pt[2], 0)"):
        assert text in shown
