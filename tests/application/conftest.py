"""A small analysis whose models are linear, so that numpy says what the scores must be."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import uproot
import yaml
from onnx import TensorProto, helper, numpy_helper

from ntupleml.artifacts import Method, TrainingRecord, model_files, record_hash, sha256_of_file, write_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ntupleml.folds import FoldFileRecord

TREE = "mt_nominal/ntuple"


def softmax_model(record: TrainingRecord, weights: NDArray[np.float32]) -> bytes:
    """ONNX graph of softmax(x·W), with the metadata that ours have."""
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["variables", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "softmax",
        [helper.make_tensor_value_info("variables", TensorProto.FLOAT, ["events", weights.shape[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["events", weights.shape[1]])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    description = {
        "variables": {"variables": [*record.variables, *record.conditions]},
        "classes": record.classes,
        "missing": record.missing,
        "record_hash": record_hash(record),
    }
    helper.set_model_props(model, {"ntupleml": json.dumps(description)})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@dataclass
class Analysis:
    """Configs and models in a folder; `configs` are the three paths that the scripts take."""

    folder: Path
    num_folds: int = 2
    variables: list[str] = field(default_factory=lambda: ["x", "y"])
    classes: list[str] = field(default_factory=lambda: ["signal", "background", "other"])
    conditions: list[str] = field(default_factory=list)
    event_branch: str | None = "event"
    fold_by: list[str] = field(default_factory=list)
    fold_file: FoldFileRecord | None = None
    folds_recorded: bool = True
    weights: list[NDArray[np.float32]] = field(default_factory=list)
    python_hash: Any = None

    def write(self) -> None:
        random = np.random.default_rng(7)
        self.folder.mkdir(exist_ok=True)
        for fold in range(self.num_folds):
            held_out = (fold + 1) % self.num_folds
            record = TrainingRecord(
                fold=fold,
                num_folds=self.num_folds,
                trained_on=[other for other in range(self.num_folds) if other != held_out],
                held_out_fold=held_out,
                event_branch=self.event_branch if self.folds_recorded else None,
                fold_by=self.fold_by,
                fold_file=self.fold_file,
                folds_recorded=self.folds_recorded,
                classes=self.classes,
                variables=self.variables,
                conditions=self.conditions,
                preprocessing="identity",
                seed=1,
                config={},
            )
            shape = (len(self.variables) + len(self.conditions), len(self.classes))
            self.weights.append(random.normal(size=shape).astype("f4"))
            files = model_files(self.folder / "models", fold)
            write_record(files.record, record)
            files.preprocessing.write_bytes(b"")  # has to be there if a config lists it; ONNX files replace it
            files.onnx.write_bytes(softmax_model(record, self.weights[-1]))
        dataset: dict[str, Any] = {
            "output_path": "unused",
            "output_filename": "unused.root",
            "tree_path": TREE,
            "num_folds": self.num_folds,
            "processes": {"signal": {"files": ["unused.root"]}},
        }
        if self.event_branch is not None:
            dataset["event_branch"] = self.event_branch
        if self.fold_by:
            dataset["fold_by"] = self.fold_by
        datasets = [f"fold{fold}.root" for fold in range(self.num_folds)]
        training: dict[str, Any] = {
            "output_path": str(self.folder / "models"),
            "classes": self.classes,
            "variables": self.variables,
            "datasets": datasets,
        }
        if self.conditions:
            del training["datasets"]
            training["conditions"] = {name: {"datasets": datasets} for name in self.conditions}
        self.change("dataset", dataset)
        self.change("training", training)
        self.change("application", {"output_directory": str(self.folder / "friends")})

    @property
    def configs(self) -> list[Path]:
        return [self.folder / f"{name}.yaml" for name in ("dataset", "training", "application")]

    def change(self, config: str, keys: dict[str, Any]) -> None:
        path = self.folder / f"{config}.yaml"
        old = yaml.safe_load(path.read_text()) if path.exists() else {}
        path.write_text(yaml.safe_dump({**old, **keys}))

    def ntuple(self, name: str = "ggh_2018", entries: int = 1000, tree: str = TREE, **more: Any) -> Path:
        """File `{name}/{name}.root` with the branches x, y, event, and those given."""
        path = self.folder / "ntuples" / name / f"{name}.root"
        path.parent.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(len(name))
        columns = {
            "x": random.normal(size=entries).astype("f4"),
            "y": random.normal(size=entries),
            "event": random.permutation(np.arange(entries, dtype="u8") + 2**62),
            **more,
        }
        with uproot.recreate(path) as file:
            file.mktree(tree, {key: values.dtype for key, values in columns.items()}).extend(columns)
        return path

    def expected(self, path: Path, tree: str = TREE, condition: str | None = None) -> dict[str, NDArray[Any]]:
        """Scores by the definition: for two folds, even events are scored by model 1 and odd ones by model 0."""
        with uproot.open(path) as file:
            columns = file[tree].arrays(library="np")
        inputs = [columns[name] for name in self.variables]
        entries = len(columns["x"])
        inputs += [np.full(entries, float(name == condition)) for name in self.conditions]
        matrix = np.stack(inputs, axis=1).astype("f4")
        events = columns[self.event_branch] if self.event_branch else np.arange(entries, dtype="u8")
        if self.fold_by:
            of_events = zip(*(columns[name].tolist() for name in self.fold_by), strict=True)
            events = np.array([self.python_hash(*values) for values in of_events], dtype="u8")
        scores = np.empty((entries, len(self.classes)))
        for event_fold in range(self.num_folds):
            logits = matrix.astype("f8") @ self.weights[(event_fold - 1) % self.num_folds].astype("f8")
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            ours = exponentials / exponentials.sum(axis=1, keepdims=True)
            chosen = events % np.uint64(self.num_folds) == event_fold
            scores[chosen] = ours[chosen]
        result = {f"ml_score_{name}": scores[:, index] for index, name in enumerate(self.classes)}
        return {**result, "ml_score_max_score": scores.max(axis=1), "ml_score_max_index": scores.argmax(axis=1)}


@pytest.fixture
def make_analysis(tmp_path: Path, python_hash: Callable[..., int]) -> Callable[..., Analysis]:
    def make(**arguments: Any) -> Analysis:
        analysis = Analysis(tmp_path, python_hash=python_hash, **arguments)
        analysis.write()
        return analysis

    return make


@pytest.fixture
def analysis(make_analysis: Callable[..., Analysis]) -> Analysis:
    return make_analysis()


@pytest.fixture
def require_scores() -> Callable[..., None]:
    """Compare the score branches of a tree with numpy's."""

    def require(path: Path, expected: dict[str, NDArray[Any]], tree: str = TREE) -> None:
        with uproot.open(path) as file:
            for name, values in expected.items():
                found = file[tree][name].array(library="np")
                assert found.dtype == np.float32
                np.testing.assert_allclose(found, values, rtol=0, atol=2e-6, err_msg=name)

    return require


@pytest.fixture
def linear_model() -> Callable[[TrainingRecord, NDArray[np.float32]], bytes]:
    """Makes an ONNX file of ours, softmax(x·W), from a record and weights."""
    return softmax_model


@dataclass
class TmvaAnalysis:
    """Weights of a real TMVA, the ntuple whose events its Reader answered, and configs for them."""

    folder: Path
    data: Path

    def weights(self, case: str, name: str = "") -> Path:
        path = self.folder / (name or f"{case}.weights.xml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress((self.data / case / "weights.xml.gz").read_bytes()))
        return path

    def answers(self, case: str) -> NDArray[Any]:
        """Of the Reader, events × outputs."""
        found = np.load(self.data / case / "responses.npz")["response"]
        return np.asarray(found.reshape(len(found), -1))

    def ntuple(self, toy: str = "toy2", copies: int = 1, **more: Any) -> Path:
        """File `{toy}/{toy}.root` with the tree `ntuple`: the events, and their numbers in falling order."""
        path = self.folder / toy / f"{toy}.root"
        path.parent.mkdir(exist_ok=True)
        with np.load(self.data / f"{toy}_eval.npz") as file:
            columns = {name: np.tile(file[name], copies) for name in file}
        entries = len(next(iter(columns.values())))
        columns = {**columns, "event": np.arange(entries, 0, -1, dtype="i8"), **more}
        with uproot.recreate(path) as file:
            file.mktree("ntuple", {key: values.dtype for key, values in columns.items()}).extend(columns)
        return path

    def configs(self, **application: Any) -> list[Path]:
        """Dataset, training and application config for the three classes of the first toy."""
        contents = {
            "dataset": {
                "output_path": "unused",
                "output_filename": "unused.root",
                "tree_path": "ntuple",
                "event_branch": "event",
                "processes": {"A": {"files": ["unused.root"]}},
            },
            "training": {
                "output_path": str(self.folder / "out"),
                "datasets": ["fold0.root", "fold1.root"],
                "classes": ["A", "B", "C"],
                "variables": ["x", "y"],
            },
            "application": {"output_directory": str(self.folder / "friends"), **application},
        }
        for name, content in contents.items():
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        return [self.folder / f"{name}.yaml" for name in contents]

    def train(self, cases: tuple[str, str], name: str = "BDT") -> None:
        """Put the weights of two cases where a training of TMVA has them, with records."""
        for fold, case in enumerate(cases):
            files = model_files(self.folder / "out", fold, Method("tmva", name, "kBDT"))
            self.weights(case, str(files.model.relative_to(self.folder)))
            record = TrainingRecord(
                engine="tmva",
                method=name,
                fold=fold,
                num_folds=2,
                trained_on=[fold],
                held_out_fold=1 - fold,
                event_branch="event",
                classes=["A", "B", "C"],
                variables=["x", "y"],
                preprocessing="none",
                seed=1,
                config={},
                sha256={files.model.name: sha256_of_file(files.model)},
            )
            write_record(files.record, record)


@pytest.fixture
def tmva_analysis(tmp_path: Path, project: Path) -> TmvaAnalysis:
    return TmvaAnalysis(tmp_path, project / "tests" / "data" / "tmva")
