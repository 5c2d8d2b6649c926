"""An ntuple, two trained networks and their configs, as the benchmarks of the application need them."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import uproot
from onnx import TensorProto, helper, numpy_helper

from ntupleml.artifacts import TrainingRecord, model_files, record_hash, write_record

if TYPE_CHECKING:
    from pathlib import Path

VARIABLES = [f"variable_{index}" for index in range(30)]
CLASSES = [f"class_{index}" for index in range(5)]
HIDDEN = (200, 200)
TREE = "ntuple"
BRANCHES = [*VARIABLES, "weight", "event"]


def write_ntuple(path: Path, events: int, compression: uproot.compression.Compression | None = None) -> None:
    """Write a tree of 32 branches: 30 variables and a weight (float32), and the event number (int64)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    types = {name: np.dtype("i8" if name == "event" else "f4") for name in BRANCHES}
    with uproot.recreate(path, compression=compression or uproot.ZLIB(1)) as file:
        tree = file.mktree(TREE, types)
        for start in range(0, events, 100_000):
            number = min(100_000, events - start)
            columns = {name: random.standard_normal(number, dtype="f4") for name in BRANCHES[:-1]}
            tree.extend({**columns, "event": np.arange(start, start + number)})


def write_models(folder: Path) -> None:
    """Write two networks 30-200-200-5 (relu, softmax) as the training would, with random weights."""
    random = np.random.default_rng(2)
    folder.mkdir(parents=True, exist_ok=True)
    for fold in range(2):
        record = TrainingRecord(
            fold=fold,
            num_folds=2,
            trained_on=[fold],
            held_out_fold=1 - fold,
            event_branch="event",
            classes=CLASSES,
            variables=VARIABLES,
            preprocessing="identity",
            seed=1,
            config={},
        )
        files = model_files(folder, fold)
        write_record(files.record, record)
        onnx.save(_network(record, random), files.onnx)


def _network(record: TrainingRecord, random: np.random.Generator) -> onnx.ModelProto:
    widths = [len(VARIABLES), *HIDDEN, len(CLASSES)]
    nodes, constants, value = [], [], "variables"
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        weights = random.normal(scale=1 / np.sqrt(inputs), size=(inputs, outputs)).astype("f4")
        constants += [
            numpy_helper.from_array(weights, f"weights_{layer}"),
            numpy_helper.from_array(np.zeros(outputs, "f4"), f"bias_{layer}"),
        ]
        nodes.append(helper.make_node("Gemm", [value, f"weights_{layer}", f"bias_{layer}"], [f"sum_{layer}"]))
        last = layer == len(widths) - 2
        value = "scores" if last else f"hidden_{layer}"
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"sum_{layer}"], [value]))
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("variables", TensorProto.FLOAT, ["events", widths[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["events", widths[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    description = {
        "variables": {"variables": record.variables},
        "classes": record.classes,
        "missing": record.missing,
        "record_hash": record_hash(record),
    }
    helper.set_model_props(model, {"ntupleml": json.dumps(description)})
    return model


def write_configs(folder: Path) -> list[Path]:
    """Write dataset, training and application config; their paths."""
    names = "\n".join(f"  - {name}" for name in VARIABLES)
    classes = "\n".join(f"  - {name}" for name in CLASSES)
    contents = {
        "dataset": (
            "output_path: unused\noutput_filename: unused.root\ntree_path: ntuple\nevent_branch: event\n"
            "processes:\n  data:\n    files: [unused.root]\n"
        ),
        "training": (
            f"output_path: {folder / 'models'}\ndatasets: [fold0.root, fold1.root]\nclasses:\n{classes}\n"
            f"variables:\n{names}\n"
        ),
        "application": f"output_directory: {folder / 'friends'}\n",
    }
    paths = [folder / f"{name}.yaml" for name in contents]
    for path, text in zip(paths, contents.values(), strict=True):
        path.write_text(text)
    return paths
