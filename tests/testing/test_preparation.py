"""What is decided, and said, before events are read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ntupleml.testing.preparation import prepare

if TYPE_CHECKING:
    import pytest


def test_a_label_of_no_class_is_said(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    classes = analysis.training["classes"]
    analysis.testing["plot"] = {"class_labels": {classes[0]: "S", f"{classes[0]}s": "S", "data": "Run 3"}}
    analysis.write_configs()
    with caplog.at_level(logging.WARNING):
        prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    (line,) = caplog.messages
    assert f"testing.yaml: plot.class_labels: no class '{classes[0]}s' in the training config; nearest:" in line
