"""Three folds of a richer analysis, written by ROOT: trees in folders, vectors, friends, RNTuples, missing values."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = ["ggh", "qqh", "ztt"]
VARIABLES = ["pt_1", "eta_1", "m_vis", "njets", "os", "jet_pt[0]", "met", "m_sv", "SVFit_pt_1", "id_score"]
TREE = "mt_nominal/ntuple"
NOT_COPIED = ("std::string", "TLorentzVector")
CONFIGS = ("dataset.yaml", "training.yaml", "application.yaml")
WEIGHT = "gen_weight * lumi_weight * (njets > 1 ? 0.9 : 1.1)"
SELECTION = {
    "ggh": ("(njets > 1 ? mjj > 60 : pt_1 > 22) && abs(eta_1) < 2.1", WEIGHT),
    "qqh": ("Sum$(jet_pt > 25) >= 1 && m_sv > 50", f"2.5*{WEIGHT}"),
    "ztt_a": ("!(pt_1 < 21) && event % 5 != 0 && SVFit.pt_1 > 20", f"{WEIGHT} * sqrt(pt_1 / 20)"),
    "ztt_b": ("Length$(jet_pt) < 5 && os", f"{WEIGHT} * (1 + Sum$(jet_pt) / 1000)"),
    "data": ("os || q_1 > 0", "1"),
    "uproot": ("os || q_1 > 0", "1"),
}
CLASS_OF = {"ztt_a": "ztt", "ztt_b": "ztt", "uproot": "data"}


def selected(process: str, c: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same cuts and weights in numpy."""
    weight = c["gen_weight"] * c["lumi_weight"].astype("f8") * np.where(c["njets"] > 1, 0.9, 1.1)
    sum_of_jet_pt = ak.to_numpy(ak.sum(ak.values_astype(c["jet_pt"], "f8"), axis=1))
    if process == "ggh":
        return np.where(c["njets"] > 1, c["mjj"] > 60, c["pt_1"] > 22) & (np.abs(c["eta_1"]) < np.float64(2.1)), weight
    if process == "qqh":
        return ak.to_numpy(ak.sum(c["jet_pt"] > 25, axis=1) >= 1) & (c["m_sv"] > 50), 2.5 * weight
    if process == "ztt_a":
        return (c["pt_1"] >= 21) & (c["event"] % 5 != 0) & (c["SVFit_pt_1"] > 20), weight * np.sqrt(c["pt_1"] / 20.0)
    if process == "ztt_b":
        return (c["njets"] < 5) & c["os"], weight * (1 + sum_of_jet_pt / 1000)
    return c["os"] | (c["q_1"] > 0), np.ones(len(c["event"]))


def matrix_of(columns: dict[str, Any]) -> NDArray[Any]:
    """Variables with what is missing (no jet, NaN, infinity) replaced by -10."""
    first_jet = ak.to_numpy(ak.fill_none(ak.firsts(columns["jet_pt"]), -10))
    columns = {**columns, "jet_pt[0]": first_jet}
    matrix = np.stack([np.asarray(columns[name], dtype="f8") for name in VARIABLES], axis=1)
    return np.where(np.isfinite(matrix), matrix, -10)


def file_of(process: str) -> str:
    return "uproot/uproot.root" if process == "uproot" else f"{process}_2018/{process}_2018.root"


def copy_with_uproot(folder: Path) -> None:
    """The data again, as RNTuples that uproot wrote, with its friends."""
    for place in ("ntuples", "friends/SVFit", "friends/TauID"):
        with uproot.open(folder / place / file_of("data")) as file:
            names = [name for name, type_name in file[TREE].typenames().items() if type_name not in NOT_COPIED]
            events = file[TREE].arrays(names)
        path = folder / place / file_of("uproot")
        path.parent.mkdir()
        with uproot.recreate(path) as file:
            file.mkrntuple("events", {name: events[name] for name in events.fields})


@pytest.fixture(scope="module")
def analysis(new_analysis: Callable[..., Any], made_up_ntuples: Path) -> Any:
    analysis = new_analysis("three_folds", "out")
    shutil.copytree(made_up_ntuples, analysis.folder, dirs_exist_ok=True)
    copy_with_uproot(analysis.folder)
    processes = {
        name: {"files": [file_of(name)], "cut_string": cut, "weight_string": weight}
        | ({"class": CLASS_OF[name]} if name in CLASS_OF else {})
        | ({"tree_path": "events"} if name == "uproot" else {})
        for name, (cut, weight) in SELECTION.items()
    }
    dataset = {
        "base_path": "ntuples",
        "tree_path": TREE,
        "friend_paths": ["friends/SVFit", "friends/TauID"],
        "event_branch": "event",
        "num_folds": 3,
        "output_path": "out",
        "output_filename": "mt.root",
        "processes": processes,
    }
    training = {
        "datasets": [f"out/fold{fold}_mt.root" for fold in range(3)],
        "output_path": "out",
        "classes": CLASSES,
        "class_weights": {"ggh": 1.0, "qqh": 2.0, "ztt": 0.5},
        "event_weights": "training_weight",
        "variables": VARIABLES,
        "preprocessing": "robust_scaler",
        "missing": {"value": -10},
        "model": {"name": "smhtt_dropout_tanh", "epochs": 3, "eventsPerClassAndBatch": 20, "steps_per_epoch": 20},
    }
    analysis.write_config("dataset.yaml", dataset)
    analysis.write_config("training.yaml", training)
    analysis.write_config("testing.yaml", {"plot": {"style": "CMS", "label": "Simulation", "lumi": 59.7, "com": 13}})
    analysis.write_config("application.yaml", {"output_directory": "scores"})
    analysis.logs["dataset"] = analysis.run("dataset/create_training_dataset.py", "dataset.yaml", warns=True)
    analysis.logs["training"] = analysis.run("training/keras_training.py", "training.yaml", "all", "--balance-batches")
    analysis.run("testing/keras_confusion_matrix.py", "training.yaml", "testing.yaml", "1")
    return analysis


def input_columns(analysis: Any, process: str, tree: str = TREE) -> dict[str, Any]:
    """Branches of an ntuple and of its friends."""
    name = file_of(process)
    tree = "events" if process == "uproot" else tree
    friend = analysis.columns(f"friends/SVFit/{name}", tree, "m_sv", "pt_1")
    return {
        **analysis.columns(f"ntuples/{name}", tree),
        "m_sv": friend["m_sv"],
        "SVFit_pt_1": friend["pt_1"],
        **analysis.columns(f"friends/TauID/{name}", tree),
    }


@pytest.mark.parametrize("fold", [0, 1, 2])
def test_fold_files(analysis: Any, fold: int) -> None:
    """Trees of classes hold the events of their processes one after another, and the records the sums of weights."""
    record = analysis.record(f"out/fold{fold}_mt.json")
    trees: dict[str, list[dict[str, Any]]] = {}
    for process in SELECTION:
        columns = input_columns(analysis, process)
        of_fold = np.array([int(event) % 3 == fold for event in columns["event"]])
        passes, weights = selected(process, columns)
        kept = of_fold & passes
        weights = weights[kept].astype("f4")
        trees.setdefault(CLASS_OF.get(process, process), []).append(
            {**{name: values[kept] for name, values in columns.items()}, "training_weight": weights}
        )
        found = record["processes"][process]
        assert (found["events_read"], found["events_kept"]) == (of_fold.sum(), kept.sum())
        assert found["negative_events"] == (weights < 0).sum()
        assert found["sum_of_weights"] == pytest.approx(weights.sum(dtype="f8"), rel=1e-6)
        assert found["uncertainty"] == pytest.approx(np.sqrt((weights.astype("f8") ** 2).sum()), rel=1e-6)
    with uproot.open(analysis.folder / f"out/fold{fold}_mt.root") as file:
        assert file.keys(cycle=False) == list(trees)
    for name, parts in trees.items():
        found = analysis.columns(f"out/fold{fold}_mt.root", name)
        # uproot's jagged branches come with their lengths in a branch of their own
        assert set(found) == {*parts[0], "njet_pt", "njet_eta"}
        for branch in parts[0]:
            expected = ak.concatenate([part[branch] for part in parts])
            if branch == "training_weight":
                np.testing.assert_allclose(found[branch], expected, rtol=1e-6)
            else:
                assert ak.type(found[branch]).content == ak.type(expected).content
                assert ak.array_equal(found[branch], expected, equal_nan=True), branch


def test_what_cannot_be_copied_is_named_once(analysis: Any) -> None:
    (line,) = [line for line in analysis.logs["dataset"].splitlines() if "not copied" in line]
    assert line.count("decay") == line.count("p4") == 1


def test_negative_weights_are_reported_by_all(analysis: Any) -> None:
    """The share of negative weights in a class, in the log of the training and in its record."""
    columns = analysis.columns("out/fold0_mt.root", "ggh", "training_weight")
    share = float((columns["training_weight"] < 0).mean())
    assert 0.02 < share < 0.3
    record = analysis.record("out/fold0_keras_training.json")
    (dataset,) = [entry for entry in record["datasets"] if entry["fold"] == 0]
    assert dataset["classes"]["ggh"]["negative_share"] == pytest.approx(share)
    assert f"{100 * share:.2f} % with negative weight" in analysis.logs["training"]


def test_each_model_is_trained_on_two_folds(analysis: Any) -> None:
    for model, (trained_on, held_out) in enumerate([([0, 2], 1), ([0, 1], 2), ([1, 2], 0)]):
        record = analysis.record(f"out/fold{model}_keras_training.json")
        assert (record["trained_on"], record["held_out_fold"]) == (trained_on, held_out)
        assert [dataset["fold"] for dataset in record["datasets"]] == trained_on
        for dataset in record["datasets"]:
            for name in CLASSES:
                weights = analysis.columns(dataset["path"], name, "training_weight")["training_weight"].astype("f8")
                content = dataset["classes"][name]
                assert content["entries"] == len(weights)
                assert content["sum_of_weights"] == pytest.approx(weights.sum(), rel=1e-9)


def test_confusion_of_the_model_of_the_middle(analysis: Any) -> None:
    """Model 1 is held out from fold 2; names of variables are those of the fold file."""
    c, v = analysis.confusion(1, "out/fold2_mt.root", CLASSES, matrix_of)
    np.testing.assert_allclose(analysis.yaml_matrix("fold1_keras_confusion_standard", CLASSES), c, rtol=1e-9)
    found = analysis.yaml_matrix("fold1_keras_confusion_standard", CLASSES, "uncertainty")
    np.testing.assert_allclose(found, np.sqrt(v), rtol=1e-9)


@pytest.mark.parametrize("tree", [TREE, "mt_tauEsUp/ntuple"])
def test_scores_in_place(analysis: Any, require_scores: Any, tree: str) -> None:
    """The other tree, the histogram, strings and objects stay as they were."""
    path = "ntuples/qqh_2018/qqh_2018.root"
    before = analysis.folder / "before.root"
    shutil.copy(analysis.folder / path, before)
    analysis.run("application/keras_application.py", *CONFIGS, path, tree)
    columns = input_columns(analysis, "qqh", tree)
    expected = analysis.held_out_scores(matrix_of(columns), columns["event"], 3)
    require_scores(columns, CLASSES, expected)
    for shift in (1, 2):  # the models differ, so the scores can only be those of the right one
        other = analysis.held_out_scores(matrix_of(columns), columns["event"] + shift, 3)
        assert np.mean(np.abs(other - expected).max(axis=1) > 1e-4) > 0.9
    with uproot.open(before) as old, uproot.open(analysis.folder / path) as new:
        assert new.keys() == old.keys()
        for name in ("mt_nominal/ntuple", "mt_tauEsUp/ntuple"):
            added = [f"ml_score_{end}" for end in (*CLASSES, "max_score", "max_index")] if name == tree else []
            assert new[name].keys(recursive=False) == [*old[name].keys(recursive=False), *added]
            for branch in old[name].keys(recursive=False):
                assert ak.array_equal(new[name][branch].array(), old[name][branch].array(), equal_nan=True), branch
        np.testing.assert_array_equal(new["cutflow"].values(), old["cutflow"].values())
        assert new["era"].member("fTitle") == "made up"


def test_friends_of_several_files(analysis: Any, require_scores: Any) -> None:
    """TTrees and an RNTuple in one command; then another tree beside the first one in the same friend file."""
    processes = ["ggh", "ztt_a", "ztt_b", "data"]
    inputs = [f"ntuples/{file_of(process)}" for process in processes]
    analysis.run("application/keras_application_friend.py", *CONFIGS, *inputs, TREE)
    analysis.run("application/keras_application_friend.py", *CONFIGS, inputs[0], "mt_tauEsUp/ntuple")
    for process, tree in [*((process, TREE) for process in processes), ("ggh", "mt_tauEsUp/ntuple")]:
        columns = input_columns(analysis, process, tree)
        friend = analysis.columns(f"scores/{process}_2018/{process}_2018.root", tree)
        np.testing.assert_array_equal(friend["event"], columns["event"])
        assert friend["event"].max() > 2**53
        require_scores(friend, CLASSES, analysis.held_out_scores(matrix_of(columns), columns["event"], 3))


def test_a_friend_of_an_rntuple_that_uproot_wrote(analysis: Any, require_scores: Any) -> None:
    analysis.run("application/keras_application_friend.py", *CONFIGS, f"ntuples/{file_of('uproot')}", "events")
    columns = input_columns(analysis, "uproot")
    friend = analysis.columns("scores/uproot/uproot.root", "events")
    np.testing.assert_array_equal(friend["event"], columns["event"])
    require_scores(friend, CLASSES, analysis.held_out_scores(matrix_of(columns), columns["event"], 3))


def test_models_may_be_listed_crosswise_and_not_otherwise(analysis: Any) -> None:
    """Element j is the model for fold j; for three folds that is models 2, 0 and 1."""
    path = "ntuples/ztt_a_2018/ztt_a_2018.root"

    def listing(*order: int) -> str:
        files = [f"out/fold{model}_keras_model.keras" for model in order]
        content = {"classifiers": files, "output_directory": "listed"}
        return analysis.write_config(f"application_{'_'.join(map(str, order))}.yaml", content)

    script, configs = "application/keras_application_friend.py", CONFIGS[:2]
    line = analysis.refused(script, *configs, listing(0, 1, 2), path, TREE)
    assert "application_0_1_2.yaml: classifiers is in the wrong order" in line
    right = "[out/fold2_keras_model.keras, out/fold0_keras_model.keras, out/fold1_keras_model.keras]"
    assert line.endswith(f"the right order is {right}")
    assert not (analysis.folder / "listed").exists()
    analysis.run(script, *configs, listing(2, 0, 1), path, TREE)
    assert (analysis.folder / "listed" / "ztt_a_2018" / "ztt_a_2018.root").exists()


def test_the_metadata_of_the_onnx_file(analysis: Any) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(analysis.folder / "out/fold0_keras_model.onnx")
    description = json.loads(session.get_modelmeta().custom_metadata_map["ntupleml"])
    assert description["variables"] == {"variables": VARIABLES}
    assert (description["classes"], description["missing"]) == (CLASSES, -10)
    columns = input_columns(analysis, "ggh")
    raw = np.stack(
        [
            np.asarray(ak.to_numpy(ak.fill_none(ak.firsts(columns["jet_pt"]), np.nan)), dtype="f4")
            if name == "jet_pt[0]"
            else np.asarray(columns[name], dtype="f4")
            for name in VARIABLES
        ],
        axis=1,
    )
    (scores,) = session.run(["scores"], {"variables": raw})
    np.testing.assert_allclose(scores, analysis.scores(0, matrix_of(columns)), rtol=0, atol=1e-5)


def test_the_config_of_a_stage_is_in_its_record(analysis: Any) -> None:
    written = yaml.safe_load((analysis.folder / "training.yaml").read_text())
    recorded = analysis.record("out/fold0_keras_training.json")["config"]
    assert {key: recorded[key] for key in written if key != "model"} == {
        key: value for key, value in written.items() if key != "model"
    }
    assert {key: recorded["model"][key] for key in written["model"]} == written["model"]
