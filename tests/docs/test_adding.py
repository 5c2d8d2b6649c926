"""The pages on how to add a metric, a trainer, an encoder and a source: taken as they stand."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import balanced_accuracy_score

import ntupleml

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).resolve().parents[2] / "docs"
#: First line of a block: the file that it is, or stands in.
_FILE = re.compile(r"# python/(ntupleml/[\w/]+)\.py\n")


def dotted(file: str) -> str:
    return file.removesuffix("/__init__").replace("/", ".")


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """Take the blocks of a page; gives the line of registration, evaluated, and the names of the last file."""

    def take(page: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        line = ""
        for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL):
            found = _FILE.match(block)
            assert found, block
            name, text = dotted(found[1]), block[found.end() :]
            if not text.startswith('"""'):
                line = text.strip().removesuffix(",")
                names |= {key: value for key, value in vars(import_module(name)).items() if key not in names}
                continue
            assert not (DOCS.parent / "python" / f"{found[1]}.py").exists(), "an example that is in the package by now"
            module = ModuleType(name)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(text, found[1], "exec"), vars(module))
            names |= vars(module)
        assert line
        names["line"] = eval(f"{{{line}}}" if line.startswith('"') else line, names)  # a key and its value, or a value
        return names

    return take


def test_a_metric(added: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ntupleml.config import PlotConfig
    from ntupleml.testing.registry import STEPS
    from ntupleml.testing.tested_events import TestedEvents

    names = added("adding-a-metric.md")
    for key, step in names["line"].items():
        monkeypatch.setitem(STEPS, key, step)
    random = np.random.default_rng(3)
    number = 2000
    scores, truth = random.dirichlet([2, 1, 1], number), random.integers(0, 3, number)
    weights = random.exponential(1, number)
    events = TestedEvents(
        ["a", "b", "c"], {"trees": scores.astype("f4")}, truth, weights, np.zeros(number, int), [],
        np.zeros((number, 0), "f4"), {}, {},
    )  # fmt: skip
    answer = STEPS["balanced-accuracy"](events)
    expected = balanced_accuracy_score(truth, scores.astype("f4").argmax(axis=1), sample_weight=weights)
    found = answer.numbers["trees"]
    assert found.value == pytest.approx(expected, rel=1e-6)
    # As many repetitions say how much such a number varies.
    again = []
    for _ in range(300):
        chosen = random.integers(0, number, number)
        again.append(names["balanced_accuracy"](scores[chosen], truth[chosen], weights[chosen]).value)
    assert found.uncertainty == pytest.approx(np.std(again), rel=0.2)
    assert answer.figure(plot=PlotConfig()).axes[0].get_ylabel() == "Balanced accuracy"
    assert not isinstance(names["balanced_accuracy"](scores, truth, 0 * weights), type(found))


def test_an_encoder(added: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ntupleml.models import ENCODERS, GroupShape, Network, build_model

    for key, encoder in added("adding-an-encoder.md")["line"].items():
        monkeypatch.setitem(ENCODERS, key, encoder)
    network = Network(hidden=(4,), activation="relu", encoders={"jets": {"type": "gated", "hidden": [5, 3]}})
    model = build_model(network, {"jets": GroupShape("objects", (None, 4))}, 2, seed=1)
    jets = np.random.default_rng(1).normal(size=(3, 4, 4)).astype("f4")
    mask = np.array([[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], "f4")
    jets *= mask[..., None]
    weights = {one.path.split("/", 1)[-1]: np.asarray(one) for one in model.weights}
    layers = [np.asarray(one) for one in model.weights]
    assert len(layers) == 10, weights.keys()

    def relu(values: Any) -> Any:
        return np.maximum(values, 0)

    (w1, b1, w2, b2, gate, gate_bias, w3, b3, w4, b4) = layers
    each = relu(relu(jets @ w1 + b1) @ w2 + b2)
    pooled = (each / (1 + np.exp(-(each @ gate + gate_bias))) * mask[..., None]).sum(axis=1)
    sums = relu(pooled @ w3 + b3) @ w4 + b4
    expected = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    found = model({"jets": jets, "jets_mask": mask}, training=False)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5)


def write_classes(folder: Path, write: Callable[[Path, dict[str, Any]], None], ending: str) -> dict[str, Any]:
    """Two classes, normally distributed in two variables, and the config of their dataset."""
    random = np.random.default_rng(4)
    for name, mean in (("signal", [1.0, 0.5]), ("background", [0.0, 0.0])):
        values = random.multivariate_normal(mean, [[1, 0.4], [0.4, 1]], 1500).astype("f4")
        columns = {"event": np.arange(1500), "x": values[:, 0], "y": values[:, 1], "w": random.uniform(0.5, 1.5, 1500)}
        write(folder / f"{name}{ending}", columns)
    return {
        "base_path": folder,
        "tree_path": "ntuple",
        "event_branch": "event",
        "output_path": folder,
        "output_filename": "dataset.root",
        "processes": {name: {"files": f"{name}{ending}", "weight_string": "w"} for name in ("signal", "background")},
    }


def as_root(path: Path, columns: dict[str, Any]) -> None:
    with uproot.recreate(path) as file:
        file.mktree("ntuple", {name: values.dtype for name, values in columns.items()}).extend(columns)


def as_npy(path: Path, columns: dict[str, Any]) -> None:
    rows = np.zeros(1500, [(name, values.dtype.newbyteorder(">")) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    np.save(path, rows)


def test_a_trainer(added: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ntupleml.training.estimators import ESTIMATORS

    for key, module in added("adding-a-trainer.md")["line"].items():
        monkeypatch.setitem(ESTIMATORS, key, module)
    summary = ntupleml.create_datasets(write_classes(tmp_path, as_root, ".root"))
    training = {
        "datasets": summary.files,
        "output_path": tmp_path,
        "classes": ["background", "signal"],
        "variables": ["x", "y"],
        "event_weights": "training_weight",
        "preprocessing": "identity",
        "train_test_split": 0.9999,
        "scikit_learn": [{"name": "fisher", "type": "Fisher"}],
    }
    (record,) = ntupleml.train(training, 0, method="fisher")
    assert record.engine == "scikit_learn"
    events = ntupleml.read_events(training, 0)
    copies = np.rint(events.weights * 50).astype(int)  # scikit-learn's has no weights, but repeated events are the same
    reference = LinearDiscriminantAnalysis(solver="lsqr").fit(
        np.repeat(events.inputs["variables"], copies, axis=0), np.repeat(events.truth, copies)
    )
    points = np.array([[0.0, 0.0], [1.0, 0.5], [-1.0, 2.0]], "f4")
    model = ntupleml.load_model(tmp_path / "fold0_fisher_model.onnx")
    np.testing.assert_allclose(model.score(points), reference.predict_proba(points), atol=5e-3)


def test_a_source(added: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ntupleml.ntuples import formats

    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, added("adding-a-source.md")["line"]))
    (tmp_path / "npy").mkdir()
    (tmp_path / "root").mkdir()
    found = [
        ntupleml.create_datasets(write_classes(tmp_path / kind, write, ending))
        for kind, write, ending in (("root", as_root, ".root"), ("npy", as_npy, ".npy"))
    ]
    for ours, expected in zip(found[1].files, found[0].files, strict=True):
        with uproot.open(ours) as one, uproot.open(expected) as other:
            for tree in ("signal", "background"):
                left, right = (file[tree].arrays(library="np") for file in (one, other))
                for name in ("event", "x", "y", "w", "training_weight"):
                    np.testing.assert_array_equal(left[name], right[name])
    (tmp_path / "npy" / "signal.npy").write_bytes((tmp_path / "npy" / "signal.npy").read_bytes()[:90])
    with pytest.raises(ntupleml.NtuplemlError, match=r"signal\.npy: cannot be read: .*damaged or incomplete"):
        ntupleml.create_datasets(write_classes_config(tmp_path / "npy"), overwrite=True)


def write_classes_config(folder: Path) -> dict[str, Any]:
    """The config alone, of files that are there."""
    return write_classes(folder, lambda path, columns: None, ".npy")
