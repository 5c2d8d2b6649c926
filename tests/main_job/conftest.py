"""The four stages run as processes on real files, and the numbers that must come out of them.

Nothing here uses the package: what is expected is computed with uproot, numpy, scikit-learn and Keras alone.
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml

if TYPE_CHECKING:
    from numpy.typing import NDArray

RunScript = Callable[..., subprocess.CompletedProcess[str]]
Columns = dict[str, Any]


@dataclass
class Analysis:
    """A folder in which scripts run as a user runs them.

    Attributes
    ----------
    folder : Path
    run_script : callable
    models : str
        The training's `output_path`, relative to the folder.
    logs : dict of str
        What the stages said.
    """

    folder: Path
    run_script: RunScript
    models: str
    logs: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, *arguments: object, warns: bool = False) -> str:
        """Run a script that has to succeed, without a warning unless `warns`; return its log and what it printed."""
        done = self.run_script(script, *arguments, cwd=self.folder)
        assert done.returncode == 0, f"{script} {arguments}: {done.stderr}"
        assert warns or "warning" not in done.stderr.lower(), done.stderr
        return done.stderr + done.stdout

    def refused(self, script: str, *arguments: object) -> str:
        """Run a script that has to stop with one line; return that line."""
        done = self.run_script(script, *arguments, cwd=self.folder)
        assert done.returncode == 2, done.stderr
        return done.stderr.splitlines()[-1]

    def write_config(self, name: str, content: dict[str, Any]) -> str:
        """Write a YAML file into the folder and return its name."""
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False))
        return name

    def record(self, name: str) -> dict[str, Any]:
        """Content of a JSON file."""
        content: dict[str, Any] = json.loads((self.folder / name).read_text())
        return content

    def columns(self, path: str | Path, tree: str, *names: str) -> Columns:
        """Branches of a tree, all that are numbers or lists of numbers by default: numpy arrays, lists as awkward."""
        with uproot.open(self.folder / path) as file:
            wanted = names or [
                name for name, branch in file[tree].items() if branch.typename not in ("std::string", "TLorentzVector")
            ]
            arrays = {name: file[tree][name].array() for name in wanted}
        return {name: ak.to_numpy(values) if values.ndim == 1 else values for name, values in arrays.items()}

    def scores(self, model: int, matrix: NDArray[Any], one_hot: list[int] | None = None) -> NDArray[Any]:
        """Scores of a model as anybody gets them from the pickle and the Keras file."""
        import keras

        with (self.folder / self.models / f"fold{model}_keras_preprocessing.pickle").open("rb") as file:
            scaler = pickle.load(file)
        network = keras.saving.load_model(self.folder / self.models / f"fold{model}_keras_model.keras")
        inputs = scaler.transform(np.asarray(matrix, dtype="f8"))
        if one_hot is not None:
            inputs = np.concatenate([inputs, np.tile(one_hot, (len(inputs), 1))], axis=1)
        return np.asarray(network(inputs.astype("f4"), training=False))

    def held_out_scores(
        self, matrix: NDArray[Any], events: NDArray[Any], num_folds: int, one_hot: list[int] | None = None
    ) -> NDArray[Any]:
        """Each event's scores by the model whose record says that it was not trained on the event's fold."""
        scores: list[Any] = [None] * len(events)
        for model in range(num_folds):
            trained_on = self.record(f"{self.models}/fold{model}_keras_training.json")["trained_on"]
            (held_out,) = set(range(num_folds)) - set(trained_on)
            rows = [row for row, event in enumerate(events) if int(event) % num_folds == held_out]
            for row, of_event in zip(rows, self.scores(model, matrix[rows], one_hot), strict=True):
                assert scores[row] is None
                scores[row] = of_event
        return np.stack(scores)

    def confusion(
        self, model: int, fold_file: str, classes: list[str], matrix_of: Callable[[Columns], NDArray[Any]]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """C_ij and its variance V_ij: sums of w and w² of the events of class i that a model takes for class j."""
        sums, squares = np.zeros((2, len(classes), len(classes)))
        for i, name in enumerate(classes):
            columns = self.columns(fold_file, name)
            weights = columns["training_weight"].astype("f8")
            predicted = self.scores(model, matrix_of(columns)).argmax(axis=1)
            for j in range(len(classes)):
                sums[i, j] = weights[predicted == j].sum()
                squares[i, j] = (weights[predicted == j] ** 2).sum()
        return sums, squares

    def yaml_matrix(self, name: str, classes: list[str], key: str | None = None) -> NDArray[Any]:
        """Values of a confusion matrix on disk, or those under a key."""
        content = yaml.safe_load((self.folder / self.models / f"{name}.yaml").read_text())
        block = content if key is None else content[key]
        return np.array([[block[true][predicted] for predicted in classes] for true in classes])


def require_score_branches(columns: Columns, classes: list[str], expected: NDArray[Any]) -> None:
    """Compare the score branches of a tree with the scores that its events must have."""
    names = [f"ml_score_{name}" for name in classes]
    for name, values in zip(names, expected.T, strict=True):
        assert columns[name].dtype == np.float32
        np.testing.assert_allclose(columns[name], values, rtol=0, atol=1e-5, err_msg=name)
    found = np.stack([columns[name] for name in names], axis=1)
    np.testing.assert_array_equal(columns["ml_score_max_score"], found.max(axis=1))
    np.testing.assert_array_equal(columns["ml_score_max_index"], found.argmax(axis=1))
    assert columns["ml_score_max_index"].dtype == np.float32


@pytest.fixture(scope="session")
def require_scores() -> Callable[[Columns, list[str], NDArray[Any]], None]:
    """`require_scores(columns, classes, expected)`."""
    return require_score_branches


@pytest.fixture(scope="session")
def new_analysis(tmp_path_factory: pytest.TempPathFactory, run_script: RunScript) -> Callable[[str, str], Analysis]:
    """Make an empty folder to work in: `new_analysis(name, output_path)`."""
    return lambda name, models: Analysis(tmp_path_factory.mktemp(name), run_script, models)


@pytest.fixture(scope="session")
def toy(new_analysis: Callable[[str, str], Analysis], project: Path) -> Analysis:
    """The commands of `make example`, with each fold tested alone, too, and a friend; `before.root` is the old data."""
    analysis = new_analysis("toy", "example")
    shutil.copytree(project / "configs", analysis.folder / "configs")
    configs = [f"configs/toy/{stage}.yaml" for stage in ("dataset", "training", "application")]
    analysis.run("dataset/write_example_dataset.py", "example")
    shutil.copy(analysis.folder / "example" / "example_data.root", analysis.folder / "before.root")
    analysis.run("dataset/create_training_dataset.py", configs[0])
    analysis.run("training/keras_training.py", configs[1], "all")
    for fold in ("0", "1", "all"):
        analysis.run("testing/keras_confusion_matrix.py", configs[1], "configs/toy/testing.yaml", fold)
    analysis.run("application/keras_application.py", *configs, "example/example_data.root", "ntuple")
    analysis.run("application/keras_application_friend.py", *configs, "example/example_signal.root", "ntuple")
    return analysis


@pytest.fixture(scope="session")
def made_up_ntuples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `ntuples`, written by ROOT (see write_ntuples.py), and their `friends`; to be copied."""
    folder = tmp_path_factory.mktemp("made_up")
    script = Path(__file__).with_name("write_ntuples.py")
    subprocess.run([sys.executable, script, folder / "ntuples"], check=True, capture_output=True, timeout=120)
    for path in sorted((folder / "ntuples").rglob("*.root")):
        _write_friends(path, folder / "friends")
    return folder


def _write_friends(path: Path, folder: Path) -> None:
    """For each tree of a file: SVFit with event number, mass and another pt_1, and TauID with a score."""
    random = np.random.default_rng(len(path.name))
    sv_fit, tau_id = (folder / name / path.parent.name / path.name for name in ("SVFit", "TauID"))
    sv_fit.parent.mkdir(parents=True)
    tau_id.parent.mkdir(parents=True)
    with uproot.open(path) as file, uproot.recreate(sv_fit) as masses, uproot.recreate(tau_id) as scores:
        for tree in [key for key in file.keys(cycle=False) if key.endswith("/ntuple")]:
            events = file[tree].arrays(["event", "m_vis"])
            m_sv = (ak.to_numpy(events["m_vis"]) * random.uniform(1.1, 1.5, len(events))).astype("f4")
            fitted = {"event": events["event"], "m_sv": m_sv, "pt_1": m_sv / 2}
            masses.mktree(tree, {"event": "i8", "m_sv": "f4", "pt_1": "f4"}).extend(fitted)
            scores.mktree(tree, {"id_score": "f8"}).extend({"id_score": random.uniform(0, 1, len(events))})
