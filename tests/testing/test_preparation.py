"""What is decided, and said, before events are read."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ntupleml.config import TestingConfig, TrainingConfig
from ntupleml.errors import NtuplemlError
from ntupleml.testing import preparation
from ntupleml.testing.preparation import prepare


def test_a_label_of_no_class_is_said(analysis: Any, caplog: pytest.LogCaptureFixture) -> None:
    classes = analysis.training["classes"]
    analysis.testing["plot"] = {"class_labels": {classes[0]: "S", f"{classes[0]}s": "S", "data": "Run 3"}}
    analysis.write_configs()
    with caplog.at_level(logging.WARNING):
        prepare(analysis.folder / "training.yaml", analysis.folder / "testing.yaml", "all")
    (line,) = caplog.messages
    assert f"testing.yaml: plot.class_labels: no class '{classes[0]}s' in the training config; nearest:" in line


def test_others_than_the_classes_of_the_training_are_tested_where_these_are_not_told_apart() -> None:
    training = {
        "datasets": ["fold0.root", "fold1.root"],
        "output_path": "out",
        "variables": ["x"],
        "classes": ["a", "b"],
    }
    testing = TestingConfig(classes=["b", "c"])
    reconstruction = TrainingConfig(**{**training, "classes": ["b"], "target": {"reconstruction": "all"}})
    assert preparation.tested_classes(reconstruction, testing) == ["b", "c"]
    assert preparation.tested_classes(reconstruction, TestingConfig()) == ["b"]
    with pytest.raises(NtuplemlError, match="classes: the models tell 'a', 'b' apart, so these are tested; leave the"):
        preparation.tested_classes(TrainingConfig(**training), testing)
