"""Values in the text of a YAML file, and the numbers that trials are judged by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from ntupleml.config import TrainingConfig
from ntupleml.metrics.calibration import NUM_BINS
from ntupleml.tuning.edited_yaml import with_values
from ntupleml.tuning.objectives import OBJECTIVES, Validated, objective_of

_TEXT = """\
# the head
model:            # a network
  hidden:         # widths
    - 20          # first
    - 30
  dropout: 0.1    # share
  empty:
  encoders: {jets: {type: deep_set}}
trees:
  - name: one
    options: {depth: 2}
  - {name: two}
last: text
"""


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.hidden", [5]),
        ("model.dropout", 1e-5),
        ("model.empty", "relu"),
        ("model.l2", 0.5),
        ("model.a.b.c", [1, {"d": None}]),
        ("model.encoders.jets.hidden", [1, 2]),
        ("model.encoders.taus.type", "dense"),
        ("trees.one.options.rate", 0.1),
        ("trees.two.options.rate", 0.1),
        ("trees.1.name", "three"),
        ("last", True),
        ("new", "yes"),
    ],
)
def test_one_value_changes_and_nothing_else(key: str, value: Any) -> None:
    text = with_values(_TEXT, {key: value})
    expected = yaml.safe_load(_TEXT)
    *parents, last = key.split(".")
    current = expected
    for part in parents:
        if isinstance(current, list):
            current = next(one for number, one in enumerate(current) if part in (str(number), one["name"]))
        else:
            current[part] = current.get(part) or {}
            current = current[part]
    current[last] = value
    assert yaml.safe_load(text) == expected
    kept = {"# the head", "# a network", "# share", "# widths"}
    assert {comment for comment in kept if comment in text} == kept


def made_up() -> Validated:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 500)
    scores = random.dirichlet([1, 1, 1], 500) + 0.5 * np.eye(3)[truth]
    scores = (scores / scores.sum(axis=1, keepdims=True)).astype("f4")
    record: Any = SimpleNamespace(history={"val_loss": [0.5, 0.3, 0.4]}, best_epoch=2)
    return Validated(record, scores, truth, random.uniform(0.5, 2, 500), random.normal(size=(500, 2)).astype("f4"))


def number(name: str, target: dict[str, Any] | None = None) -> Any:
    content = {
        "datasets": ["a", "b"],
        "output_path": "o",
        "classes": ["s", "b", "t"],
        "variables": ["x"],
        "tune": {"model.dropout": [0.0, 0.5], "objective": name},
    }
    config = TrainingConfig.model_validate(content | ({} if target is None else {"target": target}))
    return objective_of(config, "c").number(made_up())


def test_numbers_of_classes() -> None:
    events = made_up()
    truth, weights, scores = events.truth, events.weights, events.scores.astype("f8")
    average = roc_auc_score(truth, scores, sample_weight=weights, multi_class="ovr", average=None)
    shares = np.bincount(truth, weights) / weights.sum()
    assert number("roc auc") == pytest.approx(average @ shares, abs=1e-6)
    assert number("roc auc of b") == pytest.approx(roc_auc_score(truth == 1, scores[:, 1], sample_weight=weights))
    assert number("accuracy") == pytest.approx(accuracy_score(truth, scores.argmax(axis=1), sample_weight=weights))
    brier = brier_score_loss(truth == 2, scores[:, 2], sample_weight=weights)
    assert number("brier score of t") == pytest.approx(brier, abs=1e-6)
    squares = np.square(scores - np.eye(3)[truth]).sum(axis=1)
    assert number("brier score") == pytest.approx(np.average(squares, weights=weights), abs=1e-6)
    bins = np.minimum((scores[:, 0] * NUM_BINS).astype(int), NUM_BINS - 1)
    differences = np.bincount(bins, weights * (scores[:, 0] - (truth == 0)), minlength=NUM_BINS)
    assert number("calibration error of s") == pytest.approx(np.abs(differences).sum() / weights.sum(), abs=1e-5)
    assert number("loss") == 0.3
    assert number("significance of s") > 0


def test_numbers_of_values() -> None:
    events = made_up()
    target = {"values": {"p": "x", "q": "x"}}
    differences = events.scores[:, 1].astype("f8") - events.values[:, 1]
    mean = np.average(differences, weights=events.weights)
    assert number("bias of q", target) == pytest.approx(abs(mean))
    effective = events.weights.sum() ** 2 / np.square(events.weights).sum()
    variance = np.average(np.square(differences - mean), weights=events.weights) * effective / (effective - 1)
    assert number("resolution of q", target) == pytest.approx(np.sqrt(variance))
    low, high = np.sort(differences)[[int(500 * 0.1587), int(500 * 0.8413)]]
    assert number("central width of q", target) == pytest.approx((high - low) / 2, rel=0.1)


def test_each_name_has_a_form() -> None:
    assert all(any(kind.of) for kind in OBJECTIVES.values())
