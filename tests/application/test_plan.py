"""What does not fit together in configs and models is refused before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.application import make_plan
from ntupleml.errors import NtuplemlError
from ntupleml.folds import FoldRule

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_plan(analysis: Any) -> None:
    analysis.change("application", {"branch_prefix": "nn_"})
    plan = make_plan(*analysis.configs)
    assert plan.branch_names == ["nn_signal", "nn_background", "nn_other", "nn_max_score", "nn_max_index"]
    assert plan.fold_rule == FoldRule("event")


@pytest.mark.parametrize(
    ("config", "keys", "message"),
    [
        ("dataset", {"event_branch": "run"}, r"dataset.yaml: event_branch: branch 'run' decides the fold, but the mod"),
        ("dataset", {"num_folds": 3}, r"dataset.yaml: num_folds is 3, but the models were trained on 2 folds"),
        ("training", {"variables": ["y", "x"]}, r"the order matters"),
        ("application", {"branch_prefix": "ml score "}, r"application.yaml: .*'ml score signal' cannot be the name"),
        ("application", {"branch_prefix": "a/"}, r"application.yaml: .*'a/signal' cannot be the name"),
        ("application", {"classifiers": ["fold0_keras_model.h5", "fold1_keras_model.h5"]}, r"wrong order"),
    ],
)
def test_what_is_refused(analysis: Any, config: str, keys: dict[str, Any], message: str) -> None:
    analysis.change(config, keys)
    with pytest.raises(NtuplemlError, match=message) as caught:
        make_plan(*analysis.configs)
    assert "\n" not in str(caught.value)


def test_the_entry_number_decides_in_both_or_in_none(make_analysis: Callable[..., Any]) -> None:
    analysis = make_analysis(event_branch=None)
    analysis.change("dataset", {"event_branch": "event"})
    with pytest.raises(NtuplemlError, match=r"trained on folds where the entry number decides the fold"):
        make_plan(*analysis.configs)


def test_a_class_called_like_the_largest_score(make_analysis: Callable[..., Any]) -> None:
    analysis = make_analysis(classes=["signal", "max_score"])
    with pytest.raises(NtuplemlError, match=r"classes\[1\]: 'max_score' cannot be a class"):
        make_plan(*analysis.configs)


def test_models_trained_on_fold_files_without_records(
    make_analysis: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """htt-ml's fold files say nothing of the event branch, so that of the dataset config is trusted, with a warning."""
    plan = make_plan(*make_analysis(folds_recorded=False).configs)
    assert plan.fold_rule == FoldRule("event")
    assert "trusted is the dataset config, by which branch 'event' decides the fold" in caplog.text


@pytest.mark.parametrize("kind", ["onnx", "lwtnn"])
def test_configs_of_different_folds_are_refused_whatever_is_listed(analysis: Any, kind: Any) -> None:
    analysis.change("dataset", {"num_folds": 3})
    analysis.change("application", {"classifiers": ["a.onnx", "b.onnx", "c.onnx"]})
    with pytest.raises(NtuplemlError, match=r"dataset\.yaml: num_folds is 3, but .*training\.yaml has 2 fold files"):
        make_plan(*analysis.configs, kind=kind)
