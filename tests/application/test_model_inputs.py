"""What a model gets from an ntuple, written as arrays: compared with plain loops, and with what a scorer is given."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

import ntupleml
from ntupleml.application.model_inputs import write_model_inputs
from ntupleml.artifacts import TrainingRecord, write_record
from ntupleml.cli import main
from ntupleml.config import TrainingConfig, load_config
from ntupleml.events.groups import groups_of
from ntupleml.ntuples import open_ntuple
from ntupleml.scoring import Scorer
from ntupleml.scoring.evaluators import Evaluator

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_EVENTS = 60
_GROUPS: dict[str, Any] = {
    "event": ["met", "log(met)"],
    "jets": {"objects": ["Jet_pt", "Jet_pt/met"], "selection": "Jet_pt > 25", "sort": "Jet_eta", "length": 3},
    "towers": {
        "image": ["Jet_pt"],
        "eta": "Jet_eta",
        "phi": "Jet_phi",
        "bins": [4, 3],
        "eta_range": [-2, 2],
    },
}


def made_up(seed: int = 5) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    counts = generator.integers(0, 7, _EVENTS)
    total = int(counts.sum())
    jets = {
        "Jet_pt": generator.uniform(20, 60, total).astype("f4"),
        "Jet_eta": generator.permutation(np.linspace(-2.5, 2.5, total)).astype("f4"),
        "Jet_phi": generator.uniform(-math.pi, math.pi, total).astype("f4"),
    }
    return {
        "met": generator.uniform(1, 100, _EVENTS).astype("f4"),
        "mass": np.where(generator.random(_EVENTS) < 0.3, np.nan, 91).astype("f4"),
        "number": generator.permutation(1000)[:_EVENTS],
        **{name: ak.unflatten(values, counts) for name, values in jets.items()},
    }


class Folder:
    """An ntuple, and a training config whose fold files are made from it."""

    def __init__(self, path: Path, **training: Any) -> None:
        self.path = path
        self.columns = made_up()
        with uproot.recreate(path / "a.root") as file:
            types = {"met": "f4", "mass": "f4", "number": "i8"}
            file.mktree("ntuple", types | dict.fromkeys(("Jet_pt", "Jet_eta", "Jet_phi"), "var * float32"))
            file["ntuple"].extend(self.columns)
        self.training = {
            "output_path": str(path / "models"),
            "datasets": [str(path / f"fold{fold}_data.root") for fold in range(3)],
            "classes": ["signal", "background"],
            "inputs": _GROUPS,
            **training,
        }
        (path / "training.yaml").write_text(yaml.safe_dump(self.training))

    def make_folds(self, **config: Any) -> None:
        processes = {"signal": {"files": ["a.root"]}, "background": {"files": ["a.root"]}}
        ntupleml.create_datasets(
            {
                "base_path": self.path,
                "output_path": self.path,
                "output_filename": "data.root",
                "tree_path": "ntuple",
                "num_folds": 3,
                "processes": processes,
                **config,
            }
        )

    def written(self, *options: str, file: str = "a.root", tree: str = "ntuple") -> dict[str, NDArray[Any]]:
        output = self.path / "out.npz"
        arguments = [str(self.path / "training.yaml"), str(self.path / file), tree, str(output), "--overwrite"]
        assert main(["inputs", *arguments, *options]) == 0
        with np.load(output) as arrays:
            return dict(arrays)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def expected_inputs(columns: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The groups by loops over events and their jets."""
    event = np.zeros((_EVENTS, 2), "f4")
    jets, lengths, towers = np.zeros((_EVENTS, 3, 2), "f4"), [], np.zeros((_EVENTS, 4, 3, 1), "f4")
    for row in range(_EVENTS):
        met = float(columns["met"][row])
        event[row] = met, math.log(met)
        of_event = list(zip(*(columns[f"Jet_{name}"][row].to_list() for name in ("pt", "eta", "phi")), strict=True))
        for pt, eta, phi in of_event:
            if abs(eta) <= 2:
                towers[row, min(int(eta + 2), 3), int((phi + math.pi) / (2 * math.pi / 3)), 0] += pt
        kept = sorted((jet for jet in of_event if jet[0] > 25), key=lambda jet: -jet[1])[:3]
        lengths.append(len(kept))
        for slot, (pt, _, _) in enumerate(kept):
            jets[row, slot] = pt, pt / met
    return {"event": event, "jets": jets, "jets_length": np.array(lengths), "towers": towers}


def test_arrays_are_those_of_plain_loops(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    expected = expected_inputs(folder.columns)
    found = folder.written()
    assert list(found) == ["event", "jets", "jets_length", "towers", "fold"]
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)
        assert found[name].dtype == (np.int64 if name == "jets_length" else np.float32)
    np.testing.assert_array_equal(found["fold"], np.arange(_EVENTS) % 3)
    log = capsys.readouterr().err
    assert "the entry number decides the fold, as no model and no fold file has a record" in log
    assert "jets (60, 3, 2), jets_length (60,), towers (60, 4, 3, 1), fold (60,)" in log
    first = folder.written("--num-events", "7")
    assert {name: array.tolist() for name, array in first.items()} == {
        name: array[:7].tolist() for name, array in found.items()
    }


def test_each_fold_of_a_scorer_gets_its_rows(folder: Folder) -> None:
    given: list[tuple[int, dict[str, NDArray[Any]]]] = []

    def model(fold: int) -> Evaluator:
        def evaluate(batch: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
            given.append((fold, dict(batch)))
            return np.zeros((len(batch["event"]), 1))

        return Evaluator(evaluate, 8)

    groups = groups_of(load_config(folder.training, TrainingConfig).groups)
    scorer = Scorer({fold: model(fold) for fold in range(3)}, groups, num_folds=3, outputs=["score"])
    with open_ntuple(folder.path / "a.root", "ntuple") as ntuple:
        (chunk,) = ntuple.chunks(["met", "Jet_pt", "Jet_eta", "Jet_phi"])
    scorer.score(chunk.columns, np.arange(_EVENTS))
    written = folder.written()
    folds = written.pop("fold")
    for name, array in written.items():
        for fold in range(3):
            batches = [batch[name] for of, batch in given if of == fold]
            np.testing.assert_array_equal(np.concatenate(batches), array[folds == fold])


def test_records_say_what_decides_the_fold(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.make_folds(event_branch="number")
    np.testing.assert_array_equal(folder.written()["fold"], folder.columns["number"] % 3)
    assert f"branch 'number' decides the fold, by {folder.path}/fold0_data.json" in capsys.readouterr().err
    of_fold = folder.written(file="fold2_data.root", tree="background")
    assert set(of_fold["fold"]) == {2}
    chosen = folder.columns["number"] % 3 == 2
    np.testing.assert_array_equal(of_fold["event"][:, 0], folder.columns["met"][chosen])

    # A model that was trained on fold files of another division, which are not there any more, is asked first.
    (folder.path / "models").mkdir()
    record = TrainingRecord(
        fold=1,
        num_folds=3,
        trained_on=[0, 1],
        held_out_fold=2,
        classes=["signal", "background"],
        variables=["met"],
        preprocessing="identity",
        seed=1,
        config={},
    )
    write_record(folder.path / "models" / "fold1_keras_training.json", record)
    np.testing.assert_array_equal(folder.written()["fold"], np.arange(_EVENTS) % 3)
    assert "the entry number decides the fold, by " in capsys.readouterr().err


def test_rows_are_objects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(tmp_path, inputs={"jet": ["Jet_pt", "met"]})
    folder.make_folds(event_branch="number", rows={"objects": "Jet", "selection": "Jet_pt > 40"})
    expected = [
        ([pt, met], number % 3)
        for pts, met, number in zip(*(folder.columns[name] for name in ("Jet_pt", "met", "number")), strict=True)
        for pt in pts
        if pt > 40
    ]
    found = folder.written()
    np.testing.assert_array_equal(found["jet"], np.array([row for row, _ in expected], "f4"))
    np.testing.assert_array_equal(found["fold"], [fold for _, fold in expected])
    assert "decides the fold, and rows are objects of 'Jet', by" in capsys.readouterr().err
    np.testing.assert_array_equal(folder.written("--num-events", "5")["jet"], found["jet"][:5])
    of_fold = folder.written(file="fold1_data.root", tree="signal")
    np.testing.assert_array_equal(of_fold["jet"], found["jet"][found["fold"] == 1])


def test_variables_are_one_array_and_missing_values_are_replaced(tmp_path: Path) -> None:
    folder = Folder(tmp_path, inputs=None, variables=["met", "2*mass"], missing={"value": -9})
    found = folder.written()
    expected = [
        [met, -9 if math.isnan(mass) else 182]
        for met, mass in zip(*map(folder.columns.get, ("met", "mass")), strict=True)
    ]
    np.testing.assert_array_equal(found["variables"], np.array(expected, "f4"))
    assert list(found) == ["variables", "fold"]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"inputs": {"fold": ["met"]}}, {}, "training dictionary: inputs.fold: .*rename the group"),
        ({"inputs": {"jets": {"objects": ["Jet_ptt"]}}}, {}, r"inputs\.jets: no branch 'Jet_ptt'.*nearest: 'Jet_pt'"),
        (
            {"inputs": {"event": ["mass"]}},
            {},
            r"a\.root.*inputs\.event: NaN or infinite input: .*missing: {value",
        ),
        (
            {"inputs": {"jets": {"objects": ["met"]}}},
            {},
            r"a\.root: tree 'ntuple': input 'jets': variable 'met' has one",
        ),
        ({"inputs": {"event": ["met*1e40"]}}, {}, r"a\.root.*inputs\.event: NaN or infinite input: .*60 of 60"),
        (
            {"inputs": {"a": {"objects": ["Jet_pt"]}, "a_length": ["met"]}},
            {},
            "inputs: 'a_length' is what the number of",
        ),
        ({}, {"output": "out.npy"}, "out.npy: arrays are written as .npz"),
        ({}, {"tree_path": "ntupel"}, r"a\.root: no tree 'ntupel'"),
        ({}, {"path": "none.root"}, "none.root: no such file"),
        ({}, {"output": "taken.npz"}, "taken.npz: exists already; give --overwrite"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    tmp_path: Path, change: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    folder = Folder(tmp_path, **change)
    (tmp_path / "taken.npz").touch()
    before = sorted(tmp_path.iterdir())
    arguments = {"path": "a.root", "tree_path": "ntuple", "output": "out.npz"} | options
    paths = (tmp_path / arguments["path"], arguments["tree_path"], tmp_path / arguments["output"])
    with pytest.raises(ntupleml.NtuplemlError, match=message) as error:
        write_model_inputs(folder.training, *paths)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


def test_an_ntuple_without_events(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("ntuple", {"met": "f4"})
    folder.training["inputs"] = {"event": ["met"]}
    with pytest.raises(ntupleml.NtuplemlError, match=r"none\.root has no events"):
        write_model_inputs(
            json.loads(json.dumps(folder.training)), tmp_path / "none.root", "ntuple", tmp_path / "out.npz"
        )
