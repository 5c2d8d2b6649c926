"""A small trained analysis: fold files of known events, and models whose scores are known by a formula."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import uproot
import yaml
from onnx import TensorProto, helper, numpy_helper

from ntupleml.artifacts import KERAS, DatasetRecord, Method, TrainingRecord, model_files, record_hash, write_record
from ntupleml.datasets.records import FoldRecord

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

CLASSES = ["signal", "background_1", "background_2"]
CLASS_WEIGHTS = {"signal": 10.0, "background_1": 1.0, "background_2": 2.5}
#: Slopes of the scores' logits, one matrix (variables × classes) per model: the models differ visibly.
SLOPES = [
    np.array([[0.0, 1.0, -1.0], [0.5, 0.2, -0.4]], dtype=np.float32),
    np.array([[1.0, -0.3, 0.1], [0.0, 0.6, 0.9]], dtype=np.float32),
    np.array([[-1.0, 0.4, 0.3], [0.3, -0.5, 0.2]], dtype=np.float32),
]


@dataclass
class Analysis:
    """Folder with fold files, models and configs; change `training` and `testing`, then call `write_configs`."""

    folder: Path
    num_folds: int
    events: list[dict[str, dict[str, NDArray[Any]]]]
    training: dict[str, Any]
    testing: dict[str, Any] = field(default_factory=dict)
    datasets: list[list[DatasetRecord]] = field(default_factory=list)

    def add_method(self, model: int, name: str, slopes: NDArray[np.float32], **record: Any) -> None:
        """A trained kPyKeras method of some name, whose scores are softmax(variables × slopes)."""
        method = Method("tmva", name, "kPyKeras")
        write_model(self.folder / "out", model, self.num_folds, self.datasets[model], [], method, slopes, **record)

    def write_configs(self) -> None:
        (self.folder / "training.yaml").write_text(yaml.safe_dump(self.training))
        (self.folder / "testing.yaml").write_text(yaml.safe_dump(self.testing))

    def predicted(self, model: int, class_name: str) -> NDArray[np.int64]:
        """Predictions of a model for the events of its held-out fold, from the formula of its scores."""
        events = self.events[(model + 1) % self.num_folds][class_name]
        return np.argmax(np.stack([events["x"], events["y"]], axis=1) @ SLOPES[model], axis=1)

    def expected(self, model: int, weight: str, class_weights: dict[str, float] | None = None) -> NDArray[np.float64]:
        """Sums of weights by true and predicted class."""
        matrix = np.zeros((3, 3))
        for i, class_name in enumerate(CLASSES):
            weights = self.events[(model + 1) % self.num_folds][class_name][weight].astype("f8")
            for j in range(3):
                matrix[i, j] = weights[self.predicted(model, class_name) == j].sum()
            matrix[i] *= (class_weights or {}).get(class_name, 1.0)
        return matrix

    def result(self, name: str) -> dict[str, dict[str, Any]]:
        """Content of a YAML file, read as htt-ml's users do."""
        with (self.folder / "out" / f"{name}.yaml").open() as file:
            return yaml.load(file, Loader=yaml.SafeLoader)

    def matrix(self, name: str) -> NDArray[np.float64]:
        content = self.result(name)
        return np.array([[content[true][predicted] for predicted in CLASSES] for true in CLASSES])


def write_fold_file(
    path: Path, events: dict[str, dict[str, NDArray[Any]]], of_friend: tuple[str, ...] | None = None
) -> str:
    """Write a tree per class, some columns into a friend of it if asked, and return the UUID of the file."""
    with uproot.recreate(path) as file:
        for class_name, columns in events.items():
            friend = {name: columns[name] for name in of_friend or ()}
            own = {name: column for name, column in columns.items() if name not in friend}
            for tree_name, some in ((class_name, own), (f"{class_name}_friend_ml", friend)):
                if not some:
                    continue
                tree = file.mktree(tree_name, {name: column.dtype for name, column in some.items()})
                if len(columns["x"]):
                    tree.extend(some)
    with uproot.open(path) as file:
        return str(file.file.uuid)


def write_fold_record(path: Path, fold: int, uuid: str, event_branch: str | None = None) -> None:
    """Write the record of one of two fold files beside it."""
    record = FoldRecord(
        dataset="d",
        file=str(path),
        uuid=uuid,
        fold=fold,
        num_folds=2,
        event_branch=event_branch,
        decided_by="",
        training_weight_branch="w",
        branches={},
        processes={},
        config={},
        created="",
        versions={},
    )
    path.with_suffix(".json").write_text(record.model_dump_json(), encoding="utf-8")


def draw_events(seed: int, num_events: int = 200) -> dict[str, dict[str, NDArray[Any]]]:
    random = np.random.default_rng(seed)
    events = {}
    for i, class_name in enumerate(CLASSES):
        number = num_events + i
        events[class_name] = {
            "x": random.normal(i - 1, 1, number).astype("f4"),
            "y": random.normal(0, 1, number).astype("f4"),
            "weights": random.exponential(2.0, number) * np.where(random.random(number) < 0.08, -1, 1),
            "counts": random.integers(1, 5, number, dtype="i4"),
            "weights_f4": random.exponential(2.0, number).astype("f4"),
        }
    return events


def _network(slopes: NDArray[np.float32], conditions: list[str], metadata: dict[str, Any]) -> bytes:
    """ONNX graph of softmax(variables × slopes); each condition shifts the first class."""
    rows = np.concatenate([slopes, *(np.array([[4.0 * i, 0, 0]], dtype="f4") for i in range(len(conditions)))])
    nodes = [
        helper.make_node("MatMul", ["variables", "slopes"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("variables", TensorProto.FLOAT, ["events", len(rows)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["events", 3])],
        [numpy_helper.from_array(rows.astype("f4"), "slopes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"ntupleml": json.dumps(metadata)})
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_model(
    folder: Path,
    model: int,
    num_folds: int,
    datasets: list[DatasetRecord],
    conditions: list[str],
    method: Method = KERAS,
    slopes: NDArray[np.float32] | None = None,
    **changes: Any,
) -> None:
    content = {
        "method": method.name,
        "fold": model,
        "num_folds": num_folds,
        "trained_on": [fold for fold in range(num_folds) if fold != (model + 1) % num_folds],
        "held_out_fold": (model + 1) % num_folds,
        "classes": CLASSES,
        "variables": ["x", "y"],
        "conditions": conditions,
        "preprocessing": "identity",
        "seed": 1,
        "config": {"train_test_split": 0.75},
        "datasets": datasets,
    }
    record = TrainingRecord.model_validate({**content, **changes})
    metadata = {
        "variables": {"variables": ["x", "y", *conditions]},
        "classes": CLASSES,
        "missing": None,
        "record_hash": record_hash(record),
    }
    files = model_files(folder, model, method)
    files.onnx.parent.mkdir(parents=True, exist_ok=True)
    files.onnx.write_bytes(_network(SLOPES[model] if slopes is None else slopes, conditions, metadata))
    write_record(files.record, record, overwrite=True)


@pytest.fixture
def make_analysis(tmp_path: Path) -> Callable[..., Analysis]:
    """Make an analysis with some folds, optionally with conditions, or with branches in friends inside the files."""

    def make(
        num_folds: int = 2, conditions: tuple[str, ...] = (), of_friend: tuple[str, ...] | None = None
    ) -> Analysis:
        (tmp_path / "out").mkdir()
        events = [draw_events(seed) for seed in range(num_folds)]
        paths = [tmp_path / f"fold{fold}.root" for fold in range(num_folds)]
        uuids = [write_fold_file(path, content, of_friend) for path, content in zip(paths, events, strict=True)]
        datasets_of_models = []
        for model in range(num_folds):
            datasets = [
                DatasetRecord(path=str(paths[fold]), uuid=uuids[fold], size=1, fold=fold)
                for fold in range(num_folds)
                if fold != (model + 1) % num_folds
            ]
            datasets_of_models.append(datasets)
            write_model(tmp_path / "out", model, num_folds, datasets, list(conditions))
        training = {
            "output_path": str(tmp_path / "out"),
            "classes": CLASSES,
            "class_weights": CLASS_WEIGHTS,
            "variables": ["x", "y"],
            "event_weights": "weights",
        }
        datasets_of_all = [str(path) for path in paths]
        if conditions:
            training |= {f"datasets_{name}": datasets_of_all for name in conditions}
            training |= {f"class_weights_{conditions[0]}": dict.fromkeys(CLASSES, 7.0)}
        else:
            training["datasets"] = datasets_of_all
        analysis = Analysis(tmp_path, num_folds, events, training, datasets=datasets_of_models)
        analysis.write_configs()
        return analysis

    return make


@pytest.fixture
def analysis(make_analysis: Callable[..., Analysis]) -> Analysis:
    """Two folds, no conditions."""
    return make_analysis()
