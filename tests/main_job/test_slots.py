"""Slots from YAML to scores: an autoencoder, a classifier of objects, and a network with the steps inside.

What is expected is computed with NumPy, Keras and ONNX Runtime alone.
"""

from __future__ import annotations

import json
import math
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

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

EVENTS = 600
SLOTS = {"jets": 4, "electrons": 2, "met": 1}
STEPS = ["delta_phi", "met", {"thresholds": {"jets": 40.0, "electrons": 20.0}}, {"scale_pt": {"type": "per_event"}}]


def events_of(signal: bool) -> NDArray[np.float32]:
    """Jets, electrons and missing energy, (events, 7, 3); that of two events is unknown."""
    random = np.random.default_rng(signal)
    events = np.zeros((EVENTS, 7, 3), np.float32)
    for name, start, number, mean in (("jets", 0, 4, 2.5), ("electrons", 4, 2, 0.7)):
        counts = np.minimum(random.poisson(mean, EVENTS), number)
        there = np.arange(number) < counts[:, None]
        pt = -np.sort(-random.exponential(60 if signal and name == "jets" else 40, (EVENTS, number)), axis=1) + 10
        shape = (EVENTS, number)
        angles = random.uniform(-2, 2, shape), random.uniform(-math.pi, math.pi, shape)
        events[:, start : start + number] = np.stack([pt, *angles], axis=2) * there[..., None]
    events[:, 6, 0], events[:, 6, 2] = random.exponential(30, EVENTS), random.uniform(-math.pi, math.pi, EVENTS)
    events[0, 6], events[1, 6, 2] = (-999, 0, 0), np.nan
    return events


def prepared(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the steps make of events, shape (events, 21)."""
    made = raw.astype(np.float64)
    turned = np.remainder(made[..., 2] - made[:, :1, 2] + math.pi, 2 * math.pi) - math.pi
    made[..., 2] = np.where(made[..., 0] == 0, 0, turned)
    made[(made[:, 6, 0] == -999) | np.isnan(made[:, 6, 2]), 6] = 0
    limits = np.array([40] * 4 + [20] * 2 + [0])
    made *= (made[..., 0] >= limits)[..., None]
    made[..., 0] *= 10 / (made[..., 0].sum(axis=1, keepdims=True) + 1e-6)
    return made.reshape(len(made), -1).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events as HDF5 with one column, and as a TTree with lists and numbers."""
    folder = tmp_path_factory.mktemp("slots")
    for name in ("background", "signal"):
        events = events_of(name == "signal")
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["events/HLT_data"] = events
            file["events/event"] = np.arange(EVENTS) * 3
        with uproot.recreate(folder / f"{name}.root") as file:
            columns: dict[str, Any] = {
                "event": np.arange(EVENTS) * 3,
                "met": events[:, 6, 0],
                "met_phi": events[:, 6, 2],
            }
            for kind, start, stop in (("jet", 0, 4), ("el", 4, 6)):
                objects = events[:, start:stop]
                counts = (objects[..., 0] > 0).sum(axis=1)
                for index, key in enumerate(("pt", "eta", "phi")):
                    columns[f"{kind}_{key}"] = ak.unflatten(objects[objects[..., 0] > 0][:, index], counts)
            types = {key: "int64" if key == "event" else "float32" for key in ("event", "met", "met_phi")}
            file.mktree("events", types | {key: "var * float32" for key in columns if key not in types})
            file["events"].extend(columns)
    return folder


class Analysis:
    """The four configs in a folder of their own."""

    def __init__(self, folder: Path, name: str, suffix: str, **training: Any) -> None:
        self.ntuples, self.suffix, self.folder = folder, suffix, folder / name
        self.folder.mkdir()
        processes = {one: {"files": [f"{one}.{suffix}"], "class": one} for one in ("background", "signal")}
        self.write(
            "dataset", base_path=str(folder), tree_path="events", event_branch="event", processes=processes,
            output_path=str(self.folder), output_filename="data.root",
        )  # fmt: skip
        self.write(
            "training", datasets=[f"{self.folder}/fold{fold}_data.root" for fold in (0, 1)], classes=[*processes],
            output_path=str(self.folder), event_weights="training_weight", **training,
        )  # fmt: skip
        self.write("testing", seed=1)
        self.write("application", output_directory=f"{self.folder}/friends")
        self.run("dataset", "dataset")

    def write(self, stage: str, **content: Any) -> None:
        (self.folder / f"{stage}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, verb: str, *arguments: str) -> None:
        stages = ("dataset", "training", "testing", "application")
        given = [f"{self.folder}/{one}.yaml" if one in stages else str(one) for one in arguments]
        assert main([verb, *given]) == 0

    def friend(self, name: str) -> Any:
        self.run(
            "apply-keras-friend", "dataset", "training", "application", f"{self.ntuples}/{name}.{self.suffix}", "events"
        )
        (path,) = (self.folder / "friends").rglob("*.root")
        return uproot.open(path)["events"].arrays(library="np")

    def by_model(self, score: Any) -> NDArray[Any]:
        """Scores of all events, each by the model that never saw its fold."""
        found = np.full(EVENTS, np.nan)
        for fold in (0, 1):
            record = json.loads((self.folder / f"fold{fold}_keras_training.json").read_text())
            rows = np.flatnonzero(np.arange(EVENTS) * 3 % 2 == record["held_out_fold"])
            found[rows] = score(fold, rows)
        return found

    def by_onnx(self, raw: NDArray[np.float32], column: int = 0) -> NDArray[Any]:
        def score(fold: int, rows: NDArray[Any]) -> NDArray[Any]:
            session = onnxruntime.InferenceSession(str(self.folder / f"fold{fold}_keras_model.onnx"))
            (scores,) = session.run(["scores"], {"hlt": raw[rows]})
            return np.asarray(scores)[:, column]

        return self.by_model(score)


def test_an_autoencoder(folder: Path) -> None:
    """Errors count numbers that are neither 0 nor -999; friends, tables, Python, the report, and Keras agree."""
    import keras

    slots = {"column": "HLT_data", "slots": SLOTS, "steps": STEPS}
    chain = Analysis(
        folder, "autoencoder", "h5", inputs={"hlt": slots}, target={"reconstruction": "all"},
        model={"hidden": [8, 3, 8], "epochs": 2, "batch_size": 100},
    )  # fmt: skip
    chain.run("train-keras", "training", "all")
    raw = events_of(True)
    found = chain.friend("signal")["ml_score_reconstruction_error"]

    def score(fold: int, rows: NDArray[Any]) -> NDArray[Any]:
        network = keras.saving.load_model(chain.folder / f"fold{fold}_keras_model.keras", compile=False)
        given = prepared(raw[rows])
        counts = (given != 0) & (given != -999)
        squares = (np.asarray(network(given)) - given) ** 2 * counts
        return np.asarray(squares.sum(axis=1) / np.maximum(counts.sum(axis=1), 1))

    np.testing.assert_allclose(found, chain.by_model(score), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found, chain.by_onnx(raw), rtol=1e-6)
    model = load_model(chain.folder / "training.yaml")
    np.testing.assert_allclose(model.score({"HLT_data": raw, "event": np.arange(EVENTS) * 3})[:, 0], found, rtol=1e-6)
    chain.run("inputs", "training", f"{folder}/signal.h5", "events", f"{chain.folder}/inputs.npz")
    with np.load(chain.folder / "inputs.npz") as arrays:
        np.testing.assert_array_equal(arrays["hlt"], raw)
    chain.run("compare-engines", "training", "0")
    chain.run("report", "training", "testing", "all")
    assert (chain.folder / "foldall_report.html").stat().st_size > 10_000


LISTS = {
    "jets": {"objects": ["jet_pt", "jet_eta", "jet_phi"], "number": 4},
    "electrons": {"objects": ["el_pt", "el_eta", "el_phi"], "number": 2},
    "met": {"objects": ["met", 0, "met_phi"], "number": 1},
}


def test_objects_beside_numbers_are_streamed(folder: Path) -> None:
    """Lists of a TTree, as objects with a mask, scaled by what events tell; in place, and another file of the model."""
    chain = Analysis(
        folder, "objects", "root",
        inputs={"hlt": {"slots": LISTS, "steps": [*STEPS[:3], {"scale_pt": "standard_nonzero"}], "flat": False}},
        model={"encoders": {"hlt": {"type": "deep_set", "hidden": [8]}}, "hidden": [8], "epochs": 2, "batch_size": 100},
        stream=True,
    )  # fmt: skip
    chain.run("train-keras", "training", "all")
    raw = events_of(True)
    expected = chain.by_onnx(raw, column=1)
    configs = ("dataset", "training", "application", f"{folder}/signal.root", "events")
    chain.run("apply-keras", *configs, "--output-directory", f"{chain.folder}/copy")
    found = uproot.open(chain.folder / "copy" / "signal.root")["events"]["ml_score_signal"].array(library="np")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for fold in (0, 1):
        (chain.folder / f"fold{fold}_keras_model.onnx").unlink()  # made anew from the Keras file
    np.testing.assert_allclose(chain.friend("signal")["ml_score_signal"], expected, atol=1e-6)
    single = load_model(chain.folder / "fold0_keras_model.onnx")
    columns = {"met": raw[:, 6, 0], "met_phi": raw[:, 6, 2], "event": np.arange(EVENTS) * 3}
    lists = uproot.open(folder / "signal.root")["events"].arrays()
    columns |= {key: lists[key] for key in lists.fields if key not in columns}
    assert np.isfinite(single.score(columns)).all()


def test_a_network_with_the_steps_inside(folder: Path) -> None:
    """It gets raw numbers, NaN included, and is read from its file without Python's help."""
    script = folder / "network.py"
    script.write_text(
        "import keras\n"
        "from ntupleml.models.layers import SlotSteps\n"
        "def build(shapes, num_outputs, seed):\n"
        "    slots = keras.Input(shapes['hlt'].shape, name='hlt')\n"
        f"    values = SlotSteps({SLOTS}, {STEPS}, name='steps')(slots)\n"
        "    return keras.Model(slots, keras.layers.Dense(num_outputs, activation='softmax')(values))\n"
    )
    slots = {"column": "HLT_data", "slots": SLOTS, "raw": True}
    chain = Analysis(
        folder, "inside", "h5", inputs={"hlt": slots}, model={"hidden": [8], "epochs": 1, "batch_size": 100}
    )
    chain.run("train-keras", "training", "all", "--network", str(script))
    found = chain.friend("signal")["ml_score_signal"]
    assert np.isfinite(found).all()

    def score(fold: int, rows: NDArray[Any]) -> NDArray[Any]:
        with h5py.File(_weights(chain.folder / f"fold{fold}_keras_model.keras")) as file:
            kernel, bias = (file[f"layers/dense/vars/{place}"][:] for place in "01")
        logits = prepared(events_of(True)[rows]) @ kernel + bias
        return np.asarray(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])))

    np.testing.assert_allclose(found, chain.by_model(score), atol=2e-5)


def _weights(path: Path) -> Path:
    import zipfile

    with zipfile.ZipFile(path) as file:
        return file.extract("model.weights.h5", path.parent) and path.parent / "model.weights.h5"
