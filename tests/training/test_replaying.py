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
    methods = {
        boost: {"name": boost, "type": "kBDT", "options": f"NTrees=4:BoostType={boost}:MaxDepth=2"}
        for boost in ("Grad", "AdaBoost")
    }
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


@pytest.mark.parametrize("name", ["hist", "xgb", "lgbm", "forest", "Grad", "AdaBoost", "keras"])
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


def of_command_line(config: TrainingConfig, **options: Any) -> Path:
    """Record of a network that was trained with options."""
    train_keras(config, [0], TrainingOptions(figures=False, **options))
    return model_files(config.output_path, 0).record


def test_options_are_repeated(make_config: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """Batches would be others without them, and so all numbers."""
    config = make_config(model={"epochs": 1, "events_per_class_and_batch": 20}, classes=["ggh", "w"], num_folds=3)
    found = replay(of_command_line(config, balance_batches=True))
    assert (found.largest_difference, found.history_difference) == (0, 0)
    files = [str(tmp_path / f"fold{fold}.root") for fold in range(3)]
    eras = {"2016": {"datasets": files[:2]}, "2017": {"datasets": files[1:]}}
    of_eras = config.model_copy(update={"output_path": str(tmp_path / "eras")})
    of_eras = of_eras.model_validate(of_eras.model_dump(by_alias=True) | {"datasets": None, "conditions": eras})
    record = of_command_line(of_eras, conditional=True, randomization=True)
    assert json.loads(record.read_text())["randomization"]
    assert replay(record).history_difference == 0


NETWORK = """
import keras

def build(shapes, num_outputs, seed):
    return keras.Sequential([keras.Input(shapes["variables"].shape), keras.layers.Dense(num_outputs, "softmax")])
"""


def test_networks_of_files_are_trained_again(make_config: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    """A Python file is run, so the record alone does not say that it may be."""
    config, file = make_config(model={"epochs": 1}), tmp_path / "own.py"
    file.write_text(NETWORK)
    record = of_command_line(config, network=str(file))
    with pytest.raises(NtuplemlError, match=rf"own\.py was trained, which is run: give it with --network {file}$"):
        replay(record)
    assert replay(record, str(file)).largest_difference == 0
    file.write_text(f"{NETWORK}\n")
    with pytest.raises(NtuplemlError, match=r"own\.py: not the file of the network that was trained"):
        replay(record, str(file))
    with pytest.raises(NtuplemlError, match=r"other\.py: no such file; give the file of the network"):
        replay(record, "other.py")


def test_weights_of_a_keras_file_are_kept_again(make_config: Callable[..., TrainingConfig], tmp_path: Path) -> None:
    own = make_config(model={"epochs": 1}, output_path=str(tmp_path / "first"))
    first = of_command_line(own)
    with pytest.raises(NtuplemlError, match="the network of the config was trained, not one of a file"):
        replay(first, "own.keras")
    network = str(model_files(own.output_path, 0).model)
    record = of_command_line(make_config(model={"epochs": 1}), network=network, keep_weights=True)
    assert replay(record).largest_difference == 0


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
