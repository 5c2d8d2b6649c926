"""The same again: each engine gives the same model and the same scores from the record of a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ntupleml.artifacts import find_method, model_files
from ntupleml.cli import main
from ntupleml.errors import NtuplemlError
from ntupleml.training import TrainingOptions, train_keras
from ntupleml.training.listed_methods import train_listed
from ntupleml.training.replaying import replay
from ntupleml.training.tmva_training import train_tmva

if TYPE_CHECKING:
    from collections.abc import Callable

    from ntupleml.config import TrainingConfig

TREES: list[dict[str, Any]] = [
    {"name": "hist", "type": "hist_gradient_boosting", "rounds": 4},
    {"name": "xgb", "type": "xgboost", "rounds": 4, "options": {"subsample": 0.5}},
    {"name": "lgbm", "type": "lightgbm", "rounds": 4, "options": {"bagging_fraction": 0.5, "bagging_freq": 1}},
]
FOREST = [{"name": "forest", "type": "RandomForestClassifier", "options": {"n_estimators": 5}}]


def trained(make_config: Callable[..., TrainingConfig], name: str, **keys: Any) -> Path:
    """Record of model 0, trained on one thread."""
    methods = {"Grad": {"name": "Grad", "type": "kBDT", "options": "NTrees=4:BoostType=Grad:MaxDepth=2"}}
    config = make_config(
        boosted_trees=TREES,
        scikit_learn=FOREST,
        tmva={"methods": [methods[name]]} if name in methods else {},
        model={"epochs": 2},
        event_weights=None,
        **keys,
    )
    options = TrainingOptions(threads=1, method=None if name == "keras" else name)
    method = find_method(config, name, 0, "config")
    if name == "keras":
        train_keras(config, [0], options)
    elif method.kind == "tmva":
        train_tmva(config, [0], engine="xgboost", method=name)
    else:
        train_listed(config, method.kind, [0], options)
    return model_files(Path(config.output_path), 0, method).record


@pytest.mark.parametrize("name", ["hist", "xgb", "lgbm", "forest", "Grad", "keras"])
def test_every_engine_gives_the_same_again(name: str, make_config: Callable[..., TrainingConfig]) -> None:
    """Again on all threads, after a training on one."""
    found = replay(trained(make_config, name))
    assert found.changes == []
    assert found.largest_difference <= (1e-6 if name in ("xgb", "Grad") else 0)
    assert found.rows == 800
    if found.largest_difference == 0:
        # In one process Keras counts the names of layers on; the ONNX file has the weights.
        assert set(found.other_files) <= {"fold0_keras_model.keras"}
        assert found.history_difference < 1e-12  # losses are sums


def test_an_ensemble(make_config: Callable[..., TrainingConfig]) -> None:
    found = replay(trained(make_config, "hist", ensemble={"seeds": 2}))
    assert (found.largest_difference, found.other_files) == (0, [])


def test_what_differs_is_said(make_config: Callable[..., TrainingConfig], capsys: pytest.CaptureFixture[str]) -> None:
    path = trained(make_config, "hist")
    content = json.loads(path.read_text())
    content["versions"] |= {"numpy": "1.0", "theano": "0.9"}
    first = content["datasets"][0]["path"]
    path.write_text(json.dumps(content))
    make_config()  # the same events in new files
    fold_one = Path(first).with_name("fold1.root")
    fold_one.replace(first)  # other events in their place
    assert main(["replay", "-q", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("numpy: 1.0 then, ")
    assert lines[1] == "theano: 0.9 then, not installed now"
    assert lines[2].startswith(f"{first}: another file than then (UUID {content['datasets'][0]['uuid']} then, ")
    assert "not fold0_hist_model.npz" in lines[3]
    assert lines[-1].startswith("scores of 800 rows differ by up to ")


def test_what_cannot_be_replayed(make_config: Callable[..., TrainingConfig]) -> None:
    path = trained(make_config, "hist")
    other = path.rename(path.with_name("record.json"))
    with pytest.raises(NtuplemlError, match=r"is called fold0_hist_training\.json"):
        replay(other)
    other.rename(path)
    model = path.with_name("fold0_hist_model.npz")
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(NtuplemlError, match=r"fold0_hist_model\.npz: not the file of its record"):
        replay(path)
