"""The notebook of docs/, run cell after cell in one namespace."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_notebook(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cells = json.loads((project / "docs" / "toy.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)

    events, area = names["tested"].events, names["areas"]["signal"]
    expected = roc_auc_score(events.truth == 0, events.scores["trees"][:, 0], sample_weight=events.weights)
    assert abs(area.value - expected) < 1e-6
    assert expected > 0.6
    assert 0 < area.uncertainty < 0.02
    assert names["figure"].get_axes()
    branches = names["branches"]
    np.testing.assert_allclose(
        np.stack([branches[f"ml_score_{name}"] for name in names["classes"]], axis=1), names["scores"], rtol=1e-6
    )
