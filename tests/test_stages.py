"""The stages from Python: configs as dictionaries, what the functions give back, and what is wrong as one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
import yaml
from sklearn.metrics import roc_auc_score

import ntupleml
import ntupleml.stages
from ntupleml.config import TrainingConfig, load_config
from ntupleml.datasets.example import write_example_dataset

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ["background", "signal"]
TESTING = {"plot": {"class_labels": {"signal": "Higgs"}}}


class Toy:
    """Configs as dictionaries, with which everything lies in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset: dict[str, Any] = {
            "output_path": folder,
            "output_filename": "toy.root",
            "base_path": folder,
            "tree_path": "ntuple",
            "event_branch": "event",
            "training_weight_branch": "training_weight",
            "num_folds": 3,
            "processes": {
                "signal": {"files": ["example_signal.root"], "cut_string": "x > -1", "weight_string": "3*weights"},
                "background": {"files": ["example_background_1.root"], "weight_string": "weights"},
            },
        }
        self.training: dict[str, Any] = {
            "output_path": folder / "models",
            "datasets": [folder / f"fold{fold}_toy.root" for fold in range(3)],
            "classes": CLASSES,
            "variables": ("y", "x*x"),
            "event_weights": "training_weight",
            "boosted_trees": [{"name": "trees", "type": "hist_gradient_boosting", "rounds": 3}],
        }


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    toy = Toy(tmp_path_factory.mktemp("toy"))
    write_example_dataset(toy.folder, 600)
    ntupleml.create_datasets(toy.dataset)
    return toy


def test_datasets(toy: Toy) -> None:
    with pytest.raises(ntupleml.NtuplemlError, match=r"fold0_toy\.json: exists already; give --overwrite"):
        ntupleml.create_datasets(toy.dataset)
    summary = ntupleml.create_datasets(toy.dataset, overwrite=True, workers=2)
    assert summary.files == tuple(toy.folder / f"fold{fold}_toy.root" for fold in range(3))
    with uproot.open(toy.folder / "example_signal.root") as file:
        x = file["ntuple"]["x"].array(library="np")
    assert sum(record.processes["signal"].events_kept for record in summary.records) == np.count_nonzero(x > -1)


def test_events_are_those_of_the_fold_files(toy: Toy) -> None:
    expected = []
    for name in CLASSES:
        for fold in range(3):
            with uproot.open(toy.folder / f"fold{fold}_toy.root") as file:
                columns = file[name].arrays(library="np")
            inputs = np.stack([columns["y"], columns["x"] ** 2], axis=1)
            number = len(inputs)
            expected.append((inputs, np.full(number, CLASSES.index(name)), columns["training_weight"], [fold] * number))
    parts = [np.concatenate(part) for part in zip(*expected, strict=True)]
    events = ntupleml.read_events(toy.training)
    assert list(events.inputs) == ["variables"]
    for found, wanted in zip((events.inputs["variables"], *events[1:]), parts, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    of_model = ntupleml.read_events(load_config(toy.training, TrainingConfig), fold=1)
    assert np.unique(of_model.folds).tolist() == [0, 1]  # model 1 is held out from fold 2
    np.testing.assert_array_equal(of_model.weights, events.weights[events.folds != 2])


def test_training_and_scores(toy: Toy) -> None:
    records = ntupleml.train(toy.training, method="trees")
    assert [(record.method, record.fold, record.trained_on) for record in records] == [
        ("trees", 0, [0, 2]),
        ("trees", 1, [0, 1]),
        ("trees", 2, [1, 2]),
    ]
    with pytest.raises(ntupleml.NtuplemlError, match="exists already"):
        ntupleml.train(toy.training, 1, method="trees")
    (record,) = ntupleml.train(toy.training, 1, method="trees", overwrite=True)
    assert record.fold == 1


@pytest.fixture(scope="module")
def tested(toy: Toy) -> ntupleml.stages.Tested:
    ntupleml.train(toy.training, method="trees", overwrite=True)
    return ntupleml.test(toy.training, TESTING, methods=["trees"])


def test_areas_of_tested_events(toy: Toy, tested: ntupleml.stages.Tested) -> None:
    """The weighted area under the ROC curve is that of scikit-learn; the events are those of the fold files."""
    events = tested.events
    read = ntupleml.read_events(toy.training)
    assert events.weights.sum() == pytest.approx(read.weights.sum())
    signal = CLASSES.index("signal")
    expected = roc_auc_score(
        events.truth == signal, events.scores["trees"][:, signal], sample_weight=np.abs(events.weights)
    )
    numbers = tested.answer("roc").numbers
    assert numbers["trees"].against_rest["signal"].auc.value == pytest.approx(expected, abs=1e-6)
    assert tested["confusion"] is tested["confusion"]
    assert tested["roc"].figure().get_axes()
    texts = [text for group in tested["record"].groups for _, text in group.texts]
    assert [yaml.safe_load(text) for text in texts] == [json.loads(json.dumps(toy.training, default=str)), TESTING]
    assert "regression" not in tested.steps
    assert {"roc", "confusion", "significance"} <= set(tested.steps)


def test_scores_in_a_copy_are_those_of_the_model(toy: Toy, tested: ntupleml.stages.Tested) -> None:
    source = toy.folder / "example_signal.root"
    (output,) = ntupleml.apply(
        toy.dataset,
        toy.training,
        {"method": "trees", "branch_prefix": "p_"},
        [source],
        "ntuple",
        output_directory=toy.folder / "scored",
    )
    with uproot.open(output) as file:
        columns = file["ntuple"].arrays(library="np")
    model = ntupleml.load_model(toy.training)
    expected = model.score(columns)
    np.testing.assert_allclose(columns["p_signal"], expected[:, model.outputs.index("signal")], rtol=1e-6)
    missing = toy.folder / "nothing" / "nothing.root"
    friends = toy.folder / "friends"
    with pytest.raises(ntupleml.NtuplemlError, match=r"nothing\.root"):
        ntupleml.apply(
            toy.dataset,
            toy.training,
            {"method": "trees"},
            [source, missing],
            "ntuple",
            friend=True,
            output_directory=friends,
            workers=2,
        )
    with uproot.open(friends / toy.folder.name / f"{toy.folder.name}.root") as file:
        scores = file["ntuple"]["ml_score_signal"].array(library="np")
    np.testing.assert_array_equal(scores, columns["p_signal"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda toy: ntupleml.create_datasets({**toy.dataset, "num_fold": 2}), "dataset dictionary: unknown key"),
        (lambda toy: ntupleml.train({**toy.training, "variables": ["x", 1]}), r"training dictionary: variables\[1\]: "),
        (lambda toy: ntupleml.train(toy.training, 3), "fold '3': training dictionary has the folds 0, 1, 2"),
        (lambda toy: ntupleml.train(toy.training, method="tree"), "training dictionary: method: .*nearest: 'trees'"),
        (lambda toy: ntupleml.read_events(toy.training, fold=-1), "fold '-1': training dictionary"),
        (lambda toy: ntupleml.read_events(toy.training, condition="2016"), "condition: no datasets of '2016'"),
        (lambda toy: ntupleml.read_events({**toy.training, "variables": ["z"]}), "no branch 'z'"),
        (lambda toy: ntupleml.test(toy.training, {"methods": "trees"}), "testing dictionary: unknown key"),
        (lambda toy: ntupleml.test(toy.training, methods=["trees"])["rox"], "no step 'rox'; nearest: 'roc'"),
        (lambda toy: ntupleml.test(toy.training, methods=["tree"]), "has no method 'tree'; nearest: 'trees'"),
        (
            lambda toy: ntupleml.test(toy.training, methods=["trees"])["regression"],
            "training dictionary: the target is classes, but 'Residuals' needs values",
        ),
        (
            lambda toy: ntupleml.test(toy.training, methods=["trees"]).answer("performance", cut=0.5),
            "missing a required .*argument: 'target_class'",
        ),
        (
            lambda toy: ntupleml.apply({}, toy.training, {"method": "trees"}, ["a.root"], "ntuple"),
            "dataset dictionary: key .*missing",
        ),
        (lambda toy: ntupleml.load_model(toy.training, "tree"), "training dictionary: .*nearest: 'trees'"),
        (lambda toy: ntupleml.create_datasets(3), "a dataset config is needed: a path, a dictionary"),
    ],
)
def test_mistakes_are_one_line(toy: Toy, tested: ntupleml.stages.Tested, call: Any, message: str) -> None:
    with pytest.raises(ntupleml.NtuplemlError, match=message) as raised:
        call(toy)
    assert "\n" not in str(raised.value)
