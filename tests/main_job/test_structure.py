"""Objects, images, values and rows that are jets: from YAML to branches, each by one small network.

What is expected is computed with uproot, awkward, Python loops and ONNX Runtime alone.
"""

from __future__ import annotations

import json
import math
import pickle
from typing import TYPE_CHECKING, Any

import awkward as ak
import h5py
import numpy as np
import onnxruntime
import pytest
import uproot
import yaml

from ntupleml import load_model
from ntupleml.cli import main
from ntupleml.errors import NtuplemlError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

EVENTS = 1500
#: Jets per event that the networks take, fewer than some events have.
LENGTH = 6
JET = ["Jet_pt", "Jet_eta", "Jet_phi", "Jet_btag"]
BINS, ETA_RANGE = (8, 12), (-2.5, 2.5)


def lists(random: np.random.Generator, counts: NDArray[Any], values: NDArray[Any]) -> ak.Array:
    return ak.unflatten(values.astype("f4"), counts)


def columns_of(signal: bool, seed: int) -> dict[str, Any]:
    """Events with jets, tracks in jets, towers and an image; signal has harder jets with more tracks."""
    random = np.random.default_rng(seed)
    counts = random.poisson(4, EVENTS)
    counts[:3] = 0, 1, 11
    total = counts.sum()
    jets = {
        "Jet_pt": random.exponential(60 if signal else 40, total) + 20,
        "Jet_eta": random.uniform(-2.4, 2.4, total),
        "Jet_phi": random.uniform(-math.pi, math.pi, total),
        "Jet_btag": random.beta(3, 2, total) if signal else random.beta(2, 3, total),
    }
    tracks = random.poisson(8, EVENTS)
    tracks[counts == 0] = 0
    owners = np.concatenate([random.integers(-1, max(n, 1), t) for n, t in zip(counts, tracks, strict=True)])
    towers = random.poisson(20, EVENTS)
    image = random.exponential(1.0, (EVENTS, *BINS)).astype("f4")
    image[:, 2:5, 3:6] *= 3 if signal else 1
    met = random.exponential(50, EVENTS)
    angle = random.uniform(-math.pi, math.pi, EVENTS)
    return {
        "event": np.arange(EVENTS, dtype="i8") * 3 + signal,
        "met": met.astype("f4"),
        "HT": np.asarray(ak.sum(lists(random, counts, jets["Jet_pt"]), axis=1), "f4"),
        "gen_met": (met * 1.1 + random.normal(0, 3, EVENTS)).astype("f4"),
        "gen_phi": angle.astype("f4"),
        "phi": (angle + random.normal(0, 0.05, EVENTS)).astype("f4"),
        **{name: lists(random, counts, values) for name, values in jets.items()},
        "Track_pt": lists(random, tracks, random.exponential(5 if signal else 3, tracks.sum())),
        "Track_d0": lists(random, tracks, random.normal(0, 1 if signal else 2, tracks.sum())),
        "Track_jetIdx": ak.unflatten(owners.astype("i4"), tracks),
        "Tower_et": lists(random, towers, random.exponential(2 if signal else 1, towers.sum())),
        "Tower_eta": lists(random, towers, random.uniform(-3, 3, towers.sum())),
        "Tower_phi": lists(random, towers, random.uniform(-math.pi, math.pi, towers.sum())),
        "calo": image,
    }


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with signal.root and background.root, and the flat columns as signal.h5 and background.h5."""
    folder = tmp_path_factory.mktemp("structure")
    for seed, name in enumerate(("signal", "background"), start=1):
        columns = columns_of(name == "signal", seed)
        with uproot.recreate(folder / f"{name}.root") as file:
            groups = {key: columns[key] for key in columns if not isinstance(columns[key], ak.Array)}
            for key in ("Jet", "Track", "Tower"):
                inner = {name: columns[name] for name in columns if name.startswith(f"{key}_")}
                groups[key] = ak.zip({name.removeprefix(f"{key}_"): values for name, values in inner.items()})
            types = {
                key: np.dtype((values.dtype, values.shape[1:]))
                if isinstance(values, np.ndarray)
                else values.type.content
                for key, values in groups.items()
            }
            file.mktree("Events", types)
            file["Events"].extend(groups)
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for key, values in columns.items():
                if isinstance(values, np.ndarray):
                    file.create_dataset(f"events/{key}", data=values)
    return folder


class Analysis:
    """A folder with the four configs, and the verbs on them."""

    def __init__(self, folder: Path, ntuples: Path, **training: Any) -> None:
        self.folder, self.ntuples = folder, ntuples
        dataset = training.pop("dataset", {})
        classes = training.pop("classes_in_files", training.get("classes", ["signal", "background"]))
        suffix, tree = training.pop("source", ("root", "Events"))
        self.tree = tree
        self.write(
            "dataset",
            base_path=str(ntuples),
            tree_path=tree,
            event_branch="event",
            output_path=str(folder),
            output_filename="data.root",
            processes={name: {"files": [f"{name}.{suffix}"], "class": name} for name in classes},
            **dataset,
        )
        self.write(
            "training",
            **{
                "datasets": [f"{folder}/fold0_data.root", f"{folder}/fold1_data.root"],
                "output_path": str(folder),
                "classes": classes,
                "event_weights": "training_weight",
                **training,
            },
        )
        self.write("testing", seed=1)
        self.write("application", output_directory=f"{folder}/friends", default_score=-1.0, missing_inputs="default")
        self.run("dataset", "dataset")
        self.run("train-keras", "training", "all")

    def write(self, stage: str, **content: Any) -> None:
        (self.folder / f"{stage}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, verb: str, *arguments: str, **environment: Any) -> None:
        stages = ("dataset", "training", "testing", "application")
        given = [f"{self.folder}/{one}.yaml" if one in stages else str(one) for one in arguments]
        assert main([verb, *given]) == 0

    def friend(self, name: str) -> Any:
        self.run("apply-keras-friend", "dataset", "training", "application", name, self.tree)
        (path,) = (self.folder / "friends").rglob("*.root")
        return uproot.open(path)[self.tree.split("/")[-1]].arrays()

    def record(self, fold: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"fold{fold}_keras_training.json").read_text())
        return found

    def expected(self, events: NDArray[Any], inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        """Scores of rows by the ONNX file whose record says that it never saw the fold of their events."""
        scores: NDArray[Any] | None = None
        for fold in (0, 1):
            session = onnxruntime.InferenceSession(str(self.folder / f"fold{fold}_keras_model.onnx"))
            rows = np.flatnonzero(events % 2 == self.record(fold)["held_out_fold"])
            (found,) = session.run(["scores"], {name: values[rows] for name, values in inputs.items()})
            scores = np.zeros((len(events), found.shape[1])) if scores is None else scores
            scores[rows] = found
        assert scores is not None
        return scores


@pytest.fixture
def analysis(tmp_path: Path, ntuples: Path) -> Callable[..., Analysis]:
    return lambda **training: Analysis(tmp_path, ntuples, **training)


def padded(features: list[Any], length: int, key: Any = None, passes: Any = None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Objects as an array, padded with zeros, the largest key first; and their numbers. Object by object."""
    rows = [list(zip(*(list(values) for values in row), strict=True)) for row in zip(*features, strict=True)]
    array, lengths = np.zeros((len(rows), length, len(features)), "f4"), np.zeros(len(rows), "i8")
    for number, row in enumerate(rows):
        kept = [one for one in row if passes is None or passes(one)]
        kept = sorted(kept, key=key)[:length] if key else kept[:length]
        lengths[number] = len(kept)
        for place, one in enumerate(kept):
            array[number, place] = one
    return array, lengths


def separation(scores: NDArray[Any], other: NDArray[Any]) -> float:
    """Probability that a signal event has the larger score."""
    return float((scores[:, None] > other[None, :]).mean())


def test_deep_set_of_jets_beside_numbers(analysis: Callable[..., Analysis]) -> None:
    """Jets above 25 GeV, the leading six, and two numbers; friends, in place, report."""
    chain = analysis(
        inputs={
            "event": {"numbers": ["met", "log(HT+1)"]},
            "jets": {"objects": JET, "selection": "Jet_pt > 25", "sort": "Jet_pt", "length": LENGTH},
        },
        model={"encoders": {"jets": {"type": "deep_set", "hidden": [16, 16]}}, "hidden": [16], "epochs": 8},
    )
    found = chain.friend(chain.ntuples / "signal.root")
    truth = columns_of(True, 1)
    jets, lengths = padded([truth[name] for name in JET], LENGTH, lambda jet: -jet[0], lambda jet: jet[0] > 25)
    numbers = np.stack([truth["met"], np.log(truth["HT"] + 1)], axis=1).astype("f4")
    expected = chain.expected(truth["event"], {"event": numbers, "jets": jets, "jets_length": lengths})
    np.testing.assert_allclose(found["ml_score_signal"], expected[:, 0], atol=1e-5)
    np.testing.assert_allclose(found["ml_score_max_score"], expected.max(axis=1), atol=1e-5)
    chain.run("report", "training", "testing", "all")
    assert (chain.folder / "foldall_report.html").stat().st_size > 10_000
    copy = chain.folder / "copy"
    configs = ("dataset", "training", "application", str(chain.ntuples / "background.root"), "Events")
    chain.run("apply-keras", *configs, "--output-directory", str(copy))
    background = uproot.open(copy / "background.root")["Events"].arrays(["ml_score_signal"])["ml_score_signal"]
    assert separation(np.asarray(found["ml_score_signal"]), np.asarray(background)) > 0.65


FOUR_VECTORS = {
    "event": {"numbers": ["met"]},
    "objects": {
        "collections": {
            "lead": [
                {"pt": "Track_pt", "eta": "Track_d0", "phi": "0.1*Track_d0", "selection": "Track_pt > 20", "length": 1},
                {"pt": "Tower_et", "eta": "Tower_eta", "phi": "Tower_phi", "sort": "Tower_et", "length": 2},
            ],
            "jet": {"pt": "Jet_pt", "eta": "Jet_eta", "phi": "Jet_phi", "mass": "0.1*Jet_pt", "tag": "Jet_btag > 0.5"},
            "met": {"pt": "met*(met > 20)", "phi": "phi"},
        },
        "features": ["px", "py", "pz", "energy", "log_pt", "rapidity", "tag", "type"],
        "one_hot": {"tag": [0, 1]},
        "length": 8,
    },
    "shapes": {"of": "objects", "collections": ["jet", "met"], "combinations": ["ht", "number", "sphericity"]},
}


def four_vectors(events: dict[str, Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Raw columns pt, eta, phi, mass, tag and type, and the number of objects; event by event."""
    arrays, lengths = np.zeros((EVENTS, 8, 6), "f4"), np.zeros(EVENTS, "i8")
    for row in range(EVENTS):
        event = {name: values[row] for name, values in events.items()}
        tracks = [(pt, d0, 0.1 * d0) for pt, d0 in zip(event["Track_pt"], event["Track_d0"], strict=True) if pt > 20]
        towers = sorted(zip(*(event[f"Tower_{key}"] for key in ("et", "eta", "phi")), strict=True), reverse=True)
        found = [[*one, 0, 0, 0] for one in tracks[:1] or towers[:2]]
        jets = zip(*(event[name] for name in JET), strict=True)
        found += [[pt, eta, phi, 0.1 * pt, tag > 0.5, 1] for pt, eta, phi, tag in jets]
        found += [[event["met"], 0, event["phi"], 0, 0, 2]] if event["met"] > 20 else []
        lengths[row] = min(len(found), 8)
        arrays[row, : lengths[row]] = np.reshape(found[:8], (-1, 6))
    return arrays, lengths


def features_of(raw: NDArray[Any]) -> NDArray[Any]:
    """The features of objects, in plain NumPy."""
    pt, eta, phi, mass, tag, kind = raw.astype("f8").T
    pz = pt * np.sinh(eta)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    rapidity = np.arctanh(np.clip(pz / energy, -1 + 1e-15, 1 - 1e-15))
    flags = [tag == 0, tag == 1, kind == 0, kind == 1, kind == 2]
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, energy, np.log(pt), rapidity, *flags], axis=1)


def test_four_vectors_of_several_collections(analysis: Callable[..., Analysis]) -> None:
    """Tracks or else towers, jets and missing energy: scalers, friend, and all forms of the model."""
    chain = analysis(
        inputs=FOUR_VECTORS,
        model={"encoders": {"objects": {"type": "deep_set", "hidden": [16]}}, "hidden": [16], "epochs": 3},
    )
    truth = columns_of(True, 1)
    raw, lengths = four_vectors(truth)
    found = chain.friend(chain.ntuples / "signal.root")
    expected = chain.expected(
        truth["event"], {"event": truth["met"][:, None], "objects": raw, "objects_length": lengths}
    )
    np.testing.assert_allclose(found["ml_score_signal"], expected[:, 0], atol=1e-5)
    for fold in (0, 1):
        assert chain.record(fold)["onnx_check"]["largest_difference"] < 1e-5
    scalers = pickle.loads((chain.folder / "fold0_keras_preprocessing.pickle").read_bytes())
    features = []
    for objects, numbers in ((raw, lengths), four_vectors(columns_of(False, 2))):
        features.append(features_of(objects[np.arange(8) < numbers[:, None]]))
    both = np.concatenate(features)
    assert scalers["objects"].n_features_in_ == scalers["objects"].mean_.size == both.shape[1]
    means, spread = both.mean(axis=0), both.std(axis=0)
    assert (np.abs(scalers["objects"].mean_ - means) < 0.1 * spread).all()  # of the part that trains
    chain.run("compare-engines", "training", "0")


def shapes_of(raw: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """Sum of pt, number and sphericity of the jets and the missing energy of each event."""
    rows = np.zeros((len(raw), 3))
    for row, (objects, number) in enumerate(zip(raw.astype("f8"), lengths, strict=True)):
        pt, eta, phi = objects[:number][objects[:number, 5] > 0, :3].T
        p = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
        _, *_, largest = np.linalg.eigvalsh(p @ p.T / max(np.sum(p**2), 1e-30))
        rows[row] = pt.sum(), len(pt), 1.5 * (1 - largest) if len(pt) else 0
    return rows


TREES = {
    "xgboost": {"rounds": 12, "options": {"max_depth": 3}},
    "lightgbm": {"rounds": 12, "options": {"num_leaves": 7}},
    "hist_gradient_boosting": {"rounds": 12, "options": {"max_leaf_nodes": 7}},
}


def scores_of_library(model: Path, matrix: NDArray[Any]) -> NDArray[Any]:
    """Scores of the class signal, the first, by the library that trained the trees."""
    if model.suffix == ".json":
        import xgboost

        booster = xgboost.Booster(model_file=model)
        found = np.asarray(booster.predict(xgboost.DMatrix(matrix)))
    else:
        import lightgbm

        found = np.asarray(lightgbm.Booster(model_file=model).predict(matrix))
    return found[:, 0] if found.ndim == 2 else 1 - found


def test_trees_take_numbers_that_are_made_of_objects(analysis: Callable[..., Analysis]) -> None:
    """The columns of three libraries are numbers and combinations; all that reads their models agrees."""
    chain = analysis(
        inputs=FOUR_VECTORS,
        model={"encoders": {"objects": {"type": "deep_set", "hidden": [4]}}, "hidden": [4], "epochs": 1},
        boosted_trees=[{"name": name, "type": name, **settings} for name, settings in TREES.items()],
    )
    chain.run("train-bdt", "training", "all")
    truth = columns_of(True, 1)
    matrix = np.concatenate([truth["met"][:, None], shapes_of(*four_vectors(truth))], axis=1).astype("f4")
    source = chain.ntuples / "signal.root"
    names = ["met", "shapes.ht", "shapes.number", "shapes.sphericity"]
    for name in TREES:
        chain.write("application", method=name, output_directory=f"{chain.folder}/{name}")
        chain.run("apply-bdt", "--friend", "dataset", "training", "application", source, "Events")
        (path,) = (chain.folder / name).rglob("*.root")
        found = np.asarray(uproot.open(path)["Events"].arrays()["ml_score_signal"])
        for fold in (0, 1):
            record = json.loads((chain.folder / f"fold{fold}_{name}_training.json").read_text())
            assert record["variables"] == names
            assert record["importance"].keys() <= set(names)
            rows = truth["event"] % 2 == record["held_out_fold"]
            session = onnxruntime.InferenceSession(str(chain.folder / f"fold{fold}_{name}_model.onnx"))
            expected = [session.run(["scores"], {"variables": matrix[rows]})[0][:, 0]]
            model = chain.folder / f"fold{fold}_{name}_model"
            for path in (model.with_suffix(".json"), model.with_suffix(".txt")):
                if path.exists():
                    expected.append(scores_of_library(path, matrix[rows]))
            assert len(expected) == (1 if name.startswith("hist") else 2)
            for one in expected:  # where sphericity, rounded, falls on a cut, an event may go the other way
                assert np.mean(np.abs(found[rows] - one) < 1e-6) > 0.998
        by_config = load_model(chain.folder / "training.yaml", name)
        np.testing.assert_array_equal(by_config.score(truth, truth["event"])[:, 0], found)
        file = load_model(chain.folder / f"fold0_{name}_model.onnx")
        assert file.inputs == by_config.inputs
        both = file.score(truth, truth["event"])[:, 0]
        rows = (
            truth["event"] % 2
            == json.loads((chain.folder / f"fold0_{name}_training.json").read_text())["held_out_fold"]
        )
        np.testing.assert_allclose(both[rows], found[rows], atol=1e-6)
        chain.run("compare-engines", "training", "0", "--method", name)
    chain.run("permutation-importance", "training", "testing", "all", "--method", "xgboost")
    (ranking,) = chain.folder.glob("foldall_xgboost_permutation*.yaml")
    assert set(names) == set(yaml.safe_load(ranking.read_text())["permutation_importance"])
    chain.run("report", "training", "testing", "all")
    chain.run("export-to-onnx", "training", "all", "--method", "xgboost", "--single", "--output", f"{chain.folder}/out")
    config = yaml.safe_load((chain.folder / "training.yaml").read_text())
    config["inputs"]["shapes"]["combinations"] = ["ht", "number", "aplanarity"]
    (chain.folder / "training.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.raises(NtuplemlError, match=r"has no variable 'shapes.aplanarity'"):
        load_model(chain.folder / "training.yaml", "xgboost")


def test_tracks_of_jets(analysis: Callable[..., Analysis]) -> None:
    """Rows are jets with their tracks; the scores are lists, aligned with the jets."""
    chain = analysis(
        dataset={
            "rows": {"objects": "Jet", "selection": "Jet_pt > 25", "members": {"Track": {"index": "Track_jetIdx"}}}
        },
        inputs={
            "jet": {"numbers": ["Jet_pt", "abs(Jet_eta)", "met"]},
            "tracks": {"objects": ["Track_pt", "Track_d0"], "sort": "Track_pt", "length": 5},
        },
        model={"encoders": {"tracks": {"type": "deep_set", "hidden": [8]}}, "hidden": [8], "epochs": 3},
    )
    found = chain.friend(chain.ntuples / "signal.root")["ml_score_signal"]
    truth = columns_of(True, 1)
    assert ak.num(found).tolist() == ak.num(truth["Jet_pt"]).tolist()
    events, numbers, tracks = [], [], []
    for event in range(EVENTS):
        for jet in range(len(truth["Jet_pt"][event])):
            own = np.asarray(truth["Track_jetIdx"][event]) == jet
            events.append(truth["event"][event])
            numbers.append([truth["Jet_pt"][event][jet], abs(truth["Jet_eta"][event][jet]), truth["met"][event]])
            tracks.append([np.asarray(truth[name][event])[own] for name in ("Track_pt", "Track_d0")])
    array, lengths = padded(list(zip(*tracks, strict=True)), 5, lambda track: -track[0])
    inputs = {"jet": np.array(numbers, "f4"), "tracks": array, "tracks_length": lengths}
    expected = chain.expected(np.array(events), inputs)[:, 0]
    expected[np.array(numbers)[:, 0] <= 25] = -1
    np.testing.assert_allclose(ak.flatten(found), expected, atol=1e-5)


def test_image_filled_from_towers(analysis: Callable[..., Analysis]) -> None:
    """A grid in η and φ, one channel, by a convolution."""
    chain = analysis(
        inputs={
            "towers": {
                "image": ["Tower_et"],
                "eta": "Tower_eta",
                "phi": "Tower_phi",
                "bins": list(BINS),
                "eta_range": list(ETA_RANGE),
            }
        },
        model={"encoders": {"towers": {"type": "convolution", "filters": [4], "kernel": 3, "pool": 2}}, "epochs": 2},
    )
    truth = columns_of(True, 1)
    image = np.zeros((EVENTS, *BINS, 1), "f4")
    for event in range(EVENTS):
        places = [np.asarray(truth[name][event], "f8") for name in ("Tower_eta", "Tower_phi")]
        weights = np.asarray(truth["Tower_et"][event], "f8")
        image[event, ..., 0] = np.histogram2d(
            *places, bins=BINS, range=[ETA_RANGE, (-math.pi, math.pi)], weights=weights
        )[0]
    expected = chain.expected(truth["event"], {"towers": image})
    found = chain.friend(chain.ntuples / "signal.root")
    np.testing.assert_allclose(found["ml_score_signal"], expected[:, 0], atol=1e-4)


@pytest.mark.parametrize("source", [("root", "Events"), ("h5", "events")])
def test_image_of_a_column(analysis: Callable[..., Analysis], source: tuple[str, str]) -> None:
    """A column of shape (8, 12) in a TTree and in an HDF5 file."""
    chain = analysis(
        source=source,
        dataset={"branches": ["calo", "met"]},
        inputs={"event": ["met"], "calo": {"image": ["calo"]}},
        model={"encoders": {"calo": {"type": "convolution", "filters": [4], "kernel": 3}}, "hidden": [8], "epochs": 4},
    )
    truth = columns_of(True, 1)
    inputs = {"event": truth["met"][:, None], "calo": truth["calo"][..., None]}
    found = chain.friend(chain.ntuples / f"signal.{source[0]}")
    expected = chain.expected(truth["event"], inputs)
    np.testing.assert_allclose(found["ml_score_signal"], expected[:, 0], atol=1e-5)
    assert expected[:, 0].mean() > 0.6


@pytest.mark.parametrize("loss", ["mean_squared_error", "huber"])
def test_regression_of_two_values(analysis: Callable[..., Analysis], loss: str) -> None:
    """Branches of the names of the values, in their own units; bias and resolution in the report."""
    chain = analysis(
        classes=["signal"],
        inputs={"event": ["met", "cos(phi)", "sin(phi)", "met*cos(phi)", "met*sin(phi)"]},
        target={"values": {"met_x": "gen_met*cos(gen_phi)", "met_y": "gen_met*sin(gen_phi)"}},
        model={"hidden": [20], "loss": loss, "epochs": 40, "learning_rate": 0.01},
    )
    found = chain.friend(chain.ntuples / "signal.root")
    truth = columns_of(True, 1)
    met, phi = (truth[name].astype("f8") for name in ("met", "phi"))
    matrix = np.stack([met, np.cos(phi), np.sin(phi), met * np.cos(phi), met * np.sin(phi)], axis=1).astype("f4")
    expected = chain.expected(truth["event"], {"event": matrix})
    np.testing.assert_allclose(found["ml_score_met_x"], expected[:, 0], rtol=1e-4, atol=1e-3)
    assert sorted(name for name in found.fields if name.startswith("ml_score_")) == ["ml_score_met_x", "ml_score_met_y"]
    wanted = truth["gen_met"] * np.sin(truth["gen_phi"])
    assert np.std(expected[:, 1] - wanted) < 0.4 * np.std(wanted)
    chain.run("report", "training", "testing", "all")
    page = (chain.folder / "foldall_report.html").read_text()
    for word in ("met_x", "bias", "resolution"):
        assert word in page.lower(), word


def test_reconstruction(analysis: Callable[..., Analysis]) -> None:
    """The score is the masked mean squared error of scaled inputs; those of the latent layer stand beside it."""
    scores = ["reconstruction_error", "latent_norm", "kl"]
    chain = analysis(
        classes=["background"],
        inputs={"event": ["met", "HT"], "jets": {"objects": JET, "sort": "Jet_pt", "length": LENGTH}},
        classes_in_files=["background", "signal"],
        target={"reconstruction": "all", "scores": scores},
        model={"hidden": [16], "latent": {"size": 3, "variational": True}, "epochs": 4},
    )
    truth = columns_of(True, 1)
    jets, lengths = padded([truth[name] for name in JET], LENGTH, lambda jet: -jet[0])
    numbers = np.stack([truth["met"], truth["HT"]], axis=1)
    expected = chain.expected(truth["event"], {"event": numbers, "jets": jets, "jets_length": lengths})
    branches = chain.friend(chain.ntuples / "signal.root")
    found = np.stack([np.asarray(branches[f"ml_score_{name}"]) for name in scores], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert (expected > 0).all()
    chain.write("testing", classes=["background", "signal"])  # the network never saw the signal
    chain.run("report", "training", "testing", "all")
    (numbers_file,) = chain.folder.glob("foldall_report/*reconstruction.yaml")
    means = {name: one["bias"]["value"] for name, one in yaml.safe_load(numbers_file.read_text())["classes"].items()}
    assert means["signal"] == pytest.approx(found[:, 0].mean(), rel=1e-3)
    assert 0 < means["background"] < means["signal"]
