"""One input per value of an integer that is a category: config, training, and scores of an ntuple."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

import ntupleml
from ntupleml.config import TrainingConfig, load_config
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["n == 2", "n == 3", "n == -4"]
CATEGORY = {"n": [2, 3, -4]}


def training(**keys: Any) -> TrainingConfig:
    content = {"datasets": ["a", "b"], "output_path": "o", "classes": ["s", "b"], "category": CATEGORY}
    variables = {} if "inputs" in keys else {"variables": ["x", "n", "y"]}
    return load_config({**content, **variables, **keys}, TrainingConfig)


def test_columns_stand_in_place_of_the_number() -> None:
    config = training()
    assert config.variables == ["x", *COLUMNS, "y"]
    assert TrainingConfig.model_validate(config.model_dump(exclude_unset=True)) == config
    groups = training(inputs={"event": ["x", "n"], "more": {"numbers": "n", "preprocessing": "identity"}}).groups
    assert groups["event"].formulas == ["x", *COLUMNS]
    assert (groups["more"].formulas, groups["more"].preprocessing) == (COLUMNS, "identity")


def test_of_a_name_with_a_label() -> None:
    define = {"n": {"formula": "a + b", "label": "$N$"}}
    config = training(define=define, variables=["n"])
    assert config.variables == ["(a + b) == 2", "(a + b) == 3", "(a + b) == -4"]
    assert config.plot.variable_labels["(a + b) == 3"] == "$N$ = 3"
    assert TrainingConfig.model_validate(config.model_dump(exclude_unset=True)) == config


@pytest.mark.parametrize(
    ("category", "message"),
    [
        ({"nn": [1, 2]}, "category: 'nn' is none of the inputs that are numbers; nearest: 'n'"),
        ({"n": []}, r"category\.n: holds nothing, but at least 1 is needed"),
        ({"n": [1, 1]}, r"category\.n: 1 stands here twice"),
        ({"n": [1.5]}, r"category\.n\[0\]: found 1\.5, but a valid integer is needed"),
        (["n"], r"category: found a list, but .* is needed"),
    ],
)
def test_refused(category: Any, message: str) -> None:
    with pytest.raises(NtuplemlError, match=message):
        training(category=category)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """The classes differ in their shares of the values alone, 2 and 4 against 3; 7 is not in the list."""
    folder = tmp_path_factory.mktemp("category")
    random = np.random.default_rng(5)
    for fold in range(2):
        with uproot.recreate(folder / f"fold{fold}.root") as file:
            for name, shares in (("s", [0.45, 0.05, 0.45, 0.05]), ("b", [0.05, 0.85, 0.05, 0.05])):
                columns = {"n": random.choice([2, 3, 4, 7], 400, p=shares), "x": random.normal(size=400)}
                file.mktree(name, columns)
    trees = {"name": "trees", "type": "hist_gradient_boosting", "rounds": 15}
    content = {
        "datasets": [str(folder / f"fold{fold}.root") for fold in range(2)],
        "output_path": str(folder),
        "classes": ["s", "b"],
        "variables": ["n", "x"],
        "category": {"n": [2, 3, 4]},
        "boosted_trees": [trees],
        "model": {"hidden": [4], "epochs": 1, "batch_size": 100},
    }
    config = load_config(content, TrainingConfig)
    ntupleml.train(config, method="trees")
    return config


def outside(config: TrainingConfig) -> int:
    number = 0
    for path in config.datasets or ():
        with uproot.open(path) as file:
            number += sum(int((file[name]["n"].array(library="np") == 7).sum()) for name in "sb")
    return number


def test_models_take_the_number(trained: TrainingConfig, tmp_path: Path) -> None:
    model = ntupleml.load_model(trained)
    assert model.inputs == {"variables": ["n == 2", "n == 3", "n == 4", "x"]}
    with uproot.recreate(tmp_path / "a.root") as file:
        file.mktree("t", {"n": np.array([2, 3, 4, 7, 2, 3, 4, 7]), "x": np.zeros(8)})
    dataset = {
        "output_path": "o",
        "output_filename": "o.root",
        "tree_path": "t",
        "processes": {"s": {"files": "a.root"}},
    }
    application = {"method": "trees", "output_directory": str(tmp_path / "friends")}
    (friend,) = ntupleml.apply(
        dataset, trained, application, [tmp_path / "a.root"], "t", kind="boosted_trees", friend=True
    )
    with uproot.open(friend) as file:
        found = file["t"]["ml_score_s"].array(library="np").reshape(2, 4)
    assert (found[:, [0, 2]] > 0.7).all()
    assert (found[:, 1] < 0.3).all()
    assert (np.abs(found[:, 3] - 0.5) < 0.3).all()  # like neither


@pytest.mark.parametrize("stream", [False, True])
def test_events_outside_are_counted(trained: TrainingConfig, caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    from ntupleml.datasets.loading import FoldFile, class_trees
    from ntupleml.training.data import load_split
    from ntupleml.training.streaming import StreamedData

    config = trained.model_copy(update={"stream": stream})
    trees = class_trees(config, [FoldFile(path, fold, None) for fold, path in enumerate(config.datasets or ())])
    with caplog.at_level(logging.WARNING):
        if stream:
            StreamedData(config, trees, 0, balanced=False, randomized=False)
        else:
            load_split(config, trees)
    wanted = f"category: 'n' is none of 2, 3, 4 in {outside(config)} of 1600 events, for which all its inputs are 0"
    assert sum(wanted in record.getMessage() for record in caplog.records) == 1
