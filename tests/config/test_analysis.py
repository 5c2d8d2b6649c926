"""What a training config takes from the dataset config, and one file with a block for each stage."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ntupleml import load_model
from ntupleml.application_arguments import split_configs
from ntupleml.commands.command import with_one_file
from ntupleml.config import ApplicationConfig, DatasetConfig, TestingConfig, TrainingConfig, load_config
from ntupleml.config.schemas import schema_file
from ntupleml.errors import MisplacedConfigError, NtuplemlError
from ntupleml.verbs import parser_of

DATASET: dict[str, Any] = {
    "output_path": "out",
    "output_filename": "d.root",
    "tree_path": "t",
    "num_folds": 3,
    "training_weight_branch": "w",
    "variables": ["x", "y"],
    "processes": {
        "sig": {"files": "s.root"},
        "b1": {"files": "b1.root", "class": "bkg"},
        "data": {"files": "data.root"},
        "b2": {"files": "b2.root", "class": "bkg"},
        "ztt": {"files": "z.root"},
    },
}
BY_HAND: dict[str, Any] = {
    "datasets": ["out/fold0_d.root", "out/fold1_d.root", "out/fold2_d.root"],
    "classes": ["sig", "bkg", "ztt"],
    "event_weights": "w",
    "variables": ["x", "y"],
    "output_path": "models",
    "seed": 5,
}
TRAINING: dict[str, Any] = {"output_path": "models", "seed": 5}


def write(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "dataset.yaml", DATASET)
    return tmp_path


@pytest.fixture
def analysis(folder: Path) -> Path:
    blocks = {"dataset": DATASET, "training": TRAINING, "testing": {"seed": 9}}
    return write(folder / "analysis.yaml", blocks)


@pytest.mark.parametrize("dataset", ["dataset.yaml", Path("dataset.yaml"), DATASET])
def test_what_follows_is_what_would_be_written_by_hand(folder: Path, dataset: Any) -> None:
    """The dumps are what records, checkpoints and studies compare, so that one goes on with the other."""
    del folder
    found = load_config({**TRAINING, "dataset": dataset}, TrainingConfig)
    wanted = load_config(BY_HAND, TrainingConfig)
    for options in ({}, {"exclude_unset": True}):
        assert found.model_dump(mode="json", **options) == wanted.model_dump(mode="json", **options)
    assert "dataset" not in found.model_dump()


def test_keys_that_are_given_win(folder: Path) -> None:
    del folder
    given = {"datasets": ["a", "b", "c"], "classes": ["ztt", "sig"], "event_weights": None, "variables": ["z"]}
    config = load_config({**TRAINING, "dataset": "dataset.yaml", **given}, TrainingConfig)
    assert {key: getattr(config, key) for key in given} == given
    groups = {"jets": {"objects": ["Jet_pt"]}}
    assert load_config({**TRAINING, "dataset": DATASET, "inputs": groups}, TrainingConfig).variables == []
    eras = {f"datasets_{era}": [f"{era}{fold}.root" for fold in range(3)] for era in (2016, 2017)}
    of_eras = load_config({**TRAINING, "dataset": DATASET, **eras}, TrainingConfig)
    assert (of_eras.datasets, list(of_eras.conditions)) == (None, ["2016", "2017"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"datasets": ["a", "b"]}, r"datasets: 2 fold files, but dataset\.yaml makes 3; leave datasets out"),
        ({"classes": ["sig", "bgk"]}, r"classes\[1\]: dataset\.yaml makes no class 'bgk'; nearest: 'bkg'"),
        ({"class_weights": {"sig": 1, "bkg": 1}}, r"class_weights: no weight of class 'ztt'"),
    ],
)
def test_contradictions_are_refused(folder: Path, given: dict[str, Any], message: str) -> None:
    path = write(folder / "training.yaml", {**TRAINING, "dataset": "dataset.yaml", **given})
    with pytest.raises(NtuplemlError, match=rf"training\.yaml: {message}"):
        load_config(path, TrainingConfig)


def test_a_dataset_config_that_is_wrong_or_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(folder / "training.yaml", {**TRAINING, "dataset": "dataset.yaml"})
    write(folder / "dataset.yaml", {**DATASET, "num_folds": 1})
    with pytest.raises(NtuplemlError, match=r"training\.yaml: dataset: dataset\.yaml: num_folds: found 1"):
        load_config(path, TrainingConfig)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    with pytest.raises(NtuplemlError, match=rf"no file 'dataset\.yaml'.*call from {folder}, where it is"):
        load_config(path, TrainingConfig)


def test_one_file_is_each_of_the_configs(analysis: Path) -> None:
    assert load_config(analysis, DatasetConfig) == load_config(DATASET, DatasetConfig)
    training = load_config(analysis, TrainingConfig)
    assert training == load_config(BY_HAND, TrainingConfig)
    assert training.where == f"{analysis}: training"
    assert load_config(analysis, TestingConfig).seed == 9
    assert load_config(analysis, ApplicationConfig) == ApplicationConfig()  # no block: defaults
    content = yaml.safe_load(analysis.read_text())
    assert load_config(content, TrainingConfig) == training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {**TRAINING, "variables": ["x", "y", 3]}}, r"training\.variables\[2\]: found 3"),
        ({"training": {**TRAINING, "sead": 1}}, r"training: unknown key 'sead'; nearest: 'seed'"),
        ({"training": {"seed": 1}}, r"training: key 'output_path' is missing"),
        ({"training": "training.yaml"}, r"training: found 'training.yaml', but a block of keys is needed"),
        ({"trainig": {}}, r"unknown key 'trainig'; nearest: 'training'"),
        ({"dataset": {**DATASET, "num_folds": 1}}, r"dataset\.num_folds: found 1"),
    ],
)
def test_messages_name_file_block_and_key(analysis: Path, change: dict[str, Any], message: str) -> None:
    write(analysis, {**yaml.safe_load(analysis.read_text()), **change})
    with pytest.raises(NtuplemlError, match=rf"^{analysis}: {message}"):
        load_config(analysis, TrainingConfig)


def test_commands_in_messages_name_the_file(analysis: Path) -> None:
    with pytest.raises(NtuplemlError, match=rf"'python training/keras_training\.py {analysis} 0' makes it"):
        load_model(analysis, "keras")


def test_a_block_that_is_needed(folder: Path) -> None:
    path = write(folder / "a.yaml", {"dataset": DATASET})
    with pytest.raises(NtuplemlError, match=r"a\.yaml: no block 'training'; there are: dataset"):
        load_config(path, TrainingConfig)


def test_swapped_configs_are_still_noticed(folder: Path) -> None:
    path = write(folder / "training.yaml", {**TRAINING, "dataset": "dataset.yaml"})
    with pytest.raises(MisplacedConfigError, match="looks like a training config, but a testing config is needed"):
        load_config(path, TestingConfig)


def test_the_file_given_once_stands_for_all_configs(analysis: Path) -> None:
    file = str(analysis)

    def spelt(verb: str, *texts: str) -> list[str]:
        return with_one_file(parser_of(verb, verb), list(texts))

    assert spelt("apply-bdt", "--friend", file, "a.root", "t") == ["--friend", file, file, file, "a.root", "t"]
    assert spelt("roc-curves", file, "all") == [file, file, "all"]
    assert spelt("report", "--compare", file, file) == ["--compare", file, file, file]
    for texts in ([file, file, "0"], ["training.yaml", "0"]):  # given as often as needed, and without blocks
        assert spelt("roc-curves", *texts) == texts
    assert spelt("train-bdt", file, "0") == [file, "0"]
    assert split_configs([file, "a.root"]).configs == (file, file, file)


def test_a_record_of_the_followed_config_is_read_again(folder: Path) -> None:
    """The record holds the keys themselves, and no path that may show something else later."""
    del folder
    config = load_config({**TRAINING, "dataset": "dataset.yaml"}, TrainingConfig)
    content = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    Path("dataset.yaml").unlink()
    assert TrainingConfig.model_validate(json.loads(json.dumps(content))) == config


def test_the_schema_of_one_file_is_up_to_date() -> None:
    """Else: make schemas."""
    tool = runpy.run_path(str(Path(__file__).resolve().parents[2] / "tools" / "config_schemas.py"))
    schema = json.loads(schema_file("analysis").read_text())
    assert schema_file("analysis").read_text() == tool["analysis_text"]()
    assert all(schema_file(block["$ref"].removesuffix(".json")).exists() for block in schema["properties"].values())
